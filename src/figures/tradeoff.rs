//! Macro F1 against inference FLOPs, of the dynamic models and their baselines.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::style;
use super::style::{Area, Chart, DYNAMIC, Drawn, FULL, ORACLE, RANDOM, SEARCH, TRUNCATED};
use crate::record::{DynamicResult, OperatingPoint, RunRecord};

/// A point: share of the full model's FLOPs, macro F1.
type Point = (f64, f64);

/// A dynamic model: its own speed, other speeds, and the same with its routes at random.
struct Series<'a> {
    name: &'a str,
    color: RGBColor,
    own: Point,
    own_random: Point,
    at_speeds: Vec<Point>,
    random_at_speeds: Vec<Point>,
    /// Where the name stands beside its own point.
    shift: (i32, i32),
}

impl<'a> Series<'a> {
    fn new(
        name: &'a str,
        color: RGBColor,
        dynamic: &DynamicResult,
        points: &[OperatingPoint],
        shift: (i32, i32),
    ) -> Self {
        let at_speeds = |score: fn(&OperatingPoint) -> f64| {
            points.iter().map(|point| (point.inference_flops_ratio, score(point))).collect()
        };
        Self {
            name,
            color,
            own: (dynamic.inference_flops_ratio, dynamic.result.macro_f1),
            own_random: (dynamic.inference_flops_ratio, dynamic.random_macro_f1),
            at_speeds: at_speeds(|point| point.macro_f1),
            random_at_speeds: at_speeds(|point| point.random_macro_f1),
            shift,
        }
    }

    fn points(&self) -> impl Iterator<Item = Point> + Clone {
        self.at_speeds.iter().chain(&self.random_at_speeds).copied().chain([self.own, self.own_random])
    }

    fn draw_lines(&self, chart: &mut Chart) -> Drawn {
        let random = &self.random_at_speeds;
        chart.draw_series(LineSeries::new(random.clone(), RANDOM.mix(0.6).stroke_width(2)))?;
        chart.draw_series(random.iter().map(|&point| TriangleMarker::new(point, 5, RANDOM.filled())))?;
        chart.draw_series(LineSeries::new(self.at_speeds.clone(), self.color.mix(0.6).stroke_width(2)))?;
        chart.draw_series(self.at_speeds.iter().map(|&point| Circle::new(point, 4, self.color.filled())))?;
        Ok(())
    }

    fn draw_own(&self, chart: &mut Chart) -> Drawn {
        chart.draw_series([TriangleMarker::new(self.own_random, 9, RANDOM.filled())])?;
        chart.draw_series([Circle::new(self.own, 8, self.color.filled()), Circle::new(self.own, 3, WHITE.filled())])?;
        label(chart, self.own, self.name, self.color, self.shift, HPos::Center)
    }
}

pub(crate) fn draw(record: &RunRecord, area: &Area) -> Drawn {
    let legend = [
        ("full model".into(), FULL),
        ("only its first layers".into(), TRUNCATED),
        ("accelerated".into(), DYNAMIC),
        (record.preset.clone(), SEARCH),
        ("routes at random, same mix".into(), RANDOM),
    ];
    let body = style::header(area, "Score against cost of inference", &legend)?;
    let flops = |part: u64| part as f64 / record.full.inference_flops.max(1) as f64;
    let full = (1.0, record.full.macro_f1);
    let truncated: Vec<(usize, Point)> = record
        .truncated
        .iter()
        .map(|(&layers, result)| (layers, (flops(result.inference_flops), result.macro_f1)))
        .collect();
    let search = &record.search;
    let series = [
        Series::new(&record.preset, SEARCH, &search.dynamic, &search.operating_points, (0, 20)),
        Series::new("accelerated", DYNAMIC, &record.dynamic, &record.operating_points, (0, -20)),
    ];
    let oracle = (search.oracle.inference_flops_ratio, search.oracle.macro_f1);

    let points = truncated.iter().map(|(_, point)| *point).chain([full, oracle]);
    let points = points.chain(series.iter().flat_map(Series::points));
    let (range, digits) = score_range(points.clone().map(|(_, score)| score));
    let right = points.map(|(cost, _)| cost).fold(1.0, f64::max);
    let axes = ("inference FLOPs, as a share of the full model's", "macro F1 on the test set");
    let format = |score: &f64| format!("{score:.digits$}");
    let mut chart = style::chart(&body, 0.0..1.08 * right, range, axes, (&style::percent, &format))?;

    let chain = truncated.iter().map(|(_, point)| *point).chain([full]);
    chart.draw_series(LineSeries::new(chain, TRUNCATED.mix(0.5).stroke_width(2)))?;
    series.iter().try_for_each(|series| series.draw_lines(&mut chart))?;
    for (layers, point) in &truncated {
        chart.draw_series([Circle::new(*point, 6, TRUNCATED.filled())])?;
        let plural = if *layers == 1 { "" } else { "s" };
        label(&chart, *point, &format!("{layers} layer{plural}"), TRUNCATED, (10, 13), HPos::Left)?;
    }
    // Markers differ in shape as well as in colour, for readers who see no colours.
    chart.draw_series([Cross::new(oracle, 6, ORACLE.stroke_width(3))])?;
    label(&chart, oracle, "oracle", ORACLE, (-12, 0), HPos::Right)?;
    let square = EmptyElement::at(full) + Rectangle::new([(-6, -6), (6, 6)], FULL.filled());
    chart.draw_series([square])?;
    label(&chart, full, &format!("full, {} layers", record.model.layers), FULL, (0, -16), HPos::Center)?;
    series.iter().try_for_each(|series| series.draw_own(&mut chart))
}

fn label(chart: &Chart, point: Point, text: &str, color: RGBColor, shift: (i32, i32), side: HPos) -> Drawn {
    let (x, y) = chart.backend_coord(&point);
    let (left, top) = chart.plotting_area().get_base_pixel();
    let area = chart.plotting_area().strip_coord_spec();
    area.draw_text(text, &style::anchored(style::font(12.0, color), side), (x - left + shift.0, y - top + shift.1))
}

/// The axis range of the scores, and the number of digits that its ticks need.
pub(crate) fn score_range(scores: impl Iterator<Item = f64>) -> (std::ops::Range<f64>, usize) {
    let (low, high) = scores.fold((f64::MAX, f64::MIN), |(low, high), score| (low.min(score), high.max(score)));
    let margin = (0.2 * (high - low)).max(0.01);
    let digits = if high - low > 0.04 { 2 } else { 3 };
    (low - margin..(high + margin).max(low + 0.02), digits)
}
