use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use super::names::{Expected, model_tensors};
use super::own_class;
use super::read::PretrainedWeights;
use super::tensor_file::write_tensors;
use super::values::not_finite;
use crate::config::{BertConfig, Pooling, pretty};
use crate::data::{PROMPTS, TextTokenizer};
use crate::error::{Error, Result, WeightsProblem};
use crate::storage::{refuse_foreign, write_atomically, write_directory_atomically};
use crate::tensors::with_slices;

/// Names of all files that a saved model directory may contain; the files of the tokenizer are last. The file with
/// Python code is always listed, since a new model without this file may replace a directory that has it.
const FILES: [&str; 6] =
    ["config.json", "model.safetensors", own_class::CODE_FILE, "tokenizer.json", "tokenizer_config.json", PROMPTS];

/// Name of the pooler's weight, which classifiers of `transformers` require.
const POOLER: &str = "pooler.dense.weight";

impl PretrainedWeights {
    /// Writes a model directory that `transformers` and [`read`](Self::read) can load: `config.json`,
    /// `model.safetensors` in f32, and, with a tokenizer, `tokenizer.json` and `tokenizer_config.json`. The
    /// [prefix](TextTokenizer::with_prefix) of a tokenizer is stored in `config_sentence_transformers.json`. A program
    /// that loads the directory with `transformers` alone must itself put the prefix before its texts.
    ///
    /// `tensors` must have BERT's names without prefix. They are written under the names of the configuration's
    /// [`Family`](crate::config::Family). The directory is saved as one of these classes, or the family's equivalent:
    /// `BertForSequenceClassification` with a classifier, `BertForMaskedLM` with a head over the vocabulary, otherwise
    /// `BertModel`.
    ///
    /// A classifier whose configuration has the field `classifier_pooling` (`"cls"` or `"mean"`) has no pooler, so none
    /// of these classes fits. For it, the file `modeling_dht.py` with a Python class is also written. `transformers`
    /// loads such a directory with `trust_remote_code=True`, and refuses it otherwise.
    ///
    /// The files are written to a new directory next to the target, which is then renamed, so that the target is always
    /// complete. An existing target is replaced if it contains nothing but files of these names.
    ///
    /// # Errors
    /// Before anything is written:
    ///
    /// - [`Error::Argument`] if the configuration is invalid, or the tokenizer has more tokens than the encoder;
    /// - [`Error::Weights`] if a tensor is missing (including the pooler of a classifier that has one), has another
    ///   shape than in the configuration, or is not finite;
    /// - [`Error::ForeignDirectory`] if other files would be lost.
    ///
    /// During the writing: [`Error::Io`].
    pub fn write(
        folder: impl AsRef<Path>,
        config: &BertConfig,
        tensors: &BTreeMap<String, Tensor>,
        tokenizer: Option<&TextTokenizer>,
    ) -> Result<()> {
        let folder = folder.as_ref();
        config.check()?;
        if let Some(tokenizer) = tokenizer {
            tokenizer.check_fits(config)?;
        }
        let head = Head::new(config, tensors)?;
        let tensors = checked(&folder.join("model.safetensors"), config, head, tensors)?;

        let mut fields = described(config, head).to_fields()?;
        let mut texts = Vec::new();
        if let Some(Head::Classifier { stock: false, .. }) = head {
            own_class::describe(&mut fields, config.family);
            texts.push((own_class::CODE_FILE, own_class::code(config.family)));
        }
        texts.push(("config.json", pretty(&fields)?));
        if let Some(tokenizer) = tokenizer {
            texts.push(("tokenizer.json", tokenizer.to_json()?));
            texts.push(("tokenizer_config.json", format!("{:#}\n", tokenizer_config(config, tokenizer))));
            texts.extend(tokenizer.prompts().map(|prompts| (PROMPTS, format!("{prompts:#}\n"))));
        }
        // A save without a tokenizer must not delete the tokenizer of an earlier save.
        let replaced = if tokenizer.is_some() { &FILES[..] } else { &FILES[..3] };
        write_directory_atomically(folder, replaced, |fresh| {
            for (name, text) in &texts {
                write_atomically(fresh.join(name), |file| file.write_all(text.as_bytes()))?;
            }
            write_atomically(fresh.join("model.safetensors"), |file| write_tensors(file, &tensors))
        })
    }

