//! Shape of attention: its heads, and its dropout.

use crate::backend::cpu::kernels::dropout::Dropout;
use crate::backend::cpu::kernels::real::Real;

/// Column offsets and widths of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadColumns {
    /// First columns of its Q, K and V in rows of the Q, K and V of all heads.
    pub(crate) qkv: [usize; 3],
    /// First column of its context in rows of the contexts of all heads.
    pub(crate) context: usize,
    /// Number of columns of its Q, and of its K.
    pub(crate) query_key: usize,
    /// Number of columns of its V, and of its context.
    pub(crate) value: usize,
}

impl HeadColumns {
    /// Part of a row of contexts that belongs to the head.
    pub(crate) fn context_of<T>(self, row: &[T]) -> &[T] {
        &row[self.context..][..self.value]
    }
}

/// Division of the columns of packed Q, K and V, and of the context, among heads.
#[derive(Debug, Clone)]
pub(crate) struct HeadShape {
    pub(crate) heads: Vec<HeadColumns>,
    /// Number of columns of Q, K and V of all heads.
    pub(crate) wide: usize,
    /// Number of columns of the contexts of all heads.
    pub(crate) inner: usize,
    /// Scores are divided by the root of this dimension.
    head_dim: usize,
}

impl HeadShape {
    /// Equal heads: for each of `heads` heads `head_dim` columns each of Q, K and V, stored together per head.
    pub(crate) fn alike(heads: usize, head_dim: usize) -> Self {
        let columns = |head| HeadColumns {
            qkv: [0, 1, 2].map(|part| (3 * head + part) * head_dim),
            context: head * head_dim,
            query_key: head_dim,
            value: head_dim,
        };
        let inner = heads * head_dim;
        Self { heads: (0..heads).map(columns).collect(), wide: 3 * inner, inner, head_dim }
    }

    /// Ragged heads with these columns of Q and K, and of V: the Q of all heads, their K, their V. Scores are those of
    /// heads of `head_dim`.
    pub(crate) fn ragged(widths: impl Iterator<Item = (usize, usize)> + Clone, head_dim: usize) -> Self {
        let all_queries: usize = widths.clone().map(|(query_key, _)| query_key).sum();
        let (mut queries, mut values) = (0, 0);
        let heads = widths.map(|(query_key, value)| {
            let qkv = [queries, all_queries + queries, 2 * all_queries + values];
            let columns = HeadColumns { qkv, context: values, query_key, value };
            (queries, values) = (queries + query_key, values + value);
            columns
        });
        let heads = heads.collect();
        Self { heads, wide: 2 * all_queries + values, inner: values, head_dim }
    }

    pub(crate) fn scale<T: Real>(&self) -> T {
        T::from_f64(1.0 / (self.head_dim as f64).sqrt())
    }
}

/// Dropout of attention probabilities: the samples' ids key the masks, `kept[h]` is the number of the h-th kept head.
#[derive(Clone, Copy)]
pub(crate) struct ProbabilityDropout<'a> {
    pub(crate) dropout: Dropout,
    pub(crate) sample_ids: &'a [u64],
    pub(crate) kept: &'a [usize],
}
