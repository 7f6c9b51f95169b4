//! A BERT-family encoder on candle: it trains, runs any layers and heads for any sample, and loads and saves
//! Hugging Face directories.
//!
//! # The way of the data
//!
//! ```text
//!  file ──DatasetReader──▶ Dataset of Examples                         text and class
//!       ──TextTokenizer──▶ EncodedDataset of Samples                   token ids
//!       ───epoch_order───▶ PackedBatch                                 tokens of all texts, no padding
//!       ─Encoder::embed──▶ Hidden (tokens, hidden)
//!       ─Encoder::layer──▶ Hidden, again and again                     a HeadPlan a layer, any samples, any width
//!       ───Classifier────▶ logits (samples, classes)
//!       ──cross_entropy──▶ loss
//!       ─ForwardContext::backward──▶ Gradients                                   of what is not frozen
//!       ──────AdamW──────▶ Parameters, one step on
//! ```
//!
//! [`Trainer`] walks this way for anything that is an [`Objective`]; [`TextClassifier`] is the plainest one.
//!
//! # The shortest honest program
//!
//! ```
//! use candle_core::Device;
//! use dht_transformer::{
//!     AdamWSettings, BertConfig, Dataset, Encoder, Error, Example, Pooling, TextClassifier, TextTokenizer,
//!     TrainSettings, Trainer, predict_all, score,
//! };
//! use rand::SeedableRng;
//!
//! let example = |text: &str, label| Example { text: text.into(), pair: None, label, targets: Vec::new() };
//! let examples = vec![
//!     example("A fine day", 1), example("Fine food", 1), example("The food was fine", 1),
//!     example("A bad day", 0), example("Bad food", 0), example("The food was bad", 0),
//! ];
//! let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
//!
//! let tokenizer = TextTokenizer::train(data.examples.iter().map(|example| &*example.text), 100)?;
//! let encoded = tokenizer.encode_all(&data, 16)?;
//!
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
//! let config = BertConfig::small(1, 2, 16, tokenizer.vocabulary_size())?;
//! let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
//! let mut model = TextClassifier::new(encoder, data.labels.len(), Pooling::Mean, &mut rng)?;
//!
//! let optimizer = AdamWSettings { learning_rate: 1e-2, ..AdamWSettings::default() };
//! let settings = TrainSettings { epochs: 30, batch_size: 3, optimizer, ..TrainSettings::default() };
//! // A program that reports a number has a validation set for the third argument, and a test set for the score.
//! Trainer::new(settings).fit(&mut model, &encoded, &encoded, &mut ())?;
//! let predictions = predict_all(&model, &encoded, 6)?;
//! assert_eq!(score(&encoded, &predictions.labels)?.macro_f1(), 1.0);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Catalogue
//!
//! | to | take |
//! |---|---|
//! | read csv, tsv, jsonl, plain or compressed | [`DatasetReader`], [`Dataset`], [`Column`], [`Header`] |
//! | turn texts into token ids | [`TextTokenizer`], [`EncodedDataset`], [`Encoding`] |
//! | make batches | [`PackedBatch`], [`epoch_order`], [`longest_first`], [`sequential`] |
//! | describe an encoder | [`BertConfig`], [`Family`], [`ModelSize`], [`Activation`] |
//! | run one, whole or in part | [`Encoder`], [`Hidden`], [`HeadPlan`], [`HeadSet`], [`SampleGroup`], [`ForwardContext`] |
//! | classify, give labels or numbers | [`TextClassifier`], [`Task`], [`Classifier`], [`Pooling`] |
//! | load and save Hugging Face directories | [`Encoder::from_pretrained`], [`TextClassifier::load`] and [`save`](TextClassifier::save), [`read_hugging_face`], [`write_hugging_face`] |
//! | take a model by its name on the hub (feature `hub`) | [`model_directory`], and wherever a directory is loaded |
//! | pre-train on plain text | [`MaskedLanguageModel`], [`MaskSettings`], [`EncodedDataset::from_text`], [`TextTokenizer::train_from_text`], [`Encoder::random_with_local_attention`] |
//! | train | [`Trainer`], [`TrainSettings`], [`Objective`], [`Observer`] |
//! | choose how to step | [`AdamW`], [`Schedule`], [`ParameterGroups`], [`clip_by_global_norm`] |
//! | write a loss | [`cross_entropy`], [`binary_cross_entropy`], [`squared_error`], [`soft_cross_entropy`], [`log_softmax`] |
//! | stop and go on to the bit | [`CheckpointSettings`], [`Checkpoint`] |
//! | score, and compare two models | [`score`], [`Confusion`], [`LabelCounts`], [`pearson`], [`spearman`], [`paired_bootstrap`] |
//! | count multiply-adds, before or after | [`BlockShape`], [`ClassifierShape`], [`product_flops`] |
//! | judge heads and neurons, and cut them out | [`Importance`], [`HeadGateGradient`], [`PrunePlan`], [`Encoder::prune`], [`TextClassifier::prune`] |
//!
//! # What holds throughout
//!
//! - **No padding.** A batch is rows of real tokens and [`Spans`] that say whose they are. A text in a batch has the
//!   states of the text alone, up to rounding.
//! - **Leaving out is not multiplying by zero.** Heads, neurons and layers that are left out cost nothing, and the
//!   [FLOPs](BlockShape) say how much that is.
//! - **Gradients do not go through candle's graph** where they belong to weights: the fused operations hand them to the
//!   [`ForwardContext`]. `loss.backward()` alone would miss them; [`ForwardContext::backward`] does not.
//! - **One seed, one result.** Every draw comes from the caller's generator or is keyed by seed, step, place, sample and
//!   token. On one kind of processor neither the number of threads nor a restart changes a bit of a training, and
//!   samples keep their dropout masks however they are grouped.
//! - **All or nothing.** Files are written whole, updates happen whole; values that are NaN or infinite are refused where
//!   they come in. What can go wrong is an [`Error`] that says what was expected.
//!
//! # Devices
//!
//! On the CPU each sublayer is one fused operation; elsewhere the same is composed of candle's operations. The
//! features `cuda`, `metal`, `mkl` and `accelerate` are candle's. candle allocates for every operation, so a program
//! that trains on a CPU gains from an allocator that keeps memory (mimalloc, say).

