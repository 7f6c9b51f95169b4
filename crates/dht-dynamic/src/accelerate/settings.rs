//! How a classifier is accelerated.

use dht_transformer::Pooling;

use crate::error::{Error, Result};
use crate::exit::NgramSettings;
use crate::router::LeavingRule;

/// What the exits are fitted to. [Side layers](SideSettings) learn from the classifier's probabilities too: half and half with labels,
/// and alone with the other two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Targets {
    /// The texts' own labels.
    #[default]
    Labels,
    /// The classes that the classifier predicts: for texts without labels. "Accuracy" is then agreement with it.
    Predictions,
    /// The probabilities that the classifier predicts (soft labels; Hinton et al. 2015) for the exits, and the texts' own
    /// labels for everything else.
    SoftLabels,
}

/// The settings of [`accelerate`](super::accelerate).
#[derive(Debug, Clone, PartialEq)]
pub struct AccelerateSettings {
    /// The depths of the exits, ascending, the last of them that of the classifier; `None` for every layer.
    pub exits: Option<Vec<usize>>,
    /// How the exits before the last pool the states of a text: the mean or the first token's. The mean by default.
    pub pooling: Pooling,
    /// What the exits are fitted to.
    pub targets: Targets,
    /// Layers of their own for the exits; `None` for linear ones. They need held-out texts: where everything is cross-fitted,
    /// exits are linear, and [`Report::side`](super::Report::side) says so.
    pub side: Option<SideSettings>,
    /// The values of C to choose from for the exits, ascending: the weight of the loss beside the penalty ½‖W‖² on
    /// standardised states.
    pub c: Vec<f64>,
    /// What decides at each stage whether a text goes on: a threshold on the confidence or on the entropy of the stacked
    /// answers, or how many stages in a row agree. Its value is the model's speed. Any other [router](crate::Router) takes its place by
    /// [`Accelerated::with_router`](super::Accelerated::with_router).
    pub rule: LeavingRule,
    /// The n-gram classifier of the front exit; `None` for no front exit. The tokens around a text are
    /// [left out](NgramSettings::left_out) only where they are named.
    pub ngram: Option<NgramSettings>,
    /// Where no held-out texts are given: the share of the texts that is held out, if that makes at least
    /// [`least_held_out`](Self::least_held_out) rows. With fewer texts everything is cross-fitted instead.
    pub held_out_share: f64,
    /// See [`held_out_share`](Self::held_out_share).
    pub least_held_out: usize,
    /// The folds of a cross-fit.
    pub folds: usize,
    /// Texts in a batch of the passes through the encoder.
    pub batch_size: usize,
    /// Memory for the states of texts while side layers learn: two bytes for each token, exit and hidden unit. The encoder
    /// runs once for texts that fit into it, and once more in each pass for the others. 2 GiB by default.
    pub cache_bytes: usize,
}

/// The side layers of exits and how they learn: by AdamW, beside linear exits that are fitted before, on the frozen encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct SideSettings {
    /// The columns of each [side layer](crate::exit::ExitKind::SideLayer); `None` for a sixth of the encoder's, rounded down to a
    /// multiple of 32 where that is above 32.
    pub width: Option<usize>,
    /// Passes over the texts.
    pub epochs: usize,
    /// The peak learning rate; it rises over the first steps and falls to 0.
    pub learning_rate: f64,
    /// Texts in a step.
    pub batch_size: usize,
}

impl Default for SideSettings {
    fn default() -> Self {
        Self { width: None, epochs: 3, learning_rate: 1e-3, batch_size: 32 }
    }
}

impl SideSettings {
    /// The columns beside an encoder of this width.
    pub(super) fn width(&self, hidden: usize) -> usize {
        let sixth = (hidden / 6).max(1);
        self.width.unwrap_or(if sixth > 32 { sixth - sixth % 32 } else { sixth })
    }

    /// Checks all ranges.
    ///
    /// # Errors
    /// [`Error::Setting`] names the field that is out of range.
    pub fn check(&self) -> Result<()> {
        for (field, got) in [("side.epochs", self.epochs), ("side.batch_size", self.batch_size)] {
            if got == 0 {
                return Err(Error::setting(field, "at least 1", got));
            }
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(Error::setting("side.learning_rate", "a finite number above 0", self.learning_rate));
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
            held_out_share: 0.15,
            least_held_out: 200,
            folds: 5,
            batch_size: 64,
            cache_bytes: 2 << 30,
        }
    }
}

impl AccelerateSettings {
    /// Checks all ranges.
    ///
    /// # Errors
    /// [`Error::Setting`] names the field that is out of range.
    pub fn check(&self) -> Result<()> {
        if self.pooling == Pooling::Pooler {
            return Err(Error::setting("pooling", "mean or cls: exits have no layer of their own", "pooler"));
        }
        let positive = self.c.iter().all(|c| c.is_finite() && *c > 0.0);
        if self.c.is_empty() || !positive || !self.c.is_sorted() {
            return Err(Error::setting("c", "positive numbers, ascending, at least one", format!("{:?}", self.c)));
        }
        if !(self.held_out_share > 0.0 && self.held_out_share < 1.0) {
            return Err(Error::setting("held_out_share", "above 0 and below 1", self.held_out_share));
        }
        let counts =
            [("folds", 2, self.folds), ("least_held_out", 1, self.least_held_out), ("batch_size", 1, self.batch_size)];
        for (field, least, got) in counts {
            if got < least {
                return Err(Error::setting(field, format!("at least {least}"), got));
            }
        }
        self.side.as_ref().map_or(Ok(()), SideSettings::check)?;
        self.ngram.as_ref().map_or(Ok(()), NgramSettings::check)
    }
}
