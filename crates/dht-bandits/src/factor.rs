//! Gaussian posteriors N(θ, U·D·Uᵀ), one per arm: scored, and sharpened by one observation, in O(d²).
//!
//! Bierman (1977), "Factorization Methods for Discrete Sequential Estimation", chapter V; Agee & Turner (1972). The
//! covariance is never formed: its variance x'U·D·Uᵀx = Σ D_j f_j² with f = Uᵀx is a sum of squares with positive weights
//! and cannot become negative, whatever the rounding.

use crate::arm::Slots;
use crate::lanes::{LANES, Lanes, Layout};
use crate::row::{Row, load, load_row, store, sum, vectors, zero_row};
use pulp::{Arch, Simd, WithSimd};

/// The Gaussian posteriors of many arms, and the space their updates are computed in.
#[derive(Debug, Clone)]
pub(crate) struct Factors {
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

/// The mean θ'x and the variance x'Px of one arm in one context.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

impl Factors {
    pub(crate) fn new(dimension: usize) -> Self {
        let layout = Layout::new(dimension);
        let space = || vec![Lanes::ZERO; layout.panels];
        let gain = vec![0.0; layout.panels * LANES];
        let scratch = Scratch { f: space(), v: space(), before: space(), gain };
        Self { layout, arms: Vec::new(), scratch }
    }

    pub(crate) fn dimension(&self) -> usize {
        self.layout.dimension
    }

    pub(crate) fn len(&self) -> usize {
        self.arms.len() / self.layout.stride()
    }

    fn block(&self, slot: usize) -> &[Lanes] {
        &self.arms[slot * self.layout.stride()..][..self.layout.stride()]
    }

    fn block_mut(&mut self, slot: usize) -> &mut [Lanes] {
        let stride = self.layout.stride();
        &mut self.arms[slot * stride..][..stride]
    }

    /// Adds an arm with mean zero and covariance `variance`·I.
    pub(crate) fn push(&mut self, variance: f64) {
        self.arms.resize(self.arms.len() + self.layout.stride(), Lanes::ZERO);
        let slot = self.len() - 1;
        for coordinate in 0..self.layout.dimension {
            *self.diagonal_mut(slot, coordinate) = variance;
        }
    }

    /// Adds an arm that knows what another knows.
    pub(crate) fn push_copy(&mut self, slot: usize) {
        let stride = self.layout.stride();
        self.arms.extend_from_within(slot * stride..(slot + 1) * stride);
    }

    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        let stride = self.layout.stride();
        self.arms.copy_within(from * stride..(from + 1) * stride, to * stride);
    }

    /// Removes an arm; the last one takes its slot.
    pub(crate) fn swap_remove(&mut self, slot: usize) {
        self.copy(self.len() - 1, slot);
        self.arms.truncate(self.arms.len() - self.layout.stride());
    }

    pub(crate) fn diagonal(&self, slot: usize, coordinate: usize) -> f64 {
        let (panel, lane) = self.layout.place(coordinate);
        self.block(slot)[self.layout.start(panel) + self.layout.rows(panel)].0[lane]
    }

    pub(crate) fn diagonal_mut(&mut self, slot: usize, coordinate: usize) -> &mut f64 {
        let (panel, lane) = self.layout.place(coordinate);
        let row = self.layout.start(panel) + self.layout.rows(panel);
        &mut self.block_mut(slot)[row].0[lane]
    }

    pub(crate) fn mean(&self, slot: usize, coordinate: usize) -> f64 {
        let (panel, lane) = self.layout.place(coordinate);
        self.block(slot)[self.layout.start(panel) + self.layout.rows(panel) + 1].0[lane]
    }

    pub(crate) fn mean_mut(&mut self, slot: usize, coordinate: usize) -> &mut f64 {
        let (panel, lane) = self.layout.place(coordinate);
        let row = self.layout.start(panel) + self.layout.rows(panel) + 1;
        &mut self.block_mut(slot)[row].0[lane]
    }

