//! Texts that drift: a model in service decides for a stream that turns into another, and its labels come late. Everything is
//! arithmetic on what the stages say of each text.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Parser;
use dht_search::DynamicModel;
use dht_search::baselines::LogProbabilities;
use dht_search::evaluation::{LeavingRule, Stages, stage_flops, stage_log_probabilities};
use dht_search::serving::{ClassScaling, Learner, LearnerSettings};
use dht_transformer::data::{NamedDataset, Split};
use dht_transformer::{Dataset, DatasetReader, EncodedDataset};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::{Error, Result};
use crate::record::{DriftComparison, DriftRecord, DriftWay, Interval};
use dht_cli::report;

/// Texts in a batch.
const BATCH: usize = 64;
/// Tokens beyond the encoder's that the n-gram model reads.
const REST: usize = 4096;
/// Texts in a block of the curves.
const BLOCK: usize = 500;
/// The way that the others are compared with.
const LEARNER: &str = "learner";

/// Let an accelerated model serve a stream of texts that turns into another, with late labels.
///
/// The models are those that `reproduce --seeds N --rows accelerated --out OUT` wrote; the rows before the drift are rows of the
/// training file that nothing else has seen.
#[derive(Debug, Clone, Parser)]
pub struct DriftArguments {
    /// Directory of a reproduction, with the accelerated models of its seeds
    #[arg(long, value_name = "DIR")]
    pub models: PathBuf,
    /// How many of its seeds
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub seeds: u64,
    /// Directory of the data set that the models are of
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Rows of its training file that the reproduction has used
    #[arg(long, value_name = "N")]
    pub used_rows: usize,
    /// Directory of the data set that the stream turns into, of as many classes in the same order
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// Texts before the drift
    #[arg(long, value_name = "N", default_value_t = 6_000)]
    pub before: usize,
    /// Texts after it
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    pub after: usize,
    /// So many texts later a label comes
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub late: usize,
    /// Labels of the drifted texts before scores are taken, and that a threshold is fitted anew on
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    pub labels: usize,
    /// The cost that is wanted, as a share of the full model's FLOPs
    #[arg(long, value_name = "SHARE", default_value_t = 0.25)]
    pub cost: f64,
    /// Maximum length of a text in tokens
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_length: usize,
    /// File that the record is written to
    #[arg(long, value_name = "FILE", default_value = "docs/records/drift.json")]
    pub record: PathBuf,
}

/// Serves the stream with the models of all seeds.
///
/// # Errors
/// [`Error::TooLittle`] for too few rows, [`Error::Argument`] for data sets of other classes; all errors of the models and the record.
pub fn drift(arguments: &DriftArguments) -> Result<DriftRecord> {
    let read = |folder: &Path| -> Result<Dataset> {
        Ok(NamedDataset::reader_of_files(folder).read(DatasetReader::find(folder, Split::Train)?)?)
    };
    let (mut own, mut other) = (read(&arguments.data)?, read(&arguments.into)?);
    if own.labels.len() != other.labels.len() {
        let expected = format!("a data set of {} classes", own.labels.len());
        return Err(Error::Argument { flag: "into", expected, got: other.labels.len().to_string() });
    }
    own.examples.drain(..arguments.used_rows.min(own.examples.len()));
    // Such files are often in the order of their labels.
    other.examples.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
    for (data, least) in [(&mut own, arguments.before), (&mut other, arguments.after)] {
        let got = data.examples.len();
        if got < least {
            return Err(Error::TooLittle { data: data.name.clone(), what: "rows left", least, got });
        }
        data.examples.truncate(least);
    }
    let mut served = Vec::new();
    for seed in 0..arguments.seeds {
        let stream = Stream::new(arguments, seed, &own, &other)?;
        let ways = ways(arguments, &stream)?;
        for (name, way) in &ways {
            let [before, after] = stretches(arguments).map(|rows| way.score(&stream, rows));
            report(&format!(
                "seed {seed}, {name}: {:.4} at {:.3}, then {:.4} at {:.3}",
                before[0], before[1], after[0], after[1]
            ));
        }
        served.push((stream, ways));
    }
    let record = record(arguments, &served);
    record.save(&arguments.record)?;
    Ok(record)
}

/// The rows that scores are of, before and after the drift.
fn stretches(arguments: &DriftArguments) -> [std::ops::Range<usize>; 2] {
    let DriftArguments { before, after, late, labels, .. } = *arguments;
    [(before / 3)..before, (before + labels + late).min(before + after)..before + after]
}

/// What the stages of one model say of the stream, and what they cost.
struct Stream {
    /// ln p, by text, stage and class.
    logs: Vec<Vec<Vec<f64>>>,
    /// By text and stage.
    flops: Vec<Vec<u64>>,
    /// Of the full model, by text.
    full: Vec<u64>,
    labels: Vec<u32>,
    /// The model's speed, whose cost on its validation texts was nearest to the wanted one.
    threshold: f64,
}

