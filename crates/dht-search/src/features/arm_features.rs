//! Arm features (paper, section 4.2): mean states of the model before training.

use serde::{Deserialize, Serialize};

use super::pyramids::{DEPTH_PYRAMID, HEADS_PYRAMID};
use crate::space::SearchSpace;

/// Features z of all arms, pooled like contexts, not scaled. A tree search has `depth` and `heads`, an integrated
/// search has `arms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArmFeatures {
    /// The mean pooled state of the full model at each exit: arms of the depth bandit.
    pub(crate) depth: Vec<Vec<f64>>,
    /// The mean pooled state after each group, by head count with that number of random heads: arms of the head-count
    /// bandit.
    pub(crate) heads: Vec<Vec<Vec<f64>>>,
    /// The mean pooled state at the exit of each arm of the joint bandit, with the arm's number of random heads.
    pub(crate) arms: Vec<Vec<f64>>,
    /// The mean of each head's part of the hidden dimensions over all states of both passes: arms of the head-set
    /// bandit.
    pub(crate) head_sets: Vec<f64>,
}

impl ArmFeatures {
    /// Features of new arms: those of the old arms that they start from, or zeros.
    pub(crate) fn of_arms(&self, from: &[Option<usize>]) -> Self {
        let none = vec![0.0; DEPTH_PYRAMID.context_size()];
        let of = |from: &Option<usize>| from.map_or_else(|| none.clone(), |from| self.arms[from].clone());
        Self { arms: from.iter().map(of).collect(), ..self.clone() }
    }

    /// Returns whether the shapes fit a space's arms, with `options` arms of the head-count bandit.
    pub(crate) fn fit(&self, space: &SearchSpace, options: usize) -> bool {
        let rows = |rows: &[Vec<f64>], count: usize, width: usize| {
            rows.len() == count && rows.iter().all(|row| row.len() == width)
        };
        let (depth, heads) = (DEPTH_PYRAMID.context_size(), HEADS_PYRAMID.context_size());
        let (exits, groups) = if space.is_tree() { (space.exits().len(), space.groups().len()) } else { (0, 0) };
        rows(&self.depth, exits, depth)
            && self.heads.len() == groups
            && self.heads.iter().all(|group| rows(group, options, heads))
            && rows(&self.arms, space.integrated_arms().len(), depth)
            && self.head_sets.len() == space.model_shape().heads
    }
}
