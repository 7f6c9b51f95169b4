//! What a route costs, as a share of the full model.

mod executed;
mod measured;

use dht_transformer::flops::{BlockShape, Breakdown, ClassifierShape, Load, Width};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::space::{ModelShape, Route};

pub(crate) use executed::{ExecutedFlops, Reads};
pub use measured::{LayerSeconds, MeasuredCost};

/// How the cost of a route is told.
///
/// All three give the share of the full model's own route, which costs 1, and all three count one pass of one text
/// along its route: re-passes, look-ahead passes, passes for arm features and the bandits are counted by whoever runs
/// them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CostModel {
    /// The paper's estimate "based on the layer/head number selection". It flatters: it charges nothing for
    /// feed-forward and embeddings, and so makes 8 of 12 heads save a third of a layer, where 11 % is true.
    LayerHeadProduct {
        /// Which layers count with which heads.
        count: LayerHeadCount,
    },
    /// Every multiply-add of the forward pass that runs, at the text's true length.
    Flops(FlopsCost),
    /// Seconds that were measured on some machine, layer by layer.
    Measured(MeasuredCost),
}

/// Which layers [`CostModel::LayerHeadProduct`] counts with which heads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerHeadCount {
    /// Σ over the layers that run of the heads they keep, over N_L · N_H: base layers count in full, so that 12L8H is
    /// (3·12 + 9·8)/144 = .75.
    #[default]
    AsExecuted,
    /// L · H over N_L · N_H, with H the mean over the dynamic layers (all heads where there is none), as the notation
    /// suggests: 12L8H is .667.
    PlainProduct,
}

impl Default for CostModel {
    fn default() -> Self {
        Self::LayerHeadProduct { count: LayerHeadCount::default() }
    }
}

impl CostModel {
    /// The cost of a text of `tokens` tokens on a route, as a share of the full model's.
    ///
    /// # Errors
    /// [`Error::RouteNotInSpace`] when the model is one for another size than the route's, [`Error::Setting`] when there
    /// is no token, and for [`Measured`](Self::Measured) when the route keeps a number of heads outside its table.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> dht_search::Result<()> {
    /// use dht_search::{CostModel, Preset};
    ///
    /// let space = Preset::FDht.space(12, 12)?;
    /// let route = space.resolve(&"12L8H".parse()?)?;
    /// assert_eq!(CostModel::default().share(&route, 128)?, 0.75);
    /// # Ok(())
    /// # }
    /// ```
    pub fn share(&self, route: &Route, tokens: usize) -> Result<f64> {
        if tokens == 0 {
            return Err(Error::setting("tokens", "at least 1", tokens));
        }
        match self {
            Self::LayerHeadProduct { count } => Ok(count.share(route)),
            Self::Flops(flops) => flops.share(route, tokens),
            Self::Measured(measured) => measured.share(route, tokens),
        }
    }
}

impl LayerHeadCount {
    fn share(self, route: &Route) -> f64 {
        let ModelShape { layers, heads } = route.model_shape();
        let kept = match self {
            Self::AsExecuted => route.layers().map(|(_, heads)| heads as f64).sum(),
            Self::PlainProduct => {
                let (layers, kept) = route.dynamic_groups().fold((0, 0), |(layers, kept), group| {
                    (layers + group.layers.len(), kept + group.layers.len() * group.heads)
                });
                let mean = if layers == 0 { heads as f64 } else { kept as f64 / layers as f64 };
                route.depth() as f64 * mean
            }
        };
        kept / (layers * heads) as f64
    }
}

/// Whether dropping heads also narrows the feed-forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WidthCoupling {
    /// It does not, as in the paper.
    #[default]
    Heads,
    /// A layer that keeps h of N_H heads keeps the first ⌈h/N_H · ffn⌉ neurons too (sorted by importance beforehand), so
    /// that its cost is nearly in proportion to its heads. Not in the paper; after DynaBERT (Hou et al. 2020).
    HeadsAndFfn,
}

