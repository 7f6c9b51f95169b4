//! Assigns data rows to the folds of a cross-validation.

use std::collections::HashMap;

use dht_transformer::EncodedDataset;
use rand::Rng;
use rand::seq::SliceRandom;

/// Assigns each row to a cross-validation fold, stratified by class, and returns the fold of each row. The rows of each
/// class are shuffled and distributed over the folds, so that their number differs by at most one between folds. Rows
/// with equal texts are in the same fold. Otherwise, a row would be scored by a model that was fitted on a copy of it.
/// If there are fewer distinct texts than folds, equal texts may be in different folds.
pub(crate) fn stratified_folds<R: Rng + ?Sized>(texts: &EncodedDataset, folds: usize, rng: &mut R) -> Vec<usize> {
    let mut group_of: HashMap<u64, usize> = HashMap::new();
    let mut labels: Vec<u32> = Vec::new();
    let mut groups: Vec<usize> = texts
        .samples
        .iter()
        .map(|sample| {
            *group_of.entry(sample.encoding.digest()).or_insert_with(|| {
                labels.push(sample.label);
                labels.len() - 1
            })
        })
        .collect();
    if labels.len() < folds {
        labels = texts.samples.iter().map(|sample| sample.label).collect();
        groups = (0..labels.len()).collect();
    }
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.shuffle(rng);
    // The sort is stable, so the texts of one class stay shuffled.
    order.sort_by_key(|group| labels[*group]);
    let mut fold_of = vec![0; labels.len()];
    order.iter().enumerate().for_each(|(place, group)| fold_of[*group] = place % folds);
    groups.into_iter().map(|group| fold_of[group]).collect()
}

#[cfg(test)]
mod tests {
    use dht_transformer::data::UnreadTokens;
    use dht_transformer::{Encoding, Sample};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Builds rows whose texts have one token each, from pairs of a label and a token id.
    fn rows(rows: impl IntoIterator<Item = (u32, u32)>) -> EncodedDataset {
        let sample = |(label, token): (u32, u32)| {
            let rest = UnreadTokens::default();
            let encoding = Encoding { ids: vec![token], type_ids: Vec::new(), truncated: false, rest };
            Sample { id: u64::from(token), label, targets: Vec::new(), encoding }
        };
        EncodedDataset { samples: rows.into_iter().map(sample).collect(), labels: Vec::new(), truncated_rows: 0 }
    }

    #[test]
    fn equal_texts_are_in_one_fold() {
        let texts = rows((0..40).map(|row| (row % 2, row % 10)));
        let fold_of = stratified_folds(&texts, 5, &mut ChaCha8Rng::seed_from_u64(1));
        assert!((0..40).all(|row| fold_of[row] == fold_of[row % 10]), "{fold_of:?}");
        assert!((0..5).all(|fold| fold_of[..10].contains(&fold)), "{fold_of:?}");
        let fold_of = stratified_folds(&rows((0..40).map(|row| (0, row % 4))), 5, &mut ChaCha8Rng::seed_from_u64(1));
        assert!((0..5).all(|fold| fold_of.iter().filter(|of| **of == fold).count() == 8), "{fold_of:?}");
    }

    #[test]
    fn each_fold_has_a_fair_share_of_each_class() {
        let labels: Vec<u32> = [vec![0; 12], vec![1; 3], vec![2; 48], vec![3; 7]].concat();
        for seed in 0..50 {
            let texts = rows(labels.iter().copied().zip(0..));
            let fold_of = stratified_folds(&texts, 5, &mut ChaCha8Rng::seed_from_u64(seed));
            let mut counts = [[0; 5]; 4];
            fold_of.iter().zip(&labels).for_each(|(fold, label)| counts[*label as usize][*fold] += 1);
            for of_class in counts {
                assert!(of_class.iter().all(|count| count - of_class.iter().min().unwrap() <= 1), "{of_class:?}");
            }
            let sizes = [0, 1, 2, 3, 4].map(|fold| counts.iter().map(|of_class| of_class[fold]).sum::<i32>());
            assert_eq!(sizes, [14; 5]);
        }
    }
}
