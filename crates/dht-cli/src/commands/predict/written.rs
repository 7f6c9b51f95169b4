//! Writing of answers as csv or tsv rows, or as JSON lines.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use dht_dynamic::Answer;
use dht_dynamic::transformer::Task;
use dht_dynamic::transformer::data::{Given, TextFormat, TextRow};
use serde_json::Value;
use serde_json::value::RawValue;

use super::partial::Output;
use super::rows::{InputRow, Layout};
use crate::error::{Error, Result};
use crate::explanation::Explanation;
use crate::partitions::Totals;

/// Names of the columns that are added to input rows.
const ADDED: [&str; 4] = ["predicted", "probability", "route", "cost"];
/// Name of the column or member for the reason why a row has no answer.
const ERROR: &str = "error";

/// Exit code after the reader of standard output has closed the pipe: 128 + SIGPIPE.
const CLOSED: i32 = 141;

/// Format of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Comma-separated
    Csv,
    /// Tab-separated
    Tsv,
    /// One JSON object on each line
    Jsonl,
}

impl OutputFormat {
    /// Default output format for an input format.
    pub fn of_texts(texts: TextFormat) -> Self {
        match texts {
            TextFormat::Csv => Self::Csv,
            TextFormat::Tsv => Self::Tsv,
            TextFormat::JsonLines | TextFormat::Lines => Self::Jsonl,
        }
    }

    /// Output format of a file-name ending; `None` for other endings.
    pub fn of_ending(ending: &str) -> Option<Self> {
        match &*ending.to_lowercase() {
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            // The ending .json means JSON lines, as for inputs.
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            _ => None,
        }
    }

    /// File-name ending of this format.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Formats an answer as a cell: predicted class, labels, or number. The cell is empty if the model gives no answer.
fn predicted(answer: &Answer, separator: char) -> String {
    match answer.task {
        Task::Class if answer.abstains => String::new(),
        Task::Class => answer.label.to_string(),
        Task::Labels => answer.applying().join(&separator.to_string()),
        Task::Number => answer.probabilities[0].to_string(),
    }
}

/// Formats the probability of the class, or of the most probable label, as a cell. The cell is empty for a regression
/// model.
fn probability(answer: &Answer) -> String {
    match answer.task {
        Task::Number => String::new(),
        _ => answer.probabilities.iter().copied().fold(0.0, f32::max).to_string(),
    }
}

/// Name of the JSON member for an explanation.
const EXPLANATION: &str = "explanation";

/// Options for columns or members that not every output has.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtraColumns {
    /// Number of most probable classes for each text. With `None`, JSON has the probabilities of all classes, and csv
    /// and tsv only the highest.
    pub top_k: Option<usize>,
    /// True to add a column or member with the reason why a row has no answer.
    pub has_errors: bool,
    /// True to add a member with the explanation of each answer.
    pub has_explanations: bool,
}

/// Answer to a row, or the reason why the row has no answer.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// Answer, with its explanation if one was requested.
    Answer(&'a Answer, Option<&'a Explanation>),
    /// Reason why the row has no answer.
    Error(&'a str),
}

/// Most probable classes of an answer with their probabilities, in descending order; at most `most`.
fn likeliest(answer: &Answer, most: usize) -> Vec<(&str, f32)> {
    let mut classes: Vec<usize> = (0..answer.probabilities.len()).collect();
    classes.sort_by(|a, b| answer.probabilities[*b].total_cmp(&answer.probabilities[*a]));
    classes.truncate(most);
    classes.into_iter().map(|class| (&*answer.labels[class], answer.probabilities[class])).collect()
}

/// Writer of input rows, each followed by its answer.
pub struct AnswerWriter<W: Output> {
    out: W,
    /// Path of the output, for error messages; `-` is standard output.
    path: PathBuf,
    asked: Option<OutputFormat>,
    extra: ExtraColumns,
    /// Names of the columns that are added to input rows.
    added: Vec<String>,
    /// Name of the column for the reason why a row has no answer.
    error: String,
    /// Name of the JSON member for an explanation.
    explanation: String,
    format: OutputFormat,
    names: Vec<String>,
    /// Layout of the input rows; `None` before the first input.
    layout: Option<Layout>,
    /// True if the column titles of the output are the member names of the first JSON object.
    of_objects: bool,
    /// Separator between several labels in a cell.
    separator: char,
}

