//! Less training: what models are worth that are fine-tuned with a part of the full model's FLOPs, each alone and with the n-gram
//! model, on rows that no choice has seen.

mod fine_tune;
mod way;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use dht_dynamic::{
    FullModel,
    exit::{NgramClassifier, NgramSettings},
};
use dht_transformer::{EncodedDataset, TextClassifier, storage::write_atomically, train::metrics::Confusion};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::{Error, Result};
use crate::experiment::{Arguments, CLASSIFIERS, DataArguments, Model, RunData, RunPlan, encoder, pooling, rng};
use crate::record::{Interval, LessTrainingRecord, Summary, TrainedOn, TrainedWay, packed};
use dht_cli::report;
use fine_tune::{Answer, Common, STACKED, Trained};
pub use way::Way;

/// A model is cheap whose training takes at most this share of the full model's FLOPs.
const CHEAP: f64 = 0.35;

/// Fine-tune with a part of the full model's FLOPs, in several ways.
#[derive(Debug, Clone, Parser)]
pub struct LessTrainingArguments {
    /// Directory with train.* and test.* or dev.* (csv, tsv, jsonl; also .gz)
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Hugging Face directory of the encoder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Training rows, a tenth of them for validation
    #[arg(long, value_name = "N")]
    pub train_rows: usize,
    /// Training rows after these that scores are of, and no test row; without it, the test rows
    #[arg(long, value_name = "N")]
    pub judged_rows: Option<usize>,
    /// With the test rows: so many training rows after --train-rows are test rows too
    #[arg(long, value_name = "N", conflicts_with = "judged_rows")]
    pub extra_test_rows: Option<usize>,
    /// Maximum length of a text in tokens
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_length: usize,
    /// The peak learning rate
    #[arg(long, value_name = "RATE", default_value_t = 1e-4)]
    pub lr: f64,
    /// The full model, with the passes to choose from; the best on validation rows is what the others are compared with
    #[arg(long, value_name = "WAYS", value_delimiter = ',', default_value = "random:1x1,random:1x2,random:1x3")]
    pub reference: Vec<Way>,
    /// The ways: rows (random, uncertain, weighted), their share, passes; +layersN, +frozenN, +residual, +accelerated
    #[arg(
        long,
        value_name = "WAYS",
        value_delimiter = ',',
        default_value = "random:0.35x2,random:0.7x1,random:1x2+layers2,random:0.52x2+frozen3,uncertain:0.35x2,weighted:0.35x2,weighted:0.7x1,weighted:0.35x2+residual"
    )]
    pub ways: Vec<Way>,
    /// Seeds 0 to N − 1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Directory that each trained model's answers are kept in, so that a stopped run goes on
    #[arg(long, value_name = "DIR", default_value = "target/dht/less_training")]
    pub out: PathBuf,
    /// File that the results are written to, beside those of other data sets
    #[arg(long, value_name = "FILE", default_value = "docs/records/less_training.json")]
    pub record: PathBuf,
}

/// Trains in all ways, with all seeds.
///
/// # Errors
/// [`Error::TooLittle`] for too few rows; all errors of the data, the encoder, the training and the record.
pub fn less_training(arguments: &LessTrainingArguments) -> Result<LessTrainingRecord> {
    let mut record = match arguments.record.exists() {
        true => LessTrainingRecord::load(&arguments.record)?,
        false => LessTrainingRecord::default(),
    };
    let failed = |source| Error::Io { path: arguments.out.clone(), source };
    std::fs::create_dir_all(&arguments.out).map_err(failed)?;
    let ways: Vec<Way> = arguments.reference.iter().chain(&arguments.ways).copied().collect();
    let mut seeds = Vec::new();
    for seed in 0..arguments.seeds {
        seeds.push(of_seed(arguments, &ways, seed)?);
    }
    record.add(summary(arguments, &ways, &seeds));
    record.save(&arguments.record)?;
    Ok(record)
}

/// All ways of one seed.
struct OfSeed {
    data: String,
    rows: [usize; 3],
    truth: Vec<u32>,
    trained: Vec<Trained>,
    /// Of each of them, by kind of answer.
    macro_f1: Vec<Vec<f64>>,
}

