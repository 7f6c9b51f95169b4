//! A row of eight lanes in registers of whatever width the machine has.
//!
//! Loops here and wherever else `simd` is used are written out: inside a closure that a library function calls (such as
//! `array::from_fn`), an instruction stays a function call, because that function is not compiled for the machine's
//! features. It cost a factor of five.

use super::layout::{LANES, Lanes};
use pulp::Simd;

/// A row of eight lanes in N registers, N = 8 / the machine's lanes.
pub(super) type Row<S, const N: usize> = [<S as Simd>::f64s; N];

/// Calls a function that is generic over the registers of a row with their number on this machine.
macro_rules! with_registers {
    ($simd:ty, $function:ident $(::<$($parameter:tt),*>)? ($($argument:expr),* $(,)?)) => {
        match <$simd as pulp::Simd>::F64_LANES {
            8 => $function::<$simd, 1 $($(, $parameter)*)?>($($argument),*),
            4 => $function::<$simd, 2 $($(, $parameter)*)?>($($argument),*),
            2 => $function::<$simd, 4 $($(, $parameter)*)?>($($argument),*),
            _ => $function::<$simd, 8 $($(, $parameter)*)?>($($argument),*),
        }
    };
}
pub(crate) use with_registers;

#[inline(always)]
pub(crate) fn load<S: Simd, const N: usize>(_: S, row: &[f64]) -> Row<S, N> {
    let vectors = S::as_simd_f64s(row).0;
    let mut out = [vectors[0]; N];
    out.copy_from_slice(&vectors[..N]);
    out
}

#[inline(always)]
pub(super) fn store<S: Simd, const N: usize>(_: S, row: &mut Lanes, values: Row<S, N>) {
    let vectors = S::as_mut_simd_f64s(&mut row.0).0;
    vectors[..N].copy_from_slice(&values);
}

#[inline(always)]
pub(crate) fn splat<S: Simd, const N: usize>(simd: S, value: f64) -> Row<S, N> {
    [simd.splat_f64s(value); N]
}

/// left/right.
#[inline(always)]
pub(super) fn divide<S: Simd, const N: usize>(simd: S, mut left: Row<S, N>, right: Row<S, N>) -> Row<S, N> {
    for vector in 0..N {
        left[vector] = simd.div_f64s(left[vector], right[vector]);
    }
    left
}

/// left·right + sum.
#[inline(always)]
pub(crate) fn multiply_add<S: Simd, const N: usize>(
    simd: S,
    left: Row<S, N>,
    right: Row<S, N>,
    mut sum: Row<S, N>,
) -> Row<S, N> {
    for vector in 0..N {
        sum[vector] = simd.mul_add_e_f64s(left[vector], right[vector], sum[vector]);
    }
    sum
}

#[inline(always)]
pub(crate) fn multiply<S: Simd, const N: usize>(simd: S, mut left: Row<S, N>, right: Row<S, N>) -> Row<S, N> {
    for vector in 0..N {
        left[vector] = simd.mul_f64s(left[vector], right[vector]);
    }
    left
}

#[inline(always)]
pub(crate) fn add<S: Simd, const N: usize>(simd: S, mut left: Row<S, N>, right: Row<S, N>) -> Row<S, N> {
    for vector in 0..N {
        left[vector] = simd.add_f64s(left[vector], right[vector]);
    }
    left
}

/// The sum over the eight lanes, by halving: the same order at every vector width.
#[inline(always)]
pub(crate) fn sum<S: Simd, const N: usize>(simd: S, mut row: Row<S, N>) -> f64 {
    let mut width = N;
    while width > 1 {
        width /= 2;
        for vector in 0..width {
            row[vector] = simd.add_f64s(row[vector], row[vector + width]);
        }
    }
    simd.reduce_sum_f64s(row[0])
}

const _: () = assert!(LANES == 8, "with_registers counts on eight lanes");
