//! Scoring panels: mean and variance of arms in a context.

use super::layout::{LANES, Lanes, PanelLayout, WHOLE};
use super::moments::{Moments, Score};
use super::score_kernel::{Query, moments};
use super::simd::{store, with_registers};
use crate::arm_set::Slots;
use pulp::{Simd, WithSimd};

/// Calls a kernel with the registers of a row, and with the number of panels where it is one of those that are whole.
macro_rules! with_panels {
    ($simd:ty, $panels:expr, $function:ident $(::<$($parameter:tt),*>)? ($($argument:expr),*)) => {
        match $panels {
            1 => with_registers!($simd, $function::<$($($parameter,)*)? 1>($($argument),*)),
            2 => with_registers!($simd, $function::<$($($parameter,)*)? 2>($($argument),*)),
            _ => with_registers!($simd, $function::<$($($parameter,)*)? 0>($($argument),*)),
        }
    };
}

pub(super) struct OneArm<'a> {
    pub(super) layout: PanelLayout,
    pub(super) block: &'a [Lanes],
    pub(crate) context: &'a [f64],
}

impl WithSimd for OneArm<'_> {
    type Output = Score;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Score {
        with_panels!(S, self.layout.panels, one_arm(simd, self))
    }
}

#[inline(always)]
fn one_arm<S: Simd, const N: usize, const PANELS: usize>(simd: S, work: OneArm<'_>) -> Score {
    let mut space = [0.0; WHOLE * LANES];
    let query = Query::new::<PANELS>(work.layout, work.context, &mut space);
    let [[moments]] = moments::<S, N, PANELS, 1, 1>(simd, [work.block], [query], |_, _, _| ());
    moments.score()
}

pub(super) struct ManyArms<'a, T, F> {
    pub(super) layout: PanelLayout,
    pub(super) arms: &'a [Lanes],
    pub(super) slots: Slots<'a>,
    pub(crate) context: &'a [f64],
    pub(super) first: T,
    pub(super) gather: F,
}

impl<T, F: FnMut(T, usize, Score) -> T> WithSimd for ManyArms<'_, T, F> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> T {
        with_panels!(S, self.layout.panels, many_arms::<T, F>(simd, self))
    }
}

/// Arms that are scored together: they share loops and broadcasts, and hide each other's latency.
const TOGETHER: usize = 5;

#[inline(always)]
fn many_arms<S: Simd, const N: usize, T, F: FnMut(T, usize, Score) -> T, const PANELS: usize>(
    simd: S,
    work: ManyArms<'_, T, F>,
) -> T {
    let ManyArms { layout, arms, slots, context, first, mut gather } = work;
    let mut space = [0.0; WHOLE * LANES];
    let query = Query::new::<PANELS>(layout, context, &mut space);
    let stride = query.layout.stride();
    let mut folded = first;
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
        let block = |position: usize| &arms[chosen[position] * stride..][..stride];
        let mut done = 0;
        if count == TOGETHER {
            let blocks = [block(0), block(1), block(2), block(3), block(4)];
            let [scores] = moments::<S, N, PANELS, TOGETHER, 1>(simd, blocks, [query], |_, _, _| ());
            for position in 0..TOGETHER {
                folded = gather(folded, chosen[position], scores[position].score());
            }
            done = TOGETHER;
        }
        // The last few are not padded: what would be computed twice costs more than it saves.
        while done + 2 <= count {
            let blocks = [block(done), block(done + 1)];
            let [scores] = moments::<S, N, PANELS, 2, 1>(simd, blocks, [query], |_, _, _| ());
            folded = gather(folded, chosen[done], scores[0].score());
            folded = gather(folded, chosen[done + 1], scores[1].score());
            done += 2;
        }
        if done < count {
            let [[last]] = moments::<S, N, PANELS, 1, 1>(simd, [block(done)], [query], |_, _, _| ());
            folded = gather(folded, chosen[done], last.score());
        }
    }
    folded
}

/// Contexts of a batch that are scored at once: as many as keep an arm in the cache meanwhile.
pub(super) const ROUND: usize = 30;

