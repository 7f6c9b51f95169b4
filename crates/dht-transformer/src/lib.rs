//! A BERT-family encoder on candle: it trains, runs any layers and heads for any sample, and loads and saves
//! Hugging Face directories.
//!
//! ```text
//! text → Example → Encoding → PackedBatch → Hidden → … → Hidden → logits → loss → gradient → optimiser
//! ```

mod config;
mod encoder;
mod error;
mod files;
mod flops;
mod heads;
mod hidden;
mod kernels;
mod ops;
mod packed;
mod parameters;
mod pass;
mod text;
mod train;
mod weights;

pub use config::{BertConfig, ModelSize};
pub use encoder::{Classifier, Encoder, Pooling};
pub use error::{CheckpointProblem, Error, Result};
pub use files::write_atomically;
pub use flops::{BackwardNeeds, BlockShape, Breakdown, ClassifierShape, FlopCount, Load, Width};
pub use heads::{HeadPlan, HeadSet, HeadSetIter};
pub use hidden::Hidden;
pub use kernels::activation::Activation;
pub use kernels::product::product_flops;
pub use packed::{Packing, Spans};
pub use parameters::{Gradient, Gradients, Parameter, ParameterId, Parameters};
pub use pass::Pass;
pub use text::{
    Column, Columns, DataProblem, Dataset, DatasetReader, EncodedDataset, Encoding, Example, Header, PackedBatch,
    Sample, Split, TextTokenizer, epoch_order, longest_first, sequential,
};
pub use train::{
    AdamW, AdamWCounters, AdamWSettings, AdamWState, Checkpoint, CheckpointSettings, Confusion, Deficit, EpochRecord,
    Event, History, Multipliers, Objective, Observer, ParameterGroups, Predictions, Progress, Schedule, StepLoss,
    StepReport, StoredTensor, StoredTensors, TextClassifier, TrainSettings, Trainer, WarmUp, clip_by_global_norm,
    cross_entropy, log_softmax, paired_bootstrap, predict_all, score, soft_cross_entropy,
};
pub use weights::{PretrainedWeights, WeightsProblem, read_hugging_face, write_hugging_face};
