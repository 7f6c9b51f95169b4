//! Number of texts on each route of a search.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Numbers of samples on each route of a search. Keys are routes in their notation, such as `12L8H`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounts {
    /// Numbers in training, in which a sample counts once in each epoch.
    pub train: BTreeMap<String, u64>,
    /// Numbers on the test set.
    pub test: BTreeMap<String, u64>,
}
