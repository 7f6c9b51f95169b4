//! Right factors of products packed as bytes, and the rounding to bytes.

use super::int8_tile::{COLUMNS, Line, QUAD};
use crate::backend::cpu::kernels::real::Real;
use crate::backend::cpu::kernels::rows::{LANES, fold};

/// Largest absolute value of a number that is rounded to eight bits.
const MOST: f32 = 127.0;
/// Offset that is added to the rounded values of the right factor B, so that they are unsigned bytes.
pub(super) const OFFSET: i32 = 128;

/// Right factor packed as bytes in panels of 48 columns.
#[derive(Debug, Clone)]
pub(super) struct Int8Panels {
    /// Lines (groups of four rows) of all panels, ordered by group and panel.
    lines: Vec<Line>,
    /// Scale tⱼ of each column, ordered by group and panel.
    scales: Vec<[f32; COLUMNS]>,
    lines_of_panel: usize,
    panels_of_group: usize,
}

impl Int8Panels {
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.lines) + size_of_val(&*self.scales)
    }

    /// Rounds and packs a right factor, whose columns form groups. `column(group, j)` returns the values of a group's
    /// column j.
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

    /// Lines and column scales of the panel that begins with the column `first` of a group.
    pub(super) fn panel(&self, group: usize, first: usize) -> (&[Line], &[f32; COLUMNS]) {
        let panel = group * self.panels_of_group + first / COLUMNS;
        (&self.lines[panel * self.lines_of_panel..][..self.lines_of_panel], &self.scales[panel])
    }
}

/// Computes the scale s by which values are rounded, and the factor 1/s. The scale is NaN if a value is not finite. The
/// factor is 0 if all values are 0.
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

/// Constant 1.5 · 2²³ for rounding. Adding it to a small number rounds to an integer (ties to even), which is then in
/// the low bits.
const MAGIC: f32 = 12_582_912.0;

/// Rounds value·factor to an integer. The result is undefined if the value is not finite.
#[inline(always)]
pub(super) fn rounded(value: f32, factor: f32) -> i8 {
    (value * factor + MAGIC).to_bits() as i8
}
