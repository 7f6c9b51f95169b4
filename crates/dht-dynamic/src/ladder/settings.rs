//! Settings and texts of a training in rungs.

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

/// The settings of [`climb`](super::climb).
#[derive(Debug, Clone)]
pub struct LadderSettings {
    /// The rung that is reached whatever the [`NextStep`](super::NextStep) says.
    pub least: Rung,
    /// The highest rung.
    pub most: Rung,
    /// Settings of rung 2: batches, optimiser, schedule, seed. `epochs` is the largest number of passes: three are planned,
    /// or as many as 300 steps take, and all of these passes where rung 2 is the [least](Self::least).
    pub fine_tuning: TrainSettings,
    /// Settings of exits and exit 0.
    pub exits: AccelerateSettings,
    /// The largest cost of the training, as a share of three passes of fine-tuning over the training rows; `None` for no
    /// limit. Steps that would cost more are not taken, or taken on fewer rows. Exit 0 is fitted in any case.
    pub budget: Option<f64>,
    /// The longest time of the training; `None` for no limit. Steps are planned by the time that rung 1 took, and
    /// fine-tuning ends when the time is up. With it, two runs may differ.
    pub time: Option<Duration>,
    /// The directory for the state of rung 2, from which a stopped training resumes; `None` to save nothing. Rungs 0
    /// and 1 are computed again; the learning rate and the number of passes are those of the first start.
    pub checkpoints: Option<PathBuf>,
    /// Request to stop: the training saves its state and ends with
    /// [`Error::Stopped`](dht_transformer::Error::Stopped). It is read in rung 2.
    pub stop: Option<Arc<AtomicBool>>,
    /// True to end fine-tuning where its saved state is, with the best parameters so far; without a state, to end with
    /// rung 1.
    pub finish: bool,
    /// Peak learning rates of rung 2 to choose from: each is tried for one pass over at most 2,000 training rows, and
    /// the one with the smallest validation loss is taken. Empty for the rate of [`fine_tuning`](Self::fine_tuning).
    pub rates: Vec<f64>,
    /// The trials by which the length of the texts [was selected](super::choose_length), whose FLOPs the training counts;
    /// `None` without trials.
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

/// Files in the directory of checkpoints: state and plan of rung 2.
const STATE: &str = "fine-tuning.checkpoint";
const PLAN: &str = "fine-tuning.json";

/// Learning rate and extent of rung 2. A resumed training keeps them, whatever limits have changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) learning_rate: f64,
    /// Training rows, which are fewer than all for a part of a pass, and passes over them.
    pub(super) rows: usize,
    pub(super) epochs: usize,
}

impl LadderSettings {
    /// Path of the state of rung 2, if it is to be saved.
    pub(super) fn state(&self) -> Option<PathBuf> {
        self.checkpoints.as_ref().map(|folder| folder.join(STATE))
    }

    /// Returns whether there is a state of rung 2.
    pub(super) fn has_state(&self) -> bool {
        self.state().is_some_and(|path| path.exists())
    }

    /// Plan of the stopped training whose state there is.
    pub(super) fn plan(&self) -> Option<Plan> {
        let path = self.checkpoints.as_ref().filter(|_| self.has_state())?.join(PLAN);
        serde_json::from_slice(&read_file(path, FileKind::Description).ok()?).ok()
    }

    /// Writes the plan beside the state.
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

/// The texts of a training in rungs.
#[derive(Debug, Clone, Copy)]
pub struct LadderTexts<'a> {
    /// Texts to train on.
    pub training: &'a EncodedDataset,
    /// Texts on which every choice is made.
    pub validation: &'a EncodedDataset,
    /// True if the validation texts are a part of the same data, so that exits may be fitted on them, too. Where they are
    /// fewer than [`least_held_out`](AccelerateSettings::least_held_out), rungs 0 and 1 then use all texts by
    /// cross-fitting: each text is answered by models that were fitted without it.
    pub joins: bool,
}
