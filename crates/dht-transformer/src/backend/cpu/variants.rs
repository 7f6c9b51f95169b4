//! Subsets of heads or neurons ("variants") that the samples of a batch run in one sublayer.

use std::ops::Range;
use std::sync::Arc;

use crate::tensors::HeadSet;

/// Subset of a sublayer's heads or neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Choice {
    Heads(HeadSet),
    /// First n neurons of a feed-forward sublayer, for the stored number n.
    Neurons(usize),
}

/// Number of neurons in a chunk. Weight gradients of the feed-forward sublayer are computed chunk by chunk.
pub(crate) const CHUNK: usize = 96;

impl Choice {
    /// Numbers of the selected attention heads in increasing order. The list is empty in a feed-forward sublayer.
    pub(crate) fn heads(self) -> Vec<usize> {
        match self {
            Self::Heads(set) => set.iter().collect(),
            Self::Neurons(_) => Vec::new(),
        }
    }

    /// Returns the selection of all `size` heads or neurons of the sublayer.
    fn whole(self, size: usize) -> Self {
        match self {
            Self::Heads(own) => Self::Heads(HeadSet::full(size).unwrap_or(own)),
            Self::Neurons(_) => Self::Neurons(size),
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Heads(a), Self::Heads(b)) => Self::Heads(a.union(b)),
            (Self::Neurons(a), Self::Neurons(b)) => Self::Neurons(a.max(b)),
            (own, _) => own,
        }
    }
}

/// Subset of a sublayer's heads or neurons that some samples of a batch run.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) choice: Choice,
    /// Numbers of the attention heads that run, in increasing order. The list is empty in a feed-forward sublayer.
    pub(crate) heads: Vec<usize>,
    /// Entry for each head (or chunk of neurons) of the whole layer: its index among those that run, or `None` if it
    /// does not run.
    pub(crate) positions: Arc<[Option<usize>]>,
}

/// All subsets of heads or neurons that the samples of a batch run in one sublayer.
#[derive(Debug)]
pub(crate) struct Variants {
    pub(crate) different: Vec<Variant>,
    /// Ranges of consecutive samples that run the same variant (subset of heads or neurons). The number is the
    /// variant's index in `different`.
    pub(crate) runs: Vec<(Range<usize>, usize)>,
    /// Union of the variants: all heads or neurons that any sample runs.
    pub(crate) all: Choice,
    pub(crate) whole: Choice,
}

impl Variants {
    /// Collects the variants (subsets of heads or neurons) of a batch. Each item of `choices` has a number of
    /// consecutive samples, and the heads or neurons that they run. `size` is the number of heads or neurons of the
    /// sublayer.
    pub(crate) fn new(choices: impl IntoIterator<Item = (usize, Choice)>, size: usize) -> Self {
        let (all, whole) = (Choice::Neurons(1), Choice::Neurons(size));
        let mut variants = Self { different: Vec::new(), runs: Vec::new(), all, whole };
        let mut first = 0;
        for (samples, choice) in choices.into_iter().filter(|(samples, _)| *samples > 0) {
            let known = variants.different.iter().position(|variant| variant.choice == choice);
            let variant = known.unwrap_or_else(|| {
                variants.all = if variants.different.is_empty() { choice } else { variants.all.or(choice) };
                variants.whole = choice.whole(size);
                variants.different.push(Variant { choice, heads: choice.heads(), positions: positions(choice, size) });
                variants.different.len() - 1
            });
            match variants.runs.last_mut() {
                Some((run, last)) if *last == variant => run.end += samples,
                _ => variants.runs.push((first..first + samples, variant)),
            }
            first += samples;
        }
        variants
    }

    /// Divides `samples` into ranges of consecutive samples that run the same variant (subset of heads or neurons).
    /// Each item has a range, the variant and the variant's index.
    pub(crate) fn within(&self, samples: Range<usize>) -> impl Iterator<Item = (Range<usize>, &Variant, usize)> {
        let first = self.runs.partition_point(|(run, _)| run.end <= samples.start);
        let runs = self.runs[first..].iter().map(move |(run, variant)| {
            (run.start.max(samples.start)..run.end.min(samples.end), &self.different[*variant], *variant)
        });
        runs.take_while(|(run, ..)| run.start < run.end)
    }
}

fn positions(choice: Choice, size: usize) -> Arc<[Option<usize>]> {
    match choice {
        Choice::Heads(set) => {
            let mut next = 0..;
            (0..size).map(|head| if set.contains(head) { next.next() } else { None }).collect()
        }
        Choice::Neurons(width) => {
            (0..size.div_ceil(CHUNK)).map(|chunk| (chunk * CHUNK < width).then_some(chunk)).collect()
        }
    }
}