    /// U[row, column] for row < column.
    pub(crate) fn upper(&self, slot: usize, row: usize, column: usize) -> f64 {
        let (panel, lane) = self.layout.place(column);
        self.block(slot)[self.layout.start(panel) + row].0[lane]
    }

    pub(crate) fn upper_mut(&mut self, slot: usize, row: usize, column: usize) -> &mut f64 {
        let (panel, lane) = self.layout.place(column);
        let row = self.layout.start(panel) + row;
        &mut self.block_mut(slot)[row].0[lane]
    }

    /// Multiplies the covariance of an arm.
    pub(crate) fn scale(&mut self, slot: usize, factor: f64) {
        let layout = self.layout;
        let block = self.block_mut(slot);
        for panel in 0..layout.panels {
            for value in &mut block[layout.start(panel) + layout.rows(panel)].0 {
                *value *= factor;
            }
        }
    }

    /// Multiplies the covariance of the arm last looked at, and what was seen of it.
    pub(crate) fn discount_looked(&mut self, slot: usize, factor: f64) {
        self.scale(slot, factor);
        self.scratch.v.iter_mut().flat_map(|row| &mut row.0).for_each(|value| *value *= factor);
    }

    /// Mean and variance of one arm.
    pub(crate) fn moments(&self, slot: usize, context: &[f64]) -> Moments {
        Arch::new().dispatch(OneArm { layout: self.layout, block: self.block(slot), context })
    }

    /// Mean and variance of each of the slots, in ascending order, each handed to `visit`.
    pub(crate) fn visit(&self, slots: &Slots, context: &[f64], visit: &mut impl FnMut(usize, Moments)) {
        Arch::new().dispatch(ManyArms { layout: self.layout, arms: &self.arms, slots, context, visit });
    }

    /// Looks at an observation: mean and variance, and what [`absorb`](Self::absorb) needs to go on.
    pub(crate) fn look(&mut self, slot: usize, context: &[f64]) -> Moments {
        let layout = self.layout;
        let block = &self.arms[slot * layout.stride()..][..layout.stride()];
        Arch::new().dispatch(Look { layout, block, context, f: &mut self.scratch.f, v: &mut self.scratch.v })
    }

    /// Learns the observation last looked at: P ← (P⁻¹ + weight·xx')⁻¹ and θ ← θ + step·Px, with the old P.
    ///
    /// `weight` may be negative (an observation taken back) while 1 + weight·x'Px > 0.
    pub(crate) fn absorb(&mut self, slot: usize, weight: f64, step: f64) {
        let layout = self.layout;
        let block = &mut self.arms[slot * layout.stride()..][..layout.stride()];
        Arch::new().dispatch(Absorb { layout, block, scratch: &mut self.scratch, weight, step });
    }

    /// θ + U·√D·z·scale of one arm, into `out`; a draw from the posterior if `normal` draws standard normals.
    pub(crate) fn draw(&self, slot: usize, scale: f64, mut normal: impl FnMut() -> f64, out: &mut [f64]) {
        let dimension = self.layout.dimension;
        for (coordinate, value) in out.iter_mut().enumerate() {
            *value = self.mean(slot, coordinate);
        }
        for column in 0..dimension {
            let y = scale * self.diagonal(slot, column).sqrt() * normal();
            for (row, value) in out[..column].iter_mut().enumerate() {
                *value += self.upper(slot, row, column) * y;
            }
            out[column] += y;
        }
    }
}

struct OneArm<'a> {
    layout: Layout,
    block: &'a [Lanes],
    context: &'a [f64],
}

impl WithSimd for OneArm<'_> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Moments {
        moments(simd, self.layout, self.block, self.context)
    }
}

struct ManyArms<'a, F> {
    layout: Layout,
    arms: &'a [Lanes],
    slots: &'a Slots,
    context: &'a [f64],
    visit: &'a mut F,
}

impl<F: FnMut(usize, Moments)> WithSimd for ManyArms<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let stride = self.layout.stride();
        let mut next = 0;
        while let Some(slot) = self.slots.next_from(next) {
            let block = &self.arms[slot * stride..][..stride];
            (self.visit)(slot, moments(simd, self.layout, block, self.context));
            next = slot + 1;
        }
    }
}

