//! Factors stored arm by arm, in panels of eight columns: for contexts of some length.

use crate::arm::Slots;
use crate::factor::Moments;
use crate::lanes::{LANES, Lanes, Layout};
use crate::policy::Score;
use crate::row::{Row, load, load_row, store, sum, vectors, zero_row};
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

    pub(crate) fn scale_seen(&mut self, factor: f64) {
        self.scratch.v.iter_mut().flat_map(|row| &mut row.0).for_each(|value| *value *= factor);
    }

    pub(crate) fn score(&self, slot: usize, context: &[f64]) -> Score {
        Arch::new().dispatch(OneArm {
            layout: self.layout,
            block: self.block(slot),
            query: Query::new(self.layout, context),
        })
    }

    pub(crate) fn visit(&self, slots: Slots<'_>, context: &[f64], visit: &mut impl FnMut(usize, Score)) {
        Arch::new().dispatch(ManyArms {
            layout: self.layout,
            arms: &self.arms,
            slots,
            query: Query::new(self.layout, context),
            visit,
        });
    }

    pub(crate) fn look(&mut self, slot: usize, context: &[f64]) -> Moments {
        let layout = self.layout;
        let block = &self.arms[slot * layout.stride()..][..layout.stride()];
        let query = Query::new(layout, context);
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
    query: Query<'a>,
}

impl WithSimd for OneArm<'_> {
    type Output = Score;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Score {
        moments(simd, self.layout, self.block, &self.query, |_, _, _| ()).score()
    }
}

struct ManyArms<'a, F> {
    layout: Layout,
    arms: &'a [Lanes],
    slots: Slots<'a>,
    query: Query<'a>,
    visit: &'a mut F,
}

impl<F: FnMut(usize, Score)> WithSimd for ManyArms<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layout, arms, slots, query, visit } = self;
        let stride = layout.stride();
        let mut next = slots.next_from(0);
        while let Some(slot) = next {
            let block = &arms[slot * stride..][..stride];
            visit(slot, moments(simd, layout, block, &query, |_, _, _| ()).score());
            next = slots.next_from(slot + 1);
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

/// f of one panel: f_j = x_j + Σ_{i<j} U_ij x_i.
#[inline(always)]
fn project<S: Simd>(simd: S, upper: &[Lanes], context: &[f64], columns: &[f64]) -> Row<S> {
    let zero = zero_row(simd);
    // Four chains hide the latency of the multiply-add.
    let (mut first, mut second, mut third, mut fourth) = (zero, zero, zero, zero);
    for (vector, sum) in first.iter_mut().enumerate().take(vectors::<S>()) {
        *sum = S::as_simd_f64s(columns).0[vector];
    }
    let mut rows = upper.chunks_exact(4);
    let mut values = context[..upper.len()].chunks_exact(4);
    for (four_rows, four_values) in (&mut rows).zip(&mut values) {
        first = add_row(simd, &four_rows[0], four_values[0], first);
        second = add_row(simd, &four_rows[1], four_values[1], second);
        third = add_row(simd, &four_rows[2], four_values[2], third);
        fourth = add_row(simd, &four_rows[3], four_values[3], fourth);
    }
    match (rows.remainder(), values.remainder()) {
        ([a, b, c], [x, y, z]) => {
            first = add_row(simd, a, *x, first);
            second = add_row(simd, b, *y, second);
            third = add_row(simd, c, *z, third);
        }
        ([a, b], [x, y]) => {
            first = add_row(simd, a, *x, first);
            second = add_row(simd, b, *y, second);
        }
        ([a], [x]) => first = add_row(simd, a, *x, first),
        _ => {}
    }
    for vector in 0..vectors::<S>() {
        let pair = simd.add_f64s(first[vector], second[vector]);
        first[vector] = simd.add_f64s(pair, simd.add_f64s(third[vector], fourth[vector]));
    }
    first
}

#[inline(always)]
fn add_row<S: Simd>(simd: S, row: &Lanes, value: f64, mut sums: Row<S>) -> Row<S> {
    let value = simd.splat_f64s(value);
    for (vector, sum) in sums.iter_mut().enumerate().take(vectors::<S>()) {
        *sum = simd.mul_add_e_f64s(load::<S>(row, vector), value, *sum);
    }
    sums
}

/// Goes through the panels of an arm; `keep` sees f and D·f of each.
#[inline(always)]
fn moments<S: Simd>(
    simd: S,
    layout: Layout,
    block: &[Lanes],
    query: &Query<'_>,
    mut keep: impl FnMut(usize, &Row<S>, &Row<S>),
) -> Moments {
    let mut mean = zero_row(simd);
    let mut variance = mean;
    let mut rest = block;
    for panel in 0..layout.panels {
        let (upper, tail) = rest.split_at(layout.rows(panel));
        let (ends, next) = tail.split_at(2);
        rest = next;
        let columns = query.columns(panel);
        let f = project(simd, upper, query.context, columns);
        let mut v = zero_row(simd);
        for vector in 0..vectors::<S>() {
            v[vector] = simd.mul_f64s(f[vector], load::<S>(&ends[0], vector));
            variance[vector] = simd.mul_add_e_f64s(v[vector], f[vector], variance[vector]);
            let theta = load::<S>(&ends[1], vector);
            mean[vector] = simd.mul_add_e_f64s(theta, S::as_simd_f64s(columns).0[vector], mean[vector]);
        }
        keep(panel, &f, &v);
    }
    Moments { mean: sum(simd, mean), variance: sum(simd, variance) }
}

struct Look<'a> {
    layout: Layout,
    block: &'a [Lanes],
    query: Query<'a>,
    f: &'a mut [Lanes],
    v: &'a mut [Lanes],
}

