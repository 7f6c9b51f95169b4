//! FLOPs of the layers that the executor runs, by formula: exactly the products that run.

use dht_transformer::{BackwardNeeds, BlockShape, Breakdown, FlopCount, Load};

use super::WidthCoupling;
use crate::space::{BaseState, GroupRole, Route, SearchSpace};

/// FLOPs of the layers that texts run, two for each multiply-add, products alone.
pub(crate) struct ExecutedFlops {
    pub(crate) block: BlockShape,
    pub(crate) coupling: WidthCoupling,
}

impl ExecutedFlops {
    /// Forward of the layers of one text on a route.
    pub(crate) fn forward(&self, route: &Route, tokens: usize) -> FlopCount {
        let load = Load::of_text(tokens);
        let blocks = route.layers().map(|(_, heads)| self.block.forward(load, self.coupling.width(&self.block, heads)));
        blocks.sum::<Breakdown>().total()
    }

    /// Backward of the same; the tail is frozen, so that gradients only pass through it.
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

    /// Of the pass beside the route from which it is decided; none, where the base layers lie on the route.
    pub(crate) fn pre_pass(&self, space: &SearchSpace, tokens: usize) -> FlopCount {
        match space.config().base_state {
            BaseState::OnRoute => FlopCount::ZERO,
            BaseState::PrePass { .. } | BaseState::Embedding => self.base(space, tokens),
        }
    }

    /// Of the layers that a state comes from which decisions are made from.
    pub(crate) fn base(&self, space: &SearchSpace, tokens: usize) -> FlopCount {
        let layer = self.block.forward(Load::of_text(tokens), self.block.full());
        std::iter::repeat_n(layer, space.base_layers()).sum::<Breakdown>().total()
    }
}
