//! Flags of an experiment, and the plan that results from checking them.

use clap::Parser;
use dht_cli::DeviceChoice;
use dht_search::Preset;
use dht_transformer::{BertConfig, Precision, pretrained::PretrainedWeights};

use super::choices::{DataSource, Model, SettingsChoice};
use super::data_arguments::DataArguments;
use crate::error::{Error, Result};

/// Default maximum length of texts in tokens. Models with fewer positions have a lower one.
const MAX_LENGTH: usize = 128;
/// Default number of epochs for texts from files.
const EPOCHS: usize = 3;
/// Default number of epochs for generated texts.
const EPOCHS_OF_GENERATED_TEXTS: usize = 5;
/// Upper limit for numbers of rows and for batch sizes. The generator of texts would run out of memory with more rows.
const MOST_ROWS: usize = 100_000_000;
const SCRATCH_RATE: f64 = 1e-3;
const FINE_TUNING_RATE: f64 = 5e-5;

/// Flags of all examples that train models; without --data they generate texts.
#[derive(Debug, Clone, Parser)]
pub struct Arguments {
    /// Texts, and their columns and rows
    #[command(flatten)]
    pub source: DataArguments,
    /// Hugging Face directory of a BERT, or LAYERSxHEADSxHIDDEN to train a model from scratch
    #[arg(long, value_name = "DIR|LxHxD", default_value = "7x12x96")]
    pub model: Model,
    /// Number of passes over the training rows [default: 3, or 5 with generated texts]
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Number of samples in a batch
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    /// Peak learning rate [default: 1e-3 from scratch, 5e-5 for a pre-trained model]
    #[arg(long, value_name = "X")]
    pub lr: Option<f64>,
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Run on this device: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceChoice,
    /// Compute layers in f32, bf16 (CUDA, Metal) or tf32 (CUDA)
    #[arg(long, value_name = "PRECISION", default_value_t)]
    pub precision: Precision,
    /// Settings of the search: ours, or those that the paper prints
    #[arg(long, value_enum, default_value_t)]
    pub settings: SettingsChoice,
    /// Show the table, but no progress
    #[arg(long)]
    pub quiet: bool,
}

/// Plan of an experiment: checked [`Arguments`] with all defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPlan {
    /// Source of the texts.
    pub data: DataSource,
    /// Model to train: pre-trained, or a size to train from scratch.
    pub model: Model,
    /// Maximum length of texts in tokens, at most the model's number of positions.
    pub max_length: usize,
    /// Maximum number of training rows, at least two; `None` for all, or the default of the embedded corpus.
    pub train_rows: Option<usize>,
    /// Maximum number of test rows; `None` for all, or the default of the embedded corpus.
    pub test_rows: Option<usize>,
    /// Number of training rows, after the first `train_rows`, that are used as additional test rows.
    pub extra_test_rows: usize,
    /// Number of unused training rows between the training rows and the additional test rows.
    pub skip_rows: usize,
    /// Number of passes over the training rows, at least one.
    pub epochs: usize,
    /// Number of samples in a batch, at least one.
    pub batch: usize,
    /// Peak learning rate, finite and above 0.
    pub learning_rate: f64,
    /// Seed of all random choices except generated texts.
    pub seed: u64,
    /// Device on which tensors are stored and computed.
    pub device: DeviceChoice,
    /// Numerical precision of the layers.
    pub precision: Precision,
    /// Search settings: the DHT paper's, or this project's.
    pub settings: SettingsChoice,
    /// True to hide progress.
    pub quiet: bool,
    /// Flags that may affect results, as typed on the command line, for the result file.
    pub flags: Vec<String>,
}

impl RunPlan {
    /// Returns whether the models start from pre-trained weights.
    pub fn pretrained(&self) -> bool {
        matches!(self.model, Model::Directory(_))
    }

    /// Number of layers of the full model.
    ///
    /// # Errors
    /// [`Error::Transformer`] for a model directory without a valid `config.json`.
    pub fn layers(&self) -> Result<usize> {
        Ok(config_of(&self.model)?.num_hidden_layers)
    }

