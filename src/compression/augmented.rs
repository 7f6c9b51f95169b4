//! Data augmentation for a student: copies of the training texts with replaced words.

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;
use dht_transformer::data::{MaskSettings, WordVectors};
use dht_transformer::tasks::{Augmentation, AugmentationSettings};
use dht_transformer::{EncodedDataset, MaskedLanguageModel, TextTokenizer};

use super::limits::{MOST, refused};
use crate::error::Result;
use crate::experiment::{RunData, RunPlan, named, rng};

/// Number of the random stream for augmented copies.
const COPIES: u64 = 25;

/// Flags for augmented copies.
#[derive(Debug, Clone, Default, Args)]
pub struct AugmentArguments {
    /// Train students also on N copies of each training text with replaced words.
    ///
    /// The flag requires --augment-model, --word-vectors, or both.
    #[arg(long, value_name = "N")]
    pub augment: Option<usize>,
    /// Directory of a masked language model (BertForMaskedLM) with the teacher's vocabulary, which proposes
    /// replacements for words of one token
    #[arg(long, value_name = "DIR", requires = "augment")]
    pub augment_model: Option<PathBuf>,
    /// Word vectors (text format of GloVe or fastText, also .gz), whose nearest words replace words of several tokens
    #[arg(long, value_name = "FILE", requires = "augment")]
    pub word_vectors: Option<PathBuf>,
}

impl AugmentArguments {
    /// Rejects a request for augmented copies if neither a masked language model nor word vectors can suggest
    /// replacements.
    pub(super) fn check(&self) -> Result<()> {
        match self.augment {
            Some(copies) if !(1..=MOST as usize).contains(&copies) => {
                Err(refused("augment", format!("1 to {MOST}"), copies))
            }
            Some(_) if self.augment_model.is_none() && self.word_vectors.is_none() => {
                Err(refused("augment", "with --augment-model or --word-vectors", "alone"))
            }
            _ => Ok(()),
        }
    }

    /// Flags of augmentation with their values, for the result file.
    pub(super) fn flags(&self) -> [(&'static str, Option<String>); 3] {
        [
            ("augment", self.augment.map(|copies| copies.to_string())),
            ("augment-model", self.augment_model.as_deref().map(named)),
            ("word-vectors", self.word_vectors.as_deref().map(named)),
        ]
    }

    /// Returns the training texts followed by their augmented copies; `None` if no copies are requested.
    ///
    /// # Errors
    /// [`Argument`](crate::Error::Argument) if the masked language model has another vocabulary than the teacher;
    /// [`Transformer`](crate::Error::Transformer) if the model or the word vectors cannot be read.
    pub(super) fn texts(&self, data: &RunData, run: &RunPlan, device: &Device) -> Result<Option<EncodedDataset>> {
        let Some(copies) = self.augment else { return Ok(None) };
        let tokenizer = &data.tokenizer;
        let model = self.augment_model.as_deref().map(|folder| -> Result<_> {
            let own = TextTokenizer::from_dir(folder)?;
            let same = (0..own.vocabulary_size().max(tokenizer.vocabulary_size()) as u32)
                .all(|id| own.token(id) == tokenizer.token(id));
            if !same {
                return Err(refused("augment-model", "a model of the teacher's vocabulary", "one of another"));
            }
            Ok(MaskedLanguageModel::load(folder, tokenizer, MaskSettings::default(), device)?)
        });
        let model = model.transpose()?;
        let vectors = self.word_vectors.as_deref().map(WordVectors::read).transpose()?;
        let settings = AugmentationSettings { copies, max_length: run.max_length, ..AugmentationSettings::default() };
        let mut augmentation = Augmentation::new(tokenizer, settings)?;
        if let Some(model) = &model {
            augmentation = augmentation.with_model(model)?;
        }
        if let Some(vectors) = &vectors {
            augmentation = augmentation.with_vectors(vectors);
        }
        Ok(Some(augmentation.augment(&data.train, &mut rng(run, COPIES))?))
    }
}
