//! Gradient clipping by the norm over all parameters.

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use crate::backend::select;
use crate::error::Result;
use crate::tensors::{Gradient, Gradients, ParameterId};

/// Number of values in a chunk. The sum of squares is computed for each chunk separately, so that the order of
/// additions does not depend on the number of threads.
const CHUNK: usize = 16_384;
/// Number of partial sums in a chunk of values, so that the loop over the chunk vectorises.
const LANES: usize = 16;

impl Gradients {
    /// Scales all gradients so that their common Euclidean norm is at most `max_norm`. Returns the norm before scaling.
    ///
    /// Each gradient is multiplied by min(1, max_norm / (norm + 1e-6)), as in PyTorch's `clip_grad_norm_`. The norm is
    /// summed in f64 over fixed chunks (in f32 for gradients on other devices), so that it is the same for any number
    /// of threads. If the norm is NaN or infinite, the gradients do not change, and the step should be skipped.
    /// [`AdamW::step`](crate::train::optim::AdamW::step) clips gradients and skips such steps itself, so this method is
    /// only needed with another optimiser.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if the device fails.
    pub fn clip_by_global_norm(&mut self, max_norm: f64) -> Result<f64> {
        let norm = global_norm(self.iter())?.norm;
        let scale = clip_scale(norm, max_norm);
        if scale < 1.0 {
            for (_, gradient) in self.iter_mut() {
                match gradient {
                    Gradient::Dense(values) | Gradient::Rows { values, .. } => {
                        values.par_chunks_mut(CHUNK).for_each(|chunk| {
                            chunk.iter_mut().for_each(|value| *value *= scale as f32);
                        });
                    }
                    Gradient::Device(tensor) => *tensor = (&*tensor * scale)?,
                }
            }
        }
        Ok(norm)
    }
}

/// Factor that scales a gradient with the norm `norm` to at most `max_norm`. It is 1 if the norm is not finite.
pub(crate) fn clip_scale(norm: f64, max_norm: f64) -> f64 {
    if norm.is_finite() { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

/// Euclidean norm of the gradients of several parameters together.
pub(crate) struct GlobalNorm {
    pub(crate) norm: f64,
    /// First parameter whose gradient has a NaN or infinite value.
    pub(crate) first_non_finite: Option<ParameterId>,
}

pub(crate) fn global_norm<'a>(gradients: impl Iterator<Item = (ParameterId, &'a Gradient)>) -> Result<GlobalNorm> {
    let mut squares = Vec::new();
    let mut on_device = Vec::new();
    for (id, gradient) in gradients {
        match gradient {
            Gradient::Dense(values) | Gradient::Rows { values, .. } => squares.push((id, sum_of_squares(values))),
            Gradient::Device(tensor) => {
                on_device.push((squares.len(), tensor.to_dtype(DType::F32)?));
                squares.push((id, 0.0));
            }
        }
    }
    if !on_device.is_empty() {
        let (places, tensors): (Vec<usize>, Vec<Tensor>) = on_device.into_iter().unzip();
        let sums = select(tensors[0].device()).sums_of_squares(&tensors)?;
        for (place, sum) in places.into_iter().zip(sums) {
            squares[place].1 = sum;
        }
    }
    // f32 squared cannot overflow f64, so a sum on the CPU is finite exactly if all its terms are.
    Ok(GlobalNorm {
        norm: squares.iter().map(|(_, square)| square).sum::<f64>().sqrt(),
        first_non_finite: squares.iter().find(|(_, square)| !square.is_finite()).map(|(id, _)| *id),
    })
}

fn sum_of_squares(values: &[f32]) -> f64 {
    if values.len() <= CHUNK {
        return chunk_sum(values);
    }
    let sums: Vec<f64> = values.par_chunks(CHUNK).map(chunk_sum).collect();
    sums.iter().sum()
}

