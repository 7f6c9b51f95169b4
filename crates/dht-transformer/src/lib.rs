//! A BERT-family encoder on candle: it trains, runs any layers and heads for any sample, and loads and saves
//! Hugging Face directories.
//!
//! ```text
//! text → Example → Encoding → PackedBatch → Hidden → … → Hidden → logits → loss → gradient → optimiser
//! ```

mod config;
mod encoder;
mod error;
mod flops;
mod heads;
mod kernels;
mod ops;
mod packed;
mod parameters;
mod text;
mod train;
mod weights;

pub use error::{Error, Result};
pub use flops::{BackwardNeeds, BlockShape, Breakdown, ClassifierShape, FlopCount, Load, Width};
pub use heads::{HeadPlan, HeadSet, HeadSetIter};
pub use packed::Spans;
pub use parameters::{Gradient, Gradients, ParameterId, Parameters};
