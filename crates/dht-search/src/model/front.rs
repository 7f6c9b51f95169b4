//! The front exit: an n-gram classifier before the first layer, whose log-probabilities are added to those of every exit.

use candle_core::{Device, Tensor};
use dht_transformer::tensors::log_softmax;

use super::log_probabilities::LogProbabilities;
use super::ngram::NgramClassifier;
use super::stacker::Stacker;
use crate::error::{Error, Result};

/// Exit 0, of route `0L`: an n-gram classifier that reads every text before the encoder does. Texts of which it is sure
/// leave there. At the exits behind it the score of a class is a·ln p(n-gram) + b·ln p(exit), with weights of each exit's own: see
/// [`Stacker`].
///
/// It serves inference: trainings run without it, since neither its weights nor the stackers' have gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct FrontExit {
    ngram: NgramClassifier,
    stackers: Vec<Stacker>,
}

impl FrontExit {
    /// A front exit with the weights of each exit behind it, in the order of their depths.
    pub fn new(ngram: NgramClassifier, stackers: Vec<Stacker>) -> Self {
        Self { ngram, stackers }
    }

    /// The n-gram classifier.
    pub fn ngram(&self) -> &NgramClassifier {
        &self.ngram
    }

    /// The weights of each exit, in the order of their depths.
    pub fn stackers(&self) -> &[Stacker] {
        &self.stackers
    }

    /// Refuses a front exit that does not belong before so many exits of so many classes.
    pub(super) fn check(&self, exits: usize, classes: usize) -> Result<()> {
        if self.ngram.classes() != classes {
            return Err(Error::setting("classes of the front exit", classes.to_string(), self.ngram.classes()));
        }
        if self.stackers.len() != exits {
            return Err(Error::setting("stackers", format!("{exits}, one an exit"), self.stackers.len()));
        }
        match self.stackers.iter().find(|stacker| !(stacker.ngram.is_finite() && stacker.exit.is_finite())) {
            Some(stacker) => Err(Error::setting("stacker", "finite weights", format!("{stacker:?}"))),
            None => Ok(()),
        }
    }

    /// What is stacked on the exits' logits for samples of these n-gram log-probabilities.
    pub(crate) fn stacking(&self, ngram: LogProbabilities) -> Stacking<'_> {
        Stacking { stackers: &self.stackers, ngram }
    }
}

/// What the n-gram classifier said of the samples of a batch, to be stacked on what the exits say.
pub(crate) struct Stacking<'a> {
    stackers: &'a [Stacker],
    /// By sample of the batch.
    ngram: LogProbabilities,
}

impl Stacking<'_> {
    /// The stacked log-probabilities of these samples at an exit in f64, from the exit's logits. Shape of both: (samples,
    /// classes).
    pub(crate) fn stack(&self, exit: usize, logits: &Tensor, members: &[usize]) -> Result<Tensor> {
        let rows: Vec<Vec<f32>> = log_softmax(logits)?.to_vec2()?;
        let exits = LogProbabilities::new(self.ngram.classes(), rows.concat().into_iter().map(f64::from).collect())?;
        let stacked = self.stackers[exit].stack(&self.ngram.select(members), &exits)?;
        // On the CPU, where they have come from: Metal has no f64.
        Ok(Tensor::from_slice(stacked.values(), logits.shape(), &Device::Cpu)?)
    }

    /// FLOPs of stacking one text at one exit.
    pub(super) fn flops(&self) -> u64 {
        Stacker::flops(self.ngram.classes())
    }
}
