//! Answers as rows of csv and tsv, or as JSON lines.

use std::io::Write;
use std::sync::Arc;

use dht_search::serving::Answer;
use dht_search::transformer::Task;
use dht_search::transformer::data::{TextFormat, TextRow};
use serde_json::{Map, Value, json};

use super::OutputFormat;
use crate::applying::applying;
use crate::commands::output::written;
use crate::error::{Error, Result};

/// The names of the columns that are added.
const ADDED: [&str; 4] = ["predicted", "probability", "route", "cost"];

/// An answer and what it cost.
pub struct Answered<'a> {
    /// The answer.
    pub answer: &'a Answer,
    /// Its share of the full model's FLOPs.
    pub cost: f64,
    /// The names of the classes.
    pub labels: &'a [Arc<str>],
    /// What the model's outputs mean.
    pub task: Task,
    /// The sign between several labels.
    pub separator: char,
}

impl Answered<'_> {
    /// The class, the labels that apply, or the value.
    fn predicted(&self) -> String {
        match self.task {
            Task::Class => self.answer.label.to_string(),
            Task::Labels => self.applying().join(&self.separator.to_string()),
            Task::Number => self.answer.probabilities[0].to_string(),
        }
    }

    fn applying(&self) -> Vec<String> {
        applying(self.labels, &self.answer.probabilities).iter().map(ToString::to_string).collect()
    }

    /// The probability of the class; of several labels, of the most probable; of a value none.
    fn probability(&self) -> String {
        match self.task {
            Task::Number => String::new(),
            _ => self.answer.probabilities.iter().copied().fold(0.0, f32::max).to_string(),
        }
    }

    fn json(&self) -> Value {
        let Answer { probabilities, route, truncated, .. } = self.answer;
        let mut value = json!({ "route": route.to_string(), "cost": self.cost, "truncated": truncated });
        match self.task {
            Task::Class => value["label"] = self.predicted().into(),
            Task::Labels => value["labels"] = self.applying().into(),
            Task::Number => value["value"] = short(probabilities[0]),
        }
        if self.task != Task::Number {
            let named = self.labels.iter().zip(probabilities);
            value["probabilities"] =
                named.map(|(label, p)| (label.to_string(), short(*p))).collect::<Map<_, _>>().into();
        }
        value
    }
}

/// Writes answers beside the rows that they are of.
pub struct Written<W: Write> {
    out: W,
    asked: Option<OutputFormat>,
    format: OutputFormat,
    names: Vec<String>,
    begun: bool,
    /// Whether the names are those of the first object.
    of_objects: bool,
}

impl<W: Write> Written<W> {
    /// Writes in this format, or as the texts are written.
    pub fn new(out: W, asked: Option<OutputFormat>) -> Self {
        Self { out, asked, format: OutputFormat::Jsonl, names: Vec::new(), begun: false, of_objects: false }
    }

    /// Begins with the rows of another input.
    ///
    /// # Errors
    /// [`Error::Argument`] for inputs whose answers do not fit into one output.
    pub fn begin(&mut self, input: TextFormat, names: &[String]) -> Result<()> {
        let format = self.asked.unwrap_or(match input {
            TextFormat::Csv => OutputFormat::Csv,
            TextFormat::Tsv => OutputFormat::Tsv,
            TextFormat::JsonLines | TextFormat::Lines => OutputFormat::Jsonl,
        });
        let objects_again = self.of_objects && input == TextFormat::JsonLines;
        let others = format != OutputFormat::Jsonl && names != self.names && !objects_again;
        if self.begun && (format != self.format || others) {
            return Err(Error::argument(
                "output",
                "jsonl, for files of other formats or columns",
                "that of the first file",
            ));
        }
        if objects_again {
            return Ok(());
        }
        let first = !self.begun;
        (self.format, self.names, self.begun) = (format, names.to_vec(), true);
        if first && !names.is_empty() && format != OutputFormat::Jsonl {
            let titles: Vec<&str> = names.iter().map(String::as_str).chain(ADDED).collect();
            self.cells(&titles)?;
        }
        Ok(())
    }

