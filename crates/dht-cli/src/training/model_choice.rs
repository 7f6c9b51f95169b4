//! Selection of the encoder with which a training run starts.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::Device;
use dht_dynamic::serving::{ServedModel, TextModel};
use dht_dynamic::transformer::Dataset;
use dht_dynamic::transformer::config::ModelSize;
use dht_dynamic::transformer::pretrained::{PretrainedWeights, SentenceModel};
use dht_dynamic::transformer::storage::StoredTensor;
use dht_dynamic::transformer::{BertConfig, Encoder, Pooling, TextClassifier, TextTokenizer};
use rand_chacha::ChaCha8Rng;

use super::identity::identity;
use crate::error::{Error, Result};
use crate::texts::all_texts;

/// Vocabulary size of a new tokenizer, which is trained on the training texts.
const TRAINED_VOCABULARY: usize = 8_000;
/// Number of hexadecimal digits that a model's name shows of its checksum.
const SUM: usize = 12;
/// Prefix of parameter names in the last layer of a classifier.
const HEAD: &str = "classifier.";
/// Default peak learning rate of a model from scratch.
const SCRATCH_RATE: f64 = 1e-3;
/// Default peak learning rate of a pre-trained encoder.
const FINE_TUNING_RATE: f64 = 5e-5;

/// Value of the flag `--model`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelChoice {
    /// Path of a Hugging Face model directory.
    Directory(PathBuf),
    /// Model name on the Hugging Face hub, with or without a revision.
    Hub(String),
    /// Size of a new encoder, which is trained from scratch.
    Size(ModelSize),
}

impl FromStr for ModelChoice {
    type Err = Infallible;

    /// Parses `hf:NAME` as a name, `6x12x96` as a size, and any other text as the path of a directory.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("hf:") {
            Some(name) => Self::Hub(name.into()),
            None => text.parse().map_or_else(|_| Self::Directory(text.into()), Self::Size),
        })
    }
}

impl fmt::Display for ModelChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(folder) => folder.display().fmt(f),
            Self::Hub(name) => write!(f, "hf:{name}"),
            Self::Size(size) => size.fmt(f),
        }
    }
}

impl ModelChoice {
    /// Returns the local directory of the model, and downloads the model if necessary; `None` for a size.
    ///
    /// # Errors
    /// [`Error::NoModel`] if the path is not a directory; [`Error::Transformer`] if the download fails.
    pub fn directory(&self) -> Result<Option<PathBuf>> {
        match self {
            Self::Size(_) => Ok(None),
            Self::Hub(_) if Path::new(&self.to_string()).is_dir() => Ok(Some(self.to_string().into())),
            Self::Hub(name) => Ok(Some(encoder_in(&PretrainedWeights::fetch_all(name)?)?)),
            Self::Directory(folder) if folder.is_dir() => Ok(Some(encoder_in(folder)?)),
            Self::Directory(folder) => {
                let expected =
                    "a directory with a config.json, hf:NAME, hf:NAME@REVISION, or LAYERSxHEADSxHIDDEN such as 6x12x96";
                Err(Error::NoModel { path: folder.clone(), expected })
            }
        }
    }
}

/// Finds the directory of the encoder within a sentence-transformers directory. Other directories are returned
/// unchanged.
fn encoder_in(folder: &Path) -> Result<PathBuf> {
    let has_encoder = |folder: &Path| folder.join("config.json").exists();
    if has_encoder(folder) || is_saved(folder) {
        return Ok(folder.into());
    }
    let inner = SentenceModel::read(folder)?.map(|model| model.encoder).filter(|encoder| has_encoder(encoder));
    Ok(inner.unwrap_or_else(|| folder.into()))
}

/// Returns the directory of a model that `dht` has saved: an existing path, or the download of the hub repository
/// `hf:NAME`.
///
/// # Errors
/// [`Error::Transformer`] if the download fails.
pub fn saved_directory(model: &Path) -> Result<PathBuf> {
    match model.to_str().and_then(|text| text.strip_prefix("hf:")).filter(|_| !model.exists()) {
        Some(name) => Ok(PretrainedWeights::fetch_all(name)?),
        None => Ok(model.into()),
    }
}

/// Name of a model in the download cache of the Hugging Face hub, as `hf:NAME@COMMIT`; `None` for other directories.
pub fn on_the_hub(folder: &Path) -> Option<String> {
    folder.ancestors().find_map(|folder| {
        let repository = folder.parent().filter(|parent| parent.ends_with("snapshots"))?.parent()?;
        let name = repository.file_name()?.to_str()?.strip_prefix("models--")?.replace("--", "/");
        Some(format!("hf:{name}@{}", folder.file_name()?.to_str()?))
    })
}

/// Name of a model directory in messages: its hub name and commit, or the last component of its path.
pub fn name_of(folder: &Path) -> String {
    let last = || folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    on_the_hub(folder).unwrap_or_else(last)
}

/// Returns whether a directory is a model that `dht` has saved.
pub fn is_saved(folder: &Path) -> bool {
    folder.join("dht.json").is_file()
}

