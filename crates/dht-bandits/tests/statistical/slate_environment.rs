//! Environments for slates with a known best slate: a cascade and independent clicks.

use dht_bandits::{
    ArmId, Policy, Request, Result,
    policy::{Feedback, Slate},
    posterior::sigmoid,
};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

/// Source of candidates and feedback whose best slate is known.
pub trait SlateEnvironment {
    /// Number of arms in a slate.
    fn positions(&self) -> usize;

    /// Advances to the next round.
    fn advance(&mut self, rng: &mut dyn Rng);

    /// Request of this round: its candidates.
    fn request(&self) -> Result<Request<'_>>;

    /// Expected regret of a slate: the value of the best slate minus its own value.
    fn regret(&self, slate: &Slate) -> f64;

    /// Draws the feedback on each chosen arm, in order, into `out`.
    fn feedback(&self, slate: &Slate, rng: &mut dyn Rng, out: &mut Vec<Feedback>);
}

/// Cascade without contexts: of L items, the first K attract with probability p, and the others with p − Δ. The user
/// looks from the top and stops at the first attractive item. This is B_LB of Kveton et al. (2015), section 5.1.
#[derive(Debug, Clone)]
pub struct CascadeEnvironment {
    items: Vec<ArmId>,
    positions: usize,
    attractive: f64,
    other: f64,
}

impl CascadeEnvironment {
    /// Creates a cascade with L = `items`, K = `positions`, p = `attractive`, Δ = `gap`.
    pub fn new(items: usize, positions: usize, attractive: f64, gap: f64) -> Self {
        let items = (0..items as u64).map(ArmId::new).collect();
        Self { items, positions, attractive, other: attractive - gap }
    }

    fn attraction(&self, arm: ArmId) -> f64 {
        if arm.number() < self.positions as u64 { self.attractive } else { self.other }
    }
}

impl SlateEnvironment for CascadeEnvironment {
    fn positions(&self) -> usize {
        self.positions
    }

    fn advance(&mut self, _: &mut dyn Rng) {}

    fn request(&self) -> Result<Request<'_>> {
        Ok(Request::new(&[1.0]).only(&self.items))
    }

    fn regret(&self, slate: &Slate) -> f64 {
        let missed: f64 = slate.choices().iter().map(|choice| 1.0 - self.attraction(choice.arm)).product();
        missed - (1.0 - self.attractive).powi(self.positions as i32)
    }

    fn feedback(&self, slate: &Slate, rng: &mut dyn Rng, out: &mut Vec<Feedback>) {
        let clicked = slate.choices().iter().position(|choice| rng.random::<f64>() < self.attraction(choice.arm));
        out.clear();
        out.extend(Feedback::cascade(slate.choices().len(), clicked));
    }
}

/// Contextual clicks on N items with an embedding each. The features are z = user × embedding, and a click has
/// probability σ(θ'z − 1.5), independently at each position. The features may be shifted and badly scaled; a bias
/// column is appended.
#[derive(Debug, Clone)]
pub struct ClickEnvironment {
    items: Vec<ArmId>,
    positions: usize,
    theta: Vec<f64>,
    embeddings: Vec<f64>,
    scale: Vec<f64>,
    shift: f64,
    /// Features of this round, row-major, items × (dimension + 1), whose last column is 1. They may be normalised in
    /// place.
    pub features: Vec<f64>,
    clicks: Vec<f64>,
    best: f64,
}

impl ClickEnvironment {
    /// Creates an environment of `items` items with embeddings of length `dimension`, and `positions` positions.
    /// `spread` is the ratio of the largest feature's scale to the smallest's. At 1, features are neither scaled nor
    /// shifted. Above 1, each feature is also shifted by three of its scales.
    pub fn new(items: usize, positions: usize, dimension: usize, spread: f64, rng: &mut dyn Rng) -> Self {
        let mut normals = |count: usize| -> Vec<f64> { (0..count).map(|_| StandardNormal.sample(rng)).collect() };
        let mut theta = normals(dimension);
        let length = theta.iter().map(|value| value * value).sum::<f64>().sqrt();
        theta.iter_mut().for_each(|value| *value *= 2.0 / length);
        let embeddings = normals(items * dimension);
        let step = |position: usize| position as f64 / (dimension.max(2) - 1) as f64 - 0.5;
        let scale = (0..dimension).map(|position| spread.powf(step(position))).collect();
        let shift = if spread > 1.0 { 3.0 } else { 0.0 };
        let (features, clicks) = (vec![0.0; items * (dimension + 1)], vec![0.0; items]);
        let items = (0..items as u64).map(ArmId::new).collect();
        Self { items, positions, theta, embeddings, scale, shift, features, clicks, best: 0.0 }
    }
}

impl SlateEnvironment for ClickEnvironment {
    fn positions(&self) -> usize {
        self.positions
    }

    fn advance(&mut self, rng: &mut dyn Rng) {
        let dimension = self.theta.len();
        let user: Vec<f64> = (0..dimension).map(|_| StandardNormal.sample(rng)).collect();
        let rows = self.features.chunks_exact_mut(dimension + 1).zip(self.embeddings.chunks_exact(dimension));
        for ((row, embedding), click) in rows.zip(&mut self.clicks) {
            let mut log_odds = -1.5;
            for position in 0..dimension {
                let feature = embedding[position] * user[position];
                log_odds += feature * self.theta[position];
                row[position] = (feature + self.shift) * self.scale[position];
            }
            row[dimension] = 1.0;
            *click = sigmoid(log_odds);
        }
        let mut sorted = self.clicks.clone();
        sorted.sort_by(|left, right| right.total_cmp(left));
        self.best = sorted[..self.positions].iter().sum();
    }

    fn request(&self) -> Result<Request<'_>> {
        Request::new(&[]).featured(&self.items, &self.features, self.theta.len() + 1)
    }

    fn regret(&self, slate: &Slate) -> f64 {
        self.best - slate.choices().iter().map(|choice| self.clicks[choice.arm.number() as usize]).sum::<f64>()
    }

    fn feedback(&self, slate: &Slate, rng: &mut dyn Rng, out: &mut Vec<Feedback>) {
        out.clear();
        out.extend(
            slate
                .choices()
                .iter()
                .map(|choice| Feedback::from(rng.random::<f64>() < self.clicks[choice.arm.number() as usize])),
        );
    }
}

/// Runs a semi-bandit, which learns after each round. Returns its total regret.
///
/// # Errors
/// Errors of the policy.
pub fn total_regret(
    policy: &mut dyn Policy,
    environment: &mut dyn SlateEnvironment,
    rounds: usize,
    rng: &mut dyn Rng,
) -> Result<f64> {
    let (mut slate, mut seen, mut regret) = (Slate::default(), Vec::new(), 0.0);
    for _ in 0..rounds {
        environment.advance(rng);
        policy.select_slate(environment.positions(), &environment.request()?, rng, &mut slate)?;
        environment.feedback(&slate, rng, &mut seen);
        policy.learn_slate(&slate, &seen)?;
        regret += environment.regret(&slate);
    }
    Ok(regret)
}
