//! Cost of a route in FLOPs of its matrix products. The [parent module](super) lists the operations that are counted.

use dht_dynamic::{Route, route::ModelShape};
use dht_transformer::flops::{BackwardNeeds, BlockShape, Breakdown, ClassifierShape, Load, Width};

use super::WidthCoupling;
use crate::error::{Error, Result};

/// Cost of routes in FLOPs, for a model of equal layers (blocks). Every multiply-add of the executed matrix products
/// counts as two FLOPs, at the text's true length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlopsCost {
    layers: usize,
    block: BlockShape,
    classifier: ClassifierShape,
    coupling: WidthCoupling,
}

impl FlopsCost {
    /// Creates the cost of a model of `layers` equal blocks, with one classifier at the exit.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) or [`Transformer`](dht_dynamic::Error::Transformer) if a size is 0 or
    /// too large for a route.
    pub fn new(layers: usize, block: BlockShape, classifier: ClassifierShape, coupling: WidthCoupling) -> Result<Self> {
        block.check()?;
        let cost = Self { layers, block, classifier, coupling };
        cost.model_shape().check()?;
        Ok(cost)
    }

    /// Number of layers and heads of the model.
    pub fn model_shape(&self) -> ModelShape {
        ModelShape { layers: self.layers, heads: self.block.heads }
    }

    /// Shape of one block of the model.
    pub fn block(&self) -> &BlockShape {
        &self.block
    }

    /// Width at which a block runs when it keeps `heads` heads.
    pub fn width(&self, heads: usize) -> Width {
        self.coupling.width(&self.block, heads)
    }

    /// Forward FLOPs of a route for the texts in `load`: the route's layers, each with the width that remains for its
    /// number of heads, and one classifier.
    ///
    /// # Errors
    /// [`RouteNotInSpace`](dht_dynamic::Error::RouteNotInSpace) if the route is for a model of another size.
    pub fn forward(&self, route: &Route, load: Load) -> Result<Breakdown> {
        route.check_shape(self.model_shape())?;
        Ok(self.coupling.forward_flops(&self.block, route, load) + self.classifier.forward(load.samples))
    }

    /// Forward FLOPs of the texts in `load` through the full model.
    pub fn full_forward(&self, load: Load) -> Breakdown {
        let block = self.block.forward(load, self.block.full());
        let blocks: Breakdown = std::iter::repeat_n(block, self.layers).sum();
        blocks + self.classifier.forward(load.samples)
    }

    /// Backward FLOPs of the texts in `load` through the full model, with all weights trained.
    pub fn full_backward(&self, load: Load) -> Breakdown {
        let block = self.block.backward(load, self.block.full(), BackwardNeeds::ALL);
        let blocks: Breakdown = std::iter::repeat_n(block, self.layers).sum();
        blocks + self.classifier.backward(load.samples, BackwardNeeds::ALL)
    }

