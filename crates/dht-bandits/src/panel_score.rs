//! Scoring panels: mean and variance of arms in a context.

use crate::arm::Slots;
use crate::factor::Moments;
use crate::lanes::{LANES, Lanes, Layout};
use crate::policy::Score;
use crate::row::{Row, add, load, multiply, multiply_add, splat, store, sum, with_registers};
use pulp::{Simd, WithSimd};

pub(crate) struct OneArm<'a> {
    pub(crate) layout: Layout,
    pub(crate) block: &'a [Lanes],
    pub(crate) query: &'a Query<'a>,
}

impl WithSimd for OneArm<'_> {
    type Output = Score;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Score {
        with_registers!(S, one_arm(simd, self))
    }
}

#[inline(always)]
fn one_arm<S: Simd, const N: usize>(simd: S, work: OneArm<'_>) -> Score {
    let [moments] = moments::<S, N, 1>(simd, work.layout, [work.block], work.query, |_, _, _| ());
    moments.score()
}

pub(crate) struct ManyArms<'a, F> {
    pub(crate) layout: Layout,
    pub(crate) arms: &'a [Lanes],
    pub(crate) slots: Slots<'a>,
    pub(crate) query: &'a Query<'a>,
    pub(crate) visit: &'a mut F,
}

impl<F: FnMut(usize, Score)> WithSimd for ManyArms<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_registers!(S, many_arms::<F>(simd, self));
    }
}

/// Arms that are scored together: they share loops and broadcasts, and hide each other's latency.
const TOGETHER: usize = 5;

#[inline(always)]
fn many_arms<S: Simd, const N: usize, F: FnMut(usize, Score)>(simd: S, work: ManyArms<'_, F>) {
    let ManyArms { layout, arms, slots, query, visit } = work;
    let stride = layout.stride();
    let mut next = slots.next_from(0);
    while let Some(first) = next {
        let mut chosen = [first; TOGETHER];
        let mut count = 0;
        while let Some(slot) = next
            && count < TOGETHER
        {
            chosen[count] = slot;
            count += 1;
            next = slots.next_from(slot + 1);
        }
        let block = |place: usize| &arms[chosen[place] * stride..][..stride];
        // The last few are not padded to four: what would be computed twice costs more than it saves.
        let mut done = 0;
        if count == TOGETHER {
            let blocks = [block(0), block(1), block(2), block(3), block(4)];
            let scores = moments::<S, N, TOGETHER>(simd, layout, blocks, query, |_, _, _| ());
            for place in 0..TOGETHER {
                visit(chosen[place], scores[place].score());
            }
            done = TOGETHER;
        }
        // The last few are not padded: what would be computed twice costs more than it saves.
        while done + 2 <= count {
            let blocks = [block(done), block(done + 1)];
            let scores = moments::<S, N, 2>(simd, layout, blocks, query, |_, _, _| ());
            visit(chosen[done], scores[0].score());
            visit(chosen[done + 1], scores[1].score());
            done += 2;
        }
        if done < count {
            let [last] = moments::<S, N, 1>(simd, layout, [block(done)], query, |_, _, _| ());
            visit(chosen[done], last.score());
        }
    }
}

/// A context, and its first panel's columns behind the phantom ones.
#[derive(Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) context: &'a [f64],
    pub(crate) first: Lanes,
    pub(crate) pad: usize,
}

impl<'a> Query<'a> {
    pub(crate) fn new(layout: Layout, context: &'a [f64]) -> Self {
        Self { context, first: layout.columns(context, 0), pad: layout.pad }
    }

    /// Eight coordinates as the panel's columns see them.
    #[inline(always)]
    fn columns(&self, panel: usize) -> &[f64] {
        if panel == 0 { &self.first.0 } else { &self.context[panel * LANES - self.pad..][..LANES] }
    }
}

/// Goes through the panels of `ARMS` arms together; `keep` sees f and D·f of each, with f_j = x_j + Σ_{i<j} U_ij x_i.
///
/// Four chains of sums an arm, whatever `ARMS` is: an arm alone and an arm among others give the same bits.
#[inline(always)]
fn moments<S: Simd, const N: usize, const ARMS: usize>(
    simd: S,
    layout: Layout,
    mut blocks: [&[Lanes]; ARMS],
    query: &Query<'_>,
    mut keep: impl FnMut(usize, Row<S, N>, Row<S, N>),
) -> [Moments; ARMS] {
    let zero = splat::<S, N>(simd, 0.0);
    let (mut mean, mut variance) = ([zero; ARMS], [zero; ARMS]);
    for panel in 0..layout.panels {
        let rows = layout.rows(panel);
        let columns = load::<S, N>(simd, query.columns(panel));
        let mut sums = [[columns, zero, zero, zero]; ARMS];
        // Four rows at a time, one a chain, and up to three rows that are left.
        let (fours, rest) = query.context[..rows].as_chunks::<4>();
        let mut tiles: [&[[Lanes; 4]]; ARMS] = [&[]; ARMS];
        let mut tails: [&[Lanes]; ARMS] = [&[]; ARMS];
        for arm in 0..ARMS {
            (tiles[arm], tails[arm]) = blocks[arm][..rows].as_chunks::<4>();
            tiles[arm] = &tiles[arm][..fours.len()];
            tails[arm] = &tails[arm][..rest.len()];
        }
        for (four, values) in fours.iter().enumerate() {
            for chain in 0..4 {
                let value = splat(simd, values[chain]);
                for arm in 0..ARMS {
                    let row = load(simd, &tiles[arm][four][chain].0);
                    sums[arm][chain] = multiply_add(simd, row, value, sums[arm][chain]);
                }
            }
        }
        for chain in 0..3 {
            if chain < rest.len() {
                let value = splat(simd, rest[chain]);
                for arm in 0..ARMS {
                    sums[arm][chain] = multiply_add(simd, load(simd, &tails[arm][chain].0), value, sums[arm][chain]);
                }
            }
        }
        for arm in 0..ARMS {
            let [first, second, third, fourth] = sums[arm];
            let f = add(simd, add(simd, first, second), add(simd, third, fourth));
            let ends = &blocks[arm][rows..rows + 2];
            let v = multiply(simd, f, load(simd, &ends[0].0));
            variance[arm] = multiply_add(simd, v, f, variance[arm]);
            mean[arm] = multiply_add(simd, load(simd, &ends[1].0), columns, mean[arm]);
            keep(panel, f, v);
            blocks[arm] = &blocks[arm][rows + 2..];
        }
    }
    let mut out = [Moments { mean: 0.0, variance: 0.0 }; ARMS];
    for arm in 0..ARMS {
        out[arm] = Moments { mean: sum(simd, mean[arm]), variance: sum(simd, variance[arm]) };
    }
    out
}

pub(crate) struct Look<'a> {
    pub(crate) layout: Layout,
    pub(crate) block: &'a [Lanes],
    pub(crate) query: &'a Query<'a>,
    pub(crate) f: &'a mut [Lanes],
    pub(crate) v: &'a mut [Lanes],
}

impl WithSimd for Look<'_> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Moments {
        with_registers!(S, look(simd, self))
    }
}

#[inline(always)]
fn look<S: Simd, const N: usize>(simd: S, work: Look<'_>) -> Moments {
    let Look { layout, block, query, f, v } = work;
    let [moments] = moments::<S, N, 1>(simd, layout, [block], query, |panel, new_f, new_v| {
        store(simd, &mut f[panel], new_f);
        store(simd, &mut v[panel], new_v);
    });
    moments
}
