//! Folds of a cross-validation.

use rand::Rng;
use rand::seq::SliceRandom;

/// The fold of each row, stratified by label: the rows of each label are shuffled and distributed over the folds, so
/// that each fold has a fair share of each class, up to one row.
pub(crate) fn stratified_folds<R: Rng + ?Sized>(labels: &[u32], folds: usize, rng: &mut R) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..labels.len()).collect();
    rows.shuffle(rng);
    // Stable: rows of one class stay shuffled.
    rows.sort_by_key(|row| labels[*row]);
    let mut fold_of = vec![0; labels.len()];
    rows.iter().enumerate().for_each(|(place, row)| fold_of[*row] = place % folds);
    fold_of
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn each_fold_has_a_fair_share_of_each_class() {
        let labels: Vec<u32> = [vec![0; 12], vec![1; 3], vec![2; 48], vec![3; 7]].concat();
        for seed in 0..50 {
            let fold_of = stratified_folds(&labels, 5, &mut ChaCha8Rng::seed_from_u64(seed));
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
