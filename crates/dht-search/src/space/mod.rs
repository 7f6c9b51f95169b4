//! Search spaces: the routes of a model, and the bandits' arms that select these routes.

pub(crate) mod config;
mod file;
mod layout;
pub(crate) mod presets;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
pub(crate) mod space;

pub(crate) use config::SpaceConfig;
pub use config::{BaseState, Search};
pub(crate) use presets::Preset;
pub use presets::SevenLayerHeads;
pub use space::RouteArms;
pub(crate) use space::SearchSpace;

#[cfg(test)]
mod tests;
