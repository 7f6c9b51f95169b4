//! Right factors of products, packed in panels of three SIMD vectors.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::int8_panels::Int8Panels;
use super::matrix::Matrix;
use crate::backend::cpu::kernels::real::Real;
use crate::backend::cpu::kernels::rows::array;

/// Number of SIMD vectors in one row of a panel.
pub(crate) const VECTORS: usize = 3;
/// Maximum width of a panel in values, reached with AVX-512 vectors of f32.
pub(crate) const WIDEST: usize = VECTORS * 16;

#[inline(always)]
pub(crate) fn lanes<S: Simd, T: Real>() -> usize {
    size_of::<T::Vector<S>>() / size_of::<T>()
}

/// Right factor of matrix products, packed once for many products. It is stored in panels: a panel has all rows of a
/// few neighbouring columns.
///
/// The columns form groups of equal width. Each group begins a new panel, so that a product can select groups.
#[derive(Debug, Clone)]
pub(crate) struct Packed<T> {
    pub(super) panels: Panels<T>,
    pub(super) rows: Range<usize>,
    /// Number of columns in each group of columns.
    pub(crate) columns: usize,
    pub(super) groups: Vec<usize>,
}

/// Values of a packed right factor, in floating point or rounded to bytes.
#[derive(Debug, Clone)]
pub(super) enum Panels<T> {
    Real(Vec<T>),
    Int8(Int8Panels),
}

/// Axis along which several matrices are concatenated before packing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concatenated {
    Columns,
    Rows,
}

impl<T: Real> Packed<T> {
    /// Packs a matrix whose columns form a single group.
    pub(crate) fn new(matrix: Matrix<'_, T>) -> Self {
        Self::from_groups(&[vec![matrix]], Concatenated::Columns)
    }

    /// Packs groups of columns. Each group is made of several matrices, which are concatenated along an axis. All
    /// groups have the same shape.
    pub(crate) fn from_groups(groups: &[Vec<Matrix<'_, T>>], concatenated: Concatenated) -> Self {
        groups.iter().flatten().for_each(|matrix| matrix.check("right factor"));
        let sum = |size: fn(&Matrix<'_, T>) -> usize| groups.first().map_or(0, |group| group.iter().map(size).sum());
        let first = |size: fn(&Matrix<'_, T>) -> usize| groups.first().and_then(|group| group.first()).map_or(0, size);
        let (rows, columns) = match concatenated {
            Concatenated::Columns => (first(|matrix| matrix.rows), sum(|matrix| matrix.columns)),
            Concatenated::Rows => (sum(|matrix| matrix.rows), first(|matrix| matrix.columns)),
        };
        let panels = pulp::Arch::new().dispatch(Pack { groups, concatenated, rows, columns });
        Self { panels: Panels::Real(panels), rows: 0..rows, columns, groups: (0..groups.len()).collect() }
    }

    pub(crate) fn in_int8(self) -> Self {
        let panels = match &self.panels {
            Panels::Real(numbers) => pulp::Arch::new().dispatch(Round { packed: &self, numbers }),
            Panels::Int8(_) => return self,
        };
        Self { panels: Panels::Int8(panels), ..self }
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.panels {
            Panels::Real(numbers) => size_of_val(&**numbers),
            Panels::Int8(panels) => panels.bytes(),
        }
    }

    pub(crate) fn whole(&self) -> PackedSlice<'_, T> {
        PackedSlice {
            packed: self,
            rows: std::slice::from_ref(&self.rows),
            groups: &self.groups,
            columns: self.columns,
        }
    }

    /// Values of the panel that begins with column number `first` of a group. Panels are `width` values wide.
    #[inline(always)]
    pub(super) fn panel<'a>(&self, numbers: &'a [T], width: usize, group: usize, first: usize) -> &'a [T] {
        let of_panel = width * self.rows.len();
        let panels = self.columns.div_ceil(width);
        &numbers[(group * panels + first / width) * of_panel..][..of_panel]
    }

    /// Selects ranges of rows, and the first `columns` columns of some groups. The result is a matrix of the selected
    /// rows and columns in their order.
    pub(crate) fn part<'a>(
        &'a self,
        rows: &'a [Range<usize>],
        groups: &'a [usize],
        columns: usize,
    ) -> PackedSlice<'a, T> {
        assert!(rows.iter().all(|rows| rows.start <= rows.end && rows.end <= self.rows.end), "rows of a part");
        assert!(groups.iter().all(|group| *group < self.groups.len()) && columns <= self.columns, "columns of a part");
        PackedSlice { packed: self, rows, groups, columns }
    }
}

