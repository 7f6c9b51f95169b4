//! CUDA attention on packed rows, that is, on the tokens of all samples without padding.

use candle_core::{CudaStorage, DType, Result, Tensor, bail};

use super::keys::{BatchKeys, words};
use super::launch::{Argument, Grid, Numbers, has_matrix_units, launch, room, suffix, tensor, with_numbers};
use crate::backend::cpu::Dropout;

/// Number of threads in a block: four warps, as the kernels assume.
const THREADS: u32 = 128;
/// Number of query rows that a block of the forward pass processes.
const FORWARD_ROWS: usize = 16;
const BACKWARD_ROWS: usize = 8;
const MATRIX_ROWS: usize = 64;
pub(super) const WIDEST: usize = 128;

/// Attention of one batch: the kernel arguments that the forward and backward passes share.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    pub(super) keys: BatchKeys,
    /// Numbers of the heads that run, a tensor of shape (heads).
    pub(super) heads: Tensor,
    pub(super) dim: usize,
    pub(super) longest: usize,
    pub(super) dropout: Option<Dropout>,
}

impl Attention {
    /// Launches an attention kernel that reads the tensors `read` and writes to `written`. The first tensor of `read`
    /// must have Q, K and V side by side in each row.
    fn run(&self, name: &str, rows: usize, read: &[&Tensor], written: &[&CudaStorage]) -> Result<()> {
        let Some(qkv) = read.first() else { bail!("{name} without rows") };
        let (dtype, device) = (qkv.dtype(), qkv.device().as_cuda_device()?);
        let parts = match self.dim {
            0..=32 => 1,
            33..=64 => 2,
            65..=WIDEST => 4,
            other => bail!("{name}: a head of {other} columns, at most {WIDEST}"),
        };
        let all: Vec<&Tensor> = read.iter().copied().chain([self.keys.tensor(), &self.heads]).collect();
        with_numbers(&all, |numbers| {
            let (rows_of, [batch, heads]) = numbers.split_at(read.len()) else { bail!("{name}: tensors are missing") };
            let matrix = dtype != DType::F32
                && self.dim.is_multiple_of(8)
                && rows_of.iter().all(|numbers| numbers.aligned(8))
                && has_matrix_units(device);
            let mut arguments: Vec<_> = rows_of.iter().copied().map(Argument::Numbers).collect();
            arguments.extend(written.iter().map(|storage| Argument::Numbers(Numbers::whole(storage))));
            arguments.extend([self.keys.offsets(*batch), self.keys.ids(*batch), Argument::Numbers(*heads)]);
            arguments.extend([self.heads.elem_count(), self.dim].map(|count| Argument::Whole(count as u32)));
            arguments.push(Argument::Real((1.0 / (self.dim as f64).sqrt()) as f32));
            arguments.extend(words(self.dropout));
            let (kind, rows) = if matrix { ("matrix_", MATRIX_ROWS) } else { ("", rows) };
            let blocks = [self.longest.div_ceil(rows), self.heads.elem_count(), self.keys.samples()];
            let grid = Grid { blocks, threads: THREADS, shared_floats: 0 };
            launch(device, &format!("{kind}{name}_{}_{parts}", suffix(dtype)?), &grid, &arguments)
        })
    }

    /// Computes the attention outputs (tokens, heads·dim). `qkv` (tokens, 3·heads·dim) has Q, K and V side by side; the
    /// bias (3·heads·dim) is added to it in f32. Also returns ln Σ exp(scores) for each row and head, which the
    /// backward pass needs.
    pub(super) fn forward(&self, [qkv, bias]: [&Tensor; 2]) -> Result<[Tensor; 2]> {
        let (device, heads) = (qkv.device().as_cuda_device()?, self.heads.elem_count());
        let (tokens, inner) = (self.keys.tokens(), heads * self.dim);
        if qkv.dims() != [tokens, 3 * inner] {
            bail!("packed attention: rows {:?}, expected {:?}", qkv.dims(), [tokens, 3 * inner]);
        }
        let (out, logs) = (room(device, qkv.dtype(), tokens * inner)?, room(device, DType::F32, tokens * heads)?);
        self.run("attention_forward", FORWARD_ROWS, &[qkv, bias], &[&out, &logs])?;
        Ok([tensor(out, (tokens, inner)), tensor(logs, (tokens, heads))])
    }

    /// Computes the gradient of `qkv`, which has Q, K and V side by side in each row. Also returns Σ dout·out for each
    /// row and head, where out is the attention output and dout its gradient. The sum over the rows of a sample is the
    /// gradient of a gate on the head.
    pub(super) fn backward(
        &self,
        [qkv, bias]: [&Tensor; 2],
        [out, logs]: [&Tensor; 2],
        dout: &Tensor,
    ) -> Result<[Tensor; 2]> {
        let (dtype, device) = (qkv.dtype(), qkv.device().as_cuda_device()?);
        let dqkv = room(device, dtype, qkv.elem_count())?;
        let deltas = room(device, DType::F32, logs.elem_count())?;
        // The order of arguments differs between the two kernels: qkv, bias, out, dout, dqkv, logs, deltas; and qkv,
        // bias, dout, dqkv, logs, deltas.
        let dqkv = tensor(dqkv, qkv.shape());
        self.run("attention_backward_queries", BACKWARD_ROWS, &[qkv, bias, out, dout, &dqkv, logs], &[&deltas])?;
        let deltas = tensor(deltas, logs.shape());
        self.run("attention_backward_keys", BACKWARD_ROWS, &[qkv, bias, dout, &dqkv, logs, &deltas], &[])?;
        Ok([dqkv, deltas])
    }
}