fn chunk_sum(values: &[f32]) -> f64 {
    let _span = tracing::trace_span!("gradient norm").entered();
    pulp::Arch::new().dispatch(SumOfSquares(values))
}

struct SumOfSquares<'a>(&'a [f32]);

impl pulp::WithSimd for SumOfSquares<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> f64 {
        let mut lanes = [0.0_f64; LANES];
        let (groups, rest) = self.0.as_chunks::<LANES>();
        for group in groups {
            for (lane, &value) in lanes.iter_mut().zip(group) {
                *lane += f64::from(value) * f64::from(value);
            }
        }
        for (lane, &value) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(value) * f64::from(value);
        }
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use candle_core::Device;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 37 % 101) as f32 - 50.0) / 7.0).collect()
    }

    fn some_of_each_kind() -> Gradients {
        let mut gradients = Gradients::empty(5);
        gradients.set(ParameterId(0), Gradient::Dense(values(100_003)));
        gradients.set(ParameterId(2), Gradient::Rows { rows: vec![1, 4], values: values(14) });
        let tensor = Tensor::from_vec(values(12), (3, 4), &Device::Cpu).unwrap();
        gradients.set(ParameterId(4), Gradient::Device(tensor));
        gradients
    }

    fn flat(gradients: &Gradients) -> Vec<f32> {
        let one = |gradient: &Gradient| match gradient {
            Gradient::Dense(values) | Gradient::Rows { values, .. } => values.clone(),
            Gradient::Device(tensor) => tensor.flatten_all().unwrap().to_vec1().unwrap(),
        };
        gradients.iter().flat_map(|(_, gradient)| one(gradient)).collect()
    }

    #[test]
    fn the_norm_is_global_and_clipping_keeps_the_direction() {
        let mut gradients = some_of_each_kind();
        let before = flat(&gradients);
        let naive = before.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        assert_relative_eq!(gradients.clip_by_global_norm(2.0).unwrap(), naive, max_relative = 1e-9);
        let after = flat(&gradients);
        for (after, before) in after.iter().zip(&before) {
            assert_relative_eq!(f64::from(*after), f64::from(*before) * 2.0 / naive, max_relative = 1e-6);
        }
        assert_relative_eq!(gradients.clip_by_global_norm(2.0).unwrap(), 2.0, max_relative = 1e-6);
    }

    #[test]
    fn a_short_gradient_is_left_alone() {
        let mut gradients = some_of_each_kind();
        gradients.clip_by_global_norm(1e9).unwrap();
        assert_eq!(flat(&gradients), flat(&some_of_each_kind()));
    }

    #[test]
    fn a_non_finite_norm_changes_nothing_and_names_the_parameter() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut gradients = some_of_each_kind();
            gradients.set(ParameterId(3), Gradient::Dense(vec![1.0, bad]));
            assert!(!gradients.clip_by_global_norm(1.0).unwrap().is_finite());
            assert_eq!(global_norm(gradients.iter()).unwrap().first_non_finite, Some(ParameterId(3)));
            gradients.set(ParameterId(3), Gradient::Dense(vec![1.0, 1.0]));
            let untouched = flat(&some_of_each_kind());
            assert_eq!(flat(&gradients)[..untouched.len() - 12], untouched[..untouched.len() - 12]);
        }
        let finite = some_of_each_kind();
        assert_eq!(global_norm(finite.iter()).unwrap().first_non_finite, None);
    }

    #[test]
    fn huge_finite_gradients_have_a_finite_norm() {
        let mut gradients = Gradients::empty(1);
        gradients.set(ParameterId(0), Gradient::Dense(vec![f32::MAX; 1_000]));
        assert!(gradients.clip_by_global_norm(1.0).unwrap().is_finite());
    }

    #[test]
    fn the_norm_has_the_same_bits_for_any_number_of_threads() {
        let norm = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| some_of_each_kind().clip_by_global_norm(1.0).unwrap().to_bits())
        };
        assert_eq!(norm(1), norm(3));
    }
}
