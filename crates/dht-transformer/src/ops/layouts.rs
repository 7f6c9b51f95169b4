//! Weights laid out for products, kept where several runs of one pass need them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::ways::Choice;
use crate::kernels::product::{Joined, Matrix, Packed};
use crate::parameters::{Parameter, ParameterId};

/// What a weight (out, in) is multiplied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// x·Wᵀ
    Forward,
    /// dy·W
    Backward,
}

/// Which part of a weight is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extent {
    pub(super) choice: Choice,
    /// Whether each head's columns begin a panel, so that a product can take some heads of it.
    pub(super) by_head: bool,
}

/// The weights that were laid out in a pass, which does not change them.
///
/// A routed batch runs a layer in several small groups; laying out its weights anew for each would cost as much as the
/// products of some texts. For a large group that is nothing, and the memory would be missed.
#[derive(Debug, Default)]
pub(crate) struct Layouts(Mutex<BTreeMap<Key, Arc<Packed<f32>>>>);

type Key = (ParameterId, Direction, Extent);

impl Layouts {
    /// The layout of a part of a parameter: `groups` of its matrices, joined.
    pub(super) fn of<'a>(
        &self,
        parameter: &Parameter,
        direction: Direction,
        extent: Extent,
        parts: impl FnOnce() -> (Vec<Vec<Matrix<'a, f32>>>, Joined),
    ) -> Arc<Packed<f32>> {
        let key = (parameter.id(), direction, extent);
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = known().get(&key) {
            return layout.clone();
        }
        let _span = tracing::trace_span!("laying out weights").entered();
        let (groups, joined) = parts();
        let layout = Arc::new(Packed::of(&groups, joined));
        known().insert(key, layout.clone());
        layout
    }
}
