//! Settings of an architecture search.

use serde::{Deserialize, Serialize};

use crate::choose::check_target;
use crate::control::Control;
use crate::cost::CostMeasure;
use crate::error::{Error, Result};
use crate::relaxation::{HardConcrete, RelaxationKind, Sigmoid, WeightedSoftmax};
use crate::space::NasSpace;

/// Update schedule: when weights and gates (factors on dimensions, neurons and heads) are updated, and on which texts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// Updates weights and gates (factors on dimensions, neurons and heads) together on all texts, as the report on
    /// differentiable search for BERT does.
    #[default]
    Joint,
    /// Updates weights on one half of the texts, and gates (factors on dimensions, neurons and heads) on the other
    /// half, in turns. This is the first-order variant of DARTS, differentiable architecture search (Liu, Simonyan and
    /// Yang 2019), with the division of the texts used by TAS, transformable architecture search (Dong and Yang 2019).
    Alternating,
    /// Updates weights and gates (factors on dimensions, neurons and heads) in turns by the second-order variant of
    /// DARTS (Liu, Simonyan and Yang 2019), on the same halves of the texts as [`Alternating`](Self::Alternating).
    /// Gates learn from the loss that the weights would have after their next step, approximated by a step of gradient
    /// descent. A step of the gates takes four forward and backward passes, not one.
    Unrolled {
        /// Step size ξ of the approximated gradient descent step of the weights, above 0. DARTS uses the learning rate
        /// of the weights.
        rate: f64,
    },
}

/// Type of gates (factors on dimensions, neurons and heads) from which the cost term computes the expected cost:
/// relaxed gates between 0 and 1, or thresholded gates of 0 or 1.
///
/// In both variants, the gradient flows through the relaxed gates, the degrees to which units are kept. The cost of the
/// thresholded architecture decides which case of [`Control::Tas`] applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Count {
    /// Computes the cost from the relaxed gates. It is the expected cost if each gate is the probability of keeping its
    /// unit. Equation 4 of the report on differentiable search for BERT does the same.
    #[default]
    Expected,
    /// Computes the exact cost of the units above the relaxation's threshold. The gradient ignores the thresholding
    /// (straight-through).
    Thresholded,
}

/// Loss that trains the architecture variables α, in addition to the cost term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateLoss {
    /// Task loss, which also trains the weights. One backward pass trains the weights and the architecture variables.
    #[default]
    Task,
    /// Cross-entropy of the labels, while the weights learn from the task loss. The cross-entropy does not train the
    /// weights, and the task loss does not train the architecture variables α. In the report on differentiable search
    /// for BERT, the weights learn by distillation, and the loss L_arch (equation 3) "is used to train the architecture
    /// variables only".
    ///
    /// In the report's first training stage, the weights learn from a teacher's hidden states, and the classification
    /// head is not trained. This loss depends on the head. It is therefore of little use before the second stage.
    ///
    /// If weights and gates learn together ([`Update::Joint`]), this loss needs a second forward pass with the same
    /// gates and dropout, and a backward pass without gradients of the weights. A step then takes the FLOPs of five
    /// forward passes. With [`Task`](Self::Task) it takes three.
    Labels,
}

/// Method that selects the units (dimensions, neurons, heads) at the end of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Selects units by the threshold at which the architecture's cost is closest to the target.
    #[default]
    Target,
    /// Selects units by the relaxation's own threshold, .01 in the report on differentiable search for BERT. The cost
    /// may miss the target.
    Threshold,
}

/// Settings of an architecture search.
///
/// ```
/// use dht_nas::{CostMeasure, NasSettings, NasSpace};
///
/// let space = NasSpace { inputs: true, neurons: true, ..NasSpace::NONE };
/// let measure = CostMeasure::Flops { tokens: 128 };
/// let settings = NasSettings { space, target: 0.4, measure, ..NasSettings::default() };
/// settings.check()?;
/// assert!(NasSettings { target: 1.5, ..settings }.check().is_err());
/// # Ok::<(), dht_nas::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NasSettings {
    /// Search space: the parts of the encoder that can become narrower.
    pub space: NasSpace,
    /// Target cost of the architecture, as a share of the whole encoder's cost, in (0, 1].
    pub target: f64,
    /// Measure of the cost, such as FLOPs.
    pub measure: CostMeasure,
    /// Relaxation (gates with trainable variables) of dimensions and neurons.
    pub relaxation: RelaxationKind,
    /// Relaxation (gates with trainable variables) of attention heads. With [`Selection::Target`], which compares all
    /// units by one threshold, it must be the same variant as `relaxation`.
    pub head_relaxation: RelaxationKind,
    /// Cost term that drives the cost of the architecture to the target.
    pub control: Control,
    /// Type of gates from which the cost term computes the cost: relaxed (between 0 and 1) or thresholded (0 or 1).
    pub count: Count,
    /// Loss that trains the architecture variables α, in addition to the cost term.
    pub gate_loss: GateLoss,
    /// Schedule by which the weights and the gates (factors on dimensions, neurons and heads) are updated.
    pub update: Update,
    /// Method that selects the units (dimensions, neurons, heads) at the end of the search.
    pub selection: Selection,
    /// Peak learning rate of the architecture variables α, above 0. Under Adam, one step moves α by about this
    /// distance. At a rate of 10, one step can move α from 5 to −5, as the report on differentiable search for BERT
    /// intends.
    pub gate_rate: f64,
}

impl Default for NasSettings {
    /// Search of input dimensions, output dimensions, neurons and heads at half of the cost. Gates are hard-concrete,
    /// and the cost term is an augmented Lagrangian.
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
    /// Settings of the report on differentiable search for BERT: σ(α) masks with a threshold of .01, and
    /// softmax-weighted heads. The architecture variables α learn from the labels and the cost term [`Control::Tas`],
    /// at a rate of 10. The report gives no numbers for the weight λ = 1, the tolerance t = .05 and the rate; they are
    /// this crate's choice. The rate follows from the report's statement that one step may move α from 5 to −5.
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

    /// Checks that each setting is in its range.
    ///
    /// # Errors
    /// [`Error::Argument`] if a setting is out of range, with the first such setting.
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
        // Both relaxations may differ if only one of them is ranked, or if each has its own threshold.
        NasSettings { space: NasSpace::heads(), ..mixed.clone() }.check().unwrap();
        NasSettings { relaxation: weighted, ..mixed.clone() }.check().unwrap();
        NasSettings { selection: Selection::Threshold, ..mixed }.check().unwrap();
        NasSettings::report(NasSpace::default(), 0.5).check().unwrap();
    }
}
