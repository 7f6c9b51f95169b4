use dht_dynamic::LogProbabilities;
use dht_dynamic::router::LeavingRule;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::reproduction::promises::promises;

/// Candidate model with two stages, for rows of two classes. The first stage is right and certain on the first `sure`
/// rows, the second stage is right on the first `known` rows.
fn candidate(kind: ModelKind, setting: &str, rows: usize, (sure, known): (usize, usize), costs: [u64; 2]) -> Candidate {
    let stages = || {
        let table = |right: usize, confident: &dyn Fn(usize) -> f64| {
            let row = |row: usize| {
                let (p, label) = (confident(row), row % 2);
                let answer = if row < right { label } else { 1 - label };
                if answer == 0 { [p.ln(), (1.0 - p).ln()] } else { [(1.0 - p).ln(), p.ln()] }
            };
            LogProbabilities::new(2, (0..rows).flat_map(row).collect()).unwrap()
        };
        let tables = [table(sure, &|row| if row < sure { 0.99 } else { 0.6 }), table(known, &|_| 0.9)];
        let flops = costs.map(|cost| vec![cost; rows]).into();
        Stages::new(&tables, flops, LeavingRule::Confidence).unwrap()
    };
    Candidate { kind, setting: setting.into(), validation: stages(), test: stages(), encoders: Vec::new() }
}

fn seed(seed: u64, candidates: Vec<Candidate>) -> SeedCandidates {
    let rows = 1_000;
    let labels: Vec<u32> = (0..rows).map(|row| row % 2).collect();
    SeedCandidates {
        seed,
        candidates,
        validation_labels: labels.clone(),
        test_labels: labels,
        classes: 2,
        full_flops: [100 * u64::from(rows); 2],
        full_labels: (0..rows).map(|row| if row < 900 { row % 2 } else { 1 - row % 2 }).collect(),
        full: (0..rows).map(|row| f64::from(u8::from(row < 900))).collect(),
    }
}

fn table(seeds: &[SeedCandidates]) -> AtCosts {
    at_costs(seeds, &mut ChaCha8Rng::seed_from_u64(1)).unwrap().unwrap()
}

#[test]
fn each_kind_uses_the_costliest_threshold_within_each_cost() {
    let of = |own| {
        seed(
            own,
            vec![
                candidate(ModelKind::Accelerated, "", 1_000, (900, 950), [1, 100]),
                candidate(ModelKind::Cascade, "to 1 layer", 1_000, (800, 850), [1, 20]),
                candidate(ModelKind::Cascade, "to 2 layers", 1_000, (800, 950), [1, 40]),
                candidate(ModelKind::Truncation, "3 layers", 1_000, (0, 990), [50, 50]),
            ],
        )
    };
    let table = table(&[of(0), of(1)]);
    let row = |kind: &str| table.rows.iter().find(|row| row.kind == kind).unwrap();
    let accuracy = |kind, cost: f64| {
        let cell = row(kind).cells.iter().find(|cell| cell.cost == cost)?;
        Some((cell.setting.clone(), cell.accuracy.mean, cell.flops_ratio))
    };
    // All sure rows exit at the first stage. If the other tenth continues, the cost is .109, which a limit of .1 does
    // not allow.
    assert_eq!(accuracy("accelerated", 0.1).unwrap().1, 0.9);
    let (_, reached, cost) = accuracy("accelerated", 0.15).unwrap();
    assert!((reached - 0.95).abs() < 1e-12 && (cost - 0.109).abs() < 1e-12, "{reached} {cost}");
    assert_eq!(accuracy("n-gram cascade", 0.1).unwrap().0, "to 2 layers");
    assert_eq!(accuracy("truncation", 0.35), None);
    assert_eq!(accuracy("truncation", 0.5).unwrap().1, 0.99);
    assert_eq!(row("accelerated").seeds, [0, 1]);
}