fn of_seed(arguments: &LessTrainingArguments, ways: &[Way], seed: u64) -> Result<OfSeed> {
    let plan = RunPlan::try_from(Arguments {
        source: DataArguments {
            data: Some(arguments.data.clone()),
            max_length: Some(arguments.max_length),
            train_rows: Some(arguments.train_rows),
            // One test row has to be read; where others are judged, it is not used.
            test_rows: arguments.judged_rows.map(|_| 1),
            extra_test_rows: arguments.judged_rows.or(arguments.extra_test_rows),
            ..DataArguments::default()
        },
        model: Model::Directory(arguments.model.clone()),
        lr: Some(arguments.lr),
        seed,
        ..Arguments::parse_from(["less_training"])
    })?;
    let data = RunData::load(&plan)?;
    if seed == 0 {
        report(&data.record.summary());
    }
    let first = usize::from(arguments.judged_rows.is_some());
    let judged = EncodedDataset { samples: data.test.samples[first..].to_vec(), ..data.test.clone() };
    if let Some(least) = arguments.judged_rows.filter(|least| judged.len() < *least) {
        return Err(Error::TooLittle { data: data.record.name.clone(), what: "rows left", least, got: judged.len() });
    }
    let encoder = encoder(&plan, &data, &plan.device.open()?)?;
    let classes = data.train.labels.len();
    let blank = TextClassifier::new(
        encoder.truncated(encoder.layers())?,
        classes,
        pooling(&plan),
        &mut rng(&plan, CLASSIFIERS),
    )?;
    let settings = NgramSettings { left_out: data.tokenizer.tokens_around()?, ..NgramSettings::default() };
    let start = Instant::now();
    let ngram = NgramClassifier::fit(&data.train, &settings, FullModel::of(&blank), &mut rng(&plan, CLASSIFIERS))?;
    let front_seconds = start.elapsed().as_secs_f64();
    let fit_flops = ngram.flops;
    let front_flops = ngram.classifier.flops_of_all(&judged).into_iter().sum();
    let of = |data: &EncodedDataset| ngram.classifier.log_probabilities_of_all(data);
    let (validation, answers) = (of(&data.validation)?, of(&judged)?);
    let truth: Vec<u32> = judged.samples.iter().map(|sample| sample.label).collect();
    report(&format!("seed {seed}, n-gram model alone: {:.4}", answers.accuracy(&truth)));
    let front = [&ngram.out_of_fold, &validation, &answers];
    let common = Common {
        plan: &plan,
        data: &data,
        encoder: &encoder,
        judged: &judged,
        front,
        front_flops,
        fit_flops,
        front_seconds,
    };
    let mut trained: Vec<Trained> = Vec::new();
    for way in ways {
        let key = format!(
            "{way}, lr {}, {} rows, {} tokens, seed {seed}, {} judged of {}",
            arguments.lr,
            arguments.train_rows,
            arguments.max_length,
            judged.len(),
            data.record.sha256
        );
        let name = format!("{}.{way}.seed-{seed}.json", data.record.name).replace(':', "-");
        let path = arguments.out.join(name);
        let found = kept(&path, &key).map_or_else(|| common.fine_tune(way, key), Ok)?;
        write_atomically(&path, |file| Ok(serde_json::to_writer(file, &found)?))?;
        let share = |labels: &[u32]| right(labels, &truth).iter().sum::<f64>() / truth.len().max(1) as f64;
        for answer in &found.answers {
            report(&format!(
                "seed {seed}, {way}, {}: {:.4} (validation {:.4}), {:.3e} FLOPs, {:.0} s",
                answer.name,
                share(&answer.labels),
                answer.validation,
                answer.train_flops as f64,
                answer.train_seconds
            ));
        }
        trained.push(found);
    }
    let rows = [data.train.len(), data.validation.len(), judged.len()];
    let indices = |labels: &[u32]| labels.iter().map(|label| *label as usize).collect::<Vec<_>>();
    let score = |labels: &[u32]| Confusion::from_labels(classes, &indices(&truth), &indices(labels));
    let scores = |trained: &Trained| {
        trained.answers.iter().map(|answer| Ok(score(&answer.labels)?.macro_f1())).collect::<Result<_>>()
    };
    let macro_f1 = trained.iter().map(scores).collect::<Result<_>>()?;
    Ok(OfSeed { data: data.record.name.clone(), rows, truth, trained, macro_f1 })
}

/// What an earlier run has kept of the same training.
fn kept(path: &Path, key: &str) -> Option<Trained> {
    let found: Trained = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (found.key == key).then_some(found)
}

/// A bit for each row that is right.
fn bits(right: &[f64]) -> String {
    packed(&right.iter().map(|right| *right > 0.5).collect::<Vec<_>>())
}

