//! Policies selected at run time by settings.

mod configured;
mod interactions;
mod merge;
mod named_policy;
mod policy;
mod recommended;
mod rule;
mod saved;
mod settings;

pub(super) use merge::{check_alike, check_scaling};
pub use policy::AnyPolicy;
pub use rule::AnyRule;
pub use settings::{NormaliserSettings, PolicyKind, PolicySettings, RewardType};
