//! The flags of a reproduction, and the plan that they give once they are checked.

use std::path::{Path, PathBuf};

use clap::Parser;
use dht_transformer::Precision;
use dht_transformer::storage::file_sha256;

use super::units::{Selection, Unit};
use crate::error::{Error, Result};
use crate::experiment::{Arguments, DataArguments, Model, RunPlan};
use dht_cli::DeviceChoice;

/// Rows of the embedded corpus.
const GENERATED_ROWS: (usize, usize) = (3_000, 1_000);
/// The largest number of seeds.
const MOST_SEEDS: u64 = 100;

/// Reproduce the paper's tables and figures beside baselines, all trained on the same texts by the same loop.
///
/// Without --data it generates its own texts and needs neither files nor a network.
#[derive(Debug, Clone, Parser)]
#[command(
    after_help = "Writes record.json, rows.csv, figures (SVG) and report.html into --out. A stopped or failed run continues \
                  where it stopped: rows that finished with the same settings are kept."
)]
pub struct ReproductionArguments {
    /// Which texts
    #[command(flatten)]
    pub source: DataArguments,
    /// Hugging Face directory of a BERT, or LAYERSxHEADSxHIDDEN of a model trained from scratch
    #[arg(long, value_name = "DIR|LxHxD", default_value = "6x12x96")]
    pub model: Model,
    /// Passes over the training rows; as published twice as many, beside a full model of as many [default: 2]
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub epochs: usize,
    /// Samples in a batch
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    /// Peak learning rate [default: 1e-3 from scratch, 5e-5 for a pre-trained model]
    #[arg(long, value_name = "X")]
    pub lr: Option<f64>,
    /// Run the seeds 0 to N − 1
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seeds: u64,
    /// Names of rows, separated by commas; t-dht selects published-t-dht and ours-t-dht, truncation those of all depths [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Names of further rows, which run with seed 0 only
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub once: Vec<String>,
    /// Device of the tensors: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceChoice,
    /// Numbers that layers are computed in: f32, bf16 (CUDA, Metal) or tf32 (CUDA)
    #[arg(long, value_name = "PRECISION", default_value_t)]
    pub precision: Precision,
    /// Directory for everything that is written
    #[arg(long, value_name = "DIR", default_value = "target/dht/reproduce")]
    pub out: PathBuf,
    /// Show no progress, only the tables
    #[arg(long)]
    pub quiet: bool,
}

/// Checked [`ReproductionArguments`].
#[derive(Debug, Clone)]
pub(super) struct ReproductionPlan {
    /// The plan of one training: of seed 0.
    pub(super) run: RunPlan,
    pub(super) seeds: u64,
    pub(super) units: Selection,
    pub(super) out: PathBuf,
    pub(super) quiet: bool,
    /// The checksum of the pre-trained weights; empty for a model from scratch.
    pub(super) weights: String,
    /// The flags that results depend on, for the record.
    pub(super) flags: Vec<String>,
}

impl ReproductionPlan {
    /// Checks the flags, before any data are read.
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
            Model::Directory(folder) => file_sha256(folder.join("model.safetensors")).unwrap_or_default(),
            Model::Size(_) => String::new(),
        };
        Ok(Self { weights, run, seeds: *seeds, units, out: out.clone(), quiet: *quiet, flags })
    }

    /// The plan of one training.
    pub(super) fn training(&self, unit: Unit, seed: u64) -> RunPlan {
        let settings = unit.settings();
        RunPlan { seed, epochs: unit.epochs(self.run.epochs), settings, ..self.run.clone() }
    }

    /// The directory of a unit's files.
    pub(super) fn place(&self, unit: Unit, seed: u64) -> PathBuf {
        self.out.join("units").join(format!("{unit}.seed-{seed}"))
    }

    /// The output directory.
    pub(super) fn out(&self) -> &Path {
        &self.out
    }
}

impl ReproductionArguments {
    /// The flags of a single run that these amount to.
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
