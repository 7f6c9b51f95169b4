//! Flags that the examples `distil` and `nas` share, and the plan that results from checking them.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::Parser;
use dht_cli::DeviceChoice;
use dht_transformer::tasks::LayerMap;
use dht_transformer::{BertConfig, Precision, data::NamedDataset, pretrained::PretrainedWeights, storage::file_sha256};
use sha2::{Digest, Sha256};

use super::augmented::AugmentArguments;
use super::limits::{MOST, refused};
use crate::error::Result;
use crate::experiment::{Arguments, DataArguments, Model, RunPlan, named};

/// Numbers of training and test rows of generated texts.
const GENERATED_ROWS: (usize, usize) = (4_000, 1_000);
const GIB: f64 = (1_u64 << 30) as f64;

/// Texts, teacher and student.
#[derive(Debug, Clone, Args)]
pub struct CompressionArguments {
    /// Texts; a directory with the name of a GLUE task is read as pairs if the task has pairs
    #[command(flatten)]
    pub source: DataArguments,
    /// Teacher: Hugging Face directory of a BERT, or LAYERSxHEADSxHIDDEN to train a model from scratch
    #[arg(long, value_name = "DIR|LxHxD", default_value = "4x4x64")]
    pub model: Model,
    /// Use the directory as a classifier of these classes, without fine-tuning
    #[arg(long)]
    pub fine_tuned: bool,
    /// Maximum number of passes of the teacher's fine-tuning [default: 3, or 5 with generated texts].
    ///
    /// The pass with the best validation score is used.
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Number of samples in a batch
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    /// Peak learning rate of the teacher [default: 1e-3 from scratch, 5e-5 for a pre-trained model]
    #[arg(long, value_name = "X")]
    pub lr: Option<f64>,
    /// Peak learning rate of the student [default: the teacher's]
    #[arg(long, value_name = "X")]
    pub student_lr: Option<f64>,
    /// Number of layers of the student [default: half of the teacher's]
    #[arg(long, value_name = "N")]
    pub layers: Option<usize>,
    /// Width of the student [default: the teacher's].
    ///
    /// The student has as many heads as the teacher, whose attention it learns.
    #[arg(long, value_name = "N")]
    pub hidden: Option<usize>,
    /// Number of neurons in each feed-forward of the student [default: the teacher's ratio of neurons to width]
    #[arg(long, value_name = "N")]
    pub ffn: Option<usize>,
    /// Teacher layers that the student's layers learn from: uniform, last, or their numbers from 0, such as 1,3
    #[arg(long, value_name = "MAP", default_value = "uniform")]
    pub layer_map: MapChoice,
    /// Plain texts (txt, txt.gz) for distillation from the teacher before its fine-tuning; may be repeated
    #[arg(long, value_name = "FILE")]
    pub texts: Vec<PathBuf>,
    /// Number of passes over the plain texts
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub text_epochs: usize,
    /// Augmented copies of the training texts
    #[command(flatten)]
    pub augment: AugmentArguments,
    /// Number of passes in each of the two distillation stages.
    ///
    /// The second stage uses the pass with the best validation score.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub distillation_epochs: usize,
    /// Evaluate students and searches on validation rows every N steps, and use the best step [default: after each
    /// pass, by macro F1].
    ///
    /// With this flag, the metric is the task's.
    #[arg(long, value_name = "N")]
    pub evaluate_every: Option<usize>,
    /// Memory in GiB for the teacher's states of the texts; further texts are computed in every pass
    #[arg(long, value_name = "GIB", default_value_t = 4.0)]
    pub teacher_memory: f64,
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Run on this device: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceChoice,
    /// Also write the results to this file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Show the table, but no progress
    #[arg(long)]
    pub quiet: bool,
}

/// Assignment of teacher layers to the student's layers: `uniform`, `last`, or numbers of teacher layers such as `1,3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapChoice(pub(super) LayerMap);

