//! Factors stored arm by arm, in panels of eight columns: for contexts of some length.

use crate::arm::Slots;
use crate::factor::Moments;
use crate::lanes::{LANES, Lanes, Layout};
use crate::policy::Score;
use crate::row::{Row, add, divide, load, multiply, multiply_add, splat, store, sum, with_registers};
use pulp::{Arch, Simd, WithSimd};

/// The factors of many arms, and the space their updates are computed in.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    layout: Layout,
    arms: Vec<Lanes>,
    scratch: Scratch,
}

/// What an observation leaves behind between looking at it and learning it.
#[derive(Debug, Clone, Default)]
struct Scratch {
    f: Vec<Lanes>,
    v: Vec<Lanes>,
    before: Vec<Lanes>,
    gain: Vec<f64>,
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
        self.at(slot, panel, row, lane)
    }

    pub(crate) fn upper_mut(&mut self, slot: usize, row: usize, column: usize) -> &mut f64 {
        let (panel, lane) = self.layout.place(column);
        self.at_mut(slot, panel, row, lane)
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

    pub(crate) fn scale_seen(&mut self, factor: f64) {
        self.scratch.v.iter_mut().flat_map(|row| &mut row.0).for_each(|value| *value *= factor);
    }

    pub(crate) fn score(&self, slot: usize, context: &[f64]) -> Score {
        Arch::new().dispatch(OneArm {
            layout: self.layout,
            block: self.block(slot),
            query: &Query::new(self.layout, context),
        })
    }

    pub(crate) fn visit(&self, slots: Slots<'_>, context: &[f64], visit: &mut impl FnMut(usize, Score)) {
        Arch::new().dispatch(ManyArms {
            layout: self.layout,
            arms: &self.arms,
            slots,
            query: &Query::new(self.layout, context),
            visit,
        });
    }

    pub(crate) fn look(&mut self, slot: usize, context: &[f64]) -> Moments {
        let layout = self.layout;
        let block = &self.arms[slot * layout.stride()..][..layout.stride()];
        let query = &Query::new(layout, context);
        Arch::new().dispatch(Look { layout, block, query, f: &mut self.scratch.f, v: &mut self.scratch.v })
    }

    pub(crate) fn absorb(&mut self, slot: usize, weight: f64, step: f64) {
        let layout = self.layout;
        let block = &mut self.arms[slot * layout.stride()..][..layout.stride()];
        Arch::new().dispatch(Absorb { layout, block, scratch: &mut self.scratch, weight, step });
    }
}

struct OneArm<'a> {
    layout: Layout,
    block: &'a [Lanes],
    query: &'a Query<'a>,
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

struct ManyArms<'a, F> {
    layout: Layout,
    arms: &'a [Lanes],
    slots: Slots<'a>,
    query: &'a Query<'a>,
    visit: &'a mut F,
}

impl<F: FnMut(usize, Score)> WithSimd for ManyArms<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_registers!(S, many_arms::<F>(simd, self));
    }
}

/// Arms that are scored together: they share loops and broadcasts, and hide each other's latency.
const TOGETHER: usize = 4;

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
        match count {
            4 => {
                let scores =
                    moments::<S, N, 4>(simd, layout, [block(0), block(1), block(2), block(3)], query, |_, _, _| ());
                for place in 0..4 {
                    visit(chosen[place], scores[place].score());
                }
            }
            2 | 3 => {
                let scores = moments::<S, N, 2>(simd, layout, [block(0), block(1)], query, |_, _, _| ());
                for place in 0..2 {
                    visit(chosen[place], scores[place].score());
                }
                if count == 3 {
                    let [last] = moments::<S, N, 1>(simd, layout, [block(2)], query, |_, _, _| ());
                    visit(chosen[2], last.score());
                }
            }
            _ => {
                let [only] = moments::<S, N, 1>(simd, layout, [block(0)], query, |_, _, _| ());
                visit(first, only.score());
            }
        }
    }
}

/// A context, and its first panel's columns behind the phantom ones.
#[derive(Clone, Copy)]
struct Query<'a> {
    context: &'a [f64],
    first: Lanes,
    pad: usize,
}

impl<'a> Query<'a> {
    fn new(layout: Layout, context: &'a [f64]) -> Self {
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

struct Look<'a> {
    layout: Layout,
    block: &'a [Lanes],
    query: &'a Query<'a>,
    f: &'a mut [Lanes],
    v: &'a mut [Lanes],
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

struct Absorb<'a> {
    layout: Layout,
    block: &'a mut [Lanes],
    scratch: &'a mut Scratch,
    weight: f64,
    step: f64,
}

/// `PREFIX[l]` sends v_l to the lanes after l, and to lane 0, which thus collects the sum over all eight.
const PREFIX: [Lanes; LANES] = {
    let mut masks = [Lanes::ZERO; LANES];
    let mut column = 0;
    while column < LANES {
        masks[column].0[0] = 1.0;
        let mut lane = column + 1;
        while lane < LANES {
            masks[column].0[lane] = 1.0;
            lane += 1;
        }
        column += 1;
    }
    masks
};

/// `ABOVE[l]` keeps the lanes after l: row l of a diagonal tile, strictly above the diagonal.
const ABOVE: [Lanes; LANES] = {
    let mut masks = PREFIX;
    let mut row = 0;
    while row < LANES {
        masks[row].0[0] = 0.0;
        row += 1;
    }
    masks
};

impl WithSimd for Absorb<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_registers!(S, absorb(simd, self));
    }
}

