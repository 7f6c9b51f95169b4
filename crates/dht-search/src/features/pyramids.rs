//! How the paper pools a hidden state to a context (its appendix 7.1), and how long its contexts are (7.3).

use serde::Serialize;

/// Into how many equal parts a hidden state is split along its tokens and along its embedding; each part is averaged.
///
/// Both axes are pooled at several resolutions, and every resolution of the one is combined with every one of the
/// other, so that the context has Σ sequence parts × Σ embedding parts numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PoolingPyramid {
    /// Numbers of parts along the tokens.
    pub sequence_parts: &'static [usize],
    /// Numbers of parts along the embedding.
    pub embedding_parts: &'static [usize],
}

/// For UCB_L and UCB_cp: (1 + 2) · (4 + 8 + 16) = 84.
///
/// The print says 26 and, a sentence later, 36 for the embedding's 28; only 28 gives its vectors of 168.
pub const DEPTH_PYRAMID: PoolingPyramid = PoolingPyramid { sequence_parts: &[1, 2], embedding_parts: &[4, 8, 16] };

/// For UCB_H: (1 + 2) · (2 + 4 + 8) = 42.
pub const HEADS_PYRAMID: PoolingPyramid = PoolingPyramid { sequence_parts: &[1, 2], embedding_parts: &[2, 4, 8] };

/// For TSB: 1 · (4 + 8) = 12.
pub const HEAD_SET_PYRAMID: PoolingPyramid = PoolingPyramid { sequence_parts: &[1], embedding_parts: &[4, 8] };

impl PoolingPyramid {
    /// How many numbers x it makes of a hidden state.
    pub fn context_size(&self) -> usize {
        self.sequence_parts.iter().sum::<usize>() * self.embedding_parts.iter().sum::<usize>()
    }

    /// The size of w = [x ; z] with an arm feature z as long as the context: UCB_L and UCB_cp.
    pub fn with_arm_feature(&self) -> usize {
        2 * self.context_size()
    }

    /// The size of w = [x ; z ; e] with e the one-hot of the group of layers: UCB_H.
    pub fn with_arm_feature_and_group(&self, groups: usize) -> usize {
        self.with_arm_feature() + groups
    }

    /// The size of w = [x ; z] with an arm feature of one number: TSB, whose z is the average of the head's sub-matrix.
    pub fn with_scalar_arm_feature(&self) -> usize {
        self.context_size() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bandits_see_vectors_of_168_and_87_and_13_numbers_as_in_the_paper() {
        assert_eq!(DEPTH_PYRAMID.context_size(), 84);
        assert_eq!(HEADS_PYRAMID.context_size(), 42);
        assert_eq!(HEAD_SET_PYRAMID.context_size(), 12);
        assert_eq!(DEPTH_PYRAMID.with_arm_feature(), 168);
        assert_eq!(HEADS_PYRAMID.with_arm_feature_and_group(3), 87);
        assert_eq!(HEAD_SET_PYRAMID.with_scalar_arm_feature(), 13);
    }
}
