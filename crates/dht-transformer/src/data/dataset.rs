use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use rand::Rng;
use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

use super::hold_out::{HoldOut, number_equal};
use super::reading::{LabelKind, Reading};
use crate::error::{Error, Result};
use crate::storage::hexadecimal;

/// Maximum number of label names that the description of a data set lists.
const LISTED: usize = 5;

/// Text or text pair with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Text, or the first text of a pair.
    pub text: String,
    /// Second text of a pair; `None` for a single text.
    pub pair: Option<String>,
    /// Class of the text, as an index into [`Dataset::labels`]. It is 0 for multi-label and regression data, where
    /// `targets` holds the labels.
    pub label: usize,
    /// Targets of a multi-label or regression example; empty for single-label data. Multi-label data has one target for
    /// each entry of [`Dataset::labels`]: 1 if the label applies, otherwise 0. Regression data has one number.
    pub targets: Vec<f32>,
}

impl Example {
    /// Creates an example of a single text and its class.
    pub fn new(text: impl Into<String>, label: usize) -> Self {
        Self { text: text.into(), pair: None, label, targets: Vec::new() }
    }

    /// Normalises a text: removes the whitespace around it, and converts line ends to `\n`. All readers and services
    /// call this function, so that training and inference see the same text.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::Example;
    ///
    /// assert_eq!(Example::clean_text("  fine\r\nfood "), "fine\nfood");
    /// ```
    pub fn clean_text(text: &str) -> Cow<'_, str> {
        let text = text.trim_matches(|sign: char| sign.is_whitespace() || sign == '\u{feff}');
        if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
    }
}

/// Labelled texts, with the names of their classes.
///
/// # Examples
/// ```
/// use dht_transformer::{Dataset, Example};
///
/// let examples = vec![Example::new("Fine food", 1), Example::new("Bad food", 0), Example::new("Fine staff", 1)];
/// let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
/// assert_eq!(data.class_counts(), [1, 2]);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Name of the data set in reports.
    pub name: String,
    /// Names of the classes or labels, sorted by value if all are numbers, otherwise alphabetically. For regression,
    /// the only entry is the name of the quantity.
    pub labels: Vec<String>,
    /// Rows in the order of the file.
    pub examples: Vec<Example>,
    /// SHA-256 checksum in hexadecimal of the file on disk (in its compressed form, if it is compressed). For examples
    /// in memory, the checksum covers the examples. A subset of a data set has the checksum of the whole data set.
    pub sha256: String,
    /// Format, columns and labels that the reader detected in the file. `None` for examples in memory.
    pub reading: Option<Reading>,
}

impl Dataset {
    /// Creates a data set from examples in memory.
    ///
    /// # Errors
    /// [`Error::Argument`] in these cases:
    ///
    /// - There are no labels, or two labels are equal.
    /// - There are no examples.
    /// - An example has an unknown class, no text, or a number of targets that differs from the number of labels.
    pub fn from_examples(name: impl Into<String>, labels: Vec<String>, examples: Vec<Example>) -> Result<Self> {
        let refuse = |field, expected: &str, got: String| Err(Error::argument(field, expected, got));
        if labels.is_empty() || labels.iter().collect::<BTreeSet<_>>().len() != labels.len() {
            return refuse("labels", "one or more different names", format!("{labels:?}"));
        }
        if examples.is_empty() {
            return refuse("examples", "one or more", "none".into());
        }
        let mut hasher = Sha256::new();
        for (row, Example { text, pair, label, targets }) in examples.iter().enumerate() {
            if *label >= labels.len() {
                return refuse("label", "a class that is there", format!("{label} of {} in row {row}", labels.len()));
            }
            if !targets.is_empty() && targets.len() != labels.len() {
                let expected = format!("none, or {}, one for each label", labels.len());
                return refuse("targets", &expected, format!("{} in row {row}", targets.len()));
            }
            if let Some(target) = targets.iter().find(|target| !target.is_finite()) {
                return refuse("targets", "finite numbers", format!("{target} in row {row}"));
            }
            if text.trim().is_empty() && pair.as_ref().is_none_or(|pair| pair.trim().is_empty()) {
                return refuse("text", "some text", format!("none in row {row}"));
            }
            // Lengths come first, so that different sets of examples never give the same bytes.
            for part in [Some(labels[*label].as_str()), Some(text), pair.as_deref()] {
                hasher.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
                hasher.update(part.unwrap_or_default());
            }
            targets.iter().for_each(|target| hasher.update(target.to_le_bytes()));
        }
        let sha256 = hexadecimal(hasher);
        Ok(Self { name: name.into(), labels, examples, sha256, reading: None })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Returns whether the data set is empty.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// Keeps the first `rows` rows, or all if there are fewer.
    pub fn take(mut self, rows: usize) -> Self {
        self.examples.truncate(rows);
        self
    }

    /// Keeps the rows that satisfy a condition, in order.
    pub fn filter(mut self, keep: impl FnMut(&Example) -> bool) -> Self {
        self.examples.retain(keep);
        self
    }

    /// Selects rows by their index, in the order of `rows`.
    ///
    /// # Errors
    /// [`Error::Range`] for a row that does not exist.
    pub fn select(&self, rows: impl IntoIterator<Item = usize>) -> Result<Self> {
        let row = |row: usize| {
            let example = self.examples.get(row).cloned();
            example.ok_or_else(|| Error::Range { what: "row", got: row, below: self.len() })
        };
        let examples = rows.into_iter().map(row).collect::<Result<_>>()?;
        let Self { name, labels, sha256, reading, .. } = self;
        Ok(Self {
            name: name.clone(),
            labels: labels.clone(),
            examples,
            sha256: sha256.clone(),
            reading: reading.clone(),
        })
    }

    /// Appends the rows of another data set. Classes with the same name become one class.
    ///
    /// # Errors
    /// [`Error::Argument`] if the other data set has a class that this one lacks, or if rows have targets and the label
    /// names differ.
    pub fn concatenate(self, other: Self) -> Result<Self> {
        let place = |name: &String| self.labels.iter().position(|own| own == name);
        let places: Vec<Option<usize>> = other.labels.iter().map(place).collect();
        let mut examples = self.examples;
        for mut example in other.examples {
            if !example.targets.is_empty() && other.labels != self.labels {
                return Err(Error::argument("labels", format!("{:?}", self.labels), format!("{:?}", other.labels)));
            }
            example.label = places[example.label].ok_or_else(|| {
                Error::argument(
                    "labels",
                    format!("some of {:?}", self.labels),
                    format!("{:?}", other.labels[example.label]),
                )
            })?;
            examples.push(example);
        }
        Self::from_examples(self.name, self.labels, examples)
    }

    /// Number of rows of each class. In multi-label data, the number of rows to which each label applies.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.labels.len()];
        for example in &self.examples {
            match &*example.targets {
                [] => counts[example.label] += 1,
                targets => {
                    counts.iter_mut().zip(targets).for_each(|(count, target)| *count += usize::from(*target > 0.0));
                }
            }
        }
        counts
    }

