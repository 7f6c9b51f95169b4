//! FLOPs of an encoder block with all or some of its heads and neurons. In formulas, T is the number of tokens, ℓ the
//! length of a text, d the hidden size, and d' = heads · head width.

use serde::{Deserialize, Serialize};

use super::breakdown::Breakdown;
use super::count::FlopCount;
use super::load::Load;
use super::needs::BackwardNeeds;
use crate::error::{Error, Result};
use crate::tensors::{HeadPlan, SampleGroup, Spans};

/// Numbers of heads and feed-forward neurons with which an encoder block runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Width {
    /// Number of attention heads that run (k in formulas).
    pub heads: usize,
    /// Number of feed-forward neurons that run (f in formulas).
    pub ffn: usize,
}

/// Sizes of a full encoder block (attention and feed-forward), from which its FLOPs are computed.
///
/// ```
/// use dht_transformer::flops::{BlockShape, Load};
///
/// let bert_base = BlockShape { hidden: 768, heads: 12, head_dim: 64, ffn: 3072 };
/// let load = Load::of_text(128);
/// let [all, six] = [12, 6].map(|heads| bert_base.forward(load, bert_base.keeping(heads)));
/// assert_eq!(2 * six.attention.0, all.attention.0);
/// assert_eq!(six.feed_forward, all.feed_forward);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockShape {
    /// Hidden size (d in formulas).
    pub hidden: usize,
    /// Number of attention heads of the full block.
    pub heads: usize,
    /// Width of a head, that is, of its queries, keys and values (a in formulas).
    pub head_dim: usize,
    /// Number of feed-forward neurons of the full block.
    pub ffn: usize,
}

impl BlockShape {
    /// Checks that every size is at least 1.
    ///
    /// # Errors
    /// [`Error::Argument`], with the name of the field, if a size is 0.
    pub fn check(&self) -> Result<()> {
        let sizes = [("hidden", self.hidden), ("heads", self.heads), ("head_dim", self.head_dim), ("ffn", self.ffn)];
        match sizes.into_iter().find(|(_, size)| *size == 0) {
            Some((field, _)) => Err(Error::argument(field, "at least 1", "0")),
            None => Ok(()),
        }
    }

    /// Width of the full block, with all heads and neurons.
    pub fn full(&self) -> Width {
        Width { heads: self.heads, ffn: self.ffn }
    }

    /// Width with only `heads` heads, and all neurons.
    pub fn keeping(&self, heads: usize) -> Width {
        Width { heads, ffn: self.ffn }
    }

    /// FLOPs of the forward pass for T tokens and Σℓ² token pairs, where ℓ is the length of a text.
    ///
    /// With the hidden size d, f neurons and d' = heads · head width, the projections to Q, K and V cost 2·T·d·3d',
    /// attention 2·(2·Σℓ²·d'), the output projection 2·T·d'·d, and the feed-forward sublayer 2·(2·T·d·f).
    pub fn forward(&self, load: Load, width: Width) -> Breakdown {
        let inner = (width.heads as u64).saturating_mul(self.head_dim as u64);
        let row = FlopCount(2) * load.tokens * self.hidden as u64;
        Breakdown {
            projections: row * inner * 3,
            attention: FlopCount(4) * load.pairs * inner,
            output: row * inner,
            feed_forward: row * width.ffn as u64 * 2,
            head: FlopCount::ZERO,
        }
    }

    /// FLOPs of the backward pass that this crate executes.
    ///
    /// In a linear layer, the gradient of the weights costs as much as the forward pass, and so does the gradient of
    /// the input. Attention has two matrix products in the forward pass and five in the backward pass: the scores
    /// again, and the gradients of V, of the probabilities, of Q and of K. If the gradient of the block's input is not
    /// needed, only the projections to Q, K and V cost less, since they read that input directly. If neither gradient
    /// is needed, nothing runs.
    pub fn backward(&self, load: Load, width: Width, needs: BackwardNeeds) -> Breakdown {
        let forward = self.forward(load, width);
        let inside = needs.products(needs.any());
        let one_product = FlopCount(forward.attention.0 / 2);
        Breakdown {
            projections: forward.projections * needs.products(needs.input_gradient),
            attention: one_product * if needs.any() { 5 } else { 0 },
            output: forward.output * inside,
            feed_forward: forward.feed_forward * inside,
            head: FlopCount::ZERO,
        }
    }

