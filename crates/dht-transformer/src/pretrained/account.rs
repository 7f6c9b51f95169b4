//! Inspection of a model directory without reading its weights.

use std::path::Path;

use serde_json::{Map, Value};

use super::class::{class_problem, task_problem};
use super::content::Content;
use super::read::{TensorPlan, missing_tensors, open_weights, without_config};
use super::weights::{Weights, weights_path};
use crate::account::{Account, Entry, Treatment, config_entries, file_entry, unused_tensor};
use crate::config::{BertConfig, Family, Pooling, json_object};
use crate::data::TokenizerDirectory;
use crate::error::{Error, Result, WeightsProblem};
use crate::storage::{FileKind, entry_names, model_directory, read_file};

const CONFIG: &str = "config.json";

impl Account {
    /// Inspects a model directory, or a model on the hub
    /// ([`PretrainedWeights::fetch`](crate::pretrained::PretrainedWeights::fetch)). Lists the treatment of each file,
    /// field and tensor, and every reason why the model cannot be loaded. No weights are read.
    ///
    /// # Errors
    /// Errors of [`PretrainedWeights::fetch`](crate::pretrained::PretrainedWeights::fetch), and [`Error::Io`] if the
    /// directory cannot be listed.
    pub fn inspect(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = &*model_directory(folder)?;
        let mut account = Self::default();
        let names = entry_names(folder)?;
        let weights = open_weights(folder, &names);
        let read = match (&weights, weights_path(folder)) {
            (Ok(weights), _) => weights.file_names(),
            (Err(_), path) => path.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into())).collect(),
        };
        for name in &names {
            let entry = file_entry(name);
            account.problems.extend(entry.refusal(folder));
            let mut entry = entry.beside(&names, &read);
            if entry.treatment == Treatment::Unknown && Content::of_path(&folder.join(name)) != Content::Unknown {
                (entry.treatment, entry.reason) = (Treatment::Harmless, "a file of weights that is not read".into());
            }
            account.entries.push(entry);
        }
        if let Some(foreign) = without_config(folder, &names) {
            account.problems.push(foreign);
            return Ok(account);
        }
        let config = configuration(folder, &mut account);
        let tokenizer = TokenizerDirectory::read(folder);
        account.entries.extend(tokenizer.entries());
        let tokenizer = tokenizer.tokenizer();
        let weights = weights.map_err(|error| account.problems.push(error)).ok();
        if let Some(config) = &config {
            let outputs = weights.as_ref().and_then(|weights| tensors(folder, config, weights, &mut account));
            classifier(folder, config, outputs, weights.as_ref(), &mut account);
            let most = config.longest_text();
            let declared = tokenizer.as_ref().ok().and_then(|tokenizer| tokenizer.model_max_length());
            account.max_length = Some(declared.map_or(most, |length| length.min(most)));
        }
        match tokenizer {
            Err(problems) => account.problems.extend(problems),
            Ok(tokenizer) => {
                account.problems.extend(tokenizer.clone().with_prefix_of(folder).err());
                let fits = config.map(|config| tokenizer.check_fits(&config));
                account.problems.extend(fits.and_then(Result::err).map(|error| in_config(folder, error)));
            }
        }
        Ok(account)
    }
}

/// Reads `config.json`, and adds its fields and problems to the account (inspection report).
fn configuration(folder: &Path, account: &mut Account) -> Option<BertConfig> {
    let path = folder.join(CONFIG);
    let text = read_file(&path, FileKind::Description).map_err(|source| Error::io(&path, source));
    let fields = text.and_then(|text| json_object(&path.display().to_string(), &text));
    let fields: Map<String, Value> = match fields {
        Ok(fields) => fields,
        Err(error) => {
            account.problems.push(error);
            return None;
        }
    };
    if fields.get("model_type").is_none_or(Value::is_null) {
        let reason = "missing: read as bert, where transformers refuses";
        account.entries.push(Entry::new(CONFIG, Some("model_type"), Treatment::Unknown, reason));
    }
    let model_type = fields.get("model_type").and_then(Value::as_str).unwrap_or("bert");
    let Some((family, own)) = Family::of_model_type(model_type) else {
        // The tables do not apply to fields of other families.
        account.entries.push(Entry::new(CONFIG, Some("model_type"), Treatment::Refused, "another family of models"));
        let problems = BertConfig::from_fields(fields).err().into_iter().flatten();
        account.problems.extend(problems.map(|error| in_config(folder, error)));
        return None;
    };
    let unnamed = fields.get("id2label").is_none_or(Value::is_null);
    for mut entry in config_entries(family.fields(), &fields) {
        if unnamed && entry.item.as_deref() == Some("label2id") {
            entry.reason =
                "the names of the classes; transformers calls them LABEL_0 and so on where id2label is missing".into();
        }
        if own && entry.item.as_deref() == Some("auto_map") {
            (entry.treatment, entry.reason) = (Treatment::Harmless, "this project's own class, for Python".into());
        }
        account.entries.push(entry);
    }
    match BertConfig::from_fields(fields) {
        Ok(config) => Some(config),
        Err(problems) => {
            account.problems.extend(problems.into_iter().map(|error| in_config(folder, error)));
            None
        }
    }
}

