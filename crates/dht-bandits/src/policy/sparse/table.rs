//! Table with the weights of all features and arms. Weights that have not learned take no memory, because their memory
//! pages are never written.

use std::hint::black_box;

use super::model::SparseModel;
use crate::arm_set::Slots;
use crate::error::{Error, Result};
use crate::gaussian::Score;
use crate::validate::{LARGEST_PRECISION, check_bounded, check_memory};

/// Number of values stored for one weight: the difference from the prior weight, and the evidence.
const NUMBERS: usize = 2;

/// Number of bytes in a cache line.
const LINE: usize = 64;
const NUMBERS_OF_LINE: usize = LINE / size_of::<f64>();

/// Number of feature values whose weights are loaded ahead of use, so that their memory accesses overlap.
const READ_AHEAD: usize = 16;

/// Weights and evidence, shape (features, arm capacity, 2). The arms of a feature are adjacent in memory, so that they
/// can share a cache line.
#[derive(Debug, Clone)]
pub(super) struct Table {
    numbers: Vec<f64>,
    /// Offset of the first weight, aligned to a cache line. Without the alignment, a row could spread over two cache
    /// lines.
    start: usize,
    size: usize,
    /// Number of arms for which memory is allocated.
    room: usize,
    arms: usize,
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        (self.size, self.room, self.arms) == (other.size, other.room, other.arms) && self.rows() == other.rows()
    }
}

/// Log of overwritten values with their positions in the table, for undoing an update.
pub(super) type Undo = Vec<(usize, [f64; NUMBERS])>;

impl Table {
    /// Creates a table for a number of arms, without evidence.
    pub(super) fn new(size: usize, arms: usize) -> Result<Self> {
        let (numbers, start) = Self::zeros(size, arms)?;
        Ok(Self { numbers, start, size, room: arms, arms })
    }

    /// Allocates zeros, which take no memory before they are written to. Returns them and the offset of the first
    /// weight.
    fn zeros(size: usize, room: usize) -> Result<(Vec<f64>, usize)> {
        let count = size.checked_mul(room).and_then(|weights| weights.checked_mul(NUMBERS));
        check_memory("arms × features", count)?;
        let numbers = vec![0.0; count.unwrap_or(0) + NUMBERS_OF_LINE];
        let start = numbers.as_ptr().align_offset(LINE).min(NUMBERS_OF_LINE);
        Ok((numbers, start))
    }

    fn at(&self, index: usize, slot: usize) -> usize {
        self.start + (index * self.room + slot) * NUMBERS
    }

    fn rows(&self) -> &[f64] {
        &self.numbers[self.start..][..self.size * self.room * NUMBERS]
    }

    pub(super) fn get(&self, index: usize, slot: usize) -> [f64; NUMBERS] {
        let at = self.at(index, slot);
        [self.numbers[at], self.numbers[at + 1]]
    }

    pub(super) fn set(&mut self, index: usize, slot: usize, numbers: [f64; NUMBERS]) {
        let at = self.at(index, slot);
        self.numbers[at..at + NUMBERS].copy_from_slice(&numbers);
    }

    /// Reserves memory for at least one more arm. A full table grows by half.
    pub(super) fn reserve(&mut self) -> Result<()> {
        if self.arms < self.room {
            return Ok(());
        }
        let room = self.room + (self.room / 2).max(1);
        let (mut numbers, start) = Self::zeros(self.size, room)?;
        let (old, new) = (self.room * NUMBERS, room * NUMBERS);
        if old > 0 {
            for (from, to) in self.rows().chunks_exact(old).zip(numbers[start..].chunks_exact_mut(new)) {
                // Reading a page that was never written to does not allocate it.
                if from.iter().any(|number| *number != 0.0) {
                    to[..old].copy_from_slice(from);
                }
            }
        }
        (self.numbers, self.start, self.room) = (numbers, start, room);
        Ok(())
    }

    /// Adds an arm, untrained or with a copy of the weights in slot `like`.
    pub(super) fn push(&mut self, like: Option<usize>) {
        self.arms += 1;
        if let Some(like) = like {
            self.copy(like, self.arms - 1);
        }
    }

