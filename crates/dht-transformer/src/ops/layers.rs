//! Some halves of layers, one after another, as one operation.
//!
//! Candle adds up what flows back into each node of its graph, starting from zeros. One node for a run of layers, and
//! residual branches added inside it, leave next to nothing of that.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp2, Error, Layout, Result, Shape, Tensor};

use super::attention::AttentionHalf;
use super::feed_forward::FeedForwardHalf;
use super::slices::{nothing_saved, rows, slice, with_slices};
use crate::Pass;
use crate::kernels::blocks::{AttentionSaved, FeedForwardSaved};

/// Half of a layer.
#[derive(Debug)]
pub(crate) enum Half {
    Attention(AttentionHalf),
    FeedForward(FeedForwardHalf),
}

/// What a half leaves for its backward.
enum Saved {
    Attention(AttentionSaved<f32>),
    FeedForward(FeedForwardSaved<f32>),
}

impl Half {
    fn trains(&self) -> bool {
        match self {
            Self::Attention(half) => half.trains(),
            Self::FeedForward(half) => half.trains(),
        }
    }

    fn forward(&self, x: &[f32], keep: bool) -> Result<(Vec<f32>, Option<Saved>)> {
        Ok(match self {
            Self::Attention(half) => {
                let (y, saved) = half.forward(x, keep)?;
                (y, saved.map(Saved::Attention))
            }
            Self::FeedForward(half) => {
                let (y, saved) = half.forward(x, keep)?;
                (y, saved.map(Saved::FeedForward))
            }
        })
    }

    fn backward(&self, x: &[f32], dy: &[f32], saved: Saved, input: bool, pass: &Pass) -> Result<Option<Vec<f32>>> {
        match (self, saved) {
            (Self::Attention(half), Saved::Attention(saved)) => half.backward(x, dy, saved, input, pass),
            (Self::FeedForward(half), Saved::FeedForward(saved)) => half.backward(x, dy, saved, input, pass),
            _ => Err(Error::Msg("a half was given what another one saved".into()).bt()),
        }
    }
}

/// What the forward of some halves leaves: each half's own, and the rows between them.
struct Tape {
    saved: Vec<Saved>,
    /// The output of each half but the last.
    between: Vec<Vec<f32>>,
}

/// Halves of layers, one after another.
pub(crate) struct LayersOp {
    halves: Vec<Half>,
    pass: Pass,
    tape: Mutex<Option<Tape>>,
}

impl LayersOp {
    /// (tokens, hidden) → (tokens, hidden). No halves are the identity.
    pub(crate) fn run(x: &Tensor, halves: Vec<Half>, pass: &Pass) -> crate::Result<Tensor> {
        let anchor = match halves.first() {
            None => return Ok(x.clone()),
            Some(Half::Attention(half)) => half.anchor().clone(),
            Some(Half::FeedForward(half)) => half.anchor().clone(),
        };
        let trains = halves.iter().any(Half::trains);
        super::apply(x, &anchor, Self { halves, pass: pass.clone(), tape: Mutex::new(None) }, trains, pass)
    }
}

impl CustomOp2 for LayersOp {
    fn name(&self) -> &'static str {
        "encoder layers"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_layout: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let first = slice(x, x_layout)?;
        let keep = self.pass.is_training();
        let mut tape = Tape { saved: Vec::new(), between: Vec::new() };
        let mut current: Option<Vec<f32>> = None;
        for half in &self.halves {
            let (y, saved) = half.forward(current.as_deref().unwrap_or(first), keep)?;
            if keep {
                tape.between.extend(current);
                tape.saved.extend(saved);
            }
            current = Some(y);
        }
        if let (true, Ok(mut place)) = (keep, self.tape.lock()) {
            *place = Some(tape);
        }
        let width = x_layout.dims()[1];
        Ok(rows(current.unwrap_or_else(|| first.to_vec()), width))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let tape = self.tape.lock().ok().and_then(|mut place| place.take());
        let Tape { mut saved, mut between } = tape.ok_or_else(|| nothing_saved(self.name()))?;
        let dy = dy.contiguous()?;
        let dx = with_slices(&[x, &dy], |slices| {
            let (first, dy) = (slices[0], slices[1]);
            let mut gradient: Option<Vec<f32>> = None;
            for (index, half) in self.halves.iter().enumerate().rev() {
                let Some(saved) = saved.pop() else { return Err(nothing_saved(self.name())) };
                let input = between.pop();
                // What lies below in this run, or before it, wants the gradient.
                let needed = x.track_op() || self.halves[..index].iter().any(Half::trains);
                let x = input.as_deref().unwrap_or(first);
                gradient = half.backward(x, gradient.as_deref().unwrap_or(dy), saved, needed, &self.pass)?;
                if !needed {
                    return Ok(None);
                }
            }
            Ok(gradient)
        })?;
        Ok((dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?, None))
    }
}