    /// Writes a row with its answer.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Argument`] where an object has members that the first does not have, and cells are written.
    pub fn row(&mut self, row: &TextRow, answered: &Answered<'_>) -> Result<()> {
        if self.format == OutputFormat::Jsonl {
            return self.object(row, answered);
        }
        let own: Vec<String> = match (row.members.is_empty(), row.cells.is_empty(), &row.pair) {
            (false, ..) => self.of_members(row)?,
            (true, false, _) => row.cells.clone(),
            (true, true, Some(pair)) => vec![row.text.clone(), pair.clone()],
            (true, true, None) => vec![row.text.clone()],
        };
        let (route, cost) = (answered.answer.route.to_string(), format!("{:.4}", answered.cost));
        let (predicted, probability) = (answered.predicted(), answered.probability());
        let added = [&*predicted, &*probability, &*route, &*cost];
        let cells: Vec<&str> = own.iter().map(String::as_str).chain(added).collect();
        self.cells(&cells)
    }

    /// The members of an object as cells, in the order of the first object, whose names are the titles.
    fn of_members(&mut self, row: &TextRow) -> Result<Vec<String>> {
        if !self.of_objects {
            self.names = row.members.iter().map(|(name, _)| name.clone()).collect();
            self.of_objects = true;
            let titles: Vec<String> = self.names.iter().cloned().chain(ADDED.map(String::from)).collect();
            self.cells(&titles.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        if let Some((name, _)) = row.members.iter().find(|(name, _)| !self.names.contains(name)) {
            let expected = "jsonl, where objects have members that the first does not have";
            return Err(Error::argument("output", expected, format!("{name} in line {}", row.line)));
        }
        let cell = |name: &String| match row.members.iter().find(|(own, _)| own == name) {
            None | Some((_, Value::Null)) => String::new(),
            Some((_, Value::String(text))) => text.clone(),
            Some((_, value)) => value.to_string(),
        };
        Ok(self.names.iter().map(cell).collect())
    }

    fn object(&mut self, row: &TextRow, answered: &Answered<'_>) -> Result<()> {
        // Members keep their order, which a map would not.
        let mut line = String::from("{");
        let mut member = |name: &str, value: &Value| {
            if line.len() > 1 {
                line.push_str(", ");
            }
            line.push_str(&format!("{}: {value}", Value::from(name)));
        };
        let own = row.members.iter().filter(|(name, _)| name != ADDED[0]);
        own.for_each(|(name, value)| member(name, value));
        if row.members.is_empty() {
            if self.names.len() == row.cells.len() && !self.names.is_empty() {
                self.names.iter().zip(&row.cells).for_each(|(name, cell)| member(name, &cell.as_str().into()));
            } else {
                member("text", &row.text.as_str().into());
                row.pair.iter().for_each(|pair| member("pair", &pair.as_str().into()));
            }
        }
        member(ADDED[0], &answered.json());
        line.push_str("}\n");
        written(self.out.write_all(line.as_bytes()))
    }

    fn cells(&mut self, cells: &[&str]) -> Result<()> {
        let (separator, tsv) = if self.format == OutputFormat::Tsv { ("\t", true) } else { (",", false) };
        let cells: Vec<String> = cells.iter().map(|cell| if tsv { unbroken(cell) } else { quoted(cell) }).collect();
        written(writeln!(self.out, "{}", cells.join(separator)))
    }

    /// Hands over what is written so far.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn flush(&mut self) -> Result<()> {
        written(self.out.flush())
    }
}

/// A number of single precision in as few digits as tell it from others.
fn short(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// A cell of csv, in quotes where RFC 4180 wants them.
fn quoted(cell: &str) -> String {
    let plain = !cell.contains([',', '"', '\n', '\r']);
    if plain { cell.into() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
}

/// A cell of tsv, which has no quotes: what would end it becomes a space.
fn unbroken(cell: &str) -> String {
    cell.replace(['\t', '\n', '\r'], " ")
}
