//! Assignment of attention heads and neurons to the samples of a batch.

use serde::{Deserialize, Serialize};

use super::heads::HeadSet;
use crate::error::{Error, Result, same_length};

/// Attention heads of one layer that run for each sample of a batch.
///
/// ```
/// use dht_transformer::{HeadPlan, HeadSet};
///
/// let pair = HeadSet::from_indices([0, 2], 4)?;
/// let plan = HeadPlan::PerSample(vec![pair, HeadSet::full(4)?]);
/// plan.check(4, 2)?;
/// assert_eq!((plan.kept(0, 4), plan.kept(1, 4)), (2, 4));
/// assert!(plan.check(4, 3).is_err()); // three samples, but two sets
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadPlan {
    /// All heads, for every sample.
    #[default]
    Full,
    /// One set of heads for all samples.
    Same(HeadSet),
    /// One set of heads for each sample, in the order of the batch.
    PerSample(Vec<HeadSet>),
}

impl HeadPlan {
    /// Checks that the plan fits a layer with `heads` heads and a batch of `samples` samples.
    ///
    /// # Errors
    /// [`Error::Range`] if a set has a head that the layer does not have; [`Error::Shape`] if the plan is per sample
    /// and the number of sets differs from the number of samples.
    pub fn check(&self, heads: usize, samples: usize) -> Result<()> {
        match self {
            Self::Full => Ok(()),
            Self::Same(set) => set.check(heads),
            Self::PerSample(sets) => {
                same_length("head sets", samples, sets.len())?;
                sets.iter().try_for_each(|set| set.check(heads))
            }
        }
    }

    /// Heads that run for a sample; `None` for all heads.
    ///
    /// # Panics
    /// If the plan is per sample and has no such sample.
    pub fn set(&self, sample: usize) -> Option<HeadSet> {
        match self {
            Self::Full => None,
            Self::Same(set) => Some(*set),
            Self::PerSample(sets) => Some(sets[sample]),
        }
    }

    /// Number of heads that run for a sample in a layer with `heads` heads.
    ///
    /// # Panics
    /// If the plan is per sample and has no such sample.
    pub fn kept(&self, sample: usize, heads: usize) -> usize {
        self.set(sample).map_or(heads, HeadSet::len)
    }
}

/// Group of consecutive samples in a batch that run the same heads and neurons of a layer.
///
/// A batch is divided into a sequence of groups; see [`Encoder::run_groups`](crate::Encoder::run_groups).
///
/// ```
/// # use candle_core::Device;
/// # use dht_transformer::{BertConfig, Encoder, TextTokenizer};
/// # use rand::SeedableRng;
/// # let texts = ["a fine day", "bad food today"];
/// # let tokenizer = TextTokenizer::train(texts, 100)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let config = BertConfig::small(2, 4, 16, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let batch = tokenizer.encode_texts(&texts, 16)?.batch(&[0, 1])?;
/// use dht_transformer::{ForwardContext, HeadSet, SampleGroup};
///
/// // The first text runs all heads and neurons, the second one half of both.
/// let whole = SampleGroup { samples: 1, heads: HeadSet::full(4)?, neurons: 64 };
/// let half = SampleGroup { samples: 1, heads: HeadSet::from_indices([0, 1], 4)?, neurons: 32 };
/// let groups = [whole, half];
/// SampleGroup::check_all(&groups, 4, 64, 2)?;
/// let ctx = ForwardContext::inference();
/// let hidden = encoder.run_groups(0..2, &encoder.embed(&batch, &ctx)?, &groups, &ctx)?;
/// assert_eq!(hidden.samples(), 2);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleGroup {
    /// Number of samples in the group. They follow the samples of the previous group.
    pub samples: usize,
    /// Heads that run for the samples of the group.
    pub heads: HeadSet,
    /// Number n of feed-forward neurons that run. They are the first n neurons of the layer.
    pub neurons: usize,
}

impl SampleGroup {
    /// Checks that groups fit a layer with `heads` heads and `neurons` neurons, and a batch of `samples` samples.
    ///
    /// # Errors
    /// [`Error::Shape`] if the groups have another total number of samples; [`Error::Range`] for a head that the layer
    /// does not have; [`Error::Argument`] for a number of neurons that the layer does not have.
    pub fn check_all(groups: &[Self], heads: usize, neurons: usize, samples: usize) -> Result<()> {
        let got = groups.iter().fold(0_usize, |sum, group| sum.saturating_add(group.samples));
        same_length("samples of the groups", samples, got)?;
        for group in groups {
            group.heads.check(heads)?;
            check_width(group.neurons, neurons)?;
        }
        Ok(())
    }
}

/// Checks that a feed-forward sublayer with `neurons` neurons can run its first `width` neurons.
fn check_width(width: usize, neurons: usize) -> Result<()> {
    if (1..=neurons).contains(&width) {
        return Ok(());
    }
    let (field, expected) = ("feed-forward width", format!("1 to {neurons}"));
    Err(Error::argument(field, expected, width.to_string()))
}
