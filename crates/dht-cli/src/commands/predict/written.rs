//! Answers as rows of csv and tsv, or as JSON lines.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use dht_dynamic::Answer;
use dht_dynamic::transformer::Task;
use dht_dynamic::transformer::data::{Given, TextFormat, TextRow};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// Names of the added columns.
const ADDED: [&str; 4] = ["predicted", "probability", "route", "cost"];

/// Exit code after the reader of standard output has closed it: 128 + SIGPIPE.
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
    /// Format of the answers to texts of a format, by default.
    pub fn of_texts(texts: TextFormat) -> Self {
        match texts {
            TextFormat::Csv => Self::Csv,
            TextFormat::Tsv => Self::Tsv,
            TextFormat::JsonLines | TextFormat::Lines => Self::Jsonl,
        }
    }

    /// Format that the ending of a file's name stands for.
    pub fn of_ending(ending: &str) -> Option<Self> {
        match &*ending.to_lowercase() {
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            // As on input, .json means JSON lines.
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            _ => None,
        }
    }

    /// Ending of a file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Predicted class, labels that apply, or value, as a cell; empty where the model abstains.
fn predicted(answer: &Answer, separator: char) -> String {
    match answer.task {
        Task::Class if answer.abstains => String::new(),
        Task::Class => answer.label.to_string(),
        Task::Labels => answer.applying().join(&separator.to_string()),
        Task::Number => answer.probabilities[0].to_string(),
    }
}

/// Probability of the class or of the most probable label; empty for a value.
fn probability(answer: &Answer) -> String {
    match answer.task {
        Task::Number => String::new(),
        _ => answer.probabilities.iter().copied().fold(0.0, f32::max).to_string(),
    }
}

/// Layout of an input's rows. The inputs of one output of cells have one layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One text on each line.
    Lines,
    /// JSON objects.
    Objects,
    /// Cells of csv and tsv.
    Cells {
        /// Column names; none without a header.
        names: Vec<String>,
        /// Number of columns; 0 for an empty input.
        width: usize,
        /// Separator of the columns of csv.
        separator: char,
    },
}

/// Writes rows as they were given, each with its answer.
pub struct AnswerWriter<W: Write> {
    out: W,
    /// Path of the output, for errors; `-` is standard output.
    path: PathBuf,
    asked: Option<OutputFormat>,
    /// Names of the added columns.
    added: [String; 4],
    format: OutputFormat,
    names: Vec<String>,
    /// Layout of the inputs, once one has begun.
    layout: Option<Layout>,
    /// True if the titles of the output's columns are the member names of the first JSON object in the input.
    of_objects: bool,
    /// Separator between several labels in a cell.
    separator: char,
}

impl<W: Write> AnswerWriter<W> {
    /// Writes to `out`, which is the file `path`, in the format `asked`, by default in the format of the texts. The
    /// names of the added columns begin with `prefix`; `separator` is between several labels in a cell.
    pub fn new(out: W, path: &Path, asked: Option<OutputFormat>, prefix: &str, separator: char) -> Self {
        let added = ADDED.map(|name| format!("{prefix}{name}"));
        let format = OutputFormat::Jsonl;
        let path = path.into();
        Self { out, path, asked, added, format, names: Vec::new(), layout: None, of_objects: false, separator }
    }

    /// Begins the rows of an input. The first one with column names, or of lines, gives an output of cells its titles.
    ///
    /// # Errors
    /// [`Error::OtherTable`] if the answers cannot be in one output with those of earlier inputs;
    /// [`Error::AnswerColumn`] for a column with the name of an added column.
    pub fn begin(&mut self, path: &Path, input: TextFormat, layout: Layout) -> Result<()> {
        let format = self.asked.unwrap_or_else(|| OutputFormat::of_texts(input));
        if matches!(&layout, Layout::Cells { width: 0, .. }) {
            return Ok(());
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
            // Titles are the members of the first object.
            Layout::Objects if !is_first => return Ok(()),
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

    /// Rejects a column or member with the name of an added column.
    fn check_names<'a>(&self, place: &str, mut names: impl Iterator<Item = &'a String>) -> Result<()> {
        let added = if self.format == OutputFormat::Jsonl { &self.added[..1] } else { &self.added[..] };
        match names.find(|name| added.contains(name)) {
            Some(name) => Err(Error::AnswerColumn { place: place.into(), name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Writes a row with its answer.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::OtherMember`] if cells are written and an object has members that the first object
    /// lacks; [`Error::AnswerColumn`] for a member with the name of an added column.
    pub fn row(&mut self, row: &TextRow, answer: &Answer) -> Result<()> {
        if let Given::Members(members) = &row.given {
            self.check_names(&format!("line {}", row.line), members.iter().map(|(name, _)| name))?;
        }
        if self.format == OutputFormat::Jsonl {
            return self.object(row, answer);
        }
        let own: Vec<String> = match &row.given {
            Given::Members(members) => self.of_members(row.line, members)?,
            Given::Cells(cells) => cells.clone(),
            Given::Line(line) => vec![line.clone()],
        };
        let (route, cost) = (answer.route.to_string(), format!("{:.4}", answer.cost()));
        let (predicted, probability) = (predicted(answer, self.separator), probability(answer));
        let added = [&*predicted, &*probability, &*route, &*cost];
        let cells: Vec<&str> = own.iter().map(String::as_str).chain(added).collect();
        self.cells(&cells, row.line)
    }

    /// Converts the members of a JSON object to cells, in the order of the output's titles. The titles are the member
    /// names of the first object.
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

    fn object(&mut self, row: &TextRow, answer: &Answer) -> Result<()> {
        // Members keep their order and their text, which a map of values would not.
        let mut line = String::from("{");
        let mut member = |name: &str, value: &dyn std::fmt::Display| {
            if line.len() > 1 {
                line.push_str(", ");
            }
            line.push_str(&format!("{}: {value}", Value::from(name)));
        };
        match &row.given {
            Given::Members(members) => members.iter().for_each(|(name, value)| member(name, &value.get())),
            Given::Line(given) => member("text", &Value::from(given.as_str())),
            Given::Cells(cells) => cells.iter().enumerate().for_each(|(place, cell)| {
                // A column without a name has its number.
                let name = self.names.get(place).filter(|name| !name.is_empty());
                member(&name.cloned().unwrap_or_else(|| place.to_string()), &Value::from(cell.as_str()));
            }),
        }
        let json =
            serde_json::to_string(answer).map_err(|error| Error::Io { path: "-".into(), source: error.into() })?;
        member(&self.added[0], &json);
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

    /// Converts the error of a write. The program ends as by SIGPIPE if the reader of standard output is gone: answers
    /// are missing, and nobody is left to read why.
    fn checked(&self, written: std::io::Result<()>) -> Result<()> {
        let is_standard = self.path == Path::new("-");
        written.map_err(|source| {
            if is_standard && source.kind() == ErrorKind::BrokenPipe {
                std::process::exit(CLOSED);
            }
            Error::Io { path: if is_standard { "standard output".into() } else { self.path.clone() }, source }
        })
    }

    /// Flushes the output.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn flush(&mut self) -> Result<()> {
        let flushed = self.out.flush();
        self.checked(flushed)
    }
}

/// Cell of csv, in quotes where RFC 4180 requires them.
fn quoted(cell: &str, separator: char) -> String {
    let plain = !cell.contains([separator, '"', '\n', '\r']);
    if plain { cell.into() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
}
