//! Learning curve of a classifier on the frozen encoder: accuracy by number of labelled rows, extrapolated to twice the
//! number.

use std::collections::BTreeMap;
use std::time::Instant;

use dht_transformer::{EncodedDataset, Task, TextClassifier};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::length::last_exit;
use crate::error::{Error, Result};
use crate::exit::Stacker;
use crate::fit::{AccelerateSettings, ExitStates, FitTexts, LastExit, Texts, fit_ngrams, judged_by_rows};
use crate::outputs::truth_of;

/// Sizes of the training subsets. In each pair, the first number divides the number of training rows, and the second is
/// the number of random subsets of this size.
const SHARES: [(usize, usize); 4] = [(8, 4), (4, 4), (2, 2), (1, 1)];
/// Minimum number of training rows for a learning curve. An eighth of them, the smallest subset, must suffice to fit a
/// model.
const LEAST: usize = 80;
/// Minimum number of validation rows for a learning curve.
const LEAST_VALIDATION: usize = 20;
/// Multiples of the number of training rows for which the accuracy is predicted.
const MULTIPLES: [usize; 2] = [2, 4];
/// Number of bootstrap resamples for the intervals.
const RESAMPLES: usize = 1000;

/// Point of a learning curve: validation accuracy of a classifier on the frozen encoder that was fitted on a subset of
/// the training rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LearningPoint {
    /// Number of training rows in the subset.
    pub rows: usize,
    /// Number of random subsets with this number of rows.
    pub draws: usize,
    /// Mean validation accuracy of the models, one model for each subset.
    pub accuracy: f64,
}

/// Accuracy that a learning curve predicts for more training rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LearningPrediction {
    /// Number of training rows.
    pub rows: usize,
    /// Predicted accuracy.
    pub accuracy: f64,
    /// 95 % interval of the accuracy by the percentile bootstrap, which resamples validation rows and draws of training
    /// rows. The interval does not include the error by which the true curve differs from a power law.
    pub interval: [f64; 2],
    /// Predicted gain in accuracy over a model that is fitted on the present training rows.
    pub gain: f64,
    /// 95 % interval of the gain, by the same bootstrap.
    pub gain_interval: [f64; 2],
}

/// Learning curve of rung 1, a classifier on the frozen encoder, extrapolated to two and four times the training rows.
///
/// The extrapolation assumes that the error rate follows a power law of the number of rows, which is fitted by least
/// squares on logarithms. The power law has no irreducible error, so the predicted gain is more often too large than
/// too small. The curve does not apply to fine-tuned models.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LearningCurve {
    /// Measured points of the curve, fewest rows first.
    pub points: Vec<LearningPoint>,
    /// Predictions for two and four times the training rows.
    pub predictions: Vec<LearningPrediction>,
    /// Number of validation rows.
    pub validation_rows: usize,
    /// Total FLOPs: one encoder pass over all texts, and all fits.
    pub flops: u64,
    /// Total wall-clock seconds of the measurement.
    pub seconds: f64,
}

