//! What leaving out layers, heads and neurons really saves: the share of the full encoder's time beside the share of
//! its FLOPs, both measured in turns in one run.
//!
//! ```text
//! cargo bench -p dht-transformer --bench pruning
//! ```

mod setting;

use std::time::Instant;

use dht_transformer::{
    Classifier, Encoder, HeadPlan, HeadSet, PackedBatch, Pass, Result, cross_entropy, product_flops,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use setting::{measuring, setting};

/// What of a 12-layer, 12-head encoder runs.
struct Route {
    name: &'static str,
    layers: usize,
    heads: HeadPlan,
    neurons: Option<usize>,
}

fn run(encoder: &Encoder, classifier: &Classifier, batch: &PackedBatch, route: &Route, trains: bool) -> Result<f64> {
    let start = Instant::now();
    let pass = if trains { Pass::training(encoder.parameters(), 1, 1) } else { Pass::inference() };
    let mut hidden = encoder.embed(batch, &pass)?;
    for layer in 0..route.layers {
        hidden = encoder.layer(layer, &hidden, &route.heads, route.neurons, &pass)?;
    }
    let logits = classifier.forward(&hidden, &pass)?;
    if trains {
        let loss = cross_entropy(&logits, &batch.labels)?.mean_all()?;
        std::hint::black_box(pass.backward(&loss, encoder.parameters())?);
    }
    std::hint::black_box(logits);
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Eight of twelve heads, drawn in units of `unit` neighbours, another set for each of `sets` groups of the texts.
fn drawn(texts: usize, sets: usize, unit: usize) -> Result<HeadPlan> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut draw = || {
        let chosen = rand::seq::index::sample(&mut rng, 12 / unit, 8 / unit);
        HeadSet::from_indices(chosen.into_iter().flat_map(|first| first * unit..(first + 1) * unit), 12)
    };
    let drawn = (0..sets).map(|_| draw()).collect::<Result<Vec<_>>>()?;
    Ok(HeadPlan::PerSample((0..texts).map(|text| drawn[text % sets]).collect()))
}

fn main() -> Result<()> {
    let rounds = if measuring() { 15 } else { 1 };
    // Attention alone: one neuron is all that is left of the feed-forward.
    let (encoder, classifier, batch) = setting("12x12x192", 0.0, 64, 64)?;
    let route = |name, heads| Route { name, layers: 12, heads, neurons: Some(1) };
    let texts = batch.len();
    let attention = [
        route("attention, 12 heads", HeadPlan::Full),
        route("8 heads, one set", HeadPlan::Same(HeadSet::full(8)?)),
        route("8 heads, a set for each of 4 buckets", drawn(texts, 4, 1)?),
        route("8 heads, a set a text", drawn(texts, texts, 1)?),
        route("8 heads in pairs, a set a text", drawn(texts, texts, 2)?),
        route("8 heads in fours, a set a text", drawn(texts, texts, 4)?),
    ];
    for trains in [false, true] {
        compare("12x12x192", (&encoder, &classifier, &batch), &attention, trains, rounds)?;
    }
    for (size, texts, tokens) in [("12x12x192", 32, 64), ("12x12x96", 64, 16)] {
        let (encoder, classifier, batch) = setting(size, 0.1, texts, tokens)?;
        let half = HeadPlan::Same(HeadSet::from_indices((0..12).step_by(2), 12)?);
        let own: Vec<_> =
            (0..batch.len()).map(|text| HeadSet::from_indices((0..6).map(|h| (h + text) % 12), 12)).collect();
        let own = HeadPlan::PerSample(own.into_iter().collect::<Result<_>>()?);
        let narrow = Some(encoder.config().intermediate_size / 2);
        let routes = [
            Route { name: "all", layers: 12, heads: HeadPlan::Full, neurons: None },
            Route { name: "4 of 12 layers", layers: 4, heads: HeadPlan::Full, neurons: None },
            Route { name: "6 of 12 heads", layers: 12, heads: half.clone(), neurons: None },
            Route { name: "6 of 12 heads, 12 sets in the batch", layers: 12, heads: own, neurons: None },
            Route { name: "half the neurons", layers: 12, heads: HeadPlan::Full, neurons: narrow },
            Route { name: "6 of 12 heads, half the neurons", layers: 12, heads: half, neurons: narrow },
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
    let tokens = batch.spans.tokens() / batch.len();
    let what = if trains { "forward and backward" } else { "forward" };
    println!("\n{size}, {} x {tokens} tokens, {what}", batch.len());
    println!("{:38} {:>9} {:>7} {:>7} {:>12} {:>9}", "", "ms", "time", "FLOPs", "time/FLOPs", "realised");
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
    for (route, (time, count)) in routes.iter().zip(medians.iter().zip(&flops)) {
        let (time_share, flop_share) = (time / medians[0], *count as f64 / flops[0] as f64);
        let realised = match flop_share < 1.0 {
            true => format!("{:.0} %", 100.0 * (1.0 - time_share) / (1.0 - flop_share)),
            false => String::new(),
        };
        let (name, ratio) = (route.name, time_share / flop_share);
        println!("{name:38} {:9.2} {time_share:7.3} {flop_share:7.3} {ratio:12.2} {realised:>9}", 1e3 * time);
    }
    Ok(())
}
