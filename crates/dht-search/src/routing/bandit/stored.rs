//! Conversion of bandit state to and from JSON, and its validation.

use dht_dynamic::Error as Dynamic;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::setup::Setup;
use crate::error::{Error, Result};
use crate::features::ArmFeatures;

pub(super) fn to_state(what: &str, state: &impl Serialize) -> Result<Value> {
    serde_json::to_value(state).map_err(|source| Error::Dynamic(Dynamic::Json { what: what.into(), source }))
}

pub(super) fn of_state<S: DeserializeOwned>(what: &str, state: Value) -> Result<S> {
    serde_json::from_value(state).map_err(|source| Error::Dynamic(Dynamic::Json { what: what.into(), source }))
}

/// Rejects restored arm features of the wrong size, unexpected arm features, and missing arm features that are
/// `needed`.
pub(super) fn check_arm_features(setup: &Setup, stored: Option<&ArmFeatures>, needed: bool) -> Result<()> {
    let in_context = setup.settings.context.has_arm_features();
    match stored {
        None if in_context && needed => Err(Error::state("arm features", "those of the paper's contexts", "none")),
        Some(features) if !in_context || !features.fit(&setup.space, setup.options().len()) => {
            Err(Error::state("arm features", "those of this space's arms", "others"))
        }
        _ => Ok(()),
    }
}
