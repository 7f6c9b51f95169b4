//! Settings for making a classifier cheaper with early exits.

use dht_transformer::{Pooling, Task, TextClassifier};

use crate::error::{Error, Result};
use crate::exit::NgramSettings;
use crate::logistic::MEMORY;
use crate::number_levels::NumberLevels;
use crate::router::LeavingRule;

/// Training targets of early exits: labels, predicted classes, or predicted probabilities.
///
/// [Side layers](SideSettings) also learn from the classifier's probabilities. With [`Labels`](Self::Labels), the
/// losses by labels and by probabilities have equal weight. With the other two variants, side layers learn from the
/// classifier's probabilities alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Targets {
    /// True labels of the texts.
    #[default]
    Labels,
    /// Predictions of the classifier in place of labels, for texts without labels. Reported accuracies then measure the
    /// agreement with the classifier.
    Predictions,
    /// Probabilities that the classifier predicts (soft labels, Hinton et al. 2015), as targets of the exits. All other
    /// fits, such as the n-gram classifier's, use the labels of the texts.
    SoftLabels,
}

/// Settings of [`accelerate`](fn@crate::accelerate::accelerate), which adds early exits to a classifier.
///
/// # Examples
/// ```
/// use dht_dynamic::accelerate::AccelerateSettings;
///
/// // Linear exits after layers 4, 8 and 12, and no n-gram exit.
/// let settings = AccelerateSettings {
///     exits: Some(vec![4, 8, 12]),
///     side: None,
///     ngram: None,
///     ..AccelerateSettings::default()
/// };
/// settings.check()?;
/// // C has to be selected from at least one value.
/// assert!(AccelerateSettings { c: Vec::new(), ..settings }.check().is_err());
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AccelerateSettings {
    /// Depths of the exits in layers, ascending; the last one is the classifier's depth. `None`, the default, for an
    /// exit after every layer.
    pub exits: Option<Vec<usize>>,
    /// Pooling of hidden states at the exits before the last: the mean over all tokens, or the first token. The mean by
    /// default.
    pub pooling: Pooling,
    /// Training targets of the exits; [`Targets::Labels`] by default.
    pub targets: Targets,
    /// Settings of the exits' side layers, small networks beside the encoder; [`SideSettings::default`] by default,
    /// `None` for linear exits. Side layers require held-out texts: if the texts are cross-fitted, exits are linear,
    /// and [`Report::side`](crate::accelerate::Report::side) is `None`.
    pub side: Option<SideSettings>,
    /// Candidate values, ascending, of the inverse penalty C of the exits' logistic regressions. C is the weight of the
    /// loss relative to the penalty ½‖W‖² on standardised states. 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3
    /// and 1 by default.
    pub c: Vec<f64>,
    /// Rule that decides at each stage whether a text exits or continues: a threshold on the confidence or the entropy
    /// of the stacked probabilities, or on the number of consecutive stages that agree. The threshold is the model's
    /// speed. [`LeavingRule::Confidence`] by default.
    /// [`Accelerated::with_router`](crate::accelerate::Accelerated::with_router) replaces the rule by any other
    /// [router](crate::Router).
    pub rule: LeavingRule,
    /// Levels of a number that the labels stand for; `None`, the default, for classes and for independent labels. Each
    /// label is then a cut between two levels, as [`NumberLevels::encode`] produces. The default speed is selected by
    /// the squared error of the predicted number instead of the F1 of the labels: the expected loss of R² is at most
    /// 0.3 points, with one standard error. One point is .01.
    pub levels: Option<NumberLevels>,
    /// Settings of the n-gram classifier, the exit before the first layer; [`NgramSettings::default`] by default,
    /// `None` for no n-gram classifier. The n-gram classifier reads tokens beyond the encoder's limit if the tokenizer
    /// [stores them](dht_transformer::TextTokenizer::with_rest). The special tokens around a text, such as `[CLS]`, are
    /// excluded only if [`left_out`](NgramSettings::left_out) lists them.
    pub ngram: Option<NgramSettings>,
    /// True if the n-gram classifier also reads the mean of the text's input embeddings from the encoder; true by
    /// default.
    pub embeddings: bool,
    /// Share of the training texts that is held out if [`Texts::held_out`](crate::accelerate::Texts::held_out) is
    /// `None`; 0.15 by default. If the share has fewer rows than [`least_held_out`](Self::least_held_out), all texts
    /// are cross-fitted instead.
    pub held_out_share: f64,
    /// Weight of each class, so that rare classes are found: finite numbers above 0, for texts with one class each.
    /// `None`, the default, for equal weights.
    ///
    /// Every loss becomes the weighted mean Σ w(class)·loss / Σ w(class), both sums over the rows. This applies to the
    /// fits of the exits, the n-gram classifier and the stacking weights, and to the losses by which the inverse
    /// penalty C is selected. The default speed limits the loss of weighted accuracy. Only the ratios of the weights
    /// matter.
    ///
    /// Probabilities are then those of data in which the frequency of each class is multiplied by its weight:
    /// qₖ = wₖ·pₖ / Σⱼ wⱼ·pⱼ. Here p are the probabilities at the frequencies of the training texts. The predicted
    /// class has the largest qₖ. A probability at the original frequencies is pₖ = (qₖ/wₖ) / Σⱼ qⱼ/wⱼ.
    ///
    /// The last exit of [`accelerate`](fn@crate::accelerate::accelerate) is the classifier itself. It must have been
    /// fine-tuned with the [same weights](TextClassifier::with_class_weights). Targets must be [`Targets::Labels`].
    pub class_weights: Option<Vec<f32>>,
    /// Minimum number of held-out rows, below which all texts are cross-fitted; 200 by default.
    pub least_held_out: usize,
    /// Number of cross-fitting folds, stratified by class: at least 2, 5 by default.
    pub folds: usize,
    /// Batch size, in texts, of forward passes through the encoder; 64 by default.
    pub batch_size: usize,
    /// Maximum memory in bytes for pooled states, 2 GiB by default. Pooled states take four bytes for each text, exit
    /// and hidden unit. Above the maximum, they are stored in a file in the [directory for temporary
    /// files](std::env::temp_dir) until the exits are fitted. The fitted model is the same.
    pub state_bytes: usize,
}

