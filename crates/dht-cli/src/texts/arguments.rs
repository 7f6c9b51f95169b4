//! Flags for reading tables of texts and labels.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use dht_dynamic::serving::Origin;
use dht_dynamic::transformer::data::{Column, LabelKind, TextColumns, TextEncoding, TextFormat};
use dht_dynamic::transformer::{Dataset, DatasetReader};

use crate::error::{Error, Result};

/// Flags for the rows and the text columns of a table.
#[derive(Debug, Clone, Default, Args)]
pub struct RowArguments {
    /// Read the text from this column; may be repeated.
    ///
    /// Name the column, or give its number from 0 if no column has that name. Several columns are joined by a space.
    /// [default: the columns of the model's training; else text, sentence, review, comment, content, message, body,
    /// document, tweet or utterance; else the only column with words]
    #[arg(long, value_name = "COLUMN")]
    pub text_column: Vec<Column>,
    /// Read two text columns as a pair of sentences, not as parts of one text
    #[arg(long)]
    pub pair: bool,
    /// Separator of the columns of csv files, such as ';' or tab [default: a comma; if the first line has no comma, the
    /// character between its names, or the one after sep=]
    #[arg(long, value_name = "SIGN", value_parser = separator)]
    pub separator: Option<char>,
    /// Encoding of texts, such as windows-1252, latin1 or utf-16le [default: that of a byte-order mark, else utf-8]
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<TextEncoding>,
    /// Treat the first row of csv and tsv files as a header [default: inferred from the first rows]
    #[arg(long, conflicts_with = "no_header")]
    pub header: bool,
    /// Treat the first row of csv and tsv files as data, not as a header
    #[arg(long)]
    pub no_header: bool,
}

impl RowArguments {
    /// Returns whether the table has a header, if a flag defines it; otherwise `None`.
    pub fn header(&self) -> Option<bool> {
        (self.header || self.no_header).then_some(self.header)
    }

    /// Columns to read: those that the flags name, or else those of the model's training data (`origin`). `look_ahead`
    /// is true for files, in which further rows may be read to detect columns.
    pub fn columns(&self, format: TextFormat, look_ahead: bool, origin: Option<&Origin>) -> TextColumns {
        let (header, separator, encoding) = (self.header(), self.separator, self.encoding);
        let columns = TextColumns { header, separator, encoding, look_ahead, ..TextColumns::default() };
        if !self.text_column.is_empty() || format == TextFormat::Lines {
            // If the model is for pairs, two named columns are one pair.
            let pair = self.pair || origin.is_some_and(|origin| origin.pair) && self.text_column.len() == 2;
            return TextColumns { text: self.text_column.clone(), pair, ..columns };
        }
        let trained = origin.and_then(|origin| Some((origin.columns.as_ref()?, origin.pair)));
        let Some((reading, pair)) = trained else {
            return TextColumns { pair: self.pair, ..columns };
        };
        let expected_width = Some(reading.width());
        TextColumns { text: reading.text.clone(), pair, expected: true, expected_width, ..columns }
    }

    /// Rejects column flags if the texts are read line by line and have no columns.
    ///
    /// # Errors
    /// [`Error::Argument`] with the flag. `name` is the value's name and `expected` the allowed values in the message.
    pub fn check_lines(&self, name: &str, expected: &str) -> Result<()> {
        let flags = [("text-column", !self.text_column.is_empty()), ("pair", self.pair), ("header", self.header)];
        match flags.into_iter().find(|(_, is_set)| *is_set) {
            Some((flag, _)) => {
                Err(Error::argument(flag, expected, format!("set for {name}, which is read line by line")))
            }
            None => Ok(()),
        }
    }
}

