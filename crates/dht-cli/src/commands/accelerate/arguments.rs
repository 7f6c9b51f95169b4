//! Arguments of `dht accelerate` and their checks.

use std::path::{Path, PathBuf};

use clap::Args;
use dht_dynamic::serving::{Origin, TextModel};
use dht_dynamic::transformer::train::metrics::LabelThresholds;
use dht_dynamic::transformer::{Task, TextClassifier, TextTokenizer};

use crate::acceleration::SpeedArguments;
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::progress::report;
use crate::texts::TextArguments;
use crate::training::{ModelChoice, classifier_of, is_saved};

/// Arguments of `dht accelerate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dht accelerate my-classifier --data reviews.csv --out fast
  dht accelerate my-classifier --data train.csv --validation dev.csv --out fast --points 1
  dht accelerate my-classifier --data reviews.txt --unlabelled --out fast --points 1

The classifier's weights do not change. Exits are best fitted on the texts that it was fine-tuned on. Settings and
promises require texts that it has not seen: give them with --validation, or use the held-out tenth of --data if
--data is new to it.")]
pub struct AccelerateArguments {
    /// Fine-tuned classifier: a Hugging Face directory, hf:NAME or hf:NAME@REVISION on the hub, or a model of dht,
    /// whose exits are fitted anew
    pub(super) classifier: ModelChoice,
    #[command(flatten)]
    pub(super) texts: TextArguments,
    /// Read texts without labels, and use the classifier's own answers as labels
    #[arg(long, conflicts_with_all = ["label_column", "label_map", "task"])]
    pub(super) unlabelled: bool,
    /// Select settings on the labelled texts of this file [default: a tenth of the rows of --data].
    ///
    /// The classifier must not have been fine-tuned on these texts. The file must have the columns of --data. With
    /// --points, which limits the loss of accuracy, some rows of the file verify that the limit holds.
    #[arg(long, value_name = "FILE", conflicts_with = "unlabelled")]
    pub(super) validation: Option<PathBuf>,
    /// Write the model to this directory
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) speed: SpeedArguments,
    /// Cut texts at N tokens, and save this limit with the model [default: the classifier's `model_max_length`, but at
    /// most its number of positions]
    #[arg(long, value_name = "N")]
    pub(super) max_length: Option<usize>,
    /// Put TEXT before each text, in fitting and in service, such as "query: " for E5 [default: the default prompt in
    /// config_sentence_transformers.json, if there is one]
    #[arg(long, value_name = "TEXT")]
    pub(super) text_prefix: Option<String>,
    /// Use N rows, sampled by the seed and stratified by class
    #[arg(long, value_name = "N")]
    pub(super) train_rows: Option<usize>,
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Run on this device: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub(super) device: DeviceChoice,
    /// Replace a model of other classes at --out
    #[arg(long)]
    pub(super) replace: bool,
    /// Show no progress
    #[arg(long)]
    pub(super) quiet: bool,
    /// Print the results as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Fine-tuned classifier to accelerate, with its tokenizer and classes.
pub(super) struct SourceClassifier {
    pub(super) classifier: TextClassifier,
    pub(super) tokenizer: TextTokenizer,
    pub(super) labels: Vec<String>,
    /// Maximum length of texts in tokens, if the classifier's directory defines it.
    declared: Option<usize>,
    /// Training data of the classifier; `None` if unknown.
    pub(super) origin: Option<Origin>,
    /// Label thresholds of a multi-label classifier; `None` if it has none.
    pub(super) thresholds: Option<LabelThresholds>,
}

impl AccelerateArguments {
    /// Prints a line, unless `--quiet` is set.
    pub(super) fn say(&self, line: &str) {
        if !self.quiet {
            report(line);
        }
    }

    /// Directory of the fine-tuned classifier. It is an error if the command line has the size of a new encoder in
    /// place of a classifier, or if the targets are numbers.
    pub(super) fn folder(&self) -> Result<PathBuf> {
        let Some(folder) = self.classifier.directory()? else {
            let expected = "the directory of a fine-tuned classifier";
            return Err(Error::NoModel { path: self.classifier.to_string().into(), expected });
        };
        if self.texts.task() == Task::Number {
            let expected = "texts with one class or several labels each: models of numbers have no early exits";
            return Err(Error::argument("data", expected, self.texts.source.data.display()));
        }
        Ok(folder)
    }

    /// Loads the classifier with its tokenizer and classes. The flag `--text-prefix` can change the tokenizer's prefix.
    pub(super) fn load(&self, folder: &Path) -> Result<SourceClassifier> {
        let source = self.load_as_saved(folder)?;
        Ok(match &self.text_prefix {
            Some(prefix) => SourceClassifier { tokenizer: source.tokenizer.with_prefix(prefix), ..source },
            None => source,
        })
    }

    fn load_as_saved(&self, folder: &Path) -> Result<SourceClassifier> {
        let device = self.device.open()?;
        if !is_saved(folder) {
            let classifier = TextClassifier::load(folder, &device)?;
            let (tokenizer, labels) = (TextTokenizer::from_dir(folder)?, classifier.class_names()?);
            let declared = tokenizer.model_max_length();
            return Ok(SourceClassifier { classifier, tokenizer, labels, declared, origin: None, thresholds: None });
        }
        let TextModel { model, tokenizer, labels, max_length, origin, thresholds, .. } =
            TextModel::load(folder, &device)?;
        let classifier = classifier_of(model)?;
        Ok(SourceClassifier { classifier, tokenizer, labels, declared: Some(max_length), origin, thresholds })
    }

    /// Maximum length of texts in tokens: from a flag or from the classifier.
    pub(super) fn max_length(&self, source: &SourceClassifier) -> Result<usize> {
        let most = source.classifier.encoder().config().longest_text();
        let declared = source.declared.map_or(most, |length| length.min(most));
        if declared < 3 && self.max_length.is_none() {
            let expected = format!("3 to {most}: model_max_length in tokenizer_config.json is {declared}");
            return Err(Error::argument("max-length", expected, "not set"));
        }
        let max_length = self.max_length.unwrap_or(declared);
        if !(3..=most).contains(&max_length) {
            return Err(Error::argument("max-length", format!("3 to {most}, the model's positions"), max_length));
        }
        Ok(max_length)
    }
}
