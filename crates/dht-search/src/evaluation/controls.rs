//! What a router has to beat: fixed routes, random ones, its own in another order, and an oracle that sees the labels.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::{Evaluation, FixedArms, Predictor, evaluate};
use crate::error::{Error, Result};
use crate::model::{BatchPredictions, DynamicModel, Executor, PassedExits};
use crate::routing::{FixedRoutes, Mode};
use crate::space::{Route, RouteArms, SearchSpace};

/// A model whose rows run on given routes.
struct OnRoutes<'a> {
    model: &'a DynamicModel,
    routes: FixedRoutes,
}

impl Predictor for OnRoutes<'_> {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
        let (model, mode, passed) = (self.model.model(), Mode::Exploit, PassedExits::Skip);
        Executor { model, router: &self.routes, heads: &self.routes, ctx, mode, passed }.predict(batch)
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        self.model.check(texts)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.model.full_flops(tokens)
    }
}

/// Predicts every row on a given route, one for each row; head sets are drawn at random beside the pinned ones.
///
/// # Errors
/// As [`evaluate`]; [`Error::Setting`] when there are not as many routes as rows, or one does not belong to the space.
pub fn evaluate_on(
    model: &DynamicModel,
    data: &EncodedDataset,
    routes: &[Route],
    batch_size: usize,
) -> Result<Evaluation> {
    if routes.len() != data.len() {
        return Err(Error::setting("routes", format!("{}, one a row", data.len()), routes.len()));
    }
    routes.iter().try_for_each(|route| model.space().arms_running(route).map(|_| ()))?;
    let ids = data.samples.iter().map(|sample| sample.id);
    let routes = ids.zip(routes.iter().cloned()).collect();
    let routes = FixedRoutes::new(model.space().clone(), model.pinned_heads()?, routes);
    evaluate(&OnRoutes { model, routes }, data, batch_size)
}

/// The control *shuffled*: the same routes, given to the rows at random. What choosing is worth is the difference to
/// [`evaluate`], since both cost the same layers and heads.
///
/// # Errors
/// As [`evaluate_on`].
pub fn evaluate_shuffled<R: Rng + ?Sized>(
    model: &DynamicModel,
    data: &EncodedDataset,
    routes: &[Route],
    batch_size: usize,
    rng: &mut R,
) -> Result<Evaluation> {
    let mut routes = routes.to_vec();
    routes.shuffle(rng);
    evaluate_on(model, data, &routes, batch_size)
}

/// The control *fixed*: every row on one route.
///
/// # Errors
/// As [`evaluate_on`].
pub fn evaluate_fixed(
    model: &DynamicModel,
    data: &EncodedDataset,
    route: &Route,
    batch_size: usize,
) -> Result<Evaluation> {
    evaluate_on(model, data, &vec![route.clone(); data.len()], batch_size)
}

/// The control *random*: what a router does that knows nothing. Each arm of an integrated search is drawn equally often; in
/// a tree search each exit, and then each number of heads of the groups on the way. See [`evaluate_shuffled`] for random
/// routes in the mix that was chosen.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_random<R: Rng + ?Sized>(
    model: &DynamicModel,
    data: &EncodedDataset,
    batch_size: usize,
    rng: &mut R,
) -> Result<Evaluation> {
    let routes = (0..data.len()).map(|_| random_route(model.space(), rng)).collect::<Result<Vec<_>>>()?;
    evaluate_on(model, data, &routes, batch_size)
}

/// The control *oracle*: every row on the fixed arm that is best for it, see [`FixedArms::oracle_routes`].
///
/// # Errors
/// As [`FixedArms::new`], and [`Error::Setting`] for a λ that is not finite or below 0.
pub fn evaluate_oracle(
    model: &DynamicModel,
    data: &EncodedDataset,
    lambda: f64,
    batch_size: usize,
) -> Result<Evaluation> {
    let routes = FixedArms::new(model, data, batch_size)?.oracle_routes(lambda)?;
    evaluate_on(model, data, &routes, batch_size)
}

fn random_route<R: Rng + ?Sized>(space: &SearchSpace, rng: &mut R) -> Result<Route> {
    if !space.is_tree() {
        return space.route(&RouteArms::Integrated { arm: rng.random_range(0..space.integrated_arms().len()) });
    }
    let depth = rng.random_range(0..space.exits().len());
    let groups = space.groups_before(depth).len();
    let heads = (0..groups).map(|group| rng.random_range(0..space.head_options(group).len())).collect();
    space.route(&RouteArms::Tree { depth, heads })
}
