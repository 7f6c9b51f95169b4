//! Report on labelled texts, printed before a training run.

use std::collections::{BTreeMap, BTreeSet};

use dht_dynamic::serving::{ServedModel, TextModel};
use dht_dynamic::transformer::{Dataset, EncodedDataset, Task, TextTokenizer};

use super::rows::shared_rows;
use super::splits::TextSplits;

/// Maximum number of classes in the report.
const LISTED: usize = 20;
/// Number of training rows of a class below which a warning is printed. With fewer rows, one of five folds would lack
/// the class.
const LEAST_OF_CLASS: usize = 5;
/// Share of unknown tokens above which a warning is printed.
const MOST_UNKNOWN: f64 = 0.05;
/// Maximum number of characters of a text that a message quotes.
const SHOWN: usize = 60;

/// Warnings that are printed even with `--quiet`: validation, calibration or test rows that repeat a training text,
/// texts that stand for a missing value, and columns that reveal the label.
pub fn warnings(texts: &TextSplits) -> Vec<String> {
    let TextSplits { train, validation, calibration, test, warnings, .. } = texts;
    let mut lines = warnings.clone();
    for (name, other) in
        [("validation", Some(validation)), ("calibration", calibration.as_ref()), ("test", test.as_ref())]
    {
        let shared = other.map_or(0, |other| shared_rows(train, other));
        if shared > 0 {
            let (rows, has) = if shared == 1 { ("row", "has") } else { ("rows", "have") };
            lines.push(format!("  {shared} {name} {rows} {has} the text of a training row: the score is too good"));
        }
    }
    lines.extend(label_notes(train, "training rows").into_iter().map(|note| format!("  {note}")));
    lines.extend(train.reading.iter().flat_map(|reading| reading.notes()).map(|note| format!("  {note}")));
    lines
}

/// Note on labels whose spelling differs from the names of the classes.
pub fn mapping_note(data: &Dataset) -> Option<String> {
    let reading = data.reading.as_ref()?;
    let mapping = reading.label_mapping()?;
    let name = &data.name;
    Some(match reading.is_mapped_by_order() {
        true => format!(
            "beware: the labels of {name} are numbers, read as the model's classes in their order: {mapping}; `--label-map` gives them others"
        ),
        false => format!("labels of {name}: {mapping}"),
    })
}

/// Note on rows that are omitted because they have no label, or none of the model's labels.
pub fn left_out_note(data: &Dataset) -> Option<String> {
    let reading = data.reading.as_ref()?;
    let (unlabelled, unknown) = (reading.unlabelled_rows, &reading.unknown_labels);
    let unknown_rows: usize = unknown.iter().map(|(_, rows)| rows).sum();
    let all = data.len() + unlabelled + unknown_rows;
    let mut reasons = Vec::new();
    if unlabelled > 0 {
        reasons.push(format!("{unlabelled} have no label"));
    }
    if unknown_rows > 0 {
        let listed: Vec<String> =
            unknown.iter().take(LISTED).map(|(label, rows)| format!("{label:?}: {rows}")).collect();
        let more = if unknown.len() > LISTED { ", …" } else { "" };
        reasons.push(format!("{unknown_rows} have a label that the model does not have ({}{more})", listed.join(", ")));
    }
    (!reasons.is_empty())
        .then(|| format!("beware: {} of {all} rows are not scored: {}", unlabelled + unknown_rows, reasons.join(", ")))
}

/// Number of scored rows that repeat a training text. If the model does not store hashes of its training texts, all
/// rows count if they come from the model's training file, and otherwise none.
pub fn trained_rows(model: &TextModel, texts: &Dataset, encoded: &EncodedDataset) -> usize {
    match &model.model {
        ServedModel::Dynamic(dynamic) => dynamic.seen_texts().rows_of(encoded).len(),
        _ if model.origin.as_ref().is_some_and(|origin| origin.sha256 == texts.sha256) => encoded.len(),
        _ => 0,
    }
}

