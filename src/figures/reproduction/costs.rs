//! Figures of macro F1 against cost, with a point for each method and setting.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::figure::{Figure, panel};
use super::{labels, markers};
use crate::error::Result;
use crate::figures::style::score_range;
use crate::figures::style::{self, Area, Drawn, LEFT, PALE_INK, WIDTH};
use crate::published::{Counterpart, Stage, cells};
use crate::record::{ReproductionRecord, RowGroup, RowRecord};

const HEIGHT: u32 = 560;
const LEGEND: i32 = 21;
/// Factor of the outlier limit. A point is an outlier if its score is below the middle half of all scores by more than
/// this factor times the spread of that half.
const FAR: f64 = 2.5;

/// Maximum length of a series of points in which all points have labels. Longer series have labels at their ends and in
/// their middle only.
const NAMED: usize = 4;

/// Function that returns one of the costs of a result row.
type Cost = fn(&RowRecord) -> f64;

struct Axis {
    file: &'static str,
    title: &'static str,
    name: &'static str,
    caption: &'static str,
    cost: Cost,
    /// True if the DHT paper (Meng et al. 2023) gives its costs on this scale, so that its results can be drawn too.
    published: bool,
}

const AXES: [Axis; 4] = [
    Axis {
        file: "flops.svg",
        title: "Score against exact FLOPs of inference",
        name: "inference FLOPs, as a share of the full model's",
        caption: "Further left is cheaper, further up is better. Settings of one method are joined by a line.",
        cost: |row| row.inference_flops_ratio,
        published: false,
    },
    Axis {
        file: "clock.svg",
        title: "Score against wall clock of inference",
        name: "time of inference, as a share of the full model's",
        caption: "The same scores against measured time: both models warm, in turns, the median of several passes.",
        cost: |row| row.inference_wall_ratio,
        published: false,
    },
    Axis {
        file: "training.svg",
        title: "Score against exact FLOPs of training",
        name: "training FLOPs, as a share of the full model's of the same epochs",
        caption: "With all that a method needs before: teacher, passes for arm features, calibration, bandits.",
        cost: |row| row.train_flops_ratio,
        published: false,
    },
    Axis {
        file: "layers_heads.svg",
        title: "Score against the paper's estimate of inference cost",
        name: "layers × heads, as a share of the full model's",
        caption: "The estimate counts neither feed-forward, nor embeddings, nor second passes: compare it with the exact FLOPs.",
        cost: |row| row.inference_layer_head_ratio,
        published: true,
    },
];

pub(crate) fn figures(record: &ReproductionRecord) -> Result<Vec<Figure>> {
    AXES.iter()
        .map(|axis| {
            let counterpart = Counterpart::find(&record.data.name).filter(|of| axis.published && !of.stands_in);
            let printed = counterpart.map_or(Vec::new(), |of| cells(of.data, Stage::Inference).collect());
            let marks = marks(record, axis.cost);
            let mut caption = axis.caption.to_owned();
            if marks.iter().any(|mark| mark.sd > 0.0) {
                caption += " Bars are ± one standard deviation over seeds.";
            }
            if !unnamed(&marks).is_empty() {
                caption += " Of long series the ends and the middle are named.";
            }
            if !printed.is_empty() {
                caption +=
                    " Small crosses without a name are the figures of the paper's table 2, of a model with 12 layers.";
            }
            let printed: Vec<(f64, f64)> = printed.into_iter().map(|cell| (cell.cost, cell.f1)).collect();
            let svg = style::svg(HEIGHT, |area| draw(area, axis, &marks, &printed));
            let alt = format!("{} of {} rows; table 2 has the numbers.", axis.title, marks.len());
            let panels = vec![panel(axis.file, alt, svg)?];
            Ok(Figure { number: None, title: axis.title.into(), caption, panels })
        })
        .collect()
}

/// Point in a figure: a result row at its cost.
struct Mark {
    cost: f64,
    score: f64,
    sd: f64,
    label: String,
    group: RowGroup,
    /// Series of the point: name and number of epochs. A line joins the points of a series.
    series: (String, usize),
}

