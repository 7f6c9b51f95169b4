//! Paired bootstrap. It gives an upper confidence bound on the deficit of one classifier relative to another on the
//! same samples.

use std::collections::BTreeMap;

use rand::Rng;
use rand_distr::{Binomial, Distribution};

use super::confusion::{Confusion, check_class};
use crate::error::{Error, Result, same_length};

/// Difference of the macro F1 of two classifiers. Positive numbers mean that the candidate scores lower than the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedDifference {
    /// Macro F1 of the reference minus that of the candidate, on the original samples.
    pub observed: f64,
    /// 95th percentile of this difference over the resamples: a one-sided upper confidence bound.
    pub upper_95: f64,
}

impl PairedDifference {
    /// Bounds the macro F1 deficit of `candidate` relative to `reference`, both predicting the same samples.
    ///
    /// A resample draws samples with replacement, as many as the data set has, and scores both classifiers on these
    /// samples. Samples that are hard for both classifiers thus do not count as noise (Efron and Tibshirani 1993,
    /// percentile interval; Koehn 2004 for pairs of systems). Macro F1 depends on a resample only through the counts of the
    /// triples (truth, reference, candidate), and these counts are multinomial. They are drawn directly, which takes
    /// O(triples) and not O(samples) per resample.
    ///
    /// # Errors
    /// [`Error::Shape`] when lengths differ, [`Error::Argument`] for a class that is not below `classes`, for no samples,
    /// and for no resamples.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::train::metrics::PairedDifference;
    /// use rand::SeedableRng;
    ///
    /// let truth = [0, 1, 0, 1, 0, 1, 0, 1];
    /// let worse = [0, 1, 0, 1, 0, 1, 1, 0];
    /// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    /// let deficit = PairedDifference::bootstrap(2, &truth, &truth, &worse, 1_000, &mut rng)?;
    /// assert_eq!(deficit.observed, 0.25);
    /// assert!(deficit.upper_95 > deficit.observed);
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    pub fn bootstrap<R: Rng + ?Sized>(
        classes: usize,
        truth: &[usize],
        reference: &[usize],
        candidate: &[usize],
        resamples: usize,
        rng: &mut R,
    ) -> Result<Self> {
        same_length("reference", truth.len(), reference.len())?;
        same_length("candidate", truth.len(), candidate.len())?;
        for (field, count) in [("samples", truth.len()), ("resamples", resamples)] {
            if count == 0 {
                return Err(Error::argument(field, "at least 1", "0"));
            }
        }
        let mut triples: BTreeMap<[usize; 3], u64> = BTreeMap::new();
        for ((&truth, &reference), &candidate) in truth.iter().zip(reference).zip(candidate) {
            check_class("truth", truth, classes)?;
            check_class("reference", reference, classes)?;
            check_class("candidate", candidate, classes)?;
            *triples.entry([truth, reference, candidate]).or_default() += 1;
        }
        let triples: Vec<([usize; 3], u64)> = triples.into_iter().collect();

        let observed = deficit(classes, triples.iter().copied());
        let mut drawn = Vec::with_capacity(resamples);
        let mut counts = Vec::with_capacity(triples.len());
        for _ in 0..resamples {
            multinomial(&triples, &mut counts, rng)?;
            drawn.push(deficit(classes, triples.iter().map(|(triple, _)| *triple).zip(counts.iter().copied())));
        }
        drawn.sort_unstable_by(f64::total_cmp);
        // The smallest value that at least 95 % of the resamples do not exceed.
        let upper_95 = drawn[(0.95 * resamples as f64).ceil() as usize - 1];
        Ok(Self { observed, upper_95 })
    }
}

fn deficit(classes: usize, triples: impl Iterator<Item = ([usize; 3], u64)>) -> f64 {
    let (mut by_reference, mut by_candidate) = (Confusion::new(classes), Confusion::new(classes));
    for ([truth, reference, candidate], count) in triples {
        by_reference.add(truth, reference, count);
        by_candidate.add(truth, candidate, count);
    }
    by_reference.macro_f1() - by_candidate.macro_f1()
}

