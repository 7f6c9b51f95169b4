//! Flags of an architecture search.

use std::path::PathBuf;

use clap::Parser;

use super::choices::{
    CostChoice, CountChoice, GateLossChoice, HeadWeightsChoice, NormalChoice, RelaxationChoice, SearchSettingsChoice,
    SpaceChoice,
};
use crate::compression::arguments::CompressionArguments;

/// Search for smaller architectures of a student during its distillation.
///
/// The search has the five steps of the report on differentiable search for BERT. Without --data, the program generates
/// its own texts and requires neither files nor a network.
#[derive(Debug, Clone, Parser)]
#[command(
    after_help = "Writes record.json, a figure (SVG) of each architecture and, below steps, a Hugging Face directory of each model into \
                  --out. The same command resumes a stopped run; further spaces, targets, seeds and --beside add to the existing steps. \
                  A directory with the name of a GLUE task is scored by its metric, and read as pairs if the task has pairs."
)]
pub struct NasArguments {
    /// Texts, teacher and student
    #[command(flatten)]
    pub common: CompressionArguments,
    /// Spaces to search, each separately: inputs, outputs, neurons, heads, all, or several of them such as inputs+heads
    #[arg(long, value_name = "SPACES", value_delimiter = ',', default_value = "inputs")]
    pub space: Vec<SpaceChoice>,
    /// Target shares of each space, above 0 and at most 1
    #[arg(long, value_name = "SHARES", value_delimiter = ',', default_value = "0.5", allow_negative_numbers = true)]
    pub targets: Vec<f64>,
    /// Cost that the shares refer to: the space's dimensions, FLOPs or seconds of the whole student, or parameters of
    /// its layers
    #[arg(long, value_enum, default_value_t)]
    pub cost: CostChoice,
    /// Settings of the search: ours, or those of the report
    #[arg(long, value_enum, default_value_t)]
    pub settings: SearchSettingsChoice,
    /// Relaxation of the gates of dimensions, neurons and heads [default: that of --settings]
    #[arg(long, value_enum)]
    pub relaxation: Option<RelaxationChoice>,
    /// Weight λ of the report's cost term, only with --settings report; 0 searches without the term [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub lambda: Option<f64>,
    /// Tolerance t of the report's cost term around the target, between 0 and 1, only with --settings report [default:
    /// 0.05]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub tolerance: Option<f64>,
    /// Gates that the cost is computed with: their expected values, or the present thresholded values [default:
    /// expected]
    #[arg(long, value_enum)]
    pub count: Option<CountChoice>,
    /// Peak learning rate of the gates, which is about the distance that a step moves them [default: 0.05; 10 with
    /// --settings report, where a step crosses from 5 to -5]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub gate_rate: Option<f64>,
    /// Loss that trains the gates: the weights' own, or cross-entropy on the labels [default: task; labels with
    /// --settings report]
    #[arg(long, value_enum)]
    pub gate_loss: Option<GateLossChoice>,
    /// Reading of Normal(0, 0.01), which initialises the softmax weights [default: variance]
    #[arg(long, value_enum)]
    pub normal: Option<NormalChoice>,
    /// Softmax weights of a block's n units: as printed, or n times as large [default: times-n; printed with --settings
    /// report]
    #[arg(long, value_enum)]
    pub head_weights: Option<HeadWeightsChoice>,
    /// Train weights on one half of the rows and gates on the other, in turns
    #[arg(long)]
    pub alternating: bool,
    /// With --alternating, train gates on the loss after the weights' next step (second-order DARTS).
    ///
    /// A step takes four passes instead of one.
    #[arg(long, requires = "alternating")]
    pub second_order: bool,
    /// Number of passes in each of the two search stages.
    ///
    /// The second stage uses the pass with the best validation score.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub search_epochs: usize,
    /// Continue from the searched weights, not from the general student's
    #[arg(long)]
    pub carry: bool,
    /// Run the seeds 0 to N − 1 of the distillation after the search
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seeds: u64,
    /// Add architectures of the same size as baselines: random units, random units with the search's counts by layer,
    /// and units selected by weight magnitude and by loss gradient.
    ///
    /// There are at least five random architectures.
    #[arg(long)]
    pub beside: bool,
    /// Write all files to this directory
    #[arg(long, value_name = "DIR", default_value = "target/dht/nas")]
    pub out: PathBuf,
}