    /// Creates the plan of an experiment that runs no search. The model may then be too small for a search.
    ///
    /// # Errors
    /// [`Error::Argument`] and [`Error::Needs`] for invalid flags; [`Error::Transformer`] for a model directory without
    /// a valid `config.json`, or an impossible size.
    pub(crate) fn without_search(arguments: Arguments) -> Result<Self> {
        let texts = &arguments.source;
        let counts = [("epochs", arguments.epochs, 1), ("batch", Some(arguments.batch), 1)];
        let rows = [("train-rows", texts.train_rows, 2), ("test-rows", texts.test_rows, 1)];
        for (flag, count, least) in counts.into_iter().chain(rows) {
            if let Some(count) = count.filter(|count| *count < least) {
                return Err(refused(flag, format!("at least {least}"), count));
            }
        }
        let most = [("train-rows", texts.train_rows), ("test-rows", texts.test_rows)];
        let others = [
            ("batch", Some(arguments.batch)),
            ("extra-test-rows", texts.extra_test_rows),
            ("skip-rows", texts.skip_rows),
        ];
        for (flag, count) in most.into_iter().chain(others) {
            if let Some(count) = count.filter(|count| *count > MOST_ROWS) {
                return Err(refused(flag, format!("at most {MOST_ROWS}"), count));
            }
        }
        let config = config_of(&arguments.model)?;
        let pretrained = matches!(arguments.model, Model::Directory(_));
        let learning_rate = arguments.lr.unwrap_or(if pretrained { FINE_TUNING_RATE } else { SCRATCH_RATE });
        if !(learning_rate.is_finite() && learning_rate > 0.0) {
            return Err(refused("lr", "a finite number above 0", learning_rate));
        }
        let (least, most) = (if texts.pair { 5 } else { 3 }, config.longest_text());
        let flag = if texts.paper_lengths { "paper-lengths" } else { "max-length" };
        let max_length = texts.length()?.unwrap_or(MAX_LENGTH.min(most));
        if !(least..=most).contains(&max_length) {
            return Err(refused(flag, format!("{least} to {most}, the model's positions"), max_length));
        }
        let (data, flags) = (texts.source()?, arguments.flags());
        Ok(Self {
            train_rows: texts.train_rows,
            test_rows: texts.test_rows,
            extra_test_rows: texts.extra_test_rows.unwrap_or_default(),
            skip_rows: texts.skip_rows.unwrap_or_default(),
            data,
            model: arguments.model,
            max_length,
            epochs: arguments.epochs.unwrap_or(if texts.data.is_some() { EPOCHS } else { EPOCHS_OF_GENERATED_TEXTS }),
            batch: arguments.batch,
            learning_rate,
            seed: arguments.seed,
            device: arguments.device,
            precision: arguments.precision,
            settings: arguments.settings,
            quiet: arguments.quiet,
            flags,
        })
    }
}

impl TryFrom<Arguments> for RunPlan {
    type Error = Error;

    /// Checks the flags, the model's configuration and the search space. No data are read.
    ///
    /// # Errors
    /// [`Error::Argument`] and [`Error::Needs`] for invalid flags; [`Error::Transformer`] for a model directory without
    /// a valid `config.json`, or an impossible size; [`Error::Search`] for a model too small for a search.
    fn try_from(arguments: Arguments) -> Result<Self> {
        let config = config_of(&arguments.model)?;
        Preset::TDht.space(config.num_hidden_layers, config.num_attention_heads)?;
        Self::without_search(arguments)
    }
}

/// Configuration of the model to train. For a model from scratch, the size of the vocabulary is not yet known.
fn config_of(model: &Model) -> Result<BertConfig> {
    let config = match model {
        Model::Size(size) => size.config(MAX_LENGTH)?,
        Model::Directory(folder) if folder.is_dir() => PretrainedWeights::read_config(folder)?,
        Model::Directory(folder) => {
            let expected = "a directory with a config.json, or LAYERSxHEADSxHIDDEN such as 6x12x96";
            return Err(refused("model", expected, folder.display()));
        }
    };
    Ok(config)
}

fn refused(flag: &'static str, expected: impl Into<String>, got: impl ToString) -> Error {
    Error::Argument { flag, expected: expected.into(), got: got.to_string() }
}

#[cfg(test)]
mod tests;
