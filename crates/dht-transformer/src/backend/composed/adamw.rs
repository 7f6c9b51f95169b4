//! AdamW step and gradient norms composed of candle's tensor operations, for devices without custom kernels.

use candle_core::{DType, Device, Tensor, Var};

use crate::backend::adamw::{Coefficients, Moments};
use crate::error::Result;
use crate::tensors::Gradient;

/// AdamW moments of a parameter, stored on the parameter's device.
#[derive(Debug, Clone)]
pub(crate) struct DeviceMoments {
    pub(crate) first: Tensor,
    pub(crate) second: Tensor,
}

impl DeviceMoments {
    /// Creates moments from the values of m and v. Without `values`, both are zeros.
    pub(crate) fn new(values: Option<[Vec<f32>; 2]>, shape: &[usize], device: &Device) -> Result<Self> {
        let tensor = |values| Tensor::from_vec(values, shape, device);
        let zeros = || Tensor::zeros(shape, DType::F32, device);
        Ok(match values {
            Some([first, second]) => Self { first: tensor(first)?, second: tensor(second)? },
            None => Self { first: zeros()?, second: zeros()? },
        })
    }

    pub(crate) fn values(&self) -> Result<[Vec<f32>; 2]> {
        Ok([self.first.flatten_all()?.to_vec1()?, self.second.flatten_all()?.to_vec1()?])
    }
}

impl Moments for DeviceMoments {
    fn step(&mut self, var: &Var, gradient: &Gradient, with: Coefficients) -> Result<()> {
        let gradient = (gradient.to_tensor(var)?.detach() * with.scale)?;
        let first = (&self.first + ((&gradient - &self.first)? * (1.0 - with.beta1))?)?;
        let second = ((&self.second * with.beta2)? + (gradient.sqr()? * (1.0 - with.beta2))?)?;
        let denominator = ((second.sqrt()? / with.root_correction)? + with.epsilon)?;
        let parameter = var.as_detached_tensor();
        let parameter = ((parameter * with.shrink)? - (&first * with.rate)?.div(&denominator)?)?;
        var.set(&parameter)?;
        *self = Self { first, second };
        Ok(())
    }

    fn values(&self) -> Result<[Vec<f32>; 2]> {
        self.values()
    }

    fn boxed(&self) -> Box<dyn Moments> {
        Box::new(self.clone())
    }
}

/// Computes Σ x² of each tensor. All results are copied in one transfer, to avoid a synchronisation for each tensor.
pub(crate) fn sums_of_squares(tensors: &[Tensor]) -> Result<Vec<f64>> {
    let sums = tensors.iter().map(|tensor| tensor.sqr()?.sum_all()).collect::<candle_core::Result<Vec<_>>>()?;
    Ok(Tensor::stack(&sums, 0)?.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
}