/// Measures accuracy by the number of training rows, to predict whether more labelled rows would help.
///
/// The measured model is a logistic regression on the last layer of the frozen encoder, combined (stacked) with an
/// n-gram classifier. The model is fitted on an eighth, a quarter, half and all of the training rows, stratified by
/// class. The encoder runs once over all texts.
///
/// # Errors
/// * [`Error::Argument`] if there are fewer than 80 training rows or fewer than 20 validation rows, or if the task of
///   the classifier is not [`Task::Class`].
/// * Errors of the encoder and the fits.
///
/// # Examples
/// ```
/// use dht_dynamic::accelerate::AccelerateSettings;
/// use dht_dynamic::ladder::learning_curve;
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
/// let settings = AccelerateSettings::default();
/// let curve = learning_curve(&classifier, &training, &held_out, &settings, 1)?;
/// // An eighth, a quarter, half and all of the rows.
/// assert_eq!(curve.points.len(), 4);
/// assert_eq!(curve.points[3].rows, training.len());
/// // A predicted gain whose interval contains 0 may be due to chance.
/// let [twice, _] = &curve.predictions[..] else { panic!("two and four times the rows") };
/// assert_eq!(twice.rows, 2 * training.len());
/// assert!(twice.gain_interval[0] <= twice.gain_interval[1]);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
pub fn learning_curve(
    classifier: &TextClassifier,
    training: &EncodedDataset,
    validation: &EncodedDataset,
    settings: &AccelerateSettings,
    seed: u64,
) -> Result<LearningCurve> {
    for (what, least, got) in
        [("training rows", LEAST, training.len()), ("validation rows", LEAST_VALIDATION, validation.len())]
    {
        if got < least {
            return Err(Error::argument(what, format!("at least {least} for a learning curve"), got));
        }
    }
    if classifier.task() != Task::Class {
        let got = format!("one for {:?}", classifier.task());
        return Err(Error::argument("classifier", "one of classes for a learning curve", got));
    }
    let start = Instant::now();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let settings = AccelerateSettings { side: None, ..settings.clone() };
    let model = last_exit(classifier, &settings, &mut rng)?;
    let texts = FitTexts::new(Texts::new(training).with_held_out(validation), &settings, &mut rng)?;
    let states = ExitStates::read(&model, &texts, LastExit::Regression, &settings, &mut |_| {})?;
    let (labels, mut flops) = (truth_of(validation), states.flops);
    let order = by_class(training, &mut rng);
    let mut right: Vec<(usize, Vec<Vec<bool>>)> = Vec::new();
    for (divisor, draws) in SHARES {
        let (mut size, mut of_share) = (0, Vec::new());
        for draw in 0..draws {
            let rows = part_of(&order, divisor, draw);
            size = rows.len();
            let (mut answers, of_fit) = judged_by_rows(model.outputs(), &texts, &states, &rows, &settings)?;
            flops += of_fit;
            if let Some(ngrams) = fit_ngrams(classifier, &training.select(rows.iter().copied())?, &settings, &mut rng)?
            {
                flops += ngrams.flops;
                let front = ngrams.classifier.log_probabilities_of_all(validation)?;
                answers = Stacker::fit(&front, &answers, &labels)?.stack(&front, &answers)?;
            }
            of_share.push(answers.labels().iter().zip(&labels).map(|(answer, label)| answer == label).collect());
        }
        right.push((size, of_share));
    }
    let point = |(rows, draws): &(usize, Vec<Vec<bool>>)| LearningPoint {
        rows: *rows,
        draws: draws.len(),
        accuracy: 1.0 - draws.iter().map(|right| error(right, None)).sum::<f64>() / draws.len() as f64,
    };
    let points = right.iter().map(point).collect();
    let predict = |multiple: usize| {
        let [accuracy, gain] = extrapolated(&right, multiple, None);
        let (interval, gain_interval) = intervals(&right, multiple, &mut rng);
        LearningPrediction { rows: multiple * training.len(), accuracy, interval, gain, gain_interval }
    };
    let predictions = MULTIPLES.map(predict).to_vec();
    Ok(LearningCurve {
        points,
        predictions,
        validation_rows: validation.len(),
        flops,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Groups the row indices by class. Within each class, the order is random.
fn by_class(data: &EncodedDataset, rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut classes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (row, sample) in data.samples.iter().enumerate() {
        classes.entry(sample.label).or_default().push(row);
    }
    classes.values_mut().for_each(|rows| rows.shuffle(rng));
    classes.into_values().collect()
}

/// Returns the row indices of one part, if the rows are divided into `divisor` parts, stratified by class. The indices
/// are ascending, and each part has at least one row of each class.
fn part_of(classes: &[Vec<usize>], divisor: usize, part: usize) -> Vec<usize> {
    let of_class = |rows: &Vec<usize>| {
        let start = (part * rows.len() / divisor).min(rows.len() - 1);
        let end = ((part + 1) * rows.len() / divisor).max(start + 1);
        rows[start..end].to_vec()
    };
    let mut rows: Vec<usize> = classes.iter().flat_map(of_class).collect();
    rows.sort_unstable();
    rows
}

/// Share of wrong predictions among the rows `rows`, or among all rows if it is `None`.
fn error(right: &[bool], rows: Option<&[usize]>) -> f64 {
    match rows {
        None => right.iter().filter(|right| !**right).count() as f64 / right.len() as f64,
        Some(rows) => rows.iter().filter(|row| !right[**row]).count() as f64 / rows.len() as f64,
    }
}

/// Bootstrap resample of a learning curve: indices of validation rows, and indices of the training subsets of each
/// size.
struct Resample {
    rows: Vec<usize>,
    draws: Vec<Vec<usize>>,
}

/// Predicts the accuracy with `multiple` times the largest number of rows, and the gain over the fitted accuracy at the
/// largest number.
fn extrapolated(shares: &[(usize, Vec<Vec<bool>>)], multiple: usize, resample: Option<&Resample>) -> [f64; 2] {
    let (mut logs, mut weights) = (Vec::new(), 0.0);
    for (share, (rows, draws)) in shares.iter().enumerate() {
        let all: Vec<usize> = (0..draws.len()).collect();
        let picked = resample.map_or(&all, |resample| &resample.draws[share]);
        let errors = picked.iter().map(|draw| error(&draws[*draw], resample.map(|resample| &*resample.rows)));
        // Half an error is added, so that an error rate of 0 has a logarithm.
        let validation = draws[0].len() as f64;
        let mean = (errors.sum::<f64>() / picked.len() as f64 * validation + 0.5) / (validation + 1.0);
        logs.push(((*rows as f64).ln(), mean.ln()));
        weights += 1.0;
    }
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / weights;
    let (x, y) = (mean(|log| log.0), mean(|log| log.1));
    let covariance: f64 = logs.iter().map(|log| (log.0 - x) * (log.1 - y)).sum();
    let variance: f64 = logs.iter().map(|log| (log.0 - x).powi(2)).sum();
    // The slope is undefined if all sizes are equal.
    let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
    let largest = logs.iter().map(|log| log.0).fold(f64::NEG_INFINITY, f64::max);
    let at = |log: f64| (y + slope * (log - x)).exp().min(1.0);
    let (now, then) = (at(largest), at(largest + (multiple as f64).ln()));
    [1.0 - then, now - then]
}

/// Bootstrap percentile intervals of 95 %: of the predicted accuracy, and of the gain.
fn intervals(shares: &[(usize, Vec<Vec<bool>>)], multiple: usize, rng: &mut ChaCha8Rng) -> ([f64; 2], [f64; 2]) {
    let count = shares[0].1[0].len();
    let mut draw = |below: usize, count: usize| (0..count).map(|_| rng.random_range(0..below)).collect::<Vec<usize>>();
    let mut estimates: Vec<[f64; 2]> = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let rows = draw(count, count);
        let draws = shares.iter().map(|(_, draws)| draw(draws.len(), draws.len())).collect();
        estimates.push(extrapolated(shares, multiple, Some(&Resample { rows, draws })));
    }
    let mut of = |which: usize| {
        estimates.sort_by(|a, b| a[which].total_cmp(&b[which]));
        [0.025, 0.975].map(|share| estimates[(share * (RESAMPLES - 1) as f64).round() as usize][which])
    };
    (of(0), of(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates the correctness of predictions, by training subset and validation row. With n training rows, a
    /// prediction is wrong with probability `error(n)`.
    fn planted(validation: usize, error: impl Fn(f64) -> f64, rng: &mut ChaCha8Rng) -> Vec<(usize, Vec<Vec<bool>>)> {
        SHARES
            .map(|(divisor, draws)| {
                let rows = 800 / divisor;
                let wrong = error(rows as f64);
                (rows, (0..draws).map(|_| (0..validation).map(|_| rng.random::<f64>() >= wrong).collect()).collect())
            })
            .to_vec()
    }

    #[test]
    fn a_power_law_is_extrapolated_within_the_interval() {
        let law = |rows: f64| 1.5 * rows.powf(-0.3);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let exact = planted(200_000, law, &mut rng);
        let [doubled, gain] = extrapolated(&exact, 2, None);
        let [quadrupled, _] = extrapolated(&exact, 4, None);
        assert!((quadrupled - (1.0 - law(3200.0))).abs() < 5e-3, "{quadrupled}");
        assert!((doubled - (1.0 - law(1600.0))).abs() < 3e-3, "{doubled}");
        assert!((gain - (law(800.0) - law(1600.0))).abs() < 3e-3, "{gain}");
        let (mut covered, mut width) = (0, 0.0);
        for _ in 0..60 {
            let shares = planted(300, law, &mut rng);
            let ([low, high], [least, most]) = intervals(&shares, 2, &mut rng);
            covered += u32::from((low..=high).contains(&(1.0 - law(1600.0))));
            width += (most - least) / 60.0;
        }
        assert!(covered >= 52, "{covered} of 60");
        assert!(width < 0.06, "{width}");
    }

    #[test]
    fn a_flat_curve_has_no_gain() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let shares = planted(2000, |_| 0.2, &mut rng);
        let (_, [low, high]) = intervals(&shares, 2, &mut rng);
        assert!(low < 0.0 && high > 0.0, "{low} to {high}");
        // Without any error, nothing can be gained.
        let [doubled, gain] = extrapolated(&planted(100, |_| 0.0, &mut rng), 2, None);
        assert!((doubled - 1.0).abs() < 0.01 && gain.abs() < 1e-12, "{doubled} {gain}");
    }

    #[test]
    fn parts_have_each_class_and_are_disjoint() {
        let classes = vec![(0..40).collect::<Vec<usize>>(), vec![40, 41, 42]];
        for (divisor, draws) in SHARES {
            let parts: Vec<Vec<usize>> = (0..draws).map(|draw| part_of(&classes, divisor, draw)).collect();
            for part in &parts {
                assert!(part.is_sorted() && part.iter().any(|row| *row >= 40), "{part:?}");
                assert_eq!(part.iter().filter(|row| **row < 40).count(), 40 / divisor);
            }
            let mut first: Vec<usize> = parts.concat().into_iter().filter(|row| *row < 40).collect();
            let all = first.len();
            first.sort_unstable();
            first.dedup();
            assert_eq!(first.len(), all);
        }
    }
}
