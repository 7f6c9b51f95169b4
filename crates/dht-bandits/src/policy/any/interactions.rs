//! Products of context and features that a policy's settings define.

use super::PolicySettings;
use super::rule::FlooredRule;
use crate::error::Result;
use crate::features::Interactions;
use crate::policy::TopK;
use crate::posterior::Posterior;
use crate::validate::check_length;

impl PolicySettings {
    /// Products of context and features that the settings define, as pairs of positions in the model's input: the
    /// scaled context, a bias if the normaliser adds one, and the features.
    pub(super) fn products(&self) -> Result<Option<Interactions>> {
        let Some(pairs) = &self.interactions else { return Ok(None) };
        check_length("dimension", self.dimension)?;
        check_length("features", self.features)?;
        let raw: Vec<_> = self.groups.iter().map(|(name, &(from, to))| (name.clone(), from..to)).collect();
        let checked = Interactions::with_groups(self.dimension, self.features, &raw, pairs)?;
        let bias = self.scaled_dimension() - self.dimension;
        Ok(Some(checked.with_columns_inserted(bias)?))
    }
}

/// Adds products of context and features to a policy, if the settings define any.
pub(super) fn multiplied<P: Posterior>(
    policy: TopK<P, FlooredRule>,
    products: Option<Interactions>,
) -> Result<TopK<P, FlooredRule>> {
    match products {
        Some(products) => policy.with_interactions(products),
        None => Ok(policy),
    }
}
