//! FLOPs of an encoder layer from which single dimensions were pruned.

use serde::{Deserialize, Serialize};

use super::block::{BlockShape, Width};
use super::breakdown::Breakdown;
use super::count::FlopCount;
use super::load::Load;
use super::needs::BackwardNeeds;

/// Sizes of one encoder layer, from which its FLOPs and parameters are computed. Dimensions may have been pruned from
/// it.
///
/// ```
/// use dht_transformer::flops::{BlockShape, LayerSizes, Load};
///
/// let block = BlockShape { hidden: 16, heads: 4, head_dim: 4, ffn: 64 };
/// let whole = LayerSizes::of_block(block, block.full());
/// let load = Load::of_texts([5, 7]);
/// assert_eq!(whole.forward(load), block.forward(load, block.full()));
/// // Q reads half of the inputs.
/// let smaller = LayerSizes { query_inputs: 8, ..whole };
/// assert!(smaller.forward(load).projections < whole.forward(load).projections);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LayerSizes {
    /// Hidden size (d in formulas).
    pub hidden: usize,
    /// Number of columns that the projection to Q reads (e_q in formulas).
    pub query_inputs: usize,
    /// Number of columns that the projection to K reads (e_k in formulas).
    pub key_inputs: usize,
    /// Number of columns that the projection to V reads (e_v in formulas).
    pub value_inputs: usize,
    /// Number of columns of Q in all remaining heads (A in formulas). K has the same number.
    pub query_key: usize,
    /// Number of columns of V in all remaining heads (B in formulas).
    pub value: usize,
    /// Number of feed-forward neurons (f in formulas).
    pub ffn: usize,
}

impl LayerSizes {
    /// Sizes of a layer from which only whole heads and neurons were removed. `width` has the remaining numbers.
    pub fn of_block(block: BlockShape, width: Width) -> Self {
        let (hidden, inner) = (block.hidden, width.heads * block.head_dim);
        Self {
            hidden,
            query_inputs: hidden,
            key_inputs: hidden,
            value_inputs: hidden,
            query_key: inner,
            value: inner,
            ffn: width.ffn,
        }
    }

    /// FLOPs of the forward pass for T tokens and Σℓ² token pairs, where ℓ is the length of a text.
    ///
    /// The projections to Q, K and V cost 2·T·((e_q + e_k)·A + e_v·B), attention 2·Σℓ²·(A + B), the output projection
    /// 2·T·B·d, and the feed-forward sublayer 2·(2·T·d·f). Here, e_q, e_k and e_v are the numbers of inputs of Q, K and
    /// V. A is the width of Q and of K, B is the width of V, d is the hidden size, and f is the number of feed-forward
    /// neurons.
    pub fn forward(&self, load: Load) -> Breakdown {
        let row = FlopCount(2) * load.tokens;
        let product = |inputs: usize, outputs: usize| row * (inputs as u64).saturating_mul(outputs as u64);
        Breakdown {
            projections: product(self.query_inputs, self.query_key)
                + product(self.key_inputs, self.query_key)
                + product(self.value_inputs, self.value),
            attention: FlopCount(2) * load.pairs * (self.query_key + self.value) as u64,
            output: product(self.value, self.hidden),
            feed_forward: product(self.hidden, self.ffn) * 2,
            head: FlopCount::ZERO,
        }
    }

    /// FLOPs of the backward pass that this crate executes. They are counted as in [`BlockShape::backward`], except for
    /// attention. Of the five matrix products of attention, three have the width of Q and K (the scores again, and the
    /// gradients of Q and K), and two have the width of V.
    pub fn backward(&self, load: Load, needs: BackwardNeeds) -> Breakdown {
        let forward = self.forward(load);
        let inside = needs.products(needs.any());
        let pairs = FlopCount(2) * load.pairs * u64::from(needs.any());
        Breakdown {
            projections: forward.projections * needs.products(needs.input_gradient),
            attention: pairs * (3 * self.query_key + 2 * self.value) as u64,
            output: forward.output * inside,
            feed_forward: forward.feed_forward * inside,
            head: FlopCount::ZERO,
        }
    }

    /// Number of parameters of the layer: weights, biases and norms.
    ///
    /// The number is (e_q + e_k + 2)·A + (e_v + 1)·B + (B + 1)·d + (2·d + 1)·f + d + 4·d. Here, e_q, e_k and e_v are
    /// the numbers of inputs of Q, K and V. A is the width of Q and of K, B is the width of V, d is the hidden size,
    /// and f is the number of feed-forward neurons.
    pub fn parameters(&self) -> u64 {
        let [d, a, b, f] = [self.hidden, self.query_key, self.value, self.ffn].map(|size| size as u64);
        let [q, k, v] = [self.query_inputs, self.key_inputs, self.value_inputs].map(|size| size as u64);
        (q + k + 2) * a + (v + 1) * b + (b + 1) * d + (2 * d + 1) * f + d + 4 * d
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: BlockShape = BlockShape { hidden: 6, heads: 3, head_dim: 2, ffn: 10 };

    #[test]
    fn a_layer_without_some_heads_costs_what_its_block_costs() {
        let load = Load::of_texts([5, 3]);
        for width in [BLOCK.full(), Width { heads: 2, ffn: 7 }] {
            let sizes = LayerSizes::of_block(BLOCK, width);
            assert_eq!(sizes.forward(load), BLOCK.forward(load, width));
            let none = BackwardNeeds { weight_gradients: false, input_gradient: false };
            for needs in [BackwardNeeds::ALL, BackwardNeeds::WEIGHTS_ONLY, BackwardNeeds::INPUT_ONLY, none] {
                assert_eq!(sizes.backward(load, needs), BLOCK.backward(load, width, needs), "{needs:?}");
            }
        }
    }

    #[test]
    fn ragged_projections_cost_what_hand_arithmetic_says() {
        let sizes =
            LayerSizes { hidden: 6, query_inputs: 2, key_inputs: 3, value_inputs: 5, query_key: 4, value: 3, ffn: 7 };
        // Two texts of 2 tokens and 1 token: 3 tokens and 5 pairs.
        let forward = sizes.forward(Load::of_texts([2, 1]));
        assert_eq!(forward.projections, FlopCount(2 * 3 * (2 * 4 + 3 * 4 + 5 * 3)));
        assert_eq!(forward.attention, FlopCount(2 * 5 * (4 + 3)));
        assert_eq!(forward.output, FlopCount(2 * 3 * 3 * 6));
        assert_eq!(forward.feed_forward, FlopCount(2 * 2 * 3 * 6 * 7));
        assert_eq!(sizes.backward(Load::of_texts([2, 1]), BackwardNeeds::ALL).attention, FlopCount(2 * 5 * (12 + 6)));
        let matrices = 2 * 4 + 3 * 4 + 5 * 3 + 3 * 6 + 2 * 6 * 7;
        let biases_and_norms = 4 + 4 + 3 + 6 + 7 + 6 + 4 * 6;
        assert_eq!(sizes.parameters(), matrices + biases_and_norms);
    }
}
