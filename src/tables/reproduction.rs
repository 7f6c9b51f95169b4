//! Tables 1 and 2 of a reproduction (costs of training and of inference), beside the DHT paper's numbers.

use std::collections::BTreeMap;

use super::further::further_tables;
use super::grid::{self, Side, markdown_text};
use crate::published::{Counterpart, Published, Stage};
use crate::record::{ReproductionRecord, RowGroup, RowRecord, Summary};

/// Table of formatted cells, before conversion to text, Markdown or HTML.
pub(crate) struct Table {
    /// Number of the table, `1` or `2` as in the DHT paper (Meng et al. 2023).
    pub(crate) number: usize,
    pub(crate) caption: String,
    pub(crate) headings: Vec<String>,
    pub(crate) sides: Vec<Side>,
    pub(crate) rows: Vec<TableRow>,
    pub(crate) notes: Vec<String>,
}

pub(crate) struct TableRow {
    pub(crate) group: RowGroup,
    pub(crate) cells: Vec<String>,
    /// True if the training run failed with every seed.
    pub(crate) failed: bool,
}

const NONE: &str = "–";

/// Tables 1 and 2 of a reproduction: costs of training, and costs of inference.
pub(crate) fn tables(record: &ReproductionRecord) -> [Table; 2] {
    [Stage::Training, Stage::Inference].map(|stage| table(record, stage))
}

fn table(record: &ReproductionRecord, stage: Stage) -> Table {
    let counterpart = Counterpart::find(&record.data.name);
    let columns = columns(record, stage, counterpart);
    let row = |row: &RowRecord| TableRow {
        group: row.group,
        cells: columns.iter().map(|column| (column.cell)(row)).collect(),
        failed: row.seeds.is_empty(),
    };
    let data = &record.data;
    let (number, caption) = match stage {
        Stage::Training => (1, format!("Training on {} ({} texts)", data.name, data.train_rows)),
        Stage::Inference => (2, format!("Inference on the {} test texts of {}", data.test_rows, data.name)),
    };
    let mut notes = vec![
        "Costs are shares of the full model's of the same epochs. \"layers × heads\" is the paper's estimate: layers times \
         heads that run, over those of the full model. \"FLOPs\" are those of all matrix products, with all \
         that the method needs before (teacher, passes for arm features, calibration), and of the bandits. \"clock\" is \
         measured, of training without the optimiser and once a seed, of models one after another: a busy machine changes it."
            .to_owned(),
        "The deficit is the full model's macro F1 less the row's; in brackets its one-sided upper 95 % bound (paired \
         bootstrap). ± is the sample standard deviation over seeds, missing where there is one seed."
            .to_owned(),
    ];
    if columns.iter().any(|column| column.heading == ONE_BY_ONE) {
        notes.push("The clock runs test rows that are evenly spaced, and is scaled (but for rows as published) by the share of FLOPs of all rows over that of these. \
             \"clock, one by one\" is that of texts in batches of one, of both models."
                .into());
    }
    if columns.iter().any(|column| column.heading == SHUFFLED) {
        notes.push(
            "\"shuffled\" is macro F1 with the same routes shuffled among the texts: what choosing is worth.".into(),
        );
    }
    notes.extend(counterpart.map(published_note));
    Table {
        number,
        caption,
        headings: columns.iter().map(|column| column.heading.to_owned()).collect(),
        sides: columns.iter().map(|column| column.side).collect(),
        rows: record.rows.iter().map(row).collect(),
        notes,
    }
}

/// Note below a table, which explains the DHT paper's numbers beside the results on a data set.
pub(crate) fn published_note(counterpart: Counterpart) -> String {
    let data = if counterpart.stands_in {
        format!(
            "The paper has no figures for this data set; those of {} stand beside, which has reviews with two classes too.",
            counterpart.data.name()
        )
    } else {
        format!("The paper's figures are those that it prints for {}.", counterpart.data.name())
    };
    data + " It says \"F1\" only, and its cost is the estimate by layers × heads, of a model with 12 layers. Its arXiv version \
            was withdrawn by an author in January 2024."
}