    pub(super) fn copy(&mut self, from: usize, to: usize) {
        for index in 0..self.size {
            let numbers = self.get(index, from);
            if numbers != self.get(index, to) {
                self.set(index, to, numbers);
            }
        }
    }

    /// Removes the arm in a slot. The last arm moves to this slot.
    pub(super) fn swap_remove(&mut self, slot: usize) {
        let last = self.arms - 1;
        for index in 0..self.size {
            let numbers = self.get(index, last);
            if self.get(index, slot) != numbers {
                self.set(index, slot, numbers);
            }
            if numbers != [0.0; NUMBERS] {
                self.set(index, last, [0.0; NUMBERS]);
            }
        }
        self.arms = last;
    }

    /// Weights that have learned something, as (feature index, slot, [difference from the prior weight, evidence]).
    pub(super) fn learned(&self) -> impl Iterator<Item = (usize, usize, [f64; NUMBERS])> + '_ {
        let all = self.rows().chunks_exact(NUMBERS).enumerate().filter(|(_, numbers)| **numbers != [0.0; NUMBERS]);
        all.map(|(at, numbers)| (at / self.room, at % self.room, [numbers[0], numbers[1]]))
    }

    /// Mean and width of one arm's score, for the (index, value) pairs of a context.
    pub(super) fn score<M: SparseModel>(&self, model: &M, pairs: &[f64], slot: usize) -> Score {
        let (mean, variance) = self.moments(model, pairs, slot);
        Score { mean, width: variance.sqrt() }
    }

    fn moments<M: SparseModel>(&self, model: &M, pairs: &[f64], slot: usize) -> (f64, f64) {
        let (mut mean, mut variance) = (0.0, 0.0);
        let prior = model.prior_mean();
        for pair in pairs.chunks_exact(2) {
            let at = self.at(pair[0] as u32 as usize, slot);
            mean += pair[1] * (prior + self.numbers[at]);
            variance += pair[1] * pair[1] * model.variance(self.numbers[at + 1]);
        }
        (mean, variance)
    }

    /// Computes the mean and width of every slot in one pass over the context's (index, value) pairs. Terms are added
    /// in the order of [`score`](Self::score), so that the results are equal.
    fn score_all<M: SparseModel>(&self, model: &M, pairs: &[f64], scores: &mut Vec<Score>) {
        scores.clear();
        scores.resize(self.arms, Score { mean: 0.0, width: 0.0 });
        let prior = model.prior_mean();
        for block in pairs.chunks(2 * READ_AHEAD) {
            let first = |pair: &[f64]| self.numbers[self.at(pair[0] as u32 as usize, 0)];
            black_box(block.chunks_exact(2).map(first).sum::<f64>());
            for pair in block.chunks_exact(2) {
                let (at, value) = (self.at(pair[0] as u32 as usize, 0), pair[1]);
                let square = value * value;
                let row = &self.numbers[at..at + self.arms * NUMBERS];
                for (score, numbers) in scores.iter_mut().zip(row.chunks_exact(NUMBERS)) {
                    score.mean += value * (prior + numbers[0]);
                    score.width += square * model.variance(numbers[1]);
                }
            }
        }
        scores.iter_mut().for_each(|score| score.width = score.width.sqrt());
    }

    /// Computes the mean and width of each slot in a set of arms, in ascending order.
    pub(super) fn score_slots<M: SparseModel>(
        &self,
        model: &M,
        pairs: &[f64],
        slots: Slots<'_>,
    ) -> Vec<(usize, Score)> {
        let mut scores = Vec::new();
        if slots.count() * 2 > self.arms {
            self.score_all(model, pairs, &mut scores);
            return slots.iter().map(|slot| (slot, scores[slot])).collect();
        }
        slots.iter().map(|slot| (slot, self.score(model, pairs, slot))).collect()
    }

    /// Learns one reward, or nothing if it is refused. Previous values of changed weights are appended to `undo`.
    pub(super) fn update<M: SparseModel>(
        &mut self,
        model: &M,
        pairs: &[f64],
        slot: usize,
        (reward, weight): (f64, f64),
        undo: &mut Option<Undo>,
    ) -> Result<()> {
        let (mean, mut variance) = self.moments(model, pairs, slot);
        check_bounded("mean", mean)?;
        let before = model.evidence_before(mean, reward, weight);
        let added = |evidence: f64, value: f64, each: f64| (evidence + each * value * value).min(LARGEST_PRECISION);
        if before > 0.0 {
            variance = 0.0;
            for pair in pairs.chunks_exact(2) {
                let evidence = added(self.numbers[self.at(pair[0] as u32 as usize, slot) + 1], pair[1], before);
                variance += pair[1] * pair[1] * model.variance(evidence);
            }
        }
        check_bounded("variance", variance)?;
        check_bounded("weight times variance", weight * variance)?;
        let step = model.step(mean, variance, reward, weight);
        let after = model.evidence_after(mean + step * variance, weight);
        for pair in pairs.chunks_exact(2) {
            let at = self.at(pair[0] as u32 as usize, slot);
            let numbers = &mut self.numbers[at..at + NUMBERS];
            if let Some(undo) = undo {
                undo.push((at, [numbers[0], numbers[1]]));
            }
            let evidence = added(numbers[1], pair[1], before);
            numbers[0] += step * pair[1] * model.variance(evidence);
            numbers[1] = added(evidence, pair[1], after);
        }
        Ok(())
    }

    /// Moves the weights of a slot along a gradient, with learning rates of AdaGrad.
    pub(super) fn ascend(&mut self, rate: f64, pairs: &[f64], slot: usize, slope: f64) {
        for pair in pairs.chunks_exact(2) {
            let (at, gradient) = (self.at(pair[0] as u32 as usize, slot), slope * pair[1]);
            let evidence = (self.numbers[at + 1] + gradient * gradient).min(LARGEST_PRECISION);
            self.numbers[at] += rate * gradient / (1.0 + evidence).sqrt();
            self.numbers[at + 1] = evidence;
        }
    }

    /// Weights that have learned something, as (feature index, slot, difference from the prior weight, evidence), in
    /// ascending order.
    pub(super) fn state(&self) -> Vec<(u32, u32, f64, f64)> {
        let entry = |(index, slot, [weight, evidence]): (usize, usize, [f64; NUMBERS])| {
            (index as u32, slot as u32, weight, evidence)
        };
        self.learned().map(entry).collect()
    }

    /// Creates a table from saved weights.
    ///
    /// # Errors
    /// Fails if weights are out of range, out of order, or not finite, or if evidence is negative.
    pub(super) fn from_state(size: usize, slots: usize, state: &[(u32, u32, f64, f64)]) -> Result<Self> {
        let (mut table, mut last) = (Self::new(size, slots)?, None);
        for (position, &(index, slot, weight, evidence)) in state.iter().enumerate() {
            let invalid = |problem: String| Error::InvalidState { what: "weight", index: position, problem };
            let place = (index, slot);
            if index as usize >= size || slot as usize >= slots {
                return Err(invalid(format!("is of index {index}, slot {slot}: expected below {size} and {slots}")));
            }
            if last >= Some(place) {
                return Err(invalid(format!("index {index}, slot {slot} is not above the one before")));
            }
            let fits = weight.abs() <= 1e250 && (0.0..=LARGEST_PRECISION).contains(&evidence);
            if !fits {
                return Err(invalid(format!("is {weight} with evidence {evidence}, expected finite, not negative")));
            }
            table.set(index as usize, slot as usize, [weight, evidence]);
            last = Some(place);
        }
        Ok(table)
    }

    /// Undoes updates: restores the previous values of changed weights, the last change first.
    pub(super) fn restore(&mut self, undo: Undo) {
        for (at, numbers) in undo.into_iter().rev() {
            self.numbers[at..at + NUMBERS].copy_from_slice(&numbers);
        }
    }
}
