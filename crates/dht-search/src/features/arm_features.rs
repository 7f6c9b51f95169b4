//! The features of the arms (section 4.2 of the paper): mean states of the model before it is trained.

use serde::{Deserialize, Serialize};

use super::pyramids::{DEPTH_PYRAMID, HEADS_PYRAMID};
use crate::space::SearchSpace;

/// Features of all arms, pooled like contexts and not yet scaled. A tree search has `depth` and `heads`, an integrated
/// one `arms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArmFeatures {
    /// For each exit, the mean pooled state there in the full model: z of UCB_L's arms.
    pub(crate) depth: Vec<Vec<f64>>,
    /// For each group and number of heads, the mean pooled state behind the group with so many random heads: z of UCB_H.
    pub(crate) heads: Vec<Vec<Vec<f64>>>,
    /// For each arm of UCB_cp, the mean pooled state where it ends, with so many random heads.
    pub(crate) arms: Vec<Vec<f64>>,
    /// For each head, the mean of its part of the embedding over all states of both passes: z of TSB.
    pub(crate) head_sets: Vec<f64>,
}

impl ArmFeatures {
    /// Features of new arms: those of the old arms that they start from, or nothing.
    pub(crate) fn of_arms(&self, from: &[Option<usize>]) -> Self {
        let none = vec![0.0; DEPTH_PYRAMID.context_size()];
        let of = |from: &Option<usize>| from.map_or_else(|| none.clone(), |from| self.arms[from].clone());
        Self { arms: from.iter().map(of).collect(), ..self.clone() }
    }

    /// Whether these can be the features of a space's arms, with so many options of UCB_H.
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