/// Scores every slot in every context: as a matrix product, a tile of arms by contexts at a time.
pub(super) struct ScoreBatch<'a> {
    pub(super) layout: PanelLayout,
    pub(super) arms: &'a [Lanes],
    pub(super) slots: Slots<'a>,
    /// (contexts, d), row-major; at most [`ROUND`] rows.
    pub(super) contexts: &'a [f64],
    /// (contexts, slots), row-major.
    pub(super) scores: &'a mut [Score],
}

impl WithSimd for ScoreBatch<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_panels!(S, self.layout.panels, batch(simd, self))
    }
}

#[inline(always)]
fn batch<S: Simd, const N: usize, const PANELS: usize>(simd: S, work: ScoreBatch<'_>) {
    // As many chains as registers hold: four an arm and context, or two in each of the whole panels.
    if PANELS == 0 {
        tiles::<S, N, PANELS, 2, 3>(simd, work);
    } else {
        tiles::<S, N, PANELS, 1, 5>(simd, work);
    }
}

#[inline(always)]
fn tiles<S: Simd, const N: usize, const PANELS: usize, const ARMS: usize, const CONTEXTS: usize>(
    simd: S,
    work: ScoreBatch<'_>,
) {
    let ScoreBatch { layout, arms, slots, contexts, scores } = work;
    let mut spaces = [[0.0; WHOLE * LANES]; ROUND];
    let mut spaces = spaces.iter_mut();
    let rows = contexts.chunks_exact(layout.dimension);
    let count = rows.len();
    let mut queries = rows.zip(&mut spaces).map(|(context, space)| Query::new::<PANELS>(layout, context, space));
    let Some(first) = queries.next() else { return };
    let mut every = [first; ROUND];
    every[1..].iter_mut().zip(queries).for_each(|(position, query)| *position = query);
    let stride = first.layout.stride();
    let width = slots.count();
    let (mut position, mut next) = (0, slots.next_from(0));
    while let Some(first) = next {
        let mut blocks = [&arms[first * stride..][..stride]; ARMS];
        next = slots.next_from(first + 1);
        let mut filled = 1;
        while let Some(slot) = next
            && filled < ARMS
        {
            blocks[filled] = &arms[slot * stride..][..stride];
            filled += 1;
            next = slots.next_from(slot + 1);
        }
        let mut put = |row: usize, moments: [Moments; ARMS]| {
            let scores = &mut scores[row * width + position..][..filled];
            scores.iter_mut().zip(moments).for_each(|(score, moments)| *score = moments.score());
        };
        let mut row = 0;
        while let Some(&tile) = every[row..count].first_chunk::<CONTEXTS>() {
            let moments = moments::<S, N, PANELS, ARMS, CONTEXTS>(simd, blocks, tile, |_, _, _| ());
            for (position, moments) in moments.into_iter().enumerate() {
                put(row + position, moments);
            }
            row += CONTEXTS;
        }
        for (position, &query) in every[row..count].iter().enumerate() {
            let [moments] = moments::<S, N, PANELS, ARMS, 1>(simd, blocks, [query], |_, _, _| ());
            put(row + position, moments);
        }
        position += filled;
    }
}

pub(super) struct Project<'a> {
    pub(super) layout: PanelLayout,
    pub(super) block: &'a [Lanes],
    pub(crate) context: &'a [f64],
    pub(super) f: &'a mut [Lanes],
    pub(super) v: &'a mut [Lanes],
}

impl WithSimd for Project<'_> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Moments {
        with_panels!(S, self.layout.panels, project(simd, self))
    }
}

#[inline(always)]
fn project<S: Simd, const N: usize, const PANELS: usize>(simd: S, work: Project<'_>) -> Moments {
    let Project { layout, block, context, f, v } = work;
    let mut space = [0.0; WHOLE * LANES];
    let query = Query::new::<PANELS>(layout, context, &mut space);
    let [[moments]] = moments::<S, N, PANELS, 1, 1>(simd, [block], [query], |panel, new_f, new_v| {
        store(simd, &mut f[panel], new_f);
        store(simd, &mut v[panel], new_v);
    });
    moments
}