/// Encoder with which a training run starts, on the local disk.
#[derive(Debug, Clone)]
pub enum Start {
    /// Directory of pre-trained weights.
    Pretrained(PathBuf),
    /// Directory of a model that `dht` has saved, and the model, loaded on the CPU.
    Saved(PathBuf, Box<TextModel>),
    /// Size of an encoder with random weights.
    Scratch(ModelSize),
}

impl Start {
    /// Resolves the value of the flag `--model`, and downloads the model if necessary.
    ///
    /// # Errors
    /// Errors of [`ModelChoice::directory`].
    pub fn load(choice: &ModelChoice) -> Result<Self> {
        Ok(match (choice.directory()?, choice) {
            (Some(folder), _) if is_saved(&folder) => {
                let model = TextModel::load(&folder, &Device::Cpu)?;
                Self::Saved(folder, Box::new(model))
            }
            (Some(folder), _) => Self::Pretrained(folder),
            (None, ModelChoice::Size(size)) => Self::Scratch(*size),
            (None, other) => return Err(Error::argument("model", "a directory or a size", other)),
        })
    }

    /// Name of the encoder: `hf:NAME@COMMIT`, the last component of its directory, or its size.
    pub fn name(&self) -> String {
        match self {
            Self::Pretrained(folder) | Self::Saved(folder, _) => name_of(folder),
            Self::Scratch(size) => size.to_string(),
        }
    }

    /// Note on which commit of a hub repository is used.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Pretrained(folder) | Self::Saved(folder, _) => {
                on_the_hub(folder).map(|name| format!("starting from {name}"))
            }
            Self::Scratch(_) => None,
        }
    }

    /// Name of the encoder with a prefix of its files' checksum, which detects that the files were replaced.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Transformer`] if a file cannot be read.
    pub fn identity(&self) -> Result<String> {
        let sum = match self {
            Self::Pretrained(folder) | Self::Saved(folder, _) => identity(folder)?,
            Self::Scratch(_) => None,
        };
        Ok(match sum.as_deref().and_then(|sum| sum.get(..SUM)) {
            Some(sum) => format!("{} ({sum})", self.name()),
            None => self.name(),
        })
    }

    /// Configuration of the encoder. For a new encoder, the vocabulary size is not yet known and not set.
    ///
    /// # Errors
    /// [`Error::Transformer`] if the configuration cannot be read or is not supported.
    pub fn config(&self) -> Result<BertConfig> {
        Ok(match self {
            Self::Pretrained(folder) => PretrainedWeights::read_config(folder)?,
            Self::Saved(_, model) => model.model.config().clone(),
            Self::Scratch(size) => size.config(TRAINED_VOCABULARY)?,
        })
    }

    /// Loads the tokenizer of the encoder, or trains a new tokenizer on the training texts.
    ///
    /// # Errors
    /// [`Error::Transformer`] if the tokenizer cannot be read or trained.
    pub fn tokenizer(&self, train: &Dataset) -> Result<TextTokenizer> {
        Ok(match self {
            Self::Pretrained(folder) => TextTokenizer::from_dir(folder)?,
            Self::Saved(_, model) => model.tokenizer.clone(),
            Self::Scratch(_) => TextTokenizer::train(all_texts(train), TRAINED_VOCABULARY)?,
        })
    }

    /// Loads or initialises the encoder.
    ///
    /// # Errors
    /// [`Error::Transformer`] or [`Error::Dynamic`] if the encoder's files cannot be loaded.
    pub fn encoder(&self, vocabulary: usize, device: &Device, rng: &mut ChaCha8Rng) -> Result<Encoder> {
        Ok(match self {
            Self::Pretrained(folder) => Encoder::from_pretrained(folder, device)?,
            Self::Saved(folder, _) => {
                let classifier = classifier_of(TextModel::load(folder, device)?.model)?;
                classifier.encoder().truncated(classifier.encoder().layers())?
            }
            Self::Scratch(size) => Encoder::random(&size.config(vocabulary)?.with_dropout(0.0), device, rng)?,
        })
    }

    /// Model to train further; `None` unless the start is a model that `dht` has saved.
    pub fn saved(&self) -> Option<&TextModel> {
        match self {
            Self::Saved(_, model) => Some(model),
            Self::Pretrained(_) | Self::Scratch(_) => None,
        }
    }

    /// Default peak learning rate for this encoder.
    pub fn learning_rate(&self) -> f64 {
        if matches!(self, Self::Scratch(_)) { SCRATCH_RATE } else { FINE_TUNING_RATE }
    }

    /// Peak learning rates that a search for the best one tries.
    pub fn learning_rates(&self) -> &'static [f64] {
        if matches!(self, Self::Scratch(_)) { &[3e-4, 1e-3, 3e-3] } else { &[2e-5, 5e-5, 1e-4, 2e-4] }
    }

    /// Pooling of token states for the classifier. A new encoder uses the state of the token \[CLS\], which learns to
    /// collect the inputs that determine the class. A pre-trained encoder uses the pooling of its sentence-transformers
    /// directory if it is `mean` or `cls`, otherwise the mean, since all token states are informative. A saved model
    /// keeps its pooling.
    ///
    /// # Errors
    /// Errors of [`classifier_of`] and [`SentenceModel::read`].
    pub fn pooling(&self) -> Result<Pooling> {
        Ok(match self {
            Self::Scratch(_) => Pooling::Cls,
            Self::Pretrained(folder) => {
                SentenceModel::read(folder)?.and_then(|model| model.pooling.ok()).unwrap_or(Pooling::Mean)
            }
            Self::Saved(_, model) => classifier_of(model.model.clone())?.classifier().pooling(),
        })
    }

    /// Notes on modules and poolings in the encoder's sentence-transformers directory that are ignored.
    ///
    /// # Errors
    /// Errors of [`SentenceModel::read`].
    pub fn sentence_notes(&self) -> Result<Vec<String>> {
        let Self::Pretrained(folder) = self else { return Ok(Vec::new()) };
        let Some(SentenceModel { pooling, others, .. }) = SentenceModel::read(folder)? else { return Ok(Vec::new()) };
        let pooled = |other| format!("the encoder's directory pools by {other}; the mean of the tokens is used");
        let module = |name| format!("the encoder's directory has a module {name}, which is not used");
        Ok(pooling.err().map(pooled).into_iter().chain(others.into_iter().map(module)).collect())
    }

    /// Parameters of a saved model's last layer, by name, from which training starts; empty for other encoders.
    ///
    /// # Errors
    /// Errors of [`classifier_of`].
    pub fn head(&self) -> Result<BTreeMap<String, StoredTensor>> {
        let Self::Saved(_, model) = self else { return Ok(BTreeMap::new()) };
        let classifier = classifier_of(model.model.clone())?;
        Ok(classifier.encoder().parameters().values_where(|name| name.starts_with(HEAD))?)
    }
}

