//! Right factors of matrix products, rounded to bytes and packed.

use super::int8_tile::{COLUMNS, Line, QUAD};
use crate::backend::cpu::kernels::real::Real;
use crate::backend::cpu::kernels::rows::{LANES, fold};

/// Largest absolute value of a rounded number, which is a signed byte.
const MOST: f32 = 127.0;
/// Offset that is added to the rounded values of a product's right factor, so that they are unsigned bytes.
pub(super) const OFFSET: i32 = 128;

/// Right factor of a matrix product, rounded to bytes and packed in panels of 48 columns.
#[derive(Debug, Clone)]
pub(super) struct Int8Panels {
    /// Lines (four rows of a panel) of all panels, ordered by group of columns and by panel.
    lines: Vec<Line>,
    /// Scale of each column, by which its rounded values are multiplied. Ordered by group of columns and by panel.
    scales: Vec<[f32; COLUMNS]>,
    lines_of_panel: usize,
    panels_of_group: usize,
}

impl Int8Panels {
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.lines) + size_of_val(&*self.scales)
    }

    /// Rounds and packs a right factor whose columns form groups. `column(group, j)` returns the values of column j of
    /// a group.
    #[inline(always)]
    pub(super) fn new<T: Real>(
        (rows, columns, groups): (usize, usize, usize),
        column: impl Fn(usize, usize) -> Vec<T>,
    ) -> Self {
        let (lines_of_panel, panels_of_group) = (rows.div_ceil(QUAD), columns.div_ceil(COLUMNS));
        let panels = groups * panels_of_group;
        let mut lines = vec![Line::default(); panels * lines_of_panel];
        let mut scales = vec![[0.0; COLUMNS]; panels];
        for group in 0..groups {
            for place in 0..columns {
                let values = column(group, place);
                let (scale, factor) = scale_and_factor(&values);
                let (panel, place) = (group * panels_of_group + place / COLUMNS, place % COLUMNS);
                scales[panel][place] = scale;
                let lines = &mut lines[panel * lines_of_panel..][..lines_of_panel];
                for (row, value) in values.into_iter().enumerate() {
                    let byte = (i32::from(rounded(value.as_f32(), factor)) + OFFSET) as u8;
                    lines[row / QUAD].set(place, row % QUAD, byte);
                }
            }
        }
        Self { lines, scales, lines_of_panel, panels_of_group }
    }

    /// Lines (groups of four rows) and column scales of the panel that begins with column number `first` of a group.
    pub(super) fn panel(&self, group: usize, first: usize) -> (&[Line], &[f32; COLUMNS]) {
        let panel = group * self.panels_of_group + first / COLUMNS;
        (&self.lines[panel * self.lines_of_panel..][..self.lines_of_panel], &self.scales[panel])
    }
}

/// Computes the scale s of rounded values, which is max |x| / 127, and the factor 1/s by which values are multiplied
/// before rounding. The scale is NaN if a value is not finite. The factor is 0 if all values are 0.
#[inline(always)]
pub(super) fn scale_and_factor<T: Real>(values: &[T]) -> (f32, f32) {
    let (mut largest, mut not_finite) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut last = [T::ZERO; LANES];
    last[..rest.len()].copy_from_slice(rest);
    for chunk in chunks.iter().chain([&last]) {
        for lane in 0..LANES {
            let value = chunk[lane].as_f32();
            largest[lane] = Real::max(value.abs(), largest[lane]);
            not_finite[lane] += value * 0.0;
        }
    }
    let largest = fold(largest, Real::max);
    let scale = largest / MOST + fold(not_finite, |a, b| a + b);
    (scale, if largest > 0.0 { MOST / largest } else { 0.0 })
}

/// Constant 1.5 · 2²³ for rounding. If it is added to a small number, the low bits of the sum are the number rounded to
/// an integer (ties to even).
const MAGIC: f32 = 12_582_912.0;

/// Rounds value·factor to an integer. The result is undefined if the value is not finite.
#[inline(always)]
pub(super) fn rounded(value: f32, factor: f32) -> i8 {
    (value * factor + MAGIC).to_bits() as i8
}
