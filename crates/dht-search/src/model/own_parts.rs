//! Custom parts of a saved model, which the calling program defines.

use std::fmt::{self, Debug, Formatter};

use super::search_model::SearchModel;
use crate::cost::{CostModel, OwnCost};
use crate::error::{Error, Result};

type SetRouters<'a> = dyn FnOnce(SearchModel) -> SearchModel + 'a;

/// The custom parts of a saved model: routers, and a cost of routes. [`SearchModel::load_with`] takes them.
#[derive(Default)]
pub struct OwnParts<'a> {
    pub(super) routers: Option<Box<SetRouters<'a>>>,
    cost: Option<OwnCost>,
}

impl<'a> OwnParts<'a> {
    /// No custom parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the function that replaces the routers of the loaded model by [`SearchModel::with_router`] and
    /// [`SearchModel::with_head_router`]. Then the saved states of these routers are restored.
    #[must_use]
    pub fn with_routers(self, replace: impl FnOnce(SearchModel) -> SearchModel + 'a) -> Self {
        Self { routers: Some(Box::new(replace)), ..self }
    }

    /// Sets the cost of routes. Its name must be the saved name.
    #[must_use]
    pub fn with_cost(self, cost: OwnCost) -> Self {
        Self { cost: Some(cost), ..self }
    }

    /// Replaces a cost, of which only the name was saved, by the custom cost of that name.
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
