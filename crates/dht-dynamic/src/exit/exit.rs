//! Exits: classifiers that may answer a text early.

use std::fmt::Debug;

use candle_core::Tensor;
use dht_transformer::{ForwardContext, Hidden, PackedBatch, Task, flops::FlopCount};

use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;

/// The texts at an exit.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ExitTexts<'a> {
    /// The batch; some of its texts are at this exit.
    pub batch: &'a PackedBatch,
    /// The indices in the batch of the texts at this exit.
    pub members: &'a [usize],
    /// The hidden rows of these texts; `None` at depth 0, before any layer.
    pub hidden: Option<&'a Hidden>,
}

impl<'a> ExitTexts<'a> {
    /// Texts before the first layer. If `members` has all indices, they are the whole batch.
    pub fn before_layers(batch: &'a PackedBatch, members: &'a [usize]) -> Self {
        Self { batch, members, hidden: None }
    }

    /// Texts after at least one layer.
    pub fn after_layers(batch: &'a PackedBatch, members: &'a [usize], hidden: &'a Hidden) -> Self {
        Self { batch, members, hidden: Some(hidden) }
    }
}

/// The answers of an exit.
#[derive(Debug, Clone, PartialEq)]
pub struct ExitAnswers {
    /// ln p of each class, (texts, classes).
    pub log_probabilities: LogProbabilities,
    /// FLOPs of each text's answer, two for each multiply-add.
    pub flops: Vec<u64>,
}

/// A classifier where texts may leave, before the first layer or after any layer.
pub trait Exit: Debug + Send + Sync {
    /// The answers to these texts.
    ///
    /// # Errors
    /// [`Error::Argument`] for texts before the first layer if the exit reads hidden rows; errors of the classifier.
    fn answers(&self, texts: &ExitTexts<'_>, ctx: &ForwardContext) -> Result<ExitAnswers>;
}

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

/// An exit after a layer: hidden rows → logits. As an [`Exit`], it answers with ln softmax of its logits.
///
/// The parameters of the exit belong to the encoder, so that one optimiser trains both.
pub trait LayerExit: Exit {
    /// The logits. Shape: (samples, classes).
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

impl<E: LayerExit> Exit for E {
    fn answers(&self, texts: &ExitTexts<'_>, ctx: &ForwardContext) -> Result<ExitAnswers> {
        let Some(hidden) = texts.hidden else {
            return Err(Error::argument("exit", "one that reads tokens, before the first layer", "one after a layer"));
        };
        let logits = self.logits(hidden, ctx)?;
        let classes = logits.dims2()?.1;
        let ids: Vec<u64> = texts.members.iter().map(|member| texts.batch.sample_ids[*member]).collect();
        let rows = Task::log_probabilities(&logits, &ids)?;
        let values = rows.into_iter().flatten().map(f64::from).collect();
        let flops = hidden.spans().lengths().map(|tokens| self.flops(tokens).forward.0).collect();
        Ok(ExitAnswers { log_probabilities: LogProbabilities::new(classes, values)?, flops })
    }
}
