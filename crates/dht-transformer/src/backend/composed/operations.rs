//! Differentiable operations on rows of hidden states, run by candle or by a device's custom kernels.

use candle_core::{D, DType, Device, Tensor, Var};

use super::kernels::{Kernels, NoKernels};
use crate::backend::cpu::Dropout;
use crate::backend::parameters::LinearParameters;
use crate::config::Activation;
use crate::error::Result;
use crate::tensors::{Packing, Parameter, wide};

/// Operations from which layers are composed on devices without fused operations. The tests of the fused operations
/// compare with them.
#[derive(Clone, Copy)]
pub(crate) struct Operations {
    pub(super) kernels: &'static dyn Kernels,
}

impl Operations {
    /// Operations that only candle computes, without custom kernels.
    pub(crate) const CANDLE: Self = Self { kernels: &NoKernels };

    /// Creates operations that use `kernels` where they support the arguments, and candle otherwise.
    #[cfg(feature = "cuda")]
    pub(crate) fn with(kernels: &'static dyn Kernels) -> Self {
        Self { kernels }
    }

    /// Computes the layer norm of each row in the precision of `x`. Sums are in at least single precision.
    pub(crate) fn layer_norm(self, x: &Tensor, scale: &Parameter, shift: &Parameter, epsilon: f64) -> Result<Tensor> {
        let (scale, shift) = (weight(scale), weight(shift));
        if let Some(y) = self.kernels.layer_norm(x, &scale, &shift, epsilon)? {
            return Ok(y);
        }
        let z = wide(x)?;
        let centred = z.broadcast_sub(&z.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let unit = centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?;
        let y = unit.broadcast_mul(&scale.to_dtype(z.dtype())?)?.broadcast_add(&shift.to_dtype(z.dtype())?)?;
        Ok(y.to_dtype(x.dtype())?)
    }

    pub(super) fn product_and_bias(self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let u = product(x, weight)?;
        if let Some(y) = self.kernels.add_bias(&u, bias)? {
            return Ok(y);
        }
        // The gradient of b is a sum over all rows, which needs single precision.
        let y = wide(&u)?;
        Ok(y.broadcast_add(&bias.to_dtype(y.dtype())?)?.to_dtype(u.dtype())?)
    }

    /// Computes x·Wᵀ + b in the precision of `x`.
    pub(super) fn linear(self, x: &Tensor, parameters: &LinearParameters) -> Result<Tensor> {
        self.product_and_bias(x, &weight(&parameters.weight), &weight(&parameters.bias))
    }

    /// Computes x·Wᵀ + b in single precision.
    pub(crate) fn linear_in_f32(self, x: &Tensor, parameters: &LinearParameters) -> Result<Tensor> {
        self.linear(&x.to_dtype(DType::F32)?, parameters)
    }

    pub(super) fn select_rows(self, matrix: &Tensor, numbers: &[u32]) -> Result<Tensor> {
        if let Some(rows) = self.kernels.select_rows(matrix, numbers)? {
            return Ok(rows);
        }
        Ok(matrix.index_select(&indices(numbers.to_vec(), matrix.device())?, 0)?)
    }

    /// Applies dropout to the rows of x. The mask is the same on every device: a custom kernel computes it, or the CPU
    /// computes it and copies it to the device.
    pub(super) fn drop_rows(self, x: &Tensor, packing: &Packing, dropout: Option<Dropout>) -> Result<Tensor> {
        let Some(dropout) = dropout else { return Ok(x.clone()) };
        if let Some(y) = self.kernels.drop_rows(x, packing, dropout)? {
            return Ok(y);
        }
        let (rows, width) = x.dims2()?;
        let mut mask = vec![1f32; rows * width];
        let keys = packing.row_samples().iter().zip(packing.row_tokens());
        for (row, (sample, token)) in mask.chunks_exact_mut(width).zip(keys) {
            dropout.apply(*sample, *token as usize, 0, row);
        }
        Ok((x * Tensor::from_vec(mask, (rows, width), x.device())?.to_dtype(x.dtype())?)?)
    }
}

impl Activation {
    pub(crate) fn apply(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Gelu => x.gelu_erf()?,
            Self::GeluNew => x.gelu()?,
            Self::Relu => x.relu()?,
        })
    }
}

/// Tensor of a parameter for use in a forward pass. It is part of candle's graph, or detached if the parameter is
/// frozen.
pub(super) fn weight(parameter: &Parameter) -> Tensor {
    let var: &Var = parameter.var();
    if parameter.is_frozen() { var.as_detached_tensor() } else { var.as_tensor().clone() }
}

pub(super) fn indices(indices: Vec<u32>, device: &Device) -> Result<Tensor> {
    let count = indices.len();
    Ok(Tensor::from_vec(indices, count, device)?)
}

/// Computes x·Wᵀ in the precision of `x`.
pub(super) fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (x, transposed) = operands(x, weight)?;
    Ok(x.matmul(&transposed)?)
}

/// Converts the factors x and Wᵀ to memory layouts that candle's product supports on CUDA: contiguous rows, or the
/// transpose of contiguous rows. A weight that is a view of a wider matrix's first columns is copied.
fn operands(x: &Tensor, weight: &Tensor) -> Result<(Tensor, Tensor)> {
    Ok((x.contiguous()?, weight.to_dtype(x.dtype())?.contiguous()?.t()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrowed_weight_reaches_the_product_without_row_gaps() {
        let whole = Tensor::arange(0f32, 24.0, &Device::Cpu).unwrap().reshape((4, 6)).unwrap();
        let (x, weight) = (whole.narrow(1, 1, 3).unwrap(), whole.narrow(1, 0, 3).unwrap());
        let (rows, transposed) = operands(&x, &weight).unwrap();
        // candle's rule: the last stride is 1 and the one before it the width, or the other way round.
        assert_eq!((rows.stride(), transposed.stride()), (&[3, 1][..], &[1, 3][..]));
        assert_eq!(transposed.dims(), [3, 4]);
        let actual: Vec<Vec<f32>> = product(&x, &weight).unwrap().to_vec2().unwrap();
        let expected: Vec<Vec<f32>> = x.matmul(&weight.t().unwrap()).unwrap().to_vec2().unwrap();
        assert_eq!(actual, expected);
    }
}
