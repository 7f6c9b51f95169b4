//! Report of a head ablation: scores without each head and with each head alone, as a table, a figure and a part of
//! `docs/architecture_search.md`.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, Result};
use crate::marked;
use crate::record::{HeadAblationRecord, HeadScores};
use crate::tables::{compression_sides, grid_markdown, markdown_text, points};

/// Marker line before the generated part of the page.
pub const HEAD_ABLATION_START: &str = "<!-- head ablation -->";
/// Marker line after the generated part of the page.
pub const HEAD_ABLATION_END: &str = "<!-- /head ablation -->";

const WIDTH: u32 = 700;
const ROW: i32 = 34;
/// Left edge of the first panel in pixels. The names of the layers are to its left.
const NAMES: i32 = 70;
/// Height in pixels above the cells of a panel.
const HEADER: i32 = 72;
/// Smallest change of a score that is drawn in the full colour; .1 is 10 points.
const FULL: f64 = 0.1;
/// Saturation of a cell without a change, as a share of the full colour.
const FAINT: f64 = 0.08;
const INK: RGBColor = RGBColor(34, 40, 49);
/// Colour of a lower score, from Okabe and Ito (2008).
const LOSS: RGBColor = RGBColor(213, 94, 0);
/// Colour of a higher score, from Okabe and Ito (2008).
const GAIN: RGBColor = RGBColor(0, 114, 178);

/// Function that returns one of the scores of an ablated head; `None` if the head has no such score.
type Score = fn(&HeadScores) -> Option<f64>;

/// Replaces the part of the page between the marker lines by the head ablations: for each, a figure with description,
/// and a table. [`head_ablation_file`] names the figures.
///
/// # Errors
/// [`Error::Markers`] unless each of the two lines occurs once, in this order.
pub fn with_head_ablations(page: &str, records: &[HeadAblationRecord]) -> Result<String> {
    let blocks: Vec<String> = records.iter().map(block).collect();
    marked::replaced(page, (HEAD_ABLATION_START, HEAD_ABLATION_END), &blocks.join("\n"))
}

/// File name of a head ablation's figure.
pub fn head_ablation_file(record: &HeadAblationRecord) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("head_ablation_{}.svg", record.data.name.chars().map(plain).collect::<String>())
}

fn block(record: &HeadAblationRecord) -> String {
    let (name, file) = (markdown_text(&record.data.name), head_ablation_file(record));
    let size = record.model;
    let changes = |of: Score| record.heads.iter().filter_map(of).map(|it| it - record.score);
    let not_worse = changes(|head| head.without).filter(|change| *change >= 0.0).count();
    let removed = changes(|head| head.without).count();
    let worst = changes(|head| head.without).fold(f64::INFINITY, f64::min);
    let mut best_alone: Vec<String> = Vec::new();
    for layer in 0..size.layers {
        let alone = record.heads.iter().filter(|head| head.layer == layer).map(|head| head.alone);
        if let Some(best) = alone.reduce(f64::max) {
            best_alone.push(format!("layer {layer} {}", points(best - record.score)));
        }
    }
    format!(
        "### {name}\n\n![Change of the score without one head and with one head alone](figures/{file})\n\n{} test rows, {} with all heads: {:.4}. \
         Without one head the score does not fall for {not_worse} of {removed} heads; the largest fall is {} points. With the best head of a \
         layer alone there: {}, in points. From `{}`.\n\n{}",
        record.data.test_rows,
        record.metric,
        record.score,
        points(worst),
        best_alone.join(", "),
        record.command.join(" "),
        head_ablation_table(record)
    )
}

/// Table with a line for each head: the change of the score in points without the head, and with only that head in its
/// layer.
pub(crate) fn head_ablation_table(record: &HeadAblationRecord) -> String {
    let mut lines = vec![["layer", "head", "without it, points", "it alone, points"].map(String::from).to_vec()];
    for HeadScores { layer, head, without, alone } in &record.heads {
        let change = |score: f64| points(score - record.score);
        let without = without.map_or_else(|| "the only head".into(), change);
        lines.push(vec![layer.to_string(), head.to_string(), without, change(*alone)]);
    }
    grid_markdown(&lines, &compression_sides(lines[0].len(), 0))
}

/// Draws two heat maps of layers by heads as SVG: the change of the score without a head, and with only that head in
/// its layer.
///
/// # Errors
/// [`Error::Figure`] if it cannot be drawn.
pub fn head_ablation_figure(record: &HeadAblationRecord) -> Result<String> {
    let mut svg = String::new();
    draw(record, &mut svg)
        .map_err(|error| Error::Figure { figure: head_ablation_file(record), message: error.to_string() })?;
    Ok(svg)
}

