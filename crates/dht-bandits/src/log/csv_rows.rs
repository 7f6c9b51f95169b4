//! Reader and writer of logged decisions as CSV, with the columns `arm`, `propensity`, `reward` and one column per
//! feature.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Position, Reader, Writer};

use super::LoggedDecision;
use super::arm_names::ArmNames;
use super::error::{LogError, LogProblem, check_propensity, check_value};
use super::summary::RowReader;
use crate::arm::ArmId;
use crate::features::FeatureHasher;

/// Reader of logged decisions from CSV with a header. The columns `arm`, `propensity` and `reward` may be at any
/// position. Every other column is a feature of the context, in the order of the file.
///
/// ```
/// use dht_bandits::log::CsvRows;
///
/// let text = "arm,propensity,reward,age,income\n2,0.5,1,0.3,-1\n0,1.5,0,0.1,2\n1,0.25,0,0.9,1\n";
/// let rows: Vec<_> = CsvRows::new(text.as_bytes(), "log.csv")?.collect();
/// assert_eq!(rows[0].as_ref().map(|row| row.context.clone()).ok(), Some(vec![0.3, -1.0]));
/// assert_eq!(rows[1].as_ref().map_err(ToString::to_string).err().as_deref(),
///            Some("log.csv, line 3: propensity 1.5 is outside (0, 1]"));
/// assert!(rows[2].is_ok());
/// # Ok::<(), dht_bandits::log::LogError>(())
/// ```
#[derive(Debug)]
pub struct CsvRows<R> {
    reader: Reader<RecentBytes<R>>,
    path: PathBuf,
    arm: usize,
    reward: usize,
    /// Index of the column `propensity`; `None` for a log without propensities.
    propensity: Option<usize>,
    features: Vec<(usize, String)>,
    known: Option<BTreeSet<ArmId>>,
    names: ArmNames,
    hashed: Option<Hashed>,
    record: ByteRecord,
}

/// Feature hasher for the columns of a CSV file. `categories` marks columns that are treated as names even if their
/// values are numbers.
#[derive(Debug)]
struct Hashed {
    hasher: FeatureHasher,
    categories: Vec<bool>,
}

const COLUMNS: [&str; 3] = ["arm", "propensity", "reward"];

impl<R: Read> CsvRows<R> {
    /// Creates a reader and reads the header. `name` is the file name for error messages.
    ///
    /// # Errors
    /// Fails if the header cannot be read, lacks a column, or lists a column twice.
    pub fn new(reader: R, name: impl AsRef<Path>) -> Result<Self, LogError> {
        Self::open(reader, name.as_ref(), true)
    }

    /// Creates a reader for a log without the column `propensity`, such as the log of an unknown policy. `name` is the
    /// file name for error messages. [`Evaluation::run`](crate::evaluation::Evaluation::run) evaluates such a log by
    /// the direct method, or with estimated propensities.
    ///
    /// # Errors
    /// Fails if the header cannot be read, lacks the column `arm` or `reward`, lists a column twice, or has a column
    /// `propensity`.
    pub fn without_propensities(reader: R, name: impl AsRef<Path>) -> Result<Self, LogError> {
        Self::open(reader, name.as_ref(), false)
    }

