//! Attention of packed rows, without padding.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::CudaDevice;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};

use super::keys::words;
use super::launch::{Argument, Grid, Numbers, copied, launch, room, suffix, tensor, with_numbers};
use crate::backend::cpu::Dropout;
use crate::tensors::Packing;

/// Four warps, as in the kernels.
const THREADS: u32 = 128;
/// Rows of a block in the forward and in the backward.
const FORWARD_ROWS: usize = 16;
const BACKWARD_ROWS: usize = 8;
/// The widest head.
pub(super) const WIDEST: usize = 128;

/// qkv (tokens, 3·heads·dim), of the heads that are kept, → contexts (tokens, heads·dim).
pub(super) struct Attention {
    offsets: Vec<u32>,
    ids: Vec<u32>,
    /// The numbers of the heads in the whole layer.
    heads: Vec<u32>,
    dim: usize,
    longest: usize,
    dropout: Option<Dropout>,
}

/// What the kernels read beside the rows.
struct OnCard([CudaStorage; 3]);

impl OnCard {
    fn arguments(&self) -> impl Iterator<Item = Argument<'_>> {
        self.0.iter().map(|storage| Argument::Numbers(Numbers::whole(storage)))
    }
}

impl Attention {
    pub(super) fn new(packing: &Packing, heads: &[usize], dim: usize, dropout: Option<Dropout>) -> Self {
        let spans = packing.spans();
        Self {
            offsets: spans.starts().iter().copied().chain([spans.tokens()]).map(|row| row as u32).collect(),
            ids: packing.sample_ids().iter().map(|id| *id as u32).collect(),
            heads: heads.iter().map(|head| *head as u32).collect(),
            dim,
            longest: spans.longest(),
            dropout,
        }
    }

    fn tokens(&self) -> usize {
        self.offsets.last().map_or(0, |end| *end as usize)
    }

    /// Numbers of a context row.
    fn inner(&self) -> usize {
        self.heads.len() * self.dim
    }

    fn on_card(&self, device: &CudaDevice) -> Result<OnCard> {
        Ok(OnCard([copied(device, &self.offsets)?, copied(device, &self.ids)?, copied(device, &self.heads)?]))
    }

    /// Runs a kernel whose first arguments are these.
    fn run(&self, device: &CudaDevice, name: &str, dtype: DType, rows: usize, first: Vec<Argument<'_>>) -> Result<()> {
        let on_card = self.on_card(device)?;
        let mut all = first;
        all.extend(on_card.arguments());
        all.extend([self.heads.len(), self.dim].map(|count| Argument::Whole(count as u32)));
        all.push(Argument::Real((1.0 / (self.dim as f64).sqrt()) as f32));
        all.extend(words(self.dropout));
        let parts = match self.dim {
            0..=32 => 1,
            33..=64 => 2,
            65..=WIDEST => 4,
            other => bail!("{name}: a head of {other} columns, at most {WIDEST}"),
        };
        let blocks = [self.longest.div_ceil(rows), self.heads.len(), self.ids.len()];
        let grid = Grid { blocks, threads: THREADS, shared_floats: 0 };
        launch(device, &format!("{name}_{}_{parts}", suffix(dtype)?), &grid, &all)
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "packed attention"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("this attention is CUDA's")
    }

    fn cuda_fwd(&self, qkv: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let expected = [self.tokens(), 3 * self.inner()];
        if layout.dims() != expected {
            bail!("packed attention: rows {:?}, expected {expected:?}", layout.dims());
        }
        let out = room(&qkv.device, qkv.dtype(), self.tokens() * self.inner())?;
        let first = vec![Argument::Numbers(Numbers::of(qkv, layout)?), Argument::Numbers(Numbers::whole(&out))];
        self.run(&qkv.device, "attention_forward", qkv.dtype(), FORWARD_ROWS, first)?;
        Ok((out, Shape::from((self.tokens(), self.inner()))))
    }

    fn bwd(&self, qkv: &Tensor, out: &Tensor, dout: &Tensor) -> Result<Option<Tensor>> {
        let (dtype, device, dout) = (qkv.dtype(), qkv.device().as_cuda_device()?, dout.contiguous()?);
        let dqkv = room(device, dtype, 3 * self.tokens() * self.inner())?;
        let statistics = room(device, DType::F32, 2 * self.tokens() * self.heads.len())?;
        with_numbers(&[&qkv.contiguous()?, out, &dout], |numbers| {
            let [qkv, out, dout] = [0, 1, 2].map(|index| Argument::Numbers(numbers[index]));
            let results = || [&dqkv, &statistics].map(|storage| Argument::Numbers(Numbers::whole(storage)));
            let first = [qkv, out, dout].into_iter().chain(results()).collect();
            self.run(device, "attention_backward_queries", dtype, BACKWARD_ROWS, first)?;
            let [qkv, dout] = [0, 2].map(|index| Argument::Numbers(numbers[index]));
            let first = [qkv, dout].into_iter().chain(results()).collect();
            self.run(device, "attention_backward_keys", dtype, BACKWARD_ROWS, first)
        })?;
        Ok(Some(tensor(dqkv, qkv.shape())))
    }
}
