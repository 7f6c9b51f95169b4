use std::collections::BTreeMap;

use dht_dynamic::route::LayerGroup;
use dht_transformer::HeadSet;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Curves of a training run over its progress: decisions of the bandits and losses, averaged in bins.
///
/// Progress is a number from 0 to 1: the samples trained on so far, divided by the samples of all epochs. Bins without
/// samples are omitted from all lists.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// Middle of each bin of training progress, from 0 to 1.
    pub progress: Vec<f64>,
    /// Number of training samples in each bin of progress.
    pub samples: Vec<u64>,
    /// Share of samples that stopped at each depth, by depth in layers, for each bin of progress. The shares of a bin
    /// add up to 1.
    pub depth_share: BTreeMap<usize, Vec<f64>>,
    /// Share of head decisions that kept each number of heads, by number of heads, for each bin of progress. A sample
    /// has one decision for each dynamic group (group of layers with a choice of heads) on its route. The shares of a
    /// bin add up to 1, or to 0 if no route had a dynamic group.
    pub head_count_share: BTreeMap<usize, Vec<f64>>,
    /// Curve of the training loss, by the name of a model. The name of the search model is `search`; programs may add
    /// other models, such as `full`.
    pub loss: BTreeMap<String, LossCurve>,
    /// Heads that the samples kept in each dynamic group of layers, over the whole training run except [full-model
    /// steps](crate::settings::FullModelSteps).
    pub heads: Vec<GroupHeads>,
}

/// Curve of the mean loss, with a point for each bin of training progress that contains samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LossCurve {
    /// Middle of each bin of training progress, from 0 to 1.
    pub progress: Vec<f64>,
    /// Mean loss, in nats.
    pub loss: Vec<f64>,
}

impl LossCurve {
    /// Averages losses in `bins` equal bins of training progress. `points` are pairs of progress and loss.
    ///
    /// # Errors
    /// * [`Argument`](dht_dynamic::Error::Argument) if `bins` is 0 or a progress is outside 0 to 1.
    /// * [`Error::Loss`] if a loss is not finite.
    ///
    /// # Examples
    /// ```
    /// use dht_search::training::LossCurve;
    ///
    /// let curve = LossCurve::binned(&[(0.1, 3.0), (0.4, 2.0), (1.0, 1.0)], 2)?;
    /// assert_eq!((curve.progress, curve.loss), (vec![0.25, 0.75], vec![2.5, 1.0]));
    /// # Ok::<(), dht_search::Error>(())
    /// ```
    pub fn binned(points: &[(f64, f64)], bins: usize) -> Result<Self> {
        let mut sums = vec![(0.0, 0_u64); bins];
        for &(progress, loss) in points {
            let (sum, count) = &mut sums[bin_of(progress, bins)?];
            *sum += checked_loss(loss)?;
            *count += 1;
        }
        Ok(Self::from_sums(&sums))
    }

    /// Computes the curve from the sum of losses and the number of samples of each bin.
    pub(crate) fn from_sums(sums: &[(f64, u64)]) -> Self {
        let filled = || sums.iter().enumerate().filter(|(_, (_, count))| *count > 0);
        Self {
            progress: filled().map(|(bin, _)| middle(bin, sums.len())).collect(),
            loss: filled().map(|(_, (sum, count))| sum / *count as f64).collect(),
        }
    }
}

/// Statistics of the heads that samples kept in a dynamic group (group of layers with a choice of heads).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupHeads {
    /// Layers of the group, counted from 0.
    pub layers: LayerGroup,
    /// Number of samples that ran the group.
    pub samples: u64,
    /// Share of the samples that kept each head, by head index from 0.
    pub share: Vec<f64>,
    /// Most frequent head sets, most frequent first.
    pub sets: Vec<SetCount>,
}

/// Head set, and the number of samples that kept it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetCount {
    /// Kept heads.
    pub heads: HeadSet,
    /// Number of samples that kept exactly these heads.
    pub samples: u64,
}

/// Index of the bin of a progress value; the end of the training run belongs to the last bin.
pub(crate) fn bin_of(progress: f64, bins: usize) -> Result<usize> {
    if bins == 0 {
        return Err(Error::argument("bins", "at least 1", bins));
    }
    if !(0.0..=1.0).contains(&progress) {
        return Err(Error::argument("progress", "0 to 1", progress));
    }
    Ok(((progress * bins as f64) as usize).min(bins - 1))
}

pub(crate) fn middle(bin: usize, bins: usize) -> f64 {
    (bin as f64 + 0.5) / bins as f64
}

pub(crate) fn checked_loss(loss: f64) -> Result<f64> {
    if loss.is_finite() { Ok(loss) } else { Err(Error::Loss { loss }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dht_dynamic::Error as Dynamic;

    #[test]
    fn a_bin_without_losses_is_left_out() {
        let curve = LossCurve::binned(&[(0.05, 4.0), (0.95, 1.0), (0.99, 2.0)], 10).unwrap();
        assert_eq!(curve.progress, [0.05, 0.95]);
        assert_eq!(curve.loss, [4.0, 1.5]);
    }

    #[test]
    fn impossible_points_are_refused() {
        assert!(matches!(LossCurve::binned(&[(0.5, f64::NAN)], 4), Err(Error::Loss { .. })));
        for progress in [-0.1, 1.1, f64::NAN] {
            assert!(matches!(
                LossCurve::binned(&[(progress, 1.0)], 4),
                Err(Error::Dynamic(Dynamic::Argument { name: "progress", .. }))
            ));
        }
        assert!(matches!(
            LossCurve::binned(&[(0.5, 1.0)], 0),
            Err(Error::Dynamic(Dynamic::Argument { name: "bins", .. }))
        ));
    }
}
