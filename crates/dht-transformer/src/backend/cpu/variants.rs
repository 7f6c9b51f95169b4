//! Variants of a sublayer in a batch. A variant is a set of heads or a number of neurons that samples run.

use std::ops::Range;
use std::sync::Arc;

use crate::tensors::HeadSet;

/// Selection of heads or neurons of a sublayer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Choice {
    Heads(HeadSet),
    /// Number of first neurons.
    Neurons(usize),
}

/// Number of neurons in a gradient chunk.
pub(crate) const CHUNK: usize = 96;

impl Choice {
    /// Heads that run; empty for a feed-forward.
    pub(crate) fn heads(self) -> Vec<usize> {
        match self {
            Self::Heads(set) => set.iter().collect(),
            Self::Neurons(_) => Vec::new(),
        }
    }

    /// Selects all `size` heads or neurons of a sublayer.
    fn whole(self, size: usize) -> Self {
        match self {
            Self::Heads(own) => Self::Heads(HeadSet::full(size).unwrap_or(own)),
            Self::Neurons(_) => Self::Neurons(size),
        }
    }

    /// Union of two choices.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Heads(a), Self::Heads(b)) => Self::Heads(a.union(b)),
            (Self::Neurons(a), Self::Neurons(b)) => Self::Neurons(a.max(b)),
            (own, _) => own,
        }
    }
}

/// Selection of heads or neurons that some samples of a batch run.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) choice: Choice,
    /// Heads that run.
    pub(crate) heads: Vec<usize>,
    /// For each head of the layer, or for each chunk of neurons, its position among the heads or chunks that run.
    pub(crate) positions: Arc<[Option<usize>]>,
}

/// All variants of a sublayer in a batch.
#[derive(Debug)]
pub(crate) struct Variants {
    pub(crate) different: Vec<Variant>,
    /// Consecutive samples, and the index of their variant.
    pub(crate) runs: Vec<(Range<usize>, usize)>,
    /// Union of all variants.
    pub(crate) all: Choice,
    /// Selection of the whole sublayer.
    pub(crate) whole: Choice,
}

impl Variants {
    /// Collects the variants of a batch. `choices` has pairs: a number of consecutive samples, and their choice. `size`
    /// is the number of heads or neurons of the sublayer.
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

    /// Runs of consecutive samples, restricted to a range of samples.
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
