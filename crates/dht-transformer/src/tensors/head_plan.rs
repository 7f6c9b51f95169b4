//! Which heads and neurons run for which samples of a batch.

use serde::{Deserialize, Serialize};

use super::heads::HeadSet;
use crate::error::{Error, Result};

/// Which heads of one layer run for each sample of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadPlan {
    /// All heads, for every sample.
    #[default]
    Full,
    /// One set for every sample.
    Same(HeadSet),
    /// A set for each sample, in the batch's order.
    PerSample(Vec<HeadSet>),
}

impl HeadPlan {
    /// Whether the plan fits a layer of `heads` heads and a batch of `samples` samples.
    ///
    /// # Errors
    /// [`Error::HeadOutOfRange`] when a set holds a head the layer lacks, [`Error::PlanSamples`] when the sets are not
    /// one for each sample.
    pub fn check(&self, heads: usize, samples: usize) -> Result<()> {
        match self {
            Self::Full => Ok(()),
            Self::Same(set) => set.check(heads),
            Self::PerSample(sets) if sets.len() != samples => {
                Err(Error::PlanSamples { expected: samples, got: sets.len() })
            }
            Self::PerSample(sets) => sets.iter().try_for_each(|set| set.check(heads)),
        }
    }

    /// The heads that run for a sample; `None` when all do.
    ///
    /// # Panics
    /// When the plan is per sample and has no such sample.
    pub fn set(&self, sample: usize) -> Option<HeadSet> {
        match self {
            Self::Full => None,
            Self::Same(set) => Some(*set),
            Self::PerSample(sets) => Some(sets[sample]),
        }
    }

    /// How many of a layer's `heads` heads run for a sample.
    ///
    /// # Panics
    /// When the plan is per sample and has no such sample.
    pub fn kept(&self, sample: usize, heads: usize) -> usize {
        self.set(sample).map_or(heads, HeadSet::len)
    }
}

/// Consecutive samples of a batch that run the same heads and the same neurons of some layers.
///
/// A batch is a sequence of groups; see [`Encoder::run_groups`](crate::Encoder::run_groups).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleGroup {
    /// How many samples; they follow those of the group before.
    pub samples: usize,
    /// The heads that run.
    pub heads: HeadSet,
    /// The number of first neurons of the feed-forward that run.
    pub neurons: usize,
}

impl SampleGroup {
    /// Whether groups fit a layer of `heads` heads and `neurons` neurons and a batch of `samples` samples.
    ///
    /// # Errors
    /// [`Error::PlanSamples`] when the groups do not hold that many samples, [`Error::HeadOutOfRange`] for a head and
    /// [`Error::Setting`] for a number of neurons that the layer has not.
    pub fn check_all(groups: &[Self], heads: usize, neurons: usize, samples: usize) -> Result<()> {
        let got = groups.iter().fold(0_usize, |sum, group| sum.saturating_add(group.samples));
        if got != samples {
            return Err(Error::PlanSamples { expected: samples, got });
        }
        for group in groups {
            group.heads.check(heads)?;
            check_width(group.neurons, neurons)?;
        }
        Ok(())
    }
}

/// Whether a feed-forward of `neurons` neurons can run `width` of them.
fn check_width(width: usize, neurons: usize) -> Result<()> {
    if (1..=neurons).contains(&width) {
        return Ok(());
    }
    let (field, expected) = ("feed-forward width", format!("1 to {neurons}"));
    Err(Error::setting(field, expected, width.to_string()))
}
