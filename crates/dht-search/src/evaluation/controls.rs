//! Control *shuffled* of an evaluation: the routes that the router selected, assigned to the texts at random.

use dht_dynamic::Evaluation;
use dht_transformer::EncodedDataset;
use rand::Rng;
use rand::seq::SliceRandom;

use super::on_routes::evaluate_choices;
use crate::error::Result;
use crate::model::SearchModel;
use crate::routing::RouteChoice;

/// Evaluates the control *shuffled*, which assigns the routes of an earlier evaluation to the rows at random. Each
/// route keeps its head sets.
///
/// `chosen` is an evaluation of the model with its routers, by [`evaluate`](dht_dynamic::evaluate()). Both evaluations
/// run the same layers and heads in total. The difference between their scores is therefore the value of selecting
/// routes by text. Both costs include the routers: their own FLOPs, the exits whose answers they read, and the
/// [pre-pass](dht_dynamic::route::BaseState::PrePass), if there is one, that computes their inputs.
///
/// # Errors
/// As [`evaluate_on`](super::evaluate_on).
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

/// Route and head sets of each text in an evaluation.
pub(super) fn choices_of(evaluation: &Evaluation) -> Vec<RouteChoice> {
    let pairs = evaluation.routes.iter().zip(&evaluation.head_sets);
    pairs.map(|(route, head_sets)| RouteChoice { route: route.clone(), head_sets: head_sets.clone() }).collect()
}