    fn open(reader: R, path: &Path, has_propensities: bool) -> Result<Self, LogError> {
        let path = path.to_owned();
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::Headers)
            .buffer_capacity(1 << 16)
            .from_reader(RecentBytes::new(reader));
        let header = reader.headers().map_err(|error| refuse(&path, &error))?.clone();
        let line = line_of(&reader, header.position(), header.as_slice().as_bytes());
        let column = |name: &str| {
            let mut named = header.iter().enumerate().filter(|(_, title)| *title == name).map(|(index, _)| index);
            let first = named.next();
            let twice = LogProblem::Malformed(format!("there are two columns {name}"));
            if named.next().is_some() { Err(LogError::line(&path, line, twice)) } else { Ok(first) }
        };
        let required = |name: &str, hint: &str| {
            let missing = || LogError::line(&path, line, LogProblem::Missing(format!("column {name}{hint}")));
            column(name)?.ok_or_else(missing)
        };
        let arm = required(COLUMNS[0], "")?;
        let propensity = if has_propensities {
            Some(required(COLUMNS[1], ": `CsvRows::without_propensities` reads a log without them")?)
        } else if column(COLUMNS[1])?.is_some() {
            let problem = "there is a column propensity: `CsvRows::new` reads it".to_owned();
            return Err(LogError::line(&path, line, LogProblem::Malformed(problem)));
        } else {
            None
        };
        let reward = required(COLUMNS[2], "")?;
        let others = |index: &usize| *index != arm && *index != reward && Some(*index) != propensity;
        let features = header.iter().enumerate().filter(|(index, _)| others(index));
        let features = features.map(|(index, title)| (index, title.to_owned())).collect();
        let (known, names, hashed) = (None, ArmNames::default(), None);
        Ok(Self { reader, path, arm, reward, propensity, features, known, names, hashed, record: ByteRecord::new() })
    }

    /// Sets the list of valid arms. A row with another arm is an error.
    #[must_use]
    pub fn with_arms(self, arms: impl IntoIterator<Item = ArmId>) -> Self {
        Self { known: Some(arms.into_iter().collect()), ..self }
    }

    /// Sets the names of the arms 0, 1, …. The column `arm` then contains names; an unknown name is an error.
    #[must_use]
    pub fn with_arm_names(self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        Self { names: ArmNames::new(names), ..self }
    }

    /// Converts the features of each row to a sparse context by a feature hasher. The column name is the feature's
    /// namespace. A number is a numeric feature, and any other text is a category. `categories` lists columns whose
    /// numbers are categories too, such as postcodes. An empty field is skipped.
    ///
    /// # Errors
    /// [`LogProblem::Missing`] if a category is not a column.
    pub fn with_hasher<'n>(
        mut self,
        hasher: FeatureHasher,
        categories: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, LogError> {
        let mut flags = vec![false; self.features.len()];
        for category in categories {
            let position = self.features.iter().position(|(_, name)| name == category);
            let missing = || LogError::line(&self.path, 1, LogProblem::Missing(format!("column {category}")));
            flags[position.ok_or_else(missing)?] = true;
        }
        self.hashed = Some(Hashed { hasher, categories: flags });
        Ok(self)
    }

    /// Feature hasher, if one was set by [`with_hasher`](Self::with_hasher).
    pub fn hasher(&self) -> Option<&FeatureHasher> {
        self.hashed.as_ref().map(|hashed| &hashed.hasher)
    }

    /// Names of the features, in the order of the file.
    pub fn features(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|(_, name)| name.as_str())
    }

    /// Reads the next row into `row`, whose memory is reused. Fields without a CSV column are reset. Returns `false` at
    /// the end. After an error the content of `row` is unspecified, and the next call reads the next line.
    ///
    /// # Errors
    /// Fails if the row is invalid, with its line number.
    pub fn read(&mut self, row: &mut LoggedDecision) -> Result<bool, LogError> {
        let problem = match self.reader.read_byte_record(&mut self.record).map_err(csv::Error::into_kind) {
            Ok(false) => return Ok(false),
            Ok(true) => match self.parse(row) {
                Ok(()) => return Ok(true),
                Err(problem) => problem,
            },
            Err(csv::ErrorKind::Io(source)) => return Err(LogError::io(&self.path, source)),
            Err(csv::ErrorKind::UnequalLengths { expected_len, len, .. }) => {
                LogProblem::Malformed(format!("there are {len} fields, expected {expected_len}"))
            }
            Err(other) => LogProblem::Malformed(format!("{other:?}")),
        };
        let line = line_of(&self.reader, self.record.position(), self.record.as_slice());
        Err(LogError::line(&self.path, line, problem))
    }

    fn parse(&mut self, row: &mut LoggedDecision) -> Result<(), LogProblem> {
        // The hasher is moved out of `self`, so that it can be written to while the record is read.
        let mut hashed = self.hashed.take();
        let parsed = self.parse_with(hashed.as_mut(), row);
        self.hashed = hashed;
        parsed
    }

    fn parse_with(&self, hashed: Option<&mut Hashed>, row: &mut LoggedDecision) -> Result<(), LogProblem> {
        let field = |index: usize, name: &str| {
            let text = std::str::from_utf8(self.record.get(index).unwrap_or_default());
            text.map(str::trim).map_err(|_| LogProblem::Malformed(format!("{name} is no UTF-8")))
        };
        let number = |index: usize, name: &str| -> Result<f64, LogProblem> {
            let text = field(index, name)?;
            if text.is_empty() {
                return Err(LogProblem::Missing(name.to_owned()));
            }
            text.parse().map_err(|_| LogProblem::Malformed(format!("{name} is {text:?}, expected a number")))
        };
        let text = field(self.arm, "arm")?;
        let known = |arm: &ArmId| self.known.as_ref().is_none_or(|known| known.contains(arm));
        row.arm = self.names.find(text).ok().filter(known).ok_or_else(|| {
            if text.is_empty() {
                LogProblem::Missing("arm".to_owned())
            } else {
                LogProblem::UnknownAction(text.to_owned())
            }
        })?;
        row.propensity = self.propensity.map(|column| number(column, "propensity")).transpose()?;
        row.propensity.map_or(Ok(()), check_propensity)?;
        row.reward = number(self.reward, "reward")?;
        check_value("reward", row.reward)?;
        row.context.clear();
        if let Some(Hashed { hasher, categories }) = hashed {
            hasher.clear();
            for ((index, name), is_category) in self.features.iter().zip(categories) {
                let text = field(*index, name)?;
                match text.parse::<f64>() {
                    _ if text.is_empty() => {}
                    Ok(value) if value.is_finite() && !*is_category => {
                        hasher.number(name, name, value).map_err(LogProblem::of_row)?
                    }
                    _ => hasher.category(name, name, text),
                }
            }
            row.context = hasher.context().map_err(LogProblem::of_row)?.into_values();
            reset(row);
            return Ok(());
        }
        for (index, name) in &self.features {
            let value = number(*index, name)?;
            check_value(name, value)?;
            row.context.push(value);
        }
        reset(row);
        Ok(())
    }
}

