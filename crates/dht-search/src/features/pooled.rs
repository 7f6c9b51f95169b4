//! Pooled states and exit signals. This is the only place where f32 tensors become f64 contexts.

use candle_core::{DType, Tensor};
use dht_bandits::features::PyramidPool;
use dht_transformer::{Hidden, tensors::log_softmax};
use rayon::prelude::*;

use super::pyramids::PoolingPyramid;
use crate::error::Result;

/// One vector for each sample.
pub(crate) type Rows = Vec<Vec<f64>>;

impl PoolingPyramid {
    /// The pyramid as a pool over (tokens, hidden); numbers of parts are powers of two.
    pub(crate) fn pool(&self) -> Result<PyramidPool> {
        let exponents = |parts: &[usize]| {
            let exponent = |part: Option<&usize>| part.map_or(0, |part| part.ilog2());
            exponent(parts.first())..=exponent(parts.last())
        };
        Ok(PyramidPool::grid(exponents(self.sequence_parts), exponents(self.embedding_parts))?)
    }
}

/// The pooled states of each sample by N pools, (N, samples, context); reads the rows once.
pub(crate) fn pooled<const N: usize>(hidden: &Hidden, pools: [&PyramidPool; N]) -> Result<[Rows; N]> {
    let width = hidden.tensor().dims()[1];
    let rows: Vec<f32> = hidden.tensor().flatten_all()?.to_vec1()?;
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

/// The number of tokens at which the length signal is 1.
const LONG_TEXT: f64 = 512.0;

/// The number of [`signals`] of a sample.
pub(crate) const SIGNALS: usize = 3;

/// The [signals](signals_of) of each sample at an exit.
pub(crate) fn signals(logits: &Tensor, lengths: impl Iterator<Item = usize>) -> Result<Rows> {
    let logarithms: Vec<Vec<f64>> = log_softmax(&logits.detach())?.to_dtype(DType::F64)?.to_vec2()?;
    Ok(logarithms.iter().zip(lengths).map(|(row, length)| signals_of(row, length)).collect())
}

/// The signals of a sample from the ln p of its C classes: the entropy of the probabilities divided by its maximum ln C
/// (FastBERT's uncertainty), the margin between the two most probable classes, and ln tokens / ln 512.
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
    use candle_core::Device;

    use super::*;
    use crate::features::pyramids::{DEPTH_PYRAMID, HEAD_SET_PYRAMID, HEADS_PYRAMID};

    #[test]
    fn the_pools_have_the_papers_sizes() {
        for pyramid in [DEPTH_PYRAMID, HEADS_PYRAMID, HEAD_SET_PYRAMID] {
            let values = vec![0f32; 5 * 32];
            assert_eq!(pyramid.pool().unwrap().pool(&values, &[5, 32]).unwrap().len(), pyramid.context_size());
        }
    }

    #[test]
    fn signals_of_known_probabilities() {
        let logits = [0.5f32.ln(), 0.25f32.ln(), 0.25f32.ln(), 100.0, 0.0, 0.0];
        let logits = Tensor::from_slice(&logits, (2, 3), &Device::Cpu).unwrap();
        let rows = signals(&logits, [1, 8].into_iter()).unwrap();
        approx::assert_relative_eq!(rows[0][0], 1.5 * 2f64.ln() / 3f64.ln(), epsilon = 1e-6);
        approx::assert_relative_eq!(rows[0][1], 0.25, epsilon = 1e-6);
        assert_eq!(rows[0][2], 0.0);
        approx::assert_relative_eq!(rows[1][0], 0.0, epsilon = 1e-6);
        approx::assert_relative_eq!(rows[1][1], 1.0, epsilon = 1e-6);
        approx::assert_relative_eq!(rows[1][2], 1.0 / 3.0);
    }
}
