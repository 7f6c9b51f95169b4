//! Learning curve of a classifier on the frozen encoder: accuracy by number of labelled rows, extrapolated to twice the
//! number.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use dht_transformer::{EncodedDataset, Task, TextClassifier};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;

use super::length::last_exit;
use crate::error::{Error, Result};
use crate::exit::Stacker;
use crate::fit::{AccelerateSettings, ExitStates, FitTexts, LastExit, Texts, fit_ngrams, judged_by_rows};
use crate::outputs::truth_of;

/// Training subsets of each size. The training rows are dealt into eight equal parts. Each pair has the number of parts
/// in a subset, and the first part of each subset; part 0 follows part 7. Subsets of the first two sizes are disjoint,
/// those of half and three quarters of the rows overlap.
const SUBSETS: [(usize, &[usize]); 5] =
    [(1, &[0, 1, 2, 3, 4, 5, 6, 7]), (2, &[0, 2, 4, 6]), (4, &[0, 2, 4, 6]), (6, &[0, 2, 4, 6]), (8, &[0])];
/// Minimum number of training rows for a learning curve. An eighth of them, the smallest subset, must suffice to fit a
/// model.
const LEAST: usize = 80;
/// Minimum number of validation rows for a learning curve.
const LEAST_VALIDATION: usize = 20;
/// Multiples of the number of training rows for which the accuracy is predicted.
const MULTIPLES: [usize; 2] = [2, 4];
/// Prior mean of the law's bend γ. The prior is an exponential distribution that is cut off at 1.
const BEND: f64 = 0.15;
/// Number of values from 0 to 1 that stand for the distribution of the bend.
const BENDS: usize = 41;
/// Deviation of a point from the law, as a share of the deviation of one model that is fitted on all rows. It is less
/// than 1, since all sizes use the same rows: rows that are worse than others make all points worse.
const OWN_SHARE: f64 = 0.6;
/// Minimum deviation of one model that is fitted on all rows.
const LEAST_DEVIATION: f64 = 0.01;
/// Minimum number of rows for each class, in the mean, at which the law is fitted.
const LEAST_OF_CLASS: usize = 2;
/// Minimum number of points that the law is fitted to.
const LEAST_POINTS: usize = 3;
/// Number of samples for the intervals.
const SAMPLES: usize = 2000;

/// Point of a learning curve: validation accuracy of a classifier on the frozen encoder that was fitted on a subset of
/// the training rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LearningPoint {
    /// Number of training rows in each subset. Sizes differ by one row at most, and this is their mean.
    pub rows: usize,
    /// Mean of `accuracies`.
    pub accuracy: f64,
    /// Validation accuracy of the models that were fitted on random subsets of this size, one for each subset.
    pub accuracies: Vec<f64>,
}

/// Accuracy that a learning curve predicts for more training rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LearningPrediction {
    /// Number of training rows.
    pub rows: usize,
    /// Predicted accuracy.
    pub accuracy: f64,
    /// 95 % interval of the accuracy of one model that is fitted on this number of rows, on the same validation rows.
    /// It contains the uncertainty of the law and of the random draws of training rows. It does not contain that of the
    /// validation rows: if there are few, the accuracy on other texts may differ.
    pub interval: [f64; 2],
    /// Predicted gain in accuracy over the accuracy that the law gives for the present training rows.
    pub gain: f64,
    /// 95 % interval of the gain, as for the accuracy.
    pub gain_interval: [f64; 2],
}

