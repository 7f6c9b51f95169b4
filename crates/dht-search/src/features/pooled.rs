//! Pooling of hidden states, and signals of an exit (entropy, margin, length). f32 tensors are converted to f64
//! contexts (input vectors of bandits) in this module only.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use dht_bandits::features::PyramidPool;
use dht_transformer::Hidden;
use rayon::prelude::*;

use super::pyramids::PoolingPyramid;
use crate::error::Result;

/// Matrix as a list of row vectors, one for each sample.
pub(crate) type Rows = Vec<Vec<f64>>;

impl PoolingPyramid {
    /// Builds the pooling operation of a pyramid, for hidden states of shape (tokens, hidden). The pyramid's numbers of
    /// parts must be powers of two.
    pub(crate) fn pool(&self) -> Result<PyramidPool> {
        let exponents = |parts: &[usize]| {
            let exponent = |part: Option<&usize>| part.map_or(0, |part| part.ilog2());
            exponent(parts.first())..=exponent(parts.last())
        };
        Ok(PyramidPool::grid(exponents(self.sequence_parts), exponents(self.embedding_parts))?)
    }
}

/// Pools the hidden states of each sample by N pooling pyramids. The result has the shape (N, samples, context). Only
/// pooled values are copied from a device to the host.
pub(crate) fn pooled<const N: usize>(hidden: &Hidden, pools: [&PyramidPool; N]) -> Result<[Rows; N]> {
    if !hidden.tensor().device().is_cpu()
        && let Some(contexts) = pooled_on_device(hidden, pools)?
    {
        return Ok(contexts);
    }
    pooled_on_host(hidden, pools)
}

fn pooled_on_host<const N: usize>(hidden: &Hidden, pools: [&PyramidPool; N]) -> Result<[Rows; N]> {
    let width = hidden.tensor().dims()[1];
    let rows: Vec<f32> = hidden.to_f32()?.flatten_all()?.to_vec1()?;
    let of_sample = |sample: usize| -> Result<[Vec<f64>; N]> {
        let range = hidden.spans().range(sample);
        let (rows, shape) = (&rows[range.start * width..range.end * width], [range.len(), width]);
        let mut contexts = [(); N].map(|()| Vec::new());
        for (pool, context) in pools.iter().zip(&mut contexts) {
            pool.pool_into(rows, &shape, context)?;
        }
        Ok(contexts)
    };
    let contexts = (0..hidden.samples()).into_par_iter().map(of_sample).collect::<Result<Vec<_>>>()?;
    let mut out = [(); N].map(|()| Vec::with_capacity(hidden.samples()));
    for contexts in contexts {
        out.iter_mut().zip(contexts).for_each(|(out, context)| out.push(context));
    }
    Ok(out)
}

/// Pools hidden states on the device in f32. Each pyramid takes two matrix products: (averages over tokens) · (hidden
/// states) · (averages over columns). The results of all pyramids are copied to the host together. Returns `None` if a
/// pooled value is not finite; the error then comes from pooling on the host.
fn pooled_on_device<const N: usize>(hidden: &Hidden, pools: [&PyramidPool; N]) -> Result<Option<[Rows; N]>> {
    let (spans, rows) = (hidden.spans(), hidden.to_f32()?.detach());
    let (device, width) = (rows.device(), rows.dims()[1]);
    let (mut contexts, mut sizes) = (Vec::new(), Vec::new());
    for pool in pools {
        let columns = pool.parts(1, width)?;
        let mut of_rows = Vec::new();
        for sample in 0..spans.samples() {
            let range = spans.range(sample);
            let parts = pool.parts(0, range.len())?;
            of_rows.extend(parts.into_iter().map(|part| range.start + part.start..range.start + part.end));
        }
        let means = averages(&of_rows, spans.tokens(), device)?.matmul(&rows)?; // (samples · parts, hidden)
        let means = means.matmul(&averages(&columns, width, device)?.t()?)?; // (samples · parts, parts of columns)
        sizes.push(of_rows.len() / spans.samples().max(1) * columns.len());
        contexts.push(means.flatten_all()?);
    }
    let numbers: Vec<f32> = Tensor::cat(&contexts, 0)?.to_vec1()?;
    if !numbers.iter().all(|number| number.is_finite()) {
        return Ok(None);
    }
    let (mut out, mut numbers) = ([(); N].map(|()| Vec::new()), numbers.into_iter().map(f64::from));
    for (out, size) in out.iter_mut().zip(sizes) {
        *out = (0..spans.samples()).map(|_| numbers.by_ref().take(size).collect()).collect();
    }
    Ok(Some(out))
}

