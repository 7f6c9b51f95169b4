//! Some halves of layers, one after another, as one operation.
//!
//! Candle adds up what flows back into each node of its graph, starting from zeros. One node for a run of layers, and
//! residual branches added inside it, leave next to nothing of that.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::slices::{nothing_saved, rows, slice, with_slices};
use super::sublayer::{Half, HalfLayout};
use crate::backend::context::ForwardContext;
use crate::backend::cpu::kernels::{HalfRows, HalfSaved, Scratch, Wanted};
use crate::backend::cpu::packed_weights::{Direction, Layouts};
use crate::tensors::{Packing, RowBlock};

/// Tokens up to which weights are laid out once for a whole pass.
const SMALL_RUN: usize = 512;

/// For each half that ran, from the first to the last: its input and what it leaves for its backward. Of one block.
type Tape = Vec<(Vec<f32>, HalfSaved<f32>)>;

/// A block's input of a half, and what the gradients of the half's weights follow from.
type Worked = (Vec<f32>, HalfRows<f32>);

/// Halves of layers, one after another.
pub(crate) struct LayersOp {
    halves: Vec<Half>,
    packing: Arc<Packing>,
    ctx: ForwardContext,
    tapes: Mutex<Option<Vec<Tape>>>,
}

impl LayersOp {
    /// (tokens, hidden) → (tokens, hidden). No halves are the identity.
    pub(crate) fn run(
        x: &Tensor,
        packing: &Arc<Packing>,
        halves: Vec<Half>,
        ctx: &ForwardContext,
    ) -> crate::error::Result<Tensor> {
        let Some(first) = halves.first() else { return Ok(x.clone()) };
        let anchor = first.anchor().clone();
        let trains = halves.iter().any(Half::trains);
        let op = Self { halves, packing: packing.clone(), ctx: ctx.clone(), tapes: Mutex::new(None) };
        super::apply(x, &anchor, op, trains, ctx)
    }

    /// Calls `f` with the layouts to be used: the pass's own where nothing else needs the memory, or the run is small.
    fn with_layouts<R>(&self, f: impl FnOnce(&Layouts) -> R) -> R {
        let keep = !self.ctx.is_training() || self.packing.spans().tokens() <= SMALL_RUN;
        if keep { f(self.ctx.layouts()) } else { f(&Layouts::default()) }
    }

    /// All halves for one block.
    fn forward(&self, first: &[f32], block: &RowBlock, layouts: &[HalfLayout], task: usize) -> (Vec<f32>, Tape) {
        let x = tracing::trace_span!("joining rows").in_scope(|| first.to_vec());
        let (mut x, mut tape, mut scratch) = (x, Vec::new(), Scratch::default());
        let keep = self.ctx.is_training();
        for (half, layout) in self.halves.iter().zip(layouts) {
            let (y, saved) = half.forward(layout, &x, (&self.packing, block), (keep, task), &mut scratch);
            let input = std::mem::replace(&mut x, y);
            match saved {
                Some(saved) => tape.push((input, saved)),
                None => scratch.y = input,
            }
        }
        (x, tape)
    }

    /// Rows that are a task of their own: all of a block, unless there are threads that would have none.
    fn task(&self, blocks: usize) -> usize {
        let threads = rayon::current_num_threads();
        match blocks < threads {
            true => self.packing.spans().tokens().div_ceil(threads).next_multiple_of(8),
            false => usize::MAX,
        }
    }

    /// From the gradient of each block's last rows to that of its first, if anybody wants it.
    fn backward(
        &self,
        mut gradients: Vec<Vec<f32>>,
        mut tapes: Vec<Tape>,
        blocks: &[RowBlock],
        wanted: bool,
    ) -> Result<Option<Vec<f32>>> {
        let layout_of =
            |half: &Half| self.with_layouts(|layouts| half.layout(Direction::Backward, &self.packing, layouts));
        // The gradients of a half's weights are computed beside the rows of the half below, and the weights of the next.
        let mut above: Option<(&Half, Vec<Worked>)> = None;
        let mut ahead = None;
        for (index, half) in self.halves.iter().enumerate().rev() {
            // What lies below in this run, or before it, wants the gradient.
            let needed = wanted || self.halves[..index].iter().any(Half::trains);
            let asked = Wanted { input: needed, gates: self.ctx.watches_heads() };
            let layout = ahead.take().unwrap_or_else(|| layout_of(half))?;
            let saved: Vec<_> = tapes.iter_mut().map_while(Vec::pop).collect();
            let work = saved.into_par_iter().zip(&gradients).zip(blocks).with_max_len(1);
            let (done, next) = rayon::join(
                || -> Vec<_> {
                    work.map(|(((x, saved), dy), block)| {
                        let (dx, rows) = half.backward(&layout, dy, saved, (&self.packing, block), asked);
                        (dx.unwrap_or_default(), (x, rows))
                    })
                    .collect()
                },
                || {
                    above.take().into_iter().for_each(|(half, rows)| half.accumulate(&rows, &self.ctx));
                    self.halves[..index].last().filter(|_| needed).map(layout_of)
                },
            );
            ahead = next;
            let rows: Vec<_>;
            (gradients, rows) = done.into_iter().unzip();
            half.record_slopes(rows.iter().map(|(_, rows)| rows), &self.packing, &self.ctx);
            above = half.trains().then_some((half, rows));
            if !needed {
                break;
            }
        }
        above.into_iter().for_each(|(half, rows)| half.accumulate(&rows, &self.ctx));
        let _span = tracing::trace_span!("joining rows").entered();
        Ok(wanted.then(|| gradients.concat()))
    }
}

impl CustomOp2 for LayersOp {
    fn name(&self) -> &'static str {
        "encoder layers"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_layout: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, width) = (slice(x, x_layout)?, x_layout.dims()[1]);
        let layouts: Vec<_> = self.with_layouts(|layouts| {
            let halves = self.halves.par_iter().with_max_len(1);
            halves.map(|half| half.layout(Direction::Forward, &self.packing, layouts)).collect::<Result<_>>()
        })?;
        let blocks = self.packing.blocks();
        let (work, task) = (blocks.par_iter().with_max_len(1), self.task(blocks.len()));
        let (parts, tapes): (Vec<_>, Vec<_>) =
            work.map(|block| self.forward(block.of(x, width), block, &layouts, task)).unzip();
        if let (true, Ok(mut place)) = (self.ctx.is_training(), self.tapes.lock()) {
            *place = Some(tapes);
        }
        let _span = tracing::trace_span!("joining rows").entered();
        Ok(rows(parts.concat(), width))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        if self.halves.iter().any(Half::trains) {
            self.ctx.check_in_backward(self.name())?;
        }
        let tapes = self.tapes.lock().ok().and_then(|mut place| place.take());
        let tapes = tapes.ok_or_else(|| nothing_saved(self.name()))?;
        let dy = dy.contiguous()?;
        let dx = with_slices(&[&dy], |slices| {
            let width = x.dims()[1];
            let blocks = self.packing.blocks();
            let gradients = tracing::trace_span!("joining rows")
                .in_scope(|| blocks.iter().map(|block| block.of(slices[0], width).to_vec()).collect());
            self.backward(gradients, tapes, &blocks, x.track_op())
        })?;
        Ok((dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?, None))
    }
}
