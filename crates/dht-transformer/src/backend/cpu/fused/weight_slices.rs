//! Packed slices of a sublayer's weights, for the heads or neurons that some samples run.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Result;

use crate::backend::cpu::kernels::{Concatenated, GradientChunks, Matrix, Packed, PackedSlice};
use crate::backend::cpu::packed_weights::{Direction, Extent, PackedWeights};
use crate::backend::cpu::variants::{Choice, Variant, Variants};
use crate::tensors::{Parameter, Precision, released};

/// Selected rows and columns of a packed weight, used as the right factor of a matrix product.
pub(super) struct WeightSlice {
    packed: Arc<Packed<f32>>,
    rows: Vec<Range<usize>>,
    groups: Vec<usize>,
    columns: usize,
}

impl WeightSlice {
    /// Selects the whole weight. `inputs` is the number of its rows, and the number of columns of a product's left
    /// factor.
    pub(super) fn all(packed: Arc<Packed<f32>>, inputs: usize) -> Self {
        let columns = packed.columns;
        Self { packed, rows: whole(inputs), groups: vec![0], columns }
    }

    pub(super) fn part(&self) -> PackedSlice<'_, f32> {
        self.packed.part(&self.rows, &self.groups, self.columns)
    }
}

/// Mean number of tokens in a run of samples from which a variant (subset of heads or neurons) gets its own packed copy
/// of the weights. Packing then costs almost nothing in comparison. In shorter runs variants alternate often, and their
/// copies would evict each other from the second-level cache.
const OWN_PACKING: usize = 512;

/// One of a sublayer's two weights: `Inward` is W₁ of the first matrix product, `Outward` is W₂ of the second.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Inward,
    Outward,
}

/// Shape of a sublayer's weights, and the heads or neurons that each sample of a batch runs.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) hidden: usize,
    pub(super) chunks: GradientChunks,
    pub(super) variants: Variants,
}

impl Selection {
    /// Selects the values of the sublayer's first bias b₁ that belong to a variant (subset of heads or neurons).
    pub(super) fn inward_bias(&self, variant: &Variant, bias: &[f32]) -> Vec<f32> {
        match variant.choice {
            Choice::Neurons(width) => bias[..width].to_vec(),
            Choice::Heads(_) => {
                let rows = variant.heads.iter().flat_map(|head| self.rows_of_head(*head));
                rows.flat_map(|rows| bias[rows].iter().copied()).collect()
            }
        }
    }

    /// Row ranges of the attention weight that belong to one head: in Q, in K and in V.
    fn rows_of_head(&self, head: usize) -> [Range<usize>; 3] {
        let size = self.chunks.outward;
        [0, 1, 2].map(|part| part * self.hidden + head * size).map(|first| first..first + size)
    }

