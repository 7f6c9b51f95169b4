//! What a router has to beat: fixed routes, random ones, its own in another order, and an oracle that sees the labels.

use dht_transformer::EncodedDataset;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::{Evaluation, FixedArms};
use crate::error::Result;
use crate::model::DynamicModel;
use crate::space::{Route, RouteArms, SearchSpace};

pub use super::on_routes::{evaluate_fixed, evaluate_on};

/// The control *shuffled*: the same routes, given to the rows at random. What choosing is worth is the difference to
/// [`evaluate`](super::evaluate), since both cost the same layers and heads.
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

/// The control *random*: what a router does that knows nothing. Each arm of an integrated search is drawn equally often; in
/// a tree search each exit, and then each number of heads of the groups on the way. See [`evaluate_shuffled`] for random
/// routes in the mix that was chosen.
///
/// # Errors
/// As [`evaluate`](super::evaluate).
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
/// As [`FixedArms::new`], and [`Error::Setting`](crate::Error::Setting) for a λ that is not finite or below 0.
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
