//! Kernel arguments of a packed batch: sample offsets, dropout keys, and the words of the generator.

use candle_core::{Device, Result, Tensor};

use super::launch::{Argument, Numbers};
use crate::backend::cpu::Dropout;
use crate::tensors::Packing;

/// Sample offsets and dropout keys of a packed batch, stored on a GPU.
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

    /// Tensor that contains [`offsets`](Self::offsets), ids and rows.
    pub(super) fn tensor(&self) -> &Tensor {
        &self.numbers
    }

    /// First row of each sample, and the end: (samples + 1).
    pub(super) fn offsets<'a>(&self, numbers: Numbers<'a>) -> Argument<'a> {
        Argument::Numbers(numbers)
    }

    /// Data set row of each sample: (samples).
    pub(super) fn ids<'a>(&self, numbers: Numbers<'a>) -> Argument<'a> {
        Argument::Numbers(numbers.after(self.samples + 1))
    }

    /// Sample id of each row, and its position in the sample: two arrays (rows).
    pub(super) fn rows<'a>(&self, numbers: Numbers<'a>) -> [Argument<'a>; 2] {
        let first = 2 * self.samples + 1;
        [first, first + self.rows].map(|first| Argument::Numbers(numbers.after(first)))
    }
}

/// Arguments key0, key1, site, step, threshold, scale; a threshold of 0 drops nothing.
pub(super) fn words(dropout: Option<Dropout>) -> [Argument<'static>; 6] {
    let ([key0, key1, site, step, threshold], scale) = dropout.map_or(([0; 5], 1.0), Dropout::words);
    let [key0, key1, site, step, threshold] = [key0, key1, site, step, threshold].map(Argument::Whole);
    [key0, key1, site, step, threshold, Argument::Real(scale)]
}