impl FromStr for MapChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("{text:?} is no layer map: expected uniform, last, or layers from 0, as 1,3");
        Ok(Self(match text {
            "uniform" => LayerMap::Uniform,
            "last" => LayerMap::Last,
            layers => LayerMap::Given(layers.split(',').map(str::parse).collect::<Result<_, _>>().map_err(wrong)?),
        }))
    }
}

/// Plan of a compression run: checked [`CompressionArguments`].
#[derive(Debug, Clone)]
pub(super) struct CompressionPlan {
    /// Plan of the teacher's training run, which also defines the texts.
    pub(super) run: RunPlan,
    pub(super) fine_tuned: bool,
    /// Class names of a fine-tuned teacher; `None` if its directory has none or the teacher is trained here.
    pub(super) classes: Option<Vec<String>>,
    pub(super) student: StudentSize,
    pub(super) student_rate: f64,
    pub(super) map: LayerMap,
    pub(super) texts: Vec<PathBuf>,
    pub(super) text_epochs: usize,
    pub(super) distillation_epochs: usize,
    /// Number of optimiser steps between two evaluations; `None` to evaluate after each pass over the data.
    pub(super) evaluate_every: Option<usize>,
    pub(super) augment: AugmentArguments,
    /// Memory limit for the teacher's hidden states, in bytes.
    pub(super) teacher_memory: usize,
    /// Combined checksum of all input files except the texts of the task.
    pub(super) files: String,
    pub(super) record: Option<PathBuf>,
    /// Command-line flags that may affect results, for the result file.
    pub(super) flags: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StudentSize {
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Width of the hidden states.
    pub(super) hidden: usize,
    /// Number of neurons in each feed-forward network.
    pub(super) ffn: usize,
}

impl StudentSize {
    fn from_config(config: &BertConfig) -> Self {
        Self {
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            hidden: config.hidden_size,
            ffn: config.intermediate_size,
        }
    }

    /// Configuration of an encoder with this size. All other settings are the teacher's.
    pub(super) fn config(self, teacher: &BertConfig) -> Result<BertConfig> {
        let config = BertConfig {
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            hidden_size: self.hidden,
            intermediate_size: self.ffn,
            ..teacher.unpruned()
        };
        config.check()?;
        Ok(config)
    }
}

impl CompressionPlan {
    /// Checks the flags, and the map from student to teacher layers. No texts are read.
    ///
    /// # Errors
    /// [`Argument`](crate::Error::Argument) and [`Needs`](crate::Error::Needs) for invalid flags;
    /// [`Transformer`](crate::Error::Transformer) for a model directory without a valid `config.json`, and for a
    /// student with more layers than its teacher.
    pub(super) fn new(arguments: &CompressionArguments) -> Result<Self> {
        let one = |flag, got: usize| match (1..=MOST as usize).contains(&got) {
            true => Ok(got),
            false => Err(refused(flag, format!("1 to {MOST}"), got)),
        };
        let memory = arguments.teacher_memory;
        if !(memory >= 0.0 && memory.is_finite()) {
            return Err(refused("teacher-memory", "a finite number, at least 0", memory));
        }
        if arguments.evaluate_every == Some(0) {
            return Err(refused("evaluate-every", "at least 1", 0));
        }
        arguments.augment.check()?;
        let plain = arguments.of_run();
        let run = RunPlan::without_search(plain.clone())?;
        if arguments.fine_tuned && !run.pretrained() {
            return Err(refused("fine-tuned", "only where --model is a directory", "--model with a size"));
        }
        let student_rate = arguments.student_lr.unwrap_or(run.learning_rate);
        if !(student_rate.is_finite() && student_rate > 0.0) {
            return Err(refused("student-lr", "a finite number above 0", student_rate));
        }
        // The vocabulary of a model from scratch is not known yet, and nothing here depends on it.
        let teacher = match &run.model {
            Model::Size(size) => size.config(run.max_length)?,
            Model::Directory(folder) => PretrainedWeights::read_config(folder)?,
        };
        let student = arguments.student(&teacher)?;
        arguments.layer_map.0.teacher_layers(student.layers, teacher.num_hidden_layers)?;
        let files = checksums(&arguments.files(&run.model))?;
        let mut flags = plain.flags();
        flags.extend(arguments.own_flags());
        Ok(Self {
            fine_tuned: arguments.fine_tuned,
            classes: teacher.labels().filter(|_| arguments.fine_tuned),
            student,
            student_rate,
            map: arguments.layer_map.0.clone(),
            texts: arguments.texts.clone(),
            text_epochs: one("text-epochs", arguments.text_epochs)?,
            distillation_epochs: one("distillation-epochs", arguments.distillation_epochs)?,
            evaluate_every: arguments.evaluate_every,
            augment: arguments.augment.clone(),
            teacher_memory: (memory * GIB) as usize,
            files,
            record: arguments.record.clone(),
            run,
            flags,
        })
    }

