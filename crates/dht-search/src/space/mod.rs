//! Search spaces: the routes of a model, and the bandits' arms that select these routes.

mod config;
mod file;
mod layout;
mod presets;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod space;

pub use config::{BaseState, Search, SpaceConfig};
pub use dht_dynamic::route::{GroupRole, LayerGroup, ModelShape, Route, RouteGroup, RouteSpec, Segment};
pub use presets::{
    FROZEN_LAYERS, FULL_EPOCHS_BEFORE_FREEZING, Preset, SevenLayerHeads, exits, head_options, pinned_heads,
};
pub use space::{RouteArms, SearchSpace};

#[cfg(test)]
mod tests;