/// 1 for each row whose class was found, else 0.
fn right(labels: &[u32], truth: &[u32]) -> Vec<f64> {
    labels.iter().zip(truth).map(|(found, label)| f64::from(u8::from(found == label))).collect()
}

fn summary(arguments: &LessTrainingArguments, ways: &[Way], seeds: &[OfSeed]) -> TrainedOn {
    let mean = |of: &dyn Fn(&OfSeed) -> f64| seeds.iter().map(of).sum::<f64>() / seeds.len().max(1) as f64;
    let candidates = 0..arguments.reference.len();
    let score = |way: usize| mean(&|seed: &OfSeed| seed.trained[way].answers[0].validation);
    let reference = candidates.reduce(|best, way| if score(way) > score(best) { way } else { best }).unwrap_or(0);
    let pairs =
        || (0..ways.len()).flat_map(|way| (0..seeds[0].trained[way].answers.len()).map(move |answer| (way, answer)));
    // The cheap model: of all stacked ones that cost no more than the share, the best on validation rows. A cascade's threshold is the
    // best on these rows, which flatters it there.
    let flops = |way: usize, answer: usize| mean(&|seed| seed.trained[way].answers[answer].train_flops as f64);
    let validation = |(way, answer): (usize, usize)| mean(&|seed| seed.trained[way].answers[answer].validation);
    let is_cheap = |(way, answer): &(usize, usize)| {
        let name = &seeds[0].trained[*way].answers[*answer].name;
        name == STACKED && flops(*way, *answer) <= CHEAP * flops(reference, 0)
    };
    let cheap =
        pairs().filter(is_cheap).reduce(|best, pair| if validation(pair) > validation(best) { pair } else { best });
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut row = |way: usize, answer: usize| {
        let of = |seed: &OfSeed, of: &dyn Fn(&Answer) -> f64| {
            let [own, other] = [&seed.trained[way].answers[answer], &seed.trained[reference].answers[0]].map(of);
            (own, other)
        };
        let ratio = |value: &dyn Fn(&Answer) -> f64| {
            mean(&|seed| {
                let (own, other) = of(seed, value);
                own / other
            })
        };
        let of_seeds = |of: &dyn Fn(&OfSeed) -> f64| Summary::of(&seeds.iter().map(of).collect::<Vec<_>>());
        let right_of =
            |seed: &OfSeed, way: usize, answer: usize| right(&seed.trained[way].answers[answer].labels, &seed.truth);
        let less = |one: (usize, usize), other: (usize, usize)| -> Vec<Vec<f64>> {
            let of_seed = |seed: &OfSeed| {
                let pairs = right_of(seed, one.0, one.1).into_iter().zip(right_of(seed, other.0, other.1));
                pairs.map(|(one, other)| one - other).collect()
            };
            seeds.iter().map(of_seed).collect()
        };
        let differences = less((way, answer), (reference, 0));
        let others = cheap.filter(|cheap| *cheap != (way, answer));
        let clock = &|answer: &Answer| answer.train_seconds;
        let (own, whole) = of(&seeds[0], clock);
        TrainedWay {
            way: ways[way].to_string(),
            description: ways[way].described(),
            answer: seeds[0].trained[way].answers[answer].name.clone(),
            reference: way == reference && answer == 0,
            cheap: cheap == Some((way, answer)),
            accuracy: of_seeds(&|seed| {
                let right = right_of(seed, way, answer);
                right.iter().sum::<f64>() / right.len().max(1) as f64
            }),
            macro_f1: of_seeds(&|seed| seed.macro_f1[way][answer]),
            to_reference: Interval::of_paired(&differences, &mut rng),
            deficit_upper95: Interval::upper_bound_of_deficit(&differences, &mut rng),
            cheap_above: others.map(|cheap| Interval::of_paired(&less(cheap, (way, answer)), &mut rng)),
            right: seeds.iter().zip(0..).map(|(seed, at)| (at, bits(&right_of(seed, way, answer)))).collect(),
            train_flops_ratio: ratio(&|answer| answer.train_flops as f64),
            fits_counted: true,
            train_wall_ratio: own / whole,
            inference_flops_ratio: ratio(&|answer| answer.inference_flops as f64),
        }
    };
    TrainedOn {
        data: seeds[0].data.clone(),
        rows: seeds[0].rows,
        test: arguments.judged_rows.is_none(),
        seeds: (0..arguments.seeds).collect(),
        ways: pairs().map(|(way, answer)| row(way, answer)).collect(),
    }
}
