//! Benchmark of a forward pass and of a whole training step.
//!
//! ```text
//! cargo bench -p dht-transformer --bench encoder
//! ```

mod setting;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use dht_transformer::{
    AdamWSettings, Classifier, Encoder, ForwardContext, HeadPlan, Hidden, PackedBatch, Result,
    tensors::cross_entropy,
    train::optim::{AdamW, ParameterGroups},
};
use setting::{measuring, setting};

fn forward(encoder: &Encoder, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Hidden> {
    encoder.run(0..encoder.layers(), &encoder.embed(batch, ctx)?, &HeadPlan::Full, ctx)
}

/// Runs a training step: forward pass, backward pass, clipping and AdamW.
fn step(
    encoder: &Encoder,
    classifier: &Classifier,
    batch: &PackedBatch,
    optimizer: &mut AdamW,
    number: u32,
) -> Result<()> {
    let parameters = encoder.parameters();
    let ctx = ForwardContext::training(parameters, 1, number);
    let logits = classifier.forward(&forward(encoder, batch, &ctx)?, &ctx)?;
    let loss = cross_entropy(&logits, &batch.labels)?.mean_all()?;
    optimizer.step(parameters, &ctx.backward(&loss, parameters)?, 1e-5)?;
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(if measuring() { 30 } else { 10 })
        .measurement_time(Duration::from_secs(8))
        .configure_from_args();

    let mut group = criterion.benchmark_group("forward");
    for (size, texts, tokens) in [("12x12x192", 32, 64), ("6x12x384", 32, 64), ("6x12x96", 64, 16)] {
        let (encoder, _, batch) = setting(size, 0.0, texts, tokens)?;
        group.throughput(Throughput::Elements((texts * tokens) as u64));
        group.bench_function(format!("{size}, {texts} x {tokens} tokens"), |bencher| {
            bencher.iter(|| black_box(forward(&encoder, &batch, &ForwardContext::inference())));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("training step");
    for (size, dropout, texts, tokens) in
        [("12x12x192", 0.1, 32, 64), ("12x12x192", 0.0, 32, 64), ("6x12x96", 0.1, 64, 16), ("6x12x96", 0.0, 64, 16)]
    {
        let (encoder, classifier, batch) = setting(size, dropout, texts, tokens)?;
        let groups = ParameterGroups::standard(encoder.parameters());
        let mut optimizer = AdamW::new(AdamWSettings::default(), &groups, encoder.parameters())?;
        let mut number = 0;
        group.throughput(Throughput::Elements((texts * tokens) as u64));
        group.bench_function(format!("{size}, dropout {dropout}, {texts} x {tokens} tokens"), |bencher| {
            bencher.iter(|| {
                number += 1;
                step(&encoder, &classifier, &batch, &mut optimizer, number).expect("a step of a sound model");
            });
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
