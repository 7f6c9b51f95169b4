//! Risks of a model with early exits that can be bounded.

/// Risk of a model with early exits, relative to the full model, that a [promise](crate::evaluation::Promise) keeps
/// below a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// Loss of accuracy: accuracy of the full model minus accuracy with early exits, from −1 to 1. Requires labels. For
    /// a multi-label model, the accuracy of a text is its F1, 2·TP / (2·TP + FP + FN), or 1 if no label is predicted or
    /// true. The mean over the texts is then the sample-averaged F1.
    AccuracyLoss,
    /// Share of texts whose predicted class, or set of labels, differs from the full model's, 0 to 1. Requires no
    /// labels.
    Disagreement,
    /// Expected loss of accuracy, from 0 to 1: p(a) − p(b), where a is the class that the last exit predicts and b the
    /// class that the model with early exits predicts. The probabilities p are those of the [last
    /// stage](crate::evaluation::Stages), the last exit. Requires no labels. If the probabilities are calibrated, the
    /// mean regret is the mean [`AccuracyLoss`](Self::AccuracyLoss). Its variance is far smaller, since it does not
    /// depend on random labels.
    ///
    /// When the default speed of a model of [numbers](crate::accelerate::AccelerateSettings::levels) is selected, the
    /// regret is the expected loss of R²: the increase of the expected squared error, divided by the variance of the
    /// held-out numbers.
    Regret,
}