#[test]
fn a_baseline_is_selected_on_validation_and_compared_on_test() {
    let of = |own| {
        let mut rival = candidate(ModelKind::Cascade, "to 1 layer", 1_000, (700, 900), [1, 20]);
        // On the test rows this competitor is better than the one that validation rows select.
        rival.validation = candidate(ModelKind::Cascade, "", 1_000, (500, 500), [1, 20]).validation;
        seed(
            own,
            vec![
                candidate(ModelKind::Accelerated, "", 1_000, (900, 950), [1, 100]),
                rival,
                candidate(ModelKind::Stacked, "on 1 layer", 1_000, (0, 800), [12, 12]),
                candidate(ModelKind::TwoEncoders, "to 1 layer, then 2", 1_000, (900, 930), [1, 100]),
            ],
        )
    };
    let table = table(&[of(0), of(1)]);
    let of = |against: &str| table.comparisons.iter().find(|own| own.against.contains(against)).unwrap();
    let at = |against, cost: f64| of(against).differences.iter().find(|own| own.cost == cost).cloned().unwrap();
    let one = at("one encoder", 0.2);
    assert_eq!(one.rival, "n-gram stacked on 1 layer");
    assert!((one.interval.mean - 0.15).abs() < 1e-9, "{one:?}");
    assert!((one.flops_ratio.unwrap() - 0.12).abs() < 1e-9);
    assert!((one.best_on_test - 0.05).abs() < 1e-9, "{one:?}");
    assert!(one.interval.lower > 0.1 && one.interval.upper < 0.2, "{one:?}");
    assert!((at("two encoders", 0.2).interval.mean - 0.02).abs() < 1e-9);
    assert!((at("full model", 0.2).interval.mean - 0.05).abs() < 1e-9);
    // Random assignment: the first 900 rows are right at either stage, the next 50 at the second stage only, which a
    // tenth of the rows reaches.
    let random = at("at random", 0.2).interval.mean;
    assert!((random - (0.95 - 0.9 - 0.05 * 0.1)).abs() < 1e-9, "{random}");
    assert!(of("one encoder").mean.unwrap().lower > 0.0);
}

#[test]
fn models_are_compared_at_what_the_rival_costs_on_the_test_rows() {
    // Both models cost .11 on validation rows. On the test rows only the competitor is as cheap: this project's model
    // must answer all rows at its first stage, where 400 are right, since otherwise it would cost .61.
    let mut ours = candidate(ModelKind::Accelerated, "", 1_000, (900, 950), [1, 100]);
    ours.test = candidate(ModelKind::Accelerated, "", 1_000, (400, 950), [1, 100]).test;
    let rival = candidate(ModelKind::Cascade, "to 1 layer", 1_000, (900, 920), [1, 100]);
    let table = table(&[seed(0, vec![ours, rival])]);
    let difference = table.comparisons[0].differences.iter().find(|own| own.cost == 0.15).unwrap();
    assert!((difference.interval.mean - (0.4 - 0.92)).abs() < 1e-9, "{difference:?}");
    assert!((difference.flops_ratio.unwrap() - (0.9 * 0.01 + 0.1)).abs() < 1e-9, "{difference:?}");
}

#[test]
fn without_the_accelerated_model_there_is_no_table() {
    let seeds = [seed(0, vec![candidate(ModelKind::Ngram, "", 1_000, (900, 900), [1, 1])])];
    assert_eq!(at_costs(&seeds, &mut ChaCha8Rng::seed_from_u64(1)).unwrap(), None);
}

#[test]
fn promises_use_the_cheapest_threshold_that_calibration_shows() {
    let of = |own| seed(own, vec![candidate(ModelKind::Accelerated, "", 1_000, (900, 950), [1, 100])]);
    let trials = promises(&[of(0), of(1)], &mut ChaCha8Rng::seed_from_u64(2)).unwrap();
    let result = |risk: &str, most: f64, rows: usize| {
        let trial = trials.iter().find(|own| own.risk == risk && own.most == most && own.rows == rows).unwrap();
        assert_eq!((trial.made, trial.kept, trial.draws), (1.0, 1.0, 200), "{trial:?}");
        (trial.flops_ratio, trial.lost)
    };
    // If all rows exit at the first stage, no accuracy is lost; 600 texts cannot show this within half a point, and
    // 2,000 can. If the unsure tenth continues, at a cost of .109, five points are gained.
    let near = |(cost, lost): (f64, f64), expected: (f64, f64)| {
        (cost - expected.0).abs() < 1e-9 && (lost - expected.1).abs() < 1e-9
    };
    assert!(near(result("accuracy lost", 0.005, 600), (0.109, -0.05)), "{:?}", result("accuracy lost", 0.005, 600));
    assert!(near(result("accuracy lost", 0.005, 2_000), (0.01, 0.0)));
    // Only the last exit answers, so no answer differs: .995⁶⁰⁰ is below .05.
    assert!(near(result("answers that differ", 0.005, 600), (0.01, 0.0)));
    assert!(promises(&[seed(0, Vec::new())], &mut ChaCha8Rng::seed_from_u64(2)).unwrap().is_empty());
}
