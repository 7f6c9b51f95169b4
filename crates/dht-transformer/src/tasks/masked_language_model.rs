//! Masked language model for pre-training an encoder on plain text.

use std::path::Path;

use candle_core::{Device, Tensor};
use rand::Rng;

use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, MaskSettings, MaskedBatch, Masking, PackedBatch, TextTokenizer};
use crate::error::{Error, Result, SettingMismatch};
use crate::model::{Encoder, LanguageHead, LanguageHeadTensors};
use crate::pretrained::{PretrainedWeights, missing_tensors};
use crate::tensors::{HeadPlan, Parameters};
use crate::train::{Objective, Progress, StepLoss};

/// Masked language model: an encoder with a language-model head, for pre-training on plain text. The loss is the mean
/// cross-entropy of the tokens that were selected for prediction (Devlin et al. 2019, section 3.1). Only these tokens
/// pass through the head. There is no next-sentence prediction, as in Liu et al. 2019.
///
/// The masks of a sample depend on the seed of the training run, the epoch and the sample's id. The
/// [score](Objective::score) is the negative loss with the masks of seed 0 and epoch 0, so that every call uses the
/// same masks.
///
/// # Files
/// [`save`](Self::save) writes a Hugging Face directory of the class `BertForMaskedLM`. [`Encoder::from_pretrained`]
/// and [`TextClassifier::from_pretrained`](crate::TextClassifier::from_pretrained) load its encoder.
///
/// # Examples
/// ```
/// use dht_transformer::data::MaskSettings;
/// use dht_transformer::{BertConfig, Encoder, ForwardContext, MaskedLanguageModel, TextTokenizer};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
///
/// let tokenizer = TextTokenizer::from_vocabulary(&["fine", "food"].map(String::from))?;
/// let config = BertConfig::small(1, 2, 8, tokenizer.vocabulary_size())?;
/// let encoder = Encoder::random(&config, &candle_core::Device::Cpu, &mut rng)?;
/// let model = MaskedLanguageModel::new(encoder, &tokenizer, MaskSettings::default(), &mut rng)?;
///
/// let texts = tokenizer.encode_texts(&["fine food", "food"], 16)?;
/// let masked = model.mask(texts.batch(&[0, 1])?, 1, 0);
/// assert_eq!(masked.targets.len(), 2); // at least one token of each text
/// assert!(model.loss(&masked, &ForwardContext::inference())?.is_some());
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug)]
pub struct MaskedLanguageModel {
    encoder: Encoder,
    head: LanguageHead,
    masking: Masking,
}

impl MaskedLanguageModel {
    /// Adds a new language-model head to an encoder.
    ///
    /// # Errors
    /// [`Error::Argument`] if the masking rates are invalid, if the tokenizer has no mask token, or if it has more
    /// tokens than the encoder's embedding table.
    pub fn new<R: Rng + ?Sized>(
        mut encoder: Encoder,
        tokenizer: &TextTokenizer,
        settings: MaskSettings,
        rng: &mut R,
    ) -> Result<Self> {
        let masking = masking(&encoder, tokenizer, settings)?;
        let head = encoder.add_language_head(rng)?;
        Ok(Self { encoder, head, masking })
    }

    /// Loads a model that [`save`](Self::save) wrote, or any other `BertForMaskedLM` of `transformers`, to continue its
    /// training.
    ///
    /// # Errors
    /// Errors of [`PretrainedWeights::read`] and [`new`](Self::new); [`Error::Weights`] if the directory has no
    /// language-model head.
    pub fn load(
        folder: impl AsRef<Path>,
        tokenizer: &TextTokenizer,
        settings: MaskSettings,
        device: &Device,
    ) -> Result<Self> {
        let folder = folder.as_ref();
        let PretrainedWeights { config, tensors, .. } = PretrainedWeights::read_variables(folder)?;
        let head = LanguageHeadTensors::find(&tensors)
            .ok_or_else(|| missing_tensors(folder, "those of a head for masked tokens"))?;
        let mut encoder = Encoder::from_variables(&config, &tensors, device)
            .map_err(|error| error.in_file(folder.join("config.json").display().to_string()))?;
        let masking = masking(&encoder, tokenizer, settings)?;
        let head = encoder.add_given_language_head(head)?;
        Ok(Self { encoder, head, masking })
    }

