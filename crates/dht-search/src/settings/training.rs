//! What else a training may do than train each sample on its route: whole models between, soft labels, held-out texts.

use serde::{Deserialize, Serialize};

use super::exits::ExitLosses;
use super::{check_number, check_share};
use crate::error::{Error, Result};

/// Steps in which every text runs the whole model, with all heads, and trains the last exit alone: loss = CE(last).
///
/// No exit on the way is looked at then, so the bandits learn nothing from such a step. By default there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FullModelSteps {
    /// All steps in this first share of the training, from 0 to below 1: the full model first, then the exits. Random
    /// routes ([`explore_share`](crate::SearchSettings::explore_share)) begin after it.
    pub first: f64,
    /// Of the later steps every n-th; 0 is none of them. With 2 and nothing first, every other step is whole: BERxiT's
    /// alternating training (Xin et al. 2021). With both, the last exit goes on as it began. With queues it is the batch
    /// that arrives at such a step that runs whole at once.
    pub every: u64,
}

impl FullModelSteps {
    /// Whether a batch that arrives at this step, with this share of the training behind, runs whole.
    pub(crate) fn hold(self, step: u64, share: f64) -> bool {
        share < self.first || (self.every > 0 && step.is_multiple_of(self.every))
    }

    pub(crate) fn check(self, explore_share: f64) -> Result<()> {
        check_share("full_model_steps.first", self.first)?;
        if self.first + explore_share > 1.0 || self.first == 1.0 {
            let expected = "below 1, and with explore_share at most 1";
            return Err(Error::setting("full_model_steps.first", expected, self.first));
        }
        if self.every == 1 {
            return Err(Error::setting("full_model_steps.every", "0, or 2 and more: no step would be routed", 1));
        }
        Ok(())
    }
}

/// Whose probabilities exits learn beside the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Teacher {
    /// The deepest exit that the text itself reached teaches those it passed, at no cost (as in Phuong and Lampert 2019).
    Deepest,
    /// A full model that was trained before, given by [`with_teacher`](crate::DynamicModel::with_teacher), teaches every
    /// exit. Its forward passes are counted as cost of the training.
    Full,
}

/// Soft labels: an exit's loss becomes (1 − w)·CE + w·τ²·KL(softmax(t/τ) ‖ softmax(z/τ)) with the exit's logits z, the
/// teacher's t, which get no gradient, and a temperature τ (Hinton et al. 2015).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftLabels {
    /// Who teaches.
    pub teacher: Teacher,
    /// What the teacher counts beside the labels, w: above 0, at most 1.
    pub weight: f64,
    /// The temperature τ, above 0: the higher, the more the classes that did not win count.
    pub temperature: f64,
}

impl SoftLabels {
    pub(crate) fn check(self, exit_losses: ExitLosses) -> Result<()> {
        if self.teacher == Teacher::Deepest && exit_losses == ExitLosses::Chosen {
            let expected =
                "another teacher than the deepest exit, since exit_losses is chosen and no other exit learns";
            return Err(Error::setting("soft_labels.teacher", expected, "deepest"));
        }
        check_number("soft_labels.temperature", self.temperature, f64::MIN_POSITIVE)?;
        check_number("soft_labels.weight", self.weight, f64::MIN_POSITIVE)?;
        check_share("soft_labels.weight", self.weight)
    }
}

/// Which losses the bandits learn from. A loss on a text that was trained on before is a loss on memorised text, and
/// deeper exits memorise more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossSource {
    /// Those of all epochs, as in the paper.
    #[default]
    AllEpochs,
    /// Those of the first epoch, when no text was seen before. Then the bandits stay as they are.
    FirstEpoch,
    /// Those of texts that are never trained on: they are routed once an epoch and run forward, at a cost that is counted,
    /// while all other texts train the model alone.
    HeldOut {
        /// The chance of each training text to be held out, by the training's seed: above 0, at most .5.
        share: f64,
    },
}

impl LossSource {
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::HeldOut { share } if !(share > 0.0 && share <= 0.5) => {
                Err(Error::setting("loss_source.held_out.share", "above 0 and at most .5", share))
            }
            _ => Ok(()),
        }
    }
}
