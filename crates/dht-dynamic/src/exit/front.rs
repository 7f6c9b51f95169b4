//! The n-gram exit at depth 0, whose log-probabilities are added to those of every later exit.

use super::ngram::NgramClassifier;
use super::stacker::Stacker;
use crate::error::{Error, Result};
use crate::outputs::Outputs;

/// The exit at depth 0, with route `0L`: an n-gram classifier of the text's tokens, computed before any layer. Texts
/// with a confident answer leave at this exit. At each later exit the score of a class is a·ln p(n-gram) + b·ln
/// p(exit), with separate weights for each exit: see [`Stacker`].
///
/// It is used in inference only. Trainings ignore it, since its weights and the stackers' weights have no gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct FrontExit {
    ngram: NgramClassifier,
    stackers: Vec<Stacker>,
}

impl FrontExit {
    /// Combines an n-gram classifier with one pair of weights for each later exit, in the order of their depths.
    pub fn new(ngram: NgramClassifier, stackers: Vec<Stacker>) -> Self {
        Self { ngram, stackers }
    }

    /// N-gram classifier.
    pub fn ngram(&self) -> &NgramClassifier {
        &self.ngram
    }

    /// Weights of each exit, in the order of their depths.
    pub fn stackers(&self) -> &[Stacker] {
        &self.stackers
    }

    /// Rejects an n-gram exit whose number of weights is not this number of exits, or whose classes differ.
    pub(crate) fn check(&self, exits: usize, outputs: Outputs) -> Result<()> {
        let own = self.ngram.outputs();
        if own != outputs {
            return Err(Error::shape("outputs of the front exit", outputs.to_string(), own));
        }
        if self.stackers.len() != exits {
            return Err(Error::shape("stackers", format!("{exits}, one an exit"), self.stackers.len()));
        }
        match self.stackers.iter().find(|stacker| !(stacker.ngram.is_finite() && stacker.exit.is_finite())) {
            Some(stacker) => Err(Error::state("stacker", "finite weights", format!("{stacker:?}"))),
            None => Ok(()),
        }
    }
}
