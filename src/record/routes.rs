//! How many texts took which route.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The number of samples on each route of the search, by the route's notation: `12L8H`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounts {
    /// In training, each epoch counted.
    pub train: BTreeMap<String, u64>,
    /// On the test set.
    pub test: BTreeMap<String, u64>,
}
