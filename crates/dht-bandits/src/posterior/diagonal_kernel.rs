//! SIMD kernel for scores under a diagonal precision.

use pulp::{Simd, WithSimd};

use crate::arm_set::Slots;
use crate::gaussian::{Lanes, PanelLayout, Score, load, multiply, multiply_add, splat, sum, with_registers};

pub(super) struct OneScore<'a> {
    pub(super) layout: PanelLayout,
    pub(super) block: &'a [Lanes],
    pub(super) context: &'a [f64],
}

impl WithSimd for OneScore<'_> {
    type Output = Score;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Score {
        with_registers!(S, score(simd, self.layout, self.block, self.context))
    }
}

pub(super) struct ManyScores<'a, T, F> {
    pub(super) layout: PanelLayout,
    pub(super) arms: &'a [Lanes],
    pub(super) slots: Slots<'a>,
    pub(super) context: &'a [f64],
    pub(super) first: T,
    pub(super) gather: F,
}

impl<T, F: FnMut(T, usize, Score) -> T> WithSimd for ManyScores<'_, T, F> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> T {
        let stride = 3 * self.layout.panels;
        let (mut folded, mut next) = (self.first, 0);
        while let Some(slot) = self.slots.next_from(next) {
            let block = &self.arms[slot * stride..][..stride];
            let score = with_registers!(S, score(simd, self.layout, block, self.context));
            folded = (self.gather)(folded, slot, score);
            next = slot + 1;
        }
        folded
    }
}

/// Computes the mean Σ g_j x_j and the width √Σ x_j²/s_j of an arm whose weights are N(g_j, 1/s_j). The order of the
/// sums is the same at every vector width.
#[inline(always)]
fn score<S: Simd, const N: usize>(simd: S, layout: PanelLayout, block: &[Lanes], context: &[f64]) -> Score {
    let panels = layout.panels;
    let (means, rest) = block.split_at(panels);
    let inverses = &rest[panels..];
    let mut mean = splat::<S, N>(simd, 0.0);
    let mut variance = mean;
    for panel in 0..panels {
        let columns = layout.columns(context, panel);
        let value = load::<S, N>(simd, &columns.0);
        mean = multiply_add(simd, load(simd, &means[panel].0), value, mean);
        variance = multiply_add(simd, multiply(simd, load(simd, &inverses[panel].0), value), value, variance);
    }
    Score { mean: sum(simd, mean), width: sum(simd, variance).sqrt() }
}
