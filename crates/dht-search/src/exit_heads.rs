//! The classifiers behind the exits.

use dht_transformer::{Classifier, ClassifierShape, Encoder, Hidden, Pass};
use rand::Rng;

use crate::{ExitClassifiers, Result, SearchSettings, SearchSpace};

/// One classifier for each exit, or one for all.
#[derive(Debug, Clone)]
pub(crate) struct ExitHeads {
    classifiers: Vec<Classifier>,
}

impl ExitHeads {
    pub(crate) fn new<R: Rng + ?Sized>(
        encoder: &mut Encoder,
        classes: usize,
        space: &SearchSpace,
        settings: &SearchSettings,
        rng: &mut R,
    ) -> Result<Self> {
        let mut add = |name: &str| encoder.add_classifier(name, classes, settings.pooling, rng);
        let names = Self::names(space, settings);
        let classifiers = names.iter().map(|name| add(name)).collect::<dht_transformer::Result<_>>()?;
        Ok(Self { classifiers })
    }

    /// What the parameters of each classifier start with, before a dot.
    pub(crate) fn names(space: &SearchSpace, settings: &SearchSettings) -> Vec<String> {
        match settings.exit_classifiers {
            ExitClassifiers::Shared => vec!["classifier".into()],
            ExitClassifiers::PerExit => {
                (0..space.exits().len()).map(|exit| format!("exit.{}.classifier", space.depth(exit))).collect()
            }
        }
    }

    fn at(&self, exit: usize) -> &Classifier {
        self.classifiers.get(exit).unwrap_or(&self.classifiers[0])
    }

    /// (samples, classes).
    pub(crate) fn logits(&self, exit: usize, hidden: &Hidden, pass: &Pass) -> Result<candle_core::Tensor> {
        Ok(self.at(exit).forward(hidden, pass)?)
    }

    /// The sizes of every one of them.
    pub(crate) fn shape(&self) -> ClassifierShape {
        self.classifiers[0].shape()
    }
}
