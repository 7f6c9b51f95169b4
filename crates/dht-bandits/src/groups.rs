//! Factors of eight arms to a cache line: for short contexts.
//!
//! Each number is a row of eight lanes, and a lane is an arm. Columns come in fours, with phantom columns before the first
//! real one where the dimension is no multiple of four. Four columns are a run of rows:
//!
//! ```text
//!   U[0, 4 columns] … U[last row above the tile, 4 columns]     four rows each
//!   U[0,1] U[0,2] U[1,2] U[0,3] U[1,3] U[2,3] of the tile       six rows
//!   D of the four columns, θ of the four columns                eight rows
//! ```
//!
//! Scoring has no sum across lanes, and what is not a sum (square roots, loops) is done once for eight arms.

use crate::arm::Slots;
use crate::factor::Moments;
use crate::lanes::{LANES, Lanes};
use crate::policy::Score;
use crate::row::{Row, load, store, vectors, zero_row};
use pulp::{Arch, Simd, WithSimd};

/// The factors of many arms, and the space their updates are computed in.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    places: Places,
    arms: usize,
    blocks: Vec<Lanes>,
    // f = Uᵀx and v = D·f of the arm last looked at, and the b that an update runs up.
    f: Vec<f64>,
    v: Vec<f64>,
    gain: Vec<f64>,
    rows: Vec<Lanes>,
}

/// Columns that are summed together.
const QUAD: usize = 4;
/// Rows of a quad that are not above its tile: six of the tile, D and θ.
const ENDS: usize = 14;

/// Where things lie in the block of eight arms.
#[derive(Debug, Clone, Copy)]
struct Places {
    pad: usize,
    quads: usize,
}

impl Places {
    fn new(dimension: usize) -> Self {
        let quads = dimension.div_ceil(QUAD);
        Self { pad: quads * QUAD - dimension, quads }
    }

    /// Coordinates above the tile of a quad.
    #[inline(always)]
    fn above(self, quad: usize) -> usize {
        (QUAD * quad).saturating_sub(self.pad)
    }

    /// The first row of a quad.
    #[inline(always)]
    fn start(self, quad: usize) -> usize {
        let before = quad.saturating_sub(1);
        ENDS * quad + 2 * QUAD * quad * before - QUAD * self.pad * before
    }

    /// The quad of a coordinate, and its column there.
    #[inline(always)]
    fn column(self, coordinate: usize) -> (usize, usize) {
        ((coordinate + self.pad) / QUAD, (coordinate + self.pad) % QUAD)
    }

    /// The first row after those above the tile.
    #[inline(always)]
    fn tile(self, quad: usize) -> usize {
        self.start(quad) + QUAD * self.above(quad)
    }

    fn upper(self, row: usize, column: usize) -> usize {
        let (quad, place) = self.column(column);
        match row.checked_sub(self.above(quad)) {
            None => self.start(quad) + QUAD * row + place,
            // Above the tile of the first quad lie phantom rows, which nothing holds.
            Some(inside) if quad > 0 => self.tile(quad) + place * (place - 1) / 2 + inside,
            Some(inside) => self.tile(0) + place * (place - 1) / 2 + inside + self.pad,
        }
    }
}

impl Groups {
    pub(crate) fn new(dimension: usize) -> Self {
        let places = Places::new(dimension);
        let columns = QUAD * places.quads;
        let space = || vec![0.0; columns];
        let rows = vec![Lanes::ZERO; columns];
        Self { places, arms: 0, blocks: Vec::new(), f: space(), v: space(), gain: space(), rows }
    }

    pub(crate) fn len(&self) -> usize {
        self.arms
    }

    fn stride(&self) -> usize {
        self.places.start(self.places.quads)
    }

    fn block(&self, slot: usize) -> &[Lanes] {
        &self.blocks[slot / LANES * self.stride()..][..self.stride()]
    }