impl<W: Output> AnswerWriter<W> {
    /// Creates a writer to `out`, which is the file `path`, in the format `asked` (by default, the format of the
    /// texts). The names of the added columns begin with `prefix`; `separator` separates several labels in a cell.
    pub fn new(
        out: W,
        path: &Path,
        asked: Option<OutputFormat>,
        (prefix, extra): (&str, ExtraColumns),
        separator: char,
    ) -> Self {
        let further =
            (2..=extra.top_k.unwrap_or(1)).flat_map(|k| [format!("predicted_{k}"), format!("probability_{k}")]);
        let names = ADDED.map(String::from).into_iter().chain(further).chain(extra.has_errors.then(|| ERROR.into()));
        let added = names.map(|name| format!("{prefix}{name}")).collect();
        let [error, explanation] = [ERROR, EXPLANATION].map(|name| format!("{prefix}{name}"));
        let format = OutputFormat::Jsonl;
        let (path, titles) = (path.into(), out.titles());
        let of_objects = titles.is_some();
        Self {
            out,
            path,
            asked,
            extra,
            added,
            error,
            explanation,
            format,
            names: titles.unwrap_or_default(),
            layout: None,
            of_objects,
            separator,
        }
    }

    /// Begins the rows of an input. In csv and tsv, the column titles come from the first input that is not empty; for
    /// JSON objects, from the first object.
    ///
    /// # Errors
    /// [`Error::OtherTable`] if the columns differ from those of earlier inputs; [`Error::AnswerColumn`] if a column
    /// has the name of an added column; [`Error::Argument`] if explanations are requested in csv or tsv.
    pub fn begin(&mut self, path: &Path, input: TextFormat, layout: Layout) -> Result<()> {
        let format = self.asked.unwrap_or_else(|| OutputFormat::of_texts(input));
        if matches!(&layout, Layout::Cells { width: 0, .. }) {
            return Ok(());
        }
        if self.extra.has_explanations && format != OutputFormat::Jsonl {
            return Err(Error::argument("explain", "answers as JSON lines (`--output-format jsonl`)", "set"));
        }
        let is_first = self.layout.is_none();
        let others = format != OutputFormat::Jsonl && self.layout.as_ref() != Some(&layout);
        if !is_first && (format != self.format || others) {
            return Err(Error::OtherTable { path: path.into() });
        }
        self.format = format;
        let names = match &layout {
            Layout::Cells { names, .. } => names.clone(),
            Layout::Lines if format != OutputFormat::Jsonl => vec!["text".to_owned()],
            // The titles are the member names of the first object, which has not been read yet.
            Layout::Objects if !is_first => return Ok(()),
            // An earlier run has written the titles.
            Layout::Objects if self.of_objects => self.names.clone(),
            Layout::Lines | Layout::Objects => Vec::new(),
        };
        self.check_names(&path.display().to_string(), names.iter())?;
        (self.names, self.layout) = (names, Some(layout));
        if is_first && !self.names.is_empty() && format != OutputFormat::Jsonl {
            let titles: Vec<String> = self.names.iter().chain(&self.added).cloned().collect();
            self.cells(&titles.iter().map(String::as_str).collect::<Vec<_>>(), 1)?;
        }
        Ok(())
    }

