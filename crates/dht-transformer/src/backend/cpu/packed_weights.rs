//! Cache of weights that are packed for matrix products, shared by all operations of a forward context.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, TensorId};

use super::variants::Choice;
use crate::backend::cpu::kernels::{Concatenated, Matrix, Packed};
use crate::tensors::{Parameter, Precision, release};

/// Direction of a matrix product with a weight W of shape (outputs, inputs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    /// Product x·Wᵀ of the input x in the forward pass.
    Forward,
    /// Product dy·W of the output's gradient dy in the backward pass.
    Backward,
}

/// Maximum total size in bytes of the cached parts of weights. Weights that are cached whole do not count. Without a
/// limit, the cache would fill the memory if each text selects other attention heads.
const PARTS_BYTES: usize = 64 << 20;

/// Part of a weight that one cache entry contains, and the layout in which it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Extent {
    pub(crate) choice: Choice,
    pub(crate) whole: bool,
    /// `true` if the columns of each attention head begin a new panel of the packed weight. A product can then select
    /// heads.
    pub(crate) by_head: bool,
}

/// Cache of weights that are packed for matrix products. An entry is valid until an optimiser changes the weight.
///
/// If the samples of a batch select different heads, a layer runs in several small groups of samples. Without the
/// cache, packing the weights for each group would cost as much time as the matrix products of some samples. For a
/// large group this cost is negligible, so parts of weights get little memory: if they exceed 64 MiB, the least
/// recently used parts are evicted. Whole weights always stay cached.
#[derive(Debug, Default)]
pub(crate) struct PackedWeights {
    precision: Precision,
    cache: Mutex<CachedWeights>,
}

#[derive(Debug, Default)]
struct CachedWeights {
    entries: HashMap<Key, Entry>,
    /// Number of cache accesses so far, used as a clock for eviction.
    uses: u64,
    /// Total size in bytes of the cache entries that contain only a part of a weight.
    parts_bytes: usize,
}

/// Key of a cache entry: the id of the weight's tensor, the direction, and the part of the weight. A tensor's id is
/// unique even if several models run in one context; a parameter's id is not.
type Key = (TensorId, Direction, Extent);

#[derive(Debug)]
struct Entry {
    /// Version number that the parameter's values had when they were packed.
    version: u64,
    packed: Arc<Packed<f32>>,
    /// Parameter whose values can be released, since the entry has its whole weight for the forward pass. `None` for
    /// other entries.
    whole: Option<Parameter>,
    /// Value of `uses` at the last access to this entry.
    used: u64,
}

impl CachedWeights {
    fn find(&mut self, key: &Key, version: u64) -> Option<Arc<Packed<f32>>> {
        let entry = self.entries.get_mut(key).filter(|entry| entry.version == version)?;
        self.uses += 1;
        entry.used = self.uses;
        Some(entry.packed.clone())
    }

    /// Inserts a weight, and evicts the least recently used parts that do not fit.
    fn keep(
        &mut self,
        key: Key,
        (version, whole): (u64, Option<Parameter>),
        packed: Arc<Packed<f32>>,
        most_bytes: usize,
    ) {
        self.uses += 1;
        let bytes_of_part = |key: &Key, packed: &Packed<f32>| if key.2.whole { 0 } else { packed.bytes() };
        self.parts_bytes += bytes_of_part(&key, &packed);
        if let Some(old) = self.entries.insert(key, Entry { version, packed, whole, used: self.uses }) {
            self.parts_bytes -= bytes_of_part(&key, &old.packed);
        }
        while self.parts_bytes > most_bytes {
            let parts = self.entries.iter().filter(|(own, _)| !own.2.whole && **own != key);
            let Some(oldest) = parts.min_by_key(|(_, entry)| entry.used).map(|(own, _)| *own) else { break };
            if let Some(old) = self.entries.remove(&oldest) {
                self.parts_bytes -= bytes_of_part(&oldest, &old.packed);
            }
        }
    }
}

impl PackedWeights {
    pub(crate) fn new(precision: Precision) -> Self {
        Self { precision, cache: Mutex::default() }
    }

    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// Returns a part of a parameter packed in `precision`, from the cache if possible. Otherwise `parts` supplies the
    /// matrices to pack: groups of matrices that are concatenated along an axis.
    pub(crate) fn packed<'a>(
        &self,
        parameter: &Parameter,
        direction: Direction,
        (extent, precision): (Extent, Precision),
        parts: impl FnOnce() -> Result<(Vec<Vec<Matrix<'a, f32>>>, Concatenated)>,
    ) -> Result<Arc<Packed<f32>>> {
        let (key, version) = ((parameter.var().id(), direction, extent), parameter.version());
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(packed) = cache().find(&key, version) {
            return Ok(packed);
        }
        let _span = tracing::trace_span!("packing weights").entered();
        let (groups, concatenated) = parts()?;
        let packed = Packed::from_groups(&groups, concatenated);
        let packed = Arc::new(match precision {
            Precision::Int8 => packed.in_int8(),
            Precision::F32 | Precision::Tf32 | Precision::Bf16 => packed,
        });
        let is_whole = extent.whole && !extent.by_head && direction == Direction::Forward;
        cache().keep(key, (version, is_whole.then(|| parameter.clone())), packed.clone(), PARTS_BYTES);
        Ok(packed)
    }

    /// Releases the values of the parameters whose whole weights are packed, and returns the released bytes. Nothing is
    /// released if a part of a weight is packed: other texts may then require other parts of the values.
    ///
    /// # Errors
    /// Errors of candle.
    pub(crate) fn release_values(&self) -> Result<usize> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let wholes: Option<Vec<&Parameter>> = cache.entries.values().map(|entry| entry.whole.as_ref()).collect();
        wholes.unwrap_or_default().into_iter().map(|parameter| release(parameter.var())).sum()
    }

    /// Memory of all packed weights in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.entries.values().map(|entry| entry.packed.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::tensors::HeadSet;

    #[test]
    fn recent_parts_stay_within_the_memory_limit_and_wholes_always() {
        let tensor = Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap();
        let numbers = [0.5_f32; 64];
        let packed = || Arc::new(Packed::new(Matrix::new(&numbers, 4, 16)));
        let key = |head: usize, whole| -> Key {
            let choice = Choice::Heads(HeadSet::from_indices([head], 12).unwrap());
            (tensor.id(), Direction::Forward, Extent { choice, whole, by_head: false })
        };
        let most = 2 * packed().bytes();
        let mut cache = CachedWeights::default();
        cache.keep(key(11, true), (0, None), packed(), most);
        cache.keep(key(0, false), (0, None), packed(), most);
        cache.keep(key(1, false), (0, None), packed(), most);
        // A new version of a weight replaces the old one.
        cache.keep(key(1, false), (1, None), packed(), most);
        assert_eq!((cache.entries.len(), cache.parts_bytes), (3, most));
        assert!(cache.find(&key(0, false), 0).is_some() && cache.find(&key(1, false), 0).is_none());
        cache.keep(key(2, false), (0, None), packed(), most);
        assert_eq!((cache.entries.len(), cache.parts_bytes), (3, most));
        assert!(cache.find(&key(1, false), 1).is_none(), "it was used before the other");
        for (head, whole) in [(11, true), (0, false), (2, false)] {
            assert!(cache.find(&key(head, whole), 0).is_some(), "{head}");
        }
    }
}
