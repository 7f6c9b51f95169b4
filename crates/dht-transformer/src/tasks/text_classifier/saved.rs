//! Loading and saving of classifiers as Hugging Face directories.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::TextClassifier;
use crate::config::Pooling;
use crate::data::TextTokenizer;
use crate::error::{Error, Result};
use crate::model::{Encoder, LinearTensors};
use crate::pretrained::{PretrainedWeights, class_problem, missing_tensors, task_problem};
use crate::storage::model_directory;
use crate::tasks::Task;

/// Field of `config.json` that stores the classifier's task.
const PROBLEM: &str = "problem_type";

impl TextClassifier {
    /// Loads a classifier that [`save`](Self::save) wrote, or any other `BertForSequenceClassification` of
    /// `transformers`.
    ///
    /// # Errors
    /// Errors of [`PretrainedWeights::read`], and these:
    ///
    /// - [`Error::Unsupported`] if another class of `transformers` wrote the directory, such as
    ///   `BertForTokenClassification`.
    /// - [`Error::Weights`] if the directory lacks the classifier or the pooler that it requires.
    /// - [`Error::Config`] if the pooling or the task is unknown, if the [class names](crate::BertConfig::class_names)
    ///   are invalid, or if the model does not have the heads and neurons that remained after pruning.
    pub fn load(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let folder = folder.as_ref();
        Self::read(folder, device).map_err(|error| error.in_file(folder.join("config.json").display().to_string()))
    }

    fn read(folder: &Path, device: &Device) -> Result<Self> {
        let folder = &*model_directory(folder)?;
        let PretrainedWeights { config, tensors, .. } = PretrainedWeights::read_variables(folder)?;
        let outputs = tensors.get("classifier.bias").map(Tensor::elem_count);
        if let Some(problem) = class_problem(folder, &config, outputs) {
            return Err(problem);
        }
        if let Some(problem) = outputs.and_then(|outputs| task_problem(&config, outputs)) {
            return Err(problem);
        }
        let pooling = Pooling::of_config(&config)?;
        let task = match config.other.get(PROBLEM).filter(|value| !value.is_null()) {
            None => None,
            Some(value) => Some(serde_json::from_value(value.clone()).map_err(|_| {
                Error::argument(
                    PROBLEM,
                    r#""single_label_classification", "multi_label_classification" or "regression""#,
                    value.to_string(),
                )
            })?),
        };
        let find = |name: &str| {
            LinearTensors::find(&tensors, name).ok_or_else(|| missing_tensors(folder, config.family.names_of(name)))
        };
        let classes = find("classifier")?;
        let pooler = if pooling == Pooling::Pooler { Some(find("pooler.dense")?) } else { None };
        let encoder = Encoder::from_variables(&config, &tensors, device)?;
        // `transformers` reads a model with a single output as a regression by default.
        let task = task.unwrap_or(if classes.outputs()? == 1 { Task::Number } else { Task::Class });
        task.check(classes.outputs()?)?;
        let model = Self::assemble(task, encoder, classes, pooling, pooler)?;
        model.class_names()?;
        Ok(model)
    }

    /// Names of the classes, ordered by class number. Without names in the configuration they are `LABEL_0`, `LABEL_1`
    /// and so on.
    ///
    /// # Errors
    /// Errors of [`BertConfig::class_names`](crate::BertConfig::class_names), which cannot occur for a loaded
    /// classifier.
    pub fn class_names(&self) -> Result<Vec<String>> {
        self.encoder.config().class_names(self.classifier.classes())
    }

    /// Writes the encoder, the classifier and the names of its classes as a Hugging Face directory. The write is
    /// atomic. If there is a tokenizer, it is written, too.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of labels is not the number of classes; [`Error::Argument`] if two labels are
    /// equal or one is empty. Errors of [`PretrainedWeights::write`].
    ///
    /// # Examples
    /// ```
    /// use candle_core::Device;
    /// use dht_transformer::{BertConfig, Encoder, Pooling, TextClassifier};
    /// # use rand::SeedableRng;
    /// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("model");
    /// let encoder = Encoder::random(&BertConfig::small(1, 2, 8, 50)?, &Device::Cpu, &mut rng)?;
    /// let classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
    /// classifier.save(&path, None, &["bad".into(), "good".into()])?;
    ///
    /// let loaded = TextClassifier::load(&path, &Device::Cpu)?;
    /// assert_eq!(loaded.class_names()?, ["bad", "good"]);
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    pub fn save(&self, folder: impl AsRef<Path>, tokenizer: Option<&TextTokenizer>, labels: &[String]) -> Result<()> {
        let classes = self.classifier.classes();
        if labels.len() != classes {
            return Err(Error::Shape { what: "labels".into(), expected: vec![classes], got: vec![labels.len()] });
        }
        let mut config = self.encoder.config().clone();
        config.set_labels(labels);
        config.class_names(classes)?;
        match (self.task, config.other.contains_key(PROBLEM)) {
            (Task::Class, false) => {}
            (task, _) => {
                let task = serde_json::to_value(task).map_err(|source| Error::Json { what: PROBLEM.into(), source })?;
                config.other.insert(PROBLEM.into(), task);
            }
        }
        self.classifier.pooling().describe(&mut config);
        let mut tensors = self.encoder.views()?;
        tensors.extend(self.classifier.to_tensors()?);
        PretrainedWeights::write(folder, &config, &tensors, tokenizer)
    }
}
