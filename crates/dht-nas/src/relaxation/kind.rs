//! Selection among the relaxations.

use serde::{Deserialize, Serialize};

use super::{GumbelSoftmax, HardConcrete, Relaxation, Sigmoid, WeightedSoftmax, WidthSampling};
use crate::error::Result;

/// The relaxations, with their settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelaxationKind {
    /// Sigmoid masks σ(α), the relaxation of dimensions in the [report](crate#source) on differentiable search for
    /// BERT.
    Sigmoid(Sigmoid),
    /// Softmax weights of the units of each [block](crate::Group::blocks), the report's relaxation of heads. For
    /// outputs of heads, each head is a block; otherwise the block has all units of the group.
    WeightedSoftmax(WeightedSoftmax),
    /// Two classes for each unit, kept and dropped, with straight-through gradient.
    GumbelSoftmax(GumbelSoftmax),
    /// Gates that are 0 or 1 with positive probability.
    HardConcrete(HardConcrete),
    /// A distribution over a few widths of the whole group, instead of a gate for each unit.
    WidthSampling(WidthSampling),
}

impl RelaxationKind {
    /// Builds the relaxation.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for settings out of range.
    pub fn build(&self) -> Result<Box<dyn Relaxation>> {
        Ok(match self {
            Self::Sigmoid(it) => {
                it.check()?;
                Box::new(it.clone())
            }
            Self::WeightedSoftmax(it) => {
                it.check()?;
                Box::new(it.clone())
            }
            Self::GumbelSoftmax(it) => {
                it.check()?;
                Box::new(it.clone())
            }
            Self::HardConcrete(it) => {
                it.check()?;
                Box::new(it.clone())
            }
            Self::WidthSampling(it) => {
                it.check()?;
                Box::new(it.clone())
            }
        })
    }
}
