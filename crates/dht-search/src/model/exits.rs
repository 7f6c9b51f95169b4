//! The classifiers behind the exits.

use dht_transformer::{Classifier, Encoder, ForwardContext, Hidden, flops::ClassifierShape};
use rand::Rng;

use crate::error::Result;
use crate::settings::{ClassifierSharing, SearchSettings};
use crate::space::SearchSpace;

/// One classifier for each exit, or one for all.
#[derive(Debug, Clone)]
pub(crate) struct ExitClassifiers {
    /// By the total depth of the routes that leave there; one for all where they share it.
    classifiers: Vec<(usize, Classifier)>,
}

impl ExitClassifiers {
    pub(crate) fn new<R: Rng + ?Sized>(
        encoder: &mut Encoder,
        classes: usize,
        space: &SearchSpace,
        settings: &SearchSettings,
        rng: &mut R,
    ) -> Result<Self> {
        let mut add = |name: &str| encoder.add_classifier(name, classes, settings.pooling, rng);
        let names = Self::names(space, settings);
        let depths = (0..space.exits().len()).map(|exit| space.depth(exit));
        let classifiers = names.iter().zip(depths).map(|(name, depth)| Ok((depth, add(name)?)));
        Ok(Self { classifiers: classifiers.collect::<Result<_>>()? })
    }

    /// The classifiers of a later space: those of its depths that are there, and new ones for the others.
    pub(crate) fn with_next_phase<R: Rng + ?Sized>(
        &self,
        encoder: &mut Encoder,
        space: &SearchSpace,
        settings: &SearchSettings,
        rng: &mut R,
    ) -> Result<Self> {
        let names = Self::names(space, settings);
        let mut classifiers = Vec::with_capacity(names.len());
        for (exit, name) in names.iter().enumerate() {
            let depth = space.depth(exit);
            let shared = settings.classifier_sharing == ClassifierSharing::Shared;
            let own = self.classifiers.iter().find(|(own, _)| shared || *own == depth);
            let classifier = match own {
                Some((_, own)) => own.clone(),
                None => encoder.add_classifier(name, self.shape().classes, settings.pooling, rng)?,
            };
            classifiers.push((depth, classifier));
        }
        Ok(Self { classifiers })
    }

    /// What the parameters of each classifier start with, before a dot.
    pub(crate) fn names(space: &SearchSpace, settings: &SearchSettings) -> Vec<String> {
        match settings.classifier_sharing {
            ClassifierSharing::Shared => vec!["classifier".into()],
            ClassifierSharing::PerExit => {
                (0..space.exits().len()).map(|exit| format!("exit.{}.classifier", space.depth(exit))).collect()
            }
        }
    }

    fn at(&self, exit: usize) -> &Classifier {
        &self.classifiers.get(exit).unwrap_or(&self.classifiers[0]).1
    }

    /// (samples, classes).
    pub(crate) fn logits(&self, exit: usize, hidden: &Hidden, ctx: &ForwardContext) -> Result<candle_core::Tensor> {
        Ok(self.at(exit).forward(hidden, ctx)?)
    }

    /// The sizes of every one of them.
    pub(crate) fn shape(&self) -> ClassifierShape {
        self.classifiers[0].1.shape()
    }
}
