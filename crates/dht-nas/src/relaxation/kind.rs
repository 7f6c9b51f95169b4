//! Settings that select one of the relaxations.

use serde::{Deserialize, Serialize};

use super::{GumbelSoftmax, HardConcrete, Relaxation, Sigmoid, WeightedSoftmax, WidthSampling};
use crate::error::Result;

/// Choice of a built-in relaxation, with its settings. A relaxation makes the selection of units (dimensions, neurons,
/// heads) trainable by gradients.
///
/// ```
/// use dht_nas::transformer::flops::BlockShape;
/// use dht_nas::{NasSpace, RelaxationKind, Sigmoid};
///
/// let shape = BlockShape { hidden: 4, heads: 2, head_dim: 2, ffn: 2 };
/// let group = &NasSpace::neurons().groups(shape, 1)?[0];
/// let relaxation = RelaxationKind::Sigmoid(Sigmoid::default()).build()?;
/// // σ(α) is compared with the threshold .01.
/// assert_eq!(relaxation.kept(&[0.0, -5.0], group, 0.5), [true, false]);
/// # Ok::<(), dht_nas::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelaxationKind {
    /// Sigmoid masks σ(α), with which the [report](crate#source) on differentiable search for BERT relaxes dimensions.
    Sigmoid(Sigmoid),
    /// Softmax weights over the units of a [block](crate::Group::blocks), with which the report on differentiable
    /// search for BERT relaxes heads. For output dimensions, each head is a block. For other parts, all units of a
    /// group are one block.
    WeightedSoftmax(WeightedSoftmax),
    /// Gumbel-softmax with two classes for each unit, kept and dropped, and straight-through gradients.
    GumbelSoftmax(GumbelSoftmax),
    /// Hard-concrete gates, which are 0 or 1 with positive probability.
    HardConcrete(HardConcrete),
    /// Distribution over a few widths of a whole group of units (dimensions, neurons or heads). Single units have no
    /// gates.
    WidthSampling(WidthSampling),
}

impl RelaxationKind {
    /// Creates the relaxation with these settings.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if a setting is out of range.
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
