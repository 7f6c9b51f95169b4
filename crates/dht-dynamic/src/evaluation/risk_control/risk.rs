//! Risks of a dynamic model that can be bounded.

/// Risk of a dynamic model that a [promise](crate::evaluation::Promise) keeps below a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// Loss of accuracy: the full model's accuracy minus the dynamic model's, −1 to 1. Requires labels. For several
    /// labels, the accuracy of a text is its F1, 2·TP / (2·TP + FP + FN), or 1 if no label is predicted or true. The
    /// mean over the texts is then the sample-averaged F1.
    AccuracyLoss,
    /// Share of texts whose predicted class, or set of labels, differs from the full model's, 0 to 1. Requires no
    /// labels.
    Disagreement,
    /// Expected loss of accuracy by the probabilities p of the [last stage](crate::evaluation::Stages): p(a) − p(b), 0
    /// to 1. Here a is the class that the last stage predicts, and b the class that the dynamic model predicts.
    /// Requires no labels. If the probabilities are calibrated, the mean regret is the mean
    /// [`AccuracyLoss`](Self::AccuracyLoss). The variance of the regret is far smaller, since the regret does not
    /// depend on the random labels.
    Regret,
}
