//! Feature matrices, dense or sparse.

use rayon::prelude::*;

/// Rows of equal width.
#[derive(Debug, Clone)]
enum Rows {
    /// The values, row after row.
    Dense { width: usize, values: Vec<f32> },
    /// The non-zero values of row i, with their columns, are those from `starts[i]` to `starts[i + 1]`.
    Sparse { starts: Vec<usize>, columns: Vec<u32>, values: Vec<f32> },
}

/// A feature matrix that is multiplied from both sides. Each row of a product is summed in one fixed order, so that all
/// numbers of threads give bit-identical results.
#[derive(Debug, Clone)]
pub(crate) struct FeatureMatrix {
    rows: usize,
    columns: usize,
    by_row: Rows,
    by_column: Rows,
}

#[cfg(test)]
thread_local! {
    /// The number of multiply-adds of the products on this thread.
    pub(crate) static MULTIPLY_ADDS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts multiply-adds, for tests of the FLOPs formulas.
#[inline(always)]
pub(super) fn count(_multiply_adds: usize) {
    #[cfg(test)]
    MULTIPLY_ADDS.with(|done| done.set(done.get() + _multiply_adds as u64));
}

impl Rows {
    /// Matrix product: out\[i, c\] = Σⱼ self\[i, j\] · right\[j, c\]; `right` has `classes` columns. Shape of the
    /// result: (rows, classes).
    fn product(&self, rows: usize, right: &[f64], classes: usize) -> Vec<f64> {
        // Where the number of classes is a constant, their sums stay in registers.
        match classes {
            2 => self.product_of::<2>(rows, right),
            3 => self.product_of::<3>(rows, right),
            4 => self.product_of::<4>(rows, right),
            _ => self.product_of_many(rows, right, classes),
        }
    }

    fn product_of<const CLASSES: usize>(&self, rows: usize, right: &[f64]) -> Vec<f64> {
        let (right, _) = right.as_chunks::<CLASSES>();
        let mut out = vec![[0.0; CLASSES]; rows];
        out.par_iter_mut().with_min_len(16).enumerate().for_each(|(row, out)| {
            let mut sums = [0.0; CLASSES];
            let mut add = |value: f32, right: &[f64; CLASSES]| {
                count(CLASSES);
                for class in 0..CLASSES {
                    sums[class] += f64::from(value) * right[class];
                }
            };
            match self {
                Self::Dense { width, values } => {
                    values[row * width..(row + 1) * width]
                        .iter()
                        .zip(right)
                        .for_each(|(value, right)| add(*value, right));
                }
                Self::Sparse { starts, columns, values } => {
                    let range = starts[row]..starts[row + 1];
                    let entries = columns[range.clone()].iter().zip(&values[range]);
                    entries.for_each(|(column, value)| add(*value, &right[*column as usize]));
                }
            }
            *out = sums;
        });
        out.into_flattened()
    }

    fn product_of_many(&self, rows: usize, right: &[f64], classes: usize) -> Vec<f64> {
        let mut out = vec![0.0; rows * classes];
        // A task of one row would cost more than the row.
        out.par_chunks_mut(classes).with_min_len(16).enumerate().for_each(|(row, sums)| match self {
            Self::Dense { width, values } => {
                for (value, right) in values[row * width..(row + 1) * width].iter().zip(right.chunks_exact(classes)) {
                    count(classes);
                    add_scaled(sums, f64::from(*value), right);
                }
            }
            Self::Sparse { starts, columns, values } => {
                let range = starts[row]..starts[row + 1];
                for (column, value) in columns[range.clone()].iter().zip(&values[range]) {
                    let at = *column as usize * classes;
                    count(classes);
                    add_scaled(sums, f64::from(*value), &right[at..at + classes]);
                }
            }
        });
        out
    }
}

fn add_scaled(sums: &mut [f64], scale: f64, right: &[f64]) {
    for (sum, right) in sums.iter_mut().zip(right) {
        *sum += scale * right;
    }
}

impl FeatureMatrix {
    /// A dense matrix from values row after row. The length of `values` must be a multiple of `columns`.
    pub(crate) fn dense(columns: usize, values: Vec<f32>) -> Self {
        let rows = values.len() / columns.max(1);
        let transposed = (0..columns).flat_map(|column| (0..rows).map(move |row| (row, column)));
        let transposed = transposed.map(|(row, column)| values[row * columns + column]).collect();
        let by_column = Rows::Dense { width: rows, values: transposed };
        Self { rows, columns, by_row: Rows::Dense { width: columns, values }, by_column }
    }

    /// A sparse matrix from rows of non-zero values with their columns, all below `columns`.
    pub(crate) fn sparse<'a>(columns: usize, rows: impl IntoIterator<Item = &'a [(u32, f32)]>) -> Self {
        let (mut starts, mut entries, mut counts) = (vec![0], Vec::new(), vec![0_usize; columns]);
        for row in rows {
            row.iter().for_each(|(column, _)| counts[*column as usize] += 1);
            entries.extend_from_slice(row);
            starts.push(entries.len());
        }
        // The start of each column's values, and later the place of its next value.
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
        let (of_rows, values) = entries.into_iter().unzip();
        let by_row = Rows::Sparse { starts, columns: of_rows, values };
        Self {
            rows,
            columns,
            by_row,
            by_column: Rows::Sparse { starts: column_starts, columns: row_of, values: value_of },
        }
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The product X·W. Shapes: `weights` (columns, classes), the result (rows, classes).
    pub(crate) fn times(&self, weights: &[f64], classes: usize) -> Vec<f64> {
        self.by_row.product(self.rows, weights, classes)
    }

    /// The product Xᵀ·R. Shapes: `residuals` (rows, classes), the result (columns, classes).
    pub(crate) fn transposed_times(&self, residuals: &[f64], classes: usize) -> Vec<f64> {
        self.by_column.product(self.columns, residuals, classes)
    }

    /// FLOPs of one product with a matrix of `classes` columns, two for each multiply-add. For a sparse matrix only the
    /// stored values count.
    pub(crate) fn flops(&self, classes: usize) -> u64 {
        let (Rows::Dense { values, .. } | Rows::Sparse { values, .. }) = &self.by_row;
        2 * (values.len() * classes) as u64
    }

    /// The sum of squares of each column j, Σᵢ X\[i, j\]².
    pub(crate) fn squares(&self) -> Vec<f64> {
        let of = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum();
        match &self.by_column {
            Rows::Dense { width, values } => values.chunks(*width).map(of).collect(),
            Rows::Sparse { starts, values, .. } => starts.windows(2).map(|at| of(&values[at[0]..at[1]])).collect(),
        }
    }

    /// Returns whether every value is finite.
    pub(crate) fn is_finite(&self) -> bool {
        match &self.by_row {
            Rows::Dense { values, .. } | Rows::Sparse { values, .. } => values.iter().all(|value| value.is_finite()),
        }
    }
}