fn marks(record: &ReproductionRecord, cost: Cost) -> Vec<Mark> {
    let finished = || record.rows.iter().filter(|row| !row.seeds.is_empty());
    finished()
        .filter(|row| cost(row).is_finite() && row.macro_f1.mean.is_finite() && row.macro_f1.sd.is_finite())
        .map(|row| {
            let mut label = label(record, row);
            let same = |other: &&RowRecord| {
                (&other.method, &other.setting, other.group) == (&row.method, &row.setting, row.group)
            };
            if finished().filter(same).any(|other| other.epochs != row.epochs) {
                let plural = if row.epochs == 1 { "" } else { "s" };
                label += &format!(", {} epoch{plural}", row.epochs);
            }
            Mark {
                cost: cost(row),
                score: row.macro_f1.mean,
                sd: row.macro_f1.sd,
                label,
                group: row.group,
                series: (model(row), row.epochs),
            }
        })
        .collect()
}

/// Name of the series to which a point belongs. It is the method, so that a line joins all settings of a method. If a
/// setting has the form `MODEL at COST`, the series is the method with that model.
fn model(row: &RowRecord) -> String {
    match row.setting.rsplit_once(" at ") {
        Some((model, _)) => format!("{} {model}", row.method),
        None => row.method.clone(),
    }
}

/// Label of a point. Full models and DHT models have the name of the method, other points the setting. If a group has
/// several methods, all but the first also have the name of the method, without the beginning that it shares with the
/// first.
fn label(record: &ReproductionRecord, row: &RowRecord) -> String {
    if matches!(row.group, RowGroup::AsPublished | RowGroup::Ours | RowGroup::Full) || row.setting.is_empty() {
        return row.method.clone();
    }
    let first = record.rows.iter().find(|other| other.group == row.group).map_or("", |other| &other.method);
    let own = row.method.strip_prefix(first).unwrap_or(&row.method).trim_start_matches([',', ' ']);
    if own.is_empty() { row.setting.clone() } else { format!("{own}, {}", row.setting) }
}

/// Points that have no label: those inside a long series, except the middle one.
fn unnamed(marks: &[Mark]) -> Vec<&Mark> {
    let long = series(marks).into_iter().filter(|line| line.len() > NAMED);
    long.flat_map(|line| {
        let named = [0, line.len() / 2, line.len() - 1];
        line.into_iter().enumerate().filter(move |(index, _)| !named.contains(index)).map(|(_, mark)| mark)
    })
    .collect()
}

