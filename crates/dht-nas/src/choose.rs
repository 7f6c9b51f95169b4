//! Selection of units (dimensions, neurons, heads) by importance scores and a target cost.

use crate::cost::{NasCost, hard};
use crate::error::{Error, Result};
use crate::space::Group;

pub(crate) fn check_target(target: f64) -> Result<()> {
    match target > 0.0 && target <= 1.0 {
        true => Ok(()),
        false => Err(Error::argument("target", "above 0 and at most 1", target)),
    }
}

/// Checks that each group of units has one finite score per unit.
fn check_scores(groups: &[Group], scores: &[Vec<f64>]) -> Result<()> {
    if scores.len() != groups.len() {
        let (expected, got) = (format!("one for each of {} groups", groups.len()), format!("{} lists", scores.len()));
        return Err(Error::argument("scores", expected, got));
    }
    for (group, scores) in groups.iter().zip(scores) {
        let of = |what: String| format!("{what} of {}", group.name());
        if scores.len() != group.units() {
            let expected = format!("one for each of {} units", group.units());
            return Err(Error::argument("scores", expected, of(format!("a list of {}", scores.len()))));
        }
        if let Some((unit, score)) = scores.iter().enumerate().find(|(_, score)| !score.is_finite()) {
            return Err(Error::argument("scores", "finite numbers", of(format!("{score} at unit {unit}"))));
        }
    }
    Ok(())
}

/// Selects the minimum number of units in each block of a [group](Group). Units with the highest scores are selected,
/// and the first ones among equal scores. If the units are output dimensions of heads, each head is a block. Otherwise
/// the whole group is one block.
fn least(groups: &[Group], scores: &[Vec<f64>]) -> Vec<Vec<bool>> {
    let of_group = |(group, scores): (&Group, &Vec<f64>)| {
        let mut selected = vec![false; group.units()];
        for (selected, scores) in selected.chunks_mut(group.width).zip(scores.chunks(group.width)) {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
            order.into_iter().take(group.minimum).for_each(|unit| selected[unit] = true);
        }
        selected
    };
    groups.iter().zip(scores).map(of_group).collect()
}

/// Adds units to a selection, highest scores first, until each block of a group (each head, or the whole group) has its
/// minimum number of units.
pub(crate) fn with_minimum(groups: &[Group], scores: &[Vec<f64>], mut selected: Vec<Vec<bool>>) -> Vec<Vec<bool>> {
    for (group, (selected, scores)) in groups.iter().zip(selected.iter_mut().zip(scores)) {
        let blocks = selected.chunks_mut(group.width).zip(scores.chunks(group.width));
        for (selected, scores) in blocks {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|a, b| selected[*b].cmp(&selected[*a]).then(scores[*b].total_cmp(&scores[*a])));
            order.into_iter().take(group.minimum).for_each(|unit| selected[unit] = true);
        }
    }
    selected
}

