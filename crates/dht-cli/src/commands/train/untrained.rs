//! Creation of the classifier before training.

use std::collections::BTreeMap;

use candle_core::Device;
use dht_dynamic::transformer::storage::StoredTensor;
use dht_dynamic::transformer::{EncodedDataset, Pooling, TextClassifier};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::arguments::TrainArguments;
use crate::error::Result;
use crate::training::Start;

/// ChaCha stream number of the random generator for the encoder's weights.
const WEIGHTS: u64 = 0x5765_6967_6874_7300;
const CLASSIFIER: u64 = 0x436c_6173_7369_6679;

/// Builder of the classifier before training. All classifiers that [`create`](Self::create) builds are equal.
pub(super) struct UntrainedClassifier<'a> {
    arguments: &'a TrainArguments,
    start: &'a Start,
    device: &'a Device,
    vocabulary: usize,
    classes: usize,
    /// True if training starts from a saved model whose last layer is kept, because its classes are among those of the
    /// rows.
    keeps_head: bool,
    /// Weight of each class in training; `None` for equal weights.
    class_weights: Option<&'a [f32]>,
}

impl<'a> UntrainedClassifier<'a> {
    /// Creates the builder for training rows; `vocabulary` is the number of tokens.
    pub(super) fn new(
        arguments: &'a TrainArguments,
        start: &'a Start,
        device: &'a Device,
        train: &EncodedDataset,
        vocabulary: usize,
        keeps_head: bool,
        class_weights: Option<&'a [f32]>,
    ) -> Self {
        Self { arguments, start, device, vocabulary, classes: train.labels.len(), keeps_head, class_weights }
    }

    /// Weight of each class in training; `None` for equal weights.
    pub(super) fn class_weights(&self) -> Option<&'a [f32]> {
        self.class_weights
    }

    pub(super) fn create(&self) -> Result<TextClassifier> {
        let Self { arguments, start, .. } = self;
        let encoder = start.encoder(self.vocabulary, self.device, &mut generator(arguments.seed, WEIGHTS))?;
        let encoder = match arguments.layers {
            Some(layers) => encoder.truncated(layers)?,
            None => encoder,
        };
        encoder.parameters().compute_in(arguments.precision)?;
        let mut rng = generator(arguments.seed, CLASSIFIER);
        let task = arguments.texts.task();
        let pooling = match start.pooling()? {
            // Rung 1 requires a frozen encoder, and a pooler would not be frozen.
            Pooling::Pooler if arguments.without_rungs(start).is_none() || arguments.fits_head(start) => Pooling::Mean,
            pooling => pooling,
        };
        let classifier = TextClassifier::for_task(task, encoder, self.classes, pooling, &mut rng)?;
        if self.keeps_head {
            keep_head(&classifier, start.head()?)?;
        }
        Ok(match self.class_weights {
            Some(weights) => classifier.with_class_weights(weights)?,
            None => classifier,
        })
    }
}

/// Copies the last layer of a trained classifier into `classifier`, which may have more classes. The trained classes
/// come first, in the same order.
fn keep_head(classifier: &TextClassifier, trained: BTreeMap<String, StoredTensor>) -> Result<()> {
    let parameters = classifier.encoder().parameters();
    let mut values = parameters.values_where(|name| trained.contains_key(name))?;
    for (name, trained) in trained {
        let Some(own) = values.get_mut(&name) else { continue };
        let is_prefix = own.shape.len() == trained.shape.len() && own.shape[1..] == trained.shape[1..];
        if is_prefix && trained.values.len() <= own.values.len() {
            own.values[..trained.values.len()].copy_from_slice(&trained.values);
        }
    }
    Ok(parameters.update_values(values)?)
}

fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}