fn draw(area: &Area, axis: &Axis, marks: &[Mark], printed: &[(f64, f64)]) -> Drawn {
    area.draw_text(axis.title, &style::anchored(style::bold(16.0), HPos::Left), (LEFT, 26))?;
    let bottom = legend(area, marks)?;
    let body = area.split_vertically(bottom).1;
    if marks.is_empty() {
        return style::nothing(&body, "No row of this record finished.");
    }
    let lowest = lowest(marks);
    let shown = || marks.iter().filter(|mark| mark.score >= lowest);
    let ends = shown().flat_map(|mark| [mark.score - mark.sd, mark.score + mark.sd]);
    let (range, digits) = score_range(ends.chain(printed.iter().map(|(_, score)| *score)));
    let right = marks.iter().map(|mark| mark.cost).chain(printed.iter().map(|(cost, _)| *cost)).fold(1.0, f64::max);
    let bottom = range.start;
    let format = |score: &f64| format!("{score:.digits$}");
    let names = (axis.name, "macro F1 on the test set");
    let chart = style::chart(&body, 0.0..1.08 * right, range, names, (&style::percent, &format))?;

    // Positions below are in pixels of the plotting area.
    let (left, top) = chart.plotting_area().get_base_pixel();
    let plot = chart.plotting_area().strip_coord_spec();
    let pixel = |cost: f64, score: f64| {
        let (x, y) = chart.backend_coord(&(cost, score.max(bottom)));
        (x - left, y - top)
    };
    for &(cost, score) in printed {
        plot.draw(&Cross::new(pixel(cost, score), 3, PALE_INK.mix(0.6)))?;
    }
    for line in series(marks) {
        let points: Vec<_> = line.iter().map(|mark| pixel(mark.cost, mark.score)).collect();
        plot.draw(&PathElement::new(points, markers::color(line[0].group).mix(0.4).stroke_width(2)))?;
    }
    for mark in marks.iter().filter(|mark| mark.sd > 0.0 && mark.score >= lowest) {
        let ends = [pixel(mark.cost, mark.score - mark.sd), pixel(mark.cost, mark.score + mark.sd)];
        plot.draw(&PathElement::new(ends, markers::color(mark.group).mix(0.6)))?;
    }
    let unnamed = unnamed(marks);
    let mut points = Vec::new();
    for mark in marks {
        let (x, mut y) = pixel(mark.cost, mark.score);
        let mut label = mark.label.clone();
        if mark.score < lowest {
            y -= 10;
            label += &format!(" (at {:.3}, below)", mark.score);
        } else if unnamed.iter().any(|other| std::ptr::eq(*other, mark)) {
            label.clear();
        }
        points.push(((x, y), label, mark.group));
    }
    let size = plot.dim_in_pixel();
    let named: Vec<_> = points.iter().map(|(point, label, _)| (*point, label.as_str())).collect();
    let places = labels::places(&named, (size.0 as i32, size.1 as i32));
    for (place, (point, _, _)) in places.iter().zip(&points) {
        if let Some(end) = place.and_then(|place| place.leader) {
            plot.draw(&PathElement::new([*point, end], PALE_INK.mix(0.6)))?;
        }
    }
    for (place, (point, label, group)) in places.iter().zip(&points) {
        markers::draw(&plot, *point, *group)?;
        if let Some(place) = place.filter(|_| !label.is_empty()) {
            let letters = style::anchored(style::font(labels::PIXELS, style::INK), HPos::Left);
            plot.draw_text(label, &letters, place.at)?;
        }
    }
    Ok(())
}

/// Draws the markers of all groups in the figure, in as many lines as required. Returns the height at which the legend
/// ends.
fn legend(area: &Area, marks: &[Mark]) -> Result<i32, style::DrawError> {
    let (mut x, mut y) = (LEFT, 54);
    for group in markers::GROUPS.into_iter().filter(|group| marks.iter().any(|mark| mark.group == *group)) {
        let name = markers::name(group);
        let width = 22 + style::text_width(name, 13.0) + 14;
        if x + width > WIDTH as i32 && x > LEFT {
            (x, y) = (LEFT, y + LEGEND);
        }
        markers::draw(area, (x + 7, y), group)?;
        area.draw_text(name, &style::anchored(style::font(13.0, style::INK), HPos::Left), (x + 20, y))?;
        x += width;
    }
    Ok(y + LEGEND)
}

/// Lowest score on the axis. Points far below all others are drawn at the lower edge, with their score.
fn lowest(marks: &[Mark]) -> f64 {
    let mut scores: Vec<f64> = marks.iter().map(|mark| mark.score).collect();
    scores.sort_by(f64::total_cmp);
    let (low, high) = (scores[scores.len() / 4], scores[scores.len() * 3 / 4]);
    low - FAR * (high - low).max(0.01)
}

/// Points of each series with more than one point, cheapest first.
fn series(marks: &[Mark]) -> Vec<Vec<&Mark>> {
    let mut all: Vec<Vec<&Mark>> = Vec::new();
    for mark in marks.iter().filter(|mark| !matches!(mark.group, RowGroup::Full)) {
        match all.iter_mut().find(|line| (line[0].group, &line[0].series) == (mark.group, &mark.series)) {
            Some(line) => line.push(mark),
            None => all.push(vec![mark]),
        }
    }
    all.retain(|line| line.len() > 1);
    all.iter_mut().for_each(|line| line.sort_by(|a, b| a.cost.total_cmp(&b.cost)));
    all
}
