//! Peak learning rate: a value, or a search in short training runs.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use dht_dynamic::ladder::mean_loss;
use dht_dynamic::transformer::{AdamWSettings, EncodedDataset, TextClassifier, TrainSettings, Trainer};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};

/// Maximum number of training rows in a trial of a learning rate.
const TRIAL_ROWS: usize = 2_000;

/// Value of the flag `--lr`.
#[derive(Debug, Clone, PartialEq)]
pub enum LearningRate {
    /// Learning rate set by the user.
    Given(f64),
    /// Search for the best of a few learning rates.
    Find,
    /// Any other text, which [`check`](Self::check) rejects.
    Other(String),
}

impl FromStr for LearningRate {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text, text.parse()) {
            ("find", _) => Self::Find,
            (_, Ok(rate)) => Self::Given(rate),
            (_, Err(_)) => Self::Other(text.into()),
        })
    }
}

impl fmt::Display for LearningRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(rate) => rate.fmt(f),
            Self::Find => f.write_str("find"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl LearningRate {
    /// Rejects values that are neither a learning rate nor the request for a search.
    ///
    /// # Errors
    /// [`Error::Argument`] if the value is not a learning rate.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Find => Ok(()),
            Self::Given(rate) if rate.is_finite() && *rate > 0.0 => Ok(()),
            other => Err(Error::argument("lr", "a finite number above 0, or find", other)),
        }
    }
}

/// Trials of several learning rates: short training runs, each for one pass over a random sample of the training rows.
#[derive(Debug)]
pub struct LearningRateTrials<'a> {
    /// Settings of the training run, except the learning rate.
    pub settings: &'a TrainSettings,
    /// Training rows.
    pub train: &'a EncodedDataset,
    /// Validation rows. The learning rate with the lowest loss on them is selected.
    pub validation: &'a EncodedDataset,
}

impl LearningRateTrials<'_> {
    /// Selects the learning rate with the lowest validation loss. `create` builds an untrained classifier.
    ///
    /// # Errors
    /// [`Error::Transformer`] if a training run fails. A run that diverges is not an error: its loss counts as
    /// infinite.
    pub fn best_of(
        &self,
        rates: &[f64],
        create: impl Fn() -> Result<TextClassifier>,
        mut say: impl FnMut(&str),
    ) -> Result<f64> {
        let Self { settings, train, validation } = *self;
        let part = train.sample(TRIAL_ROWS, &mut ChaCha8Rng::seed_from_u64(settings.seed));
        let mut best: Option<(f64, f64)> = None;
        for &rate in rates {
            let optimizer = AdamWSettings { learning_rate: rate, ..settings.optimizer.clone() };
            let trial = TrainSettings { epochs: 1, patience: None, optimizer, ..settings.clone() };
            let mut model = create()?;
            let trained = Trainer::new(trial).fit(&mut model, &part, None, &mut ());
            let loss = match trained {
                Ok(_) => mean_loss(&model, validation, 2 * settings.batch_size)?,
                Err(dht_dynamic::transformer::Error::Diverged { .. }) => f64::INFINITY,
                Err(error) => return Err(error.into()),
            };
            say(&format!("learning rate {rate}: validation loss {loss:.4} after {} rows", part.len()));
            if best.is_none_or(|(_, least)| loss < least) {
                best = Some((rate, loss));
            }
        }
        let (rate, _) = best.ok_or_else(|| Error::argument("lr", "rates to choose from", "none"))?;
        say(&format!("learning rate {rate} is used: its loss is the lowest"));
        Ok(rate)
    }
}
