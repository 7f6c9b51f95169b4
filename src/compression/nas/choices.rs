//! Values of the flags of an architecture search (NAS).

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use dht_nas::{GumbelSoftmax, HardConcrete, NasSpace, RelaxationKind, Sigmoid, WeightedSoftmax, WidthSampling};

/// Parts of the student that are searched, such as `inputs`, `inputs+heads` or `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceChoice(pub(super) NasSpace);

impl SpaceChoice {
    fn parts(self) -> [(&'static str, bool); 4] {
        let NasSpace { inputs, outputs, neurons, heads, .. } = self.0;
        [("inputs", inputs), ("outputs", outputs), ("neurons", neurons), ("heads", heads)]
    }
}

impl FromStr for SpaceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(NasSpace::default()));
        }
        let mut space = NasSpace::NONE;
        for part in text.split('+') {
            match part {
                "inputs" => space.inputs = true,
                "outputs" => space.outputs = true,
                "neurons" => space.neurons = true,
                "heads" => space.heads = true,
                "all" => return Err("all has every part: it stands alone".into()),
                _ => {
                    return Err(format!(
                        "{part:?} is no space: expected inputs, outputs, neurons, heads, all, or several joined by +"
                    ));
                }
            }
        }
        Ok(Self(space))
    }
}

impl fmt::Display for SpaceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.parts().into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
        f.write_str(&if names.len() == 4 { "all".to_owned() } else { names.join("+") })
    }
}

/// Cost measure to which the target share of an architecture search refers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum CostChoice {
    /// Units of the searched parts, as in the report's tables.
    #[default]
    Dimensions,
    /// FLOPs of the whole student for a text of the maximum length.
    Flops,
    /// Parameters of the student's layers.
    Parameters,
    /// Prediction time of the student on this machine for texts of the maximum length. It is estimated from
    /// measurements of narrower copies.
    Latency,
}

/// Settings of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SearchSettingsChoice {
    /// Hard-concrete gates with an adaptive multiplier; units are selected by the target.
    #[default]
    Ours,
    /// Settings of the report. Masks are σ(α), cut at .01; heads are weighted by a softmax. Gates are trained by the
    /// labels and the cost term of TAS. Every 50 steps are evaluated, and the best step by the task's metric is used.
    Report,
}

/// Gate values from which the cost of an architecture is computed during a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CountChoice {
    /// Expected values.
    Expected,
    /// Thresholded values 0 and 1.
    Thresholded,
}

/// Loss by which a search trains the gates of the units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GateLossChoice {
    /// Loss of the weights.
    Task,
    /// Cross-entropy on the labels.
    Labels,
}

/// Interpretation of 0.01 in Normal(0, 0.01), the initial distribution of softmax weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NormalChoice {
    /// The variance is 0.01.
    Variance,
    /// The standard deviation is 0.01.
    Deviation,
}

/// Scale of the softmax weights of the n units in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HeadWeightsChoice {
    /// softmax(α).
    Printed,
    /// n·softmax(α).
    TimesN,
}

/// Relaxation of the gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RelaxationChoice {
    /// σ(α) masks.
    Sigmoid,
    /// Softmax weights of each block.
    Softmax,
    /// Gumbel-softmax with straight-through.
    Gumbel,
    /// Gates that are 0 or 1 with positive probability.
    HardConcrete,
    /// Two sampled widths, mixed by channel-wise interpolation.
    Widths,
}

impl RelaxationChoice {
    /// Relaxation of the discrete search. With `report`, softmax weights are those of the report on differentiable
    /// search for BERT.
    pub(super) fn kind(self, report: bool) -> RelaxationKind {
        match self {
            Self::Softmax if report => RelaxationKind::WeightedSoftmax(WeightedSoftmax::printed()),
            Self::Sigmoid => RelaxationKind::Sigmoid(Sigmoid::default()),
            Self::Softmax => RelaxationKind::WeightedSoftmax(WeightedSoftmax::default()),
            Self::Gumbel => RelaxationKind::GumbelSoftmax(GumbelSoftmax::default()),
            Self::HardConcrete => RelaxationKind::HardConcrete(HardConcrete::default()),
            Self::Widths => RelaxationKind::WidthSampling(WidthSampling::default()),
        }
    }
}