    /// Packs the slice of a weight that one variant (subset of heads or neurons) needs. `run_tokens` is the mean number
    /// of tokens in a run of consecutive samples with this variant.
    ///
    /// In one direction a variant selects rows of the right factor. All variants then share one packed weight, and
    /// products skip its other rows. In the other direction a variant selects columns. Then either each head begins a
    /// new panel of the shared weight, or the variant gets a packed copy of its own, which has no partly filled panels.
    pub(super) fn weight_slice(
        &self,
        side: Side,
        direction: Direction,
        (variant, run_tokens): (&Variant, usize),
        (parameter, weight): (&Parameter, &[f32]),
        packed_weights: &PackedWeights,
    ) -> Result<WeightSlice> {
        let chunk = match side {
            Side::Inward => self.chunks.inward,
            Side::Outward => self.chunks.outward,
        };
        let pack = |choice, by_head| {
            let extent = Extent { choice, whole: choice == self.variants.whole, by_head };
            let parts = || match weight.is_empty() {
                true => Err(released()),
                false => Ok(self.matrices(side, direction, extent, weight)),
            };
            packed_weights.packed(parameter, direction, (extent, packed_weights.precision()), parts)
        };
        let concatenated = concatenated(side, direction);
        let all = match (concatenated, packed_weights.precision()) {
            // The whole weight is packed, so that a column is rounded by its maximum over all rows. The rounding then
            // does not depend on the other samples of the batch.
            (Concatenated::Rows, Precision::Int8) => self.variants.whole,
            _ => self.variants.all,
        };
        // Positions of a variant's heads among the packed ones.
        let positions = |choice: Choice| -> Vec<usize> {
            let heads = choice.heads();
            variant.heads.iter().filter_map(|head| heads.binary_search(head).ok()).collect()
        };
        Ok(match (concatenated, variant.choice) {
            (Concatenated::Rows, Choice::Neurons(width)) => {
                WeightSlice { packed: pack(all, false)?, rows: whole(width), groups: vec![0], columns: self.hidden }
            }
            (Concatenated::Rows, Choice::Heads(_)) => {
                let mut rows: Vec<Range<usize>> = Vec::new();
                for position in positions(all) {
                    match rows.last_mut() {
                        Some(last) if last.end == position * chunk => last.end += chunk,
                        _ => rows.push(position * chunk..(position + 1) * chunk),
                    }
                }
                WeightSlice { packed: pack(all, false)?, rows, groups: vec![0], columns: self.hidden }
            }
            (Concatenated::Columns, Choice::Neurons(width)) => {
                WeightSlice { packed: pack(all, false)?, rows: whole(self.hidden), groups: vec![0], columns: width }
            }
            (Concatenated::Columns, own) if own == all || run_tokens >= OWN_PACKING => {
                let columns = variant.heads.len() * chunk;
                WeightSlice { packed: pack(own, false)?, rows: whole(self.hidden), groups: vec![0], columns }
            }
            (Concatenated::Columns, _) => WeightSlice {
                packed: pack(all, true)?,
                rows: whole(self.hidden),
                groups: positions(all),
                columns: chunk,
            },
        })
    }

    /// Matrices to pack for a part of a weight, and the axis along which they are concatenated. They are transposed if
    /// the direction requires it.
    fn matrices<'a>(
        &self,
        side: Side,
        direction: Direction,
        extent: Extent,
        weight: &'a [f32],
    ) -> (Vec<Vec<Matrix<'a, f32>>>, Concatenated) {
        let hidden = self.hidden;
        let inward =
            |rows: Range<usize>| Matrix::new(&weight[rows.start * hidden..rows.end * hidden], rows.len(), hidden);
        let outward = |first: usize, wide| Matrix::strided(&weight[first..], hidden, wide, self.chunks.inner);
        let chunks: Vec<Vec<Matrix<'a, f32>>> = match (extent.choice, side) {
            (Choice::Neurons(width), Side::Inward) => vec![vec![inward(0..width)]],
            (Choice::Neurons(width), Side::Outward) => vec![vec![outward(0, width)]],
            (Choice::Heads(set), Side::Inward) => {
                set.iter().map(|head| self.rows_of_head(head).map(inward).into()).collect()
            }
            (Choice::Heads(set), Side::Outward) => {
                let size = self.chunks.outward;
                set.iter().map(|head| vec![outward(head * size, size)]).collect()
            }
        };
        let turn = |matrix: Matrix<'a, f32>| match direction {
            Direction::Forward => matrix.transposed(),
            Direction::Backward => matrix,
        };
        let chunks = chunks.into_iter().map(|chunk| chunk.into_iter().map(turn).collect());
        let groups = match extent.by_head {
            true => chunks.collect(),
            false => vec![chunks.flat_map(|chunk: Vec<_>| chunk).collect()],
        };
        (groups, concatenated(side, direction))
    }
}

fn whole(rows: usize) -> Vec<Range<usize>> {
    std::iter::once(0..rows).collect()
}

/// Axis of a product's right factor along which heads or neurons are selected: rows or columns.
fn concatenated(side: Side, direction: Direction) -> Concatenated {
    match (side, direction) {
        (Side::Inward, Direction::Forward) | (Side::Outward, Direction::Backward) => Concatenated::Columns,
        (Side::Inward, Direction::Backward) | (Side::Outward, Direction::Forward) => Concatenated::Rows,
    }
}