mod backend;
pub mod candle;
pub mod config;
pub mod data;
pub mod error;
pub mod flops;
pub mod model;
pub mod pretrained;
pub mod pruning;
pub mod storage;
pub mod tasks;
pub mod tensors;
pub mod train;

pub use backend::ForwardContext;
pub use config::{Activation, BertConfig, Family, ModelSize, Pooling};
pub use data::{
    Column, Columns, Dataset, DatasetReader, EncodedDataset, Encoding, Example, Header, LabelKind, LabelSource,
    MaskSettings, MaskedBatch, Masking, PackedBatch, Sample, Split, Telling, TextTokenizer, epoch_order, longest_first,
    sequential,
};
pub use error::{CheckpointProblem, DataProblem, Error, Result, SettingMismatch, WeightsProblem};
pub use flops::{BackwardNeeds, BlockShape, Breakdown, ClassifierShape, FlopCount, Load, Width, product_flops};
pub use model::{Classifier, Encoder, LanguageHead};
pub use pretrained::{PretrainedWeights, check_hugging_face_target, read_hugging_face, write_hugging_face};
pub use pruning::{HeadGateGradient, Importance, PrunePlan};
pub use storage::{
    StoredTensor, StoredTensors, file_sha256, model_directory, write_atomically, write_directory_atomically,
};
pub use tasks::{MaskedLanguageModel, Task, TextClassifier};
pub use tensors::{
    Gradient, Gradients, HeadPlan, HeadSet, HeadSetIter, Hidden, Packing, Parameter, ParameterId, Parameters,
    SampleGroup, Spans, binary_cross_entropy, cross_entropy, log_softmax, soft_cross_entropy, squared_error,
};
pub use train::checkpoint::Checkpoint;
pub use train::metrics::{
    Confusion, LabelCounts, PairedDifference, Predictions, macro_f1, paired_bootstrap, pearson, predict_all, score,
    spearman,
};
pub use train::optim::{
    AdamW, AdamWCounters, AdamWSettings, AdamWState, Multipliers, ParameterGroups, Schedule, StepReport, WarmUp,
    clip_by_global_norm,
};
pub use train::{
    CheckpointSettings, EpochRecord, Event, History, Objective, Observer, Predict, Progress, StepLoss, TrainSettings,
    Trainer,
};
