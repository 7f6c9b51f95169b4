//! Weights laid out for products, kept where several runs of one pass need them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::TensorId;

use super::variants::Choice;
use crate::backend::cpu::kernels::{Joined, Matrix, Packed};
use crate::tensors::Parameter;

/// What a weight (out, in) is multiplied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    /// x·Wᵀ
    Forward,
    /// dy·W
    Backward,
}

/// Which part of a weight is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Extent {
    pub(crate) choice: Choice,
    /// Whether each head's columns begin a panel, so that a product can take some heads of it.
    pub(crate) by_head: bool,
}

/// The weights that were laid out in a pass, until an optimiser changes them.
///
/// A routed batch runs a layer in several small groups; laying out its weights anew for each would cost as much as the
/// products of some texts. For a large group that is nothing, and the memory would be missed.
#[derive(Debug, Default)]
pub(crate) struct Layouts(Mutex<HashMap<Key, Layout>>);

/// Numbers of parameters would not do: models of other numbers may run in one pass.
type Key = (TensorId, Direction, Extent);

#[derive(Debug)]
struct Layout {
    /// Of the parameter's values.
    version: u64,
    packed: Arc<Packed<f32>>,
}

impl Layouts {
    /// The layout of a part of a parameter: `groups` of its matrices, joined.
    pub(crate) fn of<'a>(
        &self,
        parameter: &Parameter,
        direction: Direction,
        extent: Extent,
        parts: impl FnOnce() -> (Vec<Vec<Matrix<'a, f32>>>, Joined),
    ) -> Arc<Packed<f32>> {
        let (key, version) = ((parameter.var().id(), direction, extent), parameter.version());
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = known().get(&key).filter(|layout| layout.version == version) {
            return layout.packed.clone();
        }
        let _span = tracing::trace_span!("laying out weights").entered();
        let (groups, joined) = parts();
        let packed = Arc::new(Packed::of(&groups, joined));
        known().insert(key, Layout { version, packed: packed.clone() });
        packed
    }
}
