//! Arm features (paper, section 4.2): mean pooled states that describe the bandits' arms, computed before training.

use serde::{Deserialize, Serialize};

use super::pyramids::PoolingPyramid;
use crate::space::SearchSpace;

/// Features z of all arms, pooled like contexts, not scaled. A tree search, which decides depth and heads separately,
/// has `depth` and `heads`. An integrated search, which decides both at once, has `arms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArmFeatures {
    /// Mean pooled state of the full model at each exit. Features of the depth bandit's arms.
    pub(crate) depth: Vec<Vec<f64>>,
    /// Mean pooled state after each group of layers when the group runs with random heads, by group and by number
    /// of heads. Features of the head-count bandit's arms.
    pub(crate) heads: Vec<Vec<Vec<f64>>>,
    /// Mean pooled state at the exit of each arm of the joint bandit, with as many random heads as the arm keeps.
    /// Features of the joint bandit's arms.
    pub(crate) arms: Vec<Vec<f64>>,
    /// Mean of each head's part of the hidden dimensions, over the states of the full-model pass and of the
    /// random-head pass. Features of the head-set bandit's arms.
    pub(crate) head_sets: Vec<f64>,
}

impl ArmFeatures {
    /// Features of new arms. Each new arm has the features of the old arm from which it starts, or zeros.
    pub(crate) fn of_arms(&self, from: &[Option<usize>]) -> Self {
        let none = vec![0.0; PoolingPyramid::DEPTH.context_size()];
        let of = |from: &Option<usize>| from.map_or_else(|| none.clone(), |from| self.arms[from].clone());
        Self { arms: from.iter().map(of).collect(), ..self.clone() }
    }

    /// Returns whether the shapes match a space's arms, with `options` arms of the head-count bandit.
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