    /// Adds an arm of zeros.
    pub(crate) fn push(&mut self) {
        if self.arms.is_multiple_of(LANES) {
            self.blocks.resize(self.blocks.len() + self.stride(), Lanes::ZERO);
        }
        self.arms += 1;
    }

    /// Removes the last arm.
    pub(crate) fn pop(&mut self) {
        self.arms -= 1;
        let (slot, stride) = (self.arms, self.stride());
        // What is left of it would be scored with its neighbours, and must not overflow there.
        self.blocks[slot / LANES * stride..].iter_mut().for_each(|row| row.0[slot % LANES] = 0.0);
        self.blocks.truncate(self.arms.div_ceil(LANES) * stride);
    }

    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        let stride = self.stride();
        for row in 0..stride {
            let value = self.blocks[from / LANES * stride + row].0[from % LANES];
            self.blocks[to / LANES * stride + row].0[to % LANES] = value;
        }
    }

    fn at(&self, slot: usize, row: usize) -> &f64 {
        &self.blocks[slot / LANES * self.stride() + row].0[slot % LANES]
    }

    fn at_mut(&mut self, slot: usize, row: usize) -> &mut f64 {
        let row = slot / LANES * self.stride() + row;
        &mut self.blocks[row].0[slot % LANES]
    }

    pub(crate) fn diagonal(&self, slot: usize, coordinate: usize) -> &f64 {
        let (quad, place) = self.places.column(coordinate);
        self.at(slot, self.places.tile(quad) + 6 + place)
    }

    pub(crate) fn diagonal_mut(&mut self, slot: usize, coordinate: usize) -> &mut f64 {
        let (quad, place) = self.places.column(coordinate);
        self.at_mut(slot, self.places.tile(quad) + 6 + place)
    }

    pub(crate) fn mean(&self, slot: usize, coordinate: usize) -> &f64 {
        let (quad, place) = self.places.column(coordinate);
        self.at(slot, self.places.tile(quad) + 10 + place)
    }

    pub(crate) fn mean_mut(&mut self, slot: usize, coordinate: usize) -> &mut f64 {
        let (quad, place) = self.places.column(coordinate);
        self.at_mut(slot, self.places.tile(quad) + 10 + place)
    }

    pub(crate) fn upper(&self, slot: usize, row: usize, column: usize) -> &f64 {
        self.at(slot, self.places.upper(row, column))
    }

    pub(crate) fn upper_mut(&mut self, slot: usize, row: usize, column: usize) -> &mut f64 {
        self.at_mut(slot, self.places.upper(row, column))
    }

    pub(crate) fn score(&self, slot: usize, context: &[f64]) -> Score {
        let group = OneGroup { places: self.places, block: self.block(slot), context, rows: None };
        let [mean, variance] = Arch::new().dispatch(group);
        Score { mean: mean.0[slot % LANES], width: variance.0[slot % LANES].sqrt() }
    }

    pub(crate) fn visit(&self, slots: Slots<'_>, context: &[f64], visit: &mut impl FnMut(usize, Score)) {
        Arch::new().dispatch(ManyGroups { places: self.places, blocks: &self.blocks, slots, context, visit });
    }

    pub(crate) fn look(&mut self, slot: usize, context: &[f64]) -> Moments {
        let (places, stride, lane) = (self.places, self.stride(), slot % LANES);
        let block = &self.blocks[slot / LANES * stride..][..stride];
        let group = OneGroup { places, block, context, rows: Some(&mut self.rows) };
        let [mean, variance] = Arch::new().dispatch(group);
        for quad in 0..places.quads {
            let diagonal = &block[places.tile(quad) + 6..][..QUAD];
            for (place, row) in diagonal.iter().enumerate() {
                let column = QUAD * quad + place;
                self.f[column] = self.rows[column].0[lane];
                self.v[column] = self.f[column] * row.0[lane];
            }
        }
        Moments { mean: mean.0[lane], variance: variance.0[lane] }
    }

    pub(crate) fn gain(&self, coordinate: usize) -> f64 {
        self.gain[coordinate + self.places.pad]
    }

    pub(crate) fn scale_seen(&mut self, factor: f64) {
        self.v.iter_mut().for_each(|value| *value *= factor);
    }

    /// For j ascending: α_j = α_{j−1} + f_j v_j; D_j ← D_j α_{j−1}/α_j; U_ij ← U_ij − (f_j/α_{j−1}) b_i; b_i ← b_i + U_ij v_j
    /// with the old U_ij, α_{−1} = 1/weight and b_j = v_j at first.
    pub(crate) fn absorb(&mut self, slot: usize, weight: f64, step: f64) {
        let (places, stride, lane) = (self.places, self.stride(), slot % LANES);
        let block = &mut self.blocks[slot / LANES * stride..][..stride];
        let Self { f, v, gain, .. } = self;
        gain.copy_from_slice(v);
        let mut before = 1.0 / weight;
        let mut rest = block;
        for quad in 0..places.quads {
            let (above, tail) = rest.split_at_mut(QUAD * places.above(quad));
            let (tile, tail) = tail.split_at_mut(6);
            let (ends, next) = tail.split_at_mut(2 * QUAD);
            rest = next;
            let first = QUAD * quad;
            // A phantom column has f = v = 0 and changes nothing.
            let mut slopes = [0.0; QUAD];
            for place in 0..QUAD {
                let after = before + f[first + place] * v[first + place];
                slopes[place] = f[first + place] / before;
                ends[place].0[lane] *= before / after;
                before = after;
            }
            let v: [f64; QUAD] = std::array::from_fn(|place| v[first + place]);
            for (rows, b) in above.chunks_exact_mut(QUAD).zip(&mut gain[places.pad..]) {
                for (place, row) in rows.iter_mut().enumerate() {
                    turn(row, lane, slopes[place], v[place], b);
                }
            }
            let mut rows = tile.iter_mut();
            for place in 1..QUAD {
                for (row, b) in (&mut rows).take(place).zip(&mut gain[first..]) {
                    turn(row, lane, slopes[place], v[place], b);
                }
            }
        }
        for quad in 0..places.quads {
            let means = &mut self.blocks[slot / LANES * stride + places.tile(quad) + 10..][..QUAD];
            for (row, b) in means.iter_mut().zip(&self.gain[QUAD * quad..]) {
                row.0[lane] += step * b;
            }
        }
    }
}