    /// FLOPs of the forward pass of a batch. Each sample runs the heads that `plan` selects for it, and all neurons.
    ///
    /// # Errors
    /// Errors of [`HeadPlan::check`], if the plan does not fit the block or the batch.
    pub fn forward_of_plan(&self, spans: &Spans, plan: &HeadPlan) -> Result<Breakdown> {
        plan.check(self.heads, spans.samples())?;
        Ok(self.sum_over_plan(spans, plan, |load, width| self.forward(load, width)))
    }

    /// FLOPs of the backward pass of a batch. Each sample runs the heads that `plan` selects for it, and all neurons.
    ///
    /// # Errors
    /// Errors of [`HeadPlan::check`], if the plan does not fit the block or the batch.
    pub fn backward_of_plan(&self, spans: &Spans, plan: &HeadPlan, needs: BackwardNeeds) -> Result<Breakdown> {
        plan.check(self.heads, spans.samples())?;
        Ok(self.sum_over_plan(spans, plan, |load, width| self.backward(load, width, needs)))
    }

    /// FLOPs of the forward pass of a batch. Each group of samples has its own heads and number of neurons.
    ///
    /// # Errors
    /// Errors of [`SampleGroup::check_all`], if the groups do not fit the block or the batch.
    pub fn forward_of_groups(&self, spans: &Spans, groups: &[SampleGroup]) -> Result<Breakdown> {
        self.sum_over_groups(spans, groups, |load, width| self.forward(load, width))
    }

    /// FLOPs of the backward pass of a batch. Each group of samples has its own heads and number of neurons.
    ///
    /// # Errors
    /// Errors of [`SampleGroup::check_all`], if the groups do not fit the block or the batch.
    pub fn backward_of_groups(&self, spans: &Spans, groups: &[SampleGroup], needs: BackwardNeeds) -> Result<Breakdown> {
        self.sum_over_groups(spans, groups, |load, width| self.backward(load, width, needs))
    }

    fn sum_over_groups(
        &self,
        spans: &Spans,
        groups: &[SampleGroup],
        cost: impl Fn(Load, Width) -> Breakdown,
    ) -> Result<Breakdown> {
        SampleGroup::check_all(groups, self.heads, self.ffn, spans.samples())?;
        let mut lengths = spans.lengths();
        let of_group = |group: &SampleGroup| {
            let load = Load::of_texts(lengths.by_ref().take(group.samples));
            cost(load, Width { heads: group.heads.len(), ffn: group.neurons })
        };
        Ok(groups.iter().map(of_group).sum())
    }