/// Selects the units (dimensions, neurons, heads) with the highest scores, so that their cost is closest to a target.
/// Returns one list for each group of units in `cost`, with true for each selected unit; `scores` has the same form.
///
/// All groups have the same score threshold, which is found by bisection. Each block of a [group](Group) keeps at least
/// its [minimum](Group::minimum) number of units. Units of equal score are taken evenly from all groups. `target` is a
/// share of the whole encoder's cost.
///
/// ```
/// use dht_nas::transformer::flops::BlockShape;
/// use dht_nas::{CostMeasure, NasCost, NasSpace, choose};
///
/// let shape = BlockShape { hidden: 4, heads: 2, head_dim: 2, ffn: 4 };
/// let groups = NasSpace::neurons().groups(shape, 1)?;
/// let cost = NasCost::new(CostMeasure::Dimensions, shape, 1, groups, 0.0)?;
/// let selected = choose(&cost, &[vec![0.1, 0.9, 0.2, 0.8]], 0.5)?;
/// assert_eq!(selected, [[false, true, false, true]]);
/// # Ok::<(), dht_nas::Error>(())
/// ```
///
/// # Errors
/// * [`Error::Argument`] if the target is outside (0, 1].
/// * [`Error::Argument`] if a score is not finite, or if the scores do not match the units of the groups.
/// * [`Error::Target`] if the target is below the cost of the minimum sizes.
pub fn choose(cost: &NasCost, scores: &[Vec<f64>], target: f64) -> Result<Vec<Vec<bool>>> {
    check_target(target)?;
    let groups = cost.groups();
    check_scores(groups, scores)?;
    let base = least(groups, scores);
    let share = |selected: &[Vec<bool>]| cost.share(&hard(selected)).0;
    let bottom = share(&base);
    if target < bottom {
        return Err(Error::Target { target, least: bottom, most: 1.0 });
    }
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (group, selected) in base.iter().enumerate() {
        order.extend((0..selected.len()).filter(|unit| !selected[*unit]).map(|unit| (group, unit)));
    }
    let place = |(group, unit): &(usize, usize)| *unit as f64 / groups[*group].units() as f64;
    order.sort_by(|a, b| {
        let scores = scores[b.0][b.1].total_cmp(&scores[a.0][a.1]);
        scores.then(place(a).total_cmp(&place(b)))
    });
    let first = |count: usize| {
        let mut selected = base.clone();
        order[..count].iter().for_each(|(group, unit)| selected[*group][*unit] = true);
        selected
    };
    // The greatest count whose cost is at most the target.
    let (mut low, mut high) = (0, order.len() + 1);
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if share(&first(middle)) <= target { low = middle } else { high = middle }
    }
    let (below, above) = (first(low), (low < order.len()).then(|| first(low + 1)));
    Ok(match above {
        Some(above) if share(&above) - target < target - share(&below) => above,
        _ => below,
    })
}

#[cfg(test)]
mod tests {
    use dht_transformer::flops::BlockShape;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::cost::CostMeasure;
    use crate::space::{Minimum, NasSpace};

    const SHAPE: BlockShape = BlockShape { hidden: 48, heads: 4, head_dim: 12, ffn: 96 };

    fn cost(measure: CostMeasure, space: NasSpace) -> NasCost {
        NasCost::new(measure, SHAPE, 3, space.groups(SHAPE, 3).unwrap(), 0.0).unwrap()
    }

    fn scores(cost: &NasCost, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        cost.groups().iter().map(|group| (0..group.units()).map(|_| rng.random_range(-1.0..1.0)).collect()).collect()
    }

    #[test]
    fn every_target_of_every_space_is_reached() {
        for (space, most) in [
            (NasSpace::inputs(), 0.005),
            (NasSpace::outputs(), 0.005),
            (NasSpace::neurons(), 0.005),
            (NasSpace::heads(), 0.03),
        ] {
            for target in [0.25, 0.5, 0.75, 1.0] {
                let cost = cost(CostMeasure::Dimensions, space);
                for scores in [scores(&cost, 1), cost.groups().iter().map(|group| vec![5.0; group.units()]).collect()] {
                    let reached = cost.share(&hard(&choose(&cost, &scores, target).unwrap())).0;
                    assert!((reached - target).abs() <= most, "{space:?}: {reached} for {target}");
                }
            }
        }
        for target in [0.3, 0.5, 0.75] {
            let cost = cost(CostMeasure::Flops { tokens: 64 }, NasSpace::default());
            let reached = cost.share(&hard(&choose(&cost, &scores(&cost, 2), target).unwrap())).0;
            assert!((reached - target).abs() < 0.01, "{reached} for {target}");
        }
    }

    #[test]
    fn what_is_kept_scores_above_what_is_not_but_for_the_minimum() {
        let space = NasSpace { minimum: Minimum { neurons: 7, ..Minimum::default() }, ..NasSpace::neurons() };
        let cost = cost(CostMeasure::Dimensions, space);
        let mut scores = scores(&cost, 3);
        scores[0].iter_mut().for_each(|score| *score -= 10.0);
        let selected = choose(&cost, &scores, 0.4).unwrap();
        assert_eq!(selected[0].iter().filter(|selected| **selected).count(), 7);
        let of = |state: bool| {
            let units = selected.iter().zip(&scores).skip(1);
            units.flat_map(move |(selected, scores)| {
                selected.iter().zip(scores).filter(move |(selected, _)| **selected == state).map(|(_, score)| *score)
            })
        };
        let (lowest, highest) = (of(true).fold(f64::MAX, f64::min), of(false).fold(f64::MIN, f64::max));
        assert!(lowest > highest, "{lowest} is selected and {highest} is not");
    }

