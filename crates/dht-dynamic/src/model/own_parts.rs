//! Functions that rebuild custom exits and routers when a saved model is loaded.

use std::fmt::{self, Debug, Formatter};

use dht_transformer::Encoder;
use serde_json::Value;

use super::dynamic::DynamicModel;
use super::saved_parts::SavedParts;
use crate::error::Result;
use crate::exit::{ExitBuilder, ExitPlace, LayerExit};
use crate::router::Router;

type BuildModel<'a> = dyn FnOnce(SavedParts) -> Result<DynamicModel> + 'a;
type BuildRouter<'a> = dyn FnOnce(Value) -> Result<Box<dyn Router>> + 'a;

/// Functions that rebuild the custom exits and the custom router of a saved model.
/// [`DynamicModel::load_with`](crate::DynamicModel::load_with) and
/// [`TextModel::load_with`](crate::serving::TextModel::load_with) call them.
///
/// # Examples
/// Saves and loads a model with a custom router:
///
/// ```
/// use candle_core::Device;
/// use dht_dynamic::router::{ExitRule, ExitView, LeavingRule, Notes};
/// use dht_dynamic::transformer::{BertConfig, Encoder};
/// use dht_dynamic::{DynamicModel, Error, ExitModel, ExitSettings, OwnParts, Result};
/// use rand::SeedableRng;
/// use serde_json::{Value, json};
///
/// /// Texts of up to this number of tokens leave at the first exit.
/// #[derive(Debug)]
/// struct ByLength(usize);
///
/// impl ExitRule for ByLength {
///     fn reads(&self, _exit: usize, _last: usize) -> bool {
///         false // no decision needs an exit's answer
///     }
///
///     fn leaves(&self, view: &ExitView<'_>, _: &mut [Notes]) -> Result<Vec<bool>> {
///         Ok(view.lengths().map(|tokens| tokens <= self.0).collect())
///     }
///
///     fn state(&self) -> Result<Value> {
///         Ok(json!(self.0))
///     }
/// }
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let encoder = Encoder::random(&BertConfig::small(2, 6, 24, 50)?, &Device::Cpu, &mut rng)?;
/// let exits = ExitModel::new(encoder, ExitSettings::linear(vec![1, 2]), 2, &mut rng)?;
/// let model = DynamicModel::new(exits, LeavingRule::Confidence)?.with_router(Box::new(ByLength(8)));
/// let folder = std::env::temp_dir().join(format!("by-length-{}", std::process::id()));
/// model.save(&folder, None, &["bad".into(), "good".into()])?;
///
/// let own = OwnParts::new().with_router(|state| {
///     let tokens = serde_json::from_value(state).map_err(Error::custom)?;
///     // `Ok` directly around `Box::new`, so that the box becomes a `Box<dyn Router>`.
///     Ok(Box::new(ByLength(tokens)))
/// });
/// let (loaded, _labels, _tokenizer) = DynamicModel::load_with(&folder, &Device::Cpu, own)?;
/// assert_eq!(loaded.router().state()?, json!(8));
/// # std::fs::remove_dir_all(&folder).map_err(Error::custom)?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Default)]
pub struct OwnParts<'a> {
    pub(super) exits: Option<ExitBuilder>,
    pub(super) router: Option<Box<BuildRouter<'a>>>,
    pub(super) model: Option<Box<BuildModel<'a>>>,
}

impl<'a> OwnParts<'a> {
    /// Creates an empty set of functions, which suffices for a model with built-in exits and routers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the function that builds the exits. It must be the one that was passed to
    /// [`ExitModel::with_exits`](crate::ExitModel::with_exits). The saved values of the exits' parameters are then
    /// restored.
    #[must_use]
    pub fn with_exits(
        self,
        build: impl Fn(&mut Encoder, ExitPlace<'_>) -> Result<Box<dyn LayerExit>> + Send + Sync + 'static,
    ) -> Self {
        Self { exits: Some(ExitBuilder::new(build)), ..self }
    }

    /// Sets the function that builds the router from its saved [state](Router::state), which is `null` for a router
    /// without state.
    #[must_use]
    pub fn with_router(self, build: impl FnOnce(Value) -> Result<Box<dyn Router>> + 'a) -> Self {
        Self { router: Some(Box::new(build)), ..self }
    }

    /// Sets the function that builds a model with a [description](DynamicModel::with_description): its layout, its
    /// exits and its routers.
    #[must_use]
    pub fn with_model(self, build: impl FnOnce(SavedParts) -> Result<DynamicModel> + 'a) -> Self {
        Self { model: Some(Box::new(build)), ..self }
    }
}

impl Debug for OwnParts<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (exits, router, model) = (self.exits.is_some(), self.router.is_some(), self.model.is_some());
        f.debug_struct("OwnParts").field("exits", &exits).field("router", &router).field("model", &model).finish()
    }
}
