//! Weights packed for products, kept where several runs of one forward context need them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::TensorId;

use super::variants::Choice;
use crate::backend::cpu::kernels::{Concatenated, Matrix, Packed};
use crate::backend::precision::Precision;
use crate::tensors::Parameter;

/// What a weight (out, in) is multiplied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    /// x·Wᵀ
    Forward,
    /// dy·W
    Backward,
}

/// Which part of a weight is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Extent {
    pub(crate) choice: Choice,
    /// Whether each head's columns begin a panel, so that a product can take some heads of it.
    pub(crate) by_head: bool,
}

/// The weights that were packed in a context, until an optimiser changes them.
///
/// A routed batch runs a layer in several small groups; packing its weights anew for each would cost as much as the
/// products of some samples. For a large group that is nothing, and the memory would be missed.
#[derive(Debug, Default)]
pub(crate) struct PackedWeights {
    /// Of the weights of layers.
    precision: Precision,
    entries: Mutex<HashMap<Key, Entry>>,
}

/// Ids of parameters would not do: several models may run in one context.
type Key = (TensorId, Direction, Extent);

#[derive(Debug)]
struct Entry {
    /// The version of the parameter's values.
    version: u64,
    packed: Arc<Packed<f32>>,
}

impl PackedWeights {
    /// None yet; those of layers are going to be kept in this precision.
    pub(crate) fn new(precision: Precision) -> Self {
        Self { precision, entries: Mutex::default() }
    }

    /// The precision of the weights of layers.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// A packed part of a parameter: groups of its matrices, concatenated.
    pub(crate) fn of<'a>(
        &self,
        parameter: &Parameter,
        direction: Direction,
        (extent, precision): (Extent, Precision),
        parts: impl FnOnce() -> (Vec<Vec<Matrix<'a, f32>>>, Concatenated),
    ) -> Arc<Packed<f32>> {
        let (key, version) = ((parameter.var().id(), direction, extent), parameter.version());
        let known = || self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known().get(&key).filter(|entry| entry.version == version) {
            return entry.packed.clone();
        }
        let _span = tracing::trace_span!("packing weights").entered();
        let (groups, concatenated) = parts();
        let packed = Packed::of(&groups, concatenated);
        let packed = Arc::new(match precision {
            Precision::F32 => packed,
            Precision::Int8 => packed.in_int8(),
        });
        known().insert(key, Entry { version, packed: packed.clone() });
        packed
    }
}
