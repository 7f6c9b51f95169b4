//! Scores from factored covariances: mean and variance of arms in a context.

use pulp::{Simd, WithSimd};

use super::layout::{
    LANES, Lanes, PanelLayout, Row, WHOLE, add, load, multiply, multiply_add, splat, store, sum, with_registers,
};
use super::moments::{Moments, Score};
use crate::arm_set::Slots;

/// Calls a kernel that is generic over the number of SIMD registers per row and the number of panels. One and two
/// panels are compiled as constants; 0 stands for any other number.
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

/// Number of arms that one call scores: a multiple of [`TOGETHER`].
pub(super) const CHUNK: usize = 4 * TOGETHER;

/// SIMD kernel that scores slots in ascending order, beginning at `from`, until `scores` is full or no slot is left.
/// Returns the number of scores.
///
/// The kernel takes no closure for the scores, because the compiler would generate its code again for each closure.
pub(super) struct ManyArms<'a> {
    pub(super) layout: PanelLayout,
    pub(super) arms: &'a [Lanes],
    pub(super) slots: Slots<'a>,
    pub(super) from: usize,
    pub(crate) context: &'a [f64],
    pub(super) scores: &'a mut [Score; CHUNK],
}

impl WithSimd for ManyArms<'_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        with_panels!(S, self.layout.panels, many_arms(simd, self))
    }
}

/// Number of arms that are scored together. They share loops and broadcast values, and their interleaved instructions
/// hide each other's latency.
const TOGETHER: usize = 5;

#[inline(always)]
fn many_arms<S: Simd, const N: usize, const PANELS: usize>(simd: S, work: ManyArms<'_>) -> usize {
    let ManyArms { layout, arms, slots, from, context, scores } = work;
    let mut space = [0.0; WHOLE * LANES];
    let query = Query::new::<PANELS>(layout, context, &mut space);
    let stride = query.layout.stride();
    let mut filled = 0;
    let mut next = slots.next_from(from);
    for scores in scores.as_chunks_mut::<TOGETHER>().0 {
        let Some(first) = next else { break };
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
            let [by_arm] = moments::<S, N, PANELS, TOGETHER, 1>(simd, blocks, [query], |_, _, _| ());
            *scores = by_arm.map(Moments::score);
            done = TOGETHER;
        }
        // The last arms are not padded to a full group: the extra computations would cost more than they save.
        while done + 2 <= count {
            let blocks = [block(done), block(done + 1)];
            let [by_arm] = moments::<S, N, PANELS, 2, 1>(simd, blocks, [query], |_, _, _| ());
            (scores[done], scores[done + 1]) = (by_arm[0].score(), by_arm[1].score());
            done += 2;
        }
        if done < count {
            let [[last]] = moments::<S, N, PANELS, 1, 1>(simd, [block(done)], [query], |_, _, _| ());
            scores[done] = last.score();
        }
        filled += count;
    }
    filled
}

/// Number of contexts that are scored together, small enough that the covariance factor of an arm stays in the cache.
pub(super) const ROUND: usize = 30;

/// SIMD kernel that scores every slot in every context as a matrix product, by tiles of arms × contexts.
pub(super) struct ScoreBatch<'a> {
    pub(super) layout: PanelLayout,
    pub(super) arms: &'a [Lanes],
    pub(super) slots: Slots<'a>,
    /// Contexts, shape (contexts, d), row-major; at most [`ROUND`] rows.
    pub(super) contexts: &'a [f64],
    /// Scores, shape (contexts, slots), row-major.
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
    // The number of chains fits the registers: four for each arm and context, or two in each of the whole panels.
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

/// Buffer for the first values of a context, after the zeros for phantom columns (padding).
pub(super) type First = [f64; WHOLE * LANES];

/// Context vector aligned with the columns of a factor's panels.
#[derive(Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) layout: PanelLayout,
    context: &'a [f64],
    first: &'a First,
}

impl<'a> Query<'a> {
    /// Aligns a context with the panels. `space`, filled with zeros, receives the first values if the context cannot be
    /// read in place.
    #[inline(always)]
    pub(crate) fn new<const PANELS: usize>(layout: PanelLayout, context: &'a [f64], space: &'a mut First) -> Self {
        let first = match context.first_chunk() {
            Some(first) if layout.pad == 0 => first,
            _ => {
                let columns = &mut space[layout.pad..LANES * WHOLE.min(layout.panels)];
                columns.copy_from_slice(&context[..columns.len()]);
                space
            }
        };
        Self { layout: PanelLayout::of::<PANELS>(layout), context, first }
    }

    /// Eight coordinates of the context, aligned with the columns of a panel.
    #[inline(always)]
    fn columns(&self, panel: usize) -> &[f64] {
        if panel < WHOLE {
            &self.first[LANES * panel..][..LANES]
        } else {
            &self.context[panel * LANES - self.layout.pad..][..LANES]
        }
    }

    /// Context values that multiply the rows of a panel: first the values for the rows before the first full tile of
    /// eight rows, then the values for the full tiles.
    #[inline(always)]
    fn rows<const PANELS: usize>(&self) -> (&'a [f64], &'a [[f64; LANES]]) {
        let rows = if PANELS == 0 { self.context } else { &self.first[..PANELS * LANES] };
        let (head, rest) = rows.split_at(self.layout.rows(0));
        (head, rest.as_chunks().0)
    }
}