/// One entry of U and one of b.
#[inline(always)]
fn turn(row: &mut Lanes, lane: usize, slope: f64, v: f64, b: &mut f64) {
    let old = row.0[lane];
    row.0[lane] = old - slope * *b;
    *b += old * v;
}

struct OneGroup<'a> {
    places: Places,
    block: &'a [Lanes],
    context: &'a [f64],
    /// Where f goes, if it is wanted.
    rows: Option<&'a mut [Lanes]>,
}

impl WithSimd for OneGroup<'_> {
    type Output = [Lanes; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [Lanes; 2] {
        let Self { places, block, context, rows } = self;
        let [mean, variance] = match rows {
            None => moments(simd, places, block, context, |_, _| ()),
            Some(rows) => moments(simd, places, block, context, |column, f: &Row<S>| {
                rows[column] = in_memory::<S>(f);
            }),
        };
        [in_memory::<S>(&mean), in_memory::<S>(&variance)]
    }
}

#[inline(always)]
fn in_memory<S: Simd>(row: &Row<S>) -> Lanes {
    let mut out = Lanes::ZERO;
    for (vector, value) in row.iter().enumerate().take(vectors::<S>()) {
        store::<S>(&mut out, vector, *value);
    }
    out
}

struct ManyGroups<'a, F> {
    places: Places,
    blocks: &'a [Lanes],
    slots: Slots<'a>,
    context: &'a [f64],
    visit: &'a mut F,
}

