//! Policies that normalise their contexts and, optionally, their rewards.

mod copied_arms;
mod policy;
mod scaling;
mod slates;
mod state;
mod waiting;

pub use policy::Normalised;
pub(super) use scaling::Scaling;
