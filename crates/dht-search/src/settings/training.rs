//! Settings of training: dispatch of samples, full-model steps, soft labels, and the losses from which the bandits
//! learn.

use serde::{Deserialize, Serialize};

use super::exits::ExitLosses;
use super::ranges::{check_number, check_share};
use crate::error::{Error, Result};

/// Dispatch of samples with different depths in training: in one graph, or in queues by depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dispatch {
    /// Training without queues: a batch runs the base layers once, with gradient, and is routed. Its samples, grouped
    /// by route, continue in the same computation graph, for one optimiser step. Unlike queues it needs no second pass
    /// through the base layers. Not in the DHT paper.
    InFlight,
    /// Training with queues (Algorithm 3 of the DHT paper): a sample runs the base layers with the current weights and
    /// waits in the queue of its depth. When `size` samples of that depth have arrived, they run the base layers again
    /// with gradient. Samples that are still queued at the end of an epoch are trained on then; the paper drops them.
    Queue {
        /// Size of a full queue: the number of samples that are then trained on as one batch.
        size: usize,
    },
}

impl Dispatch {
    /// Size of a full queue in samples; `None` without queues.
    pub(super) fn queue_size(self) -> Option<usize> {
        match self {
            Self::InFlight => None,
            Self::Queue { size } => Some(size),
        }
    }
}

/// Schedule of training steps that run the full model with all heads. They train the last exit only, with its
/// cross-entropy as loss.
///
/// The bandits do not learn from a full-model step, since it evaluates no other exit. By default there are none.
///
/// # Examples
/// ```
/// use dht_search::{SearchSettings, settings::FullModelSteps};
///
/// let alternating = FullModelSteps { first: 0.0, every: 2 }; // as in BERxiT
/// let settings = SearchSettings { full_model_steps: alternating, ..SearchSettings::default() };
/// settings.check()?;
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FullModelSteps {
    /// Share of a training run, at its start, in which all steps run the full model; from 0 to below 1. Steps with
    /// random routes ([`explore_share`](crate::SearchSettings::explore_share)) follow.
    pub first: f64,
    /// Interval of full-model steps after those at the start; 0 for none. With `first` = 0, an interval of 2 is
    /// BERxiT's alternating training (Xin et al. 2021). With queues, a batch that arrives at a full-model step runs the
    /// full model at once and is not queued.
    pub every: u64,
}

impl FullModelSteps {
    /// Returns whether a batch runs the full model. `step` is the step at which the batch arrives, and `share` the
    /// elapsed share of the training run.
    pub(crate) fn hold(self, step: u64, share: f64) -> bool {
        share < self.first || (self.every > 0 && step.is_multiple_of(self.every))
    }

    pub(super) fn check(self, explore_share: f64) -> Result<()> {
        check_share("full_model_steps.first", self.first)?;
        if self.first + explore_share > 1.0 || self.first == 1.0 {
            let expected = "below 1, and with explore_share at most 1";
            return Err(Error::argument("full_model_steps.first", expected, self.first));
        }
        if self.every == 1 {
            return Err(Error::argument("full_model_steps.every", "0, or at least 2: no step would be routed", 1));
        }
        Ok(())
    }
}

/// Teacher of the soft labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Teacher {
    /// Deepest exit that a text reached, as teacher of the exits that the text passed; without extra cost (Phuong and
    /// Lampert 2019).
    Deepest,
    /// Trained full model, set by [`with_teacher`](crate::SearchObjective::with_teacher), as teacher of every exit. Its
    /// forward passes count as training cost.
    Full,
}

/// Soft labels: a teacher's class probabilities, from which exits learn in addition to the labels.
///
/// The loss of an exit becomes (1 − w)·CE + w·τ²·KL(softmax(t/τ) ‖ softmax(z/τ)), with the weight w, the cross-entropy
/// CE, the exit's logits z, the teacher's detached logits t and a temperature τ (Hinton et al. 2015).
///
/// # Examples
/// ```
/// use dht_search::SearchSettings;
/// use dht_search::settings::{SoftLabels, Teacher};
///
/// let soft = SoftLabels { teacher: Teacher::Deepest, weight: 0.5, temperature: 2.0 };
/// let settings = SearchSettings { soft_labels: Some(soft), ..SearchSettings::default() };
/// assert!(settings.check().is_ok());
/// // With the paper's losses no passed exit learns, so that the deepest exit has no student.
/// let paper = SearchSettings { soft_labels: Some(soft), ..SearchSettings::paper() };
/// assert!(paper.check().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftLabels {
    /// Teacher whose class probabilities are the soft labels: a model or an exit.
    pub teacher: Teacher,
    /// Weight w of the teacher's loss, above 0 and at most 1. The labels have weight 1 − w.
    pub weight: f64,
    /// Temperature τ, above 0. A higher temperature gives more weight to classes of low probability.
    pub temperature: f64,
}

impl SoftLabels {
    pub(super) fn check(self, exit_losses: ExitLosses) -> Result<()> {
        if self.teacher == Teacher::Deepest && exit_losses == ExitLosses::Chosen {
            let expected =
                "a teacher other than the deepest exit, since with exit_losses = chosen no passed exit learns";
            return Err(Error::argument("soft_labels.teacher", expected, "deepest"));
        }
        check_number("soft_labels.temperature", self.temperature, f64::MIN_POSITIVE)?;
        check_number("soft_labels.weight", self.weight, f64::MIN_POSITIVE)?;
        check_share("soft_labels.weight", self.weight)
    }
}

/// Losses from which the bandits learn. Losses of texts that were trained on before are too low because of
/// memorisation, mainly at deeper exits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossSource {
    /// Losses of all epochs, as in the DHT paper (Meng et al. 2023).
    #[default]
    AllEpochs,
    /// Losses of the first epoch, in which no text is repeated. The bandits do not change afterwards.
    FirstEpoch,
    /// Losses of held-out texts, which are never trained on. They are routed and evaluated once in each epoch, and the
    /// cost is counted. The model is trained on all other texts.
    HeldOut {
        /// Probability that a training text is held out, above 0 and at most .5. The seed of the training run
        /// determines the selection.
        share: f64,
    },
}

impl LossSource {
    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::HeldOut { share } if !(share > 0.0 && share <= 0.5) => {
                Err(Error::argument("loss_source.held_out.share", "above 0 and at most .5", share))
            }
            _ => Ok(()),
        }
    }
}
