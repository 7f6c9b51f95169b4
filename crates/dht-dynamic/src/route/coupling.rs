//! Widths of pruned layers: the attention heads and feed-forward neurons that remain.

use dht_transformer::flops::{BlockShape, Breakdown, Load, Width};
use serde::{Deserialize, Serialize};

use super::route::Route;

/// Rule for the feed-forward width of a layer that keeps only some of its attention heads: unchanged, or proportional
/// to the heads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WidthCoupling {
    /// Feed-forward layers keep their full width, as in the paper on dynamic hierarchical transformers (DHT; Meng et
    /// al. 2023).
    #[default]
    Heads,
    /// Feed-forward layers shrink in proportion to the attention heads. A layer that keeps h of its N_H heads keeps the
    /// first ⌈h/N_H · ffn⌉ of its ffn neurons, which are sorted by importance. The cost of a layer is then nearly
    /// proportional to its number of heads. The rule is from DynaBERT (Hou et al. 2020).
    HeadsAndFfn,
}

impl WidthCoupling {
    /// Width of a layer that keeps `heads` of its attention heads.
    pub fn width(self, block: &BlockShape, heads: usize) -> Width {
        match self {
            Self::Heads => block.keeping(heads),
            Self::HeadsAndFfn => Width { heads, ffn: heads.saturating_mul(block.ffn).div_ceil(block.heads) },
        }
    }

    /// Forward FLOPs of a route. Each layer has the [`width`](Self::width) for its number of attention heads.
    pub fn forward_flops(self, block: &BlockShape, route: &Route, load: Load) -> Breakdown {
        route.layers().map(|(_, heads)| block.forward(load, self.width(block, heads))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_share_of_neurons_is_rounded_up() {
        let block = BlockShape { hidden: 8, heads: 12, head_dim: 4, ffn: 100 };
        assert_eq!(WidthCoupling::HeadsAndFfn.width(&block, 5), Width { heads: 5, ffn: 42 });
        assert_eq!(WidthCoupling::HeadsAndFfn.width(&block, 12), block.full());
        assert_eq!(WidthCoupling::Heads.width(&block, 5), Width { heads: 5, ffn: 100 });
    }
}
