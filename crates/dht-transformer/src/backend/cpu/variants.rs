//! Which samples of a batch run what of a half.

use std::ops::Range;
use std::sync::Arc;

use crate::tensors::HeadSet;

/// What runs of a half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Choice {
    Heads(HeadSet),
    /// The first so many.
    Neurons(usize),
}

/// Neurons whose gradients are a task.
pub(crate) const CHUNK: usize = 96;

impl Choice {
    /// The heads that run; none of a feed-forward.
    pub(crate) fn heads(self) -> Vec<usize> {
        match self {
            Self::Heads(set) => set.iter().collect(),
            Self::Neurons(_) => Vec::new(),
        }
    }

    /// What runs in either.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Heads(a), Self::Heads(b)) => Self::Heads(a.union(b)),
            (Self::Neurons(a), Self::Neurons(b)) => Self::Neurons(a.max(b)),
            (own, _) => own,
        }
    }
}

/// One of the ways in which samples run a half.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) choice: Choice,
    /// The heads that run.
    pub(crate) heads: Vec<usize>,
    /// For each head of the layer, or each chunk of its neurons, the place among those that run.
    pub(crate) places: Arc<[Option<usize>]>,
}

/// All ways in which the samples of a batch run a half.
#[derive(Debug)]
pub(crate) struct Ways {
    pub(crate) different: Vec<Way>,
    /// Neighbouring samples, and their way.
    pub(crate) runs: Vec<(Range<usize>, usize)>,
    /// What anybody runs.
    pub(crate) all: Choice,
}

impl Ways {
    /// So many samples each run this, of a half with so many heads or neurons.
    pub(crate) fn new(choices: impl IntoIterator<Item = (usize, Choice)>, size: usize) -> Self {
        let mut ways = Self { different: Vec::new(), runs: Vec::new(), all: Choice::Neurons(1) };
        let mut first = 0;
        for (samples, choice) in choices.into_iter().filter(|(samples, _)| *samples > 0) {
            let known = ways.different.iter().position(|way| way.choice == choice);
            let way = known.unwrap_or_else(|| {
                ways.all = if ways.different.is_empty() { choice } else { ways.all.or(choice) };
                ways.different.push(Way { choice, heads: choice.heads(), places: places(choice, size) });
                ways.different.len() - 1
            });
            match ways.runs.last_mut() {
                Some((run, last)) if *last == way => run.end += samples,
                _ => ways.runs.push((first..first + samples, way)),
            }
            first += samples;
        }
        ways
    }

    /// The runs that fall into some neighbouring samples, as far as they do.
    pub(crate) fn within(&self, samples: Range<usize>) -> impl Iterator<Item = (Range<usize>, &Way, usize)> {
        let first = self.runs.partition_point(|(run, _)| run.end <= samples.start);
        let runs = self.runs[first..].iter().map(move |(run, way)| {
            (run.start.max(samples.start)..run.end.min(samples.end), &self.different[*way], *way)
        });
        runs.take_while(|(run, ..)| run.start < run.end)
    }
}

fn places(choice: Choice, size: usize) -> Arc<[Option<usize>]> {
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
