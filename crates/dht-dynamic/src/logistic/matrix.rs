//! Feature matrices, dense or sparse.

use std::borrow::Cow;

use rayon::prelude::*;

use super::rows::Rows;
use super::standardisation::Standardisation;
use super::tiles::{Panels, ROWS, multiply};
use super::view::View;
use crate::error::Result;

/// Values of a feature matrix, which is dense or sparse, in memory or in a file.
#[derive(Debug, Clone)]
enum Values {
    /// Dense values in memory, in row-major order.
    Dense(Vec<f32>),
    /// Dense values in a file, read block by block.
    Stored(View),
    /// Non-zero values of a sparse matrix. They are stored twice, by row and by column.
    Sparse { by_row: NonZero, by_column: NonZero },
}

/// Sparse matrix in compressed-row or compressed-column format. A line is a row or a column. Line i has the entries
/// `starts[i]` to `starts[i + 1]` of `values`, and `places` has the index of each value within its line.
#[derive(Debug, Clone)]
struct NonZero {
    starts: Vec<usize>,
    places: Vec<u32>,
    values: Vec<f32>,
}

/// Feature matrix X for the products X·W and Xᵀ·R. Sums are computed in a fixed order, so that results are
/// bit-identical for every number of threads.
#[derive(Debug, Clone)]
pub(crate) struct FeatureMatrix {
    rows: usize,
    columns: usize,
    values: Values,
}

#[cfg(test)]
thread_local! {
    /// Number of multiply-adds that matrix products have executed on this thread, for tests.
    pub(crate) static MULTIPLY_ADDS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts executed multiply-adds, to test the FLOPs formulas.
#[inline(always)]
pub(super) fn count(_multiply_adds: usize) {
    #[cfg(test)]
    MULTIPLY_ADDS.with(|done| done.set(done.get() + _multiply_adds as u64));
}

/// Number of rows that are copied into one block before a tile of the product Xᵀ·R of a dense matrix X is computed.
const ROWS_TOGETHER: usize = 256;
/// Number of matrix columns in one parallel task, if the right factor of a dense product has few columns.
const COLUMNS_TOGETHER: usize = 4;
/// Minimum number of lines (rows or columns) in one parallel task of a sparse product. A task for a single line would
/// cost more than its computation.
const LINES_TOGETHER: usize = 16;

impl NonZero {
    /// Matrix product out\[i, c\] = Σⱼ self\[i, j\] · right\[j, c\], where i counts lines. `right` has `classes`
    /// columns, and the result has the shape (lines, classes).
    fn product(&self, right: &[f64], classes: usize) -> Vec<f64> {
        // If the number of classes is a constant, the sums of the classes stay in registers.
        match classes {
            2 => self.product_of::<2>(right),
            3 => self.product_of::<3>(right),
            4 => self.product_of::<4>(right),
            _ => self.product_of_many(right, classes),
        }
    }

    fn product_of<const CLASSES: usize>(&self, right: &[f64]) -> Vec<f64> {
        let (right, _) = right.as_chunks::<CLASSES>();
        let mut out = vec![[0.0; CLASSES]; self.starts.len() - 1];
        out.par_iter_mut().with_min_len(LINES_TOGETHER).enumerate().for_each(|(line, sums)| {
            for (place, value) in self.line(line) {
                count(CLASSES);
                for (sum, right) in sums.iter_mut().zip(&right[place as usize]) {
                    *sum += f64::from(value) * right;
                }
            }
        });
        out.into_flattened()
    }

    fn product_of_many(&self, right: &[f64], classes: usize) -> Vec<f64> {
        let mut out = vec![0.0; (self.starts.len() - 1) * classes];
        out.par_chunks_mut(LINES_TOGETHER * classes).enumerate().for_each(|(task, out)| {
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || {
                    for (sums, line) in out.chunks_exact_mut(classes).zip(task * LINES_TOGETHER..) {
                        for (place, value) in self.line(line) {
                            let at = place as usize * classes;
                            count(classes);
                            for (sum, right) in sums.iter_mut().zip(&right[at..at + classes]) {
                                *sum += f64::from(value) * right;
                            }
                        }
                    }
                },
            );
        });
        out
    }

    /// Non-zero entries of one line (row or column), as pairs of an index within the line and a value.
    #[inline(always)]
    fn line(&self, line: usize) -> impl Iterator<Item = (u32, f32)> {
        let range = self.starts[line]..self.starts[line + 1];
        self.places[range.clone()].iter().copied().zip(self.values[range].iter().copied())
    }
}

