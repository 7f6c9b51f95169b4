//! Account (inspection report) of a model directory: its files, fields and tensors, and the reasons why it cannot be
//! loaded.

use super::entry::Entry;
use crate::error::Error;

/// Inspection report of a Hugging Face model directory: how each file, field and tensor is treated, and every reason
/// why the directory cannot be loaded.
///
/// ```
/// # use candle_core::Device;
/// # use dht_transformer::{BertConfig, Encoder, TextTokenizer};
/// # use rand::SeedableRng;
/// # let texts = ["a fine day", "bad food today"];
/// # let tokenizer = TextTokenizer::train(texts, 100)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let config = BertConfig::small(2, 4, 16, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// use dht_transformer::account::Account;
///
/// let folder = tempfile::tempdir()?;
/// let model = folder.path().join("model");
/// encoder.save(&model, Some(&tokenizer))?;
///
/// let account = Account::inspect(&model)?;
/// assert!(account.is_start()); // an encoder can be trained from it
/// assert!(!account.is_classifier());
/// assert!(account.entries.iter().any(|entry| entry.file == "config.json"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Account {
    /// Entries for all files, fields and tensors: the files first, then the fields and tensors of each file.
    pub entries: Vec<Entry>,
    /// Errors that loading the directory returns, for any use of the model.
    pub problems: Vec<Error>,
    /// Errors that loading the directory as a classifier returns. The encoder can be loaded and trained in spite of
    /// them.
    pub classifier_problems: Vec<Error>,
    /// Class names, if the directory holds a classifier.
    pub labels: Option<Vec<String>>,
    /// Maximum length of a text in tokens: `model_max_length`, or the number of positions if it is smaller.
    pub max_length: Option<usize>,
}

impl Account {
    /// Returns whether the class names are placeholders: `LABEL_0`, `LABEL_1` and so on.
    pub fn has_placeholder_names(&self) -> bool {
        let mut names = self.labels.iter().flatten().enumerate();
        names.all(|(class, name)| *name == format!("LABEL_{class}"))
    }

    /// Returns whether the directory can be used as a classifier without training. If it can,
    /// [`TextClassifier::load`](crate::TextClassifier::load) and
    /// [`TextTokenizer::from_dir`](crate::TextTokenizer::from_dir) accept it.
    pub fn is_classifier(&self) -> bool {
        self.problems.is_empty() && self.classifier_problems.is_empty()
    }

    /// Returns whether the directory has an encoder from which training can start.
    pub fn is_start(&self) -> bool {
        self.problems.is_empty()
    }
}