    #[test]
    fn units_of_equal_score_are_taken_from_all_layers_evenly() {
        let cost = cost(CostMeasure::Dimensions, NasSpace::neurons());
        let equal: Vec<Vec<f64>> = cost.groups().iter().map(|group| vec![5.0; group.units()]).collect();
        for selected in choose(&cost, &equal, 0.5).unwrap() {
            assert_eq!(selected.iter().filter(|selected| **selected).count(), 48);
        }
    }

    #[test]
    fn targets_that_cannot_be_are_refused_with_the_range() {
        let space = NasSpace { minimum: Minimum { heads: 2, ..Minimum::default() }, ..NasSpace::heads() };
        let cost = cost(CostMeasure::Dimensions, space);
        let scores = scores(&cost, 4);
        for target in [0.0, -0.5, 1.1, f64::NAN] {
            assert!(matches!(choose(&cost, &scores, target), Err(Error::Argument { name: "target", .. })), "{target}");
        }
        let error = choose(&cost, &scores, 0.4).unwrap_err();
        assert!(matches!(error, Error::Target { least, most: 1.0, .. } if least == 0.5), "{error}");
        assert_eq!(
            error.to_string(),
            "a target of 0.4 cannot be reached: with the minimum sizes, costs are 0.5000 to 1.0000 of the whole"
        );
    }

    #[test]
    fn the_minimum_is_added_to_a_threshold_s_choice() {
        let space = NasSpace { minimum: Minimum { heads: 2, ..Minimum::default() }, ..NasSpace::heads() };
        let cost = cost(CostMeasure::Dimensions, space);
        let scores = vec![vec![0.1, 0.9, 0.5, 0.2]; 3];
        let one = vec![false, false, false, true];
        let selected = with_minimum(cost.groups(), &scores, vec![one, vec![false; 4], vec![true; 4]]);
        assert_eq!(selected, [vec![false, true, false, true], vec![false, true, true, false], vec![true; 4]]);
    }

    #[test]
    fn scores_require_one_finite_number_per_unit() {
        let cost = cost(CostMeasure::Dimensions, NasSpace::neurons());
        let right = scores(&cost, 1);
        let with = |group: usize, scores: Vec<f64>| {
            let mut all = right.clone();
            all[group] = scores;
            all
        };
        let (mut nan, mut infinite) = (right[1].clone(), right[2].clone());
        (nan[7], infinite[0]) = (f64::NAN, f64::NEG_INFINITY);
        for (wrong, message) in [
            (Vec::new(), "scores is 0 lists, expected one for each of 3 groups"),
            (right[..2].to_vec(), "scores is 2 lists, expected one for each of 3 groups"),
            ([right.clone(), right.clone()].concat(), "scores is 6 lists, expected one for each of 3 groups"),
            (
                with(1, right[1][1..].to_vec()),
                "scores is a list of 95 of nas.layer.1.neurons, expected one for each of 96 units",
            ),
            (
                with(0, vec![0.0; 97]),
                "scores is a list of 97 of nas.layer.0.neurons, expected one for each of 96 units",
            ),
            (with(2, Vec::new()), "scores is a list of 0 of nas.layer.2.neurons, expected one for each of 96 units"),
            (with(1, nan), "scores is NaN at unit 7 of nas.layer.1.neurons, expected finite numbers"),
            (with(2, infinite), "scores is -inf at unit 0 of nas.layer.2.neurons, expected finite numbers"),
        ] {
            let error = choose(&cost, &wrong, 0.5).unwrap_err();
            assert!(matches!(&error, Error::Argument { name: "scores", .. }), "{error}");
            assert_eq!(error.to_string(), message);
        }
        assert!(choose(&cost, &right, 0.5).is_ok());
    }
}
