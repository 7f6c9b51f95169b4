//! Settings and texts of training in rungs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use dht_transformer::storage::{FileKind, read_file, write_atomically};
use dht_transformer::{EncodedDataset, TrainSettings};
use serde::{Deserialize, Serialize};

use super::length_choice::LengthChoice;
use super::report::Rung;
use crate::error::{Error, Result};
use crate::fit::{AccelerateSettings, Targets};

/// Settings of [`climb`](super::climb), which trains a model in rungs: steps of increasing cost.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use dht_dynamic::ladder::{LadderSettings, Rung};
///
/// // No fine-tuning, and at most ten minutes.
/// let settings = LadderSettings {
///     most: Rung::Frozen,
///     time: Some(Duration::from_secs(600)),
///     ..LadderSettings::default()
/// };
/// settings.check()?;
/// // The lowest rung must not be above the highest.
/// assert!(LadderSettings { least: Rung::FineTuned, ..settings }.check().is_err());
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LadderSettings {
    /// Lowest rung (training step) after which the stopping rule, a [`NextStep`](super::NextStep), may end the run;
    /// rung 0 by default.
    pub least: Rung,
    /// Highest rung (training step) that may be trained; rung 2 (fine-tuning) by default.
    pub most: Rung,
    /// Settings of fine-tuning in rung 2: batches, optimiser, schedule and seed. `epochs` is the maximum number of
    /// passes, 7 by default. Three passes are planned, or more if three passes have fewer than 300 steps. If rung 2 is
    /// the [lowest](Self::least) rung, all `epochs` are planned.
    pub fine_tuning: TrainSettings,
    /// Settings of the early exits, which include the n-gram classifier before the first layer. Their [class
    /// weights](AccelerateSettings::class_weights) apply to fine-tuning and to all validation losses, too.
    pub exits: AccelerateSettings,
    /// Maximum cost of the run, as a share of the FLOPs of three fine-tuning passes over the training rows; `None`, the
    /// default, for no limit. A step that would exceed the limit is skipped, or runs on fewer rows. The n-gram
    /// classifier is always fitted.
    pub budget: Option<f64>,
    /// Maximum time of the run; `None`, the default, for no limit. The number of fine-tuning passes is planned from the
    /// measured time of the training step before it (rung 1). Fine-tuning ends when its share of the time is used up.
    /// With a time limit, the results of two runs may differ.
    pub time: Option<Duration>,
    /// Directory for the checkpoint of fine-tuning (rung 2), from which a stopped run resumes; `None`, the default, to
    /// save nothing. A resumed run computes rungs 0 and 1 again, and keeps the learning rate and the number of passes
    /// of its first start.
    pub checkpoints: Option<PathBuf>,
    /// Flag by which another thread stops the training run, which then saves its checkpoint and ends with
    /// [`Error::Stopped`](dht_transformer::Error::Stopped). The flag is read during fine-tuning (rung 2) only.
    pub stop: Option<Arc<AtomicBool>>,
    /// True to finish a stopped run without further training: fine-tuning ends at its checkpoint, with the best
    /// parameters so far. Without a checkpoint, the run ends with rung 1 (frozen encoder).
    pub finish: bool,
    /// Peak learning rates of fine-tuning (rung 2) to select from; empty, the default, for the rate of
    /// [`fine_tuning`](Self::fine_tuning). Each rate is tried for one pass over at most 2,000 training rows, and the
    /// rate with the lowest validation loss is used.
    pub rates: Vec<f64>,
    /// Selected text length, with the trials of [`choose_length`](super::choose_length); `None` without trials. The
    /// FLOPs of the trials are added to those of the run.
    pub length: Option<LengthChoice>,
}

impl Default for LadderSettings {
    fn default() -> Self {
        Self {
            least: Rung::Ngrams,
            most: Rung::FineTuned,
            fine_tuning: TrainSettings { epochs: 7, ..TrainSettings::default() },
            exits: AccelerateSettings::default(),
            budget: None,
            time: None,
            checkpoints: None,
            stop: None,
            finish: false,
            rates: Vec::new(),
            length: None,
        }
    }
}

/// File name of the fine-tuning checkpoint, from which a stopped run is resumed.
const STATE: &str = "fine-tuning.checkpoint";
/// File name of the fine-tuning [`Plan`], next to the checkpoint.
const PLAN: &str = "fine-tuning.json";

/// Learning rate, rows and epochs of fine-tuning. A resumed run keeps its plan, even if the budget or the time limit
/// has changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) learning_rate: f64,
    /// Number of training rows to use. It is below the number of all rows if less than one pass is planned.
    pub(super) rows: usize,
    pub(super) epochs: usize,
}

impl LadderSettings {
    /// Path of the fine-tuning checkpoint; `None` if no checkpoint is to be saved.
    pub(super) fn state(&self) -> Option<PathBuf> {
        self.checkpoints.as_ref().map(|folder| folder.join(STATE))
    }

    pub(super) fn has_state(&self) -> bool {
        self.state().is_some_and(|path| path.exists())
    }

    /// Reads the saved fine-tuning plan of a stopped run. Returns `None` if there is no checkpoint.
    pub(super) fn plan(&self) -> Option<Plan> {
        let path = self.checkpoints.as_ref().filter(|_| self.has_state())?.join(PLAN);
        serde_json::from_slice(&read_file(path, FileKind::Description).ok()?).ok()
    }

    /// Saves the fine-tuning plan, if a checkpoint directory is set.
    pub(super) fn save_plan(&self, plan: Plan) -> Result<()> {
        let Some(folder) = &self.checkpoints else { return Ok(()) };
        let json = serde_json::to_string(&plan).map_err(|error| Error::argument("plan", "numbers", error))?;
        Ok(write_atomically(folder.join(PLAN), |file| writeln!(file, "{json}"))?)
    }

    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// [`Error::Argument`] names the field that is out of range.
    pub fn check(&self) -> Result<()> {
        if self.least > self.most {
            return Err(Error::argument("least rung", "at most the highest one", format!("{:?}", self.least)));
        }
        if let Some(budget) = self.budget.filter(|budget| !(budget.is_finite() && *budget > 0.0)) {
            return Err(Error::argument("budget", "a finite share above 0", budget));
        }
        if self.exits.targets != Targets::Labels {
            return Err(Error::argument("targets", "labels", format!("{:?}", self.exits.targets)));
        }
        if self.exits.ngram.is_none() {
            return Err(Error::argument("ngram", "settings of exit 0", "none"));
        }
        if let Some(rate) = self.rates.iter().find(|rate| !(rate.is_finite() && **rate > 0.0)) {
            return Err(Error::argument("rates", "finite numbers above 0", rate));
        }
        self.fine_tuning.check()?;
        self.exits.check()
    }
}

/// Texts for training in rungs (steps of increasing cost): training texts and validation texts.
#[derive(Debug, Clone, Copy)]
pub struct LadderTexts<'a> {
    /// Texts on which encoder, exits and n-gram classifier are fitted.
    pub training: &'a EncodedDataset,
    /// Texts on which the best rung, learning rate and speed (exit threshold) are selected.
    pub validation: &'a EncodedDataset,
    /// True if exits may be fitted on the validation texts, too, because they come from the same data as the training
    /// texts. With fewer validation texts than [`least_held_out`](AccelerateSettings::least_held_out), rungs 0 and 1
    /// are then cross-fitted on all texts: each text is predicted by models that were fitted without it.
    pub joins: bool,
}