/// Computes the mean and variance of `ARMS` arms in `CONTEXTS` contexts together, panel by panel. `keep` receives f and
/// D·f of each panel, where f_j = x_j + Σ_{i<j} U_ij x_i.
///
/// The order of the sums does not depend on `ARMS` and `CONTEXTS`: scoring one arm, several arms, or a batch of
/// contexts gives the same bits.
#[inline(always)]
pub(super) fn moments<S: Simd, const N: usize, const PANELS: usize, const ARMS: usize, const CONTEXTS: usize>(
    simd: S,
    blocks: [&[Lanes]; ARMS],
    queries: [Query<'_>; CONTEXTS],
    keep: impl FnMut(usize, Row<S, N>, Row<S, N>),
) -> [[Moments; ARMS]; CONTEXTS] {
    let zero = [[splat::<S, N>(simd, 0.0); ARMS]; CONTEXTS];
    let layout = queries[0].layout;
    let mut scan = PanelScan { simd, layout, blocks, queries, mean: zero, variance: zero, keep };
    if PANELS == 0 {
        for panel in 0..layout.panels {
            scan.panel::<PANELS>(panel);
        }
    } else {
        scan.panel::<PANELS>(0);
        if PANELS == 2 {
            scan.panel::<PANELS>(1);
        }
    }
    let mut out = [[Moments { mean: 0.0, variance: 0.0 }; ARMS]; CONTEXTS];
    let sums = scan.mean.as_flattened().iter().zip(scan.variance.as_flattened());
    for (out, (mean, variance)) in out.as_flattened_mut().iter_mut().zip(sums) {
        *out = Moments { mean: sum(simd, *mean), variance: sum(simd, *variance) };
    }
    out
}

/// State of scoring several arms, panel by panel.
struct PanelScan<'a, S: Simd, K, const N: usize, const ARMS: usize, const CONTEXTS: usize> {
    simd: S,
    layout: PanelLayout,
    /// Unread part of each arm's memory block.
    blocks: [&'a [Lanes]; ARMS],
    queries: [Query<'a>; CONTEXTS],
    mean: [[Row<S, N>; ARMS]; CONTEXTS],
    variance: [[Row<S, N>; ARMS]; CONTEXTS],
    keep: K,
}

impl<S: Simd, K: FnMut(usize, Row<S, N>, Row<S, N>), const N: usize, const ARMS: usize, const CONTEXTS: usize>
    PanelScan<'_, S, K, N, ARMS, CONTEXTS>
{
    /// Adds panel p, eight columns of U, to the scores. A panel begins with up to seven rows, the same number in every
    /// panel, and continues with 8p rows.
    #[inline(always)]
    fn panel<const PANELS: usize>(&mut self, panel: usize) {
        let simd = self.simd;
        // Four chains hide the latency. Two suffice where all panels are in flight, or if registers are scarce.
        let chains = if PANELS == 0 { 4 } else { 2 };
        let zero = splat::<S, N>(simd, 0.0);
        let head_rows = self.layout.rows(0);
        let mut columns = [zero; CONTEXTS];
        let mut sums = [[[zero; 4]; ARMS]; CONTEXTS];
        let mut first: [&[f64]; CONTEXTS] = [&[]; CONTEXTS];
        let mut values: [&[[f64; LANES]]; CONTEXTS] = [&[]; CONTEXTS];
        for context in 0..CONTEXTS {
            let query = &self.queries[context];
            columns[context] = load(simd, query.columns(panel));
            (first[context], values[context]) = query.rows::<PANELS>();
            (first[context], values[context]) = (&first[context][..head_rows], &values[context][..panel]);
            for sums in &mut sums[context] {
                sums[0] = columns[context];
            }
        }
        let mut heads: [&[Lanes]; ARMS] = [&[]; ARMS];
        let mut tiles: [&[[Lanes; LANES]]; ARMS] = [&[]; ARMS];
        let mut ends: [&[Lanes]; ARMS] = [&[]; ARMS];
        for arm in 0..ARMS {
            let (head, rest) = self.blocks[arm].split_at(head_rows);
            let (tile, rest) = rest.split_at(LANES * panel);
            heads[arm] = head;
            tiles[arm] = &tile.as_chunks().0[..panel];
            (ends[arm], self.blocks[arm]) = rest.split_at(2);
        }
        for row in 0..LANES - 1 {
            if row < head_rows {
                for context in 0..CONTEXTS {
                    let value = splat(simd, first[context][row]);
                    for arm in 0..ARMS {
                        let sum = &mut sums[context][arm][row % chains];
                        *sum = multiply_add(simd, load(simd, &heads[arm][row].0), value, *sum);
                    }
                }
            }
        }
        for tile in 0..panel {
            for row in 0..LANES {
                for context in 0..CONTEXTS {
                    let value = splat(simd, values[context][tile][row]);
                    for arm in 0..ARMS {
                        let sum = &mut sums[context][arm][(row + 3) % chains];
                        *sum = multiply_add(simd, load(simd, &tiles[arm][tile][row].0), value, *sum);
                    }
                }
            }
        }
        for context in 0..CONTEXTS {
            for arm in 0..ARMS {
                let [first, second, third, fourth] = sums[context][arm];
                let mut f = add(simd, first, second);
                if chains == 4 {
                    f = add(simd, f, add(simd, third, fourth));
                }
                let v = multiply(simd, f, load(simd, &ends[arm][0].0));
                let (mean, variance) = (&mut self.mean[context][arm], &mut self.variance[context][arm]);
                *variance = multiply_add(simd, v, f, *variance);
                *mean = multiply_add(simd, load(simd, &ends[arm][1].0), columns[context], *mean);
                (self.keep)(panel, f, v);
            }
        }
    }
}