/// Builds an averaging matrix of shape (ranges, length). Its product with a column of `length` values gives the mean
/// over each range. Only the ends of the ranges are copied to the device.
fn averages(ranges: &[Range<usize>], length: usize, device: &Device) -> Result<Tensor> {
    let column = |number: &dyn Fn(&Range<usize>) -> f32| {
        Tensor::from_vec(ranges.iter().map(number).collect::<Vec<_>>(), (ranges.len(), 1), device)
    };
    // Whole numbers up to 2²⁴ are exact in f32, which every device compares.
    let places = Tensor::arange(0u32, length as u32, device)?.to_dtype(DType::F32)?.unsqueeze(0)?;
    let after = places.broadcast_ge(&column(&|range| range.start as f32)?)?.to_dtype(DType::F32)?;
    let before = places.broadcast_lt(&column(&|range| range.end as f32)?)?.to_dtype(DType::F32)?;
    Ok((after * before)?.broadcast_mul(&column(&|range| 1.0 / range.len() as f32)?)?)
}

/// Length of a text in tokens at which the length signal (an input of the bandits), ln tokens / ln 512, is 1.
const LONG_TEXT: f64 = 512.0;

/// Number of [signals](signals_of) of a sample.
pub(crate) const SIGNALS: usize = 3;

/// Signals of a sample, which are inputs of bandits: entropy, margin and length. `logs` has the log-probability of each
/// of the C classes.
///
/// The entropy of the probabilities is divided by its maximum, ln C (FastBERT's uncertainty). The margin is the
/// difference between the probabilities of the two most probable classes. The length is ln tokens / ln 512.
pub(crate) fn signals_of(logs: &[f64], tokens: usize) -> Vec<f64> {
    let probabilities = || logs.iter().map(|log| log.exp());
    let entropy: f64 = logs.iter().zip(probabilities()).map(|(log, p)| -p * log).sum();
    let (mut first, mut second) = (0.0, 0.0);
    for p in probabilities() {
        if p > first {
            (first, second) = (p, first);
        } else if p > second {
            second = p;
        }
    }
    vec![entropy / (logs.len() as f64).ln(), first - second, (tokens as f64).ln() / LONG_TEXT.ln()]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dht_transformer::tensors::{Packing, Spans};

    use super::*;
    use crate::features::pyramids::PoolingPyramid;

    #[test]
    fn the_pools_have_the_papers_sizes() {
        for pyramid in [PoolingPyramid::DEPTH, PoolingPyramid::HEADS, PoolingPyramid::HEAD_SETS] {
            let values = vec![0f32; 5 * 32];
            assert_eq!(pyramid.pool().unwrap().pool(&values, &[5, 32]).unwrap().len(), pyramid.context_size());
        }
    }

    #[test]
    fn pooling_as_products_gives_the_contexts_of_the_cpu() {
        // Texts shorter than their parts, and columns that parts do not divide.
        let (lengths, width) = ([5, 1, 2, 9], 20);
        let spans = Spans::from_lengths(lengths).unwrap();
        let numbers: Vec<f32> = (0..spans.tokens() * width).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let packing = Arc::new(Packing::new(spans, vec![0, 1, 2, 3]).unwrap());
        let rows = |numbers: &[f32]| {
            let rows = Tensor::from_slice(numbers, (numbers.len() / width, width), &Device::Cpu).unwrap();
            Hidden::new(rows, packing.clone()).unwrap()
        };
        let pools = [PoolingPyramid::DEPTH, PoolingPyramid::HEAD_SETS].map(|pyramid| pyramid.pool().unwrap());
        let pools = [&pools[0], &pools[1]];
        let on_device = pooled_on_device(&rows(&numbers), pools).unwrap().unwrap();
        let on_host = pooled_on_host(&rows(&numbers), pools).unwrap();
        for (context, expected) in on_device.iter().flatten().zip(on_host.iter().flatten()) {
            assert_eq!(context.len(), expected.len());
            for (value, expected) in context.iter().zip(expected) {
                approx::assert_relative_eq!(value, expected, epsilon = 1e-6);
            }
        }
        let mut broken = numbers;
        broken[3] = f32::NAN;
        assert!(pooled_on_device(&rows(&broken), pools).unwrap().is_none());
    }

    #[test]
    fn signals_of_known_probabilities() {
        let rows = [signals_of(&[0.5f64, 0.25, 0.25].map(f64::ln), 1), signals_of(&[0.0, -100.0, -100.0], 8)];
        approx::assert_relative_eq!(rows[0][0], 1.5 * 2f64.ln() / 3f64.ln(), epsilon = 1e-6);
        approx::assert_relative_eq!(rows[0][1], 0.25, epsilon = 1e-6);
        assert_eq!(rows[0][2], 0.0);
        approx::assert_relative_eq!(rows[1][0], 0.0, epsilon = 1e-6);
        approx::assert_relative_eq!(rows[1][1], 1.0, epsilon = 1e-6);
        approx::assert_relative_eq!(rows[1][2], 1.0 / 3.0);
    }
}
