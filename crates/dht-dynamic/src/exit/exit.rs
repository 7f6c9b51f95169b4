//! Interface of an early exit: a classifier after a layer, at which a text may stop.

use std::fmt::Debug;

use candle_core::Tensor;
use dht_transformer::{ForwardContext, Hidden, flops::FlopCount};

use crate::error::Result;

/// FLOPs of one early exit for one text. A multiply-add counts as two FLOPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitFlops {
    /// FLOPs of the forward pass, which computes the logits.
    pub forward: FlopCount,
    /// FLOPs of a backward pass through the exit that computes the gradients of both its parameters and the hidden
    /// states it reads.
    pub backward: FlopCount,
    /// FLOPs of a backward pass through the exit that computes only the gradients of its parameters.
    pub backward_weights: FlopCount,
}

/// Number of times that an early exit computed its logits for one text, with and without a gradient to the layers
/// below.
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
    /// Number of evaluations whose gradient flows into the layers below the exit.
    pub attached: u64,
    /// Number of evaluations whose gradient stops at the exit's own parameters.
    pub detached: u64,
}

impl ExitReads {
    /// Total number of evaluations, attached and detached.
    pub fn total(self) -> u64 {
        self.attached + self.detached
    }
}

/// Early exit: a classifier after a layer, at which a text may stop. The exit computes logits from hidden states.
///
/// Log-probabilities are the log-softmax of the logits, or for multi-label tasks the log-sigmoid of each logit. The
/// parameters of the exit are stored in the encoder, so that one optimiser trains the encoder and its exits. Custom
/// exits implement this trait: see [`ExitModel::with_exits`](crate::ExitModel::with_exits).
///
/// # Examples
/// Linear exit after each of two layers, which costs 24 × 3 multiply-adds:
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
    /// Computes the logits of each text at this exit, with shape (texts, classes or labels).
    ///
    /// # Errors
    /// [`Error`](crate::Error) if a tensor operation fails.
    fn logits(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Tensor>;

    /// FLOPs of [`logits`](Self::logits) and of its backward pass, for one text with `tokens` tokens.
    fn flops(&self, tokens: usize) -> ExitFlops;

    /// Clones the exit. The clone shares the same parameters.
    fn box_clone(&self) -> Box<dyn LayerExit>;
}

impl Clone for Box<dyn LayerExit> {
    fn clone(&self) -> Self {
        (**self).box_clone()
    }
}