fn font(pixels: f64, color: RGBColor, horizontal: HPos) -> TextStyle<'static> {
    let (font, pos) = (("sans-serif", pixels * 1.24).into_font(), Pos::new(horizontal, VPos::Center));
    TextStyle { color: color.to_backend_color(), pos, ..font.into() }
}

fn draw(
    record: &HeadAblationRecord,
    svg: &mut String,
) -> std::result::Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let (layers, heads) = (record.model.layers.max(1) as i32, record.model.heads.max(1) as i32);
    let area = SVGBackend::with_string(svg, (WIDTH, (HEADER + ROW * layers + 56) as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let title =
        format!("{}: change of {} in points, {:.4} with all heads", record.data.name, record.metric, record.score);
    area.draw_text(&title, &font(15.0, INK, HPos::Left), (20, 24))?;
    let cell = (WIDTH as i32 - NAMES - 44) / (2 * heads);
    let of_panel: [(&str, Score); 2] =
        [("without this head", |head| head.without), ("this head alone in its layer", |head| Some(head.alone))];
    for (panel, (name, score)) in of_panel.into_iter().enumerate() {
        let left = NAMES + panel as i32 * (cell * heads + 24);
        area.draw_text(name, &font(13.0, INK, HPos::Left), (left, HEADER - 18))?;
        for head in &record.heads {
            let (x, y) = (left + head.head as i32 * cell, HEADER + head.layer as i32 * ROW);
            let Some(change) = score(head).map(|score| score - record.score) else { continue };
            let color = if change < 0.0 { LOSS } else { GAIN };
            let shade = (change.abs() / FULL).clamp(FAINT, 1.0);
            let corners = [(x, y), (x + cell - 2, y + ROW - 2)];
            area.draw(&Rectangle::new(corners, color.mix(shade).filled()))?;
            let ink = if shade > 0.7 { WHITE } else { INK };
            if cell >= 24 {
                let text = format!("{:+.1}", 100.0 * change);
                area.draw_text(&text, &font(10.0, ink, HPos::Center), (x + cell / 2, y + ROW / 2))?;
            }
        }
        for head in 0..heads {
            let place = (left + head * cell + cell / 2, HEADER + layers * ROW + 12);
            area.draw_text(&head.to_string(), &font(11.0, INK, HPos::Center), place)?;
        }
    }
    for layer in 0..layers {
        let place = (20, HEADER + layer * ROW + ROW / 2);
        area.draw_text(&format!("layer {layer}"), &font(12.0, INK, HPos::Left), place)?;
    }
    let note = format!("columns: heads from 0; orange: loss, blue: gain; full colour from {:.0} points", 100.0 * FULL);
    area.draw_text(&note, &font(12.0, INK, HPos::Left), (20, HEADER + layers * ROW + 38))?;
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::record::{AblatedHeads, DataRecord, Machine, ModelRecord, Record};

    /// Test record of a head ablation with two layers. The only head of the second layer cannot be removed.
    fn record() -> HeadAblationRecord {
        let scores = |layer, head, without, alone| HeadScores { layer, head, without, alone };
        Record::new(
            ["heads", "--data", "cola"].map(String::from).to_vec(),
            DataRecord { name: "co_la".into(), test_rows: 60, ..DataRecord::default() },
            AblatedHeads {
                metric: "accuracy".into(),
                model: ModelRecord { layers: 2, heads: 2, hidden: 8, ffn: 32, parameters: 1 },
                score: 0.8,
                heads: vec![scores(0, 0, Some(0.81), 0.7), scores(0, 1, Some(0.65), 0.79), scores(1, 1, None, 0.8)],
            },
            BTreeMap::new(),
            Machine::default(),
        )
    }

    #[test]
    fn the_page_has_each_head_and_what_can_go() {
        let page = format!("before\n{HEAD_ABLATION_START}\nNot measured yet.\n{HEAD_ABLATION_END}\n");
        let text = with_head_ablations(&page, &[record()]).unwrap();
        assert!(text.contains("| 0 | 1 | -15.00 | -1.00 |\n| 1 | 1 | the only head | +0.00 |"), "{text}");
        assert!(text.contains("does not fall for 1 of 2 heads; the largest fall is -15.00 points"), "{text}");
        assert!(
            text.contains("layer 0 -1.00, layer 1 +0.00") && text.contains("figures/head_ablation_co_la.svg"),
            "{text}"
        );
        assert!(!text.contains("Not measured"));
    }

    #[test]
    fn the_figure_has_a_cell_for_each_score() {
        let svg = head_ablation_figure(&record()).unwrap();
        // The rectangles are the background, two changes without a head, and three changes with one head alone.
        assert_eq!(svg.matches("<rect").count(), 1 + 2 + 3, "{svg}");
        for text in ["layer 1", "-15.0", "+1.0", "without this head", "0.8000 with all heads"] {
            assert!(svg.contains(text), "{text}");
        }
    }
}
