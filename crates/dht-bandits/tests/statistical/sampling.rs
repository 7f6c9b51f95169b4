//! Draws follow the posterior.

use dht_bandits::{ArmId, LinTs, Policy, Request, Ridge, Thompson, policy::TopK};
use nalgebra::{DMatrix, DVector};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

fn normals<R: Rng + ?Sized>(rng: &mut R, count: usize) -> Vec<f64> {
    (0..count).map(|_| StandardNormal.sample(rng)).collect()
}

/// Ridge posterior that shares no code with the crate: it draws vectors of weights through a Cholesky factor.
struct Oracle {
    a: DMatrix<f64>,
    b: DVector<f64>,
}

impl Oracle {
    fn new(dimension: usize) -> Self {
        Self { a: DMatrix::identity(dimension, dimension), b: DVector::zeros(dimension) }
    }

    fn learn(&mut self, context: &[f64], reward: f64) {
        let x = DVector::from_column_slice(context);
        self.a += &x * x.transpose();
        self.b += x * reward;
    }

    fn sampler(&self, alpha: f64) -> impl Fn(&mut ChaCha8Rng) -> DVector<f64> {
        let covariance = self.a.clone().try_inverse().unwrap();
        let mean = &covariance * &self.b;
        let root = covariance.cholesky().unwrap().l() * alpha;
        move |rng| &mean + &root * DVector::from_vec(normals(rng, mean.len()))
    }
}

/// Asserts that two frequencies of the same event, each over `draws` draws, differ by less than five standard
/// deviations of their difference. A false alarm happens once in 1.7 million tests.
fn assert_same_frequency(left: u32, right: u32, draws: u32) {
    let pooled = f64::from(left + right) / f64::from(2 * draws);
    let deviation = (2.0 * f64::from(draws) * pooled * (1.0 - pooled)).sqrt();
    let gap = f64::from(left) - f64::from(right);
    assert!(gap.abs() <= 5.0 * deviation.max(1.0), "{left} and {right} of {draws}");
}

/// Request with arms that have one row of features each.
fn featured<'a>(context: &'a [f64], arms: &'a [ArmId], features: &'a [f64]) -> Request<'a> {
    Request::new(context).featured(arms, features, features.len() / arms.len()).unwrap()
}

#[test]
fn scalar_thompson_draws_match_draws_of_weight_vectors() {
    let (dimension, arms, draws) = (5, 4, 20_000);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut policy = LinTs::new(dimension, arms, Ridge::default(), Thompson { alpha: 0.6 }).unwrap();
    let mut oracles: Vec<_> = (0..arms).map(|_| Oracle::new(dimension)).collect();
    for round in 0..40 {
        let context = normals(&mut rng, dimension);
        let (arm, reward) = (round % arms, context[round % 2] + 0.3 * (round % arms) as f64);
        policy.update(ArmId::new(arm as u64), &context, reward, 1.0).unwrap();
        oracles[arm].learn(&context, reward);
    }
    let context = normals(&mut rng, dimension);
    let x = DVector::from_column_slice(&context);
    let samplers: Vec<_> = oracles.iter().map(|oracle| oracle.sampler(0.6)).collect();
    let (mut ours, mut theirs) = (vec![0u32; arms], vec![0u32; arms]);
    for _ in 0..draws {
        let choice = policy.select(&Request::new(&context), &mut rng).unwrap();
        ours[choice.arm.number() as usize] += 1;
        let scores: Vec<_> = samplers.iter().map(|sample| sample(&mut rng).dot(&x)).collect();
        let best = (0..arms).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
        theirs[best] += 1;
    }
    ours.iter().zip(&theirs).for_each(|(&left, &right)| assert_same_frequency(left, right, draws));
    let logged = policy.propensities(&Request::new(&context)).unwrap();
    for (entry, &right) in logged.iter().zip(&theirs) {
        assert_same_frequency((entry.probability * f64::from(draws)).round() as u32, right, draws);
    }
}

#[test]
fn one_draw_of_shared_weights_scores_all_candidates_together() {
    // Shared weights correlate the candidates' scores: independent draws would choose differently.
    for dimension in [4, 36] {
        let draws = 8_000;
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut policy = TopK::shared(dimension, Ridge::default(), Thompson { alpha: 1.0 }).unwrap();
        let mut oracle = Oracle::new(dimension);
        let items = [0, 1, 2].map(ArmId::new);
        for round in 0..30 {
            let rows = normals(&mut rng, 3 * dimension);
            let slate = policy.select_slate(1, &featured(&[], &items, &rows), &mut rng).unwrap();
            let position = slate.choices()[0].arm.number() as usize;
            policy.learn_slate(&slate, &[dht_bandits::policy::Feedback::from(round % 3 == 0)]).unwrap();
            oracle.learn(&rows[position * dimension..][..dimension], f64::from(u8::from(round % 3 == 0)));
        }
        // Two candidates are nearly alike, and one is different.
        let mut rows = normals(&mut rng, 3 * dimension);
        let first = rows[..dimension].to_vec();
        rows[dimension..2 * dimension].copy_from_slice(&first);
        rows[dimension] += 0.05;
        let sample = oracle.sampler(1.0);
        let (mut ours, mut theirs) = ([0u32; 3], [0u32; 3]);
        for _ in 0..draws {
            let slate = policy.select_slate(1, &featured(&[], &items, &rows), &mut rng).unwrap();
            ours[slate.choices()[0].arm.number() as usize] += 1;
            let theta = sample(&mut rng);
            let score =
                |position: usize| DVector::from_column_slice(&rows[position * dimension..][..dimension]).dot(&theta);
            theirs[(0..3).max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap()] += 1;
        }
        ours.iter().zip(&theirs).for_each(|(&left, &right)| assert_same_frequency(left, right, draws));
    }
}

#[test]
fn the_noise_of_equal_arms_is_uncorrelated() {
    // Three equal arms with independent noise: each wins a third of the draws, and the winner says nothing about the
    // next draw.
    let policy = LinTs::new(2, 3, Ridge::default(), Thompson { alpha: 1.0 }).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let draws = 30_000;
    let wins: Vec<_> = (0..draws)
        .map(|_| policy.select(&Request::new(&[1.0, -1.0]), &mut rng).unwrap().arm.number() as usize)
        .collect();
    let mut pairs = [[0i64; 3]; 3];
    wins.windows(2).for_each(|pair| pairs[pair[0]][pair[1]] += 1);
    // Each pair has mean 3,333 and deviation 54: the tolerance is five deviations.
    assert!(pairs.as_flattened().iter().all(|count| (count - 3333).abs() < 272), "{pairs:?}");
}
