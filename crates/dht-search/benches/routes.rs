//! Bench of the question whether saved FLOPs save time. It reports the wall-clock time of a dynamic model as a ratio to
//! the full model's time, and the ratio of their FLOPs. The ratios are measured at three speeds, in inference and in
//! training without queues. The bandits' share of the time is reported too.
//!
//! ```text
//! cargo bench -p dht-search --bench routes -- [--encoder DIR] [--data DIR] [--model DIR] [--page docs/speed-of-routes.md]
//! ```
//!
//! `--encoder` is a Hugging Face directory (by default `$DHT_MODELS/minilm-l6`). `--data` is a directory with `train.*`
//! and `test.*` (by default `$DHT_DATA/ag_news`). `--model` is a directory for the dynamic model: the model is loaded
//! from it, or trained for a short time and saved to it. Both models run the same texts in the same batches in turns;
//! each reports its fastest turn.

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;
use dht_dynamic::Error as Dynamic;
use dht_dynamic::{SpeedCurve, evaluate};
use dht_search::{Error, Preset, Result, SearchModel, SearchObjective, SearchSettings, settings::ExitLosses};
use dht_search::{
    transformer::data::{NamedDataset, Split},
    transformer::storage::write_atomically,
    transformer::tensors::log_softmax,
    transformer::{
        DatasetReader, EncodedDataset, Encoder, ForwardContext, Objective, PackedBatch, Pooling, Progress,
        TextClassifier, TextTokenizer, TrainSettings, Trainer,
    },
};
use dht_toys::outside;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// candle allocates for every operation, so a program that needs speed takes a fast allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const START: &str = "<!-- routes: cargo bench -p dht-search --bench routes -->";
const END: &str = "<!-- end of routes -->";
const TOKENS: usize = 128;
const TRAINING_TEXTS: usize = 3_000;
const TEST_TEXTS: usize = 800;
const BATCH: usize = 64;
const STEP_BATCH: usize = 32;
const STEPS: usize = 6;
const TURNS: usize = 5;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` only builds it.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    // Cargo runs a bench in the folder of its package; paths are relative to the workspace's.
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let value_of = |flag: &str| {
        let index = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(index + 1).map(|path| workspace.join(path))
    };
    let path_of = |flag: &str, variable: &str, part: &str| value_of(flag).or_else(|| outside(variable, part));
    let at_hand = (path_of("--encoder", "DHT_MODELS", "minilm-l6"), path_of("--data", "DHT_DATA", "ag_news"));
    let (Some(encoder), Some(data)) = at_hand else { return Ok(()) };
    let texts = Texts::read(&encoder, &data)?;
    let model = dynamic_model(&encoder, value_of("--model"), &texts)?;
    let report = measured(&model, &texts)?;
    println!("{report}");
    value_of("--page").map_or(Ok(()), |page| write_page(&page, &report))
}

/// Texts for training, for the selection of the speed, and for the measurement.
struct Texts {
    tokenizer: TextTokenizer,
    training: EncodedDataset,
    held_out: EncodedDataset,
    test: EncodedDataset,
}

impl Texts {
    fn read(encoder: &Path, data: &Path) -> Result<Self> {
        let tokenizer = TextTokenizer::from_dir(encoder)?;
        let train = NamedDataset::reader_of_files(data)
            .read(DatasetReader::find(data, Split::Train)?)?
            .take(TRAINING_TEXTS + TEST_TEXTS);
        let test = DatasetReader::new().like(&train).read(DatasetReader::find(data, Split::Test)?)?.take(TEST_TEXTS);
        let mut training = tokenizer.encode_all(&train, TOKENS)?;
        let samples = training.samples.split_off(TRAINING_TEXTS.min(training.len() / 2));
        let held_out = EncodedDataset { samples, ..training.clone() };
        let test = tokenizer.encode_all(&test, TOKENS)?;
        Ok(Self { tokenizer, training, held_out, test })
    }
}

/// Loads the model from the directory, or trains one.
fn dynamic_model(encoder: &Path, folder: Option<PathBuf>, texts: &Texts) -> Result<SearchModel> {
    if let Some(folder) = folder.as_ref().filter(|folder| folder.is_dir()) {
        return Ok(SearchModel::load(folder, &Device::Cpu)?.0);
    }
    let encoder = Encoder::from_pretrained(encoder, &Device::Cpu)?;
    let space = Preset::TDht.space(encoder.layers(), encoder.block_shape().heads)?;
    let labels = &texts.training.labels;
    // Routes are random for nearly the whole run: every exit and every number of heads learns, and the speed has a
    // range.
    let settings = SearchSettings {
        exit_losses: ExitLosses::Weighted { weight: 0.3, power: 0.0 },
        pooling: Pooling::Mean,
        explore_power: 0.0,
        explore_share: 0.99,
        ..SearchSettings::default()
    };
    let model = SearchModel::new(encoder, space, settings, labels.len(), &mut ChaCha8Rng::seed_from_u64(1))?;
    let mut search = SearchObjective::new(model)?;
    let nothing = EncodedDataset { samples: Vec::new(), ..texts.test.clone() };
    let training = TrainSettings { epochs: 1, keep_best: false, ..TrainSettings::default() };
    Trainer::new(training).fit(&mut search, &texts.training, &nothing, &mut ())?;
    let model = search.into_model();
    if let Some(folder) = folder {
        model.save(folder, Some(&texts.tokenizer), labels)?;
    }
    Ok(model)
}

/// Measurement of one setting: its fastest turn.
#[derive(Clone, Copy)]
struct Clock {
    seconds: f64,
    bandit_seconds: f64,
    flops: f64,
}

impl Clock {
    const NONE: Self = Self { seconds: f64::INFINITY, bandit_seconds: f64::INFINITY, flops: 0.0 };

    fn least(&mut self, other: Self) {
        self.bandit_seconds = self.bandit_seconds.min(other.bandit_seconds);
        self.seconds = self.seconds.min(other.seconds);
        self.flops = other.flops;
    }
}

fn measured(model: &SearchModel, texts: &Texts) -> Result<String> {
    let routed = model.clone().into();
    let mut curve = SpeedCurve::new(&routed, &texts.held_out, BATCH)?;
    let (least, most) = curve.range();
    let speeds = curve.budgets(5)[1..4]
        .iter()
        .map(|budget| curve.calibrate(*budget))
        .collect::<dht_dynamic::Result<Vec<_>>>()?;
    let copy = model.encoder().truncated(model.encoder().layers())?;
    let classes = texts.test.labels.len();
    let mut full = TextClassifier::new(copy, classes, model.settings().pooling, &mut ChaCha8Rng::seed_from_u64(1))?;
    let steps = PackedBatch::in_order(STEPS * STEP_BATCH, STEP_BATCH)?;
    let steps = steps.iter().map(|rows| texts.held_out.batch(rows)).collect::<Result<Vec<_>, _>>()?;
    let stepped =
        EncodedDataset { samples: texts.held_out.samples[..STEPS * STEP_BATCH].to_vec(), ..texts.test.clone() };
    let full_flops = [model.full_inference_flops(&texts.test), model.full_training_flops(&stepped)];

    let (mut plain, mut dynamic) = ([Clock::NONE; 2], vec![[Clock::NONE; 2]; speeds.len()]);
    for _ in 0..TURNS {
        let seconds = inference_seconds(&full, &texts.test)?;
        plain[0].least(Clock { seconds, bandit_seconds: 0.0, flops: full_flops[0] as f64 });
        let seconds = training_seconds(&mut full, &steps)?;
        plain[1].least(Clock { seconds, bandit_seconds: 0.0, flops: full_flops[1] as f64 });
        for (point, clocks) in speeds.iter().zip(&mut dynamic) {
            let mut at_speed = SearchObjective::new(model.with_speed(point.speed)?)?;
            let start = Instant::now();
            let evaluation = evaluate(at_speed.model(), &texts.test, BATCH)?;
            clocks[0].least(Clock {
                seconds: start.elapsed().as_secs_f64(),
                bandit_seconds: evaluation.routing_seconds,
                flops: (evaluation.flops + evaluation.routing_flops) as f64,
            });
            let before = at_speed.accounting().clone();
            let seconds = training_seconds(&mut at_speed, &steps)?;
            let after = at_speed.accounting();
            clocks[1].least(Clock {
                seconds,
                bandit_seconds: after.bandit_seconds - before.bandit_seconds,
                flops: (after.flops + after.bandit_flops - before.flops - before.bandit_flops) as f64,
            });
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut report = format!(
        "{cores} threads; inference of {} texts in batches of {BATCH} of like lengths ({:.2} s in the full model), \
         training steps of {STEP_BATCH} texts in their order, without optimiser ({:.0} ms a step); least of {TURNS} turns. \
         The speed goes from {least:.3} to {most:.3} of the full model's FLOPs.\n\n\
         | | λ | FLOPs over the full model's | clock over the full model's | clock ratio over FLOPs ratio (goal ≤ 1.15) | \
         the bandits' share of the clock |\n|---|---:|---:|---:|---:|---:|\n",
        texts.test.len(),
        plain[0].seconds,
        1e3 * plain[1].seconds / STEPS as f64,
    );
    for (way, name, goal) in [(0, "inference", 2), (1, "training step", 1)] {
        for (point, clocks) in speeds.iter().zip(&dynamic) {
            let (flops, clock) = (clocks[way].flops / plain[way].flops, clocks[way].seconds / plain[way].seconds);
            report += &format!(
                "| {name} | {:.3} | {flops:.3} | {clock:.3} | {:.2} | {:.2} % (goal ≤ {goal} %) |\n",
                point.speed,
                clock / flops,
                100.0 * clocks[way].bandit_seconds / clocks[way].seconds
            );
        }
    }
    Ok(report)
}

/// Predicts texts by the full model, in the same batches as an evaluation and, like it, in one pass.
fn inference_seconds(full: &TextClassifier, texts: &EncodedDataset) -> Result<f64> {
    let (start, ctx) = (Instant::now(), ForwardContext::inference());
    for rows in PackedBatch::longest_first(&texts.lengths(), BATCH)? {
        let logits = full.logits(&texts.batch(&rows)?, &ctx)?;
        std::hint::black_box(log_softmax(&logits)?.to_vec2::<f32>()?);
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Runs forward and backward passes of batches. The weights do not change.
fn training_seconds<O: Objective>(objective: &mut O, batches: &[PackedBatch]) -> Result<f64>
where
    Error: From<O::Error>,
{
    let start = Instant::now();
    for (step, batch) in batches.iter().enumerate() {
        // The end of a training run: the bandits select routes.
        let progress = Progress { seed: 1, step: step as u64, epoch: 0, share: 1.0 };
        objective.offer(batch.clone(), progress)?;
        while let Some(step) = objective.next_loss(progress, false)? {
            std::hint::black_box(step.ctx.backward(&step.loss, objective.parameters())?);
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Replaces the figures between the page's marker lines.
fn write_page(page: &Path, report: &str) -> Result<()> {
    let io =
        |source| Error::Dynamic(Dynamic::Transformer(dht_search::transformer::Error::Io { path: page.into(), source }));
    let text = std::fs::read_to_string(page).map_err(io)?;
    let missing = || io(std::io::Error::other(format!("lacks the lines {START} and {END}")));
    let (before, rest) = text.split_once(START).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(write_atomically(page, |file| write!(file, "{before}{START}\n{report}{END}{after}"))?)
}
