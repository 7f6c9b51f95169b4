//! Numbers of a reproduction in CSV format.

use super::reproduction::failures;
use crate::published::{Counterpart, Stage};
use crate::record::{ReproductionRecord, RowRecord, Summary};

/// Column of the CSV file: its heading, and a function that returns its number for a result row; `None` if the row has
/// no such number.
type Number = (&'static str, fn(&RowRecord) -> Option<f64>);

const NUMBERS: [Number; 15] = [
    ("macro_f1_mean", |row| Some(row.macro_f1.mean)),
    ("macro_f1_sd", |row| deviation(row, row.macro_f1)),
    ("accuracy_mean", |row| Some(row.accuracy.mean)),
    ("accuracy_sd", |row| deviation(row, row.accuracy)),
    ("deficit", |row| Some(row.deficit)),
    ("deficit_upper95", |row| Some(row.deficit_upper95)),
    ("train_layer_head_ratio", |row| Some(row.train_layer_head_ratio)),
    ("train_flops_ratio", |row| Some(row.train_flops_ratio)),
    ("train_wall_ratio", |row| Some(row.train_wall_ratio)),
    ("inference_layer_head_ratio", |row| Some(row.inference_layer_head_ratio)),
    ("inference_flops_ratio", |row| Some(row.inference_flops_ratio)),
    ("inference_wall_ratio", |row| Some(row.inference_wall_ratio)),
    ("single_text_wall_ratio", |row| row.single_text_wall_ratio),
    ("random_macro_f1_mean", |row| row.random_macro_f1.map(|score| score.mean)),
    ("random_macro_f1_sd", |row| row.random_macro_f1.and_then(|score| deviation(row, score))),
];

/// Formats all results of a reproduction as CSV with headings, at full precision. Missing numbers are empty.
pub fn reproduction_csv(record: &ReproductionRecord) -> String {
    let texts = ["data", "group", "method", "setting", "epochs", "seeds", "failed"];
    let paper = ["paper_method", "paper_f1", "paper_train_cost", "paper_inference_cost"];
    let headings = texts.into_iter().chain(NUMBERS.map(|(heading, _)| heading)).chain(paper);
    let mut text = line(headings.map(String::from));
    for row in &record.rows {
        text.push_str(&line(cells(record, row)));
    }
    text
}

fn cells(record: &ReproductionRecord, row: &RowRecord) -> impl Iterator<Item = String> {
    let seeds: Vec<String> = row.seeds.iter().map(u64::to_string).collect();
    let group = serde_json::to_value(row.group).ok().and_then(|group| group.as_str().map(String::from));
    let texts = [
        record.data.name.clone(),
        group.unwrap_or_default(),
        row.method.clone(),
        row.setting.clone(),
        row.epochs.to_string(),
        seeds.join(" "),
        failures(&row.failed),
    ];
    let number = |value: Option<f64>| value.filter(|value| value.is_finite()).map_or(String::new(), |v| v.to_string());
    let numbers = NUMBERS.map(|(_, value)| if row.seeds.is_empty() { String::new() } else { number(value(row)) });
    let cell = |stage| Counterpart::find(&record.data.name).and_then(|of| of.cell(stage, row, record.model.layers));
    let (train, inference) = (cell(Stage::Training), cell(Stage::Inference));
    let paper = [
        inference.map_or(String::new(), |cell| cell.method.into()),
        number(inference.map(|cell| cell.f1)),
        number(train.map(|cell| cell.cost)),
        number(inference.map(|cell| cell.cost)),
    ];
    texts.into_iter().chain(numbers).chain(paper)
}

/// Standard deviation over seeds; `None` for one seed.
fn deviation(row: &RowRecord, summary: Summary) -> Option<f64> {
    (row.seeds.len() > 1).then_some(summary.sd)
}

/// Formats a CSV line. Cells with commas, quotes or line ends are quoted (RFC 4180).
fn line(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| {
        let plain = !cell.contains([',', '"', '\n', '\r']);
        if plain { cell } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}
