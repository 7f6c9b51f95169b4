//! Relative-position bias of attention scores, stored in one table that all layers share.

use candle_core::Result;

use super::cpu::DistanceBias;
use crate::tensors::{Parameter, with_slices};

/// Query-key distance in tokens from which all farther keys share the last bias bucket.
const FARTHEST: f64 = 128.0;

/// Relative-position bias: a number that is added to the attention score of a query and a key, depending on their
/// distance (Raffel et al. 2020; Song et al. 2020). Distances are grouped into buckets.
#[derive(Debug, Clone)]
pub(crate) struct RelativeBias {
    /// Table of biases, shape (buckets, heads), for all heads of an unpruned layer.
    pub(crate) table: Parameter,
    pub(crate) buckets: usize,
    pub(crate) heads: usize,
}

impl RelativeBias {
    /// Row of the bias table for each query-key distance from −(longest − 1) to longest − 1, for texts of up to
    /// `longest` tokens.
    pub(crate) fn rows(&self, longest: usize) -> Vec<usize> {
        (1 - longest as isize..longest as isize).map(|distance| bucket(distance, self.buckets)).collect()
    }

    pub(crate) fn numbers(&self) -> Result<Vec<f32>> {
        with_slices(&[self.table.var().as_tensor()], |slices| Ok(slices[0].to_vec()))
    }

    /// Biases of `heads` for each query-key distance, for texts of up to `longest` tokens. `numbers` contains the
    /// values of the bias table, as returned by [`numbers`](Self::numbers).
    pub(crate) fn by_distance(&self, numbers: &[f32], heads: &[usize], longest: usize) -> DistanceBias<f32> {
        let (rows, mut biases) = (self.rows(longest), DistanceBias::zeros(heads.len(), longest));
        for (head, biases) in heads.iter().zip(biases.heads_mut()) {
            for (row, bias) in rows.iter().zip(biases) {
                *bias = numbers[row * self.heads + head];
            }
        }
        biases
    }

    /// Computes the gradient of the bias table from gradients of the biases at each query-key distance.
    ///
    /// An item of `gradients` comes from samples that ran the same heads. Its first part has an entry for each head of
    /// the layer: the head's index among the heads that ran, or `None` if it did not run. Its second part has the
    /// gradients of the heads that ran.
    pub(crate) fn table_gradient<'a>(
        &self,
        gradients: impl Iterator<Item = (&'a [Option<usize>], &'a DistanceBias<f32>)>,
    ) -> Vec<f32> {
        let mut table = vec![0.0; self.buckets * self.heads];
        for (positions, gradient) in gradients {
            let rows = self.rows(gradient.longest());
            for (head, position) in positions.iter().enumerate() {
                let Some(numbers) = position.and_then(|position| gradient.heads().nth(position)) else { continue };
                for (row, number) in rows.iter().zip(numbers) {
                    table[row * self.heads + head] += number;
                }
            }
        }
        table
    }
}

/// Bucket of relative-position biases for a key that is `distance` tokens after its query. Half of the buckets are for
/// keys after the query, the others for keys before it. In each half, the first buckets cover one distance each, and
/// the later buckets cover ranges of logarithmic width.
fn bucket(distance: isize, buckets: usize) -> usize {
    let (half, tokens) = (buckets / 2, distance.unsigned_abs());
    let (exact, first) = (half / 2, if distance > 0 { half } else { 0 });
    if tokens < exact {
        return first + tokens;
    }
    // The ratio is computed in f32, as in `transformers`, since the last bits decide at some distances.
    let ratio = (tokens as f32 / exact as f32).ln() / (FARTHEST / exact as f64).ln() as f32;
    first + (exact + (ratio * (half - exact) as f32) as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn buckets_are_those_of_transformers() {
        // The expected values are from `MPNetEncoder.relative_position_bucket`: the first distance of each bucket after
        // the query.
        let first = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91, 600];
        for (number, range) in first.windows(2).enumerate() {
            for distance in range[0]..range[1] {
                assert_eq!((bucket(distance, 32), bucket(-distance, 32)), (17 + number, 1 + number), "{distance}");
            }
        }
        assert_eq!(bucket(0, 32), 0);
    }
}
