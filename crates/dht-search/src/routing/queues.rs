//! Queues of the DHT paper (Algorithm 3): routed samples wait until enough samples of the same exit form a batch.

use std::collections::{BTreeSet, VecDeque};

use dht_dynamic::router::{Decisions, Notes};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::routing::learner::Learner;

/// Sample in a queue, with its routing decision for the later forward pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueuedSample {
    pub(crate) row: usize,
    /// Number of heads that the sample keeps; `None` outside an integrated search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<usize>,
    /// Notes of the router, such as the context of its decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Notes,
    /// Log-probability of each class at the exit where the sample was routed; empty if the head router does not use
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    answer: Vec<f64>,
    /// Optimiser step at which the sample was routed.
    routed_at: u64,
}

/// Queues of routed samples, one for each exit. A queue of `size` samples runs as one batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queues {
    size: usize,
    queues: Vec<VecDeque<QueuedSample>>,
    /// Total waiting time of samples in optimiser steps, and the number of samples that left the queues.
    waited: (u64, u64),
}

impl Queues {
    pub(crate) fn new(size: usize, exits: usize) -> Self {
        Self { size, queues: vec![VecDeque::new(); exits], waited: (0, 0) }
    }

    pub(crate) fn set_exits(&mut self, exits: usize) {
        self.queues = vec![VecDeque::new(); exits];
    }

    /// Returns empty queues for the same exits and with the same size of a full queue.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(self.size, self.queues.len())
    }

    pub(crate) fn join(&mut self, rows: &[u64], decisions: Decisions, step: u64) {
        let Decisions { exits, kept, notes, answers } = decisions;
        let (mut kept, mut notes, mut answers) = (kept.into_iter(), notes.into_iter(), answers.into_iter());
        for (row, exit) in rows.iter().zip(exits) {
            let (notes, answer) = (notes.next().unwrap_or_default(), answers.next().unwrap_or_default());
            let (row, kept) = (*row as usize, kept.next());
            self.queues[exit].push_back(QueuedSample { row, kept, notes, answer, routed_at: step });
        }
    }

    /// Removes and returns the next batch, of at most `size` samples: from the shallowest full queue or, with `drain`,
    /// from the shallowest queue that is not empty. `step` is the present optimiser step.
    pub(crate) fn leave(&mut self, drain: bool, step: u64) -> Option<(Vec<usize>, Decisions)> {
        let ready = |queue: &VecDeque<QueuedSample>| queue.len() >= self.size || (drain && !queue.is_empty());
        let exit = self.queues.iter().position(ready)?;
        let count = self.size.min(self.queues[exit].len());
        let mut rows = Vec::with_capacity(count);
        let mut decisions = Decisions::default();
        for queued in self.queues[exit].drain(..count) {
            rows.push(queued.row);
            decisions.exits.push(exit);
            decisions.kept.extend(queued.kept);
            decisions.notes.push(queued.notes);
            decisions.answers.push(queued.answer);
            self.waited.0 += step.saturating_sub(queued.routed_at);
            self.waited.1 += 1;
        }
        Some((rows, decisions))
    }

    /// Mean number of steps between routing a sample and running it (staleness).
    pub(crate) fn mean_wait(&self) -> f64 {
        self.waited.0 as f64 / self.waited.1.max(1) as f64
    }

    /// Rejects queues from a checkpoint that are inconsistent: a sample that `router` cannot have sent to its queue, a
    /// row that occurs twice, or a sample that does not have `answers` finite log-probabilities of classes.
    pub(crate) fn check(&self, router: &dyn Learner, answers: usize) -> Result<()> {
        let mut rows = BTreeSet::new();
        for (exit, queue) in self.queues.iter().enumerate() {
            for QueuedSample { row, kept, notes, answer, .. } in queue {
                router.check_queued(exit, *kept, notes)?;
                if answer.len() != answers {
                    let expected = format!("one of {answers} answers");
                    return Err(Error::state("queued sample", expected, format!("one of {}", answer.len())));
                }
                if let Some(value) = answer.iter().find(|value| !value.is_finite()) {
                    return Err(Error::state("queued sample", "one of finite values", format!("one with {value}")));
                }
                if !rows.insert(row) {
                    return Err(Error::state("queued sample", "each row once", format!("row {row} twice")));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.queues.iter().flatten().map(|queued| queued.row)
    }

    /// Number of queues, and the size of a full queue.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.queues.len(), self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(exits: &[usize]) -> Decisions {
        Decisions {
            exits: exits.to_vec(),
            notes: exits.iter().map(|exit| vec![*exit as f64]).collect(),
            ..Decisions::default()
        }
    }

    #[test]
    fn a_full_queue_is_one_batch_and_draining_empties_all_queues() {
        let mut queues = Queues::new(2, 3);
        queues.join(&[10, 11, 12], choices(&[2, 0, 2]), 4);
        let (rows, left) = queues.leave(false, 7).unwrap();
        assert_eq!((rows, left.exits), (vec![10, 12], vec![2, 2]));
        assert!(queues.leave(false, 7).is_none());
        queues.join(&[13, 14, 15], choices(&[1, 2, 1]), 7);
        let mut rest: Vec<usize> = Vec::new();
        while let Some((rows, left)) = queues.leave(true, 8) {
            assert_eq!(left.notes, left.exits.iter().map(|exit| vec![*exit as f64]).collect::<Vec<_>>());
            rest.extend(rows);
        }
        assert_eq!(rest, [11, 13, 15, 14]);
        assert_eq!(queues.rows().count(), 0);
        assert_eq!(queues.mean_wait(), (3.0 + 3.0 + 4.0 + 1.0 + 1.0 + 1.0) / 6.0);
    }
}
