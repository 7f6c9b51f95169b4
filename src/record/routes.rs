//! Number of texts on each route.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Number of samples on each route of the search, by the route's notation: `12L8H`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounts {
    /// Counts in training, with each epoch counted.
    pub train: BTreeMap<String, u64>,
    /// Counts on the test set.
    pub test: BTreeMap<String, u64>,
}
