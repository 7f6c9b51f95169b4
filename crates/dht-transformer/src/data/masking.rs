//! Token masking for masked language modelling.

use std::collections::BTreeSet;

use rand::seq::index;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::batch::PackedBatch;
use super::tokenizer::TextTokenizer;
use crate::error::{Error, Result};

/// Masking rates of masked language modelling (Devlin et al. 2019, section 3.1). Of the selected tokens, a fraction
/// becomes `[MASK]`, another fraction becomes a random token, and the others do not change. A model predicts all of
/// them. Unchanged tokens prevent a model from relying on the presence of `[MASK]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskSettings {
    /// Fraction of a text's tokens that are selected for prediction. At least one token is selected. Special tokens are
    /// never selected.
    pub chosen: f64,
    /// Fraction of the selected tokens that are replaced by `[MASK]`.
    pub masked: f64,
    /// Fraction of the selected tokens that are replaced by a random token.
    pub random: f64,
}

impl Default for MaskSettings {
    /// BERT's rates: 15 % of the tokens are selected; of these, 80 % become `[MASK]` and 10 % a random token.
    fn default() -> Self {
        Self { chosen: 0.15, masked: 0.8, random: 0.1 }
    }
}

impl MaskSettings {
    /// Checks that the rates are valid fractions.
    ///
    /// # Errors
    /// [`Error::Argument`] with the name of the first invalid fraction.
    pub fn check(&self) -> Result<()> {
        let refuse = |field, expected: &str, got: f64| Err(Error::argument(field, expected, got.to_string()));
        if !(self.chosen > 0.0 && self.chosen < 1.0) {
            return refuse("chosen", "above 0 and below 1", self.chosen);
        }
        let shares = [("masked", self.masked), ("random", self.random), ("masked + random", self.masked + self.random)];
        match shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            Some((field, share)) => refuse(field, "between 0 and 1", share),
            None => Ok(()),
        }
    }
}

/// Masks tokens of batches for masked language modelling. The masks of a sample depend on the seed, the epoch and the
/// sample alone, not on the batch. A restarted run thus repeats them. Each epoch has different masks.
#[derive(Debug, Clone)]
pub(crate) struct Masking {
    settings: MaskSettings,
    mask: u32,
    special: BTreeSet<u32>,
    vocabulary: u32,
}

/// Batch with masked tokens, and the original tokens for a model to predict.
///
/// # Examples
/// ```
/// use dht_transformer::data::MaskSettings;
/// use dht_transformer::{BertConfig, Encoder, MaskedLanguageModel, TextTokenizer};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
///
/// let tokenizer = TextTokenizer::from_vocabulary(&["fine", "food"].map(String::from))?;
/// let config = BertConfig::small(1, 2, 8, tokenizer.vocabulary_size())?;
/// let encoder = Encoder::random(&config, &candle_core::Device::Cpu, &mut rng)?;
/// let settings = MaskSettings { masked: 1.0, random: 0.0, ..MaskSettings::default() };
/// let model = MaskedLanguageModel::new(encoder, &tokenizer, settings, &mut rng)?;
///
/// let texts = tokenizer.encode_texts(&["fine"], 16)?; // [CLS] fine [SEP]
/// let masked = model.mask(texts.batch(&[0])?, 1, 0);
/// assert_eq!((masked.rows, masked.targets), (vec![1], vec![5]));
/// assert_eq!(masked.batch.ids, [2, 4, 3]); // [CLS] [MASK] [SEP]
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MaskedBatch {
    /// Batch after masking.
    pub batch: PackedBatch,
    /// Index in the batch of each token that was selected for prediction, ascending.
    pub rows: Vec<u32>,
    /// Original id of each token in `rows`, which a model is to predict.
    pub targets: Vec<u32>,
}

impl Masking {
    /// Creates the masking for the vocabulary of a tokenizer.
    ///
    /// # Errors
    /// [`Error::Argument`] if a fraction is out of range, or the tokenizer has no mask token.
    pub fn new(settings: MaskSettings, tokenizer: &TextTokenizer) -> Result<Self> {
        settings.check()?;
        let mask = tokenizer
            .mask_token()
            .ok_or_else(|| Error::argument("tokenizer", "one with a token [MASK] or <mask>", "one without"))?;
        let (special, vocabulary) = (tokenizer.special_tokens(), tokenizer.vocabulary_size() as u32);
        Ok(Self { settings, mask, special, vocabulary })
    }

    pub fn settings(&self) -> MaskSettings {
        self.settings
    }

    /// Masks tokens in each sample of a batch. Samples that consist of special tokens remain unchanged.
    pub fn apply(&self, mut batch: PackedBatch, seed: u64, epoch: u64) -> MaskedBatch {
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        for (sample, id) in batch.sample_ids.iter().enumerate() {
            let rng = &mut generator(seed, epoch, *id);
            let words: Vec<usize> =
                batch.spans.range(sample).filter(|row| !self.special.contains(&batch.ids[*row])).collect();
            if words.is_empty() {
                continue;
            }
            let count = ((words.len() as f64 * self.settings.chosen).round() as usize).max(1);
            let mut places = index::sample(rng, words.len(), count).into_vec();
            places.sort_unstable();
            for place in places {
                let row = words[place];
                rows.push(row as u32);
                targets.push(batch.ids[row]);
                let draw = rng.random::<f64>();
                if draw < self.settings.masked {
                    batch.ids[row] = self.mask;
                } else if draw < self.settings.masked + self.settings.random {
                    batch.ids[row] = self.any_word(rng);
                }
            }
        }
        MaskedBatch { batch, rows, targets }
    }

    /// Draws a random token from the vocabulary that is not special, or any token if all are special.
    fn any_word<R: Rng + ?Sized>(&self, rng: &mut R) -> u32 {
        let start = rng.random_range(0..self.vocabulary);
        let word = |token: &u32| !self.special.contains(token);
        (start..self.vocabulary).chain(0..start).find(word).unwrap_or(start)
    }
}

fn generator(seed: u64, epoch: u64, sample: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, number) in key.chunks_exact_mut(8).zip([seed, epoch, sample, 0x6d61_736b]) {
        part.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
