//! This crate's side of `scripts/compare-encoder`. The program reads one JSON request on each line and prints one JSON
//! answer, so that runs of this crate and of its peers can take turns.
//!
//! ```text
//! {"work": "export", "size": "12x12x192", "model": DIRECTORY, "pooling": "mean"}
//! {"work": "tokens", "model": DIRECTORY, "data": DIRECTORY, "rows": 256, "batch": 32, "out": FILE}
//! {"work": "train", "model": DIRECTORY, "texts": 32, "tokens": 64}
//! {"work": "infer", "model": DIRECTORY, "texts": 32, "tokens": 64}       or "batches": FILE; "precision": "int8" if wanted
//! {"work": "memory", …}    the growth of the resident memory by some training steps
//! {"work": "profile", …}   seconds by kind of operation in a training step, or "of": "infer"
//! ```

mod operations;

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use dht_transformer::{
    AdamWSettings, Encoder, ForwardContext, HeadPlan, PackedBatch, Pooling, Precision, TextClassifier, TextTokenizer,
    config::ModelSize,
    data::{NamedDataset, Split},
    tensors::{Spans, cross_entropy},
    train::optim::{AdamW, ParameterGroups},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Allocator that reuses freed memory, as the allocators of the peers do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

const CLASSES: usize = 4;
/// Number of steps whose memory or operations are measured.
const STEPS: usize = 5;

fn text<'a>(request: &'a Value, field: &str) -> Outcome<&'a str> {
    request[field].as_str().ok_or_else(|| format!("{field} is missing in {request}").into())
}

fn count(request: &Value, field: &str) -> Outcome<usize> {
    request[field].as_u64().map(|n| n as usize).ok_or_else(|| format!("{field} is missing in {request}").into())
}

fn packed(texts: &[Vec<u32>]) -> Outcome<PackedBatch> {
    let ids: Vec<u32> = texts.concat();
    Ok(PackedBatch {
        targets: Vec::new(),
        type_ids: vec![0; ids.len()],
        ids,
        spans: Spans::from_lengths(texts.iter().map(Vec::len))?,
        labels: (0..texts.len()).map(|text| (text % CLASSES) as u32).collect(),
        sample_ids: (0..texts.len() as u64).collect(),
        rest: Vec::new(),
    })
}

/// Batches of a request: from a file, or one batch of generated texts with equal lengths.
fn batches(request: &Value, vocabulary: usize) -> Outcome<Vec<PackedBatch>> {
    if let Some(path) = request["batches"].as_str() {
        let batches: Vec<Vec<Vec<u32>>> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        return batches.iter().map(|texts| packed(texts)).collect();
    }
    let (texts, tokens) = (count(request, "texts")?, count(request, "tokens")?);
    let word = |place: usize| (place * 337 % vocabulary) as u32;
    let texts: Vec<Vec<u32>> = (0..texts).map(|t| (0..tokens).map(|i| word(t * tokens + i)).collect()).collect();
    Ok(vec![packed(&texts)?])
}

/// Work that a request repeats and times.
enum Work {
    Train {
        model: Box<TextClassifier>,
        batch: PackedBatch,
        optimizer: Box<AdamW>,
    },
    /// Inference. Its context caches packed weights, as the session of another runtime does.
    Infer {
        encoder: Box<Encoder>,
        batches: Vec<PackedBatch>,
        ctx: ForwardContext,
    },
}

impl Work {
    fn new(request: &Value) -> Outcome<Self> {
        let folder = text(request, "model")?;
        if [&request["work"], &request["of"]].into_iter().any(|what| what == "infer") {
            let encoder = Box::new(Encoder::from_pretrained(folder, &Device::Cpu)?);
            let batches = batches(request, encoder.config().vocab_size)?;
            let precision: Precision = request["precision"].as_str().map_or(Ok(Precision::F32), str::parse)?;
            return Ok(Self::Infer { encoder, batches, ctx: ForwardContext::inference_in(precision) });
        }
        let model = TextClassifier::load(folder, &Device::Cpu)?;
        let batch = batches(request, model.encoder().config().vocab_size)?.swap_remove(0);
        let parameters = model.encoder().parameters();
        let settings = AdamWSettings { clip_norm: None, ..AdamWSettings::default() };
        let optimizer = AdamW::new(settings, &ParameterGroups::standard(parameters), parameters)?;
        Ok(Self::Train { model: Box::new(model), batch, optimizer: Box::new(optimizer) })
    }

    /// Runs the work once. Returns the seconds, and numbers that peers must reproduce.
    fn run(&mut self) -> Outcome<(f64, Vec<f32>)> {
        let start = Instant::now();
        let check = match self {
            Self::Train { model, batch, optimizer } => {
                let parameters = model.encoder().parameters();
                let ctx = ForwardContext::training_without_dropout(parameters);
                let loss = cross_entropy(&model.logits(batch, &ctx)?, &batch.labels)?.mean_all()?;
                optimizer.step(parameters, &ctx.backward(&loss, parameters)?, 1e-5)?;
                vec![loss.to_scalar()?]
            }
            Self::Infer { encoder, batches, ctx } => {
                let mut pooled: Option<Tensor> = None;
                for batch in batches {
                    let hidden = encoder.embed(batch, ctx)?;
                    pooled = Some(encoder.run(0..encoder.layers(), &hidden, &HeadPlan::Full, ctx)?.mean_rows()?);
                }
                pooled.ok_or("no batches")?.get(0)?.narrow(0, 0, 4)?.to_vec1()?
            }
        };
        Ok((start.elapsed().as_secs_f64(), check))
    }
}

