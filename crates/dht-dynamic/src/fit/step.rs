//! Progress events of fitting early exits.

/// Progress event of fitting early exits: the current step, and how far it has progressed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FitStep {
    /// Fitting of the n-gram classifier begins.
    Ngrams {
        /// Number of texts to fit the n-gram classifier on.
        texts: usize,
    },
    /// Progress of the encoder, which runs once over all texts.
    States {
        /// Number of texts that the encoder has processed.
        done: usize,
        /// Total number of texts to process.
        texts: usize,
    },
    /// Fitting of an exit's linear classifier begins.
    Exit {
        /// Number of the exit that is fitted, counted from 1.
        number: usize,
        /// Total number of exits to fit.
        exits: usize,
    },
    /// Progress in training the exits' side layers, which are small networks beside the encoder.
    SideLayers {
        /// Completed share of the training, from 0 to 1.
        share: f64,
    },
    /// Prediction of the held-out texts begins, by the model with trained side layers.
    Answers {
        /// Number of held-out texts.
        texts: usize,
    },
}

/// Callback that receives the progress events of a fit.
pub(super) type WatchFit<'a> = &'a mut dyn FnMut(FitStep);