/// Draws the multinomial counts of a resample. Each count is binomial, given the counts before it.
fn multinomial<R: Rng + ?Sized>(triples: &[([usize; 3], u64)], counts: &mut Vec<u64>, rng: &mut R) -> Result<()> {
    counts.clear();
    let mut samples: u64 = triples.iter().map(|(_, weight)| weight).sum();
    let mut draws = samples;
    for &(_, weight) in triples {
        let share = weight as f64 / samples as f64;
        let binomial = Binomial::new(draws, share)
            .map_err(|_| Error::argument("share", "a number in [0, 1]", share.to_string()))?;
        let count = binomial.sample(rng);
        counts.push(count);
        draws -= count;
        samples -= weight;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Predictions of which a fraction `accuracy` is correct; the others are off by one.
    fn predictions(truth: &[usize], classes: usize, accuracy: f64, rng: &mut ChaCha8Rng) -> Vec<usize> {
        truth.iter().map(|&t| if rng.random_bool(accuracy) { t } else { (t + 1) % classes }).collect()
    }

    fn resampled_one_by_one(
        classes: usize,
        truth: &[usize],
        reference: &[usize],
        candidate: &[usize],
        resamples: usize,
        rng: &mut ChaCha8Rng,
    ) -> f64 {
        let mut drawn: Vec<f64> = (0..resamples)
            .map(|_| {
                let at: Vec<usize> = truth.iter().map(|_| rng.random_range(0..truth.len())).collect();
                let pick = |labels: &[usize]| at.iter().map(|&index| labels[index]).collect::<Vec<_>>();
                let score =
                    |labels: &[usize]| Confusion::from_labels(classes, &pick(truth), &pick(labels)).unwrap().macro_f1();
                score(reference) - score(candidate)
            })
            .collect();
        drawn.sort_unstable_by(f64::total_cmp);
        drawn[(0.95 * resamples as f64).ceil() as usize - 1]
    }

    #[test]
    fn the_bound_is_that_of_drawing_sample_by_sample() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let truth: Vec<usize> = (0..400).map(|_| rng.random_range(0..4)).collect();
        let reference = predictions(&truth, 4, 0.9, &mut rng);
        let candidate = predictions(&truth, 4, 0.85, &mut rng);
        let fast = PairedDifference::bootstrap(4, &truth, &reference, &candidate, 4_000, &mut rng).unwrap();
        let slow = resampled_one_by_one(4, &truth, &reference, &candidate, 4_000, &mut rng);
        // The standard deviation of the deficit is about .022, that of a 95th percentile of 4,000 about .0008.
        assert_abs_diff_eq!(fast.upper_95, slow, epsilon = 0.005);
    }

    #[test]
    fn equal_predictions_have_no_deficit_at_all() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let truth: Vec<usize> = (0..100).map(|_| rng.random_range(0..3)).collect();
        let same = predictions(&truth, 3, 0.8, &mut rng);
        let deficit = PairedDifference::bootstrap(3, &truth, &same, &same, 200, &mut rng).unwrap();
        assert_eq!(deficit, PairedDifference { observed: 0.0, upper_95: 0.0 });
    }

    #[test]
    fn the_bound_covers_a_planted_deficit_as_often_as_it_says() {
        // Two balanced classes: expected macro F1 is close to accuracy, so the true deficit is .05.
        let mut covered = 0;
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let truth: Vec<usize> = (0..600).map(|index| index % 2).collect();
            let reference = predictions(&truth, 2, 0.90, &mut rng);
            let candidate = predictions(&truth, 2, 0.85, &mut rng);
            let deficit = PairedDifference::bootstrap(2, &truth, &reference, &candidate, 400, &mut rng).unwrap();
            covered += usize::from(deficit.upper_95 >= 0.05);
        }
        // Binomial(200, .95): outside 180..=199 with probability below .3 %, and the seeds are fixed.
        assert!((180..200).contains(&covered), "covered {covered} of 200");
    }

    #[test]
    fn one_seed_gives_one_answer() {
        let truth = [0, 1, 2, 0, 1, 2];
        let candidate = [0, 1, 1, 0, 2, 2];
        let run = |seed| {
            PairedDifference::bootstrap(3, &truth, &truth, &candidate, 50, &mut ChaCha8Rng::seed_from_u64(seed))
                .unwrap()
                .upper_95
        };
        assert_eq!(run(5).to_bits(), run(5).to_bits());
    }

    #[test]
    fn bad_inputs_are_refused() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        assert!(matches!(PairedDifference::bootstrap(2, &[], &[], &[], 10, &mut rng), Err(Error::Argument { .. })));
        assert!(matches!(PairedDifference::bootstrap(2, &[0], &[0], &[0], 0, &mut rng), Err(Error::Argument { .. })));
        assert!(matches!(PairedDifference::bootstrap(2, &[0], &[0, 1], &[0], 10, &mut rng), Err(Error::Shape { .. })));
        assert!(matches!(PairedDifference::bootstrap(2, &[0], &[0], &[2], 10, &mut rng), Err(Error::Range { .. })));
    }
}
