//! Progress reports of a fit.

/// Progress event of fitting early exits: the current step, and how far it has progressed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FitStep {
    /// The n-gram classifier is about to be fitted.
    Ngrams {
        /// Number of texts to fit on.
        texts: usize,
    },
    /// The encoder runs once over all texts.
    States {
        /// Number of texts that the encoder has run over.
        done: usize,
        /// Total number of texts.
        texts: usize,
    },
    /// The linear classifier of an exit is about to be fitted.
    Exit {
        /// Number of the exit, counted from 1.
        number: usize,
        /// Total number of exits to fit.
        exits: usize,
    },
    /// The exits' side layers, small networks beside the encoder, are being trained.
    SideLayers {
        /// Completed share of the training, from 0 to 1.
        share: f64,
    },
    /// The held-out texts are about to run through the trained side layers.
    Answers {
        /// Number of held-out texts.
        texts: usize,
    },
}

/// Callback that receives the progress events of a fit.
pub(super) type WatchFit<'a> = &'a mut dyn FnMut(FitStep);