    /// Sets the interval between evaluations in optimiser steps, unless the flags define it.
    pub(super) fn evaluated_by_default(mut self, every: usize) -> Self {
        if self.evaluate_every.is_none() {
            self.evaluate_every = Some(every);
            self.flags.extend(["--evaluate-every".into(), every.to_string()]);
        }
        self
    }

    /// Plan of a training run on the same texts, with `seed` added to the seed of the flags.
    pub(super) fn with_seed(&self, seed: u64) -> RunPlan {
        RunPlan { seed: self.run.seed.wrapping_add(seed), ..self.run.clone() }
    }
}

impl CompressionArguments {
    /// Converts the flags to those of a single training run.
    fn of_run(&self) -> Arguments {
        Arguments {
            source: with_defaults(&self.source),
            model: self.model.clone(),
            epochs: self.epochs,
            batch: self.batch,
            lr: self.lr,
            seed: self.seed,
            device: self.device,
            precision: Precision::F32,
            quiet: self.quiet,
            ..Arguments::parse_from(["compression"])
        }
    }

    fn student(&self, teacher: &BertConfig) -> Result<StudentSize> {
        let whole = StudentSize::from_config(teacher);
        let hidden = self.hidden.unwrap_or(whole.hidden);
        let Some(neurons) = whole.ffn.checked_mul(hidden) else {
            return Err(refused("hidden", "columns of a model that fits into memory", hidden));
        };
        let size = StudentSize {
            layers: self.layers.unwrap_or(whole.layers.div_ceil(2)),
            heads: whole.heads,
            hidden,
            ffn: self.ffn.unwrap_or(neurons / whole.hidden),
        };
        size.config(teacher)?;
        Ok(size)
    }

    /// Input files except the texts of the task.
    fn files(&self, model: &Model) -> Vec<PathBuf> {
        let mut files = self.texts.clone();
        files.extend(self.augment.word_vectors.clone());
        let teacher = if let Model::Directory(folder) = model { Some(folder) } else { None };
        for folder in teacher.into_iter().chain(&self.augment.augment_model) {
            files.push(folder.join("config.json"));
            files.extend(PretrainedWeights::weight_files(folder).unwrap_or_default());
            files.extend(["tokenizer.json", "tokenizer_config.json", "vocab.txt"].map(|part| folder.join(part)));
            files.retain(|file| file.exists());
        }
        files
    }