struct Column<'a> {
    heading: &'static str,
    side: Side,
    cell: Box<dyn Fn(&RowRecord) -> String + 'a>,
}

const ONE_BY_ONE: &str = "clock, one by one";
const SHUFFLED: &str = "shuffled";

fn columns<'a>(record: &'a ReproductionRecord, stage: Stage, counterpart: Option<Counterpart>) -> Vec<Column<'a>> {
    let text = |heading, cell: fn(&RowRecord) -> String| Column { heading, side: Side::Left, cell: Box::new(cell) };
    // Without a finished seed all numbers of a row are 0.
    let number = |heading, cell: fn(&RowRecord) -> String| {
        let cell = move |row: &RowRecord| if row.seeds.is_empty() { NONE.into() } else { cell(row) };
        Column { heading, side: Side::Right, cell: Box::new(cell) }
    };
    let mut columns = vec![
        text("method", |row| row.method.clone()),
        text("setting", |row| row.setting.clone()),
        Column { heading: "epochs", side: Side::Right, cell: Box::new(|row| row.epochs.to_string()) },
        Column { heading: "seeds", side: Side::Right, cell: Box::new(seeds) },
        number("macro F1", |row| summary(row.macro_f1, row.seeds.len())),
        number("accuracy", |row| summary(row.accuracy, row.seeds.len())),
        number("deficit (bound)", |row| match row.group {
            RowGroup::Full => NONE.into(),
            _ => format!("{} ({})", digits(row.deficit, 3), digits(row.deficit_upper95, 3)),
        }),
    ];
    match stage {
        Stage::Training => columns.extend([
            number("layers × heads", |row| share(row.train_layer_head_ratio, 2)),
            number("FLOPs", |row| share(row.train_flops_ratio, 3)),
            number("clock", |row| share(row.train_wall_ratio, 2)),
        ]),
        Stage::Inference => {
            columns.extend([
                number("layers × heads", |row| share(row.inference_layer_head_ratio, 2)),
                number("FLOPs", |row| share(row.inference_flops_ratio, 3)),
                number("clock", |row| share(row.inference_wall_ratio, 2)),
            ]);
            if record.rows.iter().any(|row| row.single_text_wall_ratio.is_some()) {
                let single = |row: &RowRecord| row.single_text_wall_ratio.map_or(NONE.into(), |ratio| share(ratio, 2));
                columns.push(number(ONE_BY_ONE, single));
            }
            if record.rows.iter().any(|row| row.random_macro_f1.is_some()) {
                let shuffled = |row: &RowRecord| row.random_macro_f1.map(|score| summary(score, row.seeds.len()));
                let cell = move |row: &RowRecord| shuffled(row).unwrap_or_else(|| NONE.into());
                columns.push(Column { heading: SHUFFLED, side: Side::Right, cell: Box::new(cell) });
            }
        }
    }
    if let Some(counterpart) = counterpart {
        let layers = record.model.layers;
        let cell = move |row: &RowRecord| counterpart.cell(stage, row, layers).map(|cell| printed(cell, &row.method));
        let cell = move |row: &RowRecord| cell(row).unwrap_or_else(|| NONE.into());
        columns.push(Column { heading: "paper F1 @ cost", side: Side::Right, cell: Box::new(cell) });
    }
    if record.rows.iter().any(|row| !row.failed.is_empty()) {
        columns.push(text("failed", |row| failures(&row.failed)));
    }
    columns
}

/// Formats the number of seeds that finished and, if some failed, the number of all seeds.
fn seeds(row: &RowRecord) -> String {
    let (finished, failed) = (row.seeds.len(), row.failed.len());
    if failed == 0 { finished.to_string() } else { format!("{finished} of {}", finished + failed) }
}