/// Selected rows and columns of a packed matrix, used as the right factor of a product.
#[derive(Clone, Copy)]
pub(crate) struct PackedSlice<'a, T> {
    pub(crate) packed: &'a Packed<T>,
    pub(crate) rows: &'a [Range<usize>],
    pub(crate) groups: &'a [usize],
    pub(crate) columns: usize,
}

struct Pack<'a, 'b, T> {
    groups: &'a [Vec<Matrix<'b, T>>],
    concatenated: Concatenated,
    rows: usize,
    columns: usize,
}

impl<T: Real> WithSimd for Pack<'_, '_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<T> {
        let width = VECTORS * lanes::<S, T>();
        let of_group = self.columns.div_ceil(width) * width * self.rows;
        let mut panels = vec![T::ZERO; of_group * self.groups.len()];
        for (group, panels) in self.groups.iter().zip(panels.chunks_exact_mut(of_group.max(1))) {
            for (index, panel) in panels.chunks_exact_mut((width * self.rows).max(1)).enumerate() {
                let (first, end) = (index * width, self.columns.min((index + 1) * width));
                let mut start = 0; // of a matrix in its group: a column, or a row
                for matrix in group {
                    match self.concatenated {
                        Concatenated::Rows => {
                            pack(*matrix, first..end, &mut panel[start * width..][..matrix.rows * width], width, 0);
                            start += matrix.rows;
                        }
                        Concatenated::Columns => {
                            let (from, to) = (first.max(start), end.min(start + matrix.columns));
                            if from < to {
                                pack(*matrix, from - start..to - start, panel, width, from - first);
                            }
                            start += matrix.columns;
                        }
                    }
                }
            }
        }
        panels
    }
}

struct Round<'a, T> {
    packed: &'a Packed<T>,
    numbers: &'a [T],
}

impl<T: Real> WithSimd for Round<'_, T> {
    type Output = Int8Panels;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Int8Panels {
        let Self { packed, numbers } = self;
        let width = VECTORS * lanes::<S, T>();
        Int8Panels::new((packed.rows.len(), packed.columns, packed.groups.len()), |group, column| {
            let panel = packed.panel(numbers, width, group, column / width * width);
            panel.iter().skip(column % width).step_by(width).copied().collect::<Vec<T>>()
        })
    }
}

/// Copies some columns of the matrix `b` into a panel with rows of `width` values, beginning at column `place` of the
/// panel. Other values of the panel do not change.
#[inline(always)]
pub(crate) fn pack<T: Real>(b: Matrix<'_, T>, columns: Range<usize>, panel: &mut [T], width: usize, place: usize) {
    let wide = columns.len();
    if b.column_stride == 1 {
        for (l, row) in panel.chunks_exact_mut(width).enumerate() {
            let start = l * b.row_stride + columns.start;
            row[place..place + wide].copy_from_slice(&b.data[start..start + wide]);
        }
        return;
    }
    // The columns are packed in squares, which the compiler transposes in registers.
    let (squares, side) = (wide / SIDE * SIDE, SIDE);
    let column = |j: usize| &b.data[(columns.start + j) * b.column_stride..][..b.rows];
    for j in (0..squares).step_by(side) {
        let columns: [&[[T; SIDE]]; SIDE] = array(|i| column(j + i).as_chunks::<SIDE>().0);
        for (l, rows) in panel.chunks_exact_mut(SIDE * width).enumerate() {
            let square: [[T; SIDE]; SIDE] = array(|i| columns[i][l]);
            for (k, row) in rows.chunks_exact_mut(width).enumerate() {
                row[place + j..place + j + SIDE].copy_from_slice(&array::<T, SIDE>(|i| square[i][k]));
            }
        }
    }
    let done = b.rows / SIDE * SIDE;
    for j in 0..wide {
        let first = if j < squares { done } else { 0 };
        for (row, value) in panel.chunks_exact_mut(width).zip(column(j)).skip(first) {
            row[place + j] = *value;
        }
    }
}

/// Number of rows and columns of the square blocks that are transposed in registers.
const SIDE: usize = 4;
