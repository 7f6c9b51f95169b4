//! Interface of an exit: a classifier that may answer a text early.

use std::fmt::Debug;

use candle_core::Tensor;
use dht_transformer::{ForwardContext, Hidden, flops::FlopCount};

use crate::error::Result;

/// FLOPs of one exit for one text, where a multiply-add counts as two FLOPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitFlops {
    /// FLOPs of the forward pass, which computes the logits.
    pub forward: FlopCount,
    /// FLOPs of a backward pass that computes the gradients of both the exit's parameters and the hidden rows.
    pub backward: FlopCount,
    /// FLOPs of a backward pass that computes only the gradients of the exit's parameters.
    pub backward_weights: FlopCount,
}

/// Number of times that an exit computed its logits for a sample of a batch.
///
/// # Examples
/// ```
/// use dht_dynamic::exit::ExitReads;
///
/// let reads = ExitReads { attached: 1, detached: 2 };
/// assert_eq!(reads.total(), 3);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExitReads {
    /// Number of reads whose gradient continues to the layers below the exit.
    pub attached: u64,
    /// Number of reads whose gradient stops at the exit's own parameters.
    pub detached: u64,
}

impl ExitReads {
    /// Number of all reads, attached and detached.
    pub fn total(self) -> u64 {
        self.attached + self.detached
    }
}

/// Classifier after a layer, at which a text may stop: it computes logits from hidden rows.
///
/// The answer of the exit is ln softmax of the logits. With several labels, the answer is ln sigmoid of each logit. The
/// parameters of the exit belong to the encoder, so that one optimiser trains the encoder and its exits. A custom exit
/// implements this trait: see [`ExitModel::with_exits`](crate::ExitModel::with_exits).
///
/// # Examples
/// A linear exit after each of two layers, and the cost of its 24 × 3 multiply-adds:
///
/// ```
/// use candle_core::Device;
/// use dht_dynamic::transformer::{BertConfig, Encoder};
/// use dht_dynamic::{ExitModel, ExitSettings, LayerExit};
/// use rand::SeedableRng;
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let encoder = Encoder::random(&BertConfig::small(2, 6, 24, 50)?, &Device::Cpu, &mut rng)?;
/// let model = ExitModel::new(encoder, ExitSettings::linear(vec![1, 2]), 3, &mut rng)?;
/// let exit: &dyn LayerExit = &*model.exits()[0];
/// assert_eq!(exit.flops(16).forward.0, 2 * 24 * 3);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
pub trait LayerExit: Debug + Send + Sync {
    /// Computes the logits of each sample. Shape: (samples, classes or labels).
    ///
    /// # Errors
    /// Errors of candle.
    fn logits(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Tensor>;

    /// FLOPs of [`logits`](Self::logits) and its backward pass for a text of `tokens` tokens.
    fn flops(&self, tokens: usize) -> ExitFlops;

    /// Returns another handle on the same parameters.
    fn box_clone(&self) -> Box<dyn LayerExit>;
}

impl Clone for Box<dyn LayerExit> {
    fn clone(&self) -> Self {
        (**self).box_clone()
    }
}
