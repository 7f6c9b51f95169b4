//! Benchmark of training and inference, for a dynamic model from a search and for the full model. A training step is a
//! forward and a backward pass without the optimiser; inference predicts test texts. Texts are from the embedded
//! corpus, and models have the sizes of the examples.
//!
//! ```text
//! scripts/bench            # or: cargo bench --bench end_to_end
//! ```
//!
//! The dynamic model is T-DHT with default settings after one short epoch, when its bandits are past their warm-up. Its
//! routes depend on what it has learned. Therefore compare the ratio of times with the ratio of FLOPs, which is printed
//! first.

use candle_core::Device;
use clap::Parser;
use criterion::{Criterion, criterion_group, criterion_main};
use dht_dynamic::evaluate;
use dht_lab::{Arguments, RunData, RunPlan};
use dht_search::{Preset, SearchModel, SearchObjective, SearchSettings};
use dht_transformer::{
    EncodedDataset, Encoder, Objective, PackedBatch, Pooling, Progress, TextClassifier, TrainSettings, Trainer,
    config::ModelSize, train::Predict,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 32;
/// Number of predicted texts.
const TEXTS: &str = "512";
/// Number of training texts of the dynamic model.
const ROWS: &str = "3000";

struct Bench {
    data: RunData,
    full: TextClassifier,
    dynamic: SearchObjective,
    batch: PackedBatch,
}

impl Bench {
    fn new() -> Outcome<Self> {
        let flags = ["end_to_end", "--train-rows", ROWS, "--test-rows", TEXTS, "--quiet"];
        let data = RunData::load(&RunPlan::try_from(Arguments::parse_from(flags))?)?;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let config = ModelSize { layers: 7, heads: 12, hidden: 96 }.config(data.tokenizer.vocabulary_size())?;
        let (encoder, classes) = (Encoder::random(&config, &Device::Cpu, &mut rng)?, data.train.labels.len());
        let full = TextClassifier::new(encoder.truncated(encoder.layers())?, classes, Pooling::Cls, &mut rng)?;
        let space = Preset::TDht.space(encoder.layers(), encoder.block_shape().heads)?;
        let settings = SearchSettings { pooling: Pooling::Cls, ..SearchSettings::default() };
        let mut dynamic = SearchObjective::new(SearchModel::new(encoder, space, settings, classes, &mut rng)?)?;
        let nothing = EncodedDataset { samples: Vec::new(), ..data.test.clone() };
        let training = TrainSettings { epochs: 1, keep_best: false, ..TrainSettings::default() };
        Trainer::new(training).fit(&mut dynamic, &data.train, &nothing, &mut ())?;
        let batch = data.train.batch(&PackedBatch::in_order(BATCH, BATCH)?[0])?;
        Ok(Self { data, full, dynamic, batch })
    }

    fn flops_ratio(&self) -> Outcome<f64> {
        let evaluation = evaluate(self.dynamic.model(), &self.data.test, 2 * BATCH)?;
        Ok((evaluation.flops + evaluation.routing_flops) as f64
            / self.dynamic.model().full_inference_flops(&self.data.test) as f64)
    }
}

/// Runs a forward and a backward pass of a batch as at the end of a training run, when bandits select routes. Weights
/// do not change.
fn step<O: Objective>(objective: &mut O, batch: &PackedBatch, step: u64) -> Outcome
where
    O::Error: std::error::Error + 'static,
{
    let progress = Progress { seed: 1, step, epoch: 0, share: 1.0 };
    let mut ready = objective.offer(batch.clone(), progress)?;
    loop {
        let Some(step) = ready.take().map_or_else(|| objective.next_loss(progress, false), |step| Ok(Some(step)))?
        else {
            break;
        };
        std::hint::black_box(step.ctx.backward(&step.loss, objective.parameters())?);
    }
    Ok(())
}

fn end_to_end(criterion: &mut Criterion) {
    let mut bench = Bench::new().expect("a model for the embedded corpus");
    eprintln!("inference FLOPs of the dynamic model over the full one's: {:.3}", bench.flops_ratio().expect("texts"));
    let mut count = 0;
    let mut group = criterion.benchmark_group("training step");
    group.bench_function("full", |bencher| {
        bencher.iter(|| {
            step(&mut bench.full, &bench.batch, {
                count += 1;
                count
            })
            .expect("a step")
        });
    });
    group.bench_function("dynamic", |bencher| {
        bencher.iter(|| {
            step(&mut bench.dynamic, &bench.batch, {
                count += 1;
                count
            })
            .expect("a step")
        });
    });
    group.finish();
    let mut group = criterion.benchmark_group("inference");
    group.sample_size(20);
    group.bench_function("full", |bencher| {
        bencher.iter(|| bench.full.predictions(&bench.data.test, 2 * BATCH).expect("predictions"));
    });
    group.bench_function("dynamic", |bencher| {
        bencher.iter(|| evaluate(bench.dynamic.model(), &bench.data.test, 2 * BATCH).expect("predictions"));
    });
    group.finish();
}

criterion_group!(benches, end_to_end);
criterion_main!(benches);