impl WidthCoupling {
    /// What a block runs when it keeps this many of its heads.
    pub fn width(self, block: &BlockShape, heads: usize) -> Width {
        match self {
            Self::Heads => block.keeping(heads),
            Self::HeadsAndFfn => Width { heads, ffn: heads.saturating_mul(block.ffn).div_ceil(block.heads) },
        }
    }
}

/// Exact FLOPs of routes through a model of equal blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FlopsCostData", into = "FlopsCostData")]
pub struct FlopsCost {
    data: FlopsCostData,
}

/// [`FlopsCost`] as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlopsCostData {
    layers: usize,
    coupling: WidthCoupling,
    block: BlockShape,
    classifier: ClassifierShape,
}

impl FlopsCost {
    /// A model of `layers` such blocks, with such a classifier at the exit.
    ///
    /// # Errors
    /// [`Error::Setting`] and [`Error::Transformer`] when a size is 0 or too large for a route.
    pub fn new(layers: usize, block: BlockShape, classifier: ClassifierShape, coupling: WidthCoupling) -> Result<Self> {
        FlopsCostData { layers, coupling, block, classifier }.try_into()
    }

    /// The size of the model.
    pub fn model_shape(&self) -> ModelShape {
        ModelShape { layers: self.data.layers, heads: self.data.block.heads }
    }

    /// One block of the model.
    pub fn block(&self) -> &BlockShape {
        &self.data.block
    }

    /// What a block runs when it keeps this many of its heads.
    pub fn width(&self, heads: usize) -> Width {
        self.data.coupling.width(&self.data.block, heads)
    }

    /// FLOPs of these texts on a route: its blocks, each at its width, and one classifier.
    ///
    /// # Errors
    /// [`Error::RouteNotInSpace`] when the route leads through a model of another size.
    pub fn forward(&self, route: &Route, load: Load) -> Result<Breakdown> {
        check_stack(route, self.model_shape())?;
        let blocks: Breakdown = route.layers().map(|(_, heads)| self.data.block.forward(load, self.width(heads))).sum();
        Ok(blocks + self.data.classifier.forward(load.samples))
    }

    /// FLOPs of these texts in the full model.
    pub fn full_forward(&self, load: Load) -> Breakdown {
        let block = self.data.block.forward(load, self.data.block.full());
        let blocks: Breakdown = std::iter::repeat_n(block, self.data.layers).sum();
        blocks + self.data.classifier.forward(load.samples)
    }

    fn share(&self, route: &Route, tokens: usize) -> Result<f64> {
        let load = Load::of_text(tokens);
        Ok(self.forward(route, load)?.total().ratio(self.full_forward(load).total()))
    }
}

impl TryFrom<FlopsCostData> for FlopsCost {
    type Error = Error;

    fn try_from(data: FlopsCostData) -> Result<Self> {
        data.block.check()?;
        let cost = Self { data };
        cost.model_shape().check()?;
        Ok(cost)
    }
}

impl From<FlopsCost> for FlopsCostData {
    fn from(cost: FlopsCost) -> Self {
        cost.data
    }
}

