//! What keys dropout in the kernels: the numbers of samples and tokens on the card, and the words of the generator.

use candle_core::cuda_backend::CudaDevice;
use candle_core::{CudaStorage, Result};

use super::launch::{Argument, Numbers, copied};
use crate::backend::cpu::Dropout;
use crate::tensors::Packing;

/// The dropout of rows.
pub(super) struct RowDropout {
    dropout: Option<Dropout>,
    samples: Vec<u32>,
    tokens: Vec<u32>,
}

/// The same on a card.
pub(super) struct RowKeys(Option<[CudaStorage; 2]>);

impl RowDropout {
    /// Of all rows of a batch; without dropout no numbers are copied.
    pub(super) fn new(dropout: Option<Dropout>, packing: &Packing) -> Self {
        let (samples, tokens) = match dropout {
            // The CPU's masks are keyed by the lower half of a sample's number too.
            Some(_) => (packing.row_samples().iter().map(|id| *id as u32).collect(), packing.row_tokens().to_vec()),
            None => (Vec::new(), Vec::new()),
        };
        Self { dropout, samples, tokens }
    }

    /// Rows that nothing is dropped of.
    pub(super) fn none() -> Self {
        Self { dropout: None, samples: Vec::new(), tokens: Vec::new() }
    }

    pub(super) fn keys(&self, device: &CudaDevice) -> Result<RowKeys> {
        Ok(RowKeys(match self.dropout {
            Some(_) => Some([copied(device, &self.samples)?, copied(device, &self.tokens)?]),
            None => None,
        }))
    }

    /// The arguments key0, key1, site, step, threshold, scale.
    pub(super) fn words(&self) -> [Argument<'static>; 6] {
        words(self.dropout)
    }
}

impl RowKeys {
    /// The arguments samples and tokens.
    pub(super) fn arguments(&self) -> [Argument<'_>; 2] {
        match &self.0 {
            Some(both) => both.each_ref().map(|numbers| Argument::Numbers(Numbers::whole(numbers))),
            None => [Argument::Absent, Argument::Absent],
        }
    }
}

/// The arguments key0, key1, site, step, threshold, scale; a threshold of 0 drops nothing.
pub(super) fn words(dropout: Option<Dropout>) -> [Argument<'static>; 6] {
    let ([key0, key1, site, step, threshold], scale) = dropout.map_or(([0; 5], 1.0), Dropout::words);
    let [key0, key1, site, step, threshold] = [key0, key1, site, step, threshold].map(Argument::Whole);
    [key0, key1, site, step, threshold, Argument::Real(scale)]
}
