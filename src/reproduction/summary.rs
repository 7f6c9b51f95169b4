//! Summary of a method's results over several seeds.

use std::collections::BTreeMap;

use dht_transformer::train::metrics::Confusion;
use rand::{Rng, RngExt};

use super::files::SeedRow;
use crate::error::Result;
use crate::record::{RowRecord, Summary, packed};

const RESAMPLES: usize = 2_000;
/// Confidence level of the one-sided upper bound of the deficit.
const CONFIDENCE: f64 = 0.95;

/// Pair of results to compare: a method's and the full model's, with the same seed and number of epochs.
pub(super) struct Pair<'a> {
    pub(super) seed: u64,
    pub(super) row: &'a SeedRow,
    pub(super) full: &'a SeedRow,
}

/// Summarises a method's results over seeds: means, and the upper bound of the deficit in macro F1.
pub(super) fn summary<R: Rng + ?Sized>(
    pairs: &[Pair<'_>],
    truth: &[u32],
    classes: usize,
    failed: BTreeMap<u64, String>,
    rng: &mut R,
) -> Result<RowRecord> {
    let Some(Pair { row: first, .. }) = pairs.first() else { return Ok(RowRecord { failed, ..RowRecord::default() }) };
    let all = |value: &dyn Fn(&Pair<'_>) -> f64| Summary::new(&pairs.iter().map(value).collect::<Vec<_>>());
    let mean = |value: &dyn Fn(&Pair<'_>) -> f64| all(value).mean;
    let random = pairs.iter().map(|pair| pair.row.random_macro_f1).collect::<Option<Vec<f64>>>();
    let single = pairs.iter().map(|pair| pair.row.single_text_wall_ratio).collect::<Option<Vec<f64>>>();
    let (deficit, deficit_upper95) = deficit(pairs, truth, classes, rng)?;
    Ok(RowRecord {
        method: first.method.clone(),
        setting: first.setting.clone(),
        group: first.group,
        seeds: pairs.iter().map(|pair| pair.seed).collect(),
        epochs: first.epochs,
        failed,
        right: pairs.iter().map(|pair| (pair.seed, packed(&right(&pair.row.labels, truth)))).collect(),
        macro_f1: all(&|pair| pair.row.macro_f1),
        accuracy: all(&|pair| pair.row.accuracy),
        deficit,
        deficit_upper95,
        train_flops_ratio: mean(&|pair| pair.row.train_flops as f64 / pair.full.train_flops as f64),
        inference_flops_ratio: mean(&|pair| pair.row.inference_flops as f64 / pair.full.inference_flops as f64),
        train_layer_head_ratio: mean(&|pair| pair.row.train_layer_head_ratio),
        inference_layer_head_ratio: mean(&|pair| pair.row.inference_layer_head_ratio),
        train_wall_ratio: mean(&|pair| pair.row.train_seconds / pair.full.train_seconds),
        inference_wall_ratio: mean(&|pair| pair.row.inference_wall_ratio),
        single_text_wall_ratio: single.map(|ratios| Summary::new(&ratios).mean),
        random_macro_f1: random.map(|scores| Summary::new(&scores)),
        routes: first.routes.clone(),
        curves: first.curves.clone(),
        deviations: deviations(pairs),
    })
}

fn right(predictions: &[u32], truth: &[u32]) -> Vec<bool> {
    predictions.iter().zip(truth).map(|(prediction, truth)| prediction == truth).collect()
}

/// Deviations of a method from its publication, collected over all seeds without repetitions.
fn deviations(pairs: &[Pair<'_>]) -> Vec<String> {
    let mut deviations: Vec<String> = Vec::new();
    for deviation in pairs.iter().flat_map(|pair| &pair.row.deviations) {
        if !deviations.contains(deviation) {
            deviations.push(deviation.clone());
        }
    }
    deviations
}

/// Deficit of a method: macro F1 of the full model minus the method's, averaged over seeds. Also returns its one-sided
/// upper bound.
///
/// A resample draws the seeds with replacement, and the test texts with replacement, the same texts for all seeds (a
/// paired bootstrap: Efron and Tibshirani 1993, percentile interval).
fn deficit<R: Rng + ?Sized>(pairs: &[Pair<'_>], truth: &[u32], classes: usize, rng: &mut R) -> Result<(f64, f64)> {
    let macro_f1 = |row: &SeedRow, texts: &[usize]| -> Result<f64> {
        let of = |labels: &[u32]| -> Vec<usize> { texts.iter().map(|text| labels[*text] as usize).collect() };
        Ok(Confusion::from_labels(classes, &of(truth), &of(&row.labels))?.macro_f1())
    };
    let one = |pair: &Pair<'_>, texts: &[usize]| Ok(macro_f1(pair.full, texts)? - macro_f1(pair.row, texts)?);
    let mean = |pairs: &mut dyn Iterator<Item = &Pair<'_>>, texts: &[usize]| -> Result<f64> {
        let deficits = pairs.map(|pair| one(pair, texts)).collect::<Result<Vec<f64>>>()?;
        Ok(deficits.iter().sum::<f64>() / deficits.len() as f64)
    };
    let texts = truth.len();
    let observed = mean(&mut pairs.iter(), &(0..texts).collect::<Vec<_>>())?;
    let mut drawn = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let sample: Vec<usize> = (0..texts).map(|_| rng.random_range(0..texts)).collect();
        let seeds: Vec<usize> = pairs.iter().map(|_| rng.random_range(0..pairs.len())).collect();
        drawn.push(mean(&mut seeds.into_iter().map(|seed| &pairs[seed]), &sample)?);
    }
    drawn.sort_unstable_by(f64::total_cmp);
    Ok((observed, drawn[(CONFIDENCE * RESAMPLES as f64).ceil() as usize - 1]))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Result of one seed that is wrong on every `wrong_every`-th text of two classes.
    fn row(truth: &[u32], wrong_every: usize) -> SeedRow {
        let label = |(text, truth): (usize, &u32)| if text % wrong_every == 0 { 1 - truth } else { *truth };
        let labels: Vec<u32> = truth.iter().enumerate().map(label).collect();
        SeedRow { labels, train_flops: 10, train_seconds: 2.0, inference_flops: 4, ..SeedRow::default() }
    }

    #[test]
    fn a_worse_row_has_a_bounded_deficit_and_an_equal_one_zero() {
        let truth: Vec<u32> = (0..1_000).map(|text| text / 2 % 2).collect();
        let (full, worse) = (row(&truth, 10), row(&truth, 5));
        let of = |row: &SeedRow| {
            let pairs = [0, 1, 2].map(|seed| Pair { seed, row, full: &full });
            summary(&pairs, &truth, 2, BTreeMap::new(), &mut ChaCha8Rng::seed_from_u64(3)).unwrap()
        };
        let summary_of_worse = of(&worse);
        assert!((summary_of_worse.deficit - 0.1).abs() < 1e-3, "{}", summary_of_worse.deficit);
        assert!((0.11..0.13).contains(&summary_of_worse.deficit_upper95), "{}", summary_of_worse.deficit_upper95);
        assert_eq!(
            (summary_of_worse.train_flops_ratio, summary_of_worse.train_wall_ratio, summary_of_worse.seeds),
            (1.0, 1.0, vec![0, 1, 2])
        );
        let equal = of(&full);
        assert_eq!((equal.deficit, equal.deficit_upper95), (0.0, 0.0));
    }

    #[test]
    fn seeds_that_differ_widen_the_bound() {
        let truth: Vec<u32> = (0..1_000).map(|text| text / 2 % 2).collect();
        let (full, near, far) = (row(&truth, 10), row(&truth, 9), row(&truth, 3));
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let pairs = [Pair { seed: 0, row: &near, full: &full }, Pair { seed: 1, row: &far, full: &full }];
        let (observed, upper) = deficit(&pairs, &truth, 2, &mut rng).unwrap();
        let (_, alone) = deficit(&pairs[1..], &truth, 2, &mut rng).unwrap();
        assert!(upper > observed + 0.08 && upper < alone + 0.01, "{observed} {upper} {alone}");
    }

    #[test]
    fn without_a_finished_seed_the_failures_are_all_there_is() {
        let failed = BTreeMap::from([(0, "killed by signal 9".to_owned())]);
        let row = summary(&[], &[], 2, failed.clone(), &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
        assert_eq!(row, RowRecord { failed, ..RowRecord::default() });
    }
}