impl WithSimd for Look<'_> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Moments {
        let Self { layout, block, query, f, v } = self;
        moments(simd, layout, block, &query, |panel, new_f, new_v| {
            for vector in 0..vectors::<S>() {
                store::<S>(&mut f[panel], vector, new_f[vector]);
                store::<S>(&mut v[panel], vector, new_v[vector]);
            }
        })
    }
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

    /// For j ascending: α_j = α_{j−1} + f_j v_j; D_j ← D_j α_{j−1}/α_j; U_ij ← U_ij − (f_j/α_{j−1}) b_i; b_i ← b_i + U_ij v_j
    /// with the old U_ij, α_{−1} = 1/weight and b_j = v_j at first. A row's eight columns depend on each other only through
    /// the running b_i, which is b_i before the panel plus a prefix sum over its lanes: eight multiply-adds with a mask.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layout, block, scratch, weight, step } = self;
        let Scratch { f, v, before, gain } = scratch;
        for (gains, values) in gain.chunks_exact_mut(LANES).zip(&*v) {
            gains.copy_from_slice(&values.0);
        }
        let mut alpha = 1.0 / weight;
        for panel in 0..layout.panels {
            let first = layout.start(panel);
            let rows = layout.rows(panel);
            let mut after = Lanes::ZERO;
            for lane in 0..LANES {
                before[panel].0[lane] = alpha;
                alpha += f[panel].0[lane] * v[panel].0[lane];
                after.0[lane] = alpha;
            }
            let mut lambda = Lanes::ZERO;
            for vector in 0..vectors::<S>() {
                let old = load::<S>(&before[panel], vector);
                let shrink = simd.div_f64s(old, load::<S>(&after, vector));
                let diagonal = &mut block[first + rows];
                let shrunk = simd.mul_f64s(load::<S>(diagonal, vector), shrink);
                store::<S>(diagonal, vector, shrunk);
                let slope = simd.div_f64s(load::<S>(&f[panel], vector), old);
                store::<S>(&mut lambda, vector, simd.neg_f64s(slope));
            }
            let mut prefix = [[simd.splat_f64s(0.0); LANES]; LANES];
            for (column, row) in prefix.iter_mut().enumerate() {
                let value = simd.splat_f64s(v[panel].0[column]);
                for (vector, part) in row.iter_mut().enumerate().take(vectors::<S>()) {
                    *part = simd.mul_f64s(value, load::<S>(&PREFIX[column], vector));
                }
            }
            let full = (LANES * panel).saturating_sub(layout.pad);
            let (above, diagonal) = block[first..first + rows].split_at_mut(full);
            let every = Slopes::new(simd, &lambda, &Lanes([1.0; LANES]));
            for (row, b) in above.iter_mut().zip(&mut gain[layout.pad..]) {
                *b += advance(simd, row, *b, &every, &prefix);
            }
            let offset = LANES - 1 - diagonal.len();
            for (place, row) in diagonal.iter_mut().enumerate() {
                let masked = Slopes::new(simd, &lambda, &ABOVE[offset + place]);
                let b = &mut gain[LANES * panel + offset + place];
                *b += advance(simd, row, *b, &masked, &prefix);
            }
        }
        for panel in 0..layout.panels {
            let theta = &mut block[layout.start(panel) + layout.rows(panel) + 1];
            for vector in 0..vectors::<S>() {
                let direction = S::as_simd_f64s(&gain[LANES * panel..][..LANES]).0[vector];
                let moved = simd.mul_add_e_f64s(direction, simd.splat_f64s(step), load::<S>(theta, vector));
                store::<S>(theta, vector, moved);
            }
        }
    }
}

/// −f_j/α_{j−1} of eight columns: for all of them, and with lane 0 silenced.
struct Slopes<S: Simd> {
    every: Row<S>,
    but_first: Row<S>,
}

impl<S: Simd> Slopes<S> {
    #[inline(always)]
    fn new(simd: S, lambda: &Lanes, mask: &Lanes) -> Self {
        let mut slopes = Self { every: load_row(simd, lambda), but_first: load_row(simd, lambda) };
        for vector in 0..vectors::<S>() {
            slopes.every[vector] = simd.mul_f64s(slopes.every[vector], load::<S>(mask, vector));
            slopes.but_first[vector] = simd.mul_f64s(slopes.every[vector], load::<S>(&ABOVE[0], vector));
        }
        slopes
    }
}

/// Updates eight columns of one row of U and returns what they add to that row's b.
#[inline(always)]
fn advance<S: Simd>(simd: S, row: &mut Lanes, b: f64, slopes: &Slopes<S>, prefix: &[Row<S>; LANES]) -> f64 {
    let zero = simd.splat_f64s(0.0);
    let (mut even, mut odd) = ([zero; LANES], [zero; LANES]);
    for pair in 0..LANES / 2 {
        let first = simd.splat_f64s(row.0[2 * pair]);
        let second = simd.splat_f64s(row.0[2 * pair + 1]);
        for vector in 0..vectors::<S>() {
            even[vector] = simd.mul_add_e_f64s(first, prefix[2 * pair][vector], even[vector]);
            odd[vector] = simd.mul_add_e_f64s(second, prefix[2 * pair + 1][vector], odd[vector]);
        }
    }
    let start = simd.splat_f64s(b);
    let mut running = Lanes::ZERO;
    for vector in 0..vectors::<S>() {
        let sums = simd.add_f64s(even[vector], odd[vector]);
        store::<S>(&mut running, vector, sums);
        let old = load::<S>(row, vector);
        let part = simd.mul_add_e_f64s(slopes.every[vector], start, old);
        store::<S>(row, vector, simd.mul_add_e_f64s(slopes.but_first[vector], sums, part));
    }
    running.0[0]
}