impl<F: FnMut(usize, Score)> WithSimd for ManyGroups<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { places, blocks, slots, context, visit } = self;
        let stride = places.start(places.quads);
        let mut next = slots.next_from(0);
        while let Some(first) = next {
            let group = first / LANES;
            let [mean, mut width] = moments(simd, places, &blocks[group * stride..][..stride], context, |_, _| ());
            for value in width.iter_mut().take(vectors::<S>()) {
                *value = simd.sqrt_f64s(*value);
            }
            let (mean, width) = (in_memory::<S>(&mean), in_memory::<S>(&width));
            while let Some(slot) = next
                && slot / LANES == group
            {
                let lane = slot % LANES;
                visit(slot, Score { mean: mean.0[lane], width: width.0[lane] });
                next = slots.next_from(slot + 1);
            }
        }
    }
}

/// Mean and variance of eight arms; `keep` sees each f_j = x_j + Σ_{i<j} U_ij x_i.
#[inline(always)]
fn moments<S: Simd>(
    simd: S,
    places: Places,
    block: &[Lanes],
    context: &[f64],
    mut keep: impl FnMut(usize, &Row<S>),
) -> [Row<S>; 2] {
    // A chain for each place in a quad: a single one would be waited for.
    let mut means = [zero_row(simd); QUAD];
    let mut variances = means;
    let mut rest = block;
    for quad in 0..places.quads {
        let above = places.above(quad);
        let (upper, tail) = rest.split_at(QUAD * above);
        let (tile, tail) = tail.split_at(6);
        let (ends, next) = tail.split_at(2 * QUAD);
        rest = next;
        let x: [S::f64s; QUAD] = std::array::from_fn(|place| {
            let coordinate = (QUAD * quad + place).checked_sub(places.pad);
            simd.splat_f64s(coordinate.map_or(0.0, |coordinate| context[coordinate]))
        });
        let [mut f0, mut f1, mut f2, mut f3] = x.map(|value| [value; LANES]);
        for (rows, &value) in upper.chunks_exact(QUAD).zip(context) {
            let value = simd.splat_f64s(value);
            f0 = add(simd, &rows[0], value, f0);
            f1 = add(simd, &rows[1], value, f1);
            f2 = add(simd, &rows[2], value, f2);
            f3 = add(simd, &rows[3], value, f3);
        }
        f1 = add(simd, &tile[0], x[0], f1);
        f2 = add(simd, &tile[2], x[1], add(simd, &tile[1], x[0], f2));
        f3 = add(simd, &tile[5], x[2], add(simd, &tile[4], x[1], add(simd, &tile[3], x[0], f3)));
        for (place, f) in [f0, f1, f2, f3].iter().enumerate() {
            for vector in 0..vectors::<S>() {
                let weighted = simd.mul_f64s(f[vector], load::<S>(&ends[place], vector));
                variances[place][vector] = simd.mul_add_e_f64s(weighted, f[vector], variances[place][vector]);
                let theta = load::<S>(&ends[QUAD + place], vector);
                means[place][vector] = simd.mul_add_e_f64s(theta, x[place], means[place][vector]);
            }
            keep(QUAD * quad + place, f);
        }
    }
    [means, variances].map(|[mut first, second, third, fourth]| {
        for (vector, sum) in first.iter_mut().enumerate().take(vectors::<S>()) {
            let pair = simd.add_f64s(*sum, second[vector]);
            *sum = simd.add_f64s(pair, simd.add_f64s(third[vector], fourth[vector]));
        }
        first
    })
}

#[inline(always)]
fn add<S: Simd>(simd: S, row: &Lanes, value: S::f64s, mut sums: Row<S>) -> Row<S> {
    for (vector, sum) in sums.iter_mut().enumerate().take(vectors::<S>()) {
        *sum = simd.mul_add_e_f64s(load::<S>(row, vector), value, *sum);
    }
    sums
}
