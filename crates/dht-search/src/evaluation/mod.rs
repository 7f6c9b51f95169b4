//! Predictions of a dynamic model, and what they cost.

mod controls;
mod speed;

use std::collections::BTreeMap;
use std::time::Instant;

use dht_transformer::{
    EncodedDataset, ForwardContext, HeadSet, PackedBatch, Sample,
    data::longest_first,
    tensors::log_softmax,
    train::metrics::{Confusion, score},
};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cost::CostModel;
use crate::error::{Error, Result};
use crate::model::{DynamicModel, ForwardTrace, PassedExits, Way};
use crate::routing::{FixedRoutes, Mode, Strategy};
use crate::space::Route;

pub use controls::{FixedArms, Regret};
pub use speed::{CALIBRATION_TOLERANCE, Speed, SpeedCurve};

/// What a dynamic model says of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The most probable class.
    pub label: u32,
    /// The probability of each class.
    pub probabilities: Vec<f32>,
    /// Which layers it ran, and how many heads in each.
    pub route: Route,
    /// FLOPs of all products, two for each multiply-add: of the route, of every exit whose signals were asked for, and of a look
    /// ahead.
    pub flops: u64,
}

/// Predictions on a data set, scored.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Counts of true and predicted classes.
    pub confusion: Confusion,
    /// The predicted class of each row.
    pub labels: Vec<u32>,
    /// The loss of each row, −ln of the probability of its class in nats (at most 87, the smallest f32's).
    pub losses: Vec<f64>,
    /// The route of each row.
    pub routes: Vec<Route>,
    /// FLOPs of all products: the sum over rows of [`Prediction::flops`].
    pub flops: u64,
    /// FLOPs of the bandits, by formula.
    pub bandit_flops: u64,
    /// The mean cost of a route by layers × heads, as a share of the full model (the paper's estimate).
    pub layer_head_ratio: f64,
    /// Wall clock without tokenising.
    pub seconds: f64,
    /// Of those, pooling and bandits.
    pub bandit_seconds: f64,
}

impl Evaluation {
    /// How many rows took each route.
    pub fn route_counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for route in &self.routes {
            *counts.entry(route.to_string()).or_default() += 1;
        }
        counts
    }
}

impl DynamicModel {
    /// Predicts a batch, each text on the route that the bandits believe in; nothing is explored and nothing learned.
    /// A model whose bandits have learned nothing yet runs whole.
    ///
    /// Texts that keep equally many heads of a group share one head set, the best for the mean of their contexts: a text
    /// alone may keep others than in a batch. A batch gives the same predictions every time.
    ///
    /// # Errors
    /// What the encoder reports.
    pub fn predict_batch(&self, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        self.predict_in(&ForwardContext::inference(), batch)
    }

    /// As [`predict_batch`](Self::predict_batch) in a pass that goes on, and keeps the weights as products want them.
    pub(crate) fn predict_in(&self, ctx: &ForwardContext, batch: &PackedBatch) -> Result<Vec<Prediction>> {
        Ok(self.follow(ctx, batch, &self.bandits)?.0)
    }

    fn follow(
        &self,
        ctx: &ForwardContext,
        batch: &PackedBatch,
        strategy: &dyn Strategy,
    ) -> Result<(Vec<Prediction>, f64)> {
        // Ties are broken by a generator that depends on the batch alone.
        let mut rng = ChaCha8Rng::seed_from_u64(batch.sample_ids.first().copied().unwrap_or_default());
        let way = Way { ctx, strategy, mode: Mode::Exploit, passed_exits: PassedExits::Own };
        let trace = self.executor().run(batch, &way, &mut rng)?;
        let seconds = trace.deciding.as_secs_f64();
        Ok((self.predictions(batch, &trace)?, seconds))
    }

    fn predictions(&self, batch: &PackedBatch, trace: &ForwardTrace) -> Result<Vec<Prediction>> {
        let (flops, last) = (self.flops(), self.space.exits().len() - 1);
        let mut probabilities = vec![Vec::new(); batch.len()];
        for output in &trace.outputs {
            let rows: Vec<Vec<f32>> = log_softmax(&output.logits)?.exp()?.to_vec2()?;
            for (sample, row) in output.samples.iter().zip(rows) {
                probabilities[*sample] = row;
            }
        }
        let routes = trace.routes(&self.space)?;
        let mut predictions = Vec::with_capacity(batch.len());
        for ((sample, route), tokens) in routes.into_iter().enumerate().zip(batch.spans.lengths()) {
            let row = std::mem::take(&mut probabilities[sample]);
            let best = |best: usize, class: usize| if row[class] > row[best] { class } else { best };
            let label = (1..row.len()).fold(0, best) as u32;
            let reads = PassedExits::Own.reads(trace.reading, trace.depth.exits[sample], last).total();
            let flops = (flops.pre_pass(&self.space, tokens) + flops.forward(&route, tokens, reads)).0;
            predictions.push(Prediction { label, probabilities: row, route, flops });
        }
        Ok(predictions)
    }

