//! Consecutive sublayers of the encoder as one fused CPU operation.
//!
//! For each node of its graph, candle allocates zeros and adds the gradients to them. A single node for several layers
//! adds the gradients of its residual branches internally and avoids most of this work.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::apply::apply;
use super::slices::{joined, nothing_saved, rows};
use super::sublayer::{PackedSublayer, Sublayer};
use crate::backend::context::ForwardContext;
use crate::backend::cpu::kernels::{RequestedGradients, RowGradients, SavedActivations, Scratch};
use crate::backend::cpu::packed_weights::{Direction, PackedWeights};
use crate::tensors::{Packing, RowBlock, slice, with_slices};

/// Maximum number of tokens in a training batch for which the context caches packed weights. Larger batches pack them
/// again in each pass.
const SMALL_RUN: usize = 512;
/// Maximum number of multiply-adds for which a pass runs on one thread. For less work, waking a second thread costs
/// more than it saves. With a higher limit, idle threads fall asleep between two layers and must be woken, which is
/// slower.
const ONE_THREAD: usize = 1 << 18;

thread_local! {
    /// Buffers in which this thread processed its last block of rows. The next block reuses them, since new buffers for
    /// each layer would cause page faults.
    static SCRATCH: RefCell<Scratch<f32>> = RefCell::default();
}

/// Saved activations of one block of rows. Each entry belongs to a sublayer: its input, and the values that its
/// backward pass needs.
type BlockActivations = Vec<(Vec<f32>, SavedActivations<f32>)>;

/// Input of a sublayer and the gradients of its rows, for one block. The gradients of the sublayer's weights are
/// computed from them.
type BlockGradients = (Vec<f32>, RowGradients<f32>);

/// Fused operation that runs consecutive sublayers of the encoder.
pub(crate) struct LayersOp {
    sublayers: Vec<Box<dyn Sublayer>>,
    packing: Arc<Packing>,
    ctx: ForwardContext,
    activations: Mutex<Option<Vec<BlockActivations>>>,
}

impl LayersOp {
    /// Runs the sublayers one after the other, (tokens, hidden) → (tokens, hidden). Without sublayers it returns `x`.
    pub(crate) fn run(
        x: &Tensor,
        packing: &Arc<Packing>,
        sublayers: Vec<Box<dyn Sublayer>>,
        ctx: &ForwardContext,
    ) -> crate::error::Result<Tensor> {
        if sublayers.is_empty() {
            return Ok(x.clone());
        }
        let trains = sublayers.iter().any(|sublayer| sublayer.trains());
        let op = Self { sublayers, packing: packing.clone(), ctx: ctx.clone(), activations: Mutex::new(None) };
        apply(x, op, trains, ctx)
    }

    /// Calls `f` with a cache of packed weights. In inference and for small batches it is the cache of the forward
    /// context. In training on large batches it is a temporary cache, to save memory.
    fn with_packed_weights<R>(&self, f: impl FnOnce(&PackedWeights) -> R) -> R {
        let keep = !self.ctx.is_training() || self.packing.spans().tokens() <= SMALL_RUN;
        if keep { f(self.ctx.packed_weights()) } else { f(&PackedWeights::default()) }
    }

    /// Runs all sublayers for one block of rows. Returns the output rows, and in training also the saved activations.
    fn forward(
        &self,
        first: &[f32],
        block: &RowBlock,
        packed_weights: &[PackedSublayer],
        chunk_rows: usize,
    ) -> (Vec<f32>, BlockActivations) {
        // While a thread waits inside of this function, it may begin another block. That block finds no buffers and
        // creates new ones.
        let (mut x, mut activations, mut scratch) = (None, Vec::new(), SCRATCH.take());
        let keep = self.ctx.is_training();
        for (sublayer, packed) in self.sublayers.iter().zip(packed_weights) {
            let input = x.as_deref().unwrap_or(first);
            let (y, saved) = sublayer.forward(packed, input, (&self.packing, block), (keep, chunk_rows), &mut scratch);
            match (saved, x.replace(y)) {
                (Some(saved), input) => activations.push((input.unwrap_or_else(|| first.to_vec()), saved)),
                (None, input) => scratch.results.extend(input),
            }
        }
        SCRATCH.set(scratch);
        (x.unwrap_or_else(|| first.to_vec()), activations)
    }

    /// Runs all sublayers for all blocks of rows. Returns the output rows, and in training also each block's saved
    /// activations.
    fn forward_all(&self, x: &[f32], width: usize, one_thread: bool) -> Result<(Vec<f32>, Vec<BlockActivations>)> {
        // A minimum length that is never reached keeps all work on the calling thread.
        let least = if one_thread { usize::MAX } else { 1 };
        let packed_weights: Vec<_> = self.with_packed_weights(|packed_weights| {
            let sublayers = self.sublayers.par_iter().with_min_len(least).with_max_len(least);
            sublayers
                .map(|sublayer| sublayer.packed(Direction::Forward, &self.packing, packed_weights))
                .collect::<Result<_>>()
        })?;
        // The backward pass sums over the same blocks as the forward pass.
        let blocks = match self.ctx.is_training() {
            true => self.packing.blocks(),
            false => self.packing.blocks_for(if one_thread { 1 } else { rayon::current_num_threads() }),
        };
        let chunk_rows = if one_thread { usize::MAX } else { self.chunk_rows(blocks.len()) };
        let work = blocks.par_iter().with_min_len(least).with_max_len(least);
        let forward = |block: &RowBlock| self.forward(block.rows_of(x, width), block, &packed_weights, chunk_rows);
        if self.ctx.is_training() || blocks.len() == 1 {
            let (parts, activations): (Vec<_>, Vec<_>) = work.map(forward).unzip();
            return Ok((joined(parts), activations));
        }
        // Results are copied, so that a block's buffer remains with its thread for the next run.
        let mut all = vec![0.0; x.len()];
        let mut rest = &mut all[..];
        let places: Vec<&mut [f32]> =
            blocks.iter().filter_map(|block| rest.split_off_mut(..block.rows.len() * width)).collect();
        work.zip(places).for_each(|(block, place)| {
            let (rows, _) = forward(block);
            place.copy_from_slice(&rows);
            SCRATCH.with_borrow_mut(|scratch| scratch.results.push(rows));
        });
        Ok((all, Vec::new()))
    }

