//! Evaluation of a model on routes that the caller sets.

use dht_dynamic::Route;
use dht_dynamic::passage::{PassedExits, Walk};
use dht_dynamic::{BatchPredictions, Evaluation, Predictor, evaluate};
use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch};

use crate::error::{Error, Result};
use crate::model::SearchModel;
use crate::routing::{FixedRoutes, Preparation, RouteChoice};

/// Predictor that runs each text on a route that the caller has set.
struct OnRoutes<'a> {
    model: &'a SearchModel,
    routes: FixedRoutes,
}

impl Predictor for OnRoutes<'_> {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> dht_dynamic::Result<BatchPredictions> {
        let walk = self.model.walk(ctx, PassedExits::Skip);
        Walk { router: &self.routes, heads: &self.routes, ..walk }.predict(batch)
    }

    fn check(&self, texts: &EncodedDataset) -> dht_dynamic::Result<()> {
        self.model.check(texts)
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        self.model.full_flops(tokens)
    }
}

/// Evaluates a model with a fixed route for each row. The route sets the number of heads; the model's head router
/// selects the heads, without exploration.
///
/// Since the routes are fixed, the depth router does not run. Neither the exits that a text passes nor a
/// [pre-pass](dht_dynamic::route::BaseState::PrePass) (a pass that computes router inputs) are run or counted in the
/// cost.
///
/// # Errors
/// * As [`evaluate`].
/// * [`Argument`](dht_dynamic::Error::Argument) if the number of routes differs from the number of rows, if the model's
///   search space lacks a route, or if the head router cannot select a head set of the required size.
pub fn evaluate_on(
    model: &SearchModel,
    data: &EncodedDataset,
    routes: &[Route],
    batch_size: usize,
) -> Result<Evaluation> {
    check_rows("routes", data, routes.len())?;
    for route in routes {
        model.space().arms_running(route)?;
    }
    let mut heads = model.heads.clone();
    if heads.pinned().is_none() {
        // A model without training has not pinned its heads yet.
        heads.prepare(&Preparation { pinned: model.provisional_pins()?, arm_features: None })?;
    }
    let ids = data.samples.iter().map(|sample| sample.id);
    let routes = FixedRoutes::new(model.space().clone(), heads, ids.zip(routes.iter().cloned()).collect());
    Ok(evaluate(&OnRoutes { model, routes }, data, batch_size)?)
}

/// Evaluates a model with a fixed route and fixed head sets for each row. The reported cost includes the depth and head
/// routers that selected these routes and heads.
pub(super) fn evaluate_choices(
    model: &SearchModel,
    data: &EncodedDataset,
    choices: Vec<RouteChoice>,
    batch_size: usize,
) -> Result<Evaluation> {
    check_rows("choices", data, choices.len())?;
    let choices = data.samples.iter().map(|sample| sample.id).zip(choices).collect();
    let (router, heads) = (model.router.clone(), model.heads.clone());
    let routes = FixedRoutes::with_head_sets(model.space().clone(), router, heads, choices);
    Ok(evaluate(&OnRoutes { model, routes }, data, batch_size)?)
}

fn check_rows(field: &'static str, data: &EncodedDataset, got: usize) -> Result<()> {
    if got == data.len() {
        return Ok(());
    }
    Err(Error::shape(field, format!("{}, one a row", data.len()), got))
}