/// Adds all tensors to the account (inspection report), with the problems of those tensors that the model uses. Returns
/// the number of outputs of the classifier, if the file has one.
fn tensors(folder: &Path, config: &BertConfig, weights: &Weights, account: &mut Account) -> Option<usize> {
    let TensorPlan { used, unused, problems } = TensorPlan::new(config, weights);
    for name in used.iter().flat_map(|(_, names)| names) {
        account.entries.push(Entry::new(weights.file_of(name), Some(name), Treatment::Obeyed, "a weight"));
    }
    for name in unused {
        let (treatment, reason) = unused_tensor(config.family.bare(weights.plain(&name)));
        account.entries.push(Entry::new(weights.file_of(&name), Some(&name), treatment, reason));
    }
    let misnamed = problems.iter().any(|(_, problem)| matches!(problem, WeightsProblem::Prefix { .. }));
    for (tensor, problem) in problems {
        account.problems.push(weights.error(tensor.as_deref(), problem));
    }
    let shape = |name: &str| {
        let (_, written) = used.iter().find(|(tensor, _)| tensor == name)?;
        Some(&weights.tensors[&written[0]].shape)
    };
    let outputs = shape("classifier.bias").and_then(|shape| shape.first().copied());
    let pooling = match Pooling::of_config(config) {
        Ok(pooling) => pooling,
        Err(error) => {
            account.problems.push(in_config(folder, error));
            return outputs;
        }
    };
    let needed = [("classifier", true), ("pooler.dense", pooling == Pooling::Pooler)];
    // For a weight without its bias, or the reverse, the plan has reported the missing one.
    let there = |name: &str| ["weight", "bias"].iter().any(|part| shape(&format!("{name}.{part}")).is_some());
    let missing = |(name, needed): (&str, bool)| needed && !misnamed && !there(name);
    for (name, _) in needed.into_iter().filter(|part| missing(*part)) {
        account.classifier_problems.push(missing_tensors(folder, config.family.names_of(name)));
    }
    outputs
}

/// Adds the problems of a classifier to the account (inspection report): its class in `transformers`, and the names of
/// its classes.
fn classifier(
    folder: &Path,
    config: &BertConfig,
    outputs: Option<usize>,
    weights: Option<&Weights>,
    account: &mut Account,
) {
    if let Some(problem) = class_problem(folder, config, outputs) {
        account.classifier_problems.push(problem);
        // Tensors that training replaces are ignored.
        for entry in account.entries.iter_mut() {
            let plain =
                |name| weights.filter(|weights| weights.tensors.contains_key(name)).map(|weights| weights.plain(name));
            let Some(name) = entry.item.as_deref().and_then(plain) else { continue };
            let name = config.family.bare(name);
            if let (Treatment::Harmless, reason) = unused_tensor(name)
                && !name.starts_with("pooler.")
            {
                (entry.treatment, entry.reason) = (Treatment::Harmless, reason.into());
            }
        }
    }
    let Some(outputs) = outputs else { return };
    account.classifier_problems.extend(task_problem(config, outputs).map(|error| in_config(folder, error)));
    match config.class_names(outputs) {
        Ok(labels) => account.labels = Some(labels),
        Err(error) => account.classifier_problems.push(in_config(folder, error)),
    }
}

fn in_config(folder: &Path, error: Error) -> Error {
    error.in_file(folder.join(CONFIG).display().to_string())
}
