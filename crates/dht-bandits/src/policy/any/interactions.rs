//! Interactions in settings.

use super::PolicySettings;
use super::rule::FlooredRule;
use crate::error::Result;
use crate::features::Interactions;
use crate::policy::TopK;
use crate::posterior::Posterior;
use crate::validate::check_length;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Products of columns for shared and top-k kinds: [`Interactions`].
///
/// ```toml
/// [interactions]
/// groups = { user = [0, 3], topic = [5, 9] }   # columns of context and features, the last one excluded
/// pairs = [["user", "topic"], ["topic", "topic"]]
/// ```
///
/// `interactions = {}` multiplies every value of the context with every feature. The groups `context` and `features`
/// are predefined. Columns are counted in raw contexts, without a bias of the normaliser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InteractionSettings {
    /// Named ranges of columns, counted from the start of the context through the features of an arm: first and end.
    #[serde(default)]
    pub groups: BTreeMap<String, (usize, usize)>,
    /// Pairs of groups whose columns are multiplied.
    #[serde(default = "all_pairs")]
    pub pairs: Vec<(String, String)>,
}

fn all_pairs() -> Vec<(String, String)> {
    vec![("context".to_owned(), "features".to_owned())]
}

impl Default for InteractionSettings {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), pairs: all_pairs() }
    }
}

impl PolicySettings {
    /// Products for contexts as the posterior sees them, with a bias between context and features if there is one.
    pub(super) fn products(&self) -> Result<Option<Interactions>> {
        let Some(InteractionSettings { groups, pairs }) = &self.interactions else { return Ok(None) };
        check_length("dimension", self.dimension)?;
        check_length("features", self.features)?;
        let raw: Vec<_> = groups.iter().map(|(name, &(from, to))| (name.clone(), from..to)).collect();
        let checked = Interactions::with_groups(self.dimension, self.features, &raw, pairs)?;
        let bias = self.scaled_dimension() - self.dimension;
        Ok(Some(checked.with_columns_inserted(bias)?))
    }
}

/// Adds the products of settings to a policy.
pub(super) fn multiplied<P: Posterior>(
    policy: TopK<P, FlooredRule>,
    products: Option<Interactions>,
) -> Result<TopK<P, FlooredRule>> {
    match products {
        Some(products) => policy.with_interactions(products),
        None => Ok(policy),
    }
}
