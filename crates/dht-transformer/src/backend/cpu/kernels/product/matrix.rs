//! Matrix views of slices, and the choice whether a product overwrites its destination or adds to it.

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
    /// Creates a view whose rows have `columns` values and begin `stride` values apart.
    pub(crate) fn strided(data: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Creates a view of contiguous rows.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

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

/// Treatment of the values that a product finds at its destination: overwrite them, or add to them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Overwrite,
    Accumulate,
    /// Overwrites existing values, up to the end of a row's last SIMD vector. Values after the last column may be
    /// changed.
    OverwriteVectors,
}