impl FeatureMatrix {
    /// Builds a dense matrix from values in row-major order. The length of `values` must be a multiple of `columns`.
    pub(crate) fn dense(columns: usize, values: Vec<f32>) -> Self {
        Self { rows: values.len() / columns.max(1), columns, values: Values::Dense(values) }
    }

    /// Builds a dense matrix of standardised rows. `chosen` has the indices of the selected rows, ascending; `None`
    /// selects all rows. Rows in memory are copied, and rows in a file stay in the file.
    pub(crate) fn of_rows(rows: &Rows, chosen: Option<&[usize]>, scaling: &Standardisation) -> Self {
        let width = rows.width();
        let Some(values) = rows.values() else {
            let view = View::new(rows, chosen, scaling);
            return Self { rows: view.len(), columns: width, values: Values::Stored(view) };
        };
        let picked: Cow<'_, [f32]> = match chosen {
            None => Cow::Borrowed(values),
            Some(rows) => rows.iter().flat_map(|row| values[row * width..(row + 1) * width].iter().copied()).collect(),
        };
        Self::dense(width, scaling.apply(&picked))
    }

    /// Builds a sparse matrix. Each row is a list of pairs of a column and a non-zero value. Every column must be below
    /// `columns`.
    pub(crate) fn sparse<'a>(columns: usize, rows: impl IntoIterator<Item = &'a [(u32, f32)]>) -> Self {
        let (mut starts, mut entries, mut counts) = (vec![0], Vec::new(), vec![0_usize; columns]);
        for row in rows {
            row.iter().for_each(|(column, _)| counts[*column as usize] += 1);
            entries.extend_from_slice(row);
            starts.push(entries.len());
        }
        // First the start of each column's values, and later the place of the column's next value.
        let mut column_starts = vec![0];
        column_starts.extend(counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }));
        let mut next = column_starts.clone();
        let (mut row_of, mut value_of) = (vec![0; entries.len()], vec![0.0; entries.len()]);
        for row in 0..starts.len() - 1 {
            for (column, value) in &entries[starts[row]..starts[row + 1]] {
                let place = &mut next[*column as usize];
                (row_of[*place], value_of[*place]) = (row as u32, *value);
                *place += 1;
            }
        }
        let rows = starts.len() - 1;
        let (places, values) = entries.into_iter().unzip();
        let by_column = NonZero { starts: column_starts, places: row_of, values: value_of };
        Self { rows, columns, values: Values::Sparse { by_row: NonZero { starts, places, values }, by_column } }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Matrix product X·W of the features X and `weights` W. `weights` has the shape (columns, classes), and the result
    /// the shape (rows, classes).
    ///
    /// # Errors
    /// [`Io`](dht_transformer::Error::Io) if the rows are in a file that cannot be read.
    pub(crate) fn times(&self, weights: &[f64], classes: usize) -> Result<Vec<f64>> {
        match &self.values {
            Values::Dense(values) => Ok(times(values, self.columns, weights, classes)),
            Values::Sparse { by_row, .. } => Ok(by_row.product(weights, classes)),
            Values::Stored(view) => {
                let mut out = Vec::with_capacity(self.rows * classes);
                view.blocks(|_, values| out.extend(times(values, self.columns, weights, classes)))?;
                Ok(out)
            }
        }
    }

    /// Matrix product Xᵀ·R of the transposed features X and `residuals` R. `residuals` has the shape (rows, classes),
    /// and the result the shape (columns, classes).
    ///
    /// # Errors
    /// [`Io`](dht_transformer::Error::Io) if the rows are in a file that cannot be read.
    pub(crate) fn transposed_times(&self, residuals: &[f64], classes: usize) -> Result<Vec<f64>> {
        let mut out = vec![0.0; self.columns * classes];
        match &self.values {
            Values::Sparse { by_column, .. } => return Ok(by_column.product(residuals, classes)),
            Values::Dense(values) => add_transposed_times(values, self.columns, residuals, classes, &mut out),
            Values::Stored(view) => view.blocks(|first, values| {
                let residuals = &residuals[first * classes..][..values.len() / self.columns * classes];
                add_transposed_times(values, self.columns, residuals, classes, &mut out);
            })?,
        }
        Ok(out)
    }

    /// FLOPs of a product of this matrix, where the other factor has `classes` columns. A multiply-add counts as two.
    /// For a sparse matrix, only the stored values count.
    pub(crate) fn flops(&self, classes: usize) -> u64 {
        let stored = match &self.values {
            Values::Dense(_) | Values::Stored(_) => self.rows * self.columns,
            Values::Sparse { by_row, .. } => by_row.values.len(),
        };
        2 * (stored * classes) as u64
    }

    /// Sum of the squared values in each column.
    ///
    /// # Errors
    /// [`Io`](dht_transformer::Error::Io) if the rows are in a file that cannot be read.
    pub(crate) fn squares(&self) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; self.columns];
        let mut add = |values: &[f32]| {
            for row in values.chunks_exact(self.columns.max(1)) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value).powi(2));
            }
        };
        match &self.values {
            Values::Dense(values) => add(values),
            Values::Stored(view) => view.blocks(|_, values| add(values))?,
            Values::Sparse { by_column, .. } => {
                let of = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum();
                return Ok(by_column.starts.windows(2).map(|at| of(&by_column.values[at[0]..at[1]])).collect());
            }
        }
        Ok(sums)
    }

    /// Estimates the matrix XᵀX/rows of second moments, shape (columns, columns), where X is this matrix. The estimate
    /// uses at most `most_rows` evenly spaced rows. Returns it with its FLOPs, or `None` for a sparse matrix.
    pub(super) fn second_moments(&self, most_rows: usize) -> Result<Option<(Vec<f64>, u64)>> {
        let step = self.rows.div_ceil(most_rows.max(1)).max(1);
        let sample: Vec<f32> = match &self.values {
            Values::Sparse { .. } => return Ok(None),
            Values::Stored(view) => view.every(step)?,
            Values::Dense(values) => {
                let row = |row: usize| values[row * self.columns..(row + 1) * self.columns].iter().copied();
                (0..self.rows).step_by(step).flat_map(row).collect()
            }
        };
        let scale = 1.0 / (sample.len() / self.columns.max(1)).max(1) as f64;
        let scaled: Vec<f64> = sample.iter().map(|value| f64::from(*value) * scale).collect();
        let sample = Self::dense(self.columns, sample);
        Ok(Some((sample.transposed_times(&scaled, self.columns)?, sample.flops(self.columns))))
    }

    /// Returns whether every value is finite. Values in a file are not checked again, since they were checked when
    /// computed.
    pub(crate) fn is_finite(&self) -> bool {
        match &self.values {
            Values::Dense(values) | Values::Sparse { by_row: NonZero { values, .. }, .. } => {
                values.iter().all(|value| value.is_finite())
            }
            Values::Stored(_) => true,
        }
    }
}

