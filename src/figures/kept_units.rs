//! Figure of the units (inputs, heads, neurons) that remain in each layer of a searched architecture.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::style::{self, Area, BLUES, Drawn, HEADER, INK, LEFT, PALE_INK, WIDTH};
use crate::error::{Error, Result};
use crate::record::SearchedArchitecture;

const ROW: i32 = 44;
/// Width in pixels of the layers' names.
const NAMES: i32 = 80;
/// Parts of a layer that a search may prune: the key of each in result files, and its heading in the figure.
const PARTS: [(&str, &str); 7] = [
    ("query_inputs", "inputs of Q"),
    ("key_inputs", "inputs of K"),
    ("value_inputs", "inputs of V"),
    ("query_key_outputs", "outputs of QK"),
    ("value_outputs", "outputs of V"),
    ("heads", "heads"),
    ("neurons", "neurons"),
];

/// Draws the units that remain in each layer of a searched architecture, as SVG. `measure` names the type of cost in
/// which the architecture's cost ratio is given.
///
/// # Errors
/// [`Error::Figure`] if it cannot be drawn.
pub fn kept_units_figure(row: &SearchedArchitecture, measure: &str) -> Result<String> {
    let figure = format!("kept.{}.{}.svg", row.space, row.target_ratio);
    let failed = |error: style::DrawError| Error::Figure { figure, message: error.to_string() };
    let height = HEADER as u32 + (ROW * row.kept.len().max(1) as i32) as u32 + 70;
    style::svg(height, |area| draw(row, measure, area)).map_err(failed)
}

fn draw(row: &SearchedArchitecture, measure: &str, area: &Area) -> Drawn {
    let legend: Vec<_> = [0.0, 0.5, 1.0].map(|share| (style::percent(&share), style::on_scale(&BLUES, share))).into();
    let title = format!("What stays of {} at a target of {}", row.space, row.target_ratio);
    let body = style::header(area, &title, &legend)?;
    let searched = |name: &str| row.kept.iter().any(|layer| layer.shares.contains_key(name));
    let parts: Vec<(&str, &str)> = PARTS.into_iter().filter(|(name, _)| searched(name)).collect();
    if parts.is_empty() {
        return style::nothing(&body, "Nothing was searched.");
    }
    let left = LEFT + NAMES;
    let edge = |part: usize| left + part as i32 * (WIDTH as i32 - left - LEFT) / parts.len() as i32;
    for (layer, units) in row.kept.iter().enumerate() {
        let (top, bottom) = (layer as i32 * ROW, layer as i32 * ROW + ROW - 4);
        let name = style::anchored(style::font(13.0, INK), HPos::Left);
        body.draw_text(&format!("layer {}", layer + 1), &name, (LEFT, (top + bottom) / 2))?;
        for (part, (name, _)) in parts.iter().enumerate() {
            let (from, to) = (edge(part), edge(part + 1) - 2);
            let share = units.shares.get(*name).copied().unwrap_or(1.0);
            let heads = (share * 1e9).round() as u64;
            let count = if heads == 0 { 0 } else { (units.heads.len() as f64 / share).round() as usize };
            if *name == "heads" && count > 0 {
                // Each head has one cell.
                let of_head = |head: usize| from + (to - from) * head as i32 / count as i32;
                for head in 0..count {
                    let color = style::on_scale(&BLUES, f64::from(u8::from(units.heads.contains(&head))));
                    let cell = [(of_head(head), top), (of_head(head + 1) - 1, bottom)];
                    body.draw(&Rectangle::new(cell, color.filled()))?;
                }
                continue;
            }
            body.draw(&Rectangle::new([(from, top), (to, bottom)], style::on_scale(&BLUES, share).filled()))?;
            let ink = if share > 0.45 { WHITE } else { INK };
            let letters = style::anchored(style::font(12.0, ink), HPos::Center);
            body.draw_text(&style::percent(&share), &letters, ((from + to) / 2, (top + bottom) / 2))?;
        }
    }
    let below = row.kept.len() as i32 * ROW + 12;
    let letters = style::anchored(style::font(12.0, PALE_INK), HPos::Center);
    for (part, (_, heading)) in parts.iter().enumerate() {
        body.draw_text(heading, &letters, ((edge(part) + edge(part + 1)) / 2 - 1, below))?;
    }
    let heads = if searched("heads") { "; heads: one cell each, dark where it stays" } else { "" };
    let note = format!("{:.1} % of {measure} stay{heads}", 100.0 * row.reached_ratio);
    body.draw_text(&note, &style::anchored(style::font(13.0, PALE_INK), HPos::Left), (LEFT, below + 28))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::searched;

    #[test]
    fn the_figure_names_layers_and_searched_parts() {
        let record = searched();
        let svg = kept_units_figure(&record.searches[0], record.measure()).unwrap();
        for text in ["layer 1", "layer 2", "inputs of Q", "inputs of V", "62 %", "50.4 % of the searched units stay"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("neurons"));
    }

    #[test]
    fn each_head_is_a_cell() {
        let mut row = searched().searches[0].clone();
        for layer in &mut row.kept {
            layer.shares = [("heads".to_owned(), 0.5)].into();
            layer.heads = vec![0, 3];
        }
        let cells =
            |row: &SearchedArchitecture| kept_units_figure(row, "the searched units").unwrap().matches("<rect").count();
        let four = cells(&row);
        row.kept.iter_mut().for_each(|layer| layer.heads = vec![0, 3, 5]);
        // The row now has six heads instead of four in each of two layers.
        assert_eq!(cells(&row), four + 4);
    }
}
