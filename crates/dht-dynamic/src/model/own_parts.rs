//! Custom parts of a saved model, which the calling program defines.

use std::fmt::{self, Debug, Formatter};

use dht_transformer::Encoder;
use serde_json::Value;

use crate::error::Result;
use crate::exit::{ExitBuilder, ExitPlace, LayerExit};
use crate::router::Router;

type BuildRouter<'a> = dyn FnOnce(Value) -> Result<Box<dyn Router>> + 'a;

/// Builders of the custom parts of a saved model: exits and a router that the calling program defines.
/// [`DynamicModel::load_with`](crate::DynamicModel::load_with) and
/// [`TextModel::load_with`](crate::serving::TextModel::load_with) take them.
#[derive(Default)]
pub struct OwnParts<'a> {
    pub(super) exits: Option<ExitBuilder>,
    pub(super) router: Option<Box<BuildRouter<'a>>>,
}

impl<'a> OwnParts<'a> {
    /// No custom parts: only built-in exits and routers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the function that builds the exits: the same function that was passed to
    /// [`ExitModel::with_exits`](crate::ExitModel::with_exits). The saved values of the exits' parameters are restored.
    #[must_use]
    pub fn with_exits(
        self,
        build: impl Fn(&mut Encoder, ExitPlace<'_>) -> Result<Box<dyn LayerExit>> + Send + Sync + 'static,
    ) -> Self {
        Self { exits: Some(ExitBuilder::new(build)), ..self }
    }

    /// Sets the function that builds the router from its saved [state](Router::state).
    #[must_use]
    pub fn with_router(self, build: impl FnOnce(Value) -> Result<Box<dyn Router>> + 'a) -> Self {
        Self { router: Some(Box::new(build)), ..self }
    }
}

impl Debug for OwnParts<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (exits, router) = (self.exits.is_some(), self.router.is_some());
        f.debug_struct("OwnParts").field("exits", &exits).field("router", &router).finish()
    }
}
