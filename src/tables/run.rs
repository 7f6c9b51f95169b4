//! The table of a run's results, as text and as Markdown.

use super::grid::{self, Side};
use crate::record::{ModelResult, RunRecord};

/// The name of the list in a record's settings of where a run with the paper's settings differs from its print.
pub(crate) const DEVIATIONS: &str = "deviations";

/// The row of one model; values that a model lacks are `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The model.
    pub name: String,
    /// Macro F1 on the test set.
    pub macro_f1: f64,
    /// Accuracy on the test set.
    pub accuracy: Option<f64>,
    /// FLOPs of training and inference over the full model's.
    pub flops_ratios: Option<(f64, f64)>,
    /// Wall clock of training and inference over the full model's.
    pub wall_ratios: Option<(f64, f64)>,
    /// Wall clock of training, inference and the optimiser.
    pub seconds: Option<(f64, f64, f64)>,
}

const HEADINGS: [&str; 10] = [
    "model",
    "macro F1",
    "accuracy",
    "FLOPs train",
    "FLOPs infer",
    "clock train",
    "clock infer",
    "train s",
    "infer s",
    "optimiser s",
];

const SIDES: [Side; 10] = {
    let mut sides = [Side::Right; 10];
    sides[0] = Side::Left;
    sides
};

/// The full model, its truncations (deepest first), the full model accelerated, and the search; of these two also their own
/// routes at random.
pub fn rows(record: &RunRecord) -> Vec<Row> {
    let row = |name: String, result: &ModelResult| {
        let (full, flops) = (&record.full, |part: u64, whole: u64| part as f64 / whole as f64);
        Row {
            name,
            macro_f1: result.macro_f1,
            accuracy: Some(result.accuracy),
            flops_ratios: Some((
                flops(result.train_flops, full.train_flops),
                flops(result.inference_flops, full.inference_flops),
            )),
            wall_ratios: Some((
                result.train_seconds / full.train_seconds,
                result.inference_seconds / full.inference_seconds,
            )),
            seconds: Some((result.train_seconds, result.inference_seconds, result.optimizer_seconds)),
        }
    };
    let mut rows = vec![row(format!("full, {} layers", record.model.layers), &record.full)];
    for (layers, result) in record.truncated.iter().rev() {
        let plural = if *layers == 1 { "" } else { "s" };
        rows.push(row(format!("truncated, {layers} layer{plural}"), result));
    }
    for (name, dynamic) in [("accelerated", &record.dynamic), (&*record.preset, &record.search.dynamic)] {
        rows.push(row(format!("dynamic, {name}"), &dynamic.result));
        rows.push(Row {
            name: format!("{name}, its routes at random"),
            macro_f1: dynamic.random_macro_f1,
            accuracy: None,
            flops_ratios: None,
            wall_ratios: None,
            seconds: None,
        });
    }
    rows
}

/// The data, the table as text, and the notes: the paper's cost estimate, the bandits' time, the regret, the difficulties.
pub fn text_table(record: &RunRecord) -> String {
    let mut text = data_line(record).map_or(String::new(), |line| line + "\n\n");
    text.push_str(&grid::text(&lines(record), &SIDES));
    for note in notes(record) {
        text.push_str(&note);
        text.push('\n');
    }
    text
}

/// The table in Markdown, with the same notes.
pub fn markdown_table(record: &RunRecord) -> String {
    let mut text = grid::markdown(&lines(record), &SIDES);
    for note in data_line(record).into_iter().chain(notes(record)) {
        text.push('\n');
        text.push_str(&note);
        text.push('\n');
    }
    text
}

/// The rows, classes and columns of the data; `None` for records of earlier releases, which lack them.
fn data_line(record: &RunRecord) -> Option<String> {
    (!record.data.classes.is_empty()).then(|| format!("Data: {}.", record.data.summary()))
}

/// The headings and the rows.
fn lines(record: &RunRecord) -> Vec<Vec<String>> {
    std::iter::once(HEADINGS.map(String::from).to_vec()).chain(cells(record)).collect()
}

fn cells(record: &RunRecord) -> impl Iterator<Item = Vec<String>> {
    rows(record).into_iter().map(|row| {
        let digits =
            |value: Option<f64>, digits: usize| value.map_or("–".into(), |value| format!("{value:.digits$}"));
        let (flops, wall, seconds) = (row.flops_ratios, row.wall_ratios, row.seconds);
        vec![
            row.name,
            format!("{:.3}", row.macro_f1),
            digits(row.accuracy, 3),
            digits(flops.map(|(train, _)| train), 3),
            digits(flops.map(|(_, inference)| inference), 3),
            digits(wall.map(|(train, _)| train), 2),
            digits(wall.map(|(_, inference)| inference), 2),
            digits(seconds.map(|(train, _, _)| train), 1),
            digits(seconds.map(|(_, inference, _)| inference), 2),
            digits(seconds.map(|(_, _, optimizer)| optimizer), 1),
        ]
    })
}

/// Results that are not columns.
fn notes(record: &RunRecord) -> Vec<String> {
    let (search, name) = (&record.search, &record.preset);
    let mut notes = vec![
        "FLOPs and clock are shares of the full model's; clock and seconds are without tokenising and optimiser."
            .into(),
        format!(
            "The paper's estimate (layers x heads) of {name}: {:.3} in training, {:.3} in inference. The bandits took {:.2} s \
             of training.",
            search.dynamic.train_layer_head_ratio, search.dynamic.inference_layer_head_ratio, search.bandit_seconds
        ),
    ];
    let regret = &search.regret;
    if !regret.fixed.is_empty() {
        notes.push(format!(
            "{name}'s mean loss + λ·cost at λ = {}: {:.3} nats on the chosen routes, {:.3} on the best fixed one in hindsight \
             ({}), so a regret of {:+.3}; {:.3} if the best exit of each text were known.",
            regret.lambda,
            regret.chosen,
            regret.chosen - regret.regret,
            regret.best_arm,
            regret.regret,
            regret.oracle
        ));
    }
    let deviations = record.settings.get(DEVIATIONS).and_then(serde_json::Value::as_array);
    let mut list = String::new();
    for line in deviations.into_iter().flatten().filter_map(serde_json::Value::as_str) {
        list.push_str("\n - ");
        list.push_str(line);
    }
    if !list.is_empty() {
        notes.push(format!("The paper's settings; where this run differs from its print:\n{list}"));
    }
    for part in &record.difficulties {
        notes.push(format!(
            "{} texts ({}), accelerated: {:.2} layers on average, macro F1 {:.3} (full model {:.3}).",
            part.name, part.rows, part.mean_depth, part.dynamic_macro_f1, part.full_macro_f1
        ));
    }
    notes
}

#[cfg(test)]
mod tests;
