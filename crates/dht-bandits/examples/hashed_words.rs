//! Measures speed and reward of a sparse policy on labelled text in Vowpal Wabbit's format, used as bandit feedback.
//! `scripts/compare_hashed.py` runs it.
//!
//! Usage: `hashed_words FILE ARMS [BITS] [NGRAMS] [laplace|adagrad|adagrad-binary] [PARAMETER] [GAMMA] [SEED]`. It
//! prints the number of rows, the mean reward, the CPU seconds of parsing, choosing and learning together, and the
//! seconds without parsing.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;

use cpu_time::ProcessTime;
use dht_bandits::exploration::SquareCb;
use dht_bandits::features::{FeatureHasher, FeatureSpace};
use dht_bandits::log::{LoggedDecision, VowpalRows};
use dht_bandits::policy::{AdaGrad, RewardType, SparsePolicy};
use dht_bandits::posterior::DiagonalLaplace;
use dht_bandits::{Policy, Request};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

fn policy(
    space: FeatureSpace,
    arms: usize,
    model: &str,
    parameter: f64,
    gamma: f64,
) -> Result<Box<dyn Policy>, Box<dyn Error>> {
    let rule = SquareCb::new(gamma);
    let adagrad = |reward| AdaGrad::new(reward).with_learning_rate(parameter);
    Ok(match model {
        "laplace" => {
            Box::new(SparsePolicy::new(space, arms, DiagonalLaplace::default().with_prior_precision(parameter), rule)?)
        }
        "adagrad" => Box::new(SparsePolicy::new(space, arms, adagrad(RewardType::Real), rule)?),
        "adagrad-binary" => Box::new(SparsePolicy::new(space, arms, adagrad(RewardType::Binary), rule)?),
        other => return Err(format!("{other:?} is not a model: laplace, adagrad or adagrad-binary").into()),
    })
}

/// Plays one round, in which the reward is 1 if the chosen arm is the label. Returns the reward.
fn round(policy: &mut dyn Policy, row: &LoggedDecision, rng: &mut ChaCha8Rng) -> Result<f64, dht_bandits::Error> {
    let choice = policy.select(&Request::new(&row.context), rng)?;
    let reward = f64::from(u8::from(choice.arm == row.arm));
    policy.update(choice.arm, &row.context, reward, 1.0)?;
    Ok(reward)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |position: usize, default: &str| arguments.get(position).map_or(default.to_owned(), Clone::clone);
    let path =
        arguments.first().ok_or("usage: hashed_words FILE ARMS [BITS] [NGRAMS] [MODEL] [PARAMETER] [GAMMA] [SEED]")?;
    let (arms, bits, ngrams) = (text(1, "4").parse()?, text(2, "18").parse()?, text(3, "1").parse()?);
    let (model, parameter, gamma) = (text(4, "laplace"), text(5, "1").parse()?, text(6, "100").parse()?);
    let seed: u64 = text(7, "1").parse()?;
    let hasher = FeatureHasher::new(bits)?.with_ngrams(ngrams)?;
    let space = hasher.space();
    let open = || -> Result<_, Box<dyn Error>> {
        let file = BufReader::with_capacity(1 << 16, File::open(path)?);
        Ok(VowpalRows::new(file, path, hasher.clone()).with_classes())
    };
    let (mut learner, mut rng) = (policy(space, arms, &model, parameter, gamma)?, ChaCha8Rng::seed_from_u64(seed));
    let (start, mut rows, mut total) = (ProcessTime::now(), 0u32, 0.0);
    for row in open()? {
        total += round(&mut learner, &row?, &mut rng)?;
        rows += 1;
    }
    let with_parsing = start.elapsed().as_secs_f64();
    let start = ProcessTime::now();
    let parsed = open()?.collect::<Result<Vec<_>, _>>()?;
    let parsing = start.elapsed().as_secs_f64();
    let (mut learner, mut rng) = (policy(space, arms, &model, parameter, gamma)?, ChaCha8Rng::seed_from_u64(seed));
    let (start, mut again) = (ProcessTime::now(), 0.0);
    for row in &parsed {
        again += round(&mut learner, row, &mut rng)?;
    }
    let without = start.elapsed().as_secs_f64();
    assert_eq!(total, again, "the same seed gives the same choices");
    let mean = total / f64::from(rows.max(1));
    println!(
        "rows {rows} reward {mean:.4} seconds {with_parsing:.3} parsing {parsing:.3} without parsing {without:.3}"
    );
    Ok(())
}
