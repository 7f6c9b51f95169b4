//! Figures of an analysis, as SVG. The HTML page of the analysis replaces their colours in dark mode and in print.

use plotters::prelude::*;

use super::calibration::Bin;
use super::coverage::CoveragePoint;
use super::estimate::Estimate;
use super::numbers::PredictionGroup;
use crate::error::{Error, Result};
use crate::results::{BLUE, Canvas, Drawn, INK, PALE, label_font};

/// Size of a figure in pixels, so that its labels are readable on a narrow screen.
pub const SIZE: (u32, u32) = (420, 320);

#[derive(Debug, Clone, Copy)]
struct Point {
    x: f64,
    y: Estimate,
}

struct Axes<'a> {
    x: (f64, f64),
    y: (f64, f64),
    x_name: &'a str,
    y_name: &'a str,
    /// True if both axes show shares, with labels in percent.
    in_percent: bool,
    /// True if the diagonal y = x is drawn, for perfect agreement.
    has_diagonal: bool,
    /// True if a line joins the points.
    has_line: bool,
}

/// Draws the reliability diagram: the share of right answers against the mean probability of each bin.
///
/// # Errors
/// [`Error::Curve`] if the figure cannot be drawn.
pub fn reliability(bins: &[Bin], y_name: &str) -> Result<String> {
    let points: Vec<Point> = bins.iter().map(|bin| Point { x: bin.probability, y: bin.right }).collect();
    let x_name = "mean probability";
    let axes =
        Axes { x: (0.0, 1.0), y: (0.0, 1.0), x_name, y_name, in_percent: true, has_diagonal: true, has_line: false };
    draw(&points, &axes)
}

/// Draws the coverage curve: accuracy of the most probable answers against their share of the rows.
///
/// # Errors
/// [`Error::Curve`] if the figure cannot be drawn.
pub fn coverage(points: &[CoveragePoint]) -> Result<String> {
    let points: Vec<Point> = points.iter().map(|point| Point { x: point.coverage, y: point.accuracy }).collect();
    let least = points.iter().map(|point| point.y.low).fold(1.0, f64::min);
    let axes = Axes {
        x: (0.0, 1.0),
        y: ((least - 0.02).max(0.0), 1.0),
        x_name: "share of the texts that are answered",
        y_name: "accuracy of the answers",
        in_percent: true,
        has_diagonal: false,
        has_line: true,
    };
    draw(&points, &axes)
}

/// Draws the mean true number against the mean predicted number, for groups of rows with similar predictions.
///
/// # Errors
/// [`Error::Curve`] if the figure cannot be drawn.
pub fn predictions(groups: &[PredictionGroup]) -> Result<String> {
    let points: Vec<Point> = groups.iter().map(|group| Point { x: group.predicted, y: group.value }).collect();
    let ends = points.iter().flat_map(|point| [point.x, point.y.low, point.y.high]);
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), end| (low.min(end), high.max(end)));
    let margin = (0.05 * (high - low)).max(1e-6);
    let range = (low - margin, high + margin);
    let (x_name, y_name) = ("mean prediction", "mean true number");
    let axes = Axes { x: range, y: range, x_name, y_name, in_percent: false, has_diagonal: true, has_line: false };
    draw(&points, &axes)
}

fn draw(points: &[Point], axes: &Axes<'_>) -> Result<String> {
    let mut svg = String::new();
    draw_on(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), points, axes)
        .map_err(|error| Error::Curve { message: error.to_string() })?;
    Ok(svg)
}

fn draw_on(canvas: &Canvas<'_>, points: &[Point], axes: &Axes<'_>) -> Drawn {
    canvas.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(canvas)
        .margin(12)
        .margin_right(30)
        .x_label_area_size(42)
        .y_label_area_size(58)
        .build_cartesian_2d(axes.x.0..axes.x.1, axes.y.0..axes.y.1)?;
    let number = |value: &f64| match axes.in_percent {
        true => format!("{:.0} %", 100.0 * value),
        false => format!("{value:.2}"),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(PALE)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .x_labels(5)
        .y_labels(6)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .label_style(label_font(12.0))
        .x_desc(axes.x_name)
        .y_desc(axes.y_name)
        .axis_desc_style(label_font(13.0))
        .draw()?;
    if axes.has_diagonal {
        let ends = (axes.x.0.max(axes.y.0), axes.x.1.min(axes.y.1));
        chart.draw_series(DashedLineSeries::new([(ends.0, ends.0), (ends.1, ends.1)], 5, 4, INK.stroke_width(1)))?;
    }
    if axes.has_line {
        chart
            .draw_series(LineSeries::new(points.iter().map(|point| (point.x, point.y.value)), BLUE.stroke_width(2)))?;
    }
    let bar = |point: &Point| {
        PathElement::new(vec![(point.x, point.y.low.max(axes.y.0)), (point.x, point.y.high.min(axes.y.1))], INK)
    };
    chart.draw_series(points.iter().map(bar))?;
    chart.draw_series(points.iter().map(|point| Circle::new((point.x, point.y.value), 4, BLUE.filled())))?;
    canvas.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bin_is_a_point_with_its_interval() -> Result<()> {
        let right = |value| Estimate { value, low: value - 0.1, high: value + 0.1 };
        let bins = [0.5, 0.7, 0.8].map(|p| Bin { rows: 10, probability: p, right: right(p) });
        let svg = reliability(&bins, "right answers")?;
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("right answers") && !svg.contains("NaN"), "{svg}");
        let one = PredictionGroup { rows: 1, predicted: 2.0, value: right(2.0) };
        assert!(!predictions(&[one])?.contains("NaN"));
        assert!(coverage(&[]).is_ok());
        Ok(())
    }
}
