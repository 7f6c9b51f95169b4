//! Matrix views of slices, and modes of writing a product's destination.

/// Matrix view of a slice: element (row, column) is at index `row · row_stride + column · column_stride`. One of the
/// two strides is 1.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(super) data: &'a [T],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// View of rows of `columns` values, `stride` values apart.
    pub(crate) fn strided(data: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// View of contiguous rows.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Transposed view of the same values.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    pub(super) fn check(&self, name: &str) {
        let last = (self.rows.max(1) - 1) * self.row_stride + (self.columns.max(1) - 1) * self.column_stride;
        let inside = self.rows == 0 || self.columns == 0 || last < self.data.len();
        assert!(inside, "{name}: {} x {} does not fit {} numbers", self.rows, self.columns, self.data.len());
    }
}

/// Treatment of the existing values in the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Overwrite,
    Accumulate,
    /// Existing values are overwritten, possibly including values after a row's last column, up to the end of its last
    /// vector.
    OverwriteVectors,
}