/// Settings of the exits' side layers, small networks that AdamW trains on the states of the frozen encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct SideSettings {
    /// Width of each [side layer](crate::exit::ExitKind::SideLayer), in columns. `None`, the default, for a sixth of
    /// the encoder's width, rounded down to a multiple of 32 if above 32.
    pub width: Option<usize>,
    /// Peak learning rate for training the side layers; 0.001 by default. The rate rises over the first steps, then
    /// falls to 0.
    pub learning_rate: f64,
    /// Number of texts in one optimiser step when side layers are trained; 32 by default.
    pub batch_size: usize,
}

impl Default for SideSettings {
    fn default() -> Self {
        Self { width: None, learning_rate: 1e-3, batch_size: 32 }
    }
}

impl SideSettings {
    /// Width of a side layer, in columns, for an encoder with hidden width `hidden`.
    pub(super) fn width(&self, hidden: usize) -> usize {
        let sixth = (hidden / 6).max(1);
        self.width.unwrap_or(if sixth > 32 { sixth - sixth % 32 } else { sixth })
    }

    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// [`Error::Argument`] names the field that is out of range.
    pub fn check(&self) -> Result<()> {
        if self.batch_size == 0 {
            return Err(Error::argument("side.batch_size", "at least 1", 0));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(Error::argument("side.learning_rate", "a finite number above 0", self.learning_rate));
        }
        Ok(())
    }
}

impl Default for AccelerateSettings {
    fn default() -> Self {
        Self {
            exits: None,
            pooling: Pooling::Mean,
            targets: Targets::default(),
            side: Some(SideSettings::default()),
            c: vec![1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0],
            rule: LeavingRule::Confidence,
            levels: None,
            ngram: Some(NgramSettings::default()),
            embeddings: true,
            held_out_share: 0.15,
            class_weights: None,
            least_held_out: 200,
            folds: 5,
            batch_size: 64,
            state_bytes: MEMORY,
        }
    }
}

impl AccelerateSettings {
    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// [`Error::Argument`] names the field that is out of range.
    pub fn check(&self) -> Result<()> {
        if self.pooling == Pooling::Pooler {
            return Err(Error::argument("pooling", "mean or cls: exits have no layer of their own", "pooler"));
        }
        let positive = self.c.iter().all(|c| c.is_finite() && *c > 0.0);
        if self.c.is_empty() || !positive || !self.c.is_sorted() {
            return Err(Error::argument("c", "positive numbers, ascending, at least one", format!("{:?}", self.c)));
        }
        if !(self.held_out_share > 0.0 && self.held_out_share < 1.0) {
            return Err(Error::argument("held_out_share", "above 0 and below 1", self.held_out_share));
        }
        if let Some(weights) = &self.class_weights {
            if let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
                return Err(Error::argument("class_weights", "finite numbers above 0", weight));
            }
            if self.targets != Targets::Labels {
                let expected = "none, unless the targets are labels";
                return Err(Error::argument("class_weights", expected, format!("some for {:?}", self.targets)));
            }
        }
        let counts =
            [("folds", 2, self.folds), ("least_held_out", 1, self.least_held_out), ("batch_size", 1, self.batch_size)];
        for (field, least, got) in counts {
            if got < least {
                return Err(Error::argument(field, format!("at least {least}"), got));
            }
        }
        self.side.as_ref().map_or(Ok(()), SideSettings::check)?;
        self.ngram.as_ref().map_or(Ok(()), NgramSettings::check)
    }

    /// Checks that there is one class weight for each class of a classifier, if there are class weights.
    ///
    /// # Errors
    /// [`Error::Argument`] if the number of weights differs from the number of classes, or if the classifier predicts
    /// several labels or numbers.
    pub(crate) fn check_class_weights(&self, classifier: &TextClassifier) -> Result<()> {
        let Some(weights) = &self.class_weights else { return Ok(()) };
        let (task, classes) = (classifier.task(), classifier.classifier().classes());
        if task == Task::Class && weights.len() == classes {
            return Ok(());
        }
        let expected = match task {
            Task::Class => format!("{classes} weights, one for each class"),
            Task::Labels | Task::Number => "none, unless each text has one class".to_owned(),
        };
        Err(Error::argument("class_weights", expected, weights.len()))
    }
}
