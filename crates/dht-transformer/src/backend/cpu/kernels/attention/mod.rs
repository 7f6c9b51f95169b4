//! Attention on packed rows, and attention scores for losses that compare them.

#[expect(clippy::module_inception, reason = "the function is in the file of its name")]
mod attention;
mod head_scores;
mod scores;
mod shape;

pub(crate) use attention::{attention, attention_backward, gate_gradients};
pub(crate) use head_scores::{ComparedHeads, head_scores, head_scores_backward};
pub(crate) use shape::{DistanceBias, HeadShape, ProbabilityDropout};
