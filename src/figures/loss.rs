//! Training losses against progress: the paper's figure 3, with the baselines.

use dht_search::training::LossCurve;
use plotters::prelude::*;

use super::style;
use super::style::{Area, Drawn, FULL, PROGRESS, SEARCH, TRUNCATED};
use crate::record::RunRecord;

pub(crate) const TITLE: &str = "Training loss";

/// The losses of a run's models.
pub(crate) fn draw(record: &RunRecord, area: &Area) -> Drawn {
    draw_lines(&in_order(record), TITLE, area)
}

/// Losses against progress; the last line is drawn on top.
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

/// The loss of one model.
pub(crate) struct Line<'a> {
    pub(crate) name: String,
    pub(crate) curve: &'a LossCurve,
    pub(crate) color: RGBColor,
    pub(crate) width: u32,
}

/// Truncations first, so that the other models are drawn on top; at most three, so that the figure stays readable.
fn in_order(record: &RunRecord) -> Vec<Line<'_>> {
    let losses = &record.curves.loss;
    let mut truncated: Vec<(usize, &LossCurve)> = losses
        .iter()
        .filter_map(|(name, curve)| Some((name.strip_prefix("truncated.")?.parse().ok()?, curve)))
        .collect();
    truncated.sort_by_key(|(layers, _)| *layers);
    truncated.truncate(3);
    let tints = [0.45, 0.65, 0.85].map(|share| style::on_scale(&style::OCHRES, share / 1.3));
    let mut lines: Vec<Line> = truncated
        .into_iter()
        .zip(tints)
        .map(|((layers, curve), color)| {
            let plural = if layers == 1 { "" } else { "s" };
            Line { name: format!("{layers} layer{plural}"), curve, color, width: 1 }
        })
        .collect();
    if let [only] = lines.as_mut_slice() {
        only.color = TRUNCATED;
    }
    for (name, shown, color, width) in
        [("full", "full model".to_owned(), FULL, 2), ("search", record.preset.clone(), SEARCH, 3)]
    {
        lines.extend(losses.get(name).map(|curve| Line { name: shown, curve, color, width }));
    }
    lines
}
