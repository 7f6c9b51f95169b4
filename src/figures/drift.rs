//! A model in service through a drift: accuracy and cost of each way to decide.

use plotters::prelude::*;

use super::style::{self, Area, DYNAMIC, Drawn, FULL, ORACLE, PALE_INK, TRUNCATED};
use crate::error::{Error, Result};
use crate::record::{DriftRecord, DriftWay};

const HEIGHT: u32 = 620;
const COLORS: [RGBColor; 4] = [FULL, TRUNCATED, DYNAMIC, ORACLE];

/// The figure, as SVG.
///
/// # Errors
/// [`Error::Figure`] when it cannot be drawn.
pub fn drift_figure(record: &DriftRecord) -> Result<String> {
    let failed = |error: style::DrawError| Error::Figure { figure: "drift.svg".into(), message: error.to_string() };
    style::svg(HEIGHT, |area| draw(record, area)).map_err(failed)
}

fn draw(record: &DriftRecord, area: &Area) -> Drawn {
    let colors = COLORS.into_iter().cycle();
    let legend: Vec<(String, RGBColor)> = record.ways.iter().map(|way| way.name.clone()).zip(colors).collect();
    let [before, after] = &record.data;
    let body = style::header(area, &format!("A stream that turns from {before} into {after}"), &legend)?;
    let (upper, lower) = body.split_vertically(290);
    panel(record, &upper, "accuracy", |way| &way.accuracy)?;
    panel(record, &lower, "FLOPs, share of the full model's", |way| &way.flops_ratio)
}

fn panel(record: &DriftRecord, area: &Area, name: &str, values: impl Fn(&DriftWay) -> &Vec<f64>) -> Drawn {
    let all = || record.ways.iter().flat_map(|way| values(way).iter().copied());
    let (low, high) = all().fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if !low.is_finite() {
        return style::nothing(area, "The stream has no block.");
    }
    let edge = 0.08 * (high - low).max(0.01);
    let texts = record.texts.iter().sum::<usize>() as f64;
    let count = |texts: &f64| format!("{texts:.0}");
    let format = |value: &f64| format!("{value:.2}");
    let range = low - edge..high + edge;
    let mut chart = style::chart(area, 0.0..texts, range.clone(), ("texts", name), (&count, &format))?;
    let drift = record.texts[0] as f64;
    chart.draw_series(LineSeries::new([(drift, range.start), (drift, range.end)], PALE_INK.mix(0.6)))?;
    for (way, color) in record.ways.iter().zip(COLORS.into_iter().cycle()) {
        let middle = |block: usize| (block as f64 + 0.5) * record.block as f64;
        let points = values(way).iter().enumerate().map(|(block, value)| (middle(block), *value));
        chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
    }
    Ok(())
}