/// Extracts the full classifier (all layers and the last exit) from a saved model.
///
/// # Errors
/// [`Error::Argument`] if the model was not saved by `dht`, or if its last exit is not linear.
pub fn classifier_of(model: ServedModel) -> Result<TextClassifier> {
    match model {
        ServedModel::Classifier(classifier) => Ok(*classifier),
        ServedModel::Dynamic(dynamic) => Ok(dynamic.classifier_at(dynamic.encoder().layers())?),
        _ => Err(Error::argument("model", "a model that dht has saved", "another")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sizes_and_paths_are_told_apart() {
        let parse = |text: &str| text.parse::<ModelChoice>().expect("a choice");
        assert_eq!(parse("hf:bert-base-uncased"), ModelChoice::Hub("bert-base-uncased".into()));
        assert!(matches!(parse("6x12x96"), ModelChoice::Size(size) if size.layers == 6));
        assert_eq!(parse("models/x"), ModelChoice::Directory("models/x".into()));
        for text in ["hf:a/b", "hf:a/b@refs/pr/3", "6x12x96", "models/x"] {
            assert_eq!(parse(text).to_string(), text);
        }
        let refused = parse("nowhere/at/all").directory().expect_err("no directory").to_string();
        assert!(
            refused.starts_with("nowhere/at/all is not a model to start from, expected a directory with a config.json"),
            "{refused}"
        );
    }

    #[test]
    fn a_directory_in_the_cache_is_called_by_its_name_on_the_hub() {
        for (folder, name) in [
            ("/home/x/.cache/huggingface/hub/models--a--b-c/snapshots/c0ffee", "hf:a/b-c@c0ffee"),
            ("hub/models--bert/snapshots/c0ffee/0_Transformer", "hf:bert@c0ffee"),
            ("hub/datasets--a--b/snapshots/c0ffee", "c0ffee"),
            ("snapshots/c0ffee", "c0ffee"),
            ("models--a--b", "models--a--b"),
            ("/", ""),
        ] {
            assert_eq!(name_of(Path::new(folder)), name);
        }
    }

    #[test]
    fn an_encoder_of_sentence_transformers_brings_its_pooling() {
        let place = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).expect("a file");
        for folder in ["0_Transformer", "1_Pooling"] {
            std::fs::create_dir(place.path().join(folder)).expect("a folder");
        }
        let modules =
            r#"[{"path": "0_Transformer", "type": "m.Transformer"}, {"path": "1_Pooling", "type": "m.Pooling"}]"#;
        write("modules.json", modules);
        write("0_Transformer/config.json", "{}");
        let choice = ModelChoice::Directory(place.path().into());
        let encoder = choice.directory().expect("read").expect("a directory");
        assert_eq!(encoder, place.path().join("0_Transformer"));
        let start = Start::Pretrained(encoder);
        for (pooling, expected, note) in
            [("cls_token", Pooling::Cls, ""), ("max_tokens", Pooling::Mean, "pools by max_tokens")]
        {
            write("1_Pooling/config.json", &format!("{{\"pooling_mode_{pooling}\": true}}"));
            assert_eq!(start.pooling().expect("read"), expected);
            assert!(start.sentence_notes().expect("read").join("").contains(note));
        }
    }
}
