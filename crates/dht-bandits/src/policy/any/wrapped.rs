//! Policy of any type that settings can select, with or without scaling of contexts.

use serde::{Deserialize, Serialize};

use super::named_policy::NamedPolicy;
use crate::policy::{Normalised, Policy};

/// Policy of any type that settings can select, with or without scaling of contexts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wrapped {
    Plain(Box<NamedPolicy>),
    Normalised(Box<Normalised<NamedPolicy>>),
}

impl Wrapped {
    pub(super) fn as_policy(&self) -> &dyn Policy {
        match self {
            Self::Plain(policy) => &**policy,
            Self::Normalised(policy) => &**policy,
        }
    }

    pub(super) fn as_policy_mut(&mut self) -> &mut dyn Policy {
        match self {
            Self::Plain(policy) => &mut **policy,
            Self::Normalised(policy) => &mut **policy,
        }
    }
}
