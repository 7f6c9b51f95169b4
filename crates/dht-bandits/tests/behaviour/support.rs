//! Shared parts of the tests: a generator, contexts, and ridge regression by dense inversion.

use dht_bandits::{ArmId, Request};
use nalgebra::{DMatrix, DVector};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub fn normals<R: Rng + ?Sized>(rng: &mut R, count: usize) -> Vec<f64> {
    (0..count).map(|_| StandardNormal.sample(rng)).collect()
}

/// A and b of a ridge regression, solved by an LU decomposition that shares no code with the crate.
#[derive(Debug, Clone)]
pub struct Dense {
    pub a: DMatrix<f64>,
    pub b: DVector<f64>,
}

impl Dense {
    pub fn new(dimension: usize, lambda: f64) -> Self {
        Self { a: DMatrix::identity(dimension, dimension) * lambda, b: DVector::zeros(dimension) }
    }

    pub fn learn(&mut self, context: &[f64], reward: f64, weight: f64) {
        let x = DVector::from_column_slice(context);
        self.a += &x * x.transpose() * weight;
        self.b += x * (reward * weight);
    }

    pub fn mean_and_width(&self, context: &[f64]) -> (f64, f64) {
        let x = DVector::from_column_slice(context);
        let solved = self.a.clone().lu().solve(&x).unwrap();
        (solved.dot(&self.b), solved.dot(&x).sqrt())
    }
}

/// Request with arms that have one row of features each.
pub fn featured<'a>(context: &'a [f64], arms: &'a [ArmId], features: &'a [f64]) -> Request<'a> {
    Request::new(context).featured(arms, features, features.len() / arms.len()).unwrap()
}

pub fn assert_close(got: f64, expected: f64, relative: f64, what: &str) {
    let gap = (got - expected).abs();
    assert!(gap <= relative * expected.abs().max(1e-3), "{what}: {got} instead of {expected}, off by {gap:e}");
}
