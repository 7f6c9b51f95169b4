//! Compares a device with the CPU and measures its speed: `cargo run --release --features cuda --example device_check
//! -- --device cuda`
//!
//! Weights and texts are random. The program compares rows, loss, gradients, head gates, and parameters after AdamW
//! steps. The encoder is small and has dropout, and texts run different heads and neurons. The results must equal the
//! CPU's in single precision, within the rounding of each precision of the device. A T-DHT trained on the routes that
//! bandits selected on the CPU must predict the same.
//!
//! Then inference and a training step of BERT-base's size on 64 texts of 128 tokens are timed in each precision, and
//! the path from texts to labels. The program prints one JSON object, and exits with 1 if a comparison fails.
//! `scripts/gpu-check` runs it.

mod routes;

use std::process::ExitCode;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use clap::Parser;
use dht_cli::DeviceChoice;
use dht_lab::record::this_machine;
use dht_lab::{Result, exit_code};
use dht_transformer::tensors::cross_entropy;
use dht_transformer::train::optim::{AdamW, ParameterGroups};
use dht_transformer::{
    AdamWSettings, BertConfig, Classifier, EncodedDataset, Encoder, Encoding, Error, ForwardContext, HeadSet,
    PackedBatch, Pooling, Precision, Sample, SampleGroup, TextClassifier, TextTokenizer,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Compare a device with the CPU, and measure its speed
#[derive(Parser)]
struct Arguments {
    /// Device to check: cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE")]
    device: DeviceChoice,
    /// Number of timed repetitions
    #[arg(long, default_value_t = 10)]
    repetitions: usize,
    /// Number of layers of the timed encoder
    #[arg(long, default_value_t = 12)]
    layers: usize,
    /// Compare only, without timing
    #[arg(long)]
    compare_only: bool,
    /// Time only, without comparisons, such as for a profiler
    #[arg(long, conflicts_with = "compare_only")]
    time_only: bool,
    /// Check only this precision [default: each that the device has]
    #[arg(long)]
    precision: Option<Precision>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut passed = false;
    let code = exit_code(check(&arguments).map(|(ok, report)| {
        passed = ok;
        println!("{report:#}");
    }));
    if passed || code != ExitCode::SUCCESS { code } else { ExitCode::FAILURE }
}

fn check(arguments: &Arguments) -> Result<(bool, Value)> {
    let device = arguments.device.open()?;
    let mut comparisons = Vec::new();
    let precisions: Vec<_> = match arguments.precision {
        Some(precision) => vec![precision],
        None => {
            let all = [Precision::F32, Precision::Tf32, Precision::Bf16];
            all.into_iter().filter(|precision| precision.check_on(&device).is_ok()).collect()
        }
    };
    let shapes: &[_] = if arguments.time_only { &[] } else { &[(4, 32), (2, 128), (1, 96)] };
    for &(heads, hidden) in shapes {
        let cpu = steps(&Device::Cpu, (heads, hidden), Precision::F32)?;
        for precision in &precisions {
            let other = steps(&device, (heads, hidden), *precision)?;
            for ((what, expected), (_, actual)) in cpu.iter().zip(&other) {
                // Gradients add up thousands of rounded products in another order. If products are rounded, a few
                // numbers differ much. AdamW's first steps have the size of the learning rate for any gradient, so a
                // gradient that is only rounding error can take any step. The parameters after these steps are
                // therefore compared as a whole, and in f32 only.
                let (far, most) = match (precision, what.starts_with("rows")) {
                    (Precision::F32, _) if what.ends_with("steps") => (distance(actual, expected), 2e-3),
                    (Precision::F32, true) => (worst(actual, expected), 1e-4),
                    (Precision::F32, false) => (worst(actual, expected), 2e-3),
                    (_, _) if what.ends_with("steps") || what.starts_with("loss of step") => continue,
                    (Precision::Tf32, _) => (distance(actual, expected), 0.02),
                    (_, rows) => (distance(actual, expected), if rows { 0.03 } else { 0.15 }),
                };
                let what = format!("{what}, {heads} heads of {}", hidden / heads);
                let precision = precision.to_string();
                comparisons.push(
                    json!({"what": what, "precision": precision, "far": far, "at_most": most, "ok": far <= most}),
                );
            }
        }
    }
    if !arguments.time_only {
        let routes = routes::recorded()?;
        let (cpu, other) = (routes::replayed(&Device::Cpu, &routes)?, routes::replayed(&device, &routes)?);
        let (far, most) = (worst(&other.probabilities, &cpu.probabilities), 1e-4);
        let ok = far <= most && other.flops == cpu.flops;
        let what = "probabilities of a T-DHT trained on recorded routes";
        let flops = [cpu.flops, other.flops];
        comparisons
            .push(json!({"what": what, "precision": "f32", "far": far, "at_most": most, "flops": flops, "ok": ok}));
    }
    let ok = comparisons.iter().all(|comparison| comparison["ok"] == true);
    let times = match arguments.compare_only {
        true => Vec::new(),
        false => precisions.iter().map(|precision| times(arguments, &device, *precision)).collect::<Result<_, _>>()?,
    };
    let machine = serde_json::to_value(this_machine(&device)).unwrap_or_default();
    let device = arguments.device.to_string();
    Ok((ok, json!({"device": device, "machine": machine, "ok": ok, "comparisons": comparisons, "times": times})))
}

/// Largest difference as a share of the largest number; infinite if the lengths differ.
fn worst(actual: &[f32], expected: &[f32]) -> f64 {
    let largest = expected.iter().fold(1e-6_f32, |largest, number| largest.max(number.abs()));
    let differences = actual.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs() / largest));
    // `max` would ignore NaN, which must not be lost.
    let worst = differences.fold(0.0, |worst: f64, it| if it.is_nan() { f64::INFINITY } else { worst.max(it) });
    if actual.len() == expected.len() { worst } else { f64::INFINITY }
}

