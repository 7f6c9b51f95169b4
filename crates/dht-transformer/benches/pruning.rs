//! Benchmark of the time saved by skipping layers, heads and neurons. It compares the share of the full encoder's time
//! with the share of its FLOPs; all variants run in turns.
//!
//! ```text
//! cargo bench -p dht-transformer --bench pruning
//! ```
//!
//! With `-- --json` it prints each table as one line of JSON for `scripts/compare-encoder`, which writes the tables to
//! `docs/speed.md`.

mod setting;

use std::time::Instant;

use dht_transformer::{
    Classifier, Encoder, ForwardContext, HeadPlan, HeadSet, PackedBatch, Pooling, Result, SampleGroup,
    config::KeptDimensions, flops::FlopCount, tensors::cross_entropy,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use setting::{measuring, setting};

/// Variant of an encoder: the layers, heads and neurons that run.
struct Route<'a> {
    name: &'static str,
    model: &'a (Encoder, Classifier),
    layers: usize,
    /// Heads and neurons that run for groups of samples; `None` for all.
    groups: Option<Vec<SampleGroup>>,
}

fn run(batch: &PackedBatch, route: &Route<'_>, trains: bool) -> Result<f64> {
    let start = Instant::now();
    let (encoder, classifier) = route.model;
    let ctx = if trains { ForwardContext::training(encoder.parameters(), 1, 1) } else { ForwardContext::inference() };
    let hidden = encoder.embed(batch, &ctx)?;
    let hidden = match &route.groups {
        Some(groups) => encoder.run_groups(0..route.layers, &hidden, groups, &ctx)?,
        None => encoder.run(0..route.layers, &hidden, &HeadPlan::Full, &ctx)?,
    };
    let logits = classifier.forward(&hidden, &ctx)?;
    if trains {
        let loss = cross_entropy(&logits, &batch.labels)?.mean_all()?;
        std::hint::black_box(ctx.backward(&loss, encoder.parameters())?);
    }
    std::hint::black_box(logits);
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Draws eight of twelve heads, in units of `unit` neighbouring heads, for each of `sets` groups of texts. A group
/// consists of neighbouring texts, or of every `sets`-th text.
fn drawn(texts: usize, sets: usize, unit: usize, neighbours: bool, neurons: usize) -> Result<Vec<SampleGroup>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut draw = || {
        let chosen = rand::seq::index::sample(&mut rng, 12 / unit, 8 / unit);
        HeadSet::from_indices(chosen.into_iter().flat_map(|first| first * unit..(first + 1) * unit), 12)
    };
    let drawn = (0..sets).map(|_| draw()).collect::<Result<Vec<_>>>()?;
    let set = |text: usize| if neighbours { text * sets / texts } else { text % sets };
    Ok((0..texts).map(|text| SampleGroup { samples: 1, heads: drawn[set(text)], neurons }).collect())
}

/// Group in which all texts run the same heads and neurons.
fn alike(batch: &PackedBatch, heads: HeadSet, neurons: usize) -> Vec<SampleGroup> {
    vec![SampleGroup { samples: batch.len(), heads, neurons }]
}

fn main() -> Result<()> {
    let rounds = if measuring() { 15 } else { 1 };
    // Measures attention: the feed-forward has only one neuron.
    let (encoder, classifier, batch) = setting("12x12x192", 0.0, 64, 64)?;
    let (model, texts) = ((encoder, classifier), batch.len());
    let route = |name, groups| Route { name, model: &model, layers: 12, groups: Some(groups) };
    let attention = [
        route("attention alone, 12 heads", alike(&batch, HeadSet::full(12)?, 1)),
        route("8 heads, one set", alike(&batch, HeadSet::full(8)?, 1)),
        route("8 heads, a set for each of 4 groups", drawn(texts, 4, 1, true, 1)?),
        route("the same 4 sets, texts mixed", drawn(texts, 4, 1, false, 1)?),
        route("8 heads, a set a text", drawn(texts, texts, 1, true, 1)?),
        route("8 heads in pairs, a set a text", drawn(texts, texts, 2, true, 1)?),
        route("8 heads in fours, a set a text", drawn(texts, texts, 4, true, 1)?),
    ];
    for trains in [false, true] {
        compare("12x12x192", &batch, &attention, trains, rounds)?;
    }
    for (size, texts, tokens) in [("12x12x192", 32, 64), ("12x12x96", 64, 16)] {
        let (encoder, classifier, batch) = setting(size, 0.1, texts, tokens)?;
        let all = HeadSet::full(12)?;
        let half = HeadSet::from_indices((0..12).step_by(2), 12)?;
        let neurons = encoder.config().intermediate_size;
        let model = (encoder, classifier);
        let route = |name, layers, groups| Route { name, model: &model, layers, groups: Some(groups) };
        let groups = [all, half, HeadSet::full(8)?, HeadSet::full(10)?];
        // Four groups of texts run different numbers of heads, and the same share of the neurons.
        let quarter = batch.len().div_ceil(4);
        let shares = groups.iter().enumerate().map(|(place, heads)| SampleGroup {
            samples: quarter.min(batch.len().saturating_sub(place * quarter)),
            heads: *heads,
            neurons: (heads.len() * neurons).div_ceil(12),
        });
        let routes = [
            route("all", 12, alike(&batch, all, neurons)),
            route("4 of 12 layers", 4, alike(&batch, all, neurons)),
            route("6 of 12 heads", 12, alike(&batch, half, neurons)),
            route("half the neurons", 12, alike(&batch, all, neurons / 2)),
            route("6 of 12 heads, half the neurons", 12, alike(&batch, half, neurons / 2)),
            route("4 groups of 12, 6, 8, 10 heads and neurons", 12, shares.collect()),
        ];
        for trains in [false, true] {
            compare(size, &batch, &routes, trains, rounds)?;
        }
    }
    // Measures layers with removed dimensions, in which each matrix has its own size.
    let (encoder, classifier, batch) = setting("4x12x384", 0.1, 32, 64)?;
    let some = [
        ("half the inputs of Q, K and V", [0.5, 1.0, 1.0, 1.0]),
        ("half the outputs of each head", [1.0, 0.5, 1.0, 1.0]),
        ("half the neurons", [1.0, 1.0, 0.5, 1.0]),
        ("half the heads", [1.0, 1.0, 1.0, 0.5]),
        ("half the inputs, outputs and neurons", [0.5, 0.5, 0.5, 1.0]),
        ("a quarter of the inputs, outputs and neurons", [0.25, 0.25, 0.25, 1.0]),
    ];
    let small = some.map(|(name, shares)| small(&encoder, shares).map(|model| (name, model)));
    let small = small.into_iter().collect::<Result<Vec<_>>>()?;
    let whole = ("all", (encoder, classifier));
    let routes = [&whole].into_iter().chain(&small);
    let routes: Vec<_> = routes.map(|(name, model)| Route { name, model, layers: 4, groups: None }).collect();
    for trains in [false, true] {
        compare("4x12x384", &batch, &routes, trains, rounds)?;
    }
    Ok(())
}

