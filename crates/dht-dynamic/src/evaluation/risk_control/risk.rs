//! Risks that can be bounded.

/// Risk to keep below a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// Full model's accuracy minus the dynamic model's, −1 to 1. Requires labels. For several labels, the accuracy of a
    /// text is its F1 (2·TP / (2·TP + FP + FN), 1 where no label is given or there), so that their mean is the F1 by
    /// samples.
    AccuracyLoss,
    /// Share of texts whose predicted class, or set of labels, differs from the full model's, 0 to 1. Requires no
    /// labels.
    Disagreement,
    /// Expected loss of accuracy by the probabilities p of the [last stage](crate::evaluation::Stages): p(a) − p(b), 0
    /// to 1. Here a is the class that the last stage predicts, and b the class that the text gets. Requires no labels. If these probabilities are calibrated, its mean is that of the
    /// [`AccuracyLoss`](Self::AccuracyLoss), with far less variance, since no label's chance is in it.
    Regret,
}