    /// Forward FLOPs of a route for a text of `tokens` tokens, as a share of the full model's FLOPs.
    ///
    /// # Errors
    /// * As [`forward`](Self::forward).
    /// * [`Argument`](dht_dynamic::Error::Argument) if the text has no tokens.
    pub fn share(&self, route: &Route, tokens: usize) -> Result<f64> {
        if tokens == 0 {
            return Err(Error::argument("tokens", "at least 1", tokens));
        }
        let load = Load::of_text(tokens);
        Ok(self.forward(route, load)?.total().ratio(self.full_forward(load).total()))
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use dht_dynamic::Error as Dynamic;

    use super::*;
    use crate::space::{Preset, SearchSpace};

    const BLOCK: BlockShape = BlockShape { hidden: 768, heads: 12, head_dim: 64, ffn: 3072 };
    const CLASSIFIER: ClassifierShape = ClassifierShape { hidden: 768, pooler: true, classes: 4 };

    fn flops(coupling: WidthCoupling) -> FlopsCost {
        FlopsCost::new(12, BLOCK, CLASSIFIER, coupling).unwrap()
    }

    fn route(space: &SearchSpace, text: &str) -> Route {
        space.resolve(&text.parse().unwrap()).unwrap()
    }

    #[test]
    fn route_flops_are_the_sum_of_its_blocks_and_a_classifier() {
        let cost = flops(WidthCoupling::Heads);
        let load = Load::of_texts([128, 40]);
        let space = Preset::TDht.space(12, 12).unwrap();
        for (_, route) in space.routes() {
            let mut sum = CLASSIFIER.forward(2);
            for group in route.groups() {
                for _layer in group.layers.layers() {
                    sum += BLOCK.forward(load, BLOCK.keeping(group.heads));
                }
            }
            assert_eq!(cost.forward(&route, load).unwrap(), sum);
        }
    }

    #[test]
    fn the_full_model_is_the_sum_of_its_blocks_and_a_classifier() {
        let (cost, load) = (flops(WidthCoupling::HeadsAndFfn), Load::of_texts([128, 40]));
        let full = Route::truncated(ModelShape { layers: 12, heads: 12 }, 12).unwrap();
        assert_eq!(cost.full_forward(load), cost.forward(&full, load).unwrap());
        let block = BLOCK.backward(load, BLOCK.full(), BackwardNeeds::ALL).total().0;
        let classifier = CLASSIFIER.backward(2, BackwardNeeds::ALL).total().0;
        assert_eq!(cost.full_backward(load).total().0, 12 * block + classifier);
    }

    #[test]
    fn the_full_route_costs_one_and_no_other_costs_more() {
        for cost in [flops(WidthCoupling::Heads), flops(WidthCoupling::HeadsAndFfn)] {
            let full = Route::truncated(ModelShape { layers: 12, heads: 12 }, 12).unwrap();
            assert_eq!(cost.share(&full, 128).unwrap(), 1.0);
            for (_, route) in Preset::TDht.space(12, 12).unwrap().routes() {
                let share = cost.share(&route, 128).unwrap();
                assert!(share > 0.0 && share <= 1.0, "{route} costs {share}");
            }
        }
    }

    #[test]
    fn pruned_heads_save_little_unless_the_feed_forward_follows() {
        let space = Preset::FDht.space(12, 12).unwrap();
        let share = |coupling| flops(coupling).share(&route(&space, "12L8H"), 128).unwrap();
        // Nine layers of twelve lose a third of attention, or a third of everything.
        let attention = 654_311_424.0 / 1_862_270_976.0;
        assert_relative_eq!(share(WidthCoupling::Heads), 1.0 - 0.75 * attention / 3.0, epsilon = 1e-4);
        assert_relative_eq!(share(WidthCoupling::HeadsAndFfn), 0.75, epsilon = 1e-4);
    }

    #[test]
    fn a_longer_text_pays_more_for_attention() {
        let space = Preset::FDht.space(12, 12).unwrap();
        let share = |tokens| flops(WidthCoupling::Heads).share(&route(&space, "12L8H"), tokens).unwrap();
        assert!(share(512) < share(16));
    }

    #[test]
    fn a_model_of_another_size_and_an_empty_text_are_refused() {
        let small = Route::truncated(ModelShape { layers: 6, heads: 12 }, 2).unwrap();
        let cost = flops(WidthCoupling::Heads);
        assert!(matches!(cost.share(&small, 8), Err(Error::Dynamic(Dynamic::RouteNotInSpace { .. }))));
        assert!(matches!(cost.share(&small, 0), Err(Error::Dynamic(Dynamic::Argument { name: "tokens", .. }))));
        assert!(FlopsCost::new(0, BLOCK, CLASSIFIER, WidthCoupling::Heads).is_err());
        let narrow = BlockShape { ffn: 0, ..BLOCK };
        assert!(FlopsCost::new(12, narrow, CLASSIFIER, WidthCoupling::Heads).is_err());
    }
}
