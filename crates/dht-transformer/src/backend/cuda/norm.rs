//! y = LayerNorm(x + dropout(h + bias)) and rows times their dropout mask.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::CudaDevice;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail,
};

use super::keys::RowDropout;
use super::launch::{Argument, Grid, Numbers, launch, room, suffix, tensor, with_numbers};

/// Threads that have a row.
const THREADS: u32 = 128;
/// Blocks that share the rows of a backward, each with sums of its own.
const BLOCKS: usize = 264;
/// The backward keeps four rows in the 48 kB that a block may share.
pub(super) const WIDEST: usize = 3_000;

/// The norm of rows h (rows, columns), with a residual x or without; the weights are (3, columns): bias, γ, β, in f32.
pub(super) struct Norm {
    pub(super) epsilon: f64,
    pub(super) dropout: RowDropout,
}

impl Norm {
    fn forward(
        &self,
        device: &CudaDevice,
        [x, h, weights]: [Option<Numbers<'_>>; 3],
        dims: &[usize],
        dtype: DType,
    ) -> Result<(CudaStorage, Shape)> {
        let &[rows, columns] = dims else { bail!("a norm takes rows and columns, not {dims:?}") };
        let (y, keys) = (room(device, dtype, rows * columns)?, self.dropout.keys(device)?);
        let [samples, tokens] = keys.arguments();
        let mut arguments = [x, h, weights].map(optional).into_iter().collect::<Vec<_>>();
        arguments.push(Argument::Numbers(Numbers::whole(&y)));
        arguments.extend([samples, tokens, Argument::Whole(columns as u32), Argument::Real(self.epsilon as f32)]);
        arguments.extend(self.dropout.words());
        let grid = Grid { blocks: [rows, 1, 1], threads: THREADS, shared_floats: columns };
        launch(device, &format!("norm_forward_{}", suffix(dtype)?), &grid, &arguments)?;
        Ok((y, Shape::from((rows, columns))))
    }

    /// The gradients of x, h and the weights.
    fn backward(&self, x: Option<&Tensor>, h: &Tensor, weights: &Tensor, dy: &Tensor) -> Result<[Tensor; 3]> {
        let ((rows, columns), dtype, device) = (h.dims2()?, h.dtype(), h.device().as_cuda_device()?);
        let (h, dy) = (h.contiguous()?, dy.contiguous()?);
        let x = x.map(Tensor::contiguous).transpose()?;
        let blocks = BLOCKS.min(rows.max(1));
        let (dz, dh) = (room(device, dtype, rows * columns)?, room(device, dtype, rows * columns)?);
        let (parts, sums) = (room(device, DType::F32, blocks * 3 * columns)?, room(device, DType::F32, 3 * columns)?);
        let keys = self.dropout.keys(device)?;
        let tensors: Vec<&Tensor> = [&h, weights, &dy].into_iter().chain(&x).collect();
        with_numbers(&tensors, |numbers| {
            let given = [numbers.get(3).copied(), Some(numbers[0]), Some(numbers[1]), Some(numbers[2])];
            let mut arguments = given.map(optional).into_iter().collect::<Vec<_>>();
            arguments.extend([&dz, &dh, &parts].map(|storage| Argument::Numbers(Numbers::whole(storage))));
            arguments.extend(keys.arguments());
            arguments.extend([rows, columns].map(|count| Argument::Whole(count as u32)));
            arguments.push(Argument::Real(self.epsilon as f32));
            arguments.extend(self.dropout.words());
            let grid = Grid { blocks: [blocks, 1, 1], threads: THREADS, shared_floats: 4 * columns };
            launch(device, &format!("norm_backward_{}", suffix(dtype)?), &grid, &arguments)
        })?;
        column_sums(device, &parts, &sums, blocks, 3 * columns)?;
        let shape = (rows, columns);
        Ok([tensor(dz, shape), tensor(dh, shape), tensor(sums, (3, columns))])
    }
}

fn optional(numbers: Option<Numbers<'_>>) -> Argument<'_> {
    numbers.map_or(Argument::Absent, Argument::Numbers)
}

/// (rows, columns) → (columns), in f32.
pub(super) fn column_sums(
    device: &CudaDevice,
    parts: &CudaStorage,
    sums: &CudaStorage,
    rows: usize,
    columns: usize,
) -> Result<()> {
    let both = [parts, sums].map(|storage| Argument::Numbers(Numbers::whole(storage)));
    let sizes = [rows, columns].map(|count| Argument::Whole(count as u32));
    let arguments: Vec<_> = both.into_iter().chain(sizes).collect();
    let grid = Grid { blocks: [columns.div_ceil(THREADS as usize), 1, 1], threads: THREADS, shared_floats: 0 };
    launch(device, "column_sums", &grid, &arguments)
}

/// Without a residual: h and the weights.
impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("this norm is CUDA's")
    }

    fn cuda_fwd(
        &self,
        h: &CudaStorage,
        h_layout: &Layout,
        weights: &CudaStorage,
        layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let numbers = [None, Some(Numbers::of(h, h_layout)?), Some(Numbers::of(weights, layout)?)];
        self.forward(&h.device, numbers, h_layout.dims(), h.dtype())
    }

    fn bwd(&self, h: &Tensor, weights: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [_, dh, dweights] = self.backward(None, h, weights, dy)?;
        Ok((Some(dh), Some(dweights)))
    }
}

/// With a residual: x, h and the weights.
impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "residual and norm"
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
        bail!("this norm is CUDA's")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        h: &CudaStorage,
        h_layout: &Layout,
        weights: &CudaStorage,
        layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let numbers = [Numbers::of(x, x_layout)?, Numbers::of(h, h_layout)?, Numbers::of(weights, layout)?].map(Some);
        self.forward(&h.device, numbers, h_layout.dims(), h.dtype())
    }

    fn bwd(
        &self,
        x: &Tensor,
        h: &Tensor,
        weights: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dz, dh, dweights] = self.backward(Some(x), h, weights, dy)?;
        Ok((Some(dz), Some(dh), Some(dweights)))
    }
}

/// Rows times their mask; the gradient takes the same way.
pub(super) struct DropRows(pub(super) RowDropout);

impl DropRows {
    fn run(&self, device: &CudaDevice, x: Numbers<'_>, dims: &[usize], dtype: DType) -> Result<CudaStorage> {
        let &[rows, columns] = dims else { bail!("dropout takes rows and columns, not {dims:?}") };
        let (y, keys) = (room(device, dtype, rows * columns)?, self.0.keys(device)?);
        let mut arguments = vec![Argument::Numbers(x), Argument::Numbers(Numbers::whole(&y))];
        arguments.extend(keys.arguments());
        arguments.push(Argument::Whole(columns as u32));
        arguments.extend(self.0.words());
        let grid = Grid { blocks: [rows, 1, 1], threads: THREADS, shared_floats: 0 };
        launch(device, &format!("drop_rows_{}", suffix(dtype)?), &grid, &arguments)?;
        Ok(y)
    }
}

impl CustomOp1 for DropRows {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("this dropout is CUDA's")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let y = self.run(&x.device, Numbers::of(x, layout)?, layout.dims(), x.dtype())?;
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (dy, device) = (dy.contiguous()?, x.device().as_cuda_device()?);
        let dx = with_numbers(&[&dy], |numbers| self.run(device, numbers[0], dy.dims(), dy.dtype()))?;
        Ok(Some(tensor(dx, x.shape())))
    }
}
