//! Classifiers as Hugging Face directories.

use std::path::Path;

use candle_core::Device;

use super::TextClassifier;
use crate::config::Pooling;
use crate::data::TextTokenizer;
use crate::error::{Error, Result, WeightsProblem};
use crate::model::{Encoder, LinearTensors};
use crate::pretrained::{PretrainedWeights, read_hugging_face, write_hugging_face};
use crate::tasks::Task;

/// The field of `config.json` that says the task.
const PROBLEM: &str = "problem_type";

impl TextClassifier {
    /// Loads what [`save`](Self::save) wrote, or any other `BertForSequenceClassification`.
    ///
    /// # Errors
    /// As [`read_hugging_face`]; [`Error::Weights`] when the directory has no classifier, or none of the pooler that it
    /// needs; [`Error::Config`] for an unknown pooling or task, names for another number of classes,
    /// or heads and neurons left that the model does not have.
    pub fn load(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let folder = folder.as_ref();
        Self::read(folder, device).map_err(|error| error.in_file(folder.join("config.json").display().to_string()))
    }

    fn read(folder: &Path, device: &Device) -> Result<Self> {
        let PretrainedWeights { config, tensors, .. } = read_hugging_face(folder)?;
        let pooling = Pooling::of_config(&config)?;
        let task = match config.other.get(PROBLEM).filter(|value| !value.is_null()) {
            None => None,
            Some(value) => Some(serde_json::from_value(value.clone()).map_err(|_| {
                Error::setting(
                    PROBLEM,
                    r#""single_label_classification", "multi_label_classification" or "regression""#,
                    value.to_string(),
                )
            })?),
        };
        let find = |name: &str| {
            LinearTensors::find(&tensors, name).ok_or_else(|| Error::Weights {
                path: folder.join("model.safetensors"),
                tensor: None,
                problem: WeightsProblem::Missing { names: format!("{name}.weight, {name}.bias") },
            })
        };
        let classes = find("classifier")?;
        let pooler = if pooling == Pooling::Pooler { Some(find("pooler.dense")?) } else { None };
        let encoder = Encoder::from_tensors(&config, &tensors, device)?;
        // Without a word about it, `transformers` takes a single output for a number.
        let task = task.unwrap_or(if classes.outputs()? == 1 { Task::Number } else { Task::Class });
        task.check(classes.outputs()?)?;
        let model = Self::assemble(task, encoder, classes, pooling, pooler)?;
        match config.labels() {
            Some(labels) if labels.len() != model.classifier.classes() => Err(Error::setting(
                "id2label",
                format!("{} classes", model.classifier.classes()),
                labels.len().to_string(),
            )),
            _ => Ok(model),
        }
    }

    /// Writes a Hugging Face directory, whole or not at all: the encoder, the classifier, the names of its classes and,
    /// if there is one, the tokenizer.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are not as many labels as classes; as [`write_hugging_face`].
    pub fn save(&self, folder: impl AsRef<Path>, tokenizer: Option<&TextTokenizer>, labels: &[String]) -> Result<()> {
        let classes = self.classifier.classes();
        if labels.len() != classes {
            return Err(Error::Shape { what: "labels".into(), expected: vec![classes], got: vec![labels.len()] });
        }
        let mut config = self.encoder.config().clone();
        config.set_labels(labels);
        match (self.task, config.other.contains_key(PROBLEM)) {
            (Task::Class, false) => {}
            (task, _) => {
                let task = serde_json::to_value(task).map_err(|source| Error::Json { what: PROBLEM.into(), source })?;
                config.other.insert(PROBLEM.into(), task);
            }
        }
        self.classifier.pooling().describe(&mut config);
        let mut tensors = self.encoder.to_tensors()?;
        tensors.extend(self.classifier.to_tensors()?);
        write_hugging_face(folder, &config, &tensors, tokenizer)
    }
}
