//! Microseconds per `select` and `update`. `cargo bench -p dht-bandits`; as a smoke test, `-- --test`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dht_bandits::{
    ArmId, LinTs, LinUcb, Normalizer, Policy, Request, Result, Ridge, Thompson, Ucb,
    exploration::Exploration,
    features::PyramidPool,
    policy::{ChoiceBatch, Disjoint, Hybrid, Slate, TopK},
    posterior::{DiagonalLaplace, FullLaplace, Posterior},
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

fn contexts(count: usize, dimension: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let scale = (dimension as f64).sqrt().recip();
    let mut draw = || {
        let normal: f64 = StandardNormal.sample(&mut rng);
        scale * normal
    };
    (0..count * dimension).map(|_| draw()).collect()
}

/// Times select and update of a policy whose arms have all learned something.
fn time<P: Posterior, E: Exploration>(criterion: &mut Criterion, name: &str, mut policy: Disjoint<P, E>) -> Result<()> {
    let (d, k) = (policy.dimension(), policy.arms().len());
    let rows = contexts(128, d);
    let row = |turn: usize| &rows[turn % 128 * d..][..d];
    for turn in 0..3 * k {
        policy.update(ArmId::new((turn % k) as u64), row(turn), (turn % 2) as f64, 1.0)?;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut turn = 0;
    criterion.bench_function(&format!("{name}/select/{d}x{k}"), |bencher| {
        bencher.iter(|| {
            turn += 1;
            black_box(policy.select(&Request::new(row(turn)), &mut rng))
        });
    });
    // One matrix product per arm, compared with scoring the same contexts one by one.
    let mut batch = ChoiceBatch::default();
    for count in [32, 128] {
        criterion.bench_function(&format!("{name}/select batch of {count}/{d}x{k}"), |bencher| {
            bencher.iter(|| policy.select_batch(&Request::new(&rows[..count * d]), &mut rng, &mut batch));
        });
        criterion.bench_function(&format!("{name}/select {count} times/{d}x{k}"), |bencher| {
            bencher.iter(|| {
                for row in rows[..count * d].chunks_exact(d) {
                    black_box(policy.select(&Request::new(row), &mut rng).is_ok());
                }
            });
        });
    }
    criterion.bench_function(&format!("{name}/update/{d}x{k}"), |bencher| {
        bencher.iter(|| {
            turn += 1;
            black_box(policy.update(ArmId::new((turn % k) as u64), row(turn), 1.0, 1.0))
        });
    });
    Ok(())
}

fn disjoint(criterion: &mut Criterion) -> Result<()> {
    let ridge = Ridge::default();
    for (d, k) in [(16, 10), (64, 100), (256, 100)] {
        time(criterion, "LinUcb", LinUcb::new(d, k, ridge, Ucb { alpha: 1.0 })?)?;
        time(criterion, "LinTs", LinTs::new(d, k, ridge, Thompson { alpha: 1.0 })?)?;
    }
    let storing = ridge.with_keep_information(true);
    time(criterion, "LinUcb keeping A and b", LinUcb::new(64, 100, storing, Ucb { alpha: 1.0 })?)?;
    time(criterion, "LogisticTs", Disjoint::new(64, 100, FullLaplace::default(), Thompson { alpha: 1.0 })?)
}

fn others(criterion: &mut Criterion) -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let arms: Vec<_> = (0..12).map(ArmId::new).collect();
    let rows = contexts(12, 13);
    let slates = TopK::per_arm(13, 12, DiagonalLaplace::default(), Thompson { alpha: 1.0 })?;
    let request = Request::new(&[]).featured(&arms, &rows, 13)?;
    let mut slate = Slate::default();
    criterion.bench_function("TopK<DiagonalLaplace, Thompson>/select 4 of 12x13", |bencher| {
        bencher.iter(|| slates.select_slate_into(4, &request, &mut rng, &mut slate));
    });
    let hybrid = Hybrid::new(16, 13, 12, 1.0, Ucb { alpha: 1.0 })?;
    let context = contexts(1, 16);
    let request = Request::new(&context).featured(&arms, &rows, 13)?;
    criterion.bench_function("Hybrid<Ucb>/select 16+13x12", |bencher| {
        bencher.iter(|| black_box(hybrid.select(&request, &mut rng)));
    });
    let arms: Vec<_> = (0..50).map(ArmId::new).collect();
    let rows = contexts(50, 16);
    let shared = TopK::shared(16, Ridge::default(), Thompson { alpha: 1.0 })?;
    let request = Request::new(&[]).featured(&arms, &rows, 16)?;
    criterion.bench_function("TopK<Ridge, Thompson>/propensities of 50x16", |bencher| {
        bencher.iter(|| black_box(shared.slate_propensities(1, &request)));
    });
    let pool = PyramidPool::grid(0..=1, 2..=4)?;
    let tokens = vec![0.5f32; 64 * 384];
    let mut normalizer = Normalizer::new(pool.dimension())?;
    criterion.bench_function("pool 64x384 to 84 and normalise", |bencher| {
        bencher.iter(|| -> Result<Vec<f64>> {
            let mut pooled = pool.pool(&tokens, &[64, 384])?;
            normalizer.observe(&pooled)?;
            normalizer.normalise_in_place(&mut pooled)?;
            Ok(pooled)
        });
    });
    Ok(())
}

fn all(criterion: &mut Criterion) {
    let outcome = disjoint(criterion).and_then(|()| others(criterion));
    assert!(outcome.is_ok(), "{outcome:?}");
}

criterion_group!(benches, all);
criterion_main!(benches);
