//! Figures 2 to 7 of the DHT paper (Meng et al. 2023): depths, head counts, losses and head sets against training
//! progress.

use dht_search::training::{Curves, LossCurve};
use plotters::prelude::RGBColor;

use super::figure::{Figure, Panel, panel};
use crate::error::Result;
use crate::figures::loss::{self, Line};
use crate::figures::style::{self, DYNAMIC, FULL, ORACLE, TRUNCATED};
use crate::figures::{head_sets, heads, shares};
use crate::record::{ReproductionRecord, RowGroup, RowRecord};

pub(crate) fn figures(record: &ReproductionRecord) -> Result<Vec<Figure>> {
    Ok(vec![
        of_presets(record, 2, "Depths and head counts of P-DHT and S-DHT", &["P-DHT", "S-DHT"], &shares_of)?,
        losses(record, 3, &["P-DHT", "S-DHT", "F-DHT"])?,
        of_presets(record, 4, "Depths and head counts of F-DHT", &["F-DHT"], &shares_of)?,
        of_presets(record, 5, "Heads and head sets of F-DHT", &["F-DHT"], &heads_of)?,
        of_presets(
            record,
            6,
            "Depths, head counts, heads and head sets of T-DHT",
            &["T-DHT"],
            &|record, preset, curves| {
                let mut panels = shares_of(record, preset, curves)?;
                panels.extend(heads_of(record, preset, curves)?);
                Ok(panels)
            },
        )?,
        of_presets(record, 7, "Heads, head sets and loss of S-DHT", &["S-DHT"], &|record, preset, curves| {
            let mut panels = heads_of(record, preset, curves)?;
            panels.extend(losses(record, 7, &[preset])?.panels);
            Ok(panels)
        })?,
    ])
}

/// Result row of a search preset, with curves to draw. A row with the DHT paper's settings is preferred to one with
/// this project's settings.
fn row<'a>(record: &'a ReproductionRecord, preset: &str) -> Option<(&'a RowRecord, &'a Curves)> {
    [RowGroup::AsPublished, RowGroup::Ours].into_iter().find_map(|group| {
        let rows = record.rows.iter().filter(|row| row.group == group && row.method == preset && !row.seeds.is_empty());
        rows.filter_map(|row| Some((row, row.curves.as_ref()?))).next()
    })
}

/// Function that draws the panels of one search preset.
type Panels<'a> = &'a dyn Fn(&ReproductionRecord, &str, &Curves) -> Result<Vec<Panel>>;

fn of_presets(
    record: &ReproductionRecord,
    number: usize,
    title: &str,
    presets: &[&str],
    draw: Panels,
) -> Result<Figure> {
    let mut panels = Vec::new();
    for preset in presets {
        if let Some((_, curves)) = row(record, preset) {
            panels.extend(draw(record, preset, curves)?);
        }
    }
    Ok(Figure { number: Some(number), title: title.into(), caption: caption(record, number, presets), panels })
}

fn shares_of(_: &ReproductionRecord, preset: &str, curves: &Curves) -> Result<Vec<Panel>> {
    let titled = |title: &str| format!("{preset}: {title}");
    let (depths, counts) = (titled("depths while the model learns"), titled("heads that a group of layers keeps"));
    let alt = |title: &str| format!("{title}, as shares stacked over training progress.");
    Ok(vec![
        panel(
            &file(preset, "depths"),
            alt(&depths),
            style::svg(style::HEIGHT, |area| shares::draw_depths(curves, &depths, area)),
        )?,
        panel(
            &file(preset, "head_counts"),
            alt(&counts),
            style::svg(style::HEIGHT, |area| shares::draw_head_counts(curves, &counts, area)),
        )?,
    ])
}

fn heads_of(_: &ReproductionRecord, preset: &str, curves: &Curves) -> Result<Vec<Panel>> {
    let groups = &curves.heads;
    let (often, sets) =
        (format!("{preset}: how often each head is kept"), format!("{preset}: the head sets chosen most often"));
    Ok(vec![
        panel(
            &file(preset, "head_sets"),
            format!("{sets}, with their shares in each group of layers."),
            style::svg(head_sets::height(groups), |area| head_sets::draw(groups, &sets, area)),
        )?,
        panel(
            &file(preset, "heads"),
            format!("{often}, in each group of layers."),
            style::svg(heads::height(groups), |area| heads::draw(groups, &often, area)),
        )?,
    ])
}