    /// Checks that [`write`](Self::write) can later write a model with a tokenizer to this path. Call it before a
    /// training run. The path must not exist, or be a directory that contains only files that `write` replaces.
    ///
    /// # Errors
    /// [`Error::ForeignDirectory`] if other files would be lost, [`Error::Io`] if the path is not a directory, or
    /// cannot be read.
    pub fn check_target(folder: impl AsRef<Path>) -> Result<()> {
        refuse_foreign(folder.as_ref(), &FILES)
    }
}

/// Output layers on top of an encoder: a classifier or a masked language model.
#[derive(Clone, Copy)]
enum Head {
    Classifier {
        classes: usize,
        /// `true` if the classifier has a pooler, and thus a standard class in `transformers`.
        stock: bool,
    },
    Language,
}

impl Head {
    fn new(config: &BertConfig, tensors: &BTreeMap<String, Tensor>) -> Result<Option<Self>> {
        if let Some(bias) = tensors.get("classifier.bias") {
            let stock = Pooling::of_config(config)? == Pooling::Pooler;
            return Ok(Some(Self::Classifier { classes: bias.elem_count(), stock }));
        }
        Ok(tensors.contains_key("cls.predictions.bias").then_some(Self::Language))
    }
}

/// Validates the tensors and converts them to f32 on the CPU. The result has the names of the tensors in the file.
fn checked(
    path: &Path,
    config: &BertConfig,
    head: Option<Head>,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<BTreeMap<String, Tensor>> {
    let error = |tensor: Option<&str>, problem| Error::Weights {
        path: path.into(),
        tensor: tensor.map(str::to_owned),
        problem,
    };
    let (expected, missing) = model_tensors(config, |name| tensors.get(name).map(|tensor| tensor.dims().to_vec()));
    if let Some(missing) = missing {
        return Err(error(None, missing));
    }
    for Expected { name, shape } in expected {
        let got = tensors[&name].dims();
        if got != shape {
            return Err(error(Some(&name), WeightsProblem::Shape { expected: shape, got: got.to_vec() }));
        }
    }
    let classifies = matches!(head, Some(Head::Classifier { stock: true, .. }));
    if classifies && !tensors.contains_key(POOLER) {
        return Err(error(None, WeightsProblem::Missing { names: POOLER.into() }));
    }
    let mut written = BTreeMap::new();
    for (name, tensor) in tensors {
        let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
        if let Some(problem) = with_slices(&[&tensor], |values| Ok(not_finite(values[0])))? {
            return Err(error(Some(name), problem));
        }
        written.insert(config.family.theirs(name, head.is_some(), classifies), tensor);
    }
    Ok(written)
}

/// Adds fields to the configuration that describe the saved model, such as its class and its class names.
fn described(config: &BertConfig, head: Option<Head>) -> BertConfig {
    let mut config = config.clone();
    let architecture = config.family.architecture(match head {
        Some(Head::Classifier { .. }) => "ForSequenceClassification",
        Some(Head::Language) => "ForMaskedLM",
        None => "Model",
    });
    config.other.insert("architectures".into(), json!([architecture]));
    if let Some(Head::Classifier { classes, .. }) = head {
        // `transformers` derives the number of classes from the names of the classes.
        if config.labels().is_none_or(|labels| labels.len() != classes) {
            let labels: Vec<String> = (0..classes).map(|class| format!("LABEL_{class}")).collect();
            config.set_labels(&labels);
        }
    }
    for field in ["dtype", "torch_dtype"] {
        if let Some(value) = config.other.get_mut(field) {
            *value = "float32".into();
        }
    }
    config
}

fn tokenizer_config(config: &BertConfig, tokenizer: &TextTokenizer) -> Value {
    let most = config.longest_text();
    let length = tokenizer.model_max_length().map_or(most, |length| length.min(most));
    // The class that takes everything from tokenizer.json.
    let mut described = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": length,
        "model_input_names": ["input_ids", "attention_mask"],
    });
    for (name, token) in tokenizer.named_tokens() {
        described[name] = token.into();
    }
    if config.family.has_token_types() {
        described["model_input_names"] = json!(["input_ids", "token_type_ids", "attention_mask"]);
    }
    described
}
