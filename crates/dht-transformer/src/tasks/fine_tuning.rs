//! Fine-tuning of a classifier on labels, with a count of its FLOPs.

use serde_json::{Value, json};

use super::text_classifier::TextClassifier;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, Result, SettingMismatch};
use crate::flops::Load;
use crate::tensors::Parameters;
use crate::train::{Objective, Progress, StepLoss};

/// Fine-tuning of a [`TextClassifier`] that counts the FLOPs of its training steps. The trained weights are
/// bit-identical to those of training the classifier directly.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use dht_transformer::data::generated::GeneratedText;
/// use dht_transformer::tasks::FineTuning;
/// use dht_transformer::{BertConfig, Dataset, Encoder, Pooling, TextClassifier, TextTokenizer, TrainSettings, Trainer};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
///
/// let tokenizer = TextTokenizer::from_vocabulary(&GeneratedText::vocabulary())?;
/// let texts = tokenizer.encode_all(&Dataset::generated(8, 1)?, 64)?;
/// let config = BertConfig::small(2, 2, 8, tokenizer.vocabulary_size())?;
/// let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
///
/// let mut fine_tuning = FineTuning::new(TextClassifier::new(encoder, 4, Pooling::Mean, &mut rng)?);
/// let settings = TrainSettings { epochs: 1, batch_size: 4, ..TrainSettings::default() };
/// Trainer::new(settings).fit(&mut fine_tuning, &texts, None, &mut ())?;
/// assert!(fine_tuning.flops() > 0);
/// let classifier = fine_tuning.into_model();
/// # assert_eq!(classifier.classifier().classes(), 4);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug)]
pub struct FineTuning {
    model: TextClassifier,
    flops: u64,
}

impl FineTuning {
    /// Wraps a classifier for fine-tuning.
    pub fn new(model: TextClassifier) -> Self {
        Self { model, flops: 0 }
    }

    /// Classifier with its current weights.
    pub fn model(&self) -> &TextClassifier {
        &self.model
    }

    /// Returns the trained classifier.
    pub fn into_model(self) -> TextClassifier {
        self.model
    }

    /// FLOPs of all matrix products in the training run so far: forward and backward passes, without validation.
    pub fn flops(&self) -> u64 {
        self.flops
    }
}

/// Reads a FLOP count from the stored state of a training run. `field` is its name in the state.
pub(super) fn stored_flops(state: &Value, field: &'static str) -> Result<u64> {
    let flops = &state[field];
    flops.as_u64().ok_or_else(|| Error::argument(field, "a number of FLOPs in the training state", flops.to_string()))
}

impl Objective for FineTuning {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn check_data(&self, data: &EncodedDataset) -> Result<()> {
        self.model.check_data(data)
    }

    fn prepare(&mut self, training: &EncodedDataset, progress: Progress) -> Result<()> {
        self.model.prepare(training, progress)
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        let load = Load::from(&batch.spans);
        let step = self.model.offer(batch, progress)?;
        self.flops += (self.model.forward_flops(load) + self.model.backward_flops(load)).0;
        Ok(step)
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.model.score(data, batch_size)
    }

    fn metric(&self) -> &'static str {
        self.model.metric()
    }

    fn state(&self) -> Result<Value> {
        Ok(json!({ "model": self.model.state()?, "flops": self.flops }))
    }

    fn differences(&self, state: &Value) -> Result<Vec<SettingMismatch>> {
        self.model.differences(&state["model"])
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        let flops = stored_flops(&state, "flops")?;
        self.model.restore(state["model"].clone(), training)?;
        self.flops = flops;
        Ok(())
    }
}
