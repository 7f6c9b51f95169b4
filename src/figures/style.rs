//! Sizes, colours and fonts of all figures.

use dht_search::dynamic::route::LayerGroup;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type DrawError = DrawingAreaErrorKind<std::io::Error>;
pub(crate) type Drawn = Result<(), DrawError>;
pub(crate) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Function that formats the values of an axis.
type Format<'a> = &'a dyn Fn(&f64) -> String;

pub(crate) const WIDTH: u32 = 700;
pub(crate) const HEIGHT: u32 = 400;
/// Left edge of titles, in pixels.
pub(crate) const LEFT: i32 = 20;
/// Height of title and legend, in pixels.
pub(crate) const HEADER: i32 = 74;

pub(crate) const INK: RGBColor = RGBColor(34, 40, 49);
pub(crate) const PALE_INK: RGBColor = RGBColor(95, 105, 118);
pub(crate) const GRID: RGBColor = RGBColor(226, 230, 235);
/// Colour of the full model. This and the next colours are from Okabe and Ito (2008); colour-blind readers can
/// distinguish them.
pub(crate) const FULL: RGBColor = RGBColor(34, 40, 49);
pub(crate) const DYNAMIC: RGBColor = RGBColor(0, 114, 178);
pub(crate) const TRUNCATED: RGBColor = RGBColor(213, 94, 0);
pub(crate) const RANDOM: RGBColor = RGBColor(204, 121, 167);
pub(crate) const ORACLE: RGBColor = RGBColor(0, 158, 115);

/// Colours of an ordered quantity, from light (small) to dark (large). They differ in lightness alone.
pub(crate) const BLUES: [RGBColor; 4] =
    [RGBColor(214, 230, 244), RGBColor(123, 178, 215), RGBColor(38, 117, 180), RGBColor(8, 42, 95)];
pub(crate) const OCHRES: [RGBColor; 4] =
    [RGBColor(253, 226, 187), RGBColor(247, 168, 79), RGBColor(204, 96, 14), RGBColor(108, 40, 6)];

/// Colour at a position (0 to 1) of a scale.
pub(crate) fn on_scale(scale: &[RGBColor; 4], share: f64) -> RGBColor {
    let position = share.clamp(0.0, 1.0) * 3.0;
    let first = (position as usize).min(2);
    let part = position - first as f64;
    let mix = |from: u8, to: u8| (f64::from(from) + part * (f64::from(to) - f64::from(from))).round() as u8;
    let (from, to) = (scale[first], scale[first + 1]);
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// Takes `count` evenly spaced colours from a scale.
pub(crate) fn spread(scale: &[RGBColor; 4], count: usize) -> Vec<RGBColor> {
    let last = count.saturating_sub(1).max(1) as f64;
    (0..count).map(|index| on_scale(scale, index as f64 / last)).collect()
}

/// Draws a figure on a white background, as SVG.
pub(crate) fn svg(height: u32, draw: impl FnOnce(&Area) -> Drawn) -> Result<String, DrawError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(svg)
}

/// Text style with a font size in pixels. The SVG backend divides sizes by 1.24, which is corrected here.
pub(crate) fn font(pixels: f64, color: RGBColor) -> TextStyle<'static> {
    letters(pixels, FontStyle::Normal, color)
}

pub(crate) fn bold(pixels: f64) -> TextStyle<'static> {
    letters(pixels, FontStyle::Bold, INK)
}

fn letters(pixels: f64, style: FontStyle, color: RGBColor) -> TextStyle<'static> {
    let font = ("sans-serif", pixels * 1.24).into_font().style(style);
    TextStyle { color: color.to_backend_color(), ..font.into() }
}

pub(crate) fn anchored(style: TextStyle<'static>, horizontal: HPos) -> TextStyle<'static> {
    style.pos(Pos::new(horizontal, VPos::Center))
}

/// Estimated width of a text in pixels; no font is available to measure it.
pub(crate) fn text_width(text: &str, pixels: f64) -> i32 {
    let em = |letter: char| match letter {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | ' ' | ',' | '.' | '(' | ')' | '-' => 0.37,
        'm' | 'w' | '%' | 'A'..='Z' => 0.8,
        _ => 0.62,
    };
    (pixels * text.chars().map(em).sum::<f64>()).ceil() as i32
}

/// Draws title and legend, and returns the area below them.
pub(crate) fn header<'a>(area: &Area<'a>, title: &str, legend: &[(String, RGBColor)]) -> Result<Area<'a>, DrawError> {
    area.draw_text(title, &anchored(bold(16.0), HPos::Left), (LEFT, 26))?;
    let mut x = LEFT;
    for (name, color) in legend {
        area.draw(&Rectangle::new([(x, 47), (x + 12, 59)], color.filled()))?;
        area.draw_text(name, &anchored(font(13.0, INK), HPos::Left), (x + 18, 54))?;
        x += 18 + text_width(name, 13.0) + 16;
    }
    Ok(area.split_vertically(HEADER).1)
}

/// Creates a chart with horizontal grid lines and names on both axes.
pub(crate) fn chart<'a, 'b>(
    area: &'a Area<'b>,
    x: std::ops::Range<f64>,
    y: std::ops::Range<f64>,
    names: (&str, &str),
    formats: (Format<'_>, Format<'_>),
) -> Result<Chart<'a, 'b>, DrawError> {
    let mut chart = ChartBuilder::on(area)
        .margin_right(26)
        .margin_left(8)
        .margin_bottom(6)
        .x_label_area_size(44)
        .y_label_area_size(58)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(PALE_INK)
        .x_labels(6)
        .y_labels(7)
        .x_label_formatter(formats.0)
        .y_label_formatter(formats.1)
        .label_style(font(12.0, PALE_INK))
        .axis_desc_style(font(13.0, INK))
        .x_desc(names.0)
        .y_desc(names.1)
        .draw()?;
    Ok(chart)
}

/// Draws the text `why` in place of a figure that has no data.
pub(crate) fn nothing(area: &Area, why: &str) -> Drawn {
    area.draw_text(why, &anchored(font(13.0, PALE_INK), HPos::Left), (LEFT, 40))
}

pub(crate) fn percent(share: &f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

pub(crate) const PROGRESS: &str = "training progress (share of all samples seen)";

/// Note under figures of selected heads. Full-model steps run all heads and select none, so they are left out.
pub(crate) const CHOSEN_ONLY: &str = "full-model steps are left out";

/// Name of a group of layers, such as `layer 2` or `layers 3–4`, counted from 1.
pub(crate) fn layers_name(layers: LayerGroup) -> String {
    match layers.len() {
        1 => format!("layer {}", layers.end()),
        _ => format!("layers {}–{}", layers.start() + 1, layers.end()),
    }
}

/// Axis range for scores, and number of digits of its tick labels.
pub(crate) fn score_range(scores: impl Iterator<Item = f64>) -> (std::ops::Range<f64>, usize) {
    let (low, high) = scores.fold((f64::MAX, f64::MIN), |(low, high), score| (low.min(score), high.max(score)));
    let margin = (0.2 * (high - low)).max(0.01);
    let digits = if high - low > 0.04 { 2 } else { 3 };
    (low - margin..(high + margin).max(low + 0.02), digits)
}
