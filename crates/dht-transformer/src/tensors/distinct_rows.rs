//! Selection of distinct rows from a matrix, with a fast gradient.

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, MetalStorage, Result, Shape, Tensor};

/// Selects the rows of x whose indices are in `numbers`: shape (numbers, columns). The indices may have any order, but
/// must not repeat. The gradient of x has the gradients of the selected rows, and zeros elsewhere.
///
/// This function replaces candle's `index_select`, whose backward pass adds up one row after another. On a GPU that
/// takes as long as a whole layer.
pub(super) fn distinct_rows(x: &Tensor, numbers: Vec<u32>) -> Result<Tensor> {
    x.contiguous()?.apply_op1(DistinctRows(numbers))
}

struct DistinctRows(Vec<u32>);

impl DistinctRows {
    fn select<S>(&self, x: &S, layout: &Layout) -> Result<(S, Shape)>
    where
        S: BackendStorage,
        S::Device: BackendDevice<Storage = S>,
    {
        let count = self.0.len();
        let numbers = x.device().storage_from_slice(&self.0)?;
        let rows = x.index_select(&numbers, layout, &Layout::contiguous(count), 0)?;
        Ok((rows, Shape::from((count, layout.shape().dims2()?.1))))
    }
}

impl CustomOp1 for DistinctRows {
    fn name(&self) -> &'static str {
        "distinct rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.select(x, layout)
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.select(x, layout)
    }

    fn metal_fwd(&self, x: &MetalStorage, layout: &Layout) -> Result<(MetalStorage, Shape)> {
        self.select(x, layout)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (rows, columns) = x.dims2()?;
        let count = self.0.len();
        // Rows that were not selected read the row of zeros after the last row.
        let mut places = vec![count as u32; rows];
        for (place, row) in self.0.iter().enumerate() {
            places[*row as usize] = place as u32;
        }
        let zeros = Tensor::zeros((1, columns), gradient.dtype(), gradient.device())?;
        let gradient = if count == rows { gradient.contiguous()? } else { Tensor::cat(&[gradient, &zeros], 0)? };
        Ok(Some(gradient.index_select(&Tensor::new(places, gradient.device())?, 0)?))
    }
}
