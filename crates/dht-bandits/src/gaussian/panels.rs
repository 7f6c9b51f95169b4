//! Factors stored arm by arm, in panels of eight columns: for contexts of some length.

use super::layout::{LANES, Lanes, Layout};
use super::moments::{Moments, Score};
use super::score::{Batch, Look, ManyArms, OneArm, ROUND};
use super::update::{Absorb, Scratch};
use crate::slots::Slots;
use pulp::Arch;

/// The factors of many arms, and the space their updates are computed in.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    layout: Layout,
    arms: Vec<Lanes>,
    scratch: Scratch,
}

impl Panels {
    pub(crate) fn new(dimension: usize) -> Self {
        let layout = Layout::new(dimension);
        let space = || vec![Lanes::ZERO; layout.panels];
        let gain = vec![0.0; layout.panels * LANES];
        let scratch = Scratch { f: space(), v: space(), before: space(), gain };
        Self { layout, arms: Vec::new(), scratch }
    }

    pub(crate) fn len(&self) -> usize {
        self.arms.len() / self.layout.stride()
    }

    fn block(&self, slot: usize) -> &[Lanes] {
        &self.arms[slot * self.layout.stride()..][..self.layout.stride()]
    }

    /// Adds an arm of zeros.
    pub(crate) fn push(&mut self) {
        self.arms.resize(self.arms.len() + self.layout.stride(), Lanes::ZERO);
    }

    /// Removes the last arm.
    pub(crate) fn pop(&mut self) {
        self.arms.truncate(self.arms.len() - self.layout.stride());
    }

    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        let stride = self.layout.stride();
        self.arms.copy_within(from * stride..(from + 1) * stride, to * stride);
    }

    fn at(&self, slot: usize, panel: usize, row: usize, lane: usize) -> &f64 {
        &self.arms[slot * self.layout.stride() + self.layout.start(panel) + row].0[lane]
    }

    fn at_mut(&mut self, slot: usize, panel: usize, row: usize, lane: usize) -> &mut f64 {
        &mut self.arms[slot * self.layout.stride() + self.layout.start(panel) + row].0[lane]
    }

    pub(crate) fn diagonal(&self, slot: usize, coordinate: usize) -> &f64 {
        let (panel, lane) = self.layout.place(coordinate);
        self.at(slot, panel, self.layout.rows(panel), lane)
    }

    pub(crate) fn diagonal_mut(&mut self, slot: usize, coordinate: usize) -> &mut f64 {
        let (panel, lane) = self.layout.place(coordinate);
        self.at_mut(slot, panel, self.layout.rows(panel), lane)
    }

    pub(crate) fn mean(&self, slot: usize, coordinate: usize) -> &f64 {
        let (panel, lane) = self.layout.place(coordinate);
        self.at(slot, panel, self.layout.rows(panel) + 1, lane)
    }

    pub(crate) fn mean_mut(&mut self, slot: usize, coordinate: usize) -> &mut f64 {
        let (panel, lane) = self.layout.place(coordinate);
        self.at_mut(slot, panel, self.layout.rows(panel) + 1, lane)
    }

    pub(crate) fn upper(&self, slot: usize, row: usize, column: usize) -> &f64 {
        let (panel, lane) = self.layout.place(column);
        self.at(slot, panel, self.layout.row(row), lane)
    }

    pub(crate) fn upper_mut(&mut self, slot: usize, row: usize, column: usize) -> &mut f64 {
        let (panel, lane) = self.layout.place(column);
        self.at_mut(slot, panel, self.layout.row(row), lane)
    }

    pub(crate) fn gain(&self, coordinate: usize) -> f64 {
        self.scratch.gain[coordinate + self.layout.pad]
    }

    /// The largest |f| of the arm last looked at.
    pub(crate) fn largest_seen(&self) -> f64 {
        let mut largest = [0.0f64; LANES];
        for row in &self.scratch.f {
            for (largest, value) in largest.iter_mut().zip(row.0) {
                let size = value.abs();
                *largest = if size > *largest { size } else { *largest };
            }
        }
        largest.into_iter().fold(0.0, f64::max)
    }

    /// Bierman's α_j/α_{−1} of the observation last looked at, coordinate by coordinate, in the order of sums in which
    /// [`absorb`](Self::absorb) comes by them.
    pub(crate) fn pivots(&self, weight: f64) -> impl Iterator<Item = f64> + '_ {
        let (mut alpha, first) = (1.0 / weight, 1.0 / weight);
        let seen = self.scratch.f.iter().zip(&self.scratch.v).flat_map(|(f, v)| f.0.into_iter().zip(v.0));
        seen.skip(self.layout.pad).map(move |(f, v)| {
            alpha += f * v;
            alpha / first
        })
    }

    pub(crate) fn scale_seen(&mut self, factor: f64) {
        self.scratch.v.iter_mut().flat_map(|row| &mut row.0).for_each(|value| *value *= factor);
    }

    pub(crate) fn score(&self, slot: usize, context: &[f64]) -> Score {
        Arch::new().dispatch(OneArm { layout: self.layout, block: self.block(slot), context })
    }

    #[inline]
    pub(crate) fn fold<T>(
        &self,
        slots: Slots<'_>,
        context: &[f64],
        first: T,
        gather: impl FnMut(T, usize, Score) -> T,
    ) -> T {
        Arch::new().dispatch(ManyArms { layout: self.layout, arms: &self.arms, slots, context, first, gather })
    }

    pub(crate) fn score_batch(&self, slots: Slots<'_>, contexts: &[f64], scores: &mut [Score]) {
        let (layout, arms) = (self.layout, &self.arms[..]);
        let rounds = contexts.chunks(ROUND * layout.dimension).zip(scores.chunks_mut(ROUND * slots.count()));
        for (contexts, scores) in rounds {
            Arch::new().dispatch(Batch { layout, arms, slots, contexts, scores });
        }
    }

    pub(crate) fn look(&mut self, slot: usize, context: &[f64]) -> Moments {
        let layout = self.layout;
        let block = &self.arms[slot * layout.stride()..][..layout.stride()];
        Arch::new().dispatch(Look { layout, block, context, f: &mut self.scratch.f, v: &mut self.scratch.v })
    }

    pub(crate) fn absorb(&mut self, slot: usize, weight: f64, step: f64) {
        let layout = self.layout;
        let block = &mut self.arms[slot * layout.stride()..][..layout.stride()];
        Arch::new().dispatch(Absorb { layout, block, scratch: &mut self.scratch, weight, step });
    }
}
