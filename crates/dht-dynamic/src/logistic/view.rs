//! Feature rows that stay in a file, and are standardised when they are read.

use std::borrow::Cow;
use std::sync::Arc;

use super::rows::{BLOCK, Rows};
use super::standardisation::Standardisation;
use crate::error::Result;

/// Selected rows of a table in a file. They are standardised when they are read.
#[derive(Debug, Clone)]
pub(super) struct View {
    rows: Rows,
    /// Indices of the selected rows, ascending; `None` for all rows.
    chosen: Option<Arc<[usize]>>,
    scaling: Standardisation,
}

impl View {
    pub(super) fn new(rows: &Rows, chosen: Option<&[usize]>, scaling: &Standardisation) -> Self {
        Self { rows: rows.clone(), chosen: chosen.map(Arc::from), scaling: scaling.clone() }
    }

    pub(super) fn len(&self) -> usize {
        self.chosen.as_ref().map_or(self.rows.len(), |chosen| chosen.len())
    }

    /// Calls `visit` for each block of adjacent rows, in order, with the index of the block's first row and the
    /// standardised values.
    pub(super) fn blocks(&self, mut visit: impl FnMut(usize, &[f32])) -> Result<()> {
        let chosen = self.chosen.as_deref();
        for start in (0..self.len()).step_by(BLOCK) {
            let places = start..self.len().min(start + BLOCK);
            let (first, values) = self.rows.span(chosen, places.clone())?;
            let width = self.rows.width();
            let picked: Cow<'_, [f32]> = match chosen {
                None => values,
                Some(rows) => {
                    let row = |row: &usize| values[(row - first) * width..(row - first + 1) * width].iter().copied();
                    rows[places].iter().flat_map(row).collect()
                }
            };
            visit(start, &self.scaling.apply(&picked));
        }
        Ok(())
    }

    /// Reads every `step`-th row, and returns the standardised values in row-major order.
    pub(super) fn every(&self, step: usize) -> Result<Vec<f32>> {
        let mut picked = Vec::new();
        for place in (0..self.len()).step_by(step) {
            let row = self.chosen.as_ref().map_or(place, |chosen| chosen[place]);
            picked.extend_from_slice(&self.rows.read(row..row + 1)?);
        }
        Ok(self.scaling.apply(&picked))
    }
}
