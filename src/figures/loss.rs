//! Figure of training losses against progress (figure 3 of the DHT paper), including baselines.

use dht_search::training::LossCurve;
use plotters::prelude::*;

use super::style;
use super::style::{Area, Drawn, PROGRESS};

/// Draws loss curves against training progress; the last curve is drawn on top.
pub(crate) fn draw_lines(curves: &[Line], title: &str, area: &Area) -> Drawn {
    let legend: Vec<_> = curves.iter().map(|line| (line.name.clone(), line.color)).collect();
    let body = style::header(area, title, &legend)?;
    let most = curves.iter().flat_map(|line| line.curve.loss.iter().copied()).fold(0.0, f64::max);
    if most <= 0.0 {
        return style::nothing(&body, "No loss was recorded in this run.");
    }
    let axes = (PROGRESS, "mean cross-entropy (nats)");
    let format = |loss: &f64| format!("{loss:.1}");
    let mut chart = style::chart(&body, 0.0..1.0, 0.0..1.05 * most, axes, (&style::percent, &format))?;
    for line in curves {
        let points = line.curve.progress.iter().copied().zip(line.curve.loss.iter().copied());
        chart.draw_series(LineSeries::new(points, line.color.stroke_width(line.width)))?;
    }
    Ok(())
}

/// Loss curve of one model.
pub(crate) struct Line<'a> {
    pub(crate) name: String,
    pub(crate) curve: &'a LossCurve,
    pub(crate) color: RGBColor,
    pub(crate) width: u32,
}
