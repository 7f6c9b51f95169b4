//! Trials that select the maximum length of texts.

use dht_dynamic::ladder::{LengthChoice, choose_length};
use dht_dynamic::transformer::{EncodedDataset, TextClassifier, TextTokenizer};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::arguments::TrainArguments;
use crate::error::Result;
use crate::progress::length_trial;
use crate::texts::TextSplits;

/// Maximum number of texts in the trials of maximum lengths.
const ROWS: usize = 1_000;
/// ChaCha stream number of the random generator for the trials of maximum lengths.
const STREAM: u64 = 0x4c65_6e67_7468_7300;

/// Trials of several maximum lengths on a sample of the training texts.
pub(super) struct LengthTrials<'a> {
    pub(super) arguments: &'a TrainArguments,
    pub(super) texts: &'a TextSplits,
    /// Training texts, truncated to the shortest of the tried lengths.
    pub(super) encoded: &'a EncodedDataset,
    pub(super) tokenizer: &'a TextTokenizer,
    /// Weight of each class in training; `None` for equal weights.
    pub(super) class_weights: Option<&'a [f32]>,
}

impl LengthTrials<'_> {
    /// Selects one of several maximum lengths by trials.
    pub(super) fn choose(&self, lengths: &[usize], classifier: &TextClassifier) -> Result<LengthChoice> {
        let arguments = self.arguments;
        let mut rng = ChaCha8Rng::seed_from_u64(arguments.seed);
        rng.set_stream(STREAM);
        let sample = self.texts.train.clone().sample(ROWS, &mut rng);
        let mut texts = Vec::new();
        for length in lengths {
            texts.push((*length, self.tokenizer.encode_all(&sample, *length)?));
            // No text is cut at this length, so that a longer one would change nothing.
            if texts.last().is_some_and(|(_, texts)| texts.truncated_rows == 0) {
                break;
            }
        }
        arguments.say(&format!("trying lengths on {} training texts, with the encoder as it is", sample.len()));
        let settings = arguments.ladder_settings(self.tokenizer, self.class_weights)?;
        let mut watch = |trial: &_| arguments.say(&length_trial(trial, arguments.texts.task()));
        let choice = choose_length(classifier, self.encoded, &texts, &settings, arguments.seed, &mut watch)?;
        if choice.trials.is_empty() {
            arguments.say("no trials of lengths: they would cost more than a quarter of this training run (--max-length sets a length)");
        }
        Ok(choice)
    }
}
