//! Microseconds per select and update, for each size; a streaming read of the packed triangles is the floor.

use std::hint::black_box;

use cpu_time::ThreadTime;
use dht_bandits::{ArmId, LinTs, LinUcb, Policy, Request, Ridge, Thompson, Ucb};
use irithyll::bandits::ContextualBandit;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

const SIZES: [(usize, usize); 6] = [(16, 10), (16, 100), (64, 10), (64, 100), (256, 10), (256, 100)];
const CONTEXTS: usize = 128;
/// Samples a figure is the median of. Time is the thread's own, so that other work on the machine counts little.
const SAMPLES: usize = 41;

/// One thing to be timed.
type Work<'a> = (&'static str, &'static str, Box<dyn FnMut(usize) + 'a>);

pub fn run() {
    let only: Vec<String> = std::env::args().skip(2).collect();
    for (d, k) in SIZES {
        let name = format!("{d}x{k}");
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let contexts: Vec<Vec<f64>> = (0..CONTEXTS)
            .map(|_| {
                (0..d)
                    .map(|_| {
                        let z: f64 = StandardNormal.sample(&mut rng);
                        z / (d as f64).sqrt()
                    })
                    .collect()
            })
            .collect();
        measure(d, k, &contexts);
    }
}

fn measure(d: usize, k: usize, contexts: &[Vec<f64>]) {
    let mut ucb = LinUcb::new(d, k, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    let mut informed = LinUcb::new(d, k, Ridge::default().with_keep_information(true), Ucb { alpha: 1.0 }).unwrap();
    let mut ts = LinTs::new(d, k, Ridge::default(), Thompson { alpha: 1.0 }).unwrap();
    let mut panda = trashpanda::Bandit::new(0..k, trashpanda::policies::LinUcb::new(1.0, 1.0, d)).unwrap();
    let mut irithyll = irithyll::bandits::LinUCB::with_lambda(k, d, 1.0, 1.0);
    // Every arm has learned something everywhere, so that nothing reads zeros and nothing is lazily made.
    for round in 0..3 * k {
        let (arm, context) = (round % k, &contexts[round % CONTEXTS]);
        let reward = (round % 2) as f64;
        for policy in [&mut ucb, &mut informed] {
            policy.update(ArmId::new(arm as u64), context, reward, 1.0).unwrap();
        }
        ts.update(ArmId::new(arm as u64), context, reward, 1.0).unwrap();
        panda.partial_fit(&[arm], &context[..], &[reward]).unwrap();
        irithyll.update(arm, context, reward);
    }
    let bytes: Vec<f64> = (0..d * (d + 1) / 2 * k).map(|index| index as f64 * 1e-9).collect();
    let ucb_select = ucb.clone();
    let panda_select = panda.clone();
    let mut irithyll_select = irithyll.clone();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut rng_ts = ChaCha8Rng::seed_from_u64(2);
    let mut rng_09 = <rand_09::rngs::SmallRng as rand_09::SeedableRng>::seed_from_u64(1);
    let mut rng_round = ChaCha8Rng::seed_from_u64(1);
    let mut ucb_round = ucb.clone();
    let context = |i: usize| &contexts[i % CONTEXTS][..];
    let ts_select = ts.clone();
    let mut work: Vec<Work<'_>> = vec![
        (
            "floor",
            "select",
            Box::new(|_| {
                black_box(stream(&bytes));
            }),
        ),
        (
            "dht-bandits LinUcb",
            "select",
            Box::new(|i| drop(black_box(ucb_select.select(&Request::new(context(i)), &mut rng)))),
        ),
        (
            "dht-bandits LinTs",
            "select",
            Box::new(|i| drop(black_box(ts_select.select(&Request::new(context(i)), &mut rng_ts)))),
        ),
        ("trashpanda LinUcb", "select", Box::new(|i| drop(black_box(panda_select.predict(context(i), &mut rng_09))))),
        (
            "irithyll LinUCB",
            "select",
            Box::new(|i| {
                black_box(irithyll_select.select_arm(context(i)));
            }),
        ),
        (
            "dht-bandits LinUcb",
            "update",
            Box::new(|i| drop(black_box(ucb.update(ArmId::new((i % k) as u64), context(i), 1.0, 1.0)))),
        ),
        (
            "dht-bandits LinUcb, A and b kept",
            "update",
            Box::new(|i| drop(black_box(informed.update(ArmId::new((i % k) as u64), context(i), 1.0, 1.0)))),
        ),
        ("trashpanda LinUcb", "update", Box::new(|i| drop(black_box(panda.partial_fit(&[i % k], context(i), &[1.0]))))),
        ("irithyll LinUCB", "update", Box::new(|i| irithyll.update(i % k, context(i), 1.0))),
        (
            "dht-bandits LinUcb",
            "round",
            Box::new(|i| {
                let choice = ucb_round.select(&Request::new(context(i)), &mut rng_round).unwrap();
                ucb_round.update(choice.arm, context(i), 1.0, 1.0).unwrap();
            }),
        ),
    ];
    // As many calls a sample as fill a fifth of a millisecond; samples of all are interleaved, so that all meet the same weather.
    let mut next = 0;
    let calls: Vec<usize> = work
        .iter_mut()
        .map(|(_, _, call)| {
            // Doubled until the clock's own cost and the first, cold calls no longer count.
            let mut count = 1;
            loop {
                let start = ThreadTime::now();
                for _ in 0..count {
                    call(next);
                    next += 1;
                }
                let elapsed = start.elapsed().as_secs_f64();
                if elapsed > 1e-4 {
                    return ((2e-4 / elapsed * count as f64) as usize).max(1);
                }
                count *= 2;
            }
        })
        .collect();
    let mut times = vec![Vec::new(); work.len()];
    for _ in 0..SAMPLES {
        for (position, (_, _, call)) in work.iter_mut().enumerate() {
            // A few first, to bring its own data back into the cache, which the others have used since.
            for _ in 0..calls[position].div_ceil(10).max(calls[position].min(3)) {
                call(next);
                next += 1;
            }
            let start = ThreadTime::now();
            for _ in 0..calls[position] {
                call(next);
                next += 1;
            }
            times[position].push(start.elapsed().as_secs_f64() * 1e6 / calls[position] as f64);
        }
    }
    for ((peer, what, _), times) in work.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let (median, best) = (times[times.len() / 2], times[0]);
        println!("{}", serde_json::json!({"peer": peer, "what": what, "d": d, "k": k, "us": median, "best_us": best}));
    }
}

/// The sum of all values, with the widest loads the machine has.
fn stream(values: &[f64]) -> f64 {
    struct Sum<'a>(&'a [f64]);
    impl pulp::WithSimd for Sum<'_> {
        type Output = f64;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) -> f64 {
            let (vectors, tail) = S::as_simd_f64s(self.0);
            let mut sums = [simd.splat_f64s(0.0); 8];
            let mut eights = vectors.chunks_exact(8);
            for eight in &mut eights {
                for (sum, value) in sums.iter_mut().zip(eight) {
                    *sum = simd.add_f64s(*sum, *value);
                }
            }
            for value in eights.remainder() {
                sums[0] = simd.add_f64s(sums[0], *value);
            }
            sums.into_iter().map(|sum| simd.reduce_sum_f64s(sum)).sum::<f64>() + tail.iter().sum::<f64>()
        }
    }
    pulp::Arch::new().dispatch(Sum(values))
}