    /// Name of the first class or label that occurs in no row. `None` if each of them occurs, and for regression.
    pub fn class_without_rows(&self) -> Option<&str> {
        let mut counts = self.class_counts();
        if self.examples.iter().any(|example| !example.targets.is_empty()) {
            let is_number = self.reading.as_ref().is_none_or(|reading| reading.kind == LabelKind::Number);
            counts.fill(usize::from(is_number));
            for example in &self.examples {
                counts
                    .iter_mut()
                    .zip(&example.targets)
                    .for_each(|(count, target)| *count += usize::from(*target > 0.0));
            }
        }
        let empty = counts.into_iter().position(|count| count == 0)?;
        Some(&self.labels[empty])
    }

    /// Draws a random sample of `rows` rows, stratified by class. If there are fewer rows, returns all. The sample
    /// keeps the order of the file. Each class has at least one row if `rows` is at least the number of classes.
    pub fn sample<R: Rng + ?Sized>(mut self, rows: usize, rng: &mut R) -> Self {
        let all = self.len();
        if rows >= all {
            return self;
        }
        let mut order: Vec<usize> = (0..all).collect();
        order.shuffle(rng);
        // Each draw takes a row of the class that is furthest behind its share. The k-th of a class's n rows is due at
        // (k + ½) / n.
        let counts = self.class_counts();
        let of_classes = self.examples.iter().all(|example| example.targets.is_empty());
        let mut taken = vec![0_usize; self.labels.len()];
        let mut due: Vec<(bool, f64, usize)> = Vec::with_capacity(all);
        for (place, &row) in order.iter().enumerate() {
            let class = self.examples[row].label;
            let at = match of_classes {
                true => (taken[class] as f64 + 0.5) / counts[class] as f64,
                false => place as f64,
            };
            // The first row of each class comes before all other rows.
            due.push((of_classes && taken[class] > 0, at, row));
            taken[class] += 1;
        }
        due.sort_by(|left, right| left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)));
        let mut keeps = vec![false; all];
        due.iter().take(rows).for_each(|(_, _, row)| keeps[*row] = true);
        let mut keeps = keeps.into_iter();
        self.examples.retain(|_| keeps.next().unwrap_or(false));
        self
    }

    /// Splits off a `fraction` of the rows as a validation set, stratified by class. Returns `(rest, validation)`. Both
    /// parts keep the order of the file and have at least one row.
    ///
    /// The number of validation rows of each class is proportional to the class, rounded to a neighbouring integer. A
    /// class with two or more different texts has at least one row in both parts. If these minima would more than
    /// double the validation set, they are dropped, and small classes have a validation row only by chance. Every class
    /// has a row in `rest`.
    ///
    /// Rows with the same text (for pairs: with the same two texts) go to the same part, so that no validation text
    /// occurs in `rest`. If texts repeat, the validation set may therefore be smaller than the fraction. A text with
    /// more rows than the validation share of its class stays in `rest`. For each class, the validation set receives at
    /// most 1.5 times as large a fraction of the different texts as of the rows.
    ///
    /// Multi-label and regression rows have no classes. They are split at random; rows with the same text go to the
    /// same part.
    ///
    /// # Errors
    /// [`Error::Argument`] if the fraction is not between 0 and 1, if there are fewer than two rows, or if no text can
    /// be split off because each is the only text of a class.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::{Dataset, Example};
    /// # use rand::SeedableRng;
    ///
    /// let examples = (0..16).map(|row| Example::new(format!("text {row}"), row % 2)).collect();
    /// let data = Dataset::from_examples("numbers", vec!["even".into(), "odd".into()], examples)?;
    /// let (rest, validation) = data.split_validation(0.25, &mut rand_chacha::ChaCha8Rng::seed_from_u64(1))?;
    /// assert_eq!((rest.len(), validation.class_counts()), (12, vec![2, 2]));
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    pub fn split_validation<R: Rng + ?Sized>(self, fraction: f64, rng: &mut R) -> Result<(Self, Self)> {
        self.split(fraction, true, "validation", rng)
    }

    /// Splits off a `fraction` of the rows as a random calibration set. Returns `(rest, calibration)`.
    ///
    /// The split works as [`split_validation`](Self::split_validation), except that rare classes have no minimum number
    /// of rows. A minimum would give rare classes too much weight, and a confidence bound on an error rate requires a
    /// random sample.
    ///
    /// # Errors
    /// Same errors as [`split_validation`](Self::split_validation).
    pub fn split_calibration<R: Rng + ?Sized>(self, fraction: f64, rng: &mut R) -> Result<(Self, Self)> {
        self.split(fraction, false, "calibration", rng)
    }

    fn split<R: Rng + ?Sized>(
        self,
        fraction: f64,
        at_least_one: bool,
        purpose: &str,
        rng: &mut R,
    ) -> Result<(Self, Self)> {
        let texts = number_equal(self.examples.iter().map(|row| (row.text.as_str(), row.pair.as_deref())));
        let has_classes = self.examples.iter().all(|row| row.targets.is_empty());
        let classes = self.examples.iter().map(|row| if has_classes { row.label } else { 0 }).collect();
        let is_held = HoldOut { texts, classes, at_least_one }.select(fraction, rng)?;
        let Self { name, labels, examples, sha256, reading } = self;
        let part = |name| Self {
            name,
            labels: labels.clone(),
            examples: Vec::new(),
            sha256: sha256.clone(),
            reading: reading.clone(),
        };
        let (mut rest, mut held) = (part(name.clone()), part(format!("{name} ({purpose})")));
        for (example, is_held) in examples.into_iter().zip(is_held) {
            if is_held { &mut held } else { &mut rest }.examples.push(example);
        }
        Ok((rest, held))
    }
}

