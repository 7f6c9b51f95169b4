//! Command `dht export`: writes a model as a Hugging Face directory.

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;
use dht_dynamic::serving::{ServedModel, TextModel};

use super::output::print_text;
use crate::error::Result;
use crate::training::saved_directory;

/// Arguments of `dht export`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dht export news --out news-hf

With mean or [CLS] pooling, transformers loads the directory with trust_remote_code=True; with a pooler, like any other.
The names of the classes, the task and the maximum length of a text are saved with the model.")]
pub struct ExportArguments {
    /// Model: a directory that dht saved, a Hugging Face classifier's directory, or hf:NAME or hf:NAME@REVISION on the
    /// hub
    #[arg(value_name = "DIR|hf:NAME")]
    model: PathBuf,
    /// Write the Hugging Face directory here
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Export the linear exit after N layers [default: all layers]
    #[arg(long, value_name = "N")]
    layers: Option<usize>,
}

/// Runs `dht export`: writes the classifier after a fixed number of layers as a Hugging Face directory.
pub fn export(arguments: &ExportArguments) -> Result<()> {
    let model = TextModel::load(saved_directory(&arguments.model)?, &Device::Cpu)?;
    let layers = arguments.layers.unwrap_or(model.model.shape().layers);
    let classifier = match &model.model {
        ServedModel::Dynamic(dynamic) => dynamic.classifier_at(layers)?,
        ServedModel::Classifier(classifier) if classifier.encoder().layers() == layers => (**classifier).clone(),
        other => {
            let expected = format!("{}, all layers of a model without exits", other.shape().layers);
            return Err(crate::error::Error::argument("layers", expected, layers));
        }
    };
    let tokenizer = model.tokenizer.clone().with_model_max_length(model.max_length);
    classifier.save(&arguments.out, Some(&tokenizer), &model.output_names())?;
    let pairs = model.origin.as_ref().is_some_and(|origin| origin.pair);
    let texts = if pairs { "pairs of texts (give the tokenizer both)" } else { "texts" };
    print_text(&format!(
        "written to {}, for {texts} of up to {} tokens (model_max_length)\n",
        arguments.out.display(),
        model.max_length
    ))
}
