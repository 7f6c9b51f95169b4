//! Exits: classifiers that may answer a text early.

use std::fmt::Debug;

use candle_core::Tensor;
use dht_transformer::{ForwardContext, Hidden, flops::FlopCount};

use crate::error::Result;

/// FLOPs of one exit for one text, two for each multiply-add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitFlops {
    /// FLOPs of the logits.
    pub forward: FlopCount,
    /// FLOPs of the gradients of the exit's parameters and of the hidden rows.
    pub backward: FlopCount,
    /// FLOPs of the gradients of the exit's parameters alone.
    pub backward_weights: FlopCount,
}

/// The number of times that an exit computed its logits for a sample of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExitReads {
    /// Reads with a gradient to the layers below.
    pub attached: u64,
    /// Reads without a gradient to the layers below.
    pub detached: u64,
}

impl ExitReads {
    /// Total number of reads.
    pub fn total(self) -> u64 {
        self.attached + self.detached
    }
}

/// A classifier where texts may leave after a layer: hidden rows → logits. Its answer is ln softmax of the logits, and for
/// several labels ln sigmoid of each.
///
/// The parameters of the exit belong to the encoder, so that one optimiser trains both.
pub trait LayerExit: Debug + Send + Sync {
    /// Logits. Shape: (samples, classes or labels).
    ///
    /// # Errors
    /// Errors of candle.
    fn logits(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Tensor>;

    /// FLOPs of [`logits`](Self::logits) and its backward pass for a text of this number of tokens.
    fn flops(&self, tokens: usize) -> ExitFlops;

    /// Another handle on the same parameters.
    fn box_clone(&self) -> Box<dyn LayerExit>;
}

impl Clone for Box<dyn LayerExit> {
    fn clone(&self) -> Self {
        (**self).box_clone()
    }
}
