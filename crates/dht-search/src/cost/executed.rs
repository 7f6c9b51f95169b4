//! FLOPs of what the executor runs, by formula: exactly the products that run.

use dht_transformer::flops::{BackwardNeeds, BlockShape, Breakdown, ClassifierShape, FlopCount, Load};

use super::WidthCoupling;
use crate::space::{BaseState, GroupRole, Route, SearchSpace};

/// How often the classifiers read a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reads {
    /// With a way back to the layers.
    pub(crate) with_way_back: u64,
    /// Without.
    pub(crate) probes: u64,
}

impl Reads {
    /// Only at the exit where it leaves.
    pub(crate) const ONCE: Self = Self { with_way_back: 1, probes: 0 };

    pub(crate) fn total(self) -> u64 {
        self.with_way_back + self.probes
    }
}

/// FLOPs of texts on their routes, two for each multiply-add, products alone.
pub(crate) struct ExecutedFlops {
    pub(crate) block: BlockShape,
    pub(crate) classifier: ClassifierShape,
    pub(crate) coupling: WidthCoupling,
}

impl ExecutedFlops {
    /// Forward of one text on a route, read by so many classifiers.
    pub(crate) fn forward(&self, route: &Route, tokens: usize, reads: u64) -> FlopCount {
        let load = Load::of_text(tokens);
        let blocks = route.layers().map(|(_, heads)| self.block.forward(load, self.coupling.width(&self.block, heads)));
        blocks.sum::<Breakdown>().total() + self.classifier.forward(reads).total()
    }

    /// Backward of the same; the tail is frozen, so that gradients only pass through it.
    pub(crate) fn backward(&self, route: &Route, tokens: usize, reads: Reads) -> FlopCount {
        let load = Load::of_text(tokens);
        let blocks = route.groups().iter().map(|group| {
            let tail = group.role == GroupRole::Tail;
            let needs = if tail { BackwardNeeds::INPUT_ONLY } else { BackwardNeeds::ALL };
            let layer = self.block.backward(load, self.coupling.width(&self.block, group.heads), needs);
            std::iter::repeat_n(layer, group.layers.len()).sum::<Breakdown>()
        });
        blocks.sum::<Breakdown>().total()
            + self.classifier.backward(reads.with_way_back, BackwardNeeds::ALL).total()
            + self.classifier.backward(reads.probes, BackwardNeeds::WEIGHTS_ONLY).total()
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
