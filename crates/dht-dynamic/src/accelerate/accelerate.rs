//! Accelerates a fine-tuned classifier: adds early exits without changing its weights.

use dht_transformer::TextClassifier;
use rand::Rng;

use super::accelerated::Accelerated;
use crate::error::{Error, Result};
use crate::fit::{
    AccelerateSettings, Built, FitStep, FitTexts, FittedExits, JudgedFront, Lap, Report, Texts, fit_ngrams,
};

/// Builds a model with early exits, which is cheaper at inference, from a fine-tuned classifier of classes or
/// multi-label texts.
///
/// Fits the early exits, the n-gram classifier and the stacking weights, and selects a speed (exit threshold). The
/// classifier is not modified.
///
/// # Errors
/// * [`Error::Argument`] if a setting is out of range, or if the number of class weights differs from the number of
///   classes.
/// * [`Error::Argument`] if the classifier is a regression, or if the classes or labels of the texts differ from the
///   classifier's.
/// * [`Error::Argument`] if there are fewer than 20 training texts, or if there are unlabelled texts and no held-out
///   texts.
/// * [`Error::Argument`] if the [levels](AccelerateSettings::levels) of a number do not have one cut for each label.
/// * [`Error::Argument`] if held-out texts are empty, or if more than half of them are also training texts.
/// * [`Error::Argument`] if a hidden state is not finite.
/// * Errors of [`ExitModel::of_classifier`](crate::ExitModel::of_classifier),
///   [`NgramClassifier::fit`](crate::exit::NgramClassifier::fit) and the encoder.
///
/// # Examples
/// ```
/// use dht_dynamic::accelerate::{AccelerateSettings, ScoredOn, Texts, accelerate};
/// # use candle_core::Device;
/// # use dht_dynamic::transformer::{
/// #     BertConfig, Dataset, Encoder, Example, Pooling, TextClassifier, TextTokenizer,
/// # };
/// # use rand::SeedableRng;
/// # let things = [
/// #     "day", "meal", "film", "book", "song", "town", "hotel", "coat", "game", "park",
/// #     "chair", "train", "cake", "shop", "lamp", "road", "wine", "boat", "play", "view",
/// # ];
/// # let words = [("fine", 1), ("lovely", 1), ("great", 1), ("bad", 0), ("awful", 0), ("poor", 0)];
/// # let review = |thing, (word, label)| Example::new(format!("The {thing} was {word}"), label);
/// # let examples = things.iter().flat_map(|thing| words.map(|word| review(thing, word)));
/// # let labels = vec!["bad".into(), "good".into()];
/// # let data = Dataset::from_examples("reviews", labels, examples.collect())?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let (training, held_out) = data.split_validation(0.25, &mut rng)?;
/// # let texts = training.examples.iter().map(|example| &*example.text);
/// # let tokenizer = TextTokenizer::train(texts, 100)?;
/// # let encode = |data: &Dataset| tokenizer.encode_all(data, 16);
/// # let (training, held_out) = (encode(&training)?, encode(&held_out)?);
/// # let config = BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
///
/// // A fine-tuned classifier of four layers, its training texts, and texts that it has not seen.
/// let texts = Texts::new(&training).with_held_out(&held_out);
/// let accelerated = accelerate(&classifier, texts, &AccelerateSettings::default(), &mut rng)?;
/// // The n-gram exit at depth 0, and an exit after each layer.
/// let depths: Vec<usize> = accelerated.report.stages.iter().map(|stage| stage.depth).collect();
/// assert_eq!(depths, [0, 1, 2, 3, 4]);
/// assert_eq!(accelerated.report.judged_on, ScoredOn::HeldOut(held_out.len()));
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
pub fn accelerate<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    texts: Texts<'_>,
    settings: &AccelerateSettings,
    rng: &mut R,
) -> Result<Accelerated> {
    accelerate_watched(classifier, texts, settings, &mut |_| {}, rng)
}

/// Builds a model with early exits as [`accelerate`] does, and reports each step of the fit to `watch`.
///
/// # Errors
/// Any error of [`accelerate`].
pub fn accelerate_watched<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    texts: Texts<'_>,
    settings: &AccelerateSettings,
    watch: &mut dyn FnMut(FitStep),
    rng: &mut R,
) -> Result<Accelerated> {
    settings.check()?;
    settings.check_class_weights(classifier)?;
    if texts.training.len() < Texts::LEAST {
        return Err(Error::argument("texts", format!("at least {}", Texts::LEAST), texts.training.len()));
    }
    texts.check_held_out()?;
    let mut clock = Lap::start();
    let mut texts = FitTexts::new(texts, settings, rng)?;
    let mut report = Report::new(&texts);
    // The exits inside the encoder come first: their states are the most expensive part.
    let exits = FittedExits::before_classifier(classifier, &mut texts, settings, &mut report, watch, rng)?;
    // The n-gram exit reads tokens only, so that it does not depend on the other exits.
    let mut front = None;
    watch(FitStep::Ngrams { texts: texts.training.len() });
    if let Some(fit) = fit_ngrams(classifier, &texts.training, settings, rng)? {
        report.add_fits(fit.flops);
        front = Some(JudgedFront::new(fit, &texts)?);
    }
    // Stacking and the default speed are chosen on answers to texts that the exits have not learned from.
    let stacked = exits.stack(front, &texts, settings.rule, &mut report)?;
    let Built { model, mut report, .. } = stacked.at_default_speed(&texts, settings.levels.as_ref(), report)?;
    report.seconds = clock.seconds();
    let (levels, class_weights) = (settings.levels.clone(), settings.class_weights.clone());
    Ok(Accelerated { model, report, levels, class_weights })
}
