//! Diagrams of scores against costs, for a model card.

use dht_dynamic::ladder::LadderReport;
use dht_dynamic::transformer::Task;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::rows::ResultRow;
use crate::error::{Error, Result};
use crate::progress::score_of;

/// SVG drawing area.
pub type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Result of drawing on a [`Canvas`].
pub type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

const SIZE: (u32, u32) = (640, 360);
/// Colour of text and axes.
pub const INK: RGBColor = RGBColor(34, 40, 49);
/// Colour of grid lines.
pub const PALE: RGBColor = RGBColor(226, 230, 235);
/// Blue of the palette of Okabe and Ito (2008), which colour-blind readers can distinguish from the dark text.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);

/// Draws scores against costs as SVG. The first row is a horizontal line, and each other row a point at its share of
/// the full model's FLOPs. `None` if the model has only one speed.
///
/// # Errors
/// [`Error::Curve`] if the diagram cannot be drawn.
pub fn curve(rows: &[ResultRow]) -> Result<Option<String>> {
    curve_of(rows, SIZE)
}

/// Draws the diagram of [`curve`] with a size in pixels.
///
/// # Errors
/// [`Error::Curve`] if the diagram cannot be drawn.
pub fn curve_of(rows: &[ResultRow], size: (u32, u32)) -> Result<Option<String>> {
    let [full, others @ ..] = rows else { return Ok(None) };
    if others.len() < 2 {
        return Ok(None);
    }
    let mut points: Vec<(f64, f64)> = others.iter().map(|row| (row.cost, value(row))).collect();
    points.sort_by(|left, right| left.0.total_cmp(&right.0));
    let mut svg = String::new();
    let of = Diagram {
        line: (&full.name, value(full)),
        points: &points,
        least_width: 1.0,
        in_percent: true,
        x: "FLOPs of inference, as a share of the full model's",
        y: if full.accuracy.is_some() { "accuracy" } else { "macro F1" },
    };
    draw(&SVGBackend::with_string(&mut svg, size).into_drawing_area(), of)
        .map_err(|error| Error::Curve { message: error.to_string() })?;
    Ok(Some(svg))
}

/// Draws validation scores against FLOPs of training as SVG, with a point for each rung (training stage).
///
/// # Errors
/// [`Error::Curve`] if the diagram cannot be drawn.
pub fn training_curve(ladder: &LadderReport, task: Task) -> Result<String> {
    let measurements = ladder.measurements.iter();
    let points: Vec<(f64, f64)> = measurements.filter_map(|point| Some((point.cost, point.accuracy?))).collect();
    let best = ladder.accuracy(ladder.rung).unwrap_or_default();
    let of = Diagram {
        line: (&format!("rung {}, which was kept", ladder.rung as u8), best),
        points: &points,
        least_width: 0.1,
        in_percent: false,
        x: "FLOPs of training, in passes of fine-tuning",
        y: &format!("validation {}", score_of(task)),
    };
    let mut svg = String::new();
    draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), of)
        .map_err(|error| Error::Curve { message: error.to_string() })?;
    Ok(svg)
}

/// Diagram of scores against costs, with a horizontal line and several points.
struct Diagram<'a> {
    /// Name and score of the horizontal line.
    line: (&'a str, f64),
    points: &'a [(f64, f64)],
    /// Minimum value at the right end of the horizontal axis.
    least_width: f64,
    in_percent: bool,
    x: &'a str,
    y: &'a str,
}

fn value(row: &ResultRow) -> f64 {
    row.accuracy.unwrap_or(row.score)
}

/// Text style of labels.
pub fn label_font(pixels: f64) -> TextStyle<'static> {
    // The SVG backend divides font sizes by 1.24.
    ("sans-serif", 1.24 * pixels).into_font().color(&INK)
}

fn draw(canvas: &Canvas<'_>, diagram: Diagram<'_>) -> Drawn {
    let Diagram { line: (name, full), points, least_width, in_percent, x, y } = diagram;
    canvas.fill(&WHITE)?;
    let scores = || points.iter().map(|point| point.1).chain([full]);
    let (low, high) = (scores().fold(f64::MAX, f64::min), scores().fold(f64::MIN, f64::max));
    let margin = (0.2 * (high - low)).max(0.01);
    let right = points.iter().map(|point| point.0).fold(least_width, f64::max);
    let text = label_font;
    let mut chart = ChartBuilder::on(canvas)
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(62)
        .build_cartesian_2d(0.0..1.04 * right, low - margin..high + margin)?;
    // More labels of a narrow diagram would touch.
    let labels = if canvas.dim_in_pixel().0 < SIZE.0 { 5 } else { 10 };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(PALE)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .x_labels(labels)
        .y_labels(6)
        .x_label_formatter(&|share| if in_percent { format!("{:.0} %", 100.0 * share) } else { format!("{share:.1}") })
        .y_label_formatter(&|score| format!("{score:.3}"))
        .label_style(text(12.0))
        .x_desc(x)
        .y_desc(y)
        .axis_desc_style(text(13.0))
        .draw()?;
    chart.draw_series(DashedLineSeries::new([(0.0, full), (1.04 * right, full)], 6, 4, INK.stroke_width(1)))?;
    chart.draw_series(LineSeries::new(points.iter().copied(), BLUE.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, BLUE.filled())))?;
    let label = EmptyElement::at((0.0, full)) + Text::new(name.to_owned(), (8, -16), text(12.0));
    chart.draw_series([label])?;
    canvas.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cost: f64, accuracy: f64) -> ResultRow {
        let name = String::from("a row");
        ResultRow {
            name,
            accuracy: Some(accuracy),
            score: 0.0,
            cost,
            mean_layers: 1.0,
            texts_per_second: 1.0,
            metrics: Vec::new(),
        }
    }

    #[test]
    fn every_row_but_the_first_is_a_point() {
        let rows = [row(1.0, 0.9), row(1.001, 0.91), row(0.1, 0.88), row(0.3, 0.9)];
        let svg = curve(&rows).unwrap().unwrap();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("a row") && svg.contains("100 %"), "{svg}");
        assert!(!svg.contains("NaN"));
        assert_eq!(curve(&rows[..1]).unwrap(), None);
    }
}
