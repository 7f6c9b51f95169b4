//! Cost models of a route: its cost as a share of the full model's.
//!
//! The [parent module](super) lists what is counted.

use serde::{Deserialize, Serialize};

use super::flops::FlopsCost;
use super::layer_head::LayerHeadCount;
use super::measured::MeasuredCost;
use super::own_cost::OwnCost;
use crate::error::Result;
use dht_dynamic::Route;

/// Cost that enters the bandits' decisions through λ ([`RewardShape::Utility`](crate::reward::RewardShape::Utility)
/// and [`Gain`](crate::reward::RewardShape::Gain)). Evaluations and records report all costs, whichever is selected
/// here.
///
/// Each variant gives a share of the full model's cost, and counts one forward pass of one text along its route.
/// [`CostAccounting`](crate::CostAccounting) adds second passes of the base layers, pre-passes for contexts, passes for
/// arm features, and the bandits' own work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CostModel {
    /// The paper's estimate, layers × heads.
    LayerHeadProduct(LayerHeadCount),
    /// FLOPs of the matrix products at the text's length.
    #[default]
    Flops,
    /// Seconds measured on this machine, layer by layer.
    Measured(MeasuredCost),
    /// Custom cost, which the calling program defines.
    Own(OwnCost),
}

impl CostModel {
    /// Cost of a text of `tokens` tokens on a route, as a share of the full model's. `flops` has the model's sizes.
    ///
    /// # Errors
    /// [`RouteNotInSpace`](dht_dynamic::Error::RouteNotInSpace) when the cost is for a model of another size than the
    /// route's; [`Argument`](dht_dynamic::Error::Argument) for a text without tokens, and for
    /// [`Measured`](Self::Measured) when the route keeps fewer heads than any row of the table; as [`OwnCost::share`].
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
