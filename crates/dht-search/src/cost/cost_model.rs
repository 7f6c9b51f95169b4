//! Cost models: the cost of a route as a share of the full model's cost.
//!
//! The [parent module](super) lists what is counted.

use dht_dynamic::Route;
use serde::{Deserialize, Serialize};

use super::flops::FlopsCost;
use super::layer_head::LayerHeadCount;
use super::measured::MeasuredCost;
use super::own_cost::OwnCost;
use crate::error::Result;

/// Cost of a route that the bandits weigh against its loss, with the price λ
/// ([`RewardShape::Utility`](crate::reward::RewardShape::Utility) and [`Gain`](crate::reward::RewardShape::Gain)).
///
/// A cost model covers one forward pass of one text along its route, as a share of the full model's cost.
/// [`CostAccounting`](crate::CostAccounting) also counts second passes of the base layers, passes for the bandits'
/// inputs, and the bandits themselves. Evaluations report costs in all units, whichever variant is selected.
///
/// # Examples
/// ```
/// use dht_search::cost::{FlopsCost, LayerHeadCount};
/// use dht_search::dynamic::route::WidthCoupling;
/// use dht_search::transformer::flops::{BlockShape, ClassifierShape};
/// use dht_search::{CostModel, Preset};
///
/// let block = BlockShape { hidden: 768, heads: 12, head_dim: 64, ffn: 3072 };
/// let classifier = ClassifierShape { hidden: 768, pooler: true, classes: 4 };
/// let flops = FlopsCost::new(12, block, classifier, WidthCoupling::Heads)?;
///
/// // Without a third of the heads in 9 of 12 layers: the paper's estimate, and the FLOPs.
/// let route = Preset::FDht.space(12, 12)?.resolve(&"12L8H".parse()?)?;
/// let estimate = CostModel::LayerHeadProduct(LayerHeadCount::AsExecuted);
/// assert_eq!(estimate.share(&route, 128, &flops)?, 0.75);
/// assert!(CostModel::Flops.share(&route, 128, &flops)? > 0.9);
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CostModel {
    /// Estimate of the DHT paper (Meng et al. 2023): the number of layers times the number of heads.
    LayerHeadProduct(LayerHeadCount),
    /// FLOPs of the matrix products, at the text's length.
    #[default]
    Flops,
    /// Seconds measured on this machine, layer by layer.
    Measured(MeasuredCost),
    /// Custom cost, which the calling program defines.
    Own(OwnCost),
}

impl CostModel {
    /// Cost of a route for a text of `tokens` tokens, as a share of the full model's cost. `flops` has the model's
    /// sizes.
    ///
    /// # Errors
    /// * [`RouteNotInSpace`](dht_dynamic::Error::RouteNotInSpace) if the cost and the route are for models of different
    ///   sizes.
    /// * [`Argument`](dht_dynamic::Error::Argument) if the text has no tokens, or if the route keeps fewer heads than
    ///   any row of a [`Measured`](Self::Measured) table.
    /// * As [`OwnCost::share`].
    pub fn share(&self, route: &Route, tokens: usize, flops: &FlopsCost) -> Result<f64> {
        match self {
            Self::LayerHeadProduct(count) => Ok(count.share(route)),
            Self::Flops => flops.share(route, tokens),
            Self::Measured(measured) => measured.share(route, tokens),
            Self::Own(own) => own.share(route, tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use dht_transformer::flops::{BlockShape, ClassifierShape};

    use super::*;
    use crate::cost::{LayerSeconds, WidthCoupling};
    use crate::space::Preset;
    use dht_dynamic::route::ModelShape;

    #[test]
    fn each_cost_model_gives_the_share_of_its_own_cost() {
        let block = BlockShape { hidden: 24, heads: 12, head_dim: 2, ffn: 96 };
        let classifier = ClassifierShape { hidden: 24, pooler: false, classes: 2 };
        let flops = FlopsCost::new(12, block, classifier, WidthCoupling::Heads).unwrap();
        let rows = [LayerSeconds { heads: 12, tokens: 8, seconds: 1.0 }];
        let measured = MeasuredCost::new(ModelShape { layers: 12, heads: 12 }, 0.0, &rows).unwrap();
        let route = Preset::TDht.space(12, 12).unwrap().resolve(&"3L12H".parse().unwrap()).unwrap();
        let share = |cost: CostModel| cost.share(&route, 8, &flops).unwrap();
        assert_eq!(share(CostModel::LayerHeadProduct(LayerHeadCount::AsExecuted)), 0.25);
        assert_eq!(share(CostModel::Flops), flops.share(&route, 8).unwrap());
        assert_eq!(share(CostModel::Measured(measured)), 0.25);
    }

    #[test]
    fn a_cost_model_survives_storing() {
        let rows = [LayerSeconds { heads: 12, tokens: 8, seconds: 1.0 }];
        let measured = MeasuredCost::new(ModelShape { layers: 12, heads: 12 }, 0.0, &rows).unwrap();
        for cost in [CostModel::Measured(measured), CostModel::Flops, CostModel::LayerHeadProduct(Default::default())] {
            let json = serde_json::to_string(&cost).unwrap();
            assert_eq!(serde_json::from_str::<CostModel>(&json).unwrap(), cost);
        }
        assert_eq!(serde_json::from_str::<CostModel>("\"flops\"").unwrap(), CostModel::default());
    }
}
