//! Flags of a reproduction, and the plan that results from checking them.

use std::path::{Path, PathBuf};

use clap::Parser;
use dht_cli::DeviceChoice;
use dht_transformer::Precision;
use dht_transformer::pretrained::PretrainedWeights;
use dht_transformer::storage::file_sha256;

use super::units::{Selection, Unit};
use crate::error::{Error, Result};
use crate::experiment::{Arguments, DataArguments, Model, RunPlan};

/// Numbers of training and test rows of generated texts.
const GENERATED_ROWS: (usize, usize) = (3_000, 1_000);
/// Maximum number of seeds.
const MOST_SEEDS: u64 = 100;

/// Reproduce the paper's tables and figures, with baselines trained on the same texts by the same loop.
///
/// Without --data, the program generates its own texts and requires neither files nor a network.
#[derive(Debug, Clone, Parser)]
#[command(
    after_help = "Writes record.json, rows.csv, figures (SVG) and report.html into --out. The same command resumes a stopped \
                  or failed run: rows that finished with the same settings are reused."
)]
pub struct ReproductionArguments {
    /// Texts, and their columns and rows
    #[command(flatten)]
    pub source: DataArguments,
    /// Hugging Face directory of a BERT, or LAYERSxHEADSxHIDDEN to train a model from scratch
    #[arg(long, value_name = "DIR|LxHxD", default_value = "6x12x96")]
    pub model: Model,
    /// Number of passes over the training rows [default: 2].
    ///
    /// Rows as published, and the full model that they are compared with, have twice this number.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub epochs: usize,
    /// Number of samples in a batch
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    /// Peak learning rate [default: 1e-3 from scratch, 5e-5 for a pre-trained model]
    #[arg(long, value_name = "X")]
    pub lr: Option<f64>,
    /// Run the seeds 0 to N − 1
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seeds: u64,
    /// Names of rows to run, separated by commas [default: all].
    ///
    /// t-dht selects published-t-dht and ours-t-dht; truncation selects the truncations of all depths.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Names of further rows, which run with seed 0 only
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub once: Vec<String>,
    /// Run on this device: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceChoice,
    /// Compute layers in f32, bf16 (CUDA, Metal) or tf32 (CUDA)
    #[arg(long, value_name = "PRECISION", default_value_t)]
    pub precision: Precision,
    /// Write all files to this directory
    #[arg(long, value_name = "DIR", default_value = "target/dht/reproduce")]
    pub out: PathBuf,
    /// Show the tables, but no progress
    #[arg(long)]
    pub quiet: bool,
}

/// Plan of a reproduction: checked [`ReproductionArguments`].
#[derive(Debug, Clone)]
pub(super) struct ReproductionPlan {
    /// Plan of one training run, with seed 0.
    pub(super) run: RunPlan,
    pub(super) seeds: u64,
    pub(super) units: Selection,
    pub(super) out: PathBuf,
    pub(super) quiet: bool,
    /// Checksum of the pre-trained weights; empty for a model from scratch.
    pub(super) weights: String,
    /// Flags that may affect results, for the result file.
    pub(super) flags: Vec<String>,
}

impl ReproductionPlan {
    /// Checks the flags. No data are read.
    pub(super) fn new(arguments: &ReproductionArguments) -> Result<Self> {
        let ReproductionArguments { seeds, out, quiet, .. } = arguments;
        if !(1..=MOST_SEEDS).contains(seeds) {
            let expected = format!("1 to {MOST_SEEDS}");
            return Err(Error::Argument { flag: "seeds", expected, got: seeds.to_string() });
        }
        let plain = arguments.of_run();
        let run = RunPlan::try_from(plain.clone())?;
        let layers = run.layers()?;
        let units = Selection::new(&arguments.rows, &arguments.once, layers, arguments.epochs)?;
        let mut flags = plain.flags();
        if *seeds != 1 {
            flags.extend(["--seeds".into(), seeds.to_string()]);
        }
        if !arguments.rows.is_empty() {
            flags.extend(["--rows".into(), arguments.rows.join(",")]);
        }
        if !arguments.once.is_empty() {
            flags.extend(["--once".into(), arguments.once.join(",")]);
        }
        let weights = match &run.model {
            Model::Directory(folder) => {
                let files = PretrainedWeights::weight_files(folder).unwrap_or_default();
                files.iter().map(|file| file_sha256(file).unwrap_or_default()).collect::<Vec<_>>().join(" ")
            }
            Model::Size(_) => String::new(),
        };
        Ok(Self { weights, run, seeds: *seeds, units, out: out.clone(), quiet: *quiet, flags })
    }

    /// Plan of the training run of a unit (method) with a seed.
    pub(super) fn training(&self, unit: Unit, seed: u64) -> RunPlan {
        let settings = unit.settings();
        RunPlan { seed, epochs: unit.epochs(self.run.epochs), settings, ..self.run.clone() }
    }

    /// Directory of the files of a unit (method) with a seed.
    pub(super) fn place(&self, unit: Unit, seed: u64) -> PathBuf {
        self.out.join("units").join(format!("{unit}.seed-{seed}"))
    }

    /// Output directory.
    pub(super) fn out(&self) -> &Path {
        &self.out
    }
}

impl ReproductionArguments {
    /// Converts the flags to those of a single training run.
    fn of_run(&self) -> Arguments {
        Arguments {
            source: self.source.clone().or_generated(GENERATED_ROWS.0, GENERATED_ROWS.1),
            model: self.model.clone(),
            epochs: Some(self.epochs),
            batch: self.batch,
            lr: self.lr,
            device: self.device,
            precision: self.precision,
            ..Arguments::parse_from(["reproduce"])
        }
    }
}
