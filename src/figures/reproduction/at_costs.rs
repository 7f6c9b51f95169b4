//! Figure of accuracy against inference cost, for each kind of model.

use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::figure::{Figure, panel};
use super::{labels, markers};
use crate::error::Result;
use crate::figures::style::score_range;
use crate::figures::style::{self, Area, Drawn, LEFT, PALE_INK};
use crate::record::{AtCosts, ReproductionRecord, RowGroup};

const HEIGHT: u32 = 520;
/// Maximum distance in accuracy of a shown point from the best point. Lower points are omitted, since they would
/// compress all others.
const SHOWN: f64 = 0.08;
/// Distance in pixels between sampled points of a line, which labels must not cover.
const LINE_STEP: i32 = 12;
const TITLE: &str = "Accuracy at a cost of inference";

/// Draws accuracy against inference cost; `None` if there is no accelerated model.
pub(super) fn figure(record: &ReproductionRecord) -> Result<Option<Figure>> {
    let Some(table) = &record.at_costs else { return Ok(None) };
    let full = record.rows.iter().find(|row| row.group == RowGroup::Full && !row.seeds.is_empty());
    let full = full.map(|row| row.accuracy.mean);
    let svg = style::svg(HEIGHT, |area| draw(area, table, full));
    let caption = "Each kind of model at the depths and the threshold that validation rows give for a cost; exact FLOPs and accuracy on the \
                   test rows. The dashed line is the full model. Points far below are left out; table 3 has them all.";
    let alt = format!("{TITLE} of {} kinds of models; table 3 has the numbers.", table.rows.len());
    let panels = vec![panel("at_costs.svg", alt, svg)?];
    Ok(Some(Figure { number: None, title: TITLE.into(), caption: caption.into(), panels }))
}

/// Group of methods whose marker and colour a kind of model has in the figure.
fn group(kind: &str) -> RowGroup {
    match kind {
        "truncation" => RowGroup::Truncation,
        "DistilBERT" => RowGroup::DistilBert,
        "FastBERT" => RowGroup::FastBert,
        "PABEE" => RowGroup::Pabee,
        "accelerated" => RowGroup::Accelerated,
        _ => RowGroup::Ngram,
    }
}

/// Dash pattern (dash and gap) that distinguishes kinds of models of the same colour.
fn dashes(kind: &str) -> Option<(i32, i32)> {
    match kind {
        "n-gram stacked" => Some((2, 3)),
        "n-gram, two encoders" => Some((8, 4)),
        _ => None,
    }
}

fn draw(area: &Area, table: &AtCosts, full: Option<f64>) -> Drawn {
    area.draw_text(TITLE, &style::anchored(style::bold(16.0), HPos::Left), (LEFT, 26))?;
    let body = area.split_vertically(40).1;
    let cells = || table.rows.iter().flat_map(|row| row.cells.iter());
    let most = cells().map(|cell| cell.accuracy.mean).chain(full).fold(0.0, f64::max);
    let lines: Vec<(&str, Vec<(f64, f64)>)> = table
        .rows
        .iter()
        .map(|row| {
            let mut points: Vec<(f64, f64)> = Vec::new();
            for point in row.cells.iter().map(|cell| (cell.flops_ratio, cell.accuracy.mean)) {
                if point.1 > most - SHOWN && points.last() != Some(&point) {
                    points.push(point);
                }
            }
            (row.kind.as_str(), points)
        })
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let (range, digits) = score_range(points().map(|(_, score)| score).chain(full));
    let right = points().map(|(cost, _)| cost).fold(0.1, f64::max);
    let format = |score: &f64| format!("{score:.digits$}");
    let names = ("inference FLOPs, as a share of the full model's", "accuracy on the test set");
    let chart = style::chart(&body, 0.0..1.25 * right, range, names, (&style::percent, &format))?;
    let (left, top) = chart.plotting_area().get_base_pixel();
    let plot = chart.plotting_area().strip_coord_spec();
    let pixel = |point: &(f64, f64)| {
        let (x, y) = chart.backend_coord(point);
        (x - left, y - top)
    };
    if let Some(full) = full {
        let (from, to) = (pixel(&(0.0, full)), pixel(&(1.25 * right, full)));
        for x in (from.0..to.0).step_by(12) {
            plot.draw(&PathElement::new([(x, from.1), (x + 6, from.1)], PALE_INK.stroke_width(1)))?;
        }
        plot.draw_text(
            "full model",
            &style::anchored(style::font(labels::PIXELS, PALE_INK), HPos::Right),
            (to.0, from.1 - 6),
        )?;
    }
    let mut named = Vec::new();
    for (kind, points) in &lines {
        let pixels: Vec<(i32, i32)> = points.iter().map(pixel).collect();
        let strength = if group(kind) == RowGroup::Accelerated { 3 } else { 2 };
        let line = markers::color(group(kind)).mix(0.6).stroke_width(strength);
        match dashes(kind) {
            Some((on, off)) => plot.draw(&DashedPathElement::new(pixels.iter().copied(), on, off, line))?,
            None => plot.draw(&PathElement::new(pixels.clone(), line))?,
        }
        let last = pixels.len() - 1;
        named.extend(
            pixels.into_iter().enumerate().map(|(at, pixel)| (pixel, if at == last { *kind } else { "" }, group(kind))),
        );
    }
    let size = plot.dim_in_pixel();
    // Labels must not lie on lines either, so points along each line are reserved although nothing is drawn there.
    let on_lines = lines.iter().flat_map(|(_, points)| points.windows(2)).flat_map(|ends| {
        let (from, to) = (pixel(&ends[0]), pixel(&ends[1]));
        let steps = ((to.0 - from.0).abs().max((to.1 - from.1).abs()) / LINE_STEP).max(1);
        (1..steps).map(move |step| (from.0 + (to.0 - from.0) * step / steps, from.1 + (to.1 - from.1) * step / steps))
    });
    let points: Vec<_> =
        named.iter().map(|(point, name, _)| (*point, *name)).chain(on_lines.map(|point| (point, ""))).collect();
    let places = labels::places(&points, (size.0 as i32, size.1 as i32));
    for (place, (point, name, group)) in places.iter().zip(&named) {
        markers::draw(&plot, *point, *group)?;
        let Some(place) = place.as_ref().filter(|_| !name.is_empty()) else { continue };
        if let Some(end) = place.leader {
            plot.draw(&PathElement::new([*point, end], PALE_INK.mix(0.6)))?;
        }
        plot.draw_text(name, &style::anchored(style::font(labels::PIXELS, style::INK), HPos::Left), place.at)?;
    }
    Ok(())
}
