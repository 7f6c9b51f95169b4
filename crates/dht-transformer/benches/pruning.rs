//! What leaving out layers, heads and neurons really saves: the share of the full encoder's time beside the share of
//! its FLOPs, both measured in turns in one run.
//!
//! ```text
//! cargo bench -p dht-transformer --bench pruning
//! ```
//!
//! With `-- --json` it prints a table a line for `scripts/compare-encoder`, which writes them to `docs/speed.md`.

mod setting;

use std::time::Instant;

use dht_transformer::{
    Classifier, Encoder, ForwardContext, HeadSet, PackedBatch, Result, SampleGroup, flops::product_flops,
    tensors::cross_entropy,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use setting::{measuring, setting};

/// What of a 12-layer, 12-head encoder runs.
struct Route {
    name: &'static str,
    layers: usize,
    groups: Vec<SampleGroup>,
}

fn run(encoder: &Encoder, classifier: &Classifier, batch: &PackedBatch, route: &Route, trains: bool) -> Result<f64> {
    let start = Instant::now();
    let ctx = if trains { ForwardContext::training(encoder.parameters(), 1, 1) } else { ForwardContext::inference() };
    let hidden = encoder.embed(batch, &ctx)?;
    let hidden = encoder.run_groups(0..route.layers, &hidden, &route.groups, &ctx)?;
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

/// Eight of twelve heads, drawn in units of `unit` neighbours, another set for each of `sets` groups of the texts:
/// neighbouring texts, or every so-manieth.
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

/// All texts with the same heads and neurons.
fn alike(batch: &PackedBatch, heads: HeadSet, neurons: usize) -> Vec<SampleGroup> {
    vec![SampleGroup { samples: batch.len(), heads, neurons }]
}

fn main() -> Result<()> {
    let rounds = if measuring() { 15 } else { 1 };
    // Attention alone: one neuron is all that is left of the feed-forward.
    let (encoder, classifier, batch) = setting("12x12x192", 0.0, 64, 64)?;
    let texts = batch.len();
    let route = |name, groups| Route { name, layers: 12, groups };
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
        compare("12x12x192", (&encoder, &classifier, &batch), &attention, trains, rounds)?;
    }
    for (size, texts, tokens) in [("12x12x192", 32, 64), ("12x12x96", 64, 16)] {
        let (encoder, classifier, batch) = setting(size, 0.1, texts, tokens)?;
        let all = HeadSet::full(12)?;
        let half = HeadSet::from_indices((0..12).step_by(2), 12)?;
        let neurons = encoder.config().intermediate_size;
        let groups = [all, half, HeadSet::full(8)?, HeadSet::full(10)?];
        // Four groups of heads, in each of which as large a share of the neurons runs.
        let quarter = batch.len().div_ceil(4);
        let shares = groups.iter().enumerate().map(|(place, heads)| SampleGroup {
            samples: quarter.min(batch.len().saturating_sub(place * quarter)),
            heads: *heads,
            neurons: (heads.len() * neurons).div_ceil(12),
        });
        let routes = [
            Route { name: "all", layers: 12, groups: alike(&batch, all, neurons) },
            Route { name: "4 of 12 layers", layers: 4, groups: alike(&batch, all, neurons) },
            Route { name: "6 of 12 heads", layers: 12, groups: alike(&batch, half, neurons) },
            Route { name: "half the neurons", layers: 12, groups: alike(&batch, all, neurons / 2) },
            Route { name: "6 of 12 heads, half the neurons", layers: 12, groups: alike(&batch, half, neurons / 2) },
            Route { name: "4 groups of 12, 6, 8, 10 heads and neurons", layers: 12, groups: shares.collect() },
        ];
        for trains in [false, true] {
            compare(size, (&encoder, &classifier, &batch), &routes, trains, rounds)?;
        }
    }
    Ok(())
}

/// Runs all routes in turns, so that a busy moment of the machine falls on all alike, and prints what each took.
fn compare(
    size: &str,
    (encoder, classifier, batch): (&Encoder, &Classifier, &PackedBatch),
    routes: &[Route],
    trains: bool,
    rounds: usize,
) -> Result<()> {
    let mut seconds = vec![Vec::new(); routes.len()];
    let mut flops = vec![0; routes.len()];
    // The first round only warms up: memory is allocated, clocks rise.
    for round in 0..=rounds {
        for (route, (seconds, flops)) in routes.iter().zip(seconds.iter_mut().zip(&mut flops)) {
            let before = product_flops();
            let time = run(encoder, classifier, batch, route, trains)?;
            seconds.extend((round > 0).then_some(time));
            *flops = product_flops() - before;
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
