//! Search spaces: the routes of a model, and the bandits' arms that select these routes.

mod config;
mod file;
mod layout;
mod presets;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod space;

pub use config::{BaseState, Search, SpaceConfig};
pub use presets::{Preset, SevenLayerHeads};
pub use space::{RouteArms, SearchSpace};

#[cfg(test)]
mod tests;