/// Note on the number of scored rows whose texts were used in training.
pub fn trained_rows_note(trained: usize, all: usize) -> Option<String> {
    (trained > 0).then(|| {
        format!("{trained} of {all} scored rows are rows of the training: on other texts the score may be lower")
    })
}

/// Warnings about the labels of training rows: texts with several labels, a single class, and classes with few rows.
/// `rows` is the name of the rows in the messages.
pub fn label_notes(train: &Dataset, rows: &str) -> Vec<String> {
    let mut notes = Vec::new();
    let (count, first) = of_two_labels(train);
    if let Some(first) = first {
        let first: String = first.chars().take(SHOWN).collect();
        notes.push(match count {
            1 => format!("beware: 1 training text stands in several rows with different labels: {first:?}"),
            _ => {
                format!("beware: {count} training texts stand in several rows with different labels, such as {first:?}")
            }
        });
    }
    match (&*train.labels, train.examples.iter().all(|row| row.targets.is_empty())) {
        ([only], true) => {
            notes.push(format!("beware: all rows have the class {only:?}: a classifier needs at least two"));
        }
        ([_], false) => {}
        _ => notes.extend(few_rows(train, rows)),
    }
    notes
}

fn few_rows(train: &Dataset, name: &str) -> Option<String> {
    let counts = train.class_counts();
    let (rows, class) = counts.iter().zip(&train.labels).min_by_key(|(rows, _)| **rows)?;
    let few = counts.iter().filter(|rows| **rows < LEAST_OF_CLASS).count();
    let (classes, result) = match few {
        0 => return None,
        1 => ("1 class has".to_owned(), "it is learned poorly, and its score says little"),
        _ => (format!("{few} classes have"), "they are learned poorly, and their scores say little"),
    };
    Some(format!("beware: {classes} fewer than {LEAST_OF_CLASS} {name} ({class:?}: {rows}): {result}"))
}

/// Number of texts that occur with more than one label. Also returns the first such text.
fn of_two_labels(data: &Dataset) -> (usize, Option<&str>) {
    let mut labels = BTreeMap::new();
    let mut several = BTreeSet::new();
    let mut first = None;
    for row in &data.examples {
        let own = (row.label, &row.targets);
        let text = (&row.text, &row.pair);
        if *labels.entry(text).or_insert(own) != own {
            several.insert(text);
            first.get_or_insert(row.text.as_str());
        }
    }
    (several.len(), first)
}

/// Report on texts: rows, columns, classes, lengths and duplicates. `encoded` has the token ids of the training texts.
pub fn report_texts(texts: &TextSplits, task: Task, encoded: &EncodedDataset, max_length: usize) -> Vec<String> {
    let TextSplits { train, validation, calibration, test, notes, .. } = texts;
    let mut parts = vec![format!("{} training", train.len()), format!("{} validation", validation.len())];
    parts.extend(calibration.as_ref().map(|data| format!("{} calibration", data.len())));
    parts.push(match test {
        Some(data) => format!("{} test", data.len()),
        None => "no test".into(),
    });
    let mut lines = vec![format!("{}: {} rows", train.name, parts.join(", "))];
    lines.extend(notes.iter().cloned());
    lines.extend(train.reading.iter().flat_map(|reading| reading.lines()).map(|line| format!("  {line}")));
    lines.push(format!("  {}", classes(train, task)));
    let mut lengths = encoded.lengths();
    lengths.sort_unstable();
    let at = |share: f64| lengths[((lengths.len() - 1) as f64 * share) as usize];
    lines.push(format!(
        "  tokens of a text: median {}, 95 of 100 up to {}; {} of {} texts are longer than {max_length} and cut",
        at(0.5),
        at(0.95),
        encoded.truncated_rows,
        lengths.len()
    ));
    let doubles = train.len() - distinct(train);
    if doubles > 0 {
        lines.push(format!("  {doubles} training rows repeat the text of another"));
    }
    lines
}

/// Note on texts that are truncated to the maximum length, if any.
pub fn cut_note<'a>(parts: impl IntoIterator<Item = &'a EncodedDataset>, max_length: usize) -> Option<String> {
    let (cut, all) =
        parts.into_iter().fold((0, 0), |(cut, all), part| (cut + part.truncated_rows, all + part.samples.len()));
    (cut > 0).then(|| format!("{cut} of {all} texts are longer than {max_length} tokens and cut"))
}

