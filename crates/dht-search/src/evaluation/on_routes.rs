//! Predictions on given routes.

use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch};

use super::{Evaluation, Predictor, evaluate};
use crate::error::{Error, Result};
use crate::model::{BatchPredictions, DynamicModel, Executor, PassedExits};
use crate::routing::{FixedRoutes, Mode};
use crate::space::Route;

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
