//! Pooling of hidden states into contexts (input vectors of bandits; DHT paper, appendix 7.1), and context sizes
//! (section 7.3).

use serde::Serialize;

/// Pyramid pooling: reduces a text's hidden states to a vector of fixed size, the context of a bandit. The states are
/// split into equal parts along the tokens and along the embedding, and each part is averaged.
///
/// Both axes are pooled at several resolutions, and every resolution of one axis is combined with every resolution of
/// the other. The context has Σ sequence parts × Σ embedding parts dimensions.
///
/// # Examples
/// ```
/// use dht_search::features::PoolingPyramid;
///
/// assert_eq!(PoolingPyramid::DEPTH.context_size(), 84);
/// let coarse = PoolingPyramid { sequence_parts: &[1], embedding_parts: &[2, 4] };
/// assert_eq!(coarse.context_size(), 6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PoolingPyramid {
    /// Numbers of parts into which the tokens are split, one for each resolution.
    pub sequence_parts: &'static [usize],
    /// Numbers of parts into which the embedding dimensions are split, one for each resolution.
    pub embedding_parts: &'static [usize],
}

impl PoolingPyramid {
    /// Pyramid of the depth bandit (UCB_L) and the joint bandit (UCB_cp): (1 + 2) · (4 + 8 + 16) = 84.
    ///
    /// The DHT paper (Meng et al. 2023) gives the embedding 26 dimensions and, a sentence later, 36 instead of 28. Only
    /// 28 yields the paper's contexts of 168 dimensions.
    pub const DEPTH: Self = Self { sequence_parts: &[1, 2], embedding_parts: &[4, 8, 16] };

    /// Pyramid of the head-count bandit (UCB_H): (1 + 2) · (2 + 4 + 8) = 42.
    pub const HEADS: Self = Self { sequence_parts: &[1, 2], embedding_parts: &[2, 4, 8] };

    /// Pyramid of the head-set bandit (TSB): 1 · (4 + 8) = 12.
    pub const HEAD_SETS: Self = Self { sequence_parts: &[1], embedding_parts: &[4, 8] };

    /// Number of dimensions of the pooled state x.
    pub fn context_size(&self) -> usize {
        self.sequence_parts.iter().sum::<usize>() * self.embedding_parts.iter().sum::<usize>()
    }

    /// Number of dimensions of the context [x ; z], with the pooled state x and a scalar arm feature z. In the head-set
    /// bandit, z is the mean of the head's columns of the hidden state.
    pub fn with_scalar_arm_feature(&self) -> usize {
        self.context_size() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_have_168_and_87_and_13_dimensions_as_in_the_paper() {
        assert_eq!(2 * PoolingPyramid::DEPTH.context_size(), 168, "[x ; z]");
        assert_eq!(2 * PoolingPyramid::HEADS.context_size() + 3, 87, "[x ; z ; one-hot of three groups]");
        assert_eq!(PoolingPyramid::HEAD_SETS.with_scalar_arm_feature(), 13);
    }
}