    /// Command-line flags of compression that the flags of a training run, [`Arguments`], do not contain.
    fn own_flags(&self) -> Vec<String> {
        let number = |number: Option<usize>| number.map(|number| number.to_string());
        let map = match &self.layer_map.0 {
            LayerMap::Uniform => None,
            LayerMap::Last => Some("last".into()),
            LayerMap::Given(layers) => Some(layers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")),
        };
        let values = [
            ("student-lr", self.student_lr.map(|rate| rate.to_string())),
            ("layers", number(self.layers)),
            ("hidden", number(self.hidden)),
            ("ffn", number(self.ffn)),
            ("layer-map", map),
            ("text-epochs", number(Some(self.text_epochs).filter(|epochs| *epochs != 1))),
            ("distillation-epochs", number(Some(self.distillation_epochs).filter(|epochs| *epochs != 5))),
            ("evaluate-every", number(self.evaluate_every)),
        ];
        let texts = self.texts.iter().map(|file| ("texts", Some(named(file))));
        let mut flags = Vec::from_iter(self.fine_tuned.then(|| "--fine-tuned".to_owned()));
        for (flag, value) in values.into_iter().chain(self.augment.flags()).chain(texts) {
            flags.extend(value.into_iter().flat_map(|value| [format!("--{flag}"), value]));
        }
        flags
    }
}

/// Sets the default numbers of generated rows. Reads text pairs if the data directory has the name of a GLUE task on
/// pairs.
pub(super) fn with_defaults(source: &DataArguments) -> DataArguments {
    let source = source.clone().or_generated(GENERATED_ROWS.0, GENERATED_ROWS.1);
    let name = source.data.as_deref().and_then(std::path::Path::file_name).map(|name| name.to_string_lossy());
    let known = name.and_then(|name| NamedDataset::find(&format!("glue/{name}")));
    DataArguments { pair: source.pair || known.is_some_and(|known| known.pair), ..source }
}

/// Combined checksum of several files, which is short enough for an error message.
fn checksums(files: &[PathBuf]) -> Result<String> {
    let mut all = Sha256::new();
    for file in files {
        all.update(file_sha256(file)?);
    }
    Ok(all.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        arguments: CompressionArguments,
    }

    fn plan(words: &[&str]) -> Result<CompressionPlan> {
        CompressionPlan::new(&Program::parse_from(std::iter::once(&"x").chain(words)).arguments)
    }

    #[test]
    fn the_student_has_half_of_the_layers_and_what_is_asked_for() {
        let of = |words: &[&str]| plan(&[&["--model", "5x4x64"], words].concat()).unwrap().student;
        assert_eq!(of(&[]), StudentSize { layers: 3, heads: 4, hidden: 64, ffn: 256 });
        assert_eq!(of(&["--hidden", "32", "--layers", "1"]), StudentSize { layers: 1, heads: 4, hidden: 32, ffn: 128 });
        assert_eq!(of(&["--ffn", "30"]).ffn, 30);
    }

    #[test]
    fn students_that_cannot_be_mapped_are_rejected() {
        for (words, named) in [
            (&["--layers", "5"][..], "layers"),
            (&["--layers", "0"], "num_hidden_layers"),
            (&["--hidden", "30"], "hidden_size"),
            (&["--layers", "2", "--layer-map", "3,1"], "layer_map"),
            (&["--layer-map", "1"], "layer_map"),
            (&["--student-lr", "0"], "student-lr"),
            (&["--distillation-epochs", "0"], "distillation-epochs"),
            (&["--teacher-memory", "NaN"], "teacher-memory"),
            (&["--evaluate-every", "0"], "evaluate-every"),
            (&["--fine-tuned"], "fine-tuned"),
            (&["--augment", "3"], "augment"),
            (&["--augment", "0", "--word-vectors", "x"], "augment"),
        ] {
            let error = plan(words).unwrap_err().to_string();
            assert!(error.contains(named), "{words:?}: {error}");
        }
        assert!("first".parse::<MapChoice>().unwrap_err().contains("no layer map"));
    }

    #[test]
    fn pairs_of_glue_are_known_and_flags_are_kept_as_typed() {
        let rte = plan(&["--data", "somewhere/glue/rte", "--layers", "1", "--layer-map", "3"]).unwrap();
        assert!(matches!(&rte.run.data, crate::experiment::DataSource::Directory { pair: true, .. }));
        let flags = rte.flags.join(" ");
        assert!(flags.ends_with("--layers 1 --layer-map 3"), "{flags}");
        let cola = plan(&["--data", "somewhere/glue/cola"]).unwrap();
        assert!(matches!(&cola.run.data, crate::experiment::DataSource::Directory { pair: false, .. }));
    }
}