/// Writes the name, the number of rows, the first label names and the detected columns.
impl fmt::Display for Dataset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, labels) = (self.len(), self.labels.len());
        let first = self.labels[..labels.min(LISTED)].join(", ");
        let more = if labels > LISTED { ", …" } else { "" };
        let (row_s, label_s) = (if rows == 1 { "" } else { "s" }, if labels == 1 { "" } else { "s" });
        write!(formatter, "{}: {rows} row{row_s}; {labels} label{label_s}: {first}{more}", self.name)?;
        self.reading.iter().try_for_each(|reading| write!(formatter, "; {reading}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(labels: &[&str], rows: &[(&str, usize)]) -> Result<Dataset> {
        let examples = rows.iter().map(|(text, label)| Example::new(*text, *label)).collect();
        Dataset::from_examples("reviews", labels.iter().map(ToString::to_string).collect(), examples)
    }

    #[test]
    fn rows_are_chosen_and_joined_by_the_names_of_their_classes() -> Result<()> {
        let first = data(&["bad", "good"], &[("dull", 0), ("fine", 1), ("nice", 1)])?;
        let texts = |data: &Dataset| -> Vec<(String, usize)> {
            data.examples.iter().map(|row| (row.text.clone(), row.label)).collect()
        };
        assert_eq!(texts(&first.select([2, 0])?), [("nice".into(), 1), ("dull".into(), 0)]);
        assert!(matches!(first.select([3]), Err(Error::Range { what: "row", got: 3, .. })));
        assert_eq!(first.clone().filter(|row| row.label == 1).len(), 2);
        let second = data(&["good", "bad"], &[("sad", 1)])?;
        let both = first.clone().concatenate(second)?;
        assert_eq!(texts(&both)[3], ("sad".into(), 0));
        assert_ne!(both.sha256, first.sha256);
        let other = data(&["good", "odd"], &[("strange", 1)])?;
        let refused = first.concatenate(other).expect_err("a class that is not there");
        assert!(refused.to_string().contains("odd"), "{refused}");
        Ok(())
    }
}
