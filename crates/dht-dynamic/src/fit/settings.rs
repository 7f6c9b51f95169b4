//! Settings of an acceleration.

use dht_transformer::Pooling;

use crate::error::{Error, Result};
use crate::exit::NgramSettings;
use crate::logistic::MEMORY;
use crate::router::LeavingRule;

/// Targets that the exits are fitted to. [Side layers](SideSettings) also learn from the classifier's probabilities:
/// for `Labels`, both losses have equal weight; for the other two targets, side layers learn from these probabilities
/// alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Targets {
    /// The texts' own labels.
    #[default]
    Labels,
    /// The classes that the classifier predicts, for texts without labels. Reported accuracies are then agreement with
    /// the classifier.
    Predictions,
    /// For the exits, the probabilities that the classifier predicts (soft labels; Hinton et al. 2015); for all other
    /// fits, the texts' own labels.
    SoftLabels,
}

/// The settings of [`accelerate`](fn@crate::accelerate::accelerate).
#[derive(Debug, Clone, PartialEq)]
pub struct AccelerateSettings {
    /// The depths of the exits, ascending; the last is the classifier's depth. `None`, the default, for an exit after
    /// every layer.
    pub exits: Option<Vec<usize>>,
    /// The pooling of the exits before the last: the mean or the first token. The mean by default.
    pub pooling: Pooling,
    /// The targets that the exits are fitted to; [`Targets::Labels`] by default.
    pub targets: Targets,
    /// Side layers for the exits; [`SideSettings::default`] by default, `None` for linear exits. Side layers need
    /// held-out texts: if the texts are cross-fitted, exits are linear, and [`Report::side`](crate::accelerate::Report::side) is
    /// `None`.
    pub side: Option<SideSettings>,
    /// Values of C to select from for the exits, ascending. C is the weight of the loss relative to the penalty ½‖W‖²
    /// on standardised states. 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3 and 1 by default.
    pub c: Vec<f64>,
    /// The rule that decides at each stage whether a text continues: a threshold on the confidence or the entropy of
    /// the stacked answers, or the number of consecutive stages that agree. The threshold of the rule is the model's
    /// speed. [`LeavingRule::Confidence`] by default. [`Accelerated::with_router`](crate::accelerate::Accelerated::with_router)
    /// replaces the rule by any other [router](crate::Router).
    pub rule: LeavingRule,
    /// The n-gram classifier of the n-gram exit; [`NgramSettings::default`] by default, `None` for no n-gram exit. It
    /// reads tokens beyond the encoder's limit if the texts were encoded [with
    /// them](dht_transformer::TextTokenizer::with_rest). The special tokens around a text, such as
    /// `[CLS]`, are excluded only if [`left_out`](NgramSettings::left_out) lists them.
    pub ngram: Option<NgramSettings>,
    /// True if the n-gram exit also reads the mean of the encoder's input embeddings. True by default.
    pub embeddings: bool,
    /// The share of the texts that is held out if no held-out texts are given; 0.15 by default. If that is fewer than
    /// [`least_held_out`](Self::least_held_out) rows, all texts are cross-fitted instead.
    pub held_out_share: f64,
    /// The minimum number of held-out rows; see [`held_out_share`](Self::held_out_share). 200 by default.
    pub least_held_out: usize,
    /// The number of folds of a cross-fit, stratified by class, at least 2. 5 by default.
    pub folds: usize,
    /// The number of texts in a batch of the passes through the encoder; 64 by default.
    pub batch_size: usize,
    /// Memory in bytes for pooled states: four bytes for each text, exit and hidden unit. Where they are more, they are
    /// in a file in the [directory for temporary files](std::env::temp_dir) until the exits are fitted, which gives the
    /// same model. 2 GiB by default.
    pub state_bytes: usize,
}

/// Settings of the exits' side layers, trained by AdamW on the frozen encoder after the linear exits are fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct SideSettings {
    /// The number of columns of each [side layer](crate::exit::ExitKind::SideLayer); `None`, the default, for a
    /// sixth of the encoder's columns, rounded down to a multiple of 32 if above 32.
    pub width: Option<usize>,
    /// The peak learning rate: the rate rises over the first steps and then falls to 0. 0.001 by default.
    pub learning_rate: f64,
    /// The number of texts in a step; 32 by default.
    pub batch_size: usize,
}

impl Default for SideSettings {
    fn default() -> Self {
        Self { width: None, learning_rate: 1e-3, batch_size: 32 }
    }
}

impl SideSettings {
    /// The number of columns for an encoder of this width.
    pub(super) fn width(&self, hidden: usize) -> usize {
        let sixth = (hidden / 6).max(1);
        self.width.unwrap_or(if sixth > 32 { sixth - sixth % 32 } else { sixth })
    }

    /// Checks all ranges.
    ///
    /// # Errors
    /// [`Error::Argument`] names the field that is out of range.
    pub fn check(&self) -> Result<()> {
        if self.batch_size == 0 {
            return Err(Error::argument("side.batch_size", "at least 1", 0));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(Error::argument("side.learning_rate", "a finite number above 0", self.learning_rate));
        }
        Ok(())
    }
}

impl Default for AccelerateSettings {
    fn default() -> Self {
        Self {
            exits: None,
            pooling: Pooling::Mean,
            targets: Targets::default(),
            side: Some(SideSettings::default()),
            c: vec![1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0],
            rule: LeavingRule::Confidence,
            ngram: Some(NgramSettings::default()),
            embeddings: true,
            held_out_share: 0.15,
            least_held_out: 200,
            folds: 5,
            batch_size: 64,
            state_bytes: MEMORY,
        }
    }
}

impl AccelerateSettings {
    /// Checks all ranges.
    ///
    /// # Errors
    /// [`Error::Argument`] names the field that is out of range.
    pub fn check(&self) -> Result<()> {
        if self.pooling == Pooling::Pooler {
            return Err(Error::argument("pooling", "mean or cls: exits have no layer of their own", "pooler"));
        }
        let positive = self.c.iter().all(|c| c.is_finite() && *c > 0.0);
        if self.c.is_empty() || !positive || !self.c.is_sorted() {
            return Err(Error::argument("c", "positive numbers, ascending, at least one", format!("{:?}", self.c)));
        }
        if !(self.held_out_share > 0.0 && self.held_out_share < 1.0) {
            return Err(Error::argument("held_out_share", "above 0 and below 1", self.held_out_share));
        }
        let counts =
            [("folds", 2, self.folds), ("least_held_out", 1, self.least_held_out), ("batch_size", 1, self.batch_size)];
        for (field, least, got) in counts {
            if got < least {
                return Err(Error::argument(field, format!("at least {least}"), got));
            }
        }
        self.side.as_ref().map_or(Ok(()), SideSettings::check)?;
        self.ngram.as_ref().map_or(Ok(()), NgramSettings::check)
    }
}
