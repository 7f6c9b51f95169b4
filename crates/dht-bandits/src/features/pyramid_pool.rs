//! Pyramid pooling: converts a tensor of any shape to a context of fixed length, by averages over ever finer grids.

use std::ops::{Range, RangeInclusive};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::validate::{check_length, check_parameter};

/// Pyramid pooling: averages a tensor over grids of several resolutions, so that tensors of any shape give a context of
/// fixed length.
///
/// An axis with the exponents m..=n is divided into 2^m equal parts, then into 2^(m+1), …, 2^n parts. The context
/// contains the mean over each combination of one part of each axis. For example, a sequence axis with 1 + 2 parts and
/// an embedding axis with 4 + 8 + 16 parts give 3 × 28 = 84 values.
///
/// If an axis of n positions is divided into P parts, part i is the range ⌊in/P⌋ .. ⌊(i+1)n/P⌋. If n is less than P,
/// part i is the nearest position, ⌊(2i+1)n/2P⌋.
///
/// ```
/// use dht_bandits::features::PyramidPool;
///
/// let pool = PyramidPool::grid(0..=1, 2..=4)?;
/// assert_eq!(pool.dimension(), 84);
/// let tokens = vec![0.5f32; 7 * 32]; // 7 tokens of 32 values
/// assert!(pool.pool(&tokens, &[7, 32])?.iter().all(|mean| *mean == 0.5));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PoolState", into = "PoolState")]
pub struct PyramidPool {
    axes: Vec<RangeInclusive<u32>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolState {
    axes: Vec<(u32, u32)>,
}

/// Largest accepted exponent of an axis, which is then divided into 2²⁰ parts. A larger one is assumed to be a typing
/// error.
const LARGEST_EXPONENT: u32 = 20;

impl PyramidPool {
    /// Creates a pool for tensors with one axis per range of exponents. An axis with the exponents m..=n is divided
    /// into 2^m to 2^n parts.
    ///
    /// # Errors
    /// * Fails if there is no axis, if a range is empty, or if an exponent is above 20.
    /// * Fails if a pooled tensor would have more than 16,777,216 values.
    pub fn new(axes: &[RangeInclusive<u32>]) -> Result<Self> {
        check_parameter("axes", axes.len() as f64, !axes.is_empty(), "at least 1")?;
        for axis in axes {
            let (first, last) = (f64::from(*axis.start()), f64::from(*axis.end()));
            check_parameter("first exponent", first, first <= last, "at most the last exponent")?;
            check_parameter("last exponent", last, *axis.end() <= LARGEST_EXPONENT, "at most 20")?;
        }
        let dimension = axes.iter().map(parts).try_fold(1usize, usize::checked_mul).unwrap_or(usize::MAX);
        check_length("dimension", dimension)?;
        Ok(Self { axes: axes.to_vec() })
    }

    /// Creates a pool for matrices, from the exponents of their rows and columns. An example is a text's matrix of
    /// tokens and embedding dimensions.
    ///
    /// # Errors
    /// Fails as [`new`](Self::new) does.
    pub fn grid(rows: RangeInclusive<u32>, columns: RangeInclusive<u32>) -> Result<Self> {
        Self::new(&[rows, columns])
    }

    /// Length of a pooled context: the number of averages that represent a tensor.
    pub fn dimension(&self) -> usize {
        self.axes.iter().map(parts).product()
    }

    /// Ranges into which an axis of `length` positions is divided. The ranges of the coarsest grid come first, those of
    /// the finest grid last. A program that pools on another device, such as a GPU, averages over each combination of
    /// these ranges.
    ///
    /// # Errors
    /// Fails if the pool does not have the axis, or if the length is zero.
    pub fn parts(&self, axis: usize, length: usize) -> Result<Vec<Range<usize>>> {
        let levels =
            self.axes.get(axis).ok_or(Error::Dimension { what: "axis", expected: self.axes.len(), got: axis })?;
        check_parameter("axis length", length as f64, length > 0, "at least 1")?;
        let level = |exponent: u32| (0..1usize << exponent).map(move |part| span(part, 1 << exponent, length));
        Ok(levels.clone().flat_map(level).map(|(from, to)| from..to).collect())
    }