    fn sum_over_plan(&self, spans: &Spans, plan: &HeadPlan, cost: impl Fn(Load, Width) -> Breakdown) -> Breakdown {
        match plan {
            HeadPlan::Full => cost(spans.into(), self.full()),
            HeadPlan::Same(set) => cost(spans.into(), self.keeping(set.len())),
            HeadPlan::PerSample(sets) => spans
                .lengths()
                .zip(sets)
                .map(|(length, set)| cost(Load::of_text(length), self.keeping(set.len())))
                .sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tensors::HeadSet;

    const SMALL: BlockShape = BlockShape { hidden: 6, heads: 3, head_dim: 2, ffn: 10 };

    /// Reference implementation: runs the loops of each matrix product and counts their multiply-adds.
    fn counted(shape: &BlockShape, lengths: &[usize], width: Width) -> Breakdown {
        let (d, inner) = (shape.hidden, width.heads * shape.head_dim);
        let multiply_adds = |rows: usize, columns: usize, depth: usize| {
            let mut flops = 0;
            for _row in 0..rows {
                for _column in 0..columns {
                    for _step in 0..depth {
                        flops += 2;
                    }
                }
            }
            FlopCount(flops)
        };
        let mut sum = Breakdown::default();
        for &length in lengths {
            for _matrix in ["q", "k", "v"] {
                sum.projections += multiply_adds(length, inner, d);
            }
            for _head in 0..width.heads {
                sum.attention += multiply_adds(length, length, shape.head_dim);
                sum.attention += multiply_adds(length, shape.head_dim, length);
            }
            sum.output += multiply_adds(length, d, inner);
            sum.feed_forward += multiply_adds(length, width.ffn, d);
            sum.feed_forward += multiply_adds(length, d, width.ffn);
        }
        sum
    }

    proptest! {
        #[test]
        fn the_formulas_count_what_the_loops_run(
            lengths in prop::collection::vec(1_usize..7, 1..4),
            heads in 0_usize..=3,
            ffn in 0_usize..=10,
        ) {
            let width = Width { heads, ffn };
            let load = Load::of_texts(lengths.iter().copied());
            prop_assert_eq!(SMALL.forward(load, width), counted(&SMALL, &lengths, width));
        }
    }

    #[test]
    fn bert_base_layer_flops_at_128_tokens_equal_a_hand_count() {
        let shape = BlockShape { hidden: 768, heads: 12, head_dim: 64, ffn: 3072 };
        let parts = shape.forward(Load::of_text(128), shape.full());
        assert_eq!(parts.projections, FlopCount(452_984_832));
        assert_eq!(parts.attention, FlopCount(50_331_648));
        assert_eq!(parts.output, FlopCount(150_994_944));
        assert_eq!(parts.feed_forward, FlopCount(1_207_959_552));
        assert_eq!(parts.total(), FlopCount(1_862_270_976));
        let saved = 1.0 - shape.forward(Load::of_text(128), shape.keeping(8)).total().ratio(parts.total());
        assert!((0.11..0.12).contains(&saved), "8 of 12 heads save {saved} of a layer");
    }

    #[test]
    fn backward_runs_two_products_per_linear_and_five_of_attention() {
        let (load, width) = (Load::of_texts([5, 3]), SMALL.keeping(2));
        let forward = SMALL.forward(load, width);
        let all = SMALL.backward(load, width, BackwardNeeds::ALL);
        assert_eq!(all.projections, forward.projections * 2);
        assert_eq!(all.output, forward.output * 2);
        assert_eq!(all.feed_forward, forward.feed_forward * 2);
        assert_eq!(all.attention.0 * 2, forward.attention.0 * 5);
    }

    #[test]
    fn frozen_weights_and_unneeded_inputs_skip_only_their_products() {
        let (load, width) = (Load::of_texts([5, 3]), SMALL.full());
        let forward = SMALL.forward(load, width);
        let all = SMALL.backward(load, width, BackwardNeeds::ALL);
        let frozen = SMALL.backward(load, width, BackwardNeeds::INPUT_ONLY);
        assert_eq!(
            frozen,
            Breakdown {
                projections: forward.projections,
                attention: all.attention,
                output: forward.output,
                feed_forward: forward.feed_forward,
                head: FlopCount::ZERO,
            }
        );
        let lowest = SMALL.backward(load, width, BackwardNeeds::WEIGHTS_ONLY);
        assert_eq!(lowest, Breakdown { projections: forward.projections, ..all });
        let none = BackwardNeeds { weight_gradients: false, input_gradient: false };
        assert_eq!(SMALL.backward(load, width, none), Breakdown::default());
    }

    #[test]
    fn a_plan_costs_the_sum_of_its_samples() -> Result<()> {
        let spans = Spans::from_lengths([4, 1, 6])?;
        let sets = [1, 3, 2].map(|heads| HeadSet::full(heads).unwrap());
        let plan = HeadPlan::PerSample(sets.to_vec());
        let alone = |cost: &dyn Fn(&Spans, &HeadPlan) -> Breakdown| -> Breakdown {
            spans
                .lengths()
                .zip(sets)
                .map(|(length, set)| cost(&Spans::from_lengths([length]).unwrap(), &HeadPlan::Same(set)))
                .sum()
        };
        let forward = SMALL.forward_of_plan(&spans, &plan)?;
        assert_eq!(forward, alone(&|spans, plan| SMALL.forward_of_plan(spans, plan).unwrap()));
        let needs = BackwardNeeds::WEIGHTS_ONLY;
        let backward = SMALL.backward_of_plan(&spans, &plan, needs)?;
        assert_eq!(backward, alone(&|spans, plan| SMALL.backward_of_plan(spans, plan, needs).unwrap()));
        let full = SMALL.forward_of_plan(&spans, &HeadPlan::Full)?;
        assert_eq!(full, SMALL.forward_of_plan(&spans, &HeadPlan::Same(HeadSet::full(3)?))?);
        assert_eq!(full, SMALL.forward((&spans).into(), SMALL.full()));
        assert!(SMALL.forward_of_plan(&spans, &HeadPlan::Same(HeadSet::full(4)?)).is_err());
        Ok(())
    }

    #[test]
    fn a_shape_of_zero_size_is_refused() {
        assert!(SMALL.check().is_ok());
        let narrow = BlockShape { head_dim: 0, ..SMALL };
        assert!(matches!(narrow.check(), Err(Error::Argument { name: "head_dim", .. })));
    }
}