    /// Writes the encoder, the head and the tokenizer as a Hugging Face directory. The write is atomic.
    ///
    /// # Errors
    /// Errors of [`PretrainedWeights::write`].
    pub fn save(&self, folder: impl AsRef<Path>, tokenizer: &TextTokenizer) -> Result<()> {
        let mut tensors = self.encoder.views()?;
        tensors.extend(self.head.to_tensors()?);
        PretrainedWeights::write(folder, self.encoder.config(), &tensors, Some(tokenizer))
    }

    /// Encoder below the language-model head.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Masks tokens of each sample as a training run with this seed does in this epoch. A text of special tokens only
    /// is not masked.
    pub fn mask(&self, batch: PackedBatch, seed: u64, epoch: u64) -> MaskedBatch {
        self.masking.apply(batch, seed, epoch)
    }

    /// Computes logits over the vocabulary, (rows, hidden) → (rows, vocabulary). Pass only the hidden states of the
    /// tokens to predict: with 30,522 tokens in the vocabulary, the logits of one row cost more than a layer.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn logits(&self, rows: &Tensor, ctx: &ForwardContext) -> Result<Tensor> {
        self.head.logits(rows, ctx)
    }

    /// Computes the mean loss of the masked tokens in a batch, in nats. `None` if no token is masked.
    ///
    /// # Errors
    /// Errors of [`Encoder::embed`].
    pub fn loss(&self, masked: &MaskedBatch, ctx: &ForwardContext) -> Result<Option<Tensor>> {
        let MaskedBatch { batch, rows, targets } = masked;
        if rows.is_empty() {
            return Ok(None);
        }
        let hidden = self.encoder.embed(batch, ctx)?;
        let hidden = self.encoder.run(0..self.encoder.layers(), &hidden, &HeadPlan::Full, ctx)?;
        let rows = Tensor::from_slice(rows, rows.len(), hidden.tensor().device())?;
        let rows = hidden.tensor().index_select(&rows, 0)?; // (masked tokens, hidden)
        self.head.loss(&rows, targets, ctx).map(Some)
    }
}

fn masking(encoder: &Encoder, tokenizer: &TextTokenizer, settings: MaskSettings) -> Result<Masking> {
    tokenizer.check_fits(encoder.config())?;
    Masking::new(settings, tokenizer)
}

impl Objective for MaskedLanguageModel {
    type Error = Error;

    fn may_split(error: &Error) -> bool {
        matches!(error, Error::DeviceMemory(_))
    }

    fn parameters(&self) -> &Parameters {
        self.encoder.parameters()
    }

    fn check_data(&self, data: &EncodedDataset) -> Result<()> {
        self.encoder.check_samples(data)
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        let (ctx, samples) =
            (ForwardContext::training(self.parameters(), progress.seed, progress.step as u32), batch.len());
        let masked = self.mask(batch, progress.seed, progress.epoch as u64);
        let terms = masked.targets.len();
        Ok(self.loss(&masked, &ctx)?.map(|loss| StepLoss { loss, ctx, samples, terms }))
    }

    /// Negative mean loss of all masked tokens in a data set, so that higher is better.
    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        let (mut sum, mut count, ctx) = (0.0, 0, ForwardContext::inference());
        for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            let masked = self.mask(data.batch(&rows)?, 0, 0);
            if let Some(loss) = self.loss(&masked, &ctx)? {
                sum += f64::from(loss.to_scalar::<f32>()?) * masked.targets.len() as f64;
                count += masked.targets.len();
            }
        }
        Ok(-sum / count.max(1) as f64)
    }

    fn metric(&self) -> &'static str {
        "minus loss"
    }

    /// Stores the masking rates and the encoder's configuration. A resumed run needs no other state, because no samples
    /// wait for a later step.
    fn state(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({ "masks": self.masking.settings(), "encoder": self.encoder.config() }))
    }

    fn differences(&self, state: &serde_json::Value) -> Result<Vec<SettingMismatch>> {
        Ok(SettingMismatch::between(state, &self.state()?))
    }

    fn restore(&mut self, _: serde_json::Value, _: &EncodedDataset) -> Result<()> {
        Ok(())
    }
}