    /// Number of rows in a chunk, the unit of work that another thread can take over. A block of rows is a single
    /// chunk, unless there are fewer blocks than threads.
    fn chunk_rows(&self, blocks: usize) -> usize {
        let threads = rayon::current_num_threads();
        match blocks < threads {
            true => self.packing.spans().tokens().div_ceil(threads).next_multiple_of(8),
            false => usize::MAX,
        }
    }

    /// Runs the backward pass of all sublayers. `gradients` has the gradient of each block's output rows. Returns the
    /// gradient of the input rows, or nothing if it is not needed.
    fn backward(
        &self,
        mut gradients: Vec<Vec<f32>>,
        mut activations: Vec<BlockActivations>,
        blocks: &[RowBlock],
        needs_input_gradient: bool,
    ) -> Result<Option<Vec<f32>>> {
        let packed_of = |sublayer: &dyn Sublayer| {
            self.with_packed_weights(|packed_weights| {
                sublayer.packed(Direction::Backward, &self.packing, packed_weights)
            })
        };
        // The weight gradients of a sublayer are computed in parallel with the row gradients of the sublayer below it.
        let mut pending: Option<(&dyn Sublayer, Vec<BlockGradients>)> = None;
        let mut next_packed = None;
        for (index, sublayer) in self.sublayers.iter().enumerate().rev() {
            // The gradient is required by trained layers below, in this operation or before it.
            let needed = needs_input_gradient || self.sublayers[..index].iter().any(|sublayer| sublayer.trains());
            let requested = RequestedGradients { input: needed, gates: self.ctx.wants_gate_gradients() };
            let packed = next_packed.take().unwrap_or_else(|| packed_of(&**sublayer))?;
            let saved: Vec<_> = activations.iter_mut().map_while(Vec::pop).collect();
            let work = saved.into_par_iter().zip(&gradients).zip(blocks).with_max_len(1);
            let (done, next) = rayon::join(
                || -> Vec<_> {
                    work.map(|(((x, saved), dy), block)| {
                        let (dx, rows) = sublayer.backward(&packed, dy, saved, (&self.packing, block), requested);
                        (dx.unwrap_or_default(), (x, rows))
                    })
                    .collect()
                },
                || {
                    pending.take().into_iter().for_each(|(sublayer, rows)| sublayer.accumulate(&rows, &self.ctx));
                    self.sublayers[..index].last().filter(|_| needed).map(|sublayer| packed_of(&**sublayer))
                },
            );
            next_packed = next;
            let rows: Vec<_>;
            (gradients, rows) = done.into_iter().unzip();
            sublayer.record_gate_gradients(rows.iter().map(|(_, rows)| rows), &self.packing, &self.ctx);
            pending = sublayer.trains().then_some((&**sublayer, rows));
            if !needed {
                break;
            }
        }
        pending.into_iter().for_each(|(sublayer, rows)| sublayer.accumulate(&rows, &self.ctx));
        Ok(needs_input_gradient.then(|| joined(gradients)))
    }
}

impl CustomOp2 for LayersOp {
    fn name(&self) -> &'static str {
        "encoder layers"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_layout: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, width) = (slice(x, x_layout)?, x_layout.dims()[1]);
        let work: usize = self.sublayers.iter().map(|sublayer| sublayer.multiply_adds_of_a_row()).sum();
        let (y, activations) = match work * self.packing.spans().tokens() {
            0..=ONE_THREAD => self.forward_all(x, width, true),
            // The thread pool is entered once, since a thread outside of the pool would be put to sleep and woken at
            // every step.
            _ => rayon::scope(|_| self.forward_all(x, width, false)),
        }?;
        if let (true, Ok(mut place)) = (self.ctx.is_training(), self.activations.lock()) {
            *place = Some(activations);
        }
        Ok(rows(y, width))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        if self.sublayers.iter().any(|sublayer| sublayer.trains()) {
            self.ctx.check_in_backward(self.name())?;
        }
        let activations = self.activations.lock().ok().and_then(|mut place| place.take());
        let activations = activations.ok_or_else(|| nothing_saved(self.name()))?;
        let dy = dy.contiguous()?;
        let dx = with_slices(&[&dy], |slices| {
            let width = x.dims()[1];
            let blocks = self.packing.blocks();
            let gradients = tracing::trace_span!("concatenating rows")
                .in_scope(|| blocks.iter().map(|block| block.rows_of(slices[0], width).to_vec()).collect());
            self.backward(gradients, activations, &blocks, x.track_op())
        })?;
        Ok((dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?, None))
    }
}
