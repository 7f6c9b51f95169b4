//! Head ablation of a classifier, one head at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::D;
use clap::Parser;
use dht_cli::DeviceChoice;
use dht_transformer::TextClassifier;
use dht_transformer::pruning::HeadAblation;
use dht_transformer::storage::write_atomically;
use dht_transformer::train::metrics::Confusion;

use super::arguments::with_defaults;
use super::judge::{BATCH, Judge};
use super::limits::{elsewhere, refused};
use super::steps::Output;
use crate::error::{Error, Result};
use crate::experiment::{Arguments, DataArguments, Model, RunData, RunPlan, model_record, print};
use crate::record::{AblatedHeads, HeadAblationRecord, HeadScores, Record, this_machine};
use crate::report::{head_ablation_figure, head_ablation_table};

const RECORD: &str = "record.json";
const FIGURE: &str = "heads.svg";

/// Score a fine-tuned classifier without each of its heads, and with each head alone in its layer.
///
/// The method is that of Michel, Levy and Neubig (2019).
#[derive(Debug, Clone, Parser)]
#[command(
    after_help = "Writes record.json and heads.svg into --out. A run of the example nas or distil saves a fine-tuned teacher, which \
                  can be used as --model, in steps/teacher/model of its directory. A directory with the name of a GLUE task is \
                  scored by its metric."
)]
pub struct HeadsArguments {
    /// Texts; the test rows are scored
    #[command(flatten)]
    pub source: DataArguments,
    /// Directory of the classifier
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Heads to ablate as LAYER:HEAD, from 0 [default: all]
    #[arg(long, value_name = "HEADS", value_delimiter = ',')]
    pub heads: Vec<HeadName>,
    /// Run on this device: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceChoice,
    /// Write the record and the figure to this directory
    #[arg(long, value_name = "DIR", default_value = "target/dht/heads")]
    pub out: PathBuf,
    /// Also write the record to this file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// Attention head by layer and number, each counted from 0, such as `2:11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadName {
    layer: usize,
    head: usize,
}

impl FromStr for HeadName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once(':').and_then(|(layer, head)| Some((layer.parse().ok()?, head.parse().ok()?)));
        let (layer, head) = numbers.ok_or_else(|| format!("{text:?} is not a head: write LAYER:HEAD, as 2:11"))?;
        Ok(Self { layer, head })
    }
}

impl fmt::Display for HeadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.layer, self.head)
    }
}

/// Runs the example `heads`: scores a classifier without each attention head, and with only that head in its layer.
///
/// # Errors
/// Returns an error for invalid flags, and for data, a classifier or a directory that cannot be read or written.
/// [`Error::Transformer`] for a layer or head that the classifier lacks, before anything is computed.
pub fn heads(arguments: &HeadsArguments) -> Result<HeadAblationRecord> {
    let run = Arguments {
        source: with_defaults(&arguments.source),
        model: Model::Directory(arguments.model.clone()),
        device: arguments.device,
        ..Arguments::parse_from(["heads"])
    };
    let mut command = vec!["heads".to_owned()];
    command.extend(run.flags());
    if !arguments.heads.is_empty() {
        let names: Vec<String> = arguments.heads.iter().map(ToString::to_string).collect();
        command.extend(["--heads".into(), names.join(",")]);
    }
    let plan = RunPlan::without_search(run)?;
    elsewhere("out", &arguments.out, &plan)?;
    let is_record = |path: &Path| HeadAblationRecord::load(path).is_ok();
    Output { out: &arguments.out, record: arguments.record.as_deref(), is_record, figures: &[] }.check()?;
    let (record, figure) = (arguments.out.join(RECORD), arguments.out.join(FIGURE));
    if figure.exists() && !record.exists() {
        return Err(Error::ForeignFile { path: figure });
    }
    let device = plan.device.open()?;
    let model = TextClassifier::load(&arguments.model, &device)?;
    let mut data = RunData::load(&plan)?;
    let classes = (data.train.labels.len(), model.classifier().classes());
    if classes.0 != classes.1 {
        let expected = format!("a classifier of {} classes, as the texts have", classes.0);
        return Err(refused("model", expected, format!("one of {}", classes.1)));
    }
    data.order_classes(&model.encoder().config().labels().unwrap_or_default());
    let (judge, test) = (Judge::new(&data), &data.test);
    let chosen = match arguments.heads.is_empty() {
        true => HeadAblation::all_heads(model.encoder()),
        false => arguments.heads.iter().map(|name| (name.layer, name.head)).collect(),
    };
    let (whole, ablated) = HeadAblation::measure(model.encoder(), test, &chosen, BATCH, |hidden, ctx| {
        Ok(model.classifier().forward(hidden, ctx)?.argmax(D::Minus1)?.to_vec1()?)
    })?;
    let of = |classes: &[u32]| -> Result<f64> { Ok(judge.score(&Confusion::from_predictions(test, classes)?)) };
    let mut scores = Vec::with_capacity(ablated.len());
    for ablation in &ablated {
        let without = ablation.without.as_deref().map(&of).transpose()?;
        scores.push(HeadScores { layer: ablation.layer, head: ablation.head, without, alone: of(&ablation.alone)? });
    }
    let results = Record::new(
        command,
        data.record,
        AblatedHeads {
            metric: judge.name().into(),
            model: model_record(model.encoder(), classes.1),
            score: of(&whole)?,
            heads: scores,
        },
        BTreeMap::new(),
        this_machine(&device),
    );
    std::fs::create_dir_all(&arguments.out).map_err(|source| Error::Io { path: arguments.out.clone(), source })?;
    for path in std::iter::once(&record).chain(&arguments.record) {
        results.save(path)?;
    }
    let svg = head_ablation_figure(&results)?;
    write_atomically(&figure, |file| file.write_all(svg.as_bytes()))?;
    print(std::io::stdout(), &head_ablation_table(&results))?;
    Ok(results)
}
