//! Progress of a fit.

/// A step of fitting exits, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FitStep {
    /// The n-gram exit is about to be fitted on this number of texts.
    Ngrams {
        /// Number of texts.
        texts: usize,
    },
    /// The encoder runs over the texts, once.
    States {
        /// Number of texts that it ran over.
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
        /// Share of the training that is done.
        share: f64,
    },
    /// The trained side layers are about to answer this number of held-out texts.
    Answers {
        /// Number of texts.
        texts: usize,
    },
}

/// Receiver of the steps of a fit.
pub(super) type WatchFit<'a> = &'a mut dyn FnMut(FitStep);
