//! Bierman's rank-one update of a covariance factored as U·D·Uᵀ, stored in panels.

use pulp::{Simd, WithSimd};

use super::layout::{LANES, Lanes, PanelLayout};
use super::layout::{Row, add, divide, load, multiply, multiply_add, splat, store, with_registers};

/// Intermediate values between the two steps of learning an observation x: the projection f = Uᵀx, and the rank-one
/// update of the covariance factor.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    pub(super) f: Vec<Lanes>,
    pub(super) v: Vec<Lanes>,
    pub(super) before: Vec<Lanes>,
    pub(crate) gain: Vec<f64>,
}

pub(super) struct RankOneUpdate<'a> {
    pub(super) layout: PanelLayout,
    pub(super) block: &'a mut [Lanes],
    pub(super) scratch: &'a mut Scratch,
    pub(crate) weight: f64,
    pub(super) step: f64,
}

/// Masks for a prefix sum over eight lanes. `PREFIX[l]` adds v_l to the lanes after l, and to lane 0, which collects
/// the sum over all eight lanes.
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

/// Masks for an 8 × 8 tile on the diagonal. `ABOVE[l]` selects the lanes after l, the part of row l strictly above the
/// diagonal.
const ABOVE: [Lanes; LANES] = {
    let mut masks = PREFIX;
    let mut row = 0;
    while row < LANES {
        masks[row].0[0] = 0.0;
        row += 1;
    }
    masks
};

impl WithSimd for RankOneUpdate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_registers!(S, rank_one_update(simd, self));
    }
}

/// Applies Bierman's rank-one update to a factor.
///
/// For j ascending: α_j = α_{j−1} + f_j v_j; D_j ← D_j α_{j−1}/α_j; U_ij ← U_ij − (f_j/α_{j−1}) b_i; b_i ← b_i + U_ij
/// v_j with the old U_ij. Initially α_{−1} = 1/weight and b_j = v_j. A row's eight columns depend on each other only
/// through the running b_i. Its value at a column is b_i before the panel plus a prefix sum over the lanes. The prefix
/// sum is eight multiply-adds with a mask.
#[inline(always)]
fn rank_one_update<S: Simd, const N: usize>(simd: S, work: RankOneUpdate<'_>) {
    let RankOneUpdate { layout, block, scratch, weight, step } = work;
    let Scratch { f, v, before, gain } = scratch;
    for (gains, values) in gain.chunks_exact_mut(LANES).zip(&*v) {
        gains.copy_from_slice(&values.0);
    }
    // If a weight is so small that its inverse overflows, the update changes nothing, as it should.
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
        let (after, entries) = (load::<S, N>(simd, &after.0), load::<S, N>(simd, &diagonal.0));
        store(simd, diagonal, multiply(simd, entries, divide(simd, old, after)));
        let f = load::<S, N>(simd, &f[panel].0);
        let multipliers = multiply(simd, splat(simd, -1.0), divide(simd, f, old));
        let mut prefix = [multipliers; LANES];
        for column in 0..LANES {
            prefix[column] = multiply(simd, splat(simd, v[panel].0[column]), load(simd, &PREFIX[column].0));
        }
        let full = (LANES * panel).saturating_sub(layout.skipped);
        let (above, diagonal) = block[first..first + rows].split_at_mut(full);
        let every = Multipliers::new(simd, multipliers);
        for (row, b) in above.iter_mut().zip(&mut gain[layout.skipped..]) {
            *b += advance(simd, row, *b, &every, &prefix);
        }
        let offset = LANES - 1 - diagonal.len();
        for (position, row) in diagonal.iter_mut().enumerate() {
            let masked = Multipliers::new(simd, multiply(simd, multipliers, load(simd, &ABOVE[offset + position].0)));
            let b = &mut gain[LANES * panel + offset + position];
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

/// Multipliers −f_j/α_{j−1} of Bierman's update for the eight columns of a panel, and a copy in which lane 0 is zero.
struct Multipliers<S: Simd, const N: usize> {
    every: Row<S, N>,
    but_first: Row<S, N>,
}

impl<S: Simd, const N: usize> Multipliers<S, N> {
    #[inline(always)]
    fn new(simd: S, every: Row<S, N>) -> Self {
        Self { every, but_first: multiply(simd, every, load(simd, &ABOVE[0].0)) }
    }
}

/// Updates eight columns of one row i of U. Returns the increment of b_i, the running value of Bierman's update.
#[inline(always)]
fn advance<S: Simd, const N: usize>(
    simd: S,
    row: &mut Lanes,
    b: f64,
    multipliers: &Multipliers<S, N>,
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
    let part = multiply_add(simd, multipliers.every, splat(simd, b), load(simd, &row.0));
    store(simd, row, multiply_add(simd, multipliers.but_first, sums, part));
    running.0[0]
}