    /// Averages a tensor over grids of all resolutions and returns the averages as a context. `values` are the values
    /// of the tensor in row-major order.
    ///
    /// # Shapes
    /// The length of `values` is the product of `shape`. The result has length [`dimension`](Self::dimension). The
    /// first axis varies slowest, and on each axis the parts of a coarse grid come before the parts of a finer grid.
    ///
    /// # Errors
    /// * Fails if the shape has the wrong number of axes, or an empty axis.
    /// * Fails if `values` has the wrong length, or a value that is not finite.
    pub fn pool<T: Copy + Into<f64>>(&self, values: &[T], shape: &[usize]) -> Result<Vec<f64>> {
        let mut context = Vec::with_capacity(self.dimension());
        self.pool_into(values, shape, &mut context)?;
        Ok(context)
    }

    /// Appends the averages of a tensor, as computed by [`pool`](Self::pool), to `context`. After an error `context` is
    /// unchanged.
    ///
    /// # Errors
    /// Fails as [`pool`](Self::pool) does.
    pub fn pool_into<T: Copy + Into<f64>>(&self, values: &[T], shape: &[usize], context: &mut Vec<f64>) -> Result<()> {
        if shape.len() != self.axes.len() {
            return Err(Error::Dimension { what: "shape", expected: self.axes.len(), got: shape.len() });
        }
        for &length in shape {
            check_parameter("axis length", length as f64, length > 0, "at least 1")?;
        }
        let expected = shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
        let expected = expected.unwrap_or(usize::MAX);
        if values.len() != expected {
            return Err(Error::Dimension { what: "values", expected, got: values.len() });
        }
        // The first axis is reduced first. The values at each of its positions are contiguous, and are added as one
        // row.
        let mut current = reduce(values, &self.axes[0], shape[0], shape[1..].iter().product());
        if !current.iter().all(|mean| mean.is_finite()) {
            let values = values.iter().map(|&value| value.into()).enumerate();
            if let Some((index, value)) = values.into_iter().find(|(_, value): &(usize, f64)| !value.is_finite()) {
                return Err(Error::NotFinite { what: "values", index, value });
            }
        }
        for (position, axis) in self.axes.iter().enumerate().skip(1) {
            current = reduce(&current, axis, shape[position], shape[position + 1..].iter().product());
        }
        context.append(&mut current);
        Ok(())
    }
}

/// Number of parts of an axis in all levels m to n together: 2^m + … + 2^n.
fn parts(axis: &RangeInclusive<u32>) -> usize {
    axis.clone().map(|exponent| 1usize << exponent).sum()
}

/// Averages a tensor over the parts of one axis, which has `length` positions. `inner` is the number of contiguous
/// values at each position.
fn reduce<T: Copy + Into<f64>>(values: &[T], axis: &RangeInclusive<u32>, length: usize, inner: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(values.len() / length * parts(axis));
    for outer in values.chunks_exact(length * inner) {
        for exponent in axis.clone() {
            let count = 1usize << exponent;
            for part in 0..count {
                let (from, to) = span(part, count, length);
                let (start, share) = (out.len(), 1.0 / (to - from) as f64);
                if inner == 1 {
                    out.push(sum(&outer[from..to]) * share);
                    continue;
                }
                out.extend(outer[from * inner..(from + 1) * inner].iter().map(|&value| value.into()));
                let sums = &mut out[start..];
                for row in outer[(from + 1) * inner..to * inner].chunks_exact(inner) {
                    sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value.into());
                }
                sums.iter_mut().for_each(|sum| *sum *= share);
            }
        }
    }
    out
}

/// Sums values in eight accumulators, which lets the CPU overlap the additions.
fn sum<T: Copy + Into<f64>>(values: &[T]) -> f64 {
    let mut sums = [0.0; 8];
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, &value)| *sum += value.into());
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&value| value.into()).sum::<f64>()
}

fn span(part: usize, count: usize, length: usize) -> (usize, usize) {
    if length < count {
        let nearest = (2 * part + 1) * length / (2 * count);
        (nearest, nearest + 1)
    } else {
        (part * length / count, (part + 1) * length / count)
    }
}

impl From<PyramidPool> for PoolState {
    fn from(pool: PyramidPool) -> Self {
        Self { axes: pool.axes.iter().map(|axis| (*axis.start(), *axis.end())).collect() }
    }
}

impl TryFrom<PoolState> for PyramidPool {
    type Error = Error;

    fn try_from(state: PoolState) -> Result<Self> {
        let axes: Vec<_> = state.axes.iter().map(|&(first, last)| first..=last).collect();
        Self::new(&axes)
    }
}
