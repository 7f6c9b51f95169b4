//! Weights laid out for products, kept where several runs of one pass need them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::kernels::product::{Matrix, Packed};
use crate::parameters::{Parameter, ParameterId};

/// What a weight (out, in) is multiplied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// x·Wᵀ
    Forward,
    /// dy·W
    Backward,
}

impl Direction {
    /// The weight as this direction's right factor.
    pub(super) fn lay_out(self, weight: Matrix<'_, f32>) -> Packed<f32> {
        let _span = tracing::trace_span!("laying out weights").entered();
        Packed::new(match self {
            Self::Forward => weight.transposed(),
            Self::Backward => weight,
        })
    }
}

/// The whole weights that were laid out in a pass, which does not change them.
///
/// A routed batch runs a layer in several small groups; laying out its weights anew for each would cost as much as the
/// products of some texts. For a large group that is nothing, and the memory would be missed.
#[derive(Debug, Default)]
pub(crate) struct Layouts(Mutex<BTreeMap<Key, Arc<Packed<f32>>>>);

type Key = (ParameterId, Direction);

impl Layouts {
    /// The layout of a parameter's whole matrix.
    pub(super) fn of(&self, parameter: &Parameter, direction: Direction, weight: Matrix<'_, f32>) -> Arc<Packed<f32>> {
        let key = (parameter.id(), direction);
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = known().get(&key) {
            return layout.clone();
        }
        let layout = Arc::new(direction.lay_out(weight));
        known().insert(key, layout.clone());
        layout
    }
}
