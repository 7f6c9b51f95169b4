//! Record that counts the texts on each route of a search.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Number of samples on each route of the search. Keys are routes in their notation, such as `12L8H`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounts {
    /// Counts in training; a sample is counted in each epoch.
    pub train: BTreeMap<String, u64>,
    /// Counts on the test set.
    pub test: BTreeMap<String, u64>,
}
