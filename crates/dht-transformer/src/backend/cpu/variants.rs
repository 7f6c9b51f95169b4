//! Which heads or neurons of a sublayer the samples of a batch run.

use std::ops::Range;
use std::sync::Arc;

use crate::tensors::HeadSet;

/// The heads or neurons of a sublayer that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Choice {
    Heads(HeadSet),
    /// The number of first neurons.
    Neurons(usize),
}

/// Neurons of a gradient chunk.
pub(crate) const CHUNK: usize = 96;

impl Choice {
    /// The heads that run; none of a feed-forward.
    pub(crate) fn heads(self) -> Vec<usize> {
        match self {
            Self::Heads(set) => set.iter().collect(),
            Self::Neurons(_) => Vec::new(),
        }
    }

    /// All heads or neurons of a sublayer that has so many.
    fn whole(self, size: usize) -> Self {
        match self {
            Self::Heads(own) => Self::Heads(HeadSet::full(size).unwrap_or(own)),
            Self::Neurons(_) => Self::Neurons(size),
        }
    }

    /// The union of both.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Heads(a), Self::Heads(b)) => Self::Heads(a.union(b)),
            (Self::Neurons(a), Self::Neurons(b)) => Self::Neurons(a.max(b)),
            (own, _) => own,
        }
    }
}

/// One selection of heads or neurons that samples of a batch run.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) choice: Choice,
    /// The heads that run.
    pub(crate) heads: Vec<usize>,
    /// For each head of the layer, or each chunk of its neurons, the position among those that run.
    pub(crate) positions: Arc<[Option<usize>]>,
}

/// All variants of a sublayer in a batch.
#[derive(Debug)]
pub(crate) struct Variants {
    pub(crate) different: Vec<Variant>,
    /// Consecutive samples, and their variant.
    pub(crate) runs: Vec<(Range<usize>, usize)>,
    /// The union of all variants.
    pub(crate) all: Choice,
    /// All of the sublayer.
    pub(crate) whole: Choice,
}

impl Variants {
    /// `choices`: pairs of a number of consecutive samples and what they run; `size` is the number of heads or neurons of the
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

    /// The parts of the runs that lie in a range of samples.
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
