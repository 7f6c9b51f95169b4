//! The settings of a search.

use serde::{Deserialize, Serialize};

use crate::choose::check_target;
use crate::control::Control;
use crate::cost::CostMeasure;
use crate::error::{Error, Result};
use crate::relaxation::{HardConcrete, RelaxationKind, Sigmoid, WeightedSoftmax};
use crate::space::NasSpace;

/// Schedule of the updates of weights and gates, and their texts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// Weights and gates together on all texts: the report's algorithms.
    #[default]
    Joint,
    /// Weights on one half of the texts, gates on the other, in turns: DARTS of first order (Liu, Simonyan and Yang
    /// 2019), and the split of TAS.
    Alternating,
    /// DARTS of second order, with the halves of `Alternating`: gates learn from the loss after the weights' next step,
    /// which is approximated by gradient descent. A step of gates takes four passes instead of one.
    Unrolled {
        /// ξ, the step length in gradients; DARTS uses the weights' learning rate. Above 0.
        rate: f64,
    },
}

/// The gates at which the cost E of the cost term is computed. The gradient flows through the relaxation's own degrees
/// in both variants. Both distinguish the cases of [`Control::Tas`] by the thresholded architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Count {
    /// Degrees, which are probabilities: the expected cost, as in the report's equation 4.
    #[default]
    Expected,
    /// Gates of 0 and 1, as the relaxation's current threshold gives (straight-through): the counted units are the
    /// removed ones.
    Thresholded,
}

/// The loss that trains α, in addition to the cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateLoss {
    /// The loss of the weights, so that one backward pass serves both.
    #[default]
    Task,
    /// Cross-entropy on the labels, whatever the weights learn from (report, equation 3: L_arch "is used to train the
    /// architecture variables only", the weights learn from their distillation). Labels do not change any gradient of a
    /// weight, and a teacher none of α.
    ///
    /// While the weights learn from a teacher's hidden states, in the report's first step, nothing trains the
    /// classifier through which this loss reaches α. With an untrained classifier it is of little use until the second
    /// step.
    ///
    /// Where weights and gates learn in one pass ([`Update::Joint`]), it costs a second forward pass, with the same
    /// gates and dropout, and its backward pass without products for weights. These are five units of a forward pass's
    /// FLOPs instead of three.
    Labels,
}

/// Selection of units at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Selects by the threshold at which the architecture's cost is closest to the target.
    #[default]
    Target,
    /// Selects by the relaxation's own threshold: the report's .01.
    Threshold,
}

/// Settings of an architecture search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NasSettings {
    /// The search space.
    pub space: NasSpace,
    /// The target R: the cost of the architecture as a share of the whole, in (0, 1].
    pub target: f64,
    /// The measure of the cost.
    pub measure: CostMeasure,
    /// The relaxation of dimensions and neurons.
    pub relaxation: RelaxationKind,
    /// The relaxation of heads; of the same kind where one threshold selects among both ([`Selection::Target`]).
    pub head_relaxation: RelaxationKind,
    /// The cost term that drives the cost to the target.
    pub control: Control,
    /// The gates at which the cost is computed.
    pub count: Count,
    /// The loss that trains α, in addition to the cost.
    pub gate_loss: GateLoss,
    /// The schedule of the updates of weights and gates.
    pub update: Update,
    /// The selection of units at the end.
    pub selection: Selection,
    /// The peak learning rate of α: about the distance that Adam moves it in a step. Above 0. At 10 one step crosses
    /// from 5 to −5, as the report rescales gradients to do.
    pub gate_rate: f64,
}

impl Default for NasSettings {
    /// All four spaces at half of their dimensions by hard-concrete gates with a Lagrangian.
    fn default() -> Self {
        Self {
            space: NasSpace::default(),
            target: 0.5,
            measure: CostMeasure::Dimensions,
            relaxation: RelaxationKind::HardConcrete(HardConcrete::default()),
            head_relaxation: RelaxationKind::HardConcrete(HardConcrete::default()),
            control: Control::lagrangian(),
            count: Count::Expected,
            gate_loss: GateLoss::Task,
            update: Update::Joint,
            selection: Selection::Target,
            gate_rate: 0.05,
        }
    }
}

impl NasSettings {
    /// The report's settings: σ(α) masks with a threshold of .01, softmax-weighted heads, and α trained by the labels
    /// and the cost term of TAS with a fixed weight, at a rate of 10. λ = 1, t = .05 and the rate are ours: the report
    /// gives no numbers for them, but states that one step may cross from 5 to −5.
    pub fn report(space: NasSpace, target: f64) -> Self {
        Self {
            space,
            target,
            relaxation: RelaxationKind::Sigmoid(Sigmoid::default()),
            head_relaxation: RelaxationKind::WeightedSoftmax(WeightedSoftmax::printed()),
            control: Control::tas(),
            count: Count::Expected,
            gate_loss: GateLoss::Labels,
            selection: Selection::Threshold,
            gate_rate: 10.0,
            ..Self::default()
        }
    }

    /// Checks the ranges of the settings.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        check_target(self.target)?;
        self.measure.check()?;
        self.control.check()?;
        self.relaxation.build()?;
        self.head_relaxation.build()?;
        let dimensions = self.space.inputs || self.space.outputs || self.space.neurons;
        let kind = std::mem::discriminant::<RelaxationKind>;
        if self.selection == Selection::Target
            && (dimensions && self.space.heads)
            && kind(&self.relaxation) != kind(&self.head_relaxation)
        {
            let expected = "of the kind of relaxation: one threshold chooses among units of all parts";
            return Err(Error::argument("head_relaxation", expected, format!("{:?}", self.head_relaxation)));
        }
        if let Update::Unrolled { rate } = self.update
            && !(rate > 0.0 && rate.is_finite())
        {
            return Err(Error::argument("update.unrolled.rate", "a finite number above 0", rate));
        }
        match self.gate_rate > 0.0 && self.gate_rate.is_finite() {
            true => Ok(()),
            false => Err(Error::argument("gate_rate", "a finite number above 0", self.gate_rate)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_all_parts_are_ranked_by_scores_of_one_kind() {
        let weighted = RelaxationKind::WeightedSoftmax(WeightedSoftmax::default());
        let mixed = NasSettings { head_relaxation: weighted.clone(), ..NasSettings::default() };
        let error = mixed.check().unwrap_err();
        assert!(matches!(&error, Error::Argument { name: "head_relaxation", .. }), "{error}");
        // Where one kind is all that is ranked, or each has its own threshold, both may differ.
        NasSettings { space: NasSpace::heads(), ..mixed.clone() }.check().unwrap();
        NasSettings { relaxation: weighted, ..mixed.clone() }.check().unwrap();
        NasSettings { selection: Selection::Threshold, ..mixed }.check().unwrap();
        NasSettings::report(NasSpace::default(), 0.5).check().unwrap();
    }
}
