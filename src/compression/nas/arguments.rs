//! The flags of a search for architectures.

use std::path::PathBuf;

use clap::Parser;

use super::choices::{
    CostChoice, CountChoice, GateLossChoice, HeadWeightsChoice, NormalChoice, RelaxationChoice, SearchSettingsChoice,
    SpaceChoice,
};
use crate::compression::arguments::CompressionArguments;

/// Search for smaller architectures of a student while it is distilled, by the five steps of the report on differentiable search for
/// BERT.
///
/// Without --data it generates its own texts and needs neither files nor a network.
#[derive(Debug, Clone, Parser)]
#[command(
    after_help = "Writes record.json, a figure (SVG) of each architecture and, below steps, a Hugging Face directory of each model into \
                  --out. A stopped run goes on where it stopped, by the same command; further spaces, targets, seeds and --beside add to \
                  the steps that are there. A directory with the name of a task of GLUE is judged by its metric, and read as pairs \
                  where the task has pairs."
)]
pub struct NasArguments {
    /// Texts, teacher and student
    #[command(flatten)]
    pub common: CompressionArguments,
    /// What is searched, each by itself: inputs, outputs, neurons, heads, all, or several of them as inputs+heads
    #[arg(long, value_name = "SPACES", value_delimiter = ',', default_value = "inputs")]
    pub space: Vec<SpaceChoice>,
    /// The shares of each space that are to stay, above 0 and at most 1
    #[arg(long, value_name = "SHARES", value_delimiter = ',', default_value = "0.5", allow_negative_numbers = true)]
    pub targets: Vec<f64>,
    /// What the shares are of: the space's dimensions, FLOPs or seconds of the whole student, or parameters of its layers
    #[arg(long, value_enum, default_value_t)]
    pub cost: CostChoice,
    /// Settings of the search: ours, or those of the report
    #[arg(long, value_enum, default_value_t)]
    pub settings: SearchSettingsChoice,
    /// How units are kept in degrees, of dimensions, neurons and heads alike [default: that of --settings]
    #[arg(long, value_enum)]
    pub relaxation: Option<RelaxationChoice>,
    /// λ, the weight of the report's cost term; 0 searches without one; with --settings report alone [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub lambda: Option<f64>,
    /// t, the tolerance of the report's cost term around the target, between 0 and 1; with --settings report alone [default: 0.05]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub tolerance: Option<f64>,
    /// Gates that the cost is computed at: as expected, or as thresholded now [default: expected]
    #[arg(long, value_enum)]
    pub count: Option<CountChoice>,
    /// Peak learning rate of the gates: about how far a step moves them [default: 0.05; 10 with --settings report, where a step crosses
    /// from 5 to -5]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub gate_rate: Option<f64>,
    /// Loss that trains the gates: the weights' own, or cross-entropy on the labels [default: task; labels with --settings report]
    #[arg(long, value_enum)]
    pub gate_loss: Option<GateLossChoice>,
    /// Reading of Normal(0, 0.01), from which softmax weights begin [default: variance]
    #[arg(long, value_enum)]
    pub normal: Option<NormalChoice>,
    /// Softmax weights of a block's n units: as printed, or n times as large [default: times-n; printed with --settings report]
    #[arg(long, value_enum)]
    pub head_weights: Option<HeadWeightsChoice>,
    /// Train weights on one half of the rows and gates on the other, in turns
    #[arg(long)]
    pub alternating: bool,
    /// With --alternating: gates learn from the loss after the weights' next step (DARTS of second order), in four passes instead of one
    #[arg(long, requires = "alternating")]
    pub second_order: bool,
    /// Passes of each of both stages of the search; of the second the best on validation rows is kept
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub search_epochs: usize,
    /// Go on from the searched weights, not from the general student's
    #[arg(long)]
    pub carry: bool,
    /// Seeds 0 to N − 1 of the distillation after the search
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seeds: u64,
    /// Add architectures of the same size: at least five at random, others of as many units in each layer, by the weights' magnitude, by the
    /// loss's gradient
    #[arg(long)]
    pub beside: bool,
    /// Directory for everything that is written
    #[arg(long, value_name = "DIR", default_value = "target/dht/nas")]
    pub out: PathBuf,
}
