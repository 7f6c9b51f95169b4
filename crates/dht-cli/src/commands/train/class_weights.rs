//! Weights of the classes in training: from `--balanced` or `--class-weight`.

use std::collections::BTreeMap;

use dht_dynamic::transformer::EncodedDataset;

use super::arguments::TrainArguments;
use crate::error::{Error, Result};

/// Name of the flag that weights single classes.
const FLAG: &str = "class-weight";

impl TrainArguments {
    /// Parses the values of `--class-weight`: the weight of each named class. A name may contain `=`, since the last
    /// `=` separates it from the weight.
    ///
    /// # Errors
    /// [`Error::Argument`] if a value is not NAME=WEIGHT, if a weight is not a finite number above 0, or if a class has
    /// two weights.
    pub(super) fn named_weights(&self) -> Result<BTreeMap<&str, f32>> {
        let mut weights = BTreeMap::new();
        for value in &self.class_weight {
            let (name, weight) = value
                .rsplit_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| Error::argument(FLAG, "NAME=WEIGHT, such as spam=5", value))?;
            let sound = weight.trim().parse::<f32>().ok().filter(|weight| weight.is_finite() && *weight > 0.0);
            let weight =
                sound.ok_or_else(|| Error::argument(FLAG, "a finite WEIGHT above 0 after the last =", value))?;
            if weights.insert(name, weight).is_some() {
                let got = format!("given twice for the class {name:?}");
                return Err(Error::argument(FLAG, "given once for each class", got));
            }
        }
        Ok(weights)
    }

    /// Weight of each class for training, divided by the mean weight of the training rows; `None` for equal weights.
    /// With `--balanced`, the weight of a class is inversely proportional to its number of rows; a class without
    /// training rows has the weight 1. With `--class-weight`, classes that are not named have the weight 1.
    ///
    /// # Errors
    /// [`Error::Argument`] if a named class does not exist, or if `--balanced` is set and fewer than two classes have
    /// rows.
    pub(super) fn class_weights(&self, train: &EncodedDataset) -> Result<Option<Vec<f32>>> {
        let named = self.named_weights()?;
        let mut weights = if self.balanced { balanced(train)? } else { vec![1.0; train.labels.len()] };
        if !self.balanced && named.is_empty() {
            return Ok(None);
        }
        for (name, weight) in named {
            let class = train.labels.iter().position(|label| label == name);
            let unknown = || Error::argument(FLAG, format!("a class of the rows: {}", train.labels.join(", ")), name);
            weights[class.ok_or_else(unknown)?] = weight;
        }
        let sum: f64 = train.samples.iter().map(|sample| f64::from(weights[sample.label as usize])).sum();
        let mean = sum / train.len().max(1) as f64;
        Ok(Some(weights.into_iter().map(|weight| (f64::from(weight) / mean) as f32).collect()))
    }

    /// Sentences of the model card on the weights of `classes` classes, with a leading space; empty for equal weights.
    pub(super) fn weights_sentences(&self, classes: usize) -> String {
        let named = self.named_weights().unwrap_or_default();
        let weights = if self.balanced {
            "each class had the reciprocal of its number of rows as its weight".to_owned()
        } else if named.is_empty() {
            return String::new();
        } else {
            let others = if named.len() < classes { ", and 1 for each other class" } else { "" };
            let named: Vec<String> = named.iter().map(|(name, weight)| format!("{name} {weight}")).collect();
            format!("classes had weights: {}{others}", named.join(", "))
        };
        format!(
            " In training, {weights}. Probabilities are those for texts in which the frequency of each class is \
             multiplied by its weight."
        )
    }
}

fn balanced(train: &EncodedDataset) -> Result<Vec<f32>> {
    let mut counts = vec![0_usize; train.labels.len()];
    train.samples.iter().for_each(|sample| counts[sample.label as usize] += 1);
    let with_rows = counts.iter().filter(|count| **count > 0).count();
    if with_rows < 2 {
        let got = format!("set for training rows of {with_rows}");
        return Err(Error::argument("balanced", "training rows of at least two classes", got));
    }
    let (rows, classes) = (train.len() as f32, counts.len() as f32);
    let of_class = |count: &usize| if *count == 0 { 1.0 } else { rows / (classes * *count as f32) };
    Ok(counts.iter().map(of_class).collect())
}