/// f of one panel: f_j = x_j + Σ_{i<j} U_ij x_i.
#[inline(always)]
fn project<S: Simd>(simd: S, upper: &[Lanes], context: &[f64], columns: &Lanes) -> Row<S> {
    let zero = simd.splat_f64s(0.0);
    // Four chains hide the latency of the multiply-add.
    let mut sums = [load_row(simd, columns), [zero; LANES], [zero; LANES], [zero; LANES]];
    let mut rows = upper.chunks_exact(4);
    let mut values = context[..upper.len()].chunks_exact(4);
    for (four_rows, four_values) in (&mut rows).zip(&mut values) {
        for chain in 0..4 {
            let value = simd.splat_f64s(four_values[chain]);
            for (vector, sum) in sums[chain].iter_mut().enumerate().take(vectors::<S>()) {
                *sum = simd.mul_add_e_f64s(load::<S>(&four_rows[chain], vector), value, *sum);
            }
        }
    }
    for (chain, (row, &value)) in rows.remainder().iter().zip(values.remainder()).enumerate() {
        let value = simd.splat_f64s(value);
        for (vector, sum) in sums[chain].iter_mut().enumerate().take(vectors::<S>()) {
            *sum = simd.mul_add_e_f64s(load::<S>(row, vector), value, *sum);
        }
    }
    let [mut f, second, third, fourth] = sums;
    for vector in 0..vectors::<S>() {
        let pair = simd.add_f64s(f[vector], second[vector]);
        f[vector] = simd.add_f64s(pair, simd.add_f64s(third[vector], fourth[vector]));
    }
    f
}

#[inline(always)]
fn moments<S: Simd>(simd: S, layout: Layout, block: &[Lanes], context: &[f64]) -> Moments {
    let mut mean = zero_row(simd);
    let mut variance = mean;
    let mut rest = block;
    for panel in 0..layout.panels {
        let (upper, tail) = rest.split_at(layout.rows(panel));
        let (ends, next) = tail.split_at(2);
        rest = next;
        let columns = layout.columns(context, panel);
        let f = project(simd, upper, context, &columns);
        for vector in 0..vectors::<S>() {
            let weighted = simd.mul_f64s(f[vector], load::<S>(&ends[0], vector));
            variance[vector] = simd.mul_add_e_f64s(weighted, f[vector], variance[vector]);
            let theta = load::<S>(&ends[1], vector);
            mean[vector] = simd.mul_add_e_f64s(theta, load::<S>(&columns, vector), mean[vector]);
        }
    }
    Moments { mean: sum(simd, mean), variance: sum(simd, variance) }
}

struct Look<'a> {
    layout: Layout,
    block: &'a [Lanes],
    context: &'a [f64],
    f: &'a mut [Lanes],
    v: &'a mut [Lanes],
}

impl WithSimd for Look<'_> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Moments {
        let mut mean = zero_row(simd);
        let mut variance = mean;
        let mut rest = self.block;
        for panel in 0..self.layout.panels {
            let (upper, tail) = rest.split_at(self.layout.rows(panel));
            let (ends, next) = tail.split_at(2);
            rest = next;
            let columns = self.layout.columns(self.context, panel);
            let f = project(simd, upper, self.context, &columns);
            for vector in 0..vectors::<S>() {
                let weighted = simd.mul_f64s(f[vector], load::<S>(&ends[0], vector));
                variance[vector] = simd.mul_add_e_f64s(weighted, f[vector], variance[vector]);
                let theta = load::<S>(&ends[1], vector);
                mean[vector] = simd.mul_add_e_f64s(theta, load::<S>(&columns, vector), mean[vector]);
                store::<S>(&mut self.f[panel], vector, f[vector]);
                store::<S>(&mut self.v[panel], vector, weighted);
            }
        }
        Moments { mean: sum(simd, mean), variance: sum(simd, variance) }
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
