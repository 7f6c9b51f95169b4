//! The exit at depth 0: an n-gram classifier whose log-probabilities are added to those of every exit behind it.

use dht_transformer::ForwardContext;

use super::exit::{Exit, ExitAnswers, ExitTexts};
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
    pub(crate) fn check(&self, exits: usize, classes: usize) -> Result<()> {
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
}

impl Exit for FrontExit {
    fn answers(&self, texts: &ExitTexts<'_>, ctx: &ForwardContext) -> Result<ExitAnswers> {
        self.ngram.answers(texts, ctx)
    }
}
