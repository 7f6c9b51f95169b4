//! FLOPs of the layers and exits that a text runs, computed by formulas. Only matrix products are counted, with two
//! FLOPs for each multiply-add.

use dht_transformer::EncodedDataset;
use dht_transformer::flops::{BackwardNeeds, Breakdown, Load};

use super::exit_model::ExitModel;
use crate::error::Result;
use crate::exit::ExitReads;
use crate::route::{BaseState, GroupRole, Route};

impl ExitModel {
    /// Forward FLOPs of a text on its route (the layers and heads that it runs). `reads` has the number of times that
    /// each exit computes logits for the text.
    pub fn forward_flops(&self, route: &Route, tokens: usize, reads: &[ExitReads]) -> u64 {
        let of_exit = |(exit, reads): (usize, &ExitReads)| match reads.total() {
            0 => 0,
            total => total * self.exits()[exit].flops(tokens).forward.0,
        };
        let block = self.encoder().block_shape();
        let layers = self.coupling().forward_flops(&block, route, Load::of_text(tokens)).total().0;
        layers + reads.iter().enumerate().map(of_exit).sum::<u64>()
    }

    /// Backward FLOPs of a text that runs a route. `reads` has the number of times that each exit computes logits for
    /// the text. The tail, the last layers of every route, is frozen: gradients pass through it, but are not computed
    /// for its weights.
    pub fn backward_flops(&self, route: &Route, tokens: usize, reads: &[ExitReads]) -> u64 {
        let (block, load) = (self.encoder().block_shape(), Load::of_text(tokens));
        let layers = route.groups().iter().map(|group| {
            let tail = group.role == GroupRole::Tail;
            let needs = if tail { BackwardNeeds::INPUT_ONLY } else { BackwardNeeds::ALL };
            let layer = block.backward(load, self.coupling().width(&block, group.heads), needs);
            std::iter::repeat_n(layer, group.layers.len()).sum::<Breakdown>()
        });
        let of_exit = |(exit, reads): (usize, &ExitReads)| {
            let flops = self.exits()[exit].flops(tokens);
            reads.attached * flops.backward.0 + reads.detached * flops.backward_weights.0
        };
        layers.sum::<Breakdown>().total().0 + reads.iter().enumerate().map(of_exit).sum::<u64>()
    }

    /// Forward FLOPs of the first `depth` layers, with all attention heads, for a text of `tokens` tokens.
    pub fn layer_flops(&self, depth: usize, tokens: usize) -> u64 {
        let block = self.encoder().block_shape();
        let layer = block.forward(Load::of_text(tokens), block.full());
        std::iter::repeat_n(layer, depth).sum::<Breakdown>().total().0
    }

    /// FLOPs of the separate pass that computes the base state, the hidden states that routers read before the first
    /// exit. 0 if the route itself computes the base state.
    pub fn pre_pass_flops(&self, tokens: usize) -> u64 {
        match self.layout().base_state() {
            BaseState::OnRoute => 0,
            BaseState::PrePass { .. } | BaseState::Embedding => self.layer_flops(self.layout().base_layers(), tokens),
        }
    }

    /// Route of the full model: all layers with all attention heads.
    ///
    /// # Errors
    /// Does not fail at present, since the route through all layers is valid.
    pub fn full_route(&self) -> Result<Route> {
        Route::truncated(self.shape(), self.shape().layers)
    }

    /// Number of times that each exit computes logits for a text in the full model: 1 for the last exit, 0 for the
    /// others.
    pub fn full_reads(&self) -> Vec<ExitReads> {
        let mut reads = vec![ExitReads::default(); self.exits().len()];
        if let Some(last) = reads.last_mut() {
            last.attached = 1;
        }
        reads
    }

    /// Forward FLOPs of the full model for a text: all layers and the last exit.
    pub fn full_flops(&self, tokens: usize) -> u64 {
        let last = self.exits().last().map_or(0, |last| last.flops(tokens).forward.0);
        self.layer_flops(self.encoder().layers(), tokens) + last
    }

    /// Forward FLOPs of the full model for a whole data set: all layers and the last exit. FLOPs ratios for inference
    /// are relative to this number.
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> u64 {
        texts.lengths().into_iter().map(|tokens| self.full_flops(tokens)).sum()
    }

    /// FLOPs of one training epoch of the full model with its last exit. FLOPs ratios for training are relative to this
    /// number.
    pub fn full_training_flops(&self, texts: &EncodedDataset) -> u64 {
        let block = self.encoder().block_shape();
        let of_text = |tokens: usize| {
            let layer = block.backward(Load::of_text(tokens), block.full(), BackwardNeeds::ALL);
            let layers = std::iter::repeat_n(layer, self.encoder().layers()).sum::<Breakdown>().total().0;
            let exit = self.exits().last().map_or(0, |last| last.flops(tokens).backward.0);
            self.full_flops(tokens) + layers + exit
        };
        texts.lengths().into_iter().map(of_text).sum()
    }

    /// FLOPs of each text if it stops at an exit. The lists are indexed by exit and text. All attention heads run. An
    /// n-gram classifier is not included.
    ///
    /// To stop at an exit, a text runs the layers below it. The text also computes this exit and every earlier exit,
    /// each after the layers of the layout's [tail](crate::route::Layout::tail).
    pub fn exit_flops(&self, texts: &EncodedDataset) -> Vec<Vec<u64>> {
        let lengths = texts.lengths();
        let mut reads = vec![0; texts.len()];
        let tail = self.layout().tail().map_or(0, |tail| tail.len());
        let of_exit = |(exit, depth): (usize, &usize)| {
            let of_row = |(tokens, reads): (&usize, &mut u64)| {
                *reads += self.exits()[exit].flops(*tokens).forward.0 + self.layer_flops(tail, *tokens);
                self.layer_flops(*depth, *tokens) + *reads
            };
            lengths.iter().zip(&mut reads).map(of_row).collect()
        };
        self.depths().iter().enumerate().map(of_exit).collect()
    }
}
