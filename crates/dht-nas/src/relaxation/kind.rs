//! Selection among the relaxations.

use serde::{Deserialize, Serialize};

use super::{GumbelSoftmax, HardConcrete, Relaxation, Sigmoid, WeightedSoftmax, WidthSampling};
use crate::error::Result;

/// The relaxations, with their settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelaxationKind {
    /// Sigmoid masks σ(α), the relaxation of dimensions in the report that the crate's page names.
    Sigmoid(Sigmoid),
    /// Softmax weights of each block, the report's relaxation of heads.
    WeightedSoftmax(WeightedSoftmax),
    /// Two classes, kept and dropped, with straight-through gradient.
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
