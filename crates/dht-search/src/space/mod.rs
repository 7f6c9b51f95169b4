//! Search spaces: the routes through a model, and the bandit arms that select them.

pub(crate) mod config;
mod file;
mod notation;
pub(crate) mod presets;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
pub(crate) mod space;

pub use config::Search;
pub(crate) use config::SpaceConfig;
pub(crate) use dht_dynamic::route::BaseState;
pub(crate) use presets::Preset;
pub use presets::SevenLayerHeads;
pub use space::RouteArms;
pub(crate) use space::SearchSpace;

#[cfg(test)]
mod tests;
