//! Custom costs of routes, which the calling program defines.

use std::fmt::Debug;
use std::sync::Arc;

use dht_dynamic::Route;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Custom cost of a route, for example energy, money, or seconds on another machine.
///
/// # Examples
/// A cost that charges each layer for each started block of eight tokens:
///
/// ```
/// use dht_search::cost::{OwnCost, RouteCost};
/// use dht_search::{CostModel, Result, Route, SearchSettings};
///
/// #[derive(Debug)]
/// struct Blocks;
///
/// impl RouteCost for Blocks {
///     fn share(&self, route: &Route, tokens: usize) -> Result<f64> {
///         let price = |layers: usize| (1 + layers * tokens.div_ceil(8)) as f64;
///         Ok(price(route.depth()) / price(route.model_shape().layers))
///     }
/// }
///
/// let cost_model = CostModel::Own(OwnCost::new("blocks of eight", Blocks));
/// let settings = SearchSettings { cost_model, ..SearchSettings::default() };
/// assert_eq!(serde_json::to_value(&settings)?["cost_model"]["own"], "blocks of eight");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait RouteCost: Debug + Send + Sync {
    /// Cost of a route for a text of `tokens` tokens, as a share of the full model's cost: a finite number, at least 0.
    ///
    /// # Errors
    /// Each implementation defines its errors.
    fn share(&self, route: &Route, tokens: usize) -> Result<f64>;
}

/// Custom [`RouteCost`] with a name, by which settings and saved models refer to it. Two costs of the same name are
/// equal. [`SearchModel::load_with`](crate::SearchModel::load_with) loads a model with a custom cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct OwnCost {
    name: String,
    cost: Option<Arc<dyn RouteCost>>,
}

impl OwnCost {
    /// Creates a custom cost with the name by which settings and saved models refer to it.
    pub fn new(name: impl Into<String>, cost: impl RouteCost + 'static) -> Self {
        Self { name: name.into(), cost: Some(Arc::new(cost)) }
    }

    /// Name of the cost.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cost of a route for a text of `tokens` tokens, as a share of the full model's cost.
    ///
    /// # Errors
    /// * [`State`](dht_dynamic::Error::State) if the cost was read from settings, which contain only its name.
    /// * [`Argument`](dht_dynamic::Error::Argument) if the share is not finite or below 0.
    /// * The error of the custom cost.
    pub fn share(&self, route: &Route, tokens: usize) -> Result<f64> {
        let missing = || Error::state("cost", "a custom cost that the program supplies", format!("{:?}", self.name));
        let share = self.cost.as_ref().ok_or_else(missing)?.share(route, tokens)?;
        if share.is_finite() && share >= 0.0 {
            return Ok(share);
        }
        Err(Error::argument("share of an own cost", "a finite number, at least 0", format!("{share} for {route}")))
    }
}

impl PartialEq for OwnCost {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl From<String> for OwnCost {
    fn from(name: String) -> Self {
        Self { name, cost: None }
    }
}

impl From<OwnCost> for String {
    fn from(cost: OwnCost) -> Self {
        cost.name
    }
}
