//! A row of eight lanes in registers of whatever width the machine has.

use crate::lanes::{LANES, Lanes};
use pulp::Simd;

/// Vectors in a row of eight lanes.
#[inline(always)]
pub(crate) const fn vectors<S: Simd>() -> usize {
    LANES / S::F64_LANES
}

/// A row of eight lanes in registers; only the first `vectors::<S>()` are used.
pub(crate) type Row<S> = [<S as Simd>::f64s; LANES];

#[inline(always)]
pub(crate) fn load<S: Simd>(row: &Lanes, vector: usize) -> S::f64s {
    S::as_simd_f64s(&row.0).0[vector]
}

#[inline(always)]
pub(crate) fn store<S: Simd>(row: &mut Lanes, vector: usize, value: S::f64s) {
    S::as_mut_simd_f64s(&mut row.0).0[vector] = value;
}

#[inline(always)]
pub(crate) fn zero_row<S: Simd>(simd: S) -> Row<S> {
    [simd.splat_f64s(0.0); LANES]
}

#[inline(always)]
pub(crate) fn load_row<S: Simd>(simd: S, row: &Lanes) -> Row<S> {
    let mut out = [simd.splat_f64s(0.0); LANES];
    for (vector, value) in out.iter_mut().enumerate().take(vectors::<S>()) {
        *value = load::<S>(row, vector);
    }
    out
}

/// The sum over the eight lanes, by halving: the same order at every vector width.
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, mut row: Row<S>) -> f64 {
    let mut width = vectors::<S>();
    while width > 1 {
        width /= 2;
        for vector in 0..width {
            row[vector] = simd.add_f64s(row[vector], row[vector + width]);
        }
    }
    simd.reduce_sum_f64s(row[0])
}
