//! FLOPs of exactly the products that the executor runs, by formula.

use dht_transformer::{BackwardNeeds, BlockShape, Breakdown, ClassifierShape, FlopCount, Load};

use super::WidthCoupling;
use super::flops::blocks_forward;
use crate::space::{BaseState, GroupRole, Route, SearchSpace};

/// How often exit classifiers read a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reads {
    /// With a gradient to the layers.
    pub(crate) with_way_back: u64,
    /// Without: only the classifier learns.
    pub(crate) probes: u64,
}

impl Reads {
    /// Only at the exit where it leaves.
    pub(crate) const ONCE: Self = Self { with_way_back: 1, probes: 0 };

    pub(crate) fn total(self) -> u64 {
        self.with_way_back + self.probes
    }
}

/// FLOPs of texts on their routes: matrix products only, two FLOPs for each multiply-add.
pub(crate) struct ExecutedFlops {
    pub(crate) block: BlockShape,
    pub(crate) classifier: ClassifierShape,
    pub(crate) coupling: WidthCoupling,
}

impl ExecutedFlops {
    /// Forward of one text on a route, read by `reads` classifiers.
    pub(crate) fn forward(&self, route: &Route, tokens: usize, reads: u64) -> FlopCount {
        let blocks = blocks_forward(&self.block, self.coupling, route, Load::of_text(tokens));
        blocks.total() + self.classifier.forward(reads).total()
    }

    /// Backward of one text on a route. The tail is frozen: gradients pass through it and reach no weights there.
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

    /// Forward of the no-gradient pre-pass from which routes are decided; 0 where the base layers are part of the route.
    pub(crate) fn pre_pass(&self, space: &SearchSpace, tokens: usize) -> FlopCount {
        match space.config().base_state {
            BaseState::OnRoute => FlopCount::ZERO,
            BaseState::PrePass { .. } | BaseState::Embedding => self.base(space, tokens),
        }
    }

    /// Forward of the layers below the base state, from which contexts are taken.
    pub(crate) fn base(&self, space: &SearchSpace, tokens: usize) -> FlopCount {
        let layer = self.block.forward(Load::of_text(tokens), self.block.full());
        std::iter::repeat_n(layer, space.base_layers()).sum::<Breakdown>().total()
    }
}