/// Formats a result of the DHT paper, such as `0.945 @ 0.42` (score and cost). The paper's name of the method is added
/// if it differs from `method`.
fn printed(cell: Published, method: &str) -> String {
    let name = if cell.method == method { String::new() } else { format!("{}: ", cell.method) };
    format!("{name}{:.3} @ {:.2}", cell.f1, cell.cost)
}

/// Formats a share with `count` digits. A share that would round to 0 is formatted as smaller than the smallest such
/// number.
fn share(value: f64, count: usize) -> String {
    let least = 0.1_f64.powi(count as i32);
    if value > 0.0 && value < 0.5 * least { format!("< {least:.count$}") } else { digits(value, count) }
}

/// Formats the reasons of failed training runs with their seeds, such as `seeds 0, 2: out of memory`.
pub(super) fn failures(failed: &BTreeMap<u64, String>) -> String {
    let mut seeds: Vec<(&str, Vec<String>)> = Vec::new();
    for (seed, reason) in failed {
        match seeds.iter_mut().find(|(known, _)| known == reason) {
            Some((_, with_it)) => with_it.push(seed.to_string()),
            None => seeds.push((reason, vec![seed.to_string()])),
        }
    }
    let plural = |count: usize| if count == 1 { "seed" } else { "seeds" };
    let reasons = seeds.iter().map(|(reason, seeds)| format!("{} {}: {reason}", plural(seeds.len()), seeds.join(", ")));
    reasons.collect::<Vec<_>>().join("; ")
}

fn summary(summary: Summary, seeds: usize) -> String {
    let mean = digits(summary.mean, 3);
    if seeds > 1 { format!("{mean} ± {}", digits(summary.sd, 3)) } else { mean }
}

fn digits(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    let shown = format!("{value:.digits$}");
    let zero = shown.trim_start_matches('-').chars().all(|c| c == '0' || c == '.');
    if zero { shown.trim_start_matches('-').into() } else { shown }
}

impl Table {
    fn lines(&self) -> Vec<Vec<String>> {
        std::iter::once(self.headings.clone()).chain(self.rows.iter().map(|row| row.cells.clone())).collect()
    }
}

/// Formats the tables of a reproduction, with their notes, as text.
pub fn reproduction_text(record: &ReproductionRecord) -> String {
    let mut text = String::new();
    for table in tables(record) {
        let lines: Vec<Vec<String>> =
            table.lines().into_iter().map(|line| line.iter().map(|cell| one_line(cell)).collect()).collect();
        text.push_str(&format!("Table {}. {}\n\n", table.number, table.caption));
        text.push_str(&grid::text(&lines, &table.sides));
        text.push('\n');
        if table.number == 2 {
            table.notes.iter().for_each(|note| text.push_str(&format!("{note}\n")));
        }
    }
    for table in further_tables(record) {
        let lines: Vec<Vec<String>> =
            table.lines.iter().map(|line| line.iter().map(|cell| one_line(cell)).collect()).collect();
        text.push_str(&format!("\n{}\n\n{}\n", table.caption, grid::text(&lines, &table.sides)));
        table.notes.iter().for_each(|note| text.push_str(&format!("{note}\n")));
    }
    text
}

/// Formats the tables of a reproduction, with their notes, in Markdown.
pub fn reproduction_markdown(record: &ReproductionRecord) -> String {
    let mut text = String::new();
    for table in tables(record) {
        text.push_str(&format!("Table {}. {}:\n\n", table.number, markdown_text(&table.caption)));
        text.push_str(&grid::markdown(&table.lines(), &table.sides));
        text.push('\n');
        if table.number == 2 {
            table.notes.iter().for_each(|note| text.push_str(&format!("{}\n\n", markdown_text(note))));
        }
    }
    for table in further_tables(record) {
        text.push_str(&format!("{}:\n\n", markdown_text(&table.caption)));
        text.push_str(&format!("{}\n", grid::markdown(&table.lines, &table.sides)));
        table.notes.iter().for_each(|note| text.push_str(&format!("{}\n\n", markdown_text(note))));
    }
    text
}

fn one_line(cell: &str) -> String {
    cell.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
