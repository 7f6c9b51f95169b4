//! The shape of attention: its heads, and its dropout.

use crate::backend::cpu::kernels::dropout::Dropout;
use crate::backend::cpu::kernels::real::Real;

/// How the columns of a packed QKV matrix divide: for each of `heads` heads `head_dim` columns of Q, as many of K, as many
/// of V, so that what belongs to a head lies together.
#[derive(Clone, Copy)]
pub(crate) struct HeadShape {
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
}

impl HeadShape {
    /// Columns of Q (and of K, of V, and of the context).
    pub(crate) fn inner(self) -> usize {
        self.heads * self.head_dim
    }

    /// The first columns of a head's Q, K and V.
    pub(crate) fn columns(self, head: usize) -> [usize; 3] {
        [0, 1, 2].map(|part| (3 * head + part) * self.head_dim)
    }

    pub(crate) fn scale<T: Real>(self) -> T {
        T::from_f64(1.0 / (self.head_dim as f64).sqrt())
    }
}

/// Dropout of attention probabilities: the samples' numbers key the masks, `kept[h]` is the number of the h-th kept head.
#[derive(Clone, Copy)]
pub(crate) struct ProbabilityDropout<'a> {
    pub(crate) dropout: Dropout,
    pub(crate) sample_ids: &'a [u64],
    pub(crate) kept: &'a [usize],
}