/// Draws the training losses of several search presets and of the full model.
fn losses(record: &ReproductionRecord, number: usize, presets: &[&str]) -> Result<Figure> {
    let rows: Vec<_> = presets.iter().filter_map(|preset| Some((*preset, row(record, preset)?.1))).collect();
    let full = record.rows.iter().filter_map(|row| row.curves.as_ref()?.loss.get("full"));
    let full = full.chain(rows.iter().filter_map(|(_, curves)| curves.loss.get("full"))).next();
    let mut lines: Vec<Line> =
        full.map(|curve| Line { name: "full model".into(), curve, color: FULL, width: 2 }).into_iter().collect();
    let searched = |curves: &'_ Curves| -> Option<LossCurve> { curves.loss.get("search").cloned() };
    let curves: Vec<(&str, LossCurve)> =
        rows.iter().filter_map(|(preset, curves)| Some((*preset, searched(curves)?))).collect();
    for (preset, curve) in &curves {
        lines.push(Line { name: (*preset).to_owned(), curve, color: color(preset), width: 3 });
    }
    let title = format!("Training loss of {}", presets.join(", "));
    let mut panels = Vec::new();
    if !curves.is_empty() {
        let name = format!("figure{number}_loss.svg");
        let alt = format!("{title}: mean cross-entropy against training progress.");
        panels.push(panel(&name, alt, style::svg(style::HEIGHT, |area| loss::draw_lines(&lines, &title, area)))?);
    }
    Ok(Figure { number: Some(number), caption: caption(record, number, presets), title, panels })
}

fn color(preset: &str) -> RGBColor {
    match preset {
        "S-DHT" => ORACLE,
        "F-DHT" => TRUNCATED,
        _ => DYNAMIC,
    }
}

fn file(preset: &str, what: &str) -> String {
    format!("{}_{what}.svg", preset.to_lowercase().replace('-', "_"))
}

/// Caption of a figure: the data and findings of the corresponding figure in the DHT paper, and the settings of the
/// shown presets.
fn caption(record: &ReproductionRecord, number: usize, presets: &[&str]) -> String {
    let paper = match number {
        2 => "The paper shows both on AG News and finds that 3 layers become dominant.",
        3 => {
            "The paper shows P-DHT and S-DHT on AG News and F-DHT on Yelp P., and finds that losses fall and converge."
        }
        4 => "The paper's appendix finds 3 layers most often, stable over the training, and 6 layers second.",
        6 => {
            "The paper's appendix finds that 12 layers are rare at first and nearly the only depth after 4 episodes, and 8 and 12 \
             heads preferred after 3. It shows single heads and \"superheads\", the sets chosen most often."
        }
        7 => "The paper's appendix says that S-DHT follows the trends of figure 3: losses fall and converge.",
        _ => "The paper's appendix shows single heads and \"superheads\", the sets chosen most often.",
    };
    // Presets with the same settings share a sentence.
    let mut shown: Vec<(String, Vec<&str>)> = Vec::new();
    for preset in presets {
        let how = match row(record, preset) {
            None => "there are no curves in this record".to_owned(),
            Some((row, _)) => {
                let settings = if row.group == RowGroup::AsPublished { "the paper's settings" } else { "our settings" };
                let plural = if row.epochs == 1 { "" } else { "s" };
                format!("{settings}, {} epoch{plural}, the first seed", row.epochs)
            }
        };
        match shown.iter_mut().find(|(known, _)| *known == how) {
            Some((_, names)) => names.push(preset),
            None => shown.push((how, vec![preset])),
        }
    }
    let sentences = shown.into_iter().map(|(how, names)| format!("{}: {how}.", names.join(", ")));
    std::iter::once(paper.to_owned()).chain(sentences).collect::<Vec<_>>().join(" ")
}
