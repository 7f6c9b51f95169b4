//! Scoring panels: mean and variance of arms in a context.

use crate::arm::Slots;
use crate::factor::Moments;
use crate::lanes::{LANES, Lanes, Layout, WHOLE};
use crate::policy::Score;
use crate::row::{Row, add, load, multiply, multiply_add, splat, store, sum, with_registers};
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

pub(crate) struct OneArm<'a> {
    pub(crate) layout: Layout,
    pub(crate) block: &'a [Lanes],
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
    let [moments] = moments::<S, N, PANELS, 1>(simd, [work.block], &query, |_, _, _| ());
    moments.score()
}

pub(crate) struct ManyArms<'a, T, F> {
    pub(crate) layout: Layout,
    pub(crate) arms: &'a [Lanes],
    pub(crate) slots: Slots<'a>,
    pub(crate) context: &'a [f64],
    pub(crate) first: T,
    pub(crate) gather: F,
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
    let mut gathered = first;
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
        let mut done = 0;
        if count == TOGETHER {
            let blocks = [block(0), block(1), block(2), block(3), block(4)];
            let scores = moments::<S, N, PANELS, TOGETHER>(simd, blocks, &query, |_, _, _| ());
            for place in 0..TOGETHER {
                gathered = gather(gathered, chosen[place], scores[place].score());
            }
            done = TOGETHER;
        }
        // The last few are not padded: what would be computed twice costs more than it saves.
        while done + 2 <= count {
            let scores = moments::<S, N, PANELS, 2>(simd, [block(done), block(done + 1)], &query, |_, _, _| ());
            gathered = gather(gathered, chosen[done], scores[0].score());
            gathered = gather(gathered, chosen[done + 1], scores[1].score());
            done += 2;
        }
        if done < count {
            let [last] = moments::<S, N, PANELS, 1>(simd, [block(done)], &query, |_, _, _| ());
            gathered = gather(gathered, chosen[done], last.score());
        }
    }
    gathered
}

/// A context, and the first of it behind the phantom columns.
#[derive(Clone, Copy)]
struct Query<'a> {
    layout: Layout,
    context: &'a [f64],
    first: &'a First,
}

/// The first columns' numbers.
type First = [f64; WHOLE * LANES];

impl<'a> Query<'a> {
    /// `space` takes the first columns where they are not in the context as they are.
    #[inline(always)]
    fn new<const PANELS: usize>(layout: Layout, context: &'a [f64], space: &'a mut First) -> Self {
        let first = match context.first_chunk() {
            Some(first) if layout.pad == 0 => first,
            _ => {
                let places = &mut space[layout.pad..LANES * WHOLE.min(layout.panels)];
                places.copy_from_slice(&context[..places.len()]);
                space
            }
        };
        Self { layout: Layout::of::<PANELS>(layout), context, first }
    }

    /// Eight coordinates as the panel's columns see them.
    #[inline(always)]
    fn columns(&self, panel: usize) -> &[f64] {
        if panel < WHOLE {
            &self.first[LANES * panel..][..LANES]
        } else {
            &self.context[panel * LANES - self.layout.pad..][..LANES]
        }
    }

    /// The numbers that meet the rows: those of the head of a panel, and those of its tiles.
    #[inline(always)]
    fn rows<const PANELS: usize>(&self) -> (&[f64], &[[f64; LANES]]) {
        let rows = if PANELS == 0 { self.context } else { &self.first[..PANELS * LANES] };
        let (head, rest) = rows.split_at(self.layout.rows(0));
        (head, rest.as_chunks().0)
    }
}

/// Goes through the panels of `ARMS` arms together; `keep` sees f and D·f of each, with f_j = x_j + Σ_{i<j} U_ij x_i.
///
/// Four chains of sums an arm, whatever `ARMS` is: an arm alone and an arm among others give the same bits. Panel p has
/// 8p rows behind a head of up to seven, as many in every panel.
#[inline(always)]
fn moments<S: Simd, const N: usize, const PANELS: usize, const ARMS: usize>(
    simd: S,
    blocks: [&[Lanes]; ARMS],
    query: &Query<'_>,
    keep: impl FnMut(usize, Row<S, N>, Row<S, N>),
) -> [Moments; ARMS] {
    let zero = splat::<S, N>(simd, 0.0);
    let mut way = Way { simd, blocks, mean: [zero; ARMS], variance: [zero; ARMS], keep };
    if PANELS == 0 {
        for panel in 0..query.layout.panels {
            way.panel::<PANELS>(panel, query);
        }
    } else {
        way.panel::<PANELS>(0, query);
        if PANELS == 2 {
            way.panel::<PANELS>(1, query);
        }
    }
    let mut out = [Moments { mean: 0.0, variance: 0.0 }; ARMS];
    for arm in 0..ARMS {
        out[arm] = Moments { mean: sum(simd, way.mean[arm]), variance: sum(simd, way.variance[arm]) };
    }
    out
}