/// Matrix product X·W for dense values X, as in [`FeatureMatrix::times`].
fn times(values: &[f32], columns: usize, weights: &[f64], classes: usize) -> Vec<f64> {
    match classes {
        2 => return times_few::<2>(values, columns, weights),
        3 => return times_few::<3>(values, columns, weights),
        4 => return times_few::<4>(values, columns, weights),
        _ => {}
    }
    let mut out = vec![0.0; values.len() / columns.max(1) * classes];
    let panels = Panels::new(weights, classes);
    out.par_chunks_mut(ROWS * classes).enumerate().for_each(|(tile, out)| {
        let rows = out.len() / classes;
        count(rows * columns * classes);
        // (columns, ROWS): the rows of this tile, transposed.
        let mut block = vec![[0.0; ROWS]; columns];
        for row in 0..rows {
            let at = (tile * ROWS + row) * columns;
            let row_values = &values[at..at + columns];
            block.iter_mut().zip(row_values).for_each(|(block, value)| block[row] = f64::from(*value));
        }
        let mut sums = panels.zeros();
        multiply(&block, &panels, 0, &mut sums);
        panels.write(&sums, out);
    });
    out
}

/// Adds the matrix product Xᵀ·R of dense values X to `out`, as in [`FeatureMatrix::transposed_times`]. The rows may be
/// split over several calls: the sums are bit-identical.
fn add_transposed_times(values: &[f32], columns: usize, residuals: &[f64], classes: usize, out: &mut [f64]) {
    match classes {
        2 => return add_transposed_times_few::<2>(values, columns, residuals, out),
        3 => return add_transposed_times_few::<3>(values, columns, residuals, out),
        4 => return add_transposed_times_few::<4>(values, columns, residuals, out),
        _ => {}
    }
    let rows = residuals.len() / classes;
    let panels = Panels::new(residuals, classes);
    out.par_chunks_mut(ROWS * classes).enumerate().for_each(|(tile, out)| {
        let (first, width) = (tile * ROWS, out.len() / classes);
        count(rows * width * classes);
        let mut sums = panels.read(out);
        // (ROWS_TOGETHER, ROWS): the columns of this tile, of some rows.
        let mut block = vec![[0.0; ROWS]; ROWS_TOGETHER.min(rows)];
        for start in (0..rows).step_by(ROWS_TOGETHER) {
            let together = ROWS_TOGETHER.min(rows - start);
            for (row, block) in block[..together].iter_mut().enumerate() {
                let at = (start + row) * columns + first;
                block.iter_mut().zip(&values[at..at + width]).for_each(|(to, value)| *to = f64::from(*value));
            }
            multiply(&block[..together], &panels, start, &mut sums);
        }
        panels.write(&sums, out);
    });
}

