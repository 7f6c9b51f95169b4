//! Regret against the best fixed route, which is the same for all texts. Also the oracle, the best fixed route of each
//! text: no router that selects among these routes can be better.

use std::collections::BTreeMap;

use dht_dynamic::Evaluation;
use dht_dynamic::Route;
use dht_transformer::EncodedDataset;
use serde::{Deserialize, Serialize};

use super::on_routes::evaluate_on;
use crate::error::{Error, Result};
use crate::model::SearchModel;
use crate::space::RouteArms;

/// Evaluations of a data set on fixed arms. A fixed arm is a route that all texts run.
///
/// If depth and heads are selected one after the other ([`Search::Tree`](crate::space::Search::Tree)), there is one
/// fixed arm for each exit. It keeps the largest allowed number of heads in every group of layers; routes with fewer
/// heads are not included. If whole routes are selected at once
/// ([`Search::Integrated`](crate::space::Search::Integrated)), the fixed arms are these routes.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use dht_search::Regret;
/// use dht_search::dynamic::evaluate;
/// use dht_search::evaluation::{FixedArms, evaluate_on};
/// use dht_search::transformer::{BertConfig, Dataset, Encoder, Example, TextTokenizer};
/// use dht_search::{Preset, SearchModel, SearchSettings};
/// use rand::SeedableRng;
///
/// let examples = vec![Example::new("A fine day", 1), Example::new("Bad food", 0)];
/// let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
/// let texts = data.examples.iter().map(|example| &*example.text);
/// let tokenizer = TextTokenizer::train(texts, 100)?;
/// let encoded = tokenizer.encode_all(&data, 16)?;
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let config = BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?;
/// let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// let space = Preset::TDht.space(4, 6)?;
/// let model = SearchModel::new(encoder, space, SearchSettings::default(), 2, &mut rng)?;
///
/// let fixed = FixedArms::new(&model, &encoded, 8)?;
/// assert_eq!(fixed.arms().len(), 4); // exits at 1, 2, 3 and 4 layers
/// let oracle = evaluate_on(&model, &encoded, &fixed.oracle_routes(0.25)?, 8)?;
/// assert_eq!(oracle.losses.len(), 2);
/// let regret = Regret::new(&model, &encoded, &evaluate(&model, &encoded, 8)?, &fixed)?;
/// assert!(regret.oracle <= regret.fixed[&regret.best_arm]);
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FixedArms {
    arms: Vec<(Route, Evaluation)>,
    /// Costs by fixed arm, then by row: the FLOPs of the arm's route divided by the full model's FLOPs.
    costs: Vec<Vec<f64>>,
}

/// Regret of the selected routes against the best fixed arm in hindsight.
///
/// The compared value is the mean over texts of loss + λ·cost in nats, where cost is FLOPs as a share of the full
/// model's FLOPs on the same text. The cost of a selected route includes its layers, each exit that was evaluated, the
/// routers, and the pre-pass that computes the routers' inputs, if there is one. The cost of a fixed arm includes its
/// layers and its exit only. A negative regret means that the selected routes are better than every single arm.
/// [`FixedArms`] has an example.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Regret {
    /// Price λ of computation: the loss in nats that equals the cost of the full model.
    pub lambda: f64,
    /// Mean loss + λ·cost of the selected routes.
    pub chosen: f64,
    /// Route of the best fixed arm, which has the smallest mean loss + λ·cost.
    pub best_arm: String,
    /// `chosen` minus the mean loss + λ·cost of the best fixed arm.
    pub regret: f64,
    /// Mean loss + λ·cost of each fixed arm, by its route.
    pub fixed: BTreeMap<String, f64>,
    /// Mean loss + λ·cost when each text runs the fixed arm that is best for it. The selection uses the labels, so that
    /// no router can be better.
    pub oracle: f64,
}