    /// Predicts every row on the routes that the bandits choose and scores the predictions.
    ///
    /// # Errors
    /// What the encoder reports; [`Error::Setting`] for a batch size of 0, for other classes than the model's, and for
    /// texts of several labels or of a number.
    pub fn evaluate(&self, data: &EncodedDataset, batch_size: usize) -> Result<Evaluation> {
        self.evaluate_by(data, batch_size, &self.bandits)
    }

    /// Predicts every row on a given route, one for each row; head sets are drawn at random beside the pinned ones.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate); [`Error::Setting`] when there are not as many routes as rows, or one does not
    /// belong to the space.
    pub fn evaluate_on(&self, data: &EncodedDataset, routes: &[Route], batch_size: usize) -> Result<Evaluation> {
        if routes.len() != data.len() {
            return Err(Error::setting("routes", format!("{}, one a row", data.len()), routes.len()));
        }
        routes.iter().try_for_each(|route| self.space.arms_running(route).map(|_| ()))?;
        let ids = data.samples.iter().map(|sample| sample.id);
        let prescribed = FixedRoutes::new(&self.space, self.pinned_heads()?, ids.zip(routes).collect());
        self.evaluate_by(data, batch_size, &prescribed)
    }

    /// The control: the same routes, dealt to the rows at random. What choosing is worth is the difference to
    /// [`evaluate`](Self::evaluate), since both cost the same layers and heads.
    ///
    /// # Errors
    /// As [`evaluate_on`](Self::evaluate_on).
    pub fn evaluate_shuffled<R: Rng + ?Sized>(
        &self,
        data: &EncodedDataset,
        routes: &[Route],
        batch_size: usize,
        rng: &mut R,
    ) -> Result<Evaluation> {
        let mut routes = routes.to_vec();
        routes.shuffle(rng);
        self.evaluate_on(data, &routes, batch_size)
    }

    fn pinned_heads(&self) -> Result<HeadSet> {
        match self.bandits.pinned_heads() {
            Some(pinned) => Ok(pinned),
            None => self.heads_of_largest_norm(),
        }
    }

    fn evaluate_by(&self, data: &EncodedDataset, batch_size: usize, strategy: &dyn Strategy) -> Result<Evaluation> {
        self.check_texts(data)?;
        let start = Instant::now();
        let mut found: Vec<Option<Prediction>> = vec![None; data.len()];
        let mut bandit_seconds = 0.0;
        let ctx = ForwardContext::inference();
        for rows in longest_first(&data.lengths(), batch_size)? {
            let (predictions, seconds) = self.follow(&ctx, &data.batch(&rows)?, strategy)?;
            bandit_seconds += seconds;
            for (row, prediction) in rows.iter().zip(predictions) {
                found[*row] = Some(prediction);
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let predictions: Vec<Prediction> = found.into_iter().flatten().collect();
        let labels: Vec<u32> = predictions.iter().map(|prediction| prediction.label).collect();
        let confusion = score(data, &labels)?;
        // check_texts() has seen that every label is one of the model's classes.
        let loss = |(prediction, sample): (&Prediction, &Sample)| {
            let probability = prediction.probabilities[sample.label as usize];
            -f64::from(probability.max(f32::MIN_POSITIVE)).ln()
        };
        let losses = predictions.iter().zip(&data.samples).map(loss).collect();
        let cost = CostModel::default();
        let mut layer_head = 0.0;
        let mut bandit_flops = 0;
        for prediction in &predictions {
            layer_head += cost.share(&prediction.route, 1)?;
            let groups = prediction.route.dynamic_groups().count() as u64;
            let exit = self.space.exits().iter().position(|exit| *exit == prediction.route.exit()).unwrap_or_default();
            bandit_flops += strategy.depth_flops(exit) + groups * strategy.group_flops();
        }
        Ok(Evaluation {
            confusion,
            labels,
            losses,
            flops: predictions.iter().map(|prediction| prediction.flops).sum(),
            bandit_flops,
            layer_head_ratio: layer_head / predictions.len().max(1) as f64,
            routes: predictions.into_iter().map(|prediction| prediction.route).collect(),
            seconds,
            bandit_seconds,
        })
    }
}

#[cfg(test)]
mod tests;