/// For j ascending: α_j = α_{j−1} + f_j v_j; D_j ← D_j α_{j−1}/α_j; U_ij ← U_ij − (f_j/α_{j−1}) b_i; b_i ← b_i + U_ij v_j
/// with the old U_ij, α_{−1} = 1/weight and b_j = v_j at first. A row's eight columns depend on each other only through
/// the running b_i, which is b_i before the panel plus a prefix sum over its lanes: eight multiply-adds with a mask.
#[inline(always)]
fn absorb<S: Simd, const N: usize>(simd: S, work: Absorb<'_>) {
    let Absorb { layout, block, scratch, weight, step } = work;
    let Scratch { f, v, before, gain } = scratch;
    for (gains, values) in gain.chunks_exact_mut(LANES).zip(&*v) {
        gains.copy_from_slice(&values.0);
    }
    // A weight so small that its inverse overflows changes nothing, as it should.
    let mut alpha = (1.0 / weight).clamp(-f64::MAX, f64::MAX);
    for panel in 0..layout.panels {
        let first = layout.start(panel);
        let rows = layout.rows(panel);
        let mut after = Lanes::ZERO;
        for lane in 0..LANES {
            before[panel].0[lane] = alpha;
            alpha += f[panel].0[lane] * v[panel].0[lane];
            after.0[lane] = alpha;
        }
        let old = load::<S, N>(simd, &before[panel].0);
        let diagonal = &mut block[first + rows];
        let (after, kept) = (load::<S, N>(simd, &after.0), load::<S, N>(simd, &diagonal.0));
        store(simd, diagonal, multiply(simd, kept, divide(simd, old, after)));
        let f = load::<S, N>(simd, &f[panel].0);
        let slopes = multiply(simd, splat(simd, -1.0), divide(simd, f, old));
        let mut prefix = [slopes; LANES];
        for column in 0..LANES {
            prefix[column] = multiply(simd, splat(simd, v[panel].0[column]), load(simd, &PREFIX[column].0));
        }
        let full = (LANES * panel).saturating_sub(layout.pad);
        let (above, diagonal) = block[first..first + rows].split_at_mut(full);
        let every = Slopes::new(simd, slopes);
        for (row, b) in above.iter_mut().zip(&mut gain[layout.pad..]) {
            *b += advance(simd, row, *b, &every, &prefix);
        }
        let offset = LANES - 1 - diagonal.len();
        for (place, row) in diagonal.iter_mut().enumerate() {
            let masked = Slopes::new(simd, multiply(simd, slopes, load(simd, &ABOVE[offset + place].0)));
            let b = &mut gain[LANES * panel + offset + place];
            *b += advance(simd, row, *b, &masked, &prefix);
        }
    }
    for panel in 0..layout.panels {
        let theta = &mut block[layout.start(panel) + layout.rows(panel) + 1];
        let direction = load::<S, N>(simd, &gain[LANES * panel..][..LANES]);
        let moved = multiply_add(simd, direction, splat(simd, step), load(simd, &theta.0));
        store(simd, theta, moved);
    }
}

/// −f_j/α_{j−1} of eight columns: for all of them, and with lane 0 silenced.
struct Slopes<S: Simd, const N: usize> {
    every: Row<S, N>,
    but_first: Row<S, N>,
}

impl<S: Simd, const N: usize> Slopes<S, N> {
    #[inline(always)]
    fn new(simd: S, every: Row<S, N>) -> Self {
        Self { every, but_first: multiply(simd, every, load(simd, &ABOVE[0].0)) }
    }
}

/// Updates eight columns of one row of U and returns what they add to that row's b.
#[inline(always)]
fn advance<S: Simd, const N: usize>(
    simd: S,
    row: &mut Lanes,
    b: f64,
    slopes: &Slopes<S, N>,
    prefix: &[Row<S, N>; LANES],
) -> f64 {
    let (mut even, mut odd) = (splat::<S, N>(simd, 0.0), splat::<S, N>(simd, 0.0));
    for pair in 0..LANES / 2 {
        even = multiply_add(simd, splat(simd, row.0[2 * pair]), prefix[2 * pair], even);
        odd = multiply_add(simd, splat(simd, row.0[2 * pair + 1]), prefix[2 * pair + 1], odd);
    }
    let sums = add(simd, even, odd);
    let mut running = Lanes::ZERO;
    store(simd, &mut running, sums);
    let part = multiply_add(simd, slopes.every, splat(simd, b), load(simd, &row.0));
    store(simd, row, multiply_add(simd, slopes.but_first, sums, part));
    running.0[0]
}
