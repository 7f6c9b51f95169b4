//! Custom routers and costs of a saved model, which the calling program supplies when it loads the model.

use std::fmt::{self, Debug, Formatter};

use super::search_model::SearchModel;
use crate::cost::{CostModel, OwnCost};
use crate::error::{Error, Result};

type SetRouters<'a> = dyn FnOnce(SearchModel) -> SearchModel + 'a;

/// Custom routers and the custom cost of a saved model, for [`SearchModel::load_with`].
///
/// # Examples
/// Saving and loading a model with a custom router:
///
/// ```
/// use candle_core::Device;
/// use dht_search::dynamic::{self, Router};
/// use dht_search::Learner;
/// use dht_search::transformer::{BertConfig, Encoder};
/// use dht_search::{OwnParts, Preset, Result, SearchModel, SearchSettings};
/// use rand::SeedableRng;
/// use serde_json::{Value, json};
///
/// /// Router with a count as its state. Like every router by default, it sends all texts to the last exit.
/// #[derive(Debug, Clone, Default)]
/// struct Counting {
///     texts: u64,
/// }
///
/// impl Router for Counting {
///     fn reads(&self, _exit: usize, _last: usize) -> bool {
///         false
///     }
///
///     fn state(&self) -> dynamic::Result<Value> {
///         Ok(json!(self.texts))
///     }
/// }
///
/// impl Learner for Counting {
///     fn restore(&mut self, state: Value) -> Result<()> {
///         self.texts = serde_json::from_value(state)?;
///         Ok(())
///     }
///
///     fn box_clone(&self) -> Box<dyn Learner> {
///         Box::new(self.clone())
///     }
/// }
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let encoder = Encoder::random(&BertConfig::small(4, 6, 24, 50)?, &Device::Cpu, &mut rng)?;
/// let space = Preset::TDht.space(4, 6)?;
/// let model = SearchModel::new(encoder, space, SearchSettings::default(), 2, &mut rng)?
///     .with_router(Box::new(Counting { texts: 7 }));
/// let folder = std::env::temp_dir().join(format!("counting-{}", std::process::id()));
/// model.save(&folder, None, &["bad".into(), "good".into()])?;
///
/// // The new router gets the saved state by `restore`.
/// let own = OwnParts::new().with_routers(|model| model.with_router(Box::new(Counting::default())));
/// let (loaded, _labels, _tokenizer) = SearchModel::load_with(&folder, &Device::Cpu, own)?;
/// assert_eq!(loaded.router().state()?, json!(7));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct OwnParts<'a> {
    pub(super) routers: Option<Box<SetRouters<'a>>>,
    cost: Option<OwnCost>,
}

impl<'a> OwnParts<'a> {
    /// Creates a set of custom parts that has no routers and no cost.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the function that replaces routers of the loaded model, by [`SearchModel::with_router`] and
    /// [`SearchModel::with_head_router`].
    ///
    /// After the function has run, the saved state of each router is [restored](crate::Learner::restore). Nothing is
    /// restored in a router without [state](dht_dynamic::Router::state), so this function must build such a router
    /// completely.
    #[must_use]
    pub fn with_routers(self, replace: impl FnOnce(SearchModel) -> SearchModel + 'a) -> Self {
        Self { routers: Some(Box::new(replace)), ..self }
    }

    /// Sets the custom cost of routes. Its name must be the name under which the model was saved.
    #[must_use]
    pub fn with_cost(self, cost: OwnCost) -> Self {
        Self { cost: Some(cost), ..self }
    }

    /// Returns the saved cost model, or the supplied cost in place of a saved custom cost. Only the name of a custom
    /// cost is saved.
    pub(super) fn complete(&mut self, saved: CostModel) -> Result<CostModel> {
        let CostModel::Own(named) = saved else { return Ok(saved) };
        match self.cost.take() {
            Some(cost) if cost == named => Ok(CostModel::Own(cost)),
            other => {
                let got = other.map_or("none".into(), |cost| format!("{:?}", cost.name()));
                let expected = format!("{:?}, with which the model was saved, supplied to load_with", named.name());
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
