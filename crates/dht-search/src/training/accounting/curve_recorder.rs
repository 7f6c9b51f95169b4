use std::collections::BTreeMap;

use dht_dynamic::{Route, route::LayerGroup};
use dht_transformer::HeadSet;
use serde::{Deserialize, Serialize};

use super::curves::{Curves, GroupHeads, LossCurve, SetCount, bin_of, checked_loss, middle};
use crate::error::{Error, Result};

/// Recorder that aggregates the routes and losses of samples into [`Curves`].
///
/// The recorder grows with the number of different head sets, not with the number of samples. Checkpoints contain it,
/// so that a resumed training run ends with the curves of the whole run.
///
/// # Examples
/// ```
/// use dht_search::{Preset, training::CurveRecorder};
///
/// let space = Preset::TDht.space(6, 12)?;
/// let mut recorder = CurveRecorder::new(20, 12)?;
/// recorder.outcome(0.03, &space.resolve(&"1L12H".parse()?)?, 1.4)?;
/// recorder.outcome(0.04, &space.resolve(&"2L8H".parse()?)?, 1.2)?;
/// let curves = recorder.curves(5);
/// assert_eq!(curves.depth_share[&2], [0.5]);
/// assert_eq!(curves.head_count_share[&8], [1.0]);
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurveRecorder {
    heads: usize,
    bins: Vec<Bin>,
    groups: Vec<Group>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Bin {
    samples: u64,
    loss: f64,
    depths: BTreeMap<usize, u64>,
    head_counts: BTreeMap<usize, u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Group {
    layers: LayerGroup,
    /// Head sets with the numbers of samples that kept them, sorted by head set.
    sets: Vec<(HeadSet, u64)>,
}

impl CurveRecorder {
    /// Creates an empty recorder for a model with `heads` heads in each layer. The curves have `bins` bins of training
    /// progress.
    ///
    /// # Errors
    /// * [`Argument`](dht_dynamic::Error::Argument) if `bins` or `heads` is 0.
    /// * [`Transformer`](dht_dynamic::Error::Transformer) if `heads` exceeds the maximum of a layer.
    pub fn new(bins: usize, heads: usize) -> Result<Self> {
        HeadSet::full(heads)?;
        if bins == 0 {
            return Err(Error::argument("bins", "at least 1", bins));
        }
        Ok(Self { heads, bins: vec![Bin::default(); bins], groups: Vec::new() })
    }

    /// Records the route and the loss of a training sample. `progress` is the share of the training run that is over.
    ///
    /// # Errors
    /// On an error nothing is recorded.
    ///
    /// * [`Argument`](dht_dynamic::Error::Argument) if the progress is outside 0 to 1.
    /// * [`Error::Loss`] if the loss is not finite.
    pub fn outcome(&mut self, progress: f64, route: &Route, loss: f64) -> Result<()> {
        let bin = bin_of(progress, self.bins.len())?;
        let loss = checked_loss(loss)?;
        let bin = &mut self.bins[bin];
        bin.samples += 1;
        bin.loss += loss;
        *bin.depths.entry(route.depth()).or_default() += 1;
        for group in route.dynamic_groups() {
            *bin.head_counts.entry(group.heads).or_default() += 1;
        }
        Ok(())
    }

    /// Records the head set that `samples` samples kept in a dynamic group (group of layers with a choice of heads).
    ///
    /// # Errors
    /// [`Transformer`](dht_dynamic::Error::Transformer) if the set has a head that the layers do not have.
    pub fn head_set(&mut self, layers: LayerGroup, heads: HeadSet, samples: u64) -> Result<()> {
        heads.check(self.heads)?;
        let key = |layers: LayerGroup| (layers.start(), layers.end());
        let group = match self.groups.binary_search_by_key(&key(layers), |group| key(group.layers)) {
            Ok(index) => index,
            Err(index) => {
                self.groups.insert(index, Group { layers, sets: Vec::new() });
                index
            }
        };
        let sets = &mut self.groups[group].sets;
        match sets.binary_search_by_key(&heads, |(set, _)| *set) {
            Ok(index) => sets[index].1 += samples,
            Err(index) => sets.insert(index, (heads, samples)),
        }
        Ok(())
    }

    /// Returns whether this recorder has the same numbers of bins and heads as `other`, and only valid values.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let of_heads = |group: &Group| group.sets.iter().all(|(set, _)| set.check(self.heads).is_ok());
        (self.heads, self.bins.len()) == (other.heads, other.bins.len())
            && self.bins.iter().all(|bin| bin.loss.is_finite())
            && self.groups.iter().all(of_heads)
    }

    /// Curves of the recorded samples, with at most `most_sets` head sets for each group of layers. The loss curve has
    /// the name `search`.
    pub fn curves(&self, most_sets: usize) -> Curves {
        let count = self.bins.len();
        let filled: Vec<&Bin> = self.bins.iter().filter(|bin| bin.samples > 0).collect();
        let sums: Vec<(f64, u64)> = self.bins.iter().map(|bin| (bin.loss, bin.samples)).collect();
        Curves {
            progress: (0..count).filter(|&bin| self.bins[bin].samples > 0).map(|bin| middle(bin, count)).collect(),
            samples: filled.iter().map(|bin| bin.samples).collect(),
            depth_share: shares(&filled, |bin| &bin.depths),
            head_count_share: shares(&filled, |bin| &bin.head_counts),
            loss: BTreeMap::from([("search".into(), LossCurve::from_sums(&sums))]),
            heads: self.groups.iter().map(|group| self.group_heads(group, most_sets)).collect(),
        }
    }

    fn group_heads(&self, group: &Group, most_sets: usize) -> GroupHeads {
        let samples: u64 = group.sets.iter().map(|(_, samples)| samples).sum();
        let count = |head: usize| group.sets.iter().filter(|(set, _)| set.contains(head)).map(|(_, count)| count).sum();
        let share = |count: u64| count as f64 / samples.max(1) as f64;
        let mut sets: Vec<SetCount> = group.sets.iter().map(|&(heads, samples)| SetCount { heads, samples }).collect();
        // Stable: of equally frequent sets the lower comes first.
        sets.sort_by_key(|set| std::cmp::Reverse(set.samples));
        sets.truncate(most_sets);
        GroupHeads { layers: group.layers, samples, share: (0..self.heads).map(count).map(share).collect(), sets }
    }
}

/// Converts counts to the share of each key (a depth or a number of heads) in each bin. A key that occurs in any bin
/// has a value for every bin.
fn shares(bins: &[&Bin], counts: impl Fn(&Bin) -> &BTreeMap<usize, u64>) -> BTreeMap<usize, Vec<f64>> {
    let mut keys: Vec<usize> = bins.iter().flat_map(|bin| counts(bin).keys().copied()).collect();
    keys.sort_unstable();
    keys.dedup();
    let share = |bin: &Bin, key: usize| {
        let all: u64 = counts(bin).values().sum();
        counts(bin).get(&key).copied().unwrap_or_default() as f64 / all.max(1) as f64
    };
    keys.into_iter().map(|key| (key, bins.iter().map(|bin| share(bin, key)).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Preset, SearchSpace};

    fn space() -> SearchSpace {
        Preset::TDht.space(6, 12).unwrap()
    }

    fn route(text: &str) -> Route {
        space().resolve(&text.parse().unwrap()).unwrap()
    }

    fn set(heads: &[usize]) -> HeadSet {
        HeadSet::from_indices(heads.iter().copied(), 12).unwrap()
    }

    #[test]
    fn shares_are_counted_bin_by_bin() {
        let mut recorder = CurveRecorder::new(4, 12).unwrap();
        for (progress, text, loss) in
            [(0.1, "1L12H", 2.0), (0.2, "6L8H", 1.0), (0.9, "4L10H", 0.5), (1.0, "4L10H", 0.3), (0.8, "1L12H", 0.1)]
        {
            recorder.outcome(progress, &route(text), loss).unwrap();
        }
        let curves = recorder.curves(3);
        assert_eq!(curves.progress, [0.125, 0.875]);
        assert_eq!(curves.samples, [2, 3]);
        assert_eq!(curves.depth_share[&1], [0.5, 1.0 / 3.0]);
        assert_eq!(curves.depth_share[&6], [0.5, 0.0]);
        // 6L8H has three dynamic groups, 4L10H two.
        assert_eq!(curves.head_count_share[&8], [1.0, 0.0]);
        assert_eq!(curves.head_count_share[&10], [0.0, 1.0]);
        assert_eq!(curves.loss["search"].loss[0], 1.5);
    }

    #[test]
    fn heads_and_sets_are_counted_group_by_group() {
        let (first, second) = (LayerGroup::new(1..2).unwrap(), LayerGroup::new(2..4).unwrap());
        let mut recorder = CurveRecorder::new(1, 12).unwrap();
        recorder.head_set(second, set(&[0, 1]), 5).unwrap();
        recorder.head_set(first, set(&[0, 2]), 3).unwrap();
        recorder.head_set(first, set(&[1, 2]), 1).unwrap();
        recorder.head_set(first, set(&[0, 2]), 4).unwrap();
        let heads = recorder.curves(1).heads;
        assert_eq!([heads[0].layers, heads[1].layers], [first, second]);
        assert_eq!(heads[0].samples, 8);
        assert_eq!(heads[0].share[..4], [0.875, 0.125, 1.0, 0.0]);
        assert_eq!(heads[0].sets, [SetCount { heads: set(&[0, 2]), samples: 7 }]);
    }

    #[test]
    fn a_stored_recorder_continues_where_it_stopped() {
        let mut uninterrupted = CurveRecorder::new(5, 12).unwrap();
        uninterrupted.outcome(0.3, &route("2L8H"), 0.7).unwrap();
        uninterrupted.head_set(LayerGroup::new(1..2).unwrap(), set(&[3, 5]), 2).unwrap();
        let mut resumed: CurveRecorder = serde_json::from_str(&serde_json::to_string(&uninterrupted).unwrap()).unwrap();
        for recorder in [&mut uninterrupted, &mut resumed] {
            recorder.outcome(0.9, &route("6L12H"), 0.2).unwrap();
        }
        assert_eq!(resumed, uninterrupted);
    }

    #[test]
    fn what_cannot_be_is_refused_and_not_recorded() {
        assert!(CurveRecorder::new(0, 12).is_err());
        assert!(CurveRecorder::new(3, 0).is_err());
        let mut recorder = CurveRecorder::new(3, 4).unwrap();
        assert!(recorder.outcome(1.5, &route("1L12H"), 0.1).is_err());
        assert!(recorder.outcome(0.5, &route("1L12H"), f64::INFINITY).is_err());
        assert!(recorder.head_set(LayerGroup::new(0..1).unwrap(), set(&[4]), 1).is_err());
        assert_eq!(recorder, CurveRecorder::new(3, 4).unwrap());
    }
}
