//! What a route costs, as a share of the full model.
//!
//! # What is counted
//!
//! FLOPs here are those of matrix products, two for each multiply-add, at the true length of each text. **Counted as they run**:
//! the products of the layers, of their pruned heads and narrowed feed-forwards, and of every exit that read a text, forward
//! and backward (attention that the backward computes again included, weights of frozen layers not); the second pass of the
//! base layers with queues; no-gradient pre-passes; passes for arm features; a teacher's passes over the training texts; passes
//! of held-out texts. **Counted by formula**, apart from these, are the routers: scoring for each decision, and an update for each
//! reward ([`Router::flops`](crate::Router::flops), [`Router::take_learning_flops`](crate::Router::take_learning_flops)). A draw
//! that a group shares is counted for each sample. **Left out** are softmax, norms, activations, biases, residual additions,
//! dropout, losses and gate gradients; embedding look-ups; pooling and normalisation of contexts; the optimiser; tokenising;
//! evaluations, on validation texts during the training and of the controls; calibration of a speed; and the training of a
//! teacher, which is to be added where results are compared. On a GPU attention runs padded to the longest text of a group;
//! the padding is left out as well. All that takes time is in the wall clock of the process that does it.

use serde::{Deserialize, Serialize};

use super::flops::FlopsCost;
use super::layer_head::LayerHeadCount;
use super::measured::MeasuredCost;
use crate::error::Result;
use crate::space::Route;

/// The cost that enters the bandits' choices through λ ([`RewardShape::Utility`](crate::reward::RewardShape::Utility) and
/// [`Gain`](crate::reward::RewardShape::Gain)). Evaluations and records report every cost, whichever is used here.
///
/// Each gives a share of the full model's cost, and counts one forward pass of one text along its route. Second passes,
/// pre-passes, passes for arm features and the bandits' own work are added by
/// [`CostAccounting`](crate::CostAccounting).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostModel {
    /// The paper's estimate, layers × heads.
    LayerHeadProduct(LayerHeadCount),
    /// FLOPs of the matrix products at the text's length.
    #[default]
    Flops,
    /// Seconds measured on this machine, layer by layer.
    Measured(MeasuredCost),
}

impl CostModel {
    /// The cost of a text of `tokens` tokens on a route, as a share of the full model's; `flops` has the model's sizes.
    ///
    /// # Errors
    /// [`Error::RouteNotInSpace`](crate::Error::RouteNotInSpace) when the cost is for a model of another size than the
    /// route's, [`Error::Setting`](crate::Error::Setting) for a text without tokens, and for
    /// [`Measured`](Self::Measured) when the route keeps fewer heads than any row of the table.
    pub fn share(&self, route: &Route, tokens: usize, flops: &FlopsCost) -> Result<f64> {
        match self {
            Self::LayerHeadProduct(count) => Ok(count.share(route)),
            Self::Flops => flops.share(route, tokens),
            Self::Measured(measured) => measured.share(route, tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use dht_transformer::flops::{BlockShape, ClassifierShape};

    use super::*;
    use crate::cost::{LayerSeconds, WidthCoupling};
    use crate::space::{ModelShape, Preset};

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
