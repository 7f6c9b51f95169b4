//! Memory layout of a factored covariance U·D·Uᵀ in panels of eight columns.
//!
//! Column j of the unit upper triangular U belongs to panel p = ⌊(pad + j)/8⌋. Before the first real column there are
//! `pad` phantom columns (padding), so that the last panel is full and the phantom columns cost almost nothing. Each
//! panel is stored as consecutive rows of 64 bytes.
//!
//! ```text
//!   row 0            U[0, 8 columns]         strictly above the diagonal; zero on and below it
//!   …
//!   row n−1          U[8p+6−pad, 8 columns]  the last row with an entry above the diagonal
//!   row n            D of the 8 columns      the unit diagonal itself is implied
//!   row n+1          θ of the 8 columns      the mean, in the same pass
//! ```
//!
//! Factors of up to [`WHOLE`] panels also store the rows of the phantom columns, as zeros. All loop lengths are then
//! constants, which makes short loops faster.
//!
//! With this layout, f = Uᵀx needs no sum across SIMD lanes (a lane is a column). The factor and mean of an arm are one
//! contiguous block of memory. The order of every sum does not depend on the width of the machine's vectors.
//!
//! SIMD code in this crate writes its loops out and passes no closures to library functions such as `array::from_fn`.
//! Inside such a closure, a SIMD instruction stays a function call, because the library function is not compiled for
//! the machine's features. Such calls made the code five times slower.

use pulp::Simd;

/// Number of columns in a panel: the number of f64 values in a 64-byte cache line.
pub(crate) const LANES: usize = 8;

/// Row of a panel (eight columns of a matrix): eight values in one cache line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [f64; LANES]);

impl Lanes {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);
}

/// Largest number of panels for which the rows of phantom columns (padding before the first column) are stored.
pub(super) const WHOLE: usize = 2;

/// Memory layout of the block that holds the covariance factor and the mean of one arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PanelLayout {
    pub(crate) dimension: usize,
    /// Number of phantom columns: padding before the first real column.
    pub(crate) pad: usize,
    /// Number of phantom columns (padding) whose rows are not stored.
    pub(super) skipped: usize,
    pub(crate) panels: usize,
}

impl PanelLayout {
    pub(crate) fn new(dimension: usize) -> Self {
        let panels = dimension.div_ceil(LANES);
        let pad = panels * LANES - dimension;
        Self { dimension, pad, skipped: if panels <= WHOLE { 0 } else { pad }, panels }
    }

    /// Returns the layout `any` with the constant number of panels `PANELS`, for compilation with fixed sizes. Every
    /// column then has a row. With `PANELS` = 0, `any` is returned unchanged.
    #[inline(always)]
    pub(super) const fn of<const PANELS: usize>(any: Self) -> Self {
        if PANELS == 0 { any } else { Self { skipped: 0, panels: PANELS, ..any } }
    }

    /// Number of rows of U in a panel.
    #[inline(always)]
    pub(super) fn rows(&self, panel: usize) -> usize {
        LANES * panel + LANES - 1 - self.skipped
    }

    /// Index of a panel's first row in the memory block of its arm.
    #[inline(always)]
    pub(super) fn start(&self, panel: usize) -> usize {
        // Sum of rows(q) + 2 over the panels before: Σ 8q + 9 − skipped.
        (4 * panel * panel + 5 * panel) - self.skipped * panel
    }

    /// Number of rows in the memory block of one arm.
    pub(super) fn stride(&self) -> usize {
        self.start(self.panels)
    }

    /// Panel of a coordinate, and its lane (column) in the panel.
    #[inline(always)]
    pub(crate) fn locate(&self, coordinate: usize) -> (usize, usize) {
        let column = coordinate + self.pad;
        (column / LANES, column % LANES)
    }

    /// Index of the row in a panel that holds a coordinate.
    #[inline(always)]
    pub(super) fn row(&self, coordinate: usize) -> usize {
        coordinate + self.pad - self.skipped
    }

    /// Eight coordinates of a vector, aligned with the eight columns of U in a panel. Phantom columns, which are
    /// padding, get zeros.
    #[inline(always)]
    pub(crate) fn columns(&self, vector: &[f64], panel: usize) -> Lanes {
        let mut lanes = Lanes::ZERO;
        if panel == 0 {
            lanes.0[self.pad..].copy_from_slice(&vector[..LANES - self.pad]);
        } else {
            let from = panel * LANES - self.pad;
            lanes.0.copy_from_slice(&vector[from..from + LANES]);
        }
        lanes
    }
}

/// Row of eight lanes, held in N SIMD registers of 8/N lanes each.
pub(super) type Row<S, const N: usize> = [<S as Simd>::f64s; N];

/// Calls a function that is generic over the number of SIMD registers per row, with the number for this machine.
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

/// Computes left/right for each lane of two rows.
#[inline(always)]
pub(super) fn divide<S: Simd, const N: usize>(simd: S, mut left: Row<S, N>, right: Row<S, N>) -> Row<S, N> {
    for vector in 0..N {
        left[vector] = simd.div_f64s(left[vector], right[vector]);
    }
    left
}

/// Computes left·right + sum for each lane of three rows.
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

/// Sums the eight lanes by repeated halving, which gives the same order at every vector width.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_tile_the_block_of_an_arm() {
        for dimension in 1..100 {
            let layout = PanelLayout::new(dimension);
            assert!(layout.pad < LANES);
            let mut start = 0;
            for panel in 0..layout.panels {
                assert_eq!(layout.start(panel), start);
                start += layout.rows(panel) + 2;
            }
            assert_eq!(layout.stride(), start);
            let rows = layout.rows(layout.panels - 1);
            assert_eq!((0..dimension).filter(|&coordinate| layout.row(coordinate) < rows).count(), dimension - 1);
            assert_eq!(layout.locate(dimension - 1), (layout.panels - 1, LANES - 1));
        }
    }
}