    /// Rejects an input column or member that has the name of an added column.
    fn check_names<'a>(&self, place: &str, mut names: impl Iterator<Item = &'a String>) -> Result<()> {
        let is_added = |name: &&String| match self.format {
            OutputFormat::Jsonl => {
                **name == self.added[0]
                    || self.extra.has_errors && **name == self.error
                    || self.extra.has_explanations && **name == self.explanation
            }
            _ => self.added.contains(name),
        };
        match names.find(is_added) {
            Some(name) => Err(Error::AnswerColumn { place: place.into(), name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Writes a row with its answer, or with the reason why it has no answer.
    ///
    /// # Errors
    /// * [`Error::Io`] if the output cannot be written.
    /// * [`Error::OtherMember`] if the output is csv or tsv and an object has members that the first object lacks.
    /// * [`Error::AnswerColumn`] if a member has the name of an added column.
    pub fn row(&mut self, row: &TextRow, outcome: Outcome<'_>) -> Result<()> {
        if let Given::Members(members) = &row.given {
            self.check_names(&format!("line {}", row.line), members.iter().map(|(name, _)| name))?;
        }
        if self.format == OutputFormat::Jsonl {
            return self.object(row, outcome);
        }
        let own: Vec<String> = match &row.given {
            Given::Members(members) => self.of_members(row.line, members)?,
            Given::Cells(cells) => cells.clone(),
            Given::Line(line) => vec![line.clone()],
        };
        let added = self.added_cells(outcome);
        let cells: Vec<&str> = own.iter().chain(&added).map(String::as_str).collect();
        self.cells(&cells, row.line)
    }

    /// Writes a row that could not be read: its line number and the reason.
    ///
    /// # Errors
    /// [`Error::Io`] if the output cannot be written.
    pub fn unreadable(&mut self, line: u64, reason: &str) -> Result<()> {
        if self.format == OutputFormat::Jsonl {
            let object = format!("{{\"line\": {line}, {}: {}}}\n", Value::from(&*self.error), Value::from(reason));
            return self.write(&object);
        }
        let width = match &self.layout {
            Some(Layout::Cells { width, .. }) => *width,
            Some(Layout::Lines) => 1,
            _ => self.names.len(),
        };
        let added = self.added_cells(Outcome::Error(&format!("line {line}: {reason}")));
        let cells: Vec<&str> = std::iter::repeat_n("", width).chain(added.iter().map(String::as_str)).collect();
        self.cells(&cells, line)
    }

    /// Cells of the added columns.
    fn added_cells(&self, outcome: Outcome<'_>) -> Vec<String> {
        let mut cells = match outcome {
            Outcome::Answer(answer, _) => {
                let cost = format!("{:.4}", answer.cost());
                vec![predicted(answer, self.separator), probability(answer), answer.route.to_string(), cost]
            }
            Outcome::Error(_) => Vec::new(),
        };
        if let (Outcome::Answer(answer, _), Some(most)) = (outcome, self.extra.top_k) {
            let further = likeliest(answer, most).into_iter().skip(1);
            cells.extend(further.flat_map(|(label, probability)| [label.to_owned(), probability.to_string()]));
        }
        cells.resize(self.added.len(), String::new());
        if let (Outcome::Error(reason), Some(last)) = (outcome, cells.last_mut()) {
            *last = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        cells
    }

    /// Converts the members of a JSON object to cells, in the order of the column titles, which are the member names of
    /// the first object.
    fn of_members(&mut self, line: u64, members: &[(String, Box<RawValue>)]) -> Result<Vec<String>> {
        if !self.of_objects {
            self.names = members.iter().map(|(name, _)| name.clone()).collect();
            self.of_objects = true;
            let titles: Vec<String> = self.names.iter().chain(&self.added).cloned().collect();
            self.cells(&titles.iter().map(String::as_str).collect::<Vec<_>>(), line)?;
        }
        if let Some((name, _)) = members.iter().find(|(name, _)| !self.names.contains(name)) {
            return Err(Error::OtherMember { line, name: name.clone() });
        }
        let cell = |name: &String| match members.iter().find(|(own, _)| own == name).map(|(_, value)| value.get()) {
            None | Some("null") => String::new(),
            Some(value) => serde_json::from_str(value).unwrap_or_else(|_| value.to_owned()),
        };
        Ok(self.names.iter().map(cell).collect())
    }

    fn object(&mut self, row: &TextRow, outcome: Outcome<'_>) -> Result<()> {
        // The line is assembled as text, since a map of values would change the order and the notation of members.
        let mut line = String::from("{");
        let mut member = |name: &str, value: &dyn std::fmt::Display| {
            if line.len() > 1 {
                line.push_str(", ");
            }
            line.push_str(&format!("{}: {value}", Value::from(name)));
        };
        match &row.given {
            Given::Members(members) => members.iter().for_each(|(name, value)| member(name, &value.get())),
            Given::Line(text) => member("text", &Value::from(text.as_str())),
            Given::Cells(cells) => cells.iter().enumerate().for_each(|(place, cell)| {
                // A column without a name is named by its number.
                let name = self.names.get(place).filter(|name| !name.is_empty());
                member(&name.cloned().unwrap_or_else(|| place.to_string()), &Value::from(cell.as_str()));
            }),
        }
        let failed = |error: serde_json::Error| Error::Io { path: "-".into(), source: error.into() };
        match (outcome, self.extra.top_k) {
            (Outcome::Error(reason), _) => member(&self.error, &Value::from(reason)),
            (Outcome::Answer(answer, _), None) => {
                member(&self.added[0], &serde_json::to_string(answer).map_err(failed)?)
            }
            (Outcome::Answer(answer, _), Some(most)) => {
                let mut own = answer.clone();
                let (labels, probabilities): (Vec<Arc<str>>, Vec<f32>) =
                    likeliest(answer, most).into_iter().map(|(label, p)| (Arc::from(label), p)).unzip();
                (own.labels, own.probabilities) = (labels.into(), probabilities);
                member(&self.added[0], &serde_json::to_string(&own).map_err(failed)?);
            }
        }
        if let Outcome::Answer(_, Some(explanation)) = outcome {
            member(&self.explanation, &serde_json::to_string(explanation).map_err(failed)?);
        }
        line.push_str("}\n");
        self.write(&line)
    }

    fn cells(&mut self, cells: &[&str], line: u64) -> Result<()> {
        let tsv = self.format == OutputFormat::Tsv;
        let separator = match &self.layout {
            _ if tsv => '\t',
            Some(Layout::Cells { separator, .. }) => *separator,
            _ => ',',
        };
        if tsv && cells.iter().any(|cell| cell.contains(['\t', '\n', '\r'])) {
            return Err(Error::CellOfTsv { line });
        }
        let cells: Vec<String> =
            cells.iter().map(|cell| if tsv { (*cell).to_owned() } else { quoted(cell, separator) }).collect();
        self.write(&(cells.join(&separator.to_string()) + "\n"))
    }

    fn write(&mut self, line: &str) -> Result<()> {
        let written = self.out.write_all(line.as_bytes());
        self.checked(written)
    }

    /// Converts the result of a write. If the reader of standard output has closed the pipe, the program exits as by
    /// SIGPIPE: the answers are incomplete, and a message would not be read.
    fn checked(&self, written: std::io::Result<()>) -> Result<()> {
        let is_standard = self.path == Path::new("-");
        written.map_err(|source| {
            if is_standard && source.kind() == ErrorKind::BrokenPipe {
                std::process::exit(CLOSED);
            }
            Error::Io { path: if is_standard { "standard output".into() } else { self.path.clone() }, source }
        })
    }

    /// Returns those rows of a batch that have no answer in the output yet.
    ///
    /// # Errors
    /// [`Error::Unresumable`] if an answered row has changed.
    pub fn unanswered(&mut self, rows: Vec<InputRow>) -> Result<Vec<InputRow>> {
        self.out.unanswered(rows)
    }

    /// Records that all rows so far are answered. `is_end` is true after the last row of an input.
    ///
    /// # Errors
    /// [`Error::Io`] if the state of the run cannot be saved.
    pub fn answered(&mut self, totals: &Totals, is_end: bool) -> Result<()> {
        self.out.answered(self.of_objects.then_some(&self.names), totals, is_end)
    }

    /// Returns the output.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// Flushes the output.
    ///
    /// # Errors
    /// [`Error::Io`] if the output cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        let flushed = self.out.flush();
        self.checked(flushed)
    }
}

/// Formats a csv cell, quoted if RFC 4180 requires it.
fn quoted(cell: &str, separator: char) -> String {
    let plain = !cell.contains([separator, '"', '\n', '\r']);
    if plain { cell.into() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
}
