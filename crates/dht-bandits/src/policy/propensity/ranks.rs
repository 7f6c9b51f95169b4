//! Probability that a slate shows the arm of each rank, where rank 0 has the highest value.

use super::law::Law;

/// Probability that the arm of each rank (0 is the best) is in a slate of `shown` of `count` arms. Each position goes
/// to a uniformly drawn remaining arm with probability `share`, and otherwise to the best remaining arm. Ranks after
/// the last entry of the result are never shown.
pub(crate) fn rank_weights(count: usize, shown: usize, share: f64) -> Vec<f64> {
    if share <= 0.0 {
        return vec![1.0; shown];
    }
    // The loop runs from the last position to the first. `weights[r]` is the probability that the arm of rank r among
    // those left is shown.
    let mut weights = vec![0.0; count];
    for position in (0..shown).rev() {
        let left = (count - position) as f64;
        // In place, from the last rank on: each entry depends only on itself and the entry before.
        for rank in (0..count - position).rev() {
            let better = if rank > 0 { weights[rank - 1] } else { 0.0 };
            let drawn = (1.0 + rank as f64 * better + (left - 1.0 - rank as f64) * weights[rank]) / left;
            let best = if rank == 0 { 1.0 } else { better };
            weights[rank] = share * drawn + (1.0 - share) * best;
        }
    }
    weights
}

/// Mean probability of being shown at the ranks from `rank` to `rank` + `ties`. Arms with equal values are spread
/// uniformly over these ranks.
pub(super) fn tied(weights: &[f64], rank: usize, ties: usize) -> f64 {
    let end = (rank + ties + 1).min(weights.len());
    // The sum of no values is −0; adding it to 0 gives +0, as a probability should be.
    weights.get(rank..end).map_or(0.0, |weights| 0.0 + weights.iter().sum::<f64>() / (ties + 1) as f64)
}

/// Probability that a slate shows each arm, if the values by which arms are ranked are fixed rather than drawn.
/// `weights` holds the probability that the arm of each rank is shown. Equal values are ordered uniformly at random.
pub(crate) fn point_inclusion(values: &[f64], weights: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    // Positive and negative zeros are equal, and adjacent in this order.
    sorted.sort_unstable_by(|left, right| right.total_cmp(left));
    let of = |value: &f64| {
        let above = sorted.partition_point(|other| other > value);
        let ties = sorted[above..].partition_point(|other| other == value) - 1;
        tied(weights, above, ties)
    };
    values.iter().map(of).collect()
}

/// Probability that a slate shows the arm with this value, as [`point_inclusion`] computes it, without allocation.
pub(crate) fn point_inclusion_of(value: f64, values: impl Iterator<Item = f64>, weights: &[f64]) -> f64 {
    let (above, same) = values
        .fold((0, 0), |(above, same), other| (above + usize::from(other > value), same + usize::from(other == value)));
    tied(weights, above, same - 1)
}

/// Values of the distributions if all of them are point masses, else `None`.
pub(super) fn points(laws: &[Law]) -> Option<Vec<f64>> {
    laws.iter().map(|law| if let Law::Point(value) = law { Some(*value) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_the_positions_that_are_left() {
        // Two of four arms are shown: the best, and one of the three equal ones.
        let shown = point_inclusion(&[0.1, 0.9, 0.1, 0.1], &rank_weights(4, 2, 0.0));
        assert_eq!(shown, [1.0 / 3.0, 1.0, 1.0 / 3.0, 1.0 / 3.0]);
        assert_eq!(point_inclusion(&[0.5, 0.5], &[1.0]), [0.5, 0.5]);
    }

    #[test]
    fn weights_of_ranks_are_what_enumeration_gives() {
        // Enumerates every sequence of coin flips and draws for the shown positions.
        fn enumerate(left: &[usize], shown: usize, share: f64, probability: f64, out: &mut [f64]) {
            if shown == 0 {
                return;
            }
            for (index, &arm) in left.iter().enumerate() {
                let greedy = if index == 0 { 1.0 - share } else { 0.0 };
                let probability = probability * (greedy + share / left.len() as f64);
                out[arm] += probability;
                let rest: Vec<_> = left.iter().copied().filter(|other| *other != arm).collect();
                enumerate(&rest, shown - 1, share, probability, out);
            }
        }
        for (count, shown, share) in [(4, 2, 0.3), (5, 3, 0.9), (3, 3, 0.5), (6, 1, 0.2), (5, 4, 1.0)] {
            let mut expected = vec![0.0; count];
            enumerate(&(0..count).collect::<Vec<_>>(), shown, share, 1.0, &mut expected);
            let weights = rank_weights(count, shown, share);
            assert!(weights.iter().zip(&expected).all(|(got, expected)| (got - expected).abs() < 1e-14), "{weights:?}");
        }
    }
}
