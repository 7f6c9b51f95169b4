//! Policies whose type is selected at run time by settings.

mod announce;
mod configured;
mod forgetful;
mod in_flight;
mod interactions;
mod merge;
mod named_policy;
mod policy;
mod recommended;
mod rule;
mod saved;
mod settings;
mod wrapped;

pub use policy::AnyPolicy;
pub use rule::AnyRule;
pub use settings::{NormaliserSettings, PolicyKind, PolicySettings, RewardType};