/// Relative distance ‖actual − expected‖ / ‖expected‖; infinite if the lengths differ.
fn distance(actual: &[f32], expected: &[f32]) -> f64 {
    let norm = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|number| f64::from(number).powi(2)).sum::<f64>();
    let difference = norm(&mut actual.iter().zip(expected).map(|(a, b)| a - b));
    let distance = (difference / norm(&mut expected.iter().copied()).max(1e-12)).sqrt();
    if actual.len() == expected.len() && !distance.is_nan() { distance } else { f64::INFINITY }
}

fn text(id: u64, tokens: u32, vocabulary: u32) -> Sample {
    let ids: Vec<u32> = (0..tokens).map(|token| 5 + (7919 * token + 31 * id as u32) % (vocabulary - 5)).collect();
    let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
    Sample { id, label: id as u32 % 3, targets: Vec::new(), encoding }
}

fn model(config: &BertConfig, device: &Device, precision: Precision) -> Result<(Encoder, Classifier), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut encoder = Encoder::random(config, device, &mut rng)?;
    let classifier = encoder.add_classifier("classifier", 3, Pooling::Pooler, &mut rng)?;
    encoder.parameters().compute_in(precision)?;
    Ok((encoder, classifier))
}

fn optimizer(encoder: &Encoder) -> Result<AdamW, Error> {
    let settings = AdamWSettings { learning_rate: 1e-3, ..AdamWSettings::default() };
    AdamW::new(settings, &ParameterGroups::standard(encoder.parameters()), encoder.parameters())
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// Results of a small encoder in inference and in three training steps.
fn steps(
    device: &Device,
    (heads, hidden): (usize, usize),
    precision: Precision,
) -> Result<Vec<(String, Vec<f32>)>, Error> {
    let mut config = BertConfig::small(3, heads, hidden, 90)?;
    (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (0.2, 0.3);
    let (encoder, classifier) = model(&config, device, precision)?;
    let lengths = [9, 1, 40, 4, 70].into_iter().zip([2, 3, 11, 7, 5]);
    let batch = PackedBatch::from_samples(&lengths.map(|(tokens, id)| text(id, tokens, 90)).collect::<Vec<_>>())?;
    let (all, last) = (HeadSet::full(heads)?, HeadSet::from_indices([heads - 1], heads)?);
    let groups = [(2, last, 11), (1, all, 4 * hidden), (1, last, 11), (1, all, 40)]
        .map(|(samples, heads, neurons)| SampleGroup { samples, heads, neurons });
    let run = |ctx: &ForwardContext| encoder.run_groups(0..3, &encoder.embed(&batch, ctx)?, &groups, ctx);
    let mut tensors = vec![("rows of inference".to_owned(), numbers(run(&ForwardContext::inference())?.tensor())?)];
    let mut optimizer = optimizer(&encoder)?;
    for step in 0..3 {
        let ctx = ForwardContext::training(encoder.parameters(), 9, step).with_head_gate_gradients();
        let rows = run(&ctx)?;
        let loss = cross_entropy(&classifier.forward(&rows, &ctx)?, &batch.labels)?.mean_all()?;
        let gradients = ctx.backward(&loss, encoder.parameters())?;
        if step == 0 {
            tensors.push(("rows of training".into(), numbers(rows.tensor())?));
            let mut gates = ctx.head_gate_gradients();
            gates.sort_by_key(|gate| (gate.layer, gate.sample, gate.head));
            tensors.push(("head gates".into(), gates.iter().map(|gate| gate.gradient).collect()));
            for (id, name, var) in encoder.parameters().iter() {
                let gradient =
                    gradients.get(id).map_or(Ok(Vec::new()), |gradient| numbers(&gradient.to_tensor(var)?))?;
                tensors.push((format!("gradient of {name}"), gradient));
            }
        }
        optimizer.step(encoder.parameters(), &gradients, 1e-3)?;
        tensors.push((format!("loss of step {step}"), vec![loss.to_scalar()?]));
    }
    // The bias of keys shifts all scores of a query equally. Its gradient is only rounding error, which AdamW scales up
    // to a full step.
    for (_, name, var) in encoder.parameters().iter().filter(|(_, name, _)| !name.ends_with("qkv.bias")) {
        tensors.push((format!("{name} after three steps"), numbers(var.as_tensor())?));
    }
    Ok(tensors.into_iter().filter(|(what, _)| !what.ends_with("qkv.bias")).collect())
}

/// Times an encoder of BERT-base's size: 768 columns, 12 heads, and a vocabulary of 30,522 tokens.
fn times(arguments: &Arguments, device: &Device, precision: Precision) -> Result<Value, Error> {
    const TEXTS: u64 = 64;
    const TOKENS: u32 = 128;
    let config = BertConfig::small(arguments.layers, 12, 768, 30_522)?;
    let (encoder, classifier) = model(&config, device, precision)?;
    let batch = PackedBatch::from_samples(&(0..TEXTS).map(|id| text(id, TOKENS, 30_522)).collect::<Vec<_>>())?;
    let all = dht_transformer::HeadPlan::Full;
    let logits = |ctx: &ForwardContext| {
        let rows = encoder.run(0..arguments.layers, &encoder.embed(&batch, ctx)?, &all, ctx)?;
        classifier.forward(&rows, ctx)
    };
    let ctx = ForwardContext::inference();
    let inference = median(arguments.repetitions, device, |_| logits(&ctx).map(|_| ()))?;
    let mut optimizer = optimizer(&encoder)?;
    let training = median(arguments.repetitions, device, |step| {
        let ctx = ForwardContext::training(encoder.parameters(), 1, step);
        let loss = cross_entropy(&logits(&ctx)?, &batch.labels)?.mean_all()?;
        optimizer.step(encoder.parameters(), &ctx.backward(&loss, encoder.parameters())?, 1e-5).map(|_| ())
    })?;
    drop(optimizer);
    let of = |seconds: f64| json!({"seconds": seconds, "texts_per_second": TEXTS as f64 / seconds});
    let texts = text_to_label(&config, device, precision)?;
    let shape = json!({"layers": arguments.layers, "hidden": 768, "heads": 12, "texts": TEXTS, "tokens": TOKENS});
    let precision = precision.to_string();
    Ok(json!({"precision": precision, "shape": shape, "inference": of(inference), "training_step": of(training),
        "text_to_label": texts}))
}

/// Times the path from texts of random words to labels: the tokenizer on the CPU, then the classifier in batches of 64.
fn text_to_label(config: &BertConfig, device: &Device, precision: Precision) -> Result<Value, Error> {
    const TEXTS: usize = 2_048;
    const WORDS: usize = 90;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let word = |rng: &mut ChaCha8Rng| -> String {
        // Words have few letters, so that they repeat.
        (0..rng.random_range(2..6)).map(|_| rng.random_range('a'..'g')).collect()
    };
    let texts: Vec<String> =
        (0..TEXTS).map(|_| (0..WORDS).map(|_| word(&mut rng)).collect::<Vec<_>>().join(" ")).collect();
    let tokenizer = TextTokenizer::train(texts.iter().take(200).map(String::as_str), 2_000)?;
    let classifier = TextClassifier::new(Encoder::random(config, device, &mut rng)?, 3, Pooling::Pooler, &mut rng)?;
    classifier.encoder().parameters().compute_in(precision)?;
    let labels: Vec<String> = ["one", "two", "three"].map(String::from).into();
    let run = |texts: &[String]| -> Result<(f64, f64, usize), Error> {
        let start = Instant::now();
        let encode = |(id, text): (usize, &String)| -> Result<Sample, Error> {
            let encoding = tokenizer.encode(text, None, 128)?;
            Ok(Sample { id: id as u64, label: 0, targets: Vec::new(), encoding })
        };
        let samples = texts.iter().enumerate().map(encode).collect::<Result<Vec<_>, _>>()?;
        let tokenizing = start.elapsed().as_secs_f64();
        let data = EncodedDataset { samples, labels: labels.clone(), truncated_rows: 0 };
        let answers = classifier.probabilities_of_all(&data, 64)?;
        let tokens = data.lengths().iter().sum::<usize>();
        Ok((tokenizing, start.elapsed().as_secs_f64(), tokens / answers.len().max(1)))
    };
    run(&texts[..128])?;
    let (tokenizing, seconds, tokens) = run(&texts)?;
    Ok(json!({"texts": TEXTS, "mean_tokens": tokens, "tokenizing_seconds": tokenizing, "seconds": seconds,
        "texts_per_second": TEXTS as f64 / seconds}))
}

/// Median time of several runs after three warm-up runs; each run ends when the device has finished.
fn median(repetitions: usize, device: &Device, mut work: impl FnMut(u32) -> Result<(), Error>) -> Result<f64, Error> {
    let mut seconds = Vec::new();
    for run in 0..repetitions.max(1) + 3 {
        device.synchronize()?;
        let start = Instant::now();
        work(run as u32)?;
        device.synchronize()?;
        if run >= 3 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}