/// Flags for the labels of a table.
#[derive(Debug, Clone, Default, Args)]
pub struct LabelArguments {
    /// Read the label from this column.
    ///
    /// Name the column, or give its number from 0 if no column has that name. [default: label; else labels, class or
    /// category; else the only column that repeats a few values]
    #[arg(long, value_name = "COLUMN")]
    pub label_column: Option<Column>,
    /// Read several labels from columns of 0 and 1, each named after its label, such as A,B,C
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', conflicts_with = "label_column")]
    pub label_columns: Vec<Column>,
    /// Task: one class, several labels, a number or a rating for each text [default: class, or the task of a data set known by
    /// name]
    #[arg(long, value_enum, value_name = "TASK")]
    pub task: Option<TaskChoice>,
    /// Separator between the labels of a text, with --task labels [default: the separator of the model's training; else
    /// a comma]
    #[arg(long, value_name = "SIGN", requires = "task")]
    pub label_separator: Option<char>,
    /// Assign the rows with the label LABEL to the class CLASS, such as 3=sports; may be repeated
    #[arg(long, value_name = "LABEL=CLASS")]
    pub label_map: Vec<LabelPair>,
}

/// Parses the value of a separator flag: one character, or `tab`.
fn separator(text: &str) -> Result<char, String> {
    let mut signs = text.chars();
    match (text, signs.next(), signs.next()) {
        ("tab" | "\\t", ..) => Ok('\t'),
        (_, Some(sign), None) if sign != '"' => Ok(sign),
        _ => Err("expected one character that is no quote, or tab".into()),
    }
}

impl LabelArguments {
    /// Separator of labels within a cell: from the flag, else from the model's training data (`origin`), else a comma.
    pub fn separator(&self, origin: Option<&Origin>) -> char {
        let trained = || match origin?.columns.as_ref()?.kind {
            LabelKind::Several { separator } => Some(separator),
            _ => None,
        };
        self.label_separator.or_else(trained).unwrap_or(',')
    }
}

/// Value of `--label-map`: a label in the data, and the class that replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelPair(String, String);

impl FromStr for LabelPair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').map(|(label, class)| (label.trim(), class.trim()));
        let (label, class) = pair.filter(|pair| !pair.1.is_empty()).ok_or("expected LABEL=CLASS, such as 3=sports")?;
        Ok(Self(label.into(), class.into()))
    }
}

/// Task of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TaskChoice {
    /// One class for each text
    Class,
    /// Any number of labels for each text
    Labels,
    /// One number for each text
    Number,
    /// One number for each text, and each answer is one of the numbers of the training rows
    Rating,
}

/// Data set, with the flags for reading it.
#[derive(Debug, Clone, Args)]
pub struct DataArguments {
    /// Labelled texts: a directory, a file, or the name of a data set.
    ///
    /// A directory has train.* (and test.*, or dev.*, validation.*, val.*), and perhaps classes.txt with the names of
    /// numbered classes; or folders train (and test) with a folder of .txt files for each class. A file is csv, tsv,
    /// jsonl, json or fastText's txt (also .gz, .zst), or parquet. A pattern such as 'part-*.csv' selects all matching
    /// files, as one table. A value that is not an existing path is a name: ag_news, dbpedia_14, yelp_polarity,
    /// yelp_review_full, imdb, glue/TASK, or hf:OWNER/NAME[/CONFIG] for any data set on the Hugging Face hub (in a
    /// build with the feature hub). @REVISION after it is a branch, a tag or a commit.
    #[arg(long, value_name = "DIR|FILE|NAME")]
    pub data: PathBuf,
    #[command(flatten)]
    pub table: TableArguments,
}

/// Flags for reading the rows of labelled texts.
#[derive(Debug, Clone, Args)]
pub struct TableArguments {
    #[command(flatten)]
    pub rows: RowArguments,
    #[command(flatten)]
    pub labels: LabelArguments,
    /// Read at most N rows of the training file, sampled by the seed while it is read: for files larger than memory
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(4..))]
    pub max_rows: Option<u64>,
    /// Seed for sampling the rows of `--max-rows`.
    #[arg(skip)]
    pub seed: u64,
}

impl TableArguments {
    /// Creates arguments that read all rows of a file.
    pub fn new(rows: RowArguments, labels: LabelArguments) -> Self {
        Self { rows, labels, max_rows: None, seed: 0 }
    }

