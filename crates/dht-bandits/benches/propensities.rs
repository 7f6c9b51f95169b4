//! Cost of a propensity: `decide` compared with `select`, in CPU time of the process.
//!
//! `cargo bench -p dht-bandits --bench propensities`; as a smoke test, `-- --test`.

use std::hint::black_box;

use cpu_time::ProcessTime;
use dht_bandits::{
    ArmId, Policy, Request, Result, Ridge, Thompson, Ucb,
    exploration::{EpsilonGreedy, Exploration, Softmax, SquareCb},
    policy::{Disjoint, SharedPropensity, TopK},
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

const DIMENSION: usize = 20;

fn normals(count: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| 0.2 * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut rng)).collect()
}

/// Median microseconds per call of two functions, measured in turns that take about `seconds` each.
fn compare(seconds: f64, mut left: impl FnMut(), mut right: impl FnMut()) -> (f64, f64) {
    let turns = if seconds > 0.0 { 15 } else { 1 };
    let time = |act: &mut dyn FnMut(), calls: u32| {
        let begin = ProcessTime::now();
        (0..calls).for_each(|_| act());
        begin.elapsed().as_secs_f64() / f64::from(calls) * 1e6
    };
    let calls = |act: &mut dyn FnMut()| {
        let mut calls = 1;
        while seconds > 0.0 && time(act, calls) * f64::from(calls) < seconds * 1e6 {
            calls *= 2;
        }
        calls
    };
    let (of_left, of_right) = (calls(&mut left), calls(&mut right));
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..turns {
        times.0.push(time(&mut left, of_left));
        times.1.push(time(&mut right, of_right));
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    (median(times.0), median(times.1))
}

fn print(what: &str, rule: &str, arms: usize, (select, decide): (f64, f64)) {
    println!("| {what} | {rule} | {arms} | {select:.2} | {decide:.2} | {:.2} |", decide / select);
}

fn rows_of<E: Exploration>(name: &str, rule: E, arms: usize, seconds: f64, slates: bool) -> Result<()> {
    let (context, rows) = (normals(DIMENSION, 1), normals(DIMENSION * arms, 2));
    let ids: Vec<_> = (0..arms as u64).map(ArmId::new).collect();
    let rng = || ChaCha8Rng::seed_from_u64(3);
    let options = Ridge::default();
    let mut disjoint = Disjoint::<Ridge, E>::new(DIMENSION, arms, options, rule.clone())?;
    let mut shared = TopK::<Ridge, E>::shared(DIMENSION, options, rule)?;
    for (row, &arm) in rows.chunks(DIMENSION).zip(&ids) {
        disjoint.update(arm, row, row[0], 1.0)?;
        Policy::update(&mut shared, arm, row, row[0], 1.0)?;
    }
    let request = Request::new(&context);
    let (mut left, mut right) = (rng(), rng());
    let times = compare(
        seconds,
        || drop(black_box(disjoint.select(&request, &mut left))),
        || drop(black_box(disjoint.decide(&request, &mut right))),
    );
    print("weights of each arm", name, arms, times);
    let request = Request::new(&[]).featured(&ids, &rows, DIMENSION)?;
    let (mut left, mut right) = (rng(), rng());
    let times = compare(
        seconds,
        || drop(black_box(Policy::select(&shared, &request, &mut left))),
        || drop(black_box(Policy::decide(&shared, &request, &mut right))),
    );
    print("shared weights", name, arms, times);
    if slates {
        let (mut left, mut right) = (rng(), rng());
        let times = compare(
            seconds,
            || drop(black_box(shared.select_slate(5, &request, &mut left))),
            || drop(black_box(shared.decide_slate(5, &request, &mut right))),
        );
        print("slates of five", name, arms, times);
    }
    Ok(())
}

/// Times Thompson sampling with shared weights, for each method by which its propensity is computed.
fn thompson(method: SharedPropensity, name: &str, arms: usize, seconds: f64) -> Result<()> {
    let rows = normals(DIMENSION * arms, 2);
    let ids: Vec<_> = (0..arms as u64).map(ArmId::new).collect();
    let policy = TopK::<Ridge, _>::shared(DIMENSION, Ridge::default(), Thompson { alpha: 0.5 })?;
    let policy = policy.with_shared_propensity(method)?;
    let request = Request::new(&[]).featured(&ids, &rows, DIMENSION)?;
    let (mut left, mut right) = (ChaCha8Rng::seed_from_u64(3), ChaCha8Rng::seed_from_u64(3));
    let times = compare(
        seconds,
        || drop(black_box(Policy::select(&policy, &request, &mut left))),
        || drop(black_box(policy.decide_slate(1, &request, &mut right))),
    );
    print("shared weights", name, arms, times);
    Ok(())
}

fn main() -> Result<()> {
    let test = std::env::args().any(|argument| argument == "--test");
    let (seconds, sizes): (f64, &[usize]) = if test { (0.0, &[10]) } else { (0.02, &[10, 100, 1000]) };
    println!("| policy | rule | arms | select, µs | decide, µs | decide/select |\n|---|---|---|---|---|---|");
    for &arms in sizes {
        rows_of("UCB", Ucb { alpha: 0.5 }, arms, seconds, true)?;
        rows_of("ε-greedy", EpsilonGreedy::new(0.1), arms, seconds, true)?;
        rows_of("SquareCB", SquareCb::new(10.0), arms, seconds, false)?;
        rows_of("softmax", Softmax { temperature: 0.1 }, arms, seconds, true)?;
        thompson(SharedPropensity::Omitted, "Thompson, none", arms, seconds)?;
        thompson(SharedPropensity::Estimated { lines: 128 }, "Thompson, 128 lines", arms, seconds)?;
        thompson(SharedPropensity::default(), "Thompson, 2,048 lines", arms, seconds)?;
        if arms <= 100 {
            thompson(SharedPropensity::Integral, "Thompson, integral", arms, seconds)?;
        }
    }
    Ok(())
}
