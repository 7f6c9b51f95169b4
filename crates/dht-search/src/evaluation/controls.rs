//! Controls for a router: fixed routes, random routes, random assignment of the router's own routes to texts, and an
//! oracle that sees the labels.
//!
//! All controls use heads that the model selects, so that they differ from the model only in the selection of the
//! route. *Shuffled* uses the head sets of the evaluation that it shuffles. The other controls use the sets that the
//! head router selects for the numbers of heads of their routes.

use dht_dynamic::Evaluation;
use dht_transformer::EncodedDataset;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::FixedArms;
use super::on_routes::evaluate_choices;
use crate::error::Result;
use crate::model::SearchModel;
use crate::routing::RouteChoice;
use crate::space::{Route, RouteArms};

pub use super::on_routes::{evaluate_fixed, evaluate_on};

/// The control *shuffled*: random assignment of the routes of an evaluation `chosen` to its rows; each route keeps its
/// head sets. Both evaluations run the same layers and heads in total, so that the difference to
/// [`evaluate`](dht_dynamic::evaluate()) is the value of selecting by text. Both evaluations also include the cost of
/// the routers: their own FLOPs, the exits whose answers they read, and a [pre-pass](crate::space::BaseState::PrePass)
/// that computes their inputs.
///
/// # Errors
/// As [`evaluate_on`].
pub fn evaluate_shuffled<R: Rng + ?Sized>(
    model: &SearchModel,
    data: &EncodedDataset,
    chosen: &Evaluation,
    batch_size: usize,
    rng: &mut R,
) -> Result<Evaluation> {
    let mut choices = choices_of(chosen);
    choices.shuffle(rng);
    evaluate_choices(model, data, choices, batch_size)
}

/// The control *random*: routes drawn uniformly. In an [integrated search](crate::space::Search::Integrated), which
/// selects a whole route at once, each route has the same probability. In a [tree search](crate::space::Search::Tree),
/// which selects an exit and then a number of heads for each group of layers, each exit has the same probability. Then
/// each number of heads has the same probability, in each group before the exit. See [`evaluate_shuffled`] for random
/// routes in the selected proportions.
///
/// # Errors
/// As [`evaluate`](dht_dynamic::evaluate()).
pub fn evaluate_random<R: Rng + ?Sized>(
    model: &SearchModel,
    data: &EncodedDataset,
    batch_size: usize,
    rng: &mut R,
) -> Result<Evaluation> {
    let routes = (0..data.len()).map(|_| random_route(model, rng)).collect::<Result<Vec<_>>>()?;
    evaluate_on(model, data, &routes, batch_size)
}

/// The control *oracle*: every row runs its best fixed arm, see [`FixedArms::oracle_routes`].
///
/// # Errors
/// As [`FixedArms::new`], and [`Error::Argument`](crate::Error::Argument) for a λ that is not finite or below 0.
pub fn evaluate_oracle(
    model: &SearchModel,
    data: &EncodedDataset,
    lambda: f64,
    batch_size: usize,
) -> Result<Evaluation> {
    let routes = FixedArms::new(model, data, batch_size)?.oracle_routes(lambda)?;
    evaluate_on(model, data, &routes, batch_size)
}

fn random_route<R: Rng + ?Sized>(model: &SearchModel, rng: &mut R) -> Result<Route> {
    let space = model.space();
    if !space.is_tree() {
        return space.route(&RouteArms::Integrated { arm: rng.random_range(0..space.integrated_arms().len()) });
    }
    let depth = rng.random_range(0..space.exits().len());
    let groups = space.groups_before(depth).len();
    let heads = (0..groups).map(|group| rng.random_range(0..space.head_options(group).len())).collect();
    space.route(&RouteArms::Tree { depth, heads })
}

/// The route and the head sets of each row.
pub(super) fn choices_of(evaluation: &Evaluation) -> Vec<RouteChoice> {
    let pairs = evaluation.routes.iter().zip(&evaluation.head_sets);
    pairs.map(|(route, head_sets)| RouteChoice { route: route.clone(), head_sets: head_sets.clone() }).collect()
}