/// Writes a random classifier as a Hugging Face directory, and returns its logits for the generated texts.
fn export(request: &Value) -> Outcome<Value> {
    let config = text(request, "size")?.parse::<ModelSize>()?.config(count(request, "vocabulary")?)?;
    let pooling: Pooling = serde_json::from_value(request["pooling"].clone())?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    let model = TextClassifier::new(encoder, CLASSES, pooling, &mut rng)?;
    let labels: Vec<String> = (0..CLASSES).map(|class| format!("class {class}")).collect();
    model.save(text(request, "model")?, None, &labels)?;
    let batch = batches(request, config.vocab_size)?.swap_remove(0);
    Ok(json!({"logits": model.logits(&batch, &ForwardContext::inference())?.to_vec2::<f32>()?}))
}

/// Tokenises the first texts of a data set, and writes their token ids in batches.
fn tokens(request: &Value) -> Outcome<Value> {
    let tokenizer = TextTokenizer::from_dir(text(request, "model")?)?;
    let folder = Path::new(text(request, "data")?);
    let data = NamedDataset::reader_of_files(folder)
        .read(dht_transformer::DatasetReader::find(folder, Split::Test)?)?
        .take(count(request, "rows")?);
    let encoded = tokenizer.encode_all(&data, 256)?;
    let texts: Vec<&Vec<u32>> = encoded.samples.iter().map(|sample| &sample.encoding.ids).collect();
    let batches: Vec<&[&Vec<u32>]> = texts.chunks(count(request, "batch")?).collect();
    std::fs::write(text(request, "out")?, serde_json::to_string(&batches)?)?;
    let all: usize = encoded.lengths().iter().sum();
    let padded: usize = batches.iter().map(|b| b.len() * b.iter().map(|t| t.len()).max().unwrap_or(0)).sum();
    Ok(json!({"texts": texts.len(), "tokens": all, "padded": padded}))
}

/// Reads a memory field of `/proc/self/status`, in bytes.
fn resident(field: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(field)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<u64>()? * 1024)
}

/// Measures how much the resident memory grows during training steps, beyond its size before the first step, when the
/// model is loaded.
fn memory(request: &Value) -> Outcome<Value> {
    let mut work = Work::new(request)?;
    let before = resident("VmRSS")?;
    std::fs::write("/proc/self/clear_refs", "5")?; // the peak starts from here
    for _ in 0..STEPS {
        work.run()?;
    }
    Ok(json!({"bytes": resident("VmHWM")? - before}))
}

/// Measures the seconds of a step by kind of operation, summed over threads. For comparison, it returns the step's
/// FLOPs and the machine's peak FLOP/s.
fn profile(request: &Value) -> Outcome<Value> {
    let mut work = Work::new(request)?;
    for _ in 0..STEPS {
        work.run()?;
    }
    let times = operations::Times::install()?;
    times.clear();
    let before = dht_transformer::flops::FlopCount::executed().0;
    let start = Instant::now();
    for _ in 0..STEPS {
        work.run()?;
    }
    let steps = STEPS as f64;
    let operations: serde_json::Map<String, Value> =
        times.seconds().into_iter().map(|(name, seconds)| (name.into(), json!(seconds / steps))).collect();
    Ok(json!({
        "wall": start.elapsed().as_secs_f64() / steps,
        "flops": (dht_transformer::flops::FlopCount::executed().0 - before) as f64 / steps,
        "operations": operations,
        "gemm_peak": gemm_peak()?,
    }))
}

/// Measures the FLOP/s of a large matrix product on all threads; the best of several runs.
fn gemm_peak() -> Outcome<f64> {
    let size = 1536;
    let matrix = Tensor::rand(-1f32, 1.0, (size, size), &Device::Cpu)?;
    let mut best = f64::INFINITY;
    for _ in 0..8 {
        let start = Instant::now();
        std::hint::black_box(matrix.matmul(&matrix)?);
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(2.0 * (size as f64).powi(3) / best)
}

fn answer(line: &str, known: &mut HashMap<String, Work>) -> Outcome<Value> {
    let request: Value = serde_json::from_str(line)?;
    match text(&request, "work")? {
        "export" => export(&request),
        "tokens" => tokens(&request),
        "memory" => memory(&request),
        "profile" => profile(&request),
        _ => {
            if !known.contains_key(line) {
                known.insert(line.into(), Work::new(&request)?);
            }
            let (seconds, check) = known.get_mut(line).ok_or("no work")?.run()?;
            Ok(json!({"seconds": seconds, "check": check}))
        }
    }
}

fn main() -> Outcome<()> {
    if !std::env::args().any(|argument| argument == "serve") {
        return Ok(()); // `cargo bench` runs every bench; without its peers this one has nothing to say
    }
    let mut known = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&line?, &mut known)?;
        writeln!(std::io::stdout(), "{answer}")?;
        std::io::stdout().flush()?;
    }
    Ok(())
}
