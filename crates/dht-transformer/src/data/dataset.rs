use std::collections::BTreeSet;

use rand::Rng;
use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

use super::columns::Columns;
use crate::error::{Error, Result};
use crate::storage::hexadecimal;

/// A text, or a pair of texts, and what is to be predicted of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The text, or the first sentence of a pair.
    pub text: String,
    /// The second sentence of a pair.
    pub pair: Option<String>,
    /// The class: an index into [`Dataset::labels`]; 0 where `targets` say what is to be predicted.
    pub label: usize,
    /// For each of [`Dataset::labels`] 1 if it applies and else 0, where several may; or one number. Empty for a class.
    pub targets: Vec<f32>,
}

/// Examples with the names of their classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What to call it in reports.
    pub name: String,
    /// The names of the classes or labels, sorted: by value when all are numbers, else by their letters. Of a data set of
    /// numbers, the one name of what they measure.
    pub labels: Vec<String>,
    /// The rows in the order of the file.
    pub examples: Vec<Example>,
    /// The SHA-256, in hexadecimal, of the file as it lies on the disk (compressed, if it is), or of the examples
    /// when they come from no file. Parts of a data set keep the whole's.
    pub sha256: String,
    /// The columns it was read from, if it was read.
    pub columns: Option<Columns>,
}

impl Dataset {
    /// A data set from no file, for generated corpora.
    ///
    /// # Errors
    /// [`Error::Setting`] when there are no labels, two of one name, no examples, an example of a class that is not
    /// there, one with another number of targets than labels, or one without text.
    pub fn from_examples(name: impl Into<String>, labels: Vec<String>, examples: Vec<Example>) -> Result<Self> {
        let refuse = |field, expected: &str, got: String| Err(Error::setting(field, expected, got));
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
            // Lengths first, so that no two different sets of examples give the same bytes.
            for part in [Some(labels[*label].as_str()), Some(text), pair.as_deref()] {
                hasher.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
                hasher.update(part.unwrap_or_default());
            }
            targets.iter().for_each(|target| hasher.update(target.to_le_bytes()));
        }
        let sha256 = hexadecimal(hasher);
        Ok(Self { name: name.into(), labels, examples, sha256, columns: None })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// The first `rows` rows (all, if there are fewer).
    pub fn take(mut self, rows: usize) -> Self {
        self.examples.truncate(rows);
        self
    }

    /// A random `fraction` of the rows as a validation set, and the rest: `(rest, validation)`, each in the order of
    /// the file, each with at least one row.
    ///
    /// # Errors
    /// [`Error::Setting`] when the fraction is not between 0 and 1, or there are fewer than two rows.
    pub fn split_validation<R: Rng + ?Sized>(self, fraction: f64, rng: &mut R) -> Result<(Self, Self)> {
        let rows = self.len();
        if !(fraction > 0.0 && fraction < 1.0) || rows < 2 {
            return Err(Error::setting(
                "fraction",
                "between 0 and 1, of two or more rows",
                format!("{fraction} of {rows} rows"),
            ));
        }
        let count = ((rows as f64 * fraction).round() as usize).clamp(1, rows - 1);
        let mut order: Vec<usize> = (0..rows).collect();
        order.shuffle(rng);
        let mut validates = vec![false; rows];
        for &row in &order[..count] {
            validates[row] = true;
        }
        let Self { name, labels, examples, sha256, columns } = self;
        let part = |name| Self {
            name,
            labels: labels.clone(),
            examples: Vec::new(),
            sha256: sha256.clone(),
            columns: columns.clone(),
        };
        let (mut rest, mut validation) = (part(name.clone()), part(format!("{name} (validation)")));
        for (example, validates) in examples.into_iter().zip(validates) {
            if validates { &mut validation } else { &mut rest }.examples.push(example);
        }
        Ok((rest, validation))
    }
}
