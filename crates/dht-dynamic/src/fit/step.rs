//! Progress reports of a fit.

/// Progress event of fitting exits: the current step, and how far this step is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FitStep {
    /// The n-gram exit is about to be fitted.
    Ngrams {
        /// Number of texts to fit on.
        texts: usize,
    },
    /// The encoder runs once over all texts.
    States {
        /// Number of texts that the encoder has run over.
        done: usize,
        /// Number of all texts.
        texts: usize,
    },
    /// A linear exit is about to be fitted.
    Exit {
        /// Number of the exit, from 1.
        number: usize,
        /// Number of exits to fit.
        exits: usize,
    },
    /// The side layers of all exits are trained.
    SideLayers {
        /// Share of the side layers' training that is done, from 0 to 1.
        share: f64,
    },
    /// The trained side layers are about to answer the held-out texts.
    Answers {
        /// Number of held-out texts.
        texts: usize,
    },
}

/// Callback that receives the progress events of a fit.
pub(super) type WatchFit<'a> = &'a mut dyn FnMut(FitStep);
