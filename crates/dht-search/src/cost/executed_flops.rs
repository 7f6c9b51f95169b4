//! FLOPs of exactly the layers that the executor runs, by formula.

use dht_transformer::flops::{BackwardNeeds, BlockShape, Breakdown, FlopCount, Load};

use super::WidthCoupling;
use super::flops::blocks_forward;
use crate::space::{BaseState, SearchSpace};
use dht_dynamic::{Route, route::GroupRole};

/// FLOPs of the layers that texts run: matrix products only, two FLOPs for each multiply-add.
pub(crate) struct ExecutedFlops {
    pub(crate) block: BlockShape,
    pub(crate) coupling: WidthCoupling,
}

impl ExecutedFlops {
    /// Forward FLOPs of the layers of one text on a route.
    pub(crate) fn forward(&self, route: &Route, tokens: usize) -> FlopCount {
        blocks_forward(&self.block, self.coupling, route, Load::of_text(tokens)).total()
    }

    /// Backward FLOPs of the layers of one text on a route. The layers of the tail are frozen: gradients pass through
    /// them, but are not computed for their weights.
    pub(crate) fn backward(&self, route: &Route, tokens: usize) -> FlopCount {
        let load = Load::of_text(tokens);
        let blocks = route.groups().iter().map(|group| {
            let tail = group.role == GroupRole::Tail;
            let needs = if tail { BackwardNeeds::INPUT_ONLY } else { BackwardNeeds::ALL };
            let layer = self.block.backward(load, self.coupling.width(&self.block, group.heads), needs);
            std::iter::repeat_n(layer, group.layers.len()).sum::<Breakdown>()
        });
        blocks.sum::<Breakdown>().total()
    }

    /// Forward FLOPs of the no-gradient pre-pass that computes the contexts of routing; 0 if the base layers are part
    /// of the route.
    pub(crate) fn pre_pass(&self, space: &SearchSpace, tokens: usize) -> FlopCount {
        match space.config().base_state {
            BaseState::OnRoute => FlopCount::ZERO,
            BaseState::PrePass { .. } | BaseState::Embedding => self.base(space, tokens),
        }
    }

    /// FLOPs of the layers below the base state, from which routes are decided.
    pub(crate) fn base(&self, space: &SearchSpace, tokens: usize) -> FlopCount {
        let layer = self.block.forward(Load::of_text(tokens), self.block.full());
        std::iter::repeat_n(layer, space.base_layers()).sum::<Breakdown>().total()
    }
}
