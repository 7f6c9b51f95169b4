//! AdamW step of one parameter as a single CUDA kernel.

use candle_core::{DType, Device, Tensor, Var, bail};

use super::launch::{Argument, Grid, Numbers, launch, room, tensor, with_numbers};
use crate::backend::adamw::{Coefficients, Moments, Single};
use crate::backend::composed::DeviceMoments;
use crate::error::Result;
use crate::tensors::Gradient;

const THREADS: u32 = 256;
const BLOCKS: usize = 1_056;

#[derive(Debug, Clone)]
pub(super) struct CudaMoments(DeviceMoments);

impl CudaMoments {
    /// Creates moments from the values of m and v. Without `values`, both are zeros.
    pub(super) fn new(values: Option<[Vec<f32>; 2]>, shape: &[usize], device: &Device) -> Result<Self> {
        Ok(Self(DeviceMoments::new(values, shape, device)?))
    }
}

impl Moments for CudaMoments {
    fn step(&mut self, var: &Var, gradient: &Gradient, with: Coefficients) -> Result<()> {
        let gradient = gradient.to_tensor(var)?.contiguous()?;
        let [first, second] = step([var, &self.0.first, &self.0.second, &gradient], with.into())?;
        self.0 = DeviceMoments { first, second };
        Ok(())
    }

    fn values(&self) -> Result<[Vec<f32>; 2]> {
        self.0.values()
    }

    fn boxed(&self) -> Box<dyn Moments> {
        Box::new(self.clone())
    }
}

/// Updates a parameter in place and returns its new moments. All tensors are contiguous, in f32 and of the same shape.
fn step([parameter, first, second, gradient]: [&Tensor; 4], with: Single) -> candle_core::Result<[Tensor; 2]> {
    let (count, device) = (parameter.elem_count(), parameter.device().as_cuda_device()?);
    let tensors = [parameter, first, second, gradient];
    if tensors.iter().any(|tensor| tensor.shape() != parameter.shape() || tensor.dtype() != DType::F32) {
        bail!("adamw takes a parameter, two moments and a gradient of one shape in f32");
    }
    let Single { shrink, scale, first_weight, second_decay, second_weight, root_correction, epsilon, rate } = with;
    let constants = [shrink, scale, first_weight, second_decay, second_weight, root_correction, epsilon, rate];
    let (next_first, next_second) = (room(device, DType::F32, count)?, room(device, DType::F32, count)?);
    with_numbers(&tensors, |numbers| {
        let mut arguments: Vec<_> = numbers.iter().copied().map(Argument::Numbers).collect();
        arguments.extend([&next_first, &next_second].map(|storage| Argument::Numbers(Numbers::whole(storage))));
        arguments.push(Argument::Count(count));
        arguments.extend(constants.map(Argument::Real));
        let blocks = count.div_ceil(THREADS as usize).min(BLOCKS);
        launch(device, "adamw", &Grid { blocks: [blocks, 1, 1], threads: THREADS, shared_floats: 0 }, &arguments)
    })?;
    Ok([tensor(next_first, parameter.shape()), tensor(next_second, parameter.shape())])
}
