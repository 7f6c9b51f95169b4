//! Insertion of precomputed results into candle's graph, with a backward function.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CudaStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::launch::tensor;

/// Backward function of an operation: maps the gradient of the result to the gradients of up to three arguments.
type Backward = Box<dyn Fn(&Tensor) -> Result<[Option<Tensor>; 3]> + Send + Sync>;

/// Operation in candle's graph that returns a result computed before. Custom kernels must run before candle applies the
/// operation: they lock the arguments, and candle holds the same locks while it applies an operation.
struct Computed {
    name: &'static str,
    result: Mutex<Option<CudaStorage>>,
    shape: Shape,
    backward: Backward,
}

/// Adds a precomputed result of one to three arguments to candle's graph, with its backward function. If no argument
/// needs a gradient, the result is a detached tensor.
pub(super) fn in_graph(
    name: &'static str,
    (result, shape): (CudaStorage, impl Into<Shape>),
    arguments: &[&Tensor],
    backward: impl Fn(&Tensor) -> Result<[Option<Tensor>; 3]> + Send + Sync + 'static,
) -> Result<Tensor> {
    let shape = shape.into();
    let Some(first) = arguments.iter().find(|argument| argument.track_op()) else { return Ok(tensor(result, shape)) };
    // candle's operation takes three arguments. A missing one is replaced by the first argument and gets no gradient.
    let of = |index: usize| arguments.get(index).unwrap_or(first);
    let op = Computed { name, result: Mutex::new(Some(result)), shape, backward: Box::new(backward) };
    of(0).apply_op3(of(1), of(2), op)
}

impl CustomOp3 for Computed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("{} is CUDA's", self.name)
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        match self.result.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(result) => Ok((result, self.shape.clone())),
            None => bail!("{} was asked for its result twice", self.name),
        }
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [first, second, third] = (self.backward)(&gradient.contiguous()?)?;
        Ok((first, second, third))
    }
}