/// Line about the prefix that the tokenizer adds to each text; `None` without a prefix.
pub fn prefix_line(tokenizer: &TextTokenizer) -> Option<String> {
    Some(tokenizer.prefix()).filter(|prefix| !prefix.is_empty()).map(|prefix| format!("  before each text: {prefix:?}"))
}

/// Line about the share of unknown tokens in the training texts. Also returns whether it is a warning.
pub fn unknown_tokens_line(share: f64) -> (String, bool) {
    let percent = 100.0 * share;
    if share < MOST_UNKNOWN {
        return (format!("unknown tokens: {percent:.2} % of the tokens"), false);
    }
    let line = format!(
        "beware: {percent:.1} % of the tokens are unknown to the encoder, which cannot tell the words behind them apart: \
         use an encoder for texts like these"
    );
    (line, true)
}

/// Classes or labels that no row has. Scores on the rows therefore do not cover them.
pub fn classes_without_rows(rows: &EncodedDataset, task: Task) -> Vec<&str> {
    let mut occurs = vec![task == Task::Number; rows.labels.len()];
    for sample in &rows.samples {
        match &*sample.targets {
            [] => occurs[sample.label as usize] = true,
            targets => occurs.iter_mut().zip(targets).for_each(|(occurs, target)| *occurs |= *target > 0.0),
        }
    }
    rows.labels.iter().zip(occurs).filter(|(_, occurs)| !occurs).map(|(label, _)| label.as_str()).collect()
}

/// Note on classes or labels that no row has, if any. `name` is the name of the rows in the message.
pub fn missing_classes_note(rows: &EncodedDataset, task: Task, name: &str) -> Option<String> {
    let missing = classes_without_rows(rows, task);
    let unit = if task == Task::Labels { "label" } else { "class" };
    let named: Vec<String> = missing.iter().take(LISTED).map(|class| format!("{class:?}")).collect();
    let named = named.join(", ");
    Some(match missing.len() {
        0 => return None,
        1 => format!("beware: no {name} row has the {unit} {named}: scores on these rows say nothing about it"),
        count => {
            let (units, more) =
                (if task == Task::Labels { "labels" } else { "classes" }, if count > LISTED { ", …" } else { "" });
            format!(
                "beware: no {name} row has one of {count} {units} ({named}{more}): scores on these rows say nothing about \
                 them"
            )
        }
    })
}

fn distinct(data: &Dataset) -> usize {
    let texts: BTreeSet<_> = data.examples.iter().map(|row| (&row.text, &row.pair)).collect();
    texts.len()
}

/// Describes the classes or labels of a data set with their numbers of rows, or the range of its numbers.
pub fn classes(data: &Dataset, task: Task) -> String {
    if task == Task::Labels {
        return labels(data);
    }
    let mut numbers = data.examples.iter().filter_map(|row| row.targets.first()).copied();
    if let Some(first) = numbers.next() {
        let (least, most) = numbers.fold((first, first), |(least, most), number| (least.min(number), most.max(number)));
        return format!("numbers from {least} to {most}");
    }
    let counts = data.class_counts();
    let classes = if counts.len() == 1 { "class" } else { "classes" };
    format!("{} {classes}: {}", counts.len(), listed(data, &counts))
}

fn labels(data: &Dataset) -> String {
    let counts = data.class_counts();
    let none = data.examples.iter().filter(|row| row.targets.iter().all(|target| *target == 0.0)).count();
    format!("{} labels: {}; {none} rows have none", counts.len(), listed(data, &counts))
}

fn listed(data: &Dataset, counts: &[usize]) -> String {
    let listed = data.labels.iter().zip(counts).take(LISTED).map(|(label, count)| format!("{label} ({count})"));
    let more = if counts.len() > LISTED { ", …" } else { "" };
    listed.collect::<Vec<_>>().join(", ") + more
}