/// Prunes an encoder to shares of its inputs, of each head's outputs, of its neurons and of its heads; the remaining
/// units are drawn at random.
fn small(encoder: &Encoder, [inputs, outputs, neurons, heads]: [f64; 4]) -> Result<(Encoder, Classifier)> {
    let config = encoder.config();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut some = |all: usize, share: f64| -> Vec<usize> {
        let mut list = rand::seq::index::sample(&mut rng, all, (all as f64 * share).round() as usize).into_vec();
        list.sort_unstable();
        list
    };
    let plans = (0..encoder.layers()).map(|_| {
        let kept_heads = some(config.num_attention_heads, heads);
        let mut of_heads = || -> Vec<Vec<usize>> {
            (0..config.num_attention_heads).map(|_| some(config.head_size(), outputs)).collect()
        };
        let (query_key_outputs, value_outputs) = (of_heads(), of_heads());
        let dimensions = KeptDimensions {
            query_inputs: some(config.hidden_size, inputs),
            key_inputs: some(config.hidden_size, inputs),
            value_inputs: some(config.hidden_size, inputs),
            query_key_outputs,
            value_outputs,
        };
        let dimensions = dimensions.without_heads(|head| kept_heads.contains(&head));
        (dimensions, some(config.intermediate_size, neurons))
    });
    let mut small = encoder.prune_dimensions(&plans.collect::<Vec<_>>())?;
    let classifier = small.add_classifier("classifier", 4, Pooling::Mean, &mut ChaCha8Rng::seed_from_u64(3))?;
    Ok((small, classifier))
}

/// Runs all variants in turns, so that other load on the machine affects all of them alike, and prints their times.
fn compare(size: &str, batch: &PackedBatch, routes: &[Route<'_>], trains: bool, rounds: usize) -> Result<()> {
    let mut seconds = vec![Vec::new(); routes.len()];
    let mut flops = vec![0; routes.len()];
    // The first round only warms up: memory is allocated, and clock rates rise.
    for round in 0..=rounds {
        for (route, (seconds, flops)) in routes.iter().zip(seconds.iter_mut().zip(&mut flops)) {
            let before = FlopCount::executed().0;
            let time = run(batch, route, trains)?;
            seconds.extend((round > 0).then_some(time));
            *flops = FlopCount::executed().0 - before;
        }
    }
    let medians: Vec<f64> = seconds.into_iter().map(median).collect();
    let rows = routes.iter().zip(medians.iter().zip(&flops)).map(|(route, (seconds, count))| {
        let (time, flops) = (seconds / medians[0], *count as f64 / flops[0] as f64);
        (route.name, *seconds, time, flops)
    });
    let rows: Vec<_> = rows.collect();
    let tokens = batch.spans.tokens() / batch.len();
    let what = if trains { "forward and backward" } else { "forward" };
    if std::env::args().any(|argument| argument == "--json") {
        let title = format!("{size}, {} × {tokens} tokens, {what}", batch.len());
        println!("{}", json!({"title": title, "rounds": rounds, "rows": rows}));
        return Ok(());
    }
    println!("\n{size}, {} x {tokens} tokens, {what}", batch.len());
    println!("{:45} {:>9} {:>7} {:>7} {:>12}", "", "ms", "time", "FLOPs", "time/FLOPs");
    for (name, seconds, time, flops) in rows {
        println!("{name:45} {:9.2} {time:7.3} {flops:7.3} {:12.2}", 1e3 * seconds, time / flops);
    }
    Ok(())
}
