//! Products of dense matrices, computed in tiles (blocks of the result) that fit into registers.

/// Number of rows in a tile (block) of a matrix product. The sums of a tile, and one row of the right factor, fill 15
/// registers of four numbers.
pub(super) const ROWS: usize = 6;
/// Number of columns in a tile (block) of a matrix product.
pub(super) const LANES: usize = 8;

/// Partial sums of one tile (block) of a matrix product.
pub(super) type Sums = [[f64; LANES]; ROWS];

/// Right factor of a matrix product, split into panels of [`LANES`] columns. The last panel is padded with zeros.
pub(super) struct Panels {
    panels: Vec<Vec<[f64; LANES]>>,
    columns: usize,
}

impl Panels {
    /// Copies a row-major matrix with `columns` columns into panels of adjacent columns.
    pub(super) fn new(values: &[f64], columns: usize) -> Self {
        let panel = |first: usize| {
            let width = LANES.min(columns - first);
            let row = |row: &[f64]| {
                let mut lanes = [0.0; LANES];
                lanes[..width].copy_from_slice(&row[first..first + width]);
                lanes
            };
            values.chunks_exact(columns).map(row).collect()
        };
        Self { panels: (0..columns).step_by(LANES).map(panel).collect(), columns }
    }

    /// Creates tiles (blocks of a product) of zeros, one for each panel of the right factor.
    pub(super) fn zeros(&self) -> Vec<Sums> {
        vec![[[0.0; LANES]; ROWS]; self.panels.len()]
    }

    /// Copies rows of a matrix product into tiles, one for each panel. Inverse of [`write`](Self::write).
    pub(super) fn read(&self, out: &[f64]) -> Vec<Sums> {
        let mut tiles = self.zeros();
        for (row, out) in out.chunks_exact(self.columns).enumerate() {
            for (out, sums) in out.chunks(LANES).zip(&mut tiles) {
                sums[row][..out.len()].copy_from_slice(out);
            }
        }
        tiles
    }

    /// Copies the tiles of a matrix product to `out`, without the padding. `out` has up to [`ROWS`] full rows of the
    /// product.
    pub(super) fn write(&self, sums: &[Sums], out: &mut [f64]) {
        for (row, out) in out.chunks_exact_mut(self.columns).enumerate() {
            for (out, sums) in out.chunks_mut(LANES).zip(sums) {
                out.copy_from_slice(&sums[row][..out.len()]);
            }
        }
    }
}

/// Adds a matrix product to a row of tiles, which are blocks of the result: sums\[i, c\] += Σₖ left\[k, i\] ·
/// right\[first + k, c\].
pub(super) fn multiply(left: &[[f64; ROWS]], right: &Panels, first: usize, sums: &mut [Sums]) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for (panel, sums) in right.panels.iter().zip(sums) {
                let mut tile = *sums;
                for (left, right) in left.iter().zip(&panel[first..]) {
                    for (sums, left) in tile.iter_mut().zip(left) {
                        for (sum, right) in sums.iter_mut().zip(right) {
                            *sum = left.mul_add(*right, *sum);
                        }
                    }
                }
                *sums = tile;
            }
        },
    );
}
