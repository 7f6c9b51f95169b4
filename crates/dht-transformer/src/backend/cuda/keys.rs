//! Kernel arguments that describe a packed batch: the first row of each sample, and the keys of the dropout masks.

use candle_core::{Device, Result, Tensor};

use super::launch::{Argument, Numbers};
use crate::backend::cpu::Dropout;
use crate::tensors::Packing;

/// Sample offsets and keys of the dropout masks for a packed batch, in one tensor on a GPU.
#[derive(Debug, Clone)]
pub(super) struct BatchKeys {
    numbers: Tensor,
    samples: usize,
    rows: usize,
}

impl BatchKeys {
    pub(super) fn of(packing: &Packing, device: &Device) -> Result<Self> {
        let numbers = packing.numbers_on(device)?;
        Ok(Self { numbers, samples: packing.spans().samples(), rows: packing.spans().tokens() })
    }

    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    pub(super) fn tokens(&self) -> usize {
        self.rows
    }

    /// Tensor that contains the sample offsets, the sample ids, and the sample and token of each row.
    pub(super) fn tensor(&self) -> &Tensor {
        &self.numbers
    }

    /// Kernel argument with the number of each sample's first row, and the end of the last sample, shape (samples + 1).
    pub(super) fn offsets<'a>(&self, numbers: Numbers<'a>) -> Argument<'a> {
        Argument::Numbers(numbers)
    }

    /// Kernel argument with the id of each sample, which is its row in the data set, shape (samples).
    pub(super) fn ids<'a>(&self, numbers: Numbers<'a>) -> Argument<'a> {
        Argument::Numbers(numbers.after(self.samples + 1))
    }

    /// Two kernel arguments with the sample id of each row and the row's position in its sample, both of shape (rows).
    pub(super) fn rows<'a>(&self, numbers: Numbers<'a>) -> [Argument<'a>; 2] {
        let first = 2 * self.samples + 1;
        [first, first + self.rows].map(|first| Argument::Numbers(numbers.after(first)))
    }
}

/// Kernel arguments of a dropout: two words of the random generator's key, dropout site, training step, threshold and
/// scale. `None` has a threshold of 0, which drops nothing.
pub(super) fn words(dropout: Option<Dropout>) -> [Argument<'static>; 6] {
    let ([key0, key1, site, step, threshold], scale) = dropout.map_or(([0; 5], 1.0), Dropout::words);
    let [key0, key1, site, step, threshold] = [key0, key1, site, step, threshold].map(Argument::Whole);
    [key0, key1, site, step, threshold, Argument::Real(scale)]
}
