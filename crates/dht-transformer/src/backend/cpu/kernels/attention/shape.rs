//! The shape of attention: its heads, and its dropout.

use crate::backend::cpu::kernels::dropout::Dropout;
use crate::backend::cpu::kernels::real::Real;

/// Where the columns of a head lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadColumns {
    /// The first ones of its Q, K and V in rows of the Q, K and V of all heads.
    pub(crate) qkv: [usize; 3],
    /// The first one of its context in rows of the contexts of all heads.
    pub(crate) context: usize,
    /// Columns of its Q, and of its K.
    pub(crate) query_key: usize,
    /// Columns of its V, and of its context.
    pub(crate) value: usize,
}

impl HeadColumns {
    /// Its part of a row of contexts.
    pub(crate) fn context_of<T>(self, row: &[T]) -> &[T] {
        &row[self.context..][..self.value]
    }
}

/// How the columns of packed Q, K and V, and those of the context, divide among heads.
#[derive(Debug, Clone)]
pub(crate) struct HeadShape {
    pub(crate) heads: Vec<HeadColumns>,
    /// Columns of Q, K and V of all heads.
    pub(crate) wide: usize,
    /// Columns of the contexts of all heads.
    pub(crate) inner: usize,
    /// What scores are divided by the root of.
    head_dim: usize,
}

impl HeadShape {
    /// For each of `heads` heads `head_dim` columns of Q, as many of K, as many of V, so that what belongs to a head lies together.
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

    /// Heads with these columns of Q and K, and of V: the Q of all heads, their K, their V. Scores are those of heads of `head_dim`.
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

/// Dropout of attention probabilities: the samples' numbers key the masks, `kept[h]` is the number of the h-th kept head.
#[derive(Clone, Copy)]
pub(crate) struct ProbabilityDropout<'a> {
    pub(crate) dropout: Dropout,
    pub(crate) sample_ids: &'a [u64],
    pub(crate) kept: &'a [usize],
}