impl Stream {
    fn new(arguments: &DriftArguments, seed: u64, own: &Dataset, other: &Dataset) -> Result<Self> {
        let folder = arguments.models.join(format!("units/accelerated.seed-{seed}/model"));
        let (model, _, tokenizer) = DynamicModel::load(&folder, &Device::Cpu)?;
        let missing = || Error::Argument {
            flag: "models",
            expected: "models with tokenizers".into(),
            got: folder.display().to_string(),
        };
        let tokenizer = tokenizer.ok_or_else(missing)?.with_rest(REST);
        let (mut logs, mut flops, mut full, mut labels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut threshold = 0.0;
        for data in [own, other] {
            let texts: EncodedDataset = tokenizer.encode_all(data, arguments.max_length)?;
            let tables = stage_log_probabilities(&model, &texts, BATCH)?;
            let costs = stage_flops(&model, &texts)?;
            for row in 0..texts.len() {
                logs.push(tables.iter().filter_map(|table| Some(table.rows().nth(row)?.to_vec())).collect());
                flops.push(costs.iter().map(|stage| stage[row]).collect());
                labels.push(texts.samples[row].label);
                full.push(dht_search::Predictor::full_flops(&model, texts.samples[row].encoding.ids.len()));
            }
            if threshold == 0.0 {
                // The first texts of the stream stand for validation texts: nothing is scored there.
                let first: Vec<usize> = (0..arguments.before / 3).collect();
                let stages = Stages::new(&tables, costs, LeavingRule::Confidence)?.select(&first);
                let budget: u64 = full[..first.len()].iter().sum();
                let wanted = arguments.cost * budget as f64;
                threshold = stages.within(wanted, &stages.thresholds(usize::MAX)).unwrap_or(1.0);
            }
        }
        Ok(Self { logs, flops, full, labels, threshold })
    }

    fn stages(&self) -> usize {
        self.flops[0].len()
    }

    fn cost(&self, row: usize, stage: usize) -> f64 {
        self.flops[row][stage] as f64 / self.full[row] as f64
    }
}

/// What a way has decided, by text.
struct Decided {
    right: Vec<f64>,
    stages: Vec<usize>,
}

impl Decided {
    /// Accuracy and FLOPs over the full model's.
    fn score(&self, stream: &Stream, rows: std::ops::Range<usize>) -> [f64; 2] {
        let right: f64 = self.right[rows.clone()].iter().sum();
        let flops: u64 = rows.clone().map(|row| stream.flops[row][self.stages[row]]).sum();
        let full: u64 = stream.full[rows.clone()].iter().sum();
        [right / rows.len().max(1) as f64, flops as f64 / full.max(1) as f64]
    }
}

/// All ways to decide, by name.
fn ways(arguments: &DriftArguments, stream: &Stream) -> Result<Vec<(&'static str, Decided)>> {
    let settings = LearnerSettings { threshold: stream.threshold, ..LearnerSettings::default() };
    let still = LearnerSettings { exploration: 0.0, ..settings.clone() };
    let following = LearnerSettings { cost: Some(arguments.cost), ..still.clone() };
    let learning = LearnerSettings { cost: Some(arguments.cost), ..settings };
    Ok(vec![
        ("threshold", served(arguments, stream, still, false)?),
        ("threshold that follows the cost", served(arguments, stream, following, false)?),
        (LEARNER, served(arguments, stream, learning, true)?),
        ("fitted anew on the drifted texts", refitted(arguments, stream)?),
    ])
}

/// A learner serves the stream; without labels it is a threshold.
fn served(arguments: &DriftArguments, stream: &Stream, settings: LearnerSettings, labels: bool) -> Result<Decided> {
    let mut learner = Learner::new(stream.stages(), stream.logs[0][0].len(), settings)?;
    let (mut right, mut stages, mut late) = (Vec::new(), Vec::new(), VecDeque::new());
    for (row, logs) in stream.logs.iter().enumerate() {
        let id = learner.take_ids(1);
        let (policy, last) = (learner.policy(), logs.len() - 1);
        let leaves = |stage: &usize| !policy.explores(id) && policy.leaves(*stage, &logs[*stage]);
        let stage = (0..last).find(leaves).unwrap_or(last);
        right.push(is_right(&policy.answer(stage, &logs[stage]), stream.labels[row]));
        stages.push(stage);
        learner.record(id, logs[..=stage].to_vec(), stream.cost(row, stage))?;
        late.push_back((id, stream.labels[row]));
        if late.len() > arguments.late
            && let Some((id, label)) = late.pop_front()
            && labels
        {
            learner.label(id, label)?;
        }
    }
    Ok(Decided { right, stages })
}

/// Scalings and threshold of the first labels after the drift, all of whose stages are known; before the drift, nothing is scaled.
fn refitted(arguments: &DriftArguments, stream: &Stream) -> Result<Decided> {
    let LearnerSettings { scale_precision, bias_precision, .. } = LearnerSettings::default();
    let (classes, first) = (stream.logs[0][0].len(), arguments.before);
    let fitted_on = first..(first + arguments.labels).min(stream.logs.len());
    let fit = |stage: usize| {
        let rows: Vec<(&[f64], u32)> =
            fitted_on.clone().map(|row| (&*stream.logs[row][stage], stream.labels[row])).collect();
        ClassScaling::fit(classes, &rows, [scale_precision, bias_precision])
    };
    let scalings = (0..stream.stages()).map(fit).collect::<std::result::Result<Vec<_>, _>>()?;
    let table = |stage: usize| {
        let rows = fitted_on.clone().flat_map(|row| scalings[stage].apply(&stream.logs[row][stage]));
        LogProbabilities::new(classes, rows.collect())
    };
    let tables = (0..stream.stages()).map(table).collect::<std::result::Result<Vec<_>, _>>()?;
    let costs = (0..stream.stages()).map(|stage| fitted_on.clone().map(|row| stream.flops[row][stage]).collect());
    let known = Stages::new(&tables, costs.collect(), LeavingRule::Confidence)?;
    let budget: u64 = stream.full[fitted_on].iter().sum();
    let threshold = known.within(arguments.cost * budget as f64, &known.thresholds(usize::MAX)).unwrap_or(1.0);
    let identity = ClassScaling::identity(classes);
    let (mut right, mut stages) = (Vec::new(), Vec::new());
    for (row, logs) in stream.logs.iter().enumerate() {
        let of = |stage: usize| if row < first { &identity } else { &scalings[stage] };
        let threshold = if row < first { stream.threshold } else { threshold };
        let last = logs.len() - 1;
        let stage = (0..last).find(|stage| of(*stage).uncertainty(&logs[*stage]) < threshold).unwrap_or(last);
        right.push(is_right(&of(stage).apply(&logs[stage]), stream.labels[row]));
        stages.push(stage);
    }
    Ok(Decided { right, stages })
}

/// 1 where the most probable class is the label, else 0.
fn is_right(logs: &[f64], label: u32) -> f64 {
    let best = (0..logs.len()).fold(0, |best, class| if logs[class] > logs[best] { class } else { best });
    f64::from(u8::from(best == label as usize))
}

type Served = (Stream, Vec<(&'static str, Decided)>);

fn record(arguments: &DriftArguments, served: &[Served]) -> DriftRecord {
    let name = |folder: &Path| folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mean = |of: &dyn Fn(&Served) -> f64| served.iter().map(of).sum::<f64>() / served.len().max(1) as f64;
    let rows = arguments.before + arguments.after;
    let names: Vec<&str> = served[0].1.iter().map(|(name, _)| *name).collect();
    let way = |(at, name): (usize, &&str)| {
        let score = |rows: std::ops::Range<usize>, which: usize| {
            mean(&|(stream, ways): &Served| ways[at].1.score(stream, rows.clone())[which])
        };
        let blocks = || (0..rows / BLOCK).map(|block| block * BLOCK..(block + 1) * BLOCK);
        DriftWay {
            name: (*name).into(),
            stretches: stretches(arguments).map(|rows| [score(rows.clone(), 0), score(rows, 1)]),
            accuracy: blocks().map(|rows| score(rows, 0)).collect(),
            flops_ratio: blocks().map(|rows| score(rows, 1)).collect(),
        }
    };
    let ours = names.iter().position(|name| *name == LEARNER).unwrap_or_default();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut comparison = |(at, name): (usize, &&str)| DriftComparison {
        other: (*name).into(),
        difference: stretches(arguments).map(|rows| {
            let of_seed = |(_, ways): &Served| -> Vec<f64> {
                rows.clone().map(|row| ways[ours].1.right[row] - ways[at].1.right[row]).collect()
            };
            Interval::of_paired(&served.iter().map(of_seed).collect::<Vec<_>>(), &mut rng)
        }),
    };
    let [before, after] = stretches(arguments);
    DriftRecord {
        schema: DriftRecord::SCHEMA,
        data: [name(&arguments.data), name(&arguments.into)],
        texts: [arguments.before, arguments.after],
        late: arguments.late,
        left_out: [before.start, after.start - arguments.before],
        cost: arguments.cost,
        seeds: (0..arguments.seeds).collect(),
        block: BLOCK,
        ways: names.iter().enumerate().map(way).collect(),
        comparisons: names.iter().enumerate().filter(|(at, _)| *at != ours).map(&mut comparison).collect(),
    }
}