/// Matrix product X·W for dense values X and so few classes that tiles would be mostly padding. See
/// [`FeatureMatrix::times`].
fn times_few<const CLASSES: usize>(values: &[f32], columns: usize, weights: &[f64]) -> Vec<f64> {
    let (weights, _) = weights.as_chunks::<CLASSES>();
    let mut out = vec![[0.0; CLASSES]; values.len() / columns.max(1)];
    out.par_iter_mut().zip(values.par_chunks(columns.max(1))).with_min_len(LINES_TOGETHER).for_each(|(out, row)| {
        count(columns * CLASSES);
        let mut sums = [0.0; CLASSES];
        for (value, weights) in row.iter().zip(weights) {
            for class in 0..CLASSES {
                sums[class] += f64::from(*value) * weights[class];
            }
        }
        *out = sums;
    });
    out.into_flattened()
}

/// Matrix product Xᵀ·R as in [`add_transposed_times`], for so few classes that tiles would be mostly padding.
fn add_transposed_times_few<const CLASSES: usize>(values: &[f32], columns: usize, residuals: &[f64], out: &mut [f64]) {
    let (residuals, _) = residuals.as_chunks::<CLASSES>();
    let (out, _) = out.as_chunks_mut::<CLASSES>();
    out.par_chunks_mut(COLUMNS_TOGETHER).enumerate().for_each(|(tile, out)| {
        let (first, width) = (tile * COLUMNS_TOGETHER, out.len());
        count(residuals.len() * width * CLASSES);
        let mut sums = [[0.0; CLASSES]; COLUMNS_TOGETHER];
        sums[..width].copy_from_slice(out);
        for (row, residuals) in values.chunks_exact(columns).zip(residuals) {
            let row = &row[first..first + width];
            // With a constant number of columns, the sums stay in registers.
            let row = <&[f32; COLUMNS_TOGETHER]>::try_from(row).copied().unwrap_or_else(|_| {
                let mut padded = [0.0; COLUMNS_TOGETHER];
                padded[..width].copy_from_slice(row);
                padded
            });
            for column in 0..COLUMNS_TOGETHER {
                for class in 0..CLASSES {
                    sums[column][class] += f64::from(row[column]) * residuals[class];
                }
            }
        }
        out.copy_from_slice(&sums[..width]);
    });
}