impl Regret {
    /// Computes the regret of an evaluation against the fixed arms, at the model's price λ of computation (0 if the
    /// model has no λ). `evaluation` and `fixed` must be evaluations of `data`.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if the evaluation or the fixed arms have another number of rows than
    /// `data`, or if there are no rows.
    pub fn new(model: &SearchModel, data: &EncodedDataset, evaluation: &Evaluation, fixed: &FixedArms) -> Result<Self> {
        let (rows, lambda) = (data.len(), model.lambda().unwrap_or(0.0));
        let known = fixed.arms.first().map_or(0, |(_, evaluation)| evaluation.losses.len());
        for (field, got) in [("evaluation", evaluation.losses.len()), ("fixed arms", known)] {
            if got != rows || rows == 0 {
                return Err(Error::shape(field, format!("one of {} rows", rows.max(1)), got));
            }
        }
        let full = model.model().full_route()?;
        let mut chosen = 0.0;
        for ((flops, loss), tokens) in evaluation.row_flops.iter().zip(&evaluation.losses).zip(data.lengths()) {
            chosen += (loss + lambda * *flops as f64 / route_flops(model, &full, tokens)) / rows as f64;
        }
        let means = fixed.means(lambda);
        let best = fixed.best(lambda);
        Ok(Regret {
            lambda,
            chosen,
            best_arm: fixed.arms[best].0.to_string(),
            regret: chosen - means[best],
            fixed: fixed.arms.iter().map(|(route, _)| route.to_string()).zip(means).collect(),
            oracle: (0..rows).map(|row| fixed.price(fixed.best_for(row, lambda), row, lambda)).sum::<f64>()
                / rows as f64,
        })
    }
}

/// FLOPs of a route for a text of `tokens` tokens, with the exit at its end and without routers.
fn route_flops(model: &SearchModel, route: &Route, tokens: usize) -> f64 {
    let model = model.model();
    model.forward_flops(route, tokens, &model.full_reads()) as f64
}

/// Routes of the fixed arms. A fixed arm runs all texts on the same route.
fn fixed_routes(model: &SearchModel) -> Result<Vec<Route>> {
    let space = model.space();
    if !space.is_tree() {
        return Ok(space.integrated_arms().to_vec());
    }
    let widest = |groups: usize| (0..groups).map(|group| space.head_options(group).len() - 1).collect();
    let arms = |depth: usize| RouteArms::Tree { depth, heads: widest(space.groups_before(depth).len()) };
    (0..space.exits().len()).map(|depth| space.route(&arms(depth))).collect()
}

impl FixedArms {
    /// Evaluates every row on each fixed arm, with one pass over the data for each arm.
    ///
    /// # Errors
    /// As [`evaluate`](fn@dht_dynamic::evaluate).
    pub fn new(model: &SearchModel, data: &EncodedDataset, batch_size: usize) -> Result<Self> {
        let (lengths, full) = (data.lengths(), model.model().full_route()?);
        let (mut arms, mut costs) = (Vec::new(), Vec::new());
        for route in fixed_routes(model)? {
            let evaluation = evaluate_on(model, data, &vec![route.clone(); data.len()], batch_size)?;
            let share = |tokens: &usize| route_flops(model, &route, *tokens) / route_flops(model, &full, *tokens);
            costs.push(lengths.iter().map(share).collect());
            arms.push((route, evaluation));
        }
        Ok(Self { arms, costs })
    }

    /// Route of each arm, with the arm's evaluation.
    pub fn arms(&self) -> &[(Route, Evaluation)] {
        &self.arms
    }

    /// Best fixed route for each row, by the smallest loss + λ·cost. The selection uses the labels. In a tie it is the
    /// first route, which is the shallowest.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if λ is not finite or below 0.
    pub fn oracle_routes(&self, lambda: f64) -> Result<Vec<Route>> {
        if !lambda.is_finite() || lambda < 0.0 {
            return Err(Error::argument("lambda", "a finite number, 0 or more", lambda));
        }
        let rows = self.costs.first().map_or(0, Vec::len);
        Ok((0..rows).map(|row| self.arms[self.best_for(row, lambda)].0.clone()).collect())
    }

    /// Loss + λ·cost of a row on a fixed arm, with the price λ of computation in nats.
    fn price(&self, arm: usize, row: usize, lambda: f64) -> f64 {
        self.arms[arm].1.losses[row] + lambda * self.costs[arm][row]
    }

    fn best_for(&self, row: usize, lambda: f64) -> usize {
        least((0..self.arms.len()).map(|arm| self.price(arm, row, lambda)))
    }

    /// Mean loss + λ·cost of each fixed arm over all rows, with the price λ of computation in nats.
    fn means(&self, lambda: f64) -> Vec<f64> {
        let mean = |arm: usize| {
            let rows = self.costs[arm].len();
            (0..rows).map(|row| self.price(arm, row, lambda)).sum::<f64>() / rows.max(1) as f64
        };
        (0..self.arms.len()).map(mean).collect()
    }

    fn best(&self, lambda: f64) -> usize {
        least(self.means(lambda).into_iter())
    }
}

/// Index of the smallest value; in a tie, the first index.
fn least(values: impl Iterator<Item = f64>) -> usize {
    values.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(index, _)| index)
}
