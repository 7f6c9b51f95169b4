//! The parts of a saved model that a program defines itself.

use std::fmt::{self, Debug, Formatter};

use super::search_model::SearchModel;
use crate::cost::{CostModel, OwnCost};
use crate::error::{Error, Result};

type SetRouters<'a> = dyn FnOnce(SearchModel) -> SearchModel + 'a;

/// The parts of a saved model that a program defines itself: routers, and a cost. [`SearchModel::load_with`] takes them.
#[derive(Default)]
pub struct OwnParts<'a> {
    pub(super) routers: Option<Box<SetRouters<'a>>>,
    cost: Option<OwnCost>,
}

impl<'a> OwnParts<'a> {
    /// No part of a program's own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the function that replaces the routers of the new model, by [`SearchModel::with_router`] and
    /// [`SearchModel::with_head_router`]; their saved states are restored then.
    #[must_use]
    pub fn with_routers(self, replace: impl FnOnce(SearchModel) -> SearchModel + 'a) -> Self {
        Self { routers: Some(Box::new(replace)), ..self }
    }

    /// Sets the cost of routes, by the name that it was saved with.
    #[must_use]
    pub fn with_cost(self, cost: OwnCost) -> Self {
        Self { cost: Some(cost), ..self }
    }

    /// Completes a cost of which only the name was saved.
    pub(super) fn complete(&mut self, saved: CostModel) -> Result<CostModel> {
        let CostModel::Own(named) = saved else { return Ok(saved) };
        match self.cost.take() {
            Some(given) if given == named => Ok(CostModel::Own(given)),
            given => {
                let got = given.map_or("none".into(), |given| format!("{:?}", given.name()));
                let expected = format!("{:?}, which the model was saved with, from load_with", named.name());
                Err(Error::argument("own cost", expected, got))
            }
        }
    }
}

impl Debug for OwnParts<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let routers = self.routers.is_some();
        f.debug_struct("OwnParts").field("routers", &routers).field("cost", &self.cost).finish()
    }
}