/// Some arms on their way through the panels.
struct Way<'a, S: Simd, K, const N: usize, const ARMS: usize> {
    simd: S,
    /// What is still ahead of each arm's block.
    blocks: [&'a [Lanes]; ARMS],
    mean: [Row<S, N>; ARMS],
    variance: [Row<S, N>; ARMS],
    keep: K,
}

impl<S: Simd, K: FnMut(usize, Row<S, N>, Row<S, N>), const N: usize, const ARMS: usize> Way<'_, S, K, N, ARMS> {
    #[inline(always)]
    fn panel<const PANELS: usize>(&mut self, panel: usize, query: &Query<'_>) {
        let simd = self.simd;
        // As many as hide the latency; fewer where all panels are in flight at once, or registers would not suffice.
        let chains = if PANELS == 0 { 4 } else { 2 };
        let zero = splat::<S, N>(simd, 0.0);
        let columns = load::<S, N>(simd, query.columns(panel));
        let mut sums = [[columns, zero, zero, zero]; ARMS];
        let (first, values) = query.rows::<PANELS>();
        let values = &values[..panel];
        let mut heads: [&[Lanes]; ARMS] = [&[]; ARMS];
        let mut tiles: [&[[Lanes; LANES]]; ARMS] = [&[]; ARMS];
        let mut ends: [&[Lanes]; ARMS] = [&[]; ARMS];
        for arm in 0..ARMS {
            let (head, rest) = self.blocks[arm].split_at(first.len());
            let (tile, rest) = rest.split_at(LANES * panel);
            heads[arm] = head;
            tiles[arm] = &tile.as_chunks().0[..panel];
            (ends[arm], self.blocks[arm]) = rest.split_at(2);
        }
        for row in 0..LANES - 1 {
            if row < first.len() {
                let value = splat(simd, first[row]);
                for arm in 0..ARMS {
                    let sum = &mut sums[arm][row % chains];
                    *sum = multiply_add(simd, load(simd, &heads[arm][row].0), value, *sum);
                }
            }
        }
        for (tile, values) in values.iter().enumerate() {
            for row in 0..LANES {
                let value = splat(simd, values[row]);
                for arm in 0..ARMS {
                    let sum = &mut sums[arm][(row + 3) % chains];
                    *sum = multiply_add(simd, load(simd, &tiles[arm][tile][row].0), value, *sum);
                }
            }
        }
        for arm in 0..ARMS {
            let [first, second, third, fourth] = sums[arm];
            let mut f = add(simd, first, second);
            if chains == 4 {
                f = add(simd, f, add(simd, third, fourth));
            }
            let v = multiply(simd, f, load(simd, &ends[arm][0].0));
            self.variance[arm] = multiply_add(simd, v, f, self.variance[arm]);
            self.mean[arm] = multiply_add(simd, load(simd, &ends[arm][1].0), columns, self.mean[arm]);
            (self.keep)(panel, f, v);
        }
    }
}

pub(crate) struct Look<'a> {
    pub(crate) layout: Layout,
    pub(crate) block: &'a [Lanes],
    pub(crate) context: &'a [f64],
    pub(crate) f: &'a mut [Lanes],
    pub(crate) v: &'a mut [Lanes],
}

impl WithSimd for Look<'_> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Moments {
        with_panels!(S, self.layout.panels, look(simd, self))
    }
}

#[inline(always)]
fn look<S: Simd, const N: usize, const PANELS: usize>(simd: S, work: Look<'_>) -> Moments {
    let Look { layout, block, context, f, v } = work;
    let mut space = [0.0; WHOLE * LANES];
    let query = Query::new::<PANELS>(layout, context, &mut space);
    let [moments] = moments::<S, N, PANELS, 1>(simd, [block], &query, |panel, new_f, new_v| {
        store(simd, &mut f[panel], new_f);
        store(simd, &mut v[panel], new_v);
    });
    moments
}