/// Resets the fields of a reused row for which CSV has no column.
fn reset(row: &mut LoggedDecision) {
    let LoggedDecision {
        context: _,
        arm: _,
        propensity: _,
        reward: _,
        available,
        probabilities,
        features,
        drop_probability,
        propensity_error,
    } = row;
    (*available, *probabilities, *features) = (None, None, None);
    (*drop_probability, *propensity_error) = (0.0, 0.0);
}

impl<R: Read> RowReader for CsvRows<R> {
    fn left_out(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

impl<R: Read> Iterator for CsvRows<R> {
    type Item = Result<LoggedDecision, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut row = LoggedDecision::default();
        match self.read(&mut row) {
            Ok(true) => Some(Ok(row)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// Returns the line number at which the last CSV record begins. The CSV reader reports only where the previous record
/// ended. Blank lines, or the second half of "\r
/// ", may follow that place. The number is therefore computed backwards from the end of the record.
fn line_of<R: Read>(reader: &Reader<RecentBytes<R>>, begun: Option<&Position>, text: &[u8]) -> u64 {
    let end = reader.position();
    let newline = reader.get_ref().byte_before(end.byte()) == Some(b'\n');
    let inside = text.iter().filter(|byte| **byte == b'\n').count() as u64;
    let line = end.line().saturating_sub(u64::from(newline) + inside);
    // A quote that is never closed may end in a newline that is the end of the record as well.
    line.max(begun.map_or(1, Position::line))
}

/// Reader that forwards bytes and remembers the most recent ones.
#[derive(Debug)]
struct RecentBytes<R> {
    reader: R,
    last: Vec<u8>,
    passed: u64,
}

impl<R> RecentBytes<R> {
    fn new(reader: R) -> Self {
        Self { reader, last: Vec::new(), passed: 0 }
    }

    /// Byte before `position`, if it was read recently.
    fn byte_before(&self, position: u64) -> Option<u8> {
        let behind = usize::try_from(self.passed.checked_sub(position)?).ok()?;
        self.last.len().checked_sub(behind + 1).map(|index| self.last[index])
    }
}

impl<R: Read> Read for RecentBytes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.reader.read(buffer)?;
        if length > 0 {
            self.last.clear();
            self.last.extend_from_slice(&buffer[..length]);
            self.passed += length as u64;
        }
        Ok(length)
    }
}

fn refuse(path: &Path, error: &csv::Error) -> LogError {
    if let csv::ErrorKind::Io(source) = error.kind() {
        return LogError::io(path, std::io::Error::new(source.kind(), source.to_string()));
    }
    let line = error.position().map_or(0, csv::Position::line);
    LogError::line(path, line, LogProblem::Malformed(error.to_string()))
}

impl LoggedDecision {
    /// Writes logged decisions as CSV, which [`CsvRows`] reads. Numbers are written with all digits, and features are
    /// named x0, x1 and so on. The first row defines the number of features. Rows are written one at a time, so that
    /// the output should be buffered. After an error, all rows before the invalid row have been written.
    ///
    /// # Errors
    /// * Fails if a row cannot be represented as CSV, or has a different number of features.
    /// * Fails if the output cannot be written.
    pub fn write_csv(out: impl Write, rows: impl IntoIterator<Item: Borrow<Self>>) -> Result<(), LogError> {
        let mut rows = rows.into_iter().peekable();
        let dimension = rows.peek().map_or(0, |row| row.borrow().context.len());
        let mut writer = Writer::from_writer(out);
        let features = (0..dimension).map(|index| format!("x{index}"));
        let header = COLUMNS.map(str::to_owned).into_iter().chain(features);
        writer.write_record(header).map_err(|error| refuse(Path::new("csv"), &error))?;
        let mut record = Vec::with_capacity(COLUMNS.len() + dimension);
        for row in rows {
            let row = row.borrow();
            let propensity = row.csv_propensity(dimension)?;
            record.clear();
            record.push(row.arm.number().to_string());
            let numbers = [propensity, row.reward].into_iter().chain(row.context.iter().copied());
            record.extend(numbers.map(|value| value.to_string()));
            writer.write_record(&record).map_err(|error| refuse(Path::new("csv"), &error))?;
        }
        writer.flush().map_err(|source| LogError::io(Path::new("csv"), source))
    }

    /// Propensity of the row for its CSV column. Fails if the row cannot be written as CSV: if its context is sparse or
    /// has another length, or if a value is missing or invalid.
    fn csv_propensity(&self, dimension: usize) -> Result<f64, LogError> {
        let propensity = self.propensity.ok_or_else(|| LogProblem::Missing("propensity".to_owned()));
        let propensity = propensity.map_err(|problem| LogError::Value { problem })?;
        if self.is_sparse() {
            let problem = LogProblem::Unsupported("sparse contexts in csv: `DecisionLog` writes them");
            return Err(LogError::Value { problem });
        }
        let checked = check_propensity(propensity)
            .and_then(|()| check_value("reward", self.reward))
            .and_then(|()| self.context.iter().try_for_each(|&value| check_value("context", value)));
        checked.map_err(|problem| LogError::Value { problem })?;
        if self.drop_probability != 0.0 {
            let problem = LogProblem::Malformed(format!(
                "the row has drop probability {}: csv has no column for it, use `write_dsjson`",
                self.drop_probability
            ));
            return Err(LogError::Value { problem });
        }
        if self.context.len() != dimension {
            let (expected, got) = (dimension, self.context.len());
            return Err(crate::error::Error::Dimension { what: "context", expected, got }.into());
        }
        Ok(propensity)
    }
}
