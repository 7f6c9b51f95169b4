//! Shape of attention: its heads, and its dropout.

use crate::backend::cpu::kernels::dropout::Dropout;
use crate::backend::cpu::kernels::real::Real;
use crate::backend::cpu::kernels::rows::LANES;

/// Column offsets and widths of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadColumns {
    /// First columns of the head's Q, K and V in rows that hold the Q, K and V of all heads.
    pub(crate) qkv: [usize; 3],
    /// First column of the head's context in rows that hold the contexts of all heads.
    pub(crate) context: usize,
    /// Number of columns of the head in Q; K has the same number.
    pub(crate) query_key: usize,
    /// Number of columns of the head in V; its context has the same number.
    pub(crate) value: usize,
}

impl HeadColumns {
    /// Slice of a row of contexts that belongs to the head.
    pub(crate) fn context_of<T>(self, row: &[T]) -> &[T] {
        &row[self.context..][..self.value]
    }
}

/// Biases that are added to attention scores by the distance of query and key, or the gradients of these biases. Each
/// head has a row, from the key farthest before the query to the key farthest after it.
#[derive(Debug, Clone)]
pub(crate) struct DistanceBias<T> {
    /// Rows of the heads. Each row is followed by zeros, so that the biases of a query can be read as whole vectors.
    numbers: Vec<T>,
    longest: usize,
}

impl<T: Real> DistanceBias<T> {
    /// Creates biases of 0 for texts of up to `longest` tokens.
    pub(crate) fn zeros(heads: usize, longest: usize) -> Self {
        Self { numbers: vec![T::ZERO; heads * Self::stride(longest)], longest }
    }

    fn stride(longest: usize) -> usize {
        2 * longest - 1 + LANES
    }

    /// Maximum length of a text in tokens.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Biases of each head by distance, from −(longest − 1) to longest − 1.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &[T]> {
        self.numbers.chunks_exact(Self::stride(self.longest)).map(|row| &row[..2 * self.longest - 1])
    }

    /// Mutable [`heads`](Self::heads).
    pub(crate) fn heads_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        let longest = self.longest;
        self.numbers.chunks_exact_mut(Self::stride(longest)).map(move |row| &mut row[..2 * longest - 1])
    }

    /// Index of the bias for a query and the first key of its text.
    fn first(&self, head: usize, query: usize) -> usize {
        head * Self::stride(self.longest) + self.longest - 1 - query
    }

    /// Biases of a query for each key. After the keys, values up to `width` are undefined.
    pub(super) fn of_query(&self, head: usize, query: usize, width: usize) -> &[T] {
        &self.numbers[self.first(head, query)..][..width]
    }

    /// Mutable [`of_query`](Self::of_query).
    pub(super) fn of_query_mut(&mut self, head: usize, query: usize, width: usize) -> &mut [T] {
        let first = self.first(head, query);
        &mut self.numbers[first..][..width]
    }
}

/// Columns that belong to each head, in packed rows of Q, K and V and in context rows.
#[derive(Debug, Clone)]
pub(crate) struct HeadShape<T> {
    pub(crate) heads: Vec<HeadColumns>,
    /// Number of columns in a row that holds the Q, K and V of all heads.
    pub(crate) wide: usize,
    /// Number of columns in a row that holds the contexts of all heads.
    pub(crate) inner: usize,
    /// Scores are divided by the square root of this dimension.
    head_dim: usize,
    /// Biases of the scores; `None` for zeros.
    pub(crate) bias: Option<DistanceBias<T>>,
}

impl<T: Real> HeadShape<T> {
    /// Creates the shape of `heads` equal heads. Each head has `head_dim` columns of Q, K and V, which are stored
    /// together.
    pub(crate) fn alike(heads: usize, head_dim: usize) -> Self {
        let columns = |head| HeadColumns {
            qkv: [0, 1, 2].map(|part| (3 * head + part) * head_dim),
            context: head * head_dim,
            query_key: head_dim,
            value: head_dim,
        };
        let inner = heads * head_dim;
        Self { heads: (0..heads).map(columns).collect(), wide: 3 * inner, inner, head_dim, bias: None }
    }

    /// Creates the shape of heads with different widths. `widths` has, for each head, the number of columns in Q and K,
    /// and the number in V. The rows hold the Q of all heads, then their K, then their V. Scores are divided by
    /// √`head_dim`.
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
        Self { heads, wide: 2 * all_queries + values, inner: values, head_dim, bias: None }
    }

    /// Sets the biases of the scores.
    pub(crate) fn with_bias(self, bias: Option<DistanceBias<T>>) -> Self {
        Self { bias, ..self }
    }

    pub(crate) fn scale(&self) -> T {
        T::from_f64(1.0 / (self.head_dim as f64).sqrt())
    }
}

/// Dropout of attention probabilities. A mask depends on the id of the sample, the token, and the index of the head in
/// the full model. `kept[h]` is this index for the h-th kept head.
#[derive(Clone, Copy)]
pub(crate) struct ProbabilityDropout<'a> {
    pub(crate) dropout: Dropout,
    pub(crate) sample_ids: &'a [u64],
    pub(crate) kept: &'a [usize],
}
