//! Environments for slates: a cascade and independent clicks.

use crate::arm::ArmId;
use crate::error::{Result, check_parameter};
use crate::policy::{Candidates, Feedback, Slate};
use crate::posterior::sigmoid;
use crate::validate::check_length;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

/// A source of candidates and feedback that knows what the best slate is worth.
pub trait SlateWorld {
    /// The length of a candidate's context.
    fn dimension(&self) -> usize;

    /// How many arms a slate holds.
    fn places(&self) -> usize;

    /// Goes on to the next round.
    fn advance(&mut self, rng: &mut dyn Rng);

    /// The candidates of this round.
    fn candidates(&self) -> Candidates<'_>;

    /// How much less than the best slate this one is worth, in expectation.
    fn regret(&self, slate: &Slate) -> f64;

    /// Draws what is seen of each chosen arm, in order, into `out`.
    fn feedback(&self, slate: &Slate, rng: &mut dyn Rng, out: &mut Vec<Feedback>);
}

/// A cascade without contexts: L items, of which the first K attract with probability p and the others with p − Δ; the
/// user looks from the top and stops at the first that attracts. B_LB of Kveton et al. (2015), section 5.1.
#[derive(Debug, Clone)]
pub struct CascadeWorld {
    items: Vec<ArmId>,
    places: usize,
    attractive: f64,
    other: f64,
}

impl CascadeWorld {
    /// L = `items`, K = `places`, p = `attractive`, Δ = `gap`.
    ///
    /// # Errors
    /// No item or more than 16,777,216, more places than items, probabilities outside [0, 1].
    pub fn new(items: usize, places: usize, attractive: f64, gap: f64) -> Result<Self> {
        check_length("items", items)?;
        check_parameter("places", places as f64, places >= 1 && places <= items, "from 1 to the number of items")?;
        check_parameter("attractive", attractive, (0.0..=1.0).contains(&attractive), "in [0, 1]")?;
        check_parameter("gap", gap, (0.0..=attractive).contains(&gap), "in [0, p]")?;
        let items = (0..items as u64).map(ArmId::new).collect();
        Ok(Self { items, places, attractive, other: attractive - gap })
    }

    fn attraction(&self, arm: ArmId) -> f64 {
        if arm.number() < self.places as u64 { self.attractive } else { self.other }
    }
}

impl SlateWorld for CascadeWorld {
    fn dimension(&self) -> usize {
        1
    }

    fn places(&self) -> usize {
        self.places
    }

    fn advance(&mut self, _: &mut dyn Rng) {}

    fn candidates(&self) -> Candidates<'_> {
        Candidates::in_context(&self.items, &[1.0])
    }

    fn regret(&self, slate: &Slate) -> f64 {
        let missed: f64 = slate.choices().iter().map(|choice| 1.0 - self.attraction(choice.arm)).product();
        missed - (1.0 - self.attractive).powi(self.places as i32)
    }

    fn feedback(&self, slate: &Slate, rng: &mut dyn Rng, out: &mut Vec<Feedback>) {
        let clicked = slate.choices().iter().position(|choice| rng.random::<f64>() < self.attraction(choice.arm));
        out.clear();
        out.extend(Feedback::cascade(slate.choices().len(), clicked));
    }
}

/// Contextual clicks: N items with an embedding each, features = user × embedding, a click with probability σ(θ'z − 1.5),
/// each seen place apart from the others. The features may come shifted and badly scaled, with a bias column behind.
#[derive(Debug, Clone)]
pub struct ClickWorld {
    items: Vec<ArmId>,
    places: usize,
    theta: Vec<f64>,
    embeddings: Vec<f64>,
    scale: Vec<f64>,
    shift: f64,
    features: Vec<f64>,
    clicks: Vec<f64>,
    best: f64,
}

impl ClickWorld {
    /// `items` items with embeddings of length `dimension`, `places` places. `spread` is the ratio of the largest
    /// feature's scale to the smallest's; 1 is clean, more also shifts each feature by three of its scales.
    ///
    /// # Errors
    /// More places than items, no item or no dimension, more than 16,777,216 numbers, a spread below 1.
    pub fn new(items: usize, places: usize, dimension: usize, spread: f64, rng: &mut dyn Rng) -> Result<Self> {
        check_length("dimension", dimension)?;
        check_length("items", items)?;
        check_length("dimension × items", dimension * items)?;
        check_parameter("places", places as f64, places >= 1 && places <= items, "from 1 to the number of items")?;
        check_parameter("spread", spread, spread >= 1.0, "at least 1")?;
        let mut normals = |count: usize| -> Vec<f64> { (0..count).map(|_| StandardNormal.sample(rng)).collect() };
        let mut theta = normals(dimension);
        let length = theta.iter().map(|value| value * value).sum::<f64>().sqrt();
        theta.iter_mut().for_each(|value| *value *= 2.0 / length);
        let embeddings = normals(items * dimension);
        let step = |place: usize| place as f64 / (dimension.max(2) - 1) as f64 - 0.5;
        let scale = (0..dimension).map(|place| spread.powf(step(place))).collect();
        let shift = if spread > 1.0 { 3.0 } else { 0.0 };
        let (features, clicks) = (vec![0.0; items * (dimension + 1)], vec![0.0; items]);
        let items = (0..items as u64).map(ArmId::new).collect();
        Ok(Self { items, places, theta, embeddings, scale, shift, features, clicks, best: 0.0 })
    }

    /// The features of this round, to be normalised in place: row-major, items × (dimension + 1), the last column 1.
    pub fn features_mut(&mut self) -> &mut [f64] {
        &mut self.features
    }
}

impl SlateWorld for ClickWorld {
    fn dimension(&self) -> usize {
        self.theta.len() + 1
    }

    fn places(&self) -> usize {
        self.places
    }

    fn advance(&mut self, rng: &mut dyn Rng) {
        let dimension = self.theta.len();
        let user: Vec<f64> = (0..dimension).map(|_| StandardNormal.sample(rng)).collect();
        let rows = self.features.chunks_exact_mut(dimension + 1).zip(self.embeddings.chunks_exact(dimension));
        for ((row, embedding), click) in rows.zip(&mut self.clicks) {
            let mut log_odds = -1.5;
            for place in 0..dimension {
                let feature = embedding[place] * user[place];
                log_odds += feature * self.theta[place];
                row[place] = (feature + self.shift) * self.scale[place];
            }
            row[dimension] = 1.0;
            *click = sigmoid(log_odds);
        }
        let mut sorted = self.clicks.clone();
        sorted.sort_by(|left, right| right.total_cmp(left));
        self.best = sorted[..self.places].iter().sum();
    }

    fn candidates(&self) -> Candidates<'_> {
        Candidates::new(&self.items, &self.features)
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