/// Learning curve of rung 1, a classifier on the frozen encoder, extrapolated to two and four times the training rows.
///
/// The extrapolation assumes a law of the error rate e by the number of rows n, ln e(n) = a + b·(n/N)^−γ, where N is the
/// number of training rows. For γ → 0 the law is a power law. A larger γ bends it: the more rows there are, the less the
/// error falls with each doubling, down to the floor exp(a). Parameters a and b are fitted by least squares to the sizes
/// with at least two rows for each class in the mean. γ has an exponential prior with mean 0.15, whose density is
/// multiplied by the likelihood of the measured points: a curve that flattens raises γ. The prediction is the mean over
/// this distribution, and the interval includes its spread. The curve does not apply to fine-tuned models.
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
/// n-gram classifier. The model is fitted on an eighth, a quarter, half, three quarters and all of the training rows,
/// stratified by class. The encoder runs once over all texts.
///
/// # Errors
/// * [`Error::Argument`] if there are fewer than 80 training rows or fewer than 20 validation rows, or if the task of
///   the classifier is not [`Task::Class`], or if the number of class weights is wrong.
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
/// // An eighth, a quarter, half, three quarters and all of the rows.
/// assert_eq!(curve.points.len(), 5);
/// assert_eq!(curve.points[4].rows, training.len());
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
    settings.check_class_weights(classifier)?;
    let start = Instant::now();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let settings = AccelerateSettings { side: None, ..settings.clone() };
    let model = last_exit(classifier, &settings, &mut rng)?;
    let texts = FitTexts::new(Texts::new(training).with_held_out(validation), &settings, &mut rng)?;
    let states = ExitStates::read(&model, &texts, LastExit::Regression, &settings, &mut |_| {})?;
    let (labels, mut flops) = (truth_of(validation), states.flops);
    let parts = parts_of(&truth_of(training), &mut rng);
    let mut points = Vec::with_capacity(SUBSETS.len());
    for (size, starts) in SUBSETS {
        let (mut sizes, mut accuracies) = (0, Vec::new());
        for start in starts {
            let rows = subset_of(&parts, *start..start + size);
            sizes += rows.len();
            let (mut answers, of_fit) = judged_by_rows(model.outputs(), &texts, &states, &rows, &settings)?;
            flops += of_fit;
            if let Some(ngrams) = fit_ngrams(classifier, &training.select(rows.iter().copied())?, &settings, &mut rng)?
            {
                flops += ngrams.flops;
                let front = ngrams.classifier.log_probabilities_of_all(validation)?;
                let (stacker, of_stacker) =
                    Stacker::fit_weighted(&front, &answers, &labels, settings.class_weights.as_deref())?;
                flops += of_stacker;
                answers = stacker.stack(&front, &answers)?;
            }
            accuracies.push(answers.accuracy(&labels));
        }
        let accuracy = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
        points.push(LearningPoint { rows: sizes / accuracies.len(), accuracy, accuracies });
    }
    let errors = ErrorCurve::new(&points, training.labels.len(), validation.len());
    let predictions = MULTIPLES.map(|multiple| errors.prediction(training.len(), multiple, &mut rng)).to_vec();
    Ok(LearningCurve {
        points,
        predictions,
        validation_rows: validation.len(),
        flops,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Number of parts that the training rows are dealt into.
const PARTS: usize = 8;

/// Deals the row indices into parts of equal size, stratified by class: rows of one class are in consecutive parts.
/// `labels` has the class of each row.
fn parts_of(labels: &[u32], rng: &mut ChaCha8Rng) -> [Vec<usize>; PARTS] {
    let mut classes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (row, label) in labels.iter().enumerate() {
        classes.entry(*label).or_default().push(row);
    }
    classes.values_mut().for_each(|rows| rows.shuffle(rng));
    let mut parts: [Vec<usize>; PARTS] = Default::default();
    for (place, row) in classes.into_values().flatten().enumerate() {
        parts[place % PARTS].push(row);
    }
    parts
}

/// Row indices of a subset, ascending.
fn subset_of(parts: &[Vec<usize>; PARTS], subset: Range<usize>) -> Vec<usize> {
    let mut rows: Vec<usize> = subset.flat_map(|part| parts[part % PARTS].iter().copied()).collect();
    rows.sort_unstable();
    rows
}

/// Error rates of a learning curve, as logarithms.
struct ErrorCurve {
    /// Size of each point, as a share of all training rows.
    shares: Vec<f64>,
    /// Logarithm of each point's mean error rate.
    logs: Vec<f64>,
    /// Standard deviation of the logarithm over random draws of all training rows.
    deviation: f64,
    validation_rows: f64,
}

impl ErrorCurve {
    fn new(points: &[LearningPoint], classes: usize, validation_rows: usize) -> Self {
        let (all, rows) = (points.last().map_or(1, |point| point.rows) as f64, validation_rows as f64);
        // Half an error is added, so that an error rate of 0 has a logarithm.
        let log = |accuracy: f64| (((1.0 - accuracy) * rows + 0.5) / (rows + 1.0)).ln();
        let (mut squares, mut degrees) = (0.0, 0.0);
        // Subsets of the first two sizes do not overlap.
        for point in &points[..2] {
            let logs: Vec<f64> = point.accuracies.iter().map(|accuracy| log(*accuracy)).collect();
            let mean = logs.iter().sum::<f64>() / logs.len() as f64;
            // The variance is inversely proportional to the number of rows.
            squares += logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() * point.rows as f64 / all;
            degrees += logs.len() as f64 - 1.0;
        }
        let deviation = (squares / degrees).sqrt().max(LEAST_DEVIATION);
        // With fewer rows, many classes have none, and the law does not hold.
        let too_small = points.iter().take_while(|point| point.rows < LEAST_OF_CLASS * classes).count();
        let points = &points[too_small.min(points.len() - LEAST_POINTS)..];
        Self {
            shares: points.iter().map(|point| point.rows as f64 / all).collect(),
            logs: points.iter().map(|point| log(point.accuracy)).collect(),
            deviation,
            validation_rows: rows,
        }
    }

    /// Fits the law with a bend to the points, after `noise` is added to their logarithms. Returns the logarithms of its
    /// error rates with all training rows and with `multiple` times as many, and the sum of the squared residuals. Each
    /// point has the same weight: the smaller the subsets of a size are, the more of them there are.
    fn fitted(&self, bend: f64, multiple: f64, noise: &[f64]) -> [f64; 3] {
        let bent = |share: f64| if bend > 0.0 { (share.powf(-bend) - 1.0) / bend } else { -share.ln() };
        let points = self.shares.iter().zip(&self.logs).zip(noise);
        let points: Vec<(f64, f64)> = points.map(|((share, log), noise)| (bent(*share), log + noise)).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        // The slope is undefined if all sizes are equal.
        let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
        let residuals = points.iter().map(|point| (point.1 - y - slope * (point.0 - x)).powi(2)).sum();
        [y - slope * x, y + slope * (bent(multiple) - x), residuals]
    }

    /// Accuracy with more training rows, and the gain, for the logarithms of the error rates with all training rows and
    /// with more.
    fn accuracy_and_gain(&self, now: f64, then: f64) -> [f64; 2] {
        // The half error is removed again.
        let rows = self.validation_rows;
        let error = |log: f64| ((log.exp() * (rows + 1.0) - 0.5) / rows).clamp(0.0, 1.0);
        [1.0 - error(then), error(now) - error(then)]
    }

    /// Computes the prediction for `multiple` times the `rows` training rows.
    fn prediction(&self, rows: usize, multiple: usize, rng: &mut ChaCha8Rng) -> LearningPrediction {
        let (times, own) = (multiple as f64, OWN_SHARE * self.deviation);
        // What is not a point's own belongs to the present rows, which are one of `multiple` parts of all rows then.
        let common = (1.0 - OWN_SHARE.powi(2)) * (1.0 - 1.0 / times);
        let deviation_then = self.deviation * (common + OWN_SHARE.powi(2) / times).sqrt();
        let bends: Vec<f64> = (0..BENDS).map(|at| at as f64 / (BENDS - 1) as f64).collect();
        let none = vec![0.0; self.logs.len()];
        let fits: Vec<[f64; 3]> = bends.iter().map(|bend| self.fitted(*bend, times, &none)).collect();
        let logs = bends.iter().zip(&fits).map(|(bend, fit)| -bend / BEND - fit[2] / (2.0 * own * own));
        let logs: Vec<f64> = logs.collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Sums of the weights up to each bend.
        let mut sum = 0.0;
        let mut sums = Vec::with_capacity(BENDS);
        let mut means = [0.0; 2];
        for (log, fit) in logs.iter().zip(&fits) {
            let weight = (log - largest).exp();
            sum += weight;
            sums.push(sum);
            means = [means[0] + weight * fit[0], means[1] + weight * fit[1]];
        }
        let [accuracy, gain] = self.accuracy_and_gain(means[0] / sum, means[1] / sum);
        let mut samples: Vec<[f64; 2]> = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            let drawn = rng.random_range(0.0..sum);
            let bend = bends[sums.partition_point(|sum| *sum <= drawn).min(BENDS - 1)];
            let mut normal = || -> f64 { StandardNormal.sample(rng) };
            let noise: Vec<f64> = self.logs.iter().map(|_| own * normal()).collect();
            let [now, then, _] = self.fitted(bend, times, &noise);
            samples.push(self.accuracy_and_gain(now, then + deviation_then * normal()));
        }
        let mut of = |which: usize| {
            samples.sort_by(|a, b| a[which].total_cmp(&b[which]));
            [0.025, 0.975].map(|share| samples[(share * (SAMPLES - 1) as f64).round() as usize][which])
        };
        let (interval, gain_interval) = (of(0), of(1));
        LearningPrediction { rows: multiple * rows, accuracy, interval, gain, gain_interval }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates the points of a curve whose error rate is `error` of the number of training rows. The error of each
    /// model differs by a factor, whose logarithm has the deviation `noise` with all rows. A part of it belongs to the
    /// rows, and all models that are fitted on the rows share it. Returns the points, and the logarithm of this factor
    /// with four times all rows.
    fn planted(error: impl Fn(f64) -> f64, noise: f64, rng: &mut ChaCha8Rng) -> (Vec<LearningPoint>, f64) {
        let mut normal = || -> f64 { StandardNormal.sample(rng) };
        let of_part: Vec<f64> = (0..4 * PARTS).map(|_| normal()).collect();
        let of_rows = (1.0 - OWN_SHARE.powi(2)).sqrt();
        let common = of_rows * of_part.iter().sum::<f64>() / (of_part.len() as f64).sqrt();
        let then = noise / 2.0 * (common + OWN_SHARE * normal());
        let mut of_size = |(size, starts): &(usize, &[usize])| {
            let share = *size as f64 / PARTS as f64;
            // Overlapping subsets count as the number of disjoint ones.
            let shrink = (starts.len() as f64 * share).sqrt();
            let mut one = |start: &usize| {
                let rows =
                    (*start..start + size).map(|part| of_part[part % PARTS]).sum::<f64>() / (*size as f64).sqrt();
                let deviate = of_rows * rows + OWN_SHARE * shrink * normal();
                1.0 - error(800.0 * share) * (noise / share.sqrt() * deviate).exp()
            };
            let accuracies: Vec<f64> = starts.iter().map(&mut one).collect();
            let accuracy = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
            LearningPoint { rows: (800.0 * share) as usize, accuracy, accuracies }
        };
        (SUBSETS.iter().map(&mut of_size).collect(), then)
    }

    #[test]
    fn a_law_is_extrapolated_within_the_interval() {
        for bend in [0.05, 0.2, 0.35] {
            let law = |rows: f64| 0.12 * (0.3 * ((rows / 800.0).powf(-bend) - 1.0) / bend).exp();
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let exact = ErrorCurve::new(&planted(law, 0.0, &mut rng).0, 2, 1_000_000);
            let [now, then, residuals] = exact.fitted(bend, 4.0, &[0.0; 5]);
            let [quadrupled, gain] = exact.accuracy_and_gain(now, then);
            assert!((quadrupled - (1.0 - law(3200.0))).abs() < 1e-5, "{quadrupled}");
            assert!((gain - (law(800.0) - law(3200.0))).abs() < 1e-5, "{gain}");
            assert!(residuals < 1e-9, "{residuals}");
            let (mut covered, mut width) = (0, 0.0);
            for _ in 0..100 {
                let (points, then) = planted(law, 0.05, &mut rng);
                let curve = ErrorCurve::new(&points, 2, 2000);
                let truth = 1.0 - law(3200.0) * then.exp();
                let [low, high] = curve.prediction(800, 4, &mut rng).interval;
                covered += u32::from((low..=high).contains(&truth));
                width += (high - low) / 100.0;
            }
            assert!(covered >= 80, "{covered} of 100 at {bend}");
            assert!(width < 0.04, "{width}");
        }
    }

    #[test]
    fn a_curve_that_flattens_raises_the_bend() {
        // A floor of 0.1: a straight line through the logarithms would fall below it.
        let (points, _) = planted(|rows| 0.1 + 0.1 * (100.0 / rows).powi(2), 0.0, &mut ChaCha8Rng::seed_from_u64(3));
        let accuracy = ErrorCurve::new(&points, 2, 2000).prediction(800, 4, &mut ChaCha8Rng::seed_from_u64(4)).accuracy;
        assert!((accuracy - 0.9).abs() < 0.012, "{accuracy}");
    }

    #[test]
    fn a_flat_curve_has_no_gain() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let curve = ErrorCurve::new(&planted(|_| 0.2, 0.03, &mut rng).0, 2, 2000);
        let [low, high] = curve.prediction(800, 2, &mut rng).gain_interval;
        assert!(low < 0.0 && high > 0.0, "{low} to {high}");
        // Without any error, nothing can be gained.
        let curve = ErrorCurve::new(&planted(|_| 0.0, 0.0, &mut rng).0, 2, 100);
        let prediction = curve.prediction(800, 2, &mut rng);
        assert!((prediction.accuracy - 1.0).abs() < 1e-12 && prediction.gain.abs() < 1e-12, "{prediction:?}");
        // Sizes with few rows for each class are left out, but not the last three.
        let (points, _) = planted(|_| 0.2, 0.03, &mut rng);
        assert_eq!(ErrorCurve::new(&points, 150, 2000).shares, [0.5, 0.75, 1.0]);
        assert_eq!(ErrorCurve::new(&points, 5000, 2000).shares.len(), 3);
        // An error rate cannot exceed 1.
        let worse = ErrorCurve::new(&planted(|rows| (rows / 900.0).min(1.0), 0.0, &mut rng).0, 2, 100);
        assert!(worse.prediction(800, 4, &mut rng).accuracy >= 0.0);
    }

    #[test]
    fn subsets_are_stratified_and_of_equal_size() {
        // 30 classes of 7 rows, and a large one.
        let label = |row: usize| if row < 210 { row as u32 / 7 } else { 30 };
        let labels: Vec<u32> = (0..517).map(label).collect();
        let parts = parts_of(&labels, &mut ChaCha8Rng::seed_from_u64(3));
        for (size, starts) in SUBSETS {
            let all: Vec<Vec<usize>> = starts.iter().map(|start| subset_of(&parts, *start..start + size)).collect();
            for rows in &all {
                assert!(rows.is_sorted() && rows.len().abs_diff(517 * size / 8) <= size, "{size} parts");
                let large = rows.iter().filter(|row| label(**row) == 30).count();
                assert!(large.abs_diff(307 * size / 8) <= size, "{large} of the large class");
            }
            // Each row is in equally many subsets of a size.
            for row in 0..517 {
                assert_eq!(all.iter().filter(|rows| rows.contains(&row)).count(), size * starts.len() / 8);
            }
        }
    }
}
