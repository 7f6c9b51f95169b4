//! Layout of the columns of attention heads, with their relative-position biases and their dropout.

use crate::backend::cpu::kernels::dropout::Dropout;
use crate::backend::cpu::kernels::real::Real;
use crate::backend::cpu::kernels::rows::LANES;

/// Column offsets and widths of one attention head: in rows that hold Q, K and V, and in rows of attention outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadColumns {
    /// First columns of the head's Q, K and V, in rows that hold Q, K and V of all heads.
    pub(crate) qkv: [usize; 3],
    /// First column of the head's output in rows that hold the outputs of all heads.
    pub(crate) context: usize,
    /// Number of columns that the head has in Q, and also in K.
    pub(crate) query_key: usize,
    /// Number of columns that the head has in V, and also in its output.
    pub(crate) value: usize,
}

impl HeadColumns {
    pub(crate) fn context_of<T>(self, row: &[T]) -> &[T] {
        &row[self.context..][..self.value]
    }
}

/// Relative-position biases: numbers added to attention scores, depending on the distance between query and key. Also
/// used for the gradients of such biases. Each head has a row of biases, from the key farthest before the query to the
/// key farthest after it.
#[derive(Debug, Clone)]
pub(crate) struct DistanceBias<T> {
    /// Relative-position biases, one row for each head. Zeros follow each row, so that the biases of a query can be
    /// read as whole SIMD vectors.
    numbers: Vec<T>,
    longest: usize,
}

impl<T: Real> DistanceBias<T> {
    /// Creates biases of 0 for `heads` heads and texts of up to `longest` tokens.
    pub(crate) fn zeros(heads: usize, longest: usize) -> Self {
        Self { numbers: vec![T::ZERO; heads * Self::stride(longest)], longest }
    }

    fn stride(longest: usize) -> usize {
        2 * longest - 1 + LANES
    }

    /// Maximum number of tokens of a text for which there are biases.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Biases of each head, one row for a head, for the distances from −(longest − 1) to longest − 1.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &[T]> {
        self.numbers.chunks_exact(Self::stride(self.longest)).map(|row| &row[..2 * self.longest - 1])
    }

    pub(crate) fn heads_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        let longest = self.longest;
        self.numbers.chunks_exact_mut(Self::stride(longest)).map(move |row| &mut row[..2 * longest - 1])
    }

    /// Index in `numbers` of the bias between a query and the first key of the text.
    fn first(&self, head: usize, query: usize) -> usize {
        head * Self::stride(self.longest) + self.longest - 1 - query
    }

    /// Biases of a head between one query and each key of the text. Values after the last key, up to `width`, are
    /// undefined.
    pub(super) fn of_query(&self, head: usize, query: usize, width: usize) -> &[T] {
        &self.numbers[self.first(head, query)..][..width]
    }

    pub(super) fn of_query_mut(&mut self, head: usize, query: usize, width: usize) -> &mut [T] {
        let first = self.first(head, query);
        &mut self.numbers[first..][..width]
    }
}

/// Layout of all heads: their columns in rows of Q, K and V, and in rows of attention outputs.
#[derive(Debug, Clone)]
pub(crate) struct HeadShape<T> {
    pub(crate) heads: Vec<HeadColumns>,
    /// Number of columns in a row that holds Q, K and V of all heads.
    pub(crate) wide: usize,
    /// Number of columns in a row that holds the outputs of all heads.
    pub(crate) inner: usize,
    /// Width of an unpruned head. Attention scores are divided by its square root.
    head_dim: usize,
    /// Relative-position biases of the attention scores; `None` if the model has none.
    pub(crate) bias: Option<DistanceBias<T>>,
}

impl<T: Real> HeadShape<T> {
    /// Creates the layout of `heads` heads of equal width. Each head has `head_dim` columns of Q, then as many of K and
    /// of V.
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

    /// Creates the layout of heads that differ in width. Each item of `widths` has a head's number of columns in Q and
    /// K, and its number in V. Rows hold Q of all heads, then K, then V. Scores are divided by √`head_dim`.
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

    pub(crate) fn with_bias(self, bias: Option<DistanceBias<T>>) -> Self {
        Self { bias, ..self }
    }

    pub(crate) fn scale(&self) -> T {
        T::from_f64(1.0 / (self.head_dim as f64).sqrt())
    }
}

/// Dropout of attention probabilities. A mask depends on the sample's id, the token, and the head's number in the
/// unpruned model. `kept[h]` is this number for the head with index h among those that run.
#[derive(Clone, Copy)]
pub(crate) struct ProbabilityDropout<'a> {
    pub(crate) dropout: Dropout,
    pub(crate) sample_ids: &'a [u64],
    pub(crate) kept: &'a [usize],
}