/// Refuses a route through a model of another size than a cost model is for.
pub(crate) fn check_stack(route: &Route, shape: ModelShape) -> Result<()> {
    if route.model_shape() == shape {
        return Ok(());
    }
    let expected = format!("a route through {} layers of {} heads", shape.layers, shape.heads);
    Err(Error::RouteNotInSpace { route: route.to_string(), expected })
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

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
    fn the_papers_estimate_is_the_share_of_layers_times_heads() {
        let space = Preset::TDht.space(12, 12).unwrap();
        let executed = CostModel::default();
        let plain = CostModel::LayerHeadProduct { count: LayerHeadCount::PlainProduct };
        let cases = [
            ("3L12H", 0.25, 0.25),
            ("12L12H", 1.0, 1.0),
            ("12L8H", 0.75, 96.0 / 144.0),
            ("6L10H", 66.0 / 144.0, 60.0 / 144.0),
            ("3L12H+3L8H+3L10H", 90.0 / 144.0, 81.0 / 144.0),
        ];
        for (text, as_executed, product) in cases {
            let route = route(&space, text);
            assert_relative_eq!(executed.share(&route, 7).unwrap(), as_executed);
            assert_relative_eq!(plain.share(&route, 7).unwrap(), product);
        }
        let frozen = Preset::PDht.space(12, 12).unwrap();
        assert_relative_eq!(executed.share(&route(&frozen, "7L8H+2L12H"), 7).unwrap(), (56.0 + 24.0) / 144.0);
    }

    #[test]
    fn the_flops_of_a_route_are_the_sum_of_its_blocks_and_a_classifier() {
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
    fn the_full_route_costs_one_and_no_other_costs_more() {
        for cost in [CostModel::Flops(flops(WidthCoupling::Heads)), CostModel::Flops(flops(WidthCoupling::HeadsAndFfn))]
        {
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
        let share = |coupling| {
            let cost = CostModel::Flops(flops(coupling));
            cost.share(&route(&space, "12L8H"), 128).unwrap()
        };
        // Nine layers of twelve lose a third of attention, or a third of everything.
        let attention = 654_311_424.0 / 1_862_270_976.0;
        assert_relative_eq!(share(WidthCoupling::Heads), 1.0 - 0.75 * attention / 3.0, epsilon = 1e-4);
        assert_relative_eq!(share(WidthCoupling::HeadsAndFfn), 0.75, epsilon = 1e-4);
    }

    #[test]
    fn a_kept_share_of_neurons_is_rounded_up() {
        let block = BlockShape { hidden: 8, heads: 12, head_dim: 4, ffn: 100 };
        assert_eq!(WidthCoupling::HeadsAndFfn.width(&block, 5), Width { heads: 5, ffn: 42 });
        assert_eq!(WidthCoupling::HeadsAndFfn.width(&block, 12), block.full());
        assert_eq!(WidthCoupling::Heads.width(&block, 5), Width { heads: 5, ffn: 100 });
    }

    #[test]
    fn a_longer_text_pays_more_for_attention() {
        let space = Preset::FDht.space(12, 12).unwrap();
        let cost = CostModel::Flops(flops(WidthCoupling::Heads));
        let share = |tokens| cost.share(&route(&space, "12L8H"), tokens).unwrap();
        assert!(share(512) < share(16));
    }

    #[test]
    fn a_model_of_another_size_and_an_empty_text_are_refused() {
        let small = Route::truncated(ModelShape { layers: 6, heads: 12 }, 2).unwrap();
        let cost = CostModel::Flops(flops(WidthCoupling::Heads));
        assert!(matches!(cost.share(&small, 8), Err(Error::RouteNotInSpace { .. })));
        assert!(matches!(CostModel::default().share(&small, 0), Err(Error::Setting { field: "tokens", .. })));
        assert!(FlopsCost::new(0, BLOCK, CLASSIFIER, WidthCoupling::Heads).is_err());
        let narrow = BlockShape { ffn: 0, ..BLOCK };
        assert!(FlopsCost::new(12, narrow, CLASSIFIER, WidthCoupling::Heads).is_err());
    }

    #[test]
    fn a_cost_model_survives_storing_and_is_checked_when_read() {
        let cost = CostModel::Flops(flops(WidthCoupling::HeadsAndFfn));
        let json = serde_json::to_string(&cost).unwrap();
        assert_eq!(serde_json::from_str::<CostModel>(&json).unwrap(), cost);
        assert!(serde_json::from_str::<CostModel>(&json.replace("\"ffn\":3072", "\"ffn\":0")).is_err());
        let paper = serde_json::to_string(&CostModel::default()).unwrap();
        assert_eq!(paper, r#"{"kind":"layer_head_product","count":"as_executed"}"#);
    }
}
