//! Which tokens are hidden from a model that learns to guess them.

use std::collections::BTreeSet;

use rand::seq::index;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::batch::PackedBatch;
use super::tokenizer::TextTokenizer;
use crate::error::{Error, Result};

/// How much is hidden, and how: of the chosen tokens a share becomes `[MASK]`, a share another token at random, and
/// the rest stays, so that a model cannot rely on seeing masks (Devlin et al. 2019, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskSettings {
    /// The share of a text's tokens that are chosen; special tokens never are. At least one token of a text is.
    pub chosen: f64,
    /// The share of the chosen that become `[MASK]`.
    pub masked: f64,
    /// The share of the chosen that become a token at random.
    pub random: f64,
}

impl Default for MaskSettings {
    /// BERT's: 15 %, of them 80 % masked and 10 % random.
    fn default() -> Self {
        Self { chosen: 0.15, masked: 0.8, random: 0.1 }
    }
}

impl MaskSettings {
    /// Whether the shares are possible.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first that is not.
    pub fn check(&self) -> Result<()> {
        let refuse = |field, expected: &str, got: f64| Err(Error::setting(field, expected, got.to_string()));
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

/// Masks tokens of batches: a function of seed, epoch and sample alone, so neither the batch a text comes in nor a
/// restart changes its masks, and every epoch has others.
#[derive(Debug, Clone)]
pub struct Masking {
    settings: MaskSettings,
    mask: u32,
    special: BTreeSet<u32>,
    vocabulary: u32,
}

/// A batch with masked tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskedBatch {
    /// The batch as the model sees it.
    pub batch: PackedBatch,
    /// The rows (tokens of the packed batch) to be guessed, ascending.
    pub rows: Vec<u32>,
    /// What stood there; as many as `rows`.
    pub targets: Vec<u32>,
}

impl Masking {
    /// Masks for the texts of a tokenizer.
    ///
    /// # Errors
    /// [`Error::Setting`] for impossible shares, or a tokenizer without a mask token.
    pub fn new(settings: MaskSettings, tokenizer: &TextTokenizer) -> Result<Self> {
        settings.check()?;
        let mask = tokenizer
            .mask_token()
            .ok_or_else(|| Error::setting("tokenizer", "one with a token [MASK] or <mask>", "one without"))?;
        let (special, vocabulary) = (tokenizer.special_tokens(), tokenizer.vocabulary_size() as u32);
        Ok(Self { settings, mask, special, vocabulary })
    }

    /// How much is hidden, and how.
    pub fn settings(&self) -> MaskSettings {
        self.settings
    }

    /// Masks tokens of each sample. A text of special tokens alone has nothing to mask.
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

    /// A token that is not special, or the last one where there is no other.
    fn any_word<R: Rng + ?Sized>(&self, rng: &mut R) -> u32 {
        let start = rng.random_range(0..self.vocabulary);
        let word = |token: &u32| !self.special.contains(token);
        (start..self.vocabulary).chain(0..start).find(word).unwrap_or(start)
    }
}

/// A generator of its own for each (seed, epoch, sample).
fn generator(seed: u64, epoch: u64, sample: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, number) in key.chunks_exact_mut(8).zip([seed, epoch, sample, 0x6d61_736b]) {
        part.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
