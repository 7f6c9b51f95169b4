//! Settings and texts of a training run in rungs.

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

/// Settings of [`climb`](super::climb), which trains a model in rungs.
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
    /// Lowest rung at which the stopping rule, a [`NextStep`](super::NextStep), may end the run; rung 0 by default.
    pub least: Rung,
    /// Highest rung that may be trained; rung 2 by default.
    pub most: Rung,
    /// Settings of fine-tuning in rung 2: batches, optimiser, schedule and seed. `epochs` is the maximum number of
    /// passes, 7 by default. Three passes are planned, or more if three passes have fewer than 300 steps. If rung 2 is
    /// the [lowest](Self::least) rung, all `epochs` are planned.
    pub fine_tuning: TrainSettings,
    /// Settings of the exits, including the n-gram exit (exit 0).
    pub exits: AccelerateSettings,
    /// Maximum cost of the run, as a share of the FLOPs of three fine-tuning passes over the training rows; `None`, the
    /// default, for no limit. A step that would exceed the limit is skipped, or runs on fewer rows. The n-gram exit is
    /// always fitted.
    pub budget: Option<f64>,
    /// Maximum time of the run; `None`, the default, for no limit. Fine-tuning is planned by the measured time of rung
    /// 1, and ends when the share of the time that is planned for it is over. With a time limit, the results of two
    /// runs may differ.
    pub time: Option<Duration>,
    /// Directory for the checkpoint of fine-tuning (rung 2), from which a stopped run resumes; `None`, the default, to
    /// save nothing. A resumed run computes rungs 0 and 1 again. The resumed run keeps the learning rate and the number
    /// of passes of the first start.
    pub checkpoints: Option<PathBuf>,
    /// Flag by which another thread stops the training run, which then saves its checkpoint and ends with
    /// [`Error::Stopped`](dht_transformer::Error::Stopped). The flag is read during fine-tuning (rung 2) only.
    pub stop: Option<Arc<AtomicBool>>,
    /// True to finish a stopped run without further training: fine-tuning ends at its checkpoint, with the best
    /// parameters so far. Without a checkpoint, the run ends with rung 1.
    pub finish: bool,
    /// Peak learning rates of fine-tuning (rung 2) to select from; empty, the default, for the rate of
    /// [`fine_tuning`](Self::fine_tuning). Each rate is tried for one pass over at most 2,000 training rows, and the
    /// rate with the lowest validation loss is used.
    pub rates: Vec<f64>,
    /// Selected length of the texts, with the trials of [`choose_length`](super::choose_length); `None` without trials.
    /// The FLOPs of the trials are added to those of the run.
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

/// File name of the checkpoint of rung 2.
const STATE: &str = "fine-tuning.checkpoint";
/// File name of the plan of fine-tuning (rung 2): learning rate, rows and passes.
const PLAN: &str = "fine-tuning.json";

/// Learning rate, rows and passes of rung 2. A resumed run keeps its plan, even if budget or time limit have changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) learning_rate: f64,
    /// Number of training rows. For less than one pass, this number is below the number of all rows.
    pub(super) rows: usize,
    /// Number of passes over the rows.
    pub(super) epochs: usize,
}

impl LadderSettings {
    /// Path of the checkpoint of rung 2; `None` if nothing is to be saved.
    pub(super) fn state(&self) -> Option<PathBuf> {
        self.checkpoints.as_ref().map(|folder| folder.join(STATE))
    }

    /// Returns whether there is a checkpoint of rung 2.
    pub(super) fn has_state(&self) -> bool {
        self.state().is_some_and(|path| path.exists())
    }

    /// Reads the plan of fine-tuning of a stopped training run; `None` if there is no checkpoint.
    pub(super) fn plan(&self) -> Option<Plan> {
        let path = self.checkpoints.as_ref().filter(|_| self.has_state())?.join(PLAN);
        serde_json::from_slice(&read_file(path, FileKind::Description).ok()?).ok()
    }

    /// Writes the plan of fine-tuning to the directory of checkpoints.
    pub(super) fn save_plan(&self, plan: Plan) -> Result<()> {
        let Some(folder) = &self.checkpoints else { return Ok(()) };
        let json = serde_json::to_string(&plan).map_err(|error| Error::argument("plan", "numbers", error))?;
        Ok(write_atomically(folder.join(PLAN), |file| writeln!(file, "{json}"))?)
    }

    /// Checks all ranges.
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

/// Training and validation texts of a training run in rungs.
#[derive(Debug, Clone, Copy)]
pub struct LadderTexts<'a> {
    /// Texts to train on.
    pub training: &'a EncodedDataset,
    /// Texts on which rungs, learning rates and speeds are selected.
    pub validation: &'a EncodedDataset,
    /// True if exits may be fitted on the validation texts, too, because they come from the same data as the training
    /// texts. If this is true and there are fewer validation texts than
    /// [`least_held_out`](AccelerateSettings::least_held_out), rungs 0 and 1 are cross-fitted on all texts: each text
    /// is answered by models that were fitted without this text.
    pub joins: bool,
}