    /// Rejects column flags that contradict each other.
    pub(super) fn check(&self) -> Result<()> {
        let RowArguments { text_column, pair, .. } = &self.rows;
        if *pair && ![0, 2].contains(&text_column.len()) {
            return Err(Error::argument("pair", "two --text-column, or none", format!("with {}", text_column.len())));
        }
        if self.labels.task == Some(TaskChoice::Number) && !self.labels.label_map.is_empty() {
            return Err(Error::argument("label-map", "classes or labels: numbers are not mapped", "set"));
        }
        for (index, column) in text_column.iter().enumerate() {
            if self.labels.label_column.as_ref() == Some(column) {
                return Err(Error::argument("text-column", "another column than --label-column", column));
            }
            if text_column[..index].contains(column) {
                return Err(Error::argument("text-column", "each column once", column));
            }
        }
        Ok(())
    }

    pub(super) fn label_map(&self) -> impl Iterator<Item = (String, String)> {
        self.labels.label_map.iter().map(|LabelPair(own, class)| (own.clone(), class.clone()))
    }

    /// Creates a reader for further files with the columns and labels of the training file and the classes of
    /// `--label-map`.
    pub(super) fn like(&self, train: &Dataset) -> DatasetReader {
        let reader =
            DatasetReader::new().like(train).with_separator(self.rows.separator).with_encoding(self.rows.encoding);
        if self.labels.label_map.is_empty() {
            return reader;
        }
        let trained = train.reading.iter().flat_map(|reading| reading.label_pairs().iter().cloned());
        reader.with_label_mapping(trained.chain(self.label_map()).collect::<Vec<_>>())
    }

    /// Applies the flags for columns, labels and the number of rows to a reader of training rows.
    pub(super) fn asked_of_training(&self, reader: DatasetReader) -> DatasetReader {
        let reader = self.asked(reader);
        match self.max_rows {
            Some(rows) => reader.with_most_rows(usize::try_from(rows).unwrap_or(usize::MAX), self.seed),
            None => reader,
        }
    }

    /// Applies the flags for columns and labels to a reader.
    pub(super) fn asked(&self, mut reader: DatasetReader) -> DatasetReader {
        let (rows, labels) = (&self.rows, &self.labels);
        if rows.header().is_some() {
            reader = reader.with_header(rows.header());
        }
        if rows.separator.is_some() {
            reader = reader.with_separator(rows.separator);
        }
        reader = reader.with_encoding(rows.encoding);
        if rows.pair {
            reader = reader.with_pair(true);
        }
        if !rows.text_column.is_empty() {
            reader = reader.with_text_columns(rows.text_column.iter().cloned());
        }
        if let Some(task) = labels.task {
            reader = reader.with_label_kind(match task {
                TaskChoice::Class => LabelKind::Class,
                TaskChoice::Labels => LabelKind::Several { separator: labels.separator(None) },
                TaskChoice::Number | TaskChoice::Rating => LabelKind::Number,
            });
        }
        if !labels.label_map.is_empty() {
            reader = reader.with_label_mapping(self.label_map());
        }
        if !labels.label_columns.is_empty() {
            reader = reader.with_label_columns(labels.label_columns.iter().cloned());
        }
        match &labels.label_column {
            Some(label) => reader.with_label_column(label.clone()),
            None => reader,
        }
    }
}

/// Rejects `--pair` for a model that was trained on single texts.
///
/// # Errors
/// [`Error::PairOfSingle`] if the model was trained on single texts.
pub fn check_pair(pair: bool, origin: Option<&Origin>) -> Result<()> {
    match origin {
        Some(origin) if pair && !origin.pair => Err(Error::PairOfSingle),
        _ => Ok(()),
    }
}

/// Note that texts are read from other columns than the model's training texts; `None` if the columns are the same or
/// unknown.
pub fn other_columns_note(read: &[Column], origin: Option<&Origin>) -> Option<String> {
    let trained = &origin?.columns.as_ref()?.text;
    let is_same = |(own, other): (&Column, &Column)| match (own, other) {
        (Column::Name(own), Column::Name(other)) => own.trim().eq_ignore_ascii_case(other.trim()),
        (own, other) => own == other,
    };
    if read.is_empty() || read.len() == trained.len() && read.iter().zip(trained).all(is_same) {
        return None;
    }
    let list = |columns: &[Column]| {
        let names: Vec<String> = columns.iter().map(Column::to_string).collect();
        format!("column{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
    };
    Some(format!("reading {}; the model was trained on {}", list(read), list(trained)))
}
