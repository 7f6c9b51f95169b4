//! Figure of the shares of depths and head counts against training progress, as stacked areas (figure 2 of the DHT
//! paper).

use std::collections::BTreeMap;

use dht_search::training::Curves;
use plotters::prelude::*;

use super::style;
use super::style::{Area, BLUES, Drawn, OCHRES, PROGRESS};

pub(crate) fn draw_depths(curves: &Curves, title: &str, area: &Area) -> Drawn {
    let name = |depth: usize| if depth == 1 { "1 layer".into() } else { format!("{depth} layers") };
    draw(&curves.progress, &curves.depth_share, area, title, name, &BLUES, "share of samples")
}

pub(crate) fn draw_head_counts(curves: &Curves, title: &str, area: &Area) -> Drawn {
    let name = |heads: usize| if heads == 1 { "1 head".into() } else { format!("{heads} heads") };
    draw(&curves.progress, &curves.head_count_share, area, title, name, &OCHRES, "share of decisions")
}

fn draw(
    progress: &[f64],
    shares: &BTreeMap<usize, Vec<f64>>,
    area: &Area,
    title: &str,
    name: impl Fn(usize) -> String,
    scale: &[RGBColor; 4],
    axis: &str,
) -> Drawn {
    let colors = style::spread(scale, shares.len());
    let legend: Vec<_> = shares.keys().zip(&colors).map(|(&key, &color)| (name(key), color)).collect();
    let body = style::header(area, title, &legend)?;
    let progress = with_both_ends(progress);
    if progress.is_empty() || shares.is_empty() {
        return style::nothing(&body, "Nothing was chosen in this run.");
    }
    let mut chart = style::chart(&body, 0.0..1.0, 0.0..1.0, (PROGRESS, axis), (&style::percent, &style::percent))?;
    let mut below = vec![0.0; progress.len()];
    for (values, color) in shares.values().zip(&colors) {
        let values = repeated_at_both_ends(values);
        let above: Vec<f64> = below.iter().zip(&values).map(|(below, value)| below + value).collect();
        let outline = |heights: &[f64]| progress.iter().copied().zip(heights.iter().copied()).collect::<Vec<_>>();
        let mut band = outline(&above);
        band.extend(outline(&below).into_iter().rev());
        chart.draw_series([Polygon::new(band, color.filled())])?;
        // A white edge separates neighbours of similar lightness.
        chart.draw_series([PathElement::new(outline(&above), WHITE.stroke_width(1))])?;
        below = above;
    }
    Ok(())
}

/// Horizontal positions of the areas: the centres of the bins of training progress, preceded by 0 and followed by 1.
fn with_both_ends(progress: &[f64]) -> Vec<f64> {
    if progress.is_empty() { Vec::new() } else { [&[0.0], progress, &[1.0]].concat() }
}

/// Repeats the first and the last of the bins' values, so that areas reach both ends of the axis.
fn repeated_at_both_ends(values: &[f64]) -> Vec<f64> {
    let (first, last) = (values.first().copied(), values.last().copied());
    first.into_iter().chain(values.iter().copied()).chain(last).collect()
}
