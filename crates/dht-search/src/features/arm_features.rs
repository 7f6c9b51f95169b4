//! Arm features (DHT paper, section 4.2): mean pooled hidden states that describe the bandits' arms. They are computed
//! before training.

use serde::{Deserialize, Serialize};

use super::pyramids::PoolingPyramid;
use crate::space::SearchSpace;

/// Features z of the arms of all bandits. A feature is a hidden state that is averaged over texts and pooled to a
/// vector of fixed size, as for contexts (the bandits' inputs), before scaling.
///
/// A tree search, which decides depth and heads separately, has `depth` and `heads`. An integrated search, which
/// decides both at once, has `arms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArmFeatures {
    /// Features of the depth bandit's arms: the mean pooled hidden state of the full model at each exit.
    pub(crate) depth: Vec<Vec<f64>>,
    /// Features of the head-count bandit's arms: the mean pooled hidden state after each group of layers with random
    /// heads. Indexed by group, then by number of heads.
    pub(crate) heads: Vec<Vec<Vec<f64>>>,
    /// Features of the joint bandit's arms: the mean pooled hidden state at the exit of each arm, with as many random
    /// heads as the arm keeps.
    pub(crate) arms: Vec<Vec<f64>>,
    /// Features of the head-set bandit's arms: for each head, the mean of its columns of the hidden states, over a pass
    /// with all heads and a pass with random heads.
    pub(crate) head_sets: Vec<f64>,
}

impl ArmFeatures {
    /// Rebuilds the features of the joint bandit's arms for a new list of arms. Each element of `from` is the index of
    /// the old arm whose feature is copied, or `None` for zeros.
    pub(crate) fn of_arms(&self, from: &[Option<usize>]) -> Self {
        let none = vec![0.0; PoolingPyramid::DEPTH.context_size()];
        let of = |from: &Option<usize>| from.map_or_else(|| none.clone(), |from| self.arms[from].clone());
        Self { arms: from.iter().map(of).collect(), ..self.clone() }
    }

    /// Returns whether the features have the shapes that the arms of a search space require. `options` is the number of
    /// arms of the head-count bandit.
    pub(crate) fn fit(&self, space: &SearchSpace, options: usize) -> bool {
        let rows = |rows: &[Vec<f64>], count: usize, width: usize| {
            rows.len() == count && rows.iter().all(|row| row.len() == width)
        };
        let (depth, heads) = (PoolingPyramid::DEPTH.context_size(), PoolingPyramid::HEADS.context_size());
        let (exits, groups) = if space.is_tree() { (space.exits().len(), space.groups().len()) } else { (0, 0) };
        rows(&self.depth, exits, depth)
            && self.heads.len() == groups
            && self.heads.iter().all(|group| rows(group, options, heads))
            && rows(&self.arms, space.integrated_arms().len(), depth)
            && self.head_sets.len() == space.model_shape().heads
    }
}
