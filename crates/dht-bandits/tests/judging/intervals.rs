//! Intervals and verdicts of a table: coverage, levels, and estimators without intervals.

use dht_bandits::{
    ArmId, Error, Request, Result,
    evaluation::{
        ConfidenceSequence, Estimator, Evaluation, EvaluationSettings, LoggedRound, OffPolicy, OutcomeModel, Target,
        Verdict,
    },
    log::LoggedDecision,
};

use crate::world::{LOGGING, TARGET, VALUE, arm, log, rng, target};

/// Value of the evaluated policy: ½(.7·.2 + .3·.8) + ½(.6·.6 + .4·.4).
const LOGGED_VALUE: f64 = 0.45;

fn better() -> Target<'static> {
    Target::new("better", |request| Ok(target(request.context)))
}

fn half(request: &Request<'_>, table: [[f64; 2]; 2]) -> Result<Vec<(ArmId, f64)>> {
    let context = usize::from(request.context[0] > 0.0);
    Ok((0..2).map(|number| (arm(number), table[context][number])).collect())
}

#[test]
fn every_stated_interval_covers_and_biased_rows_state_none() {
    // Two models: the right one, and one that always predicts the mean. By Binomial(400, .95), a coverage outside .915
    // to .98 happens once in 500 runs (normal tails at −3.2 and 2.8 deviations). There are 16 coverages: one false
    // alarm in 30 changes of the seed.
    for (prior_precision, seed) in [(1.0, 11), (1e6, 12)] {
        let settings =
            EvaluationSettings::default().with_model(Some(OutcomeModel::Ridge { prior_precision })).with_resamples(100);
        let (mut rng, logs) = (rng(seed), 400);
        let mut covered = [[0; 3]; 4];
        for _ in 0..logs {
            let log = log(&mut rng, 400);
            let table = Evaluation::run(&log, &[better()], &settings, &mut rng).unwrap();
            for (name, covered) in ["IPS", "SNIPS", "DR", "SNDR"].iter().zip(&mut covered) {
                let row = table.rows.iter().find(|row| row.estimator == *name).unwrap();
                let (value, gain) = (row.estimate, row.gain.unwrap());
                covered[0] += i32::from(value.low <= VALUE && VALUE <= value.high);
                covered[1] += i32::from(row.bootstrap.as_ref().unwrap().contains(&VALUE));
                covered[2] += i32::from(gain.low <= VALUE - LOGGED_VALUE && VALUE - LOGGED_VALUE <= gain.high);
                assert!(value.has_interval() && gain.has_interval());
            }
            for name in ["clipped IPS", "DM", "switch-DR", "DRos", "MRDR"] {
                let row = table.row("better", name).unwrap();
                assert!(!row.estimate.has_interval() && !row.gain.unwrap().has_interval(), "{name}");
                assert!(row.bootstrap.is_none() && row.estimate.low == f64::NEG_INFINITY);
            }
        }
        for (position, covered) in covered.iter().flatten().enumerate() {
            let share = f64::from(*covered) / f64::from(logs);
            assert!((0.915..=0.98).contains(&share), "model {prior_precision}, {position}: {share}");
        }
    }
}

#[test]
fn a_level_reaches_every_interval_of_a_table() {
    let log = log(&mut rng(1), 2000);
    let at = |level| {
        let settings =
            EvaluationSettings::default().with_level(level).with_resamples(400).with_reward_range(Some((0.0, 1.0)));
        let table = Evaluation::run(&log, &[better()], &settings, &mut rng(2)).unwrap();
        assert_eq!(table.level, level);
        let (row, log) = (table.row("better", "IPS").unwrap().clone(), table.rows[0].estimate);
        let gain = row.gain.unwrap();
        let width =
            |interval: Option<std::ops::RangeInclusive<f64>>| interval.map_or(0.0, |all| all.end() - all.start());
        let fixed =
            [row.estimate.high - row.estimate.low, width(row.bootstrap), gain.high - gain.low, log.high - log.low];
        (fixed, [width(row.sequence), width(row.gain_sequence)])
    };
    let widths = [0.5, 0.8, 0.95, 0.99].map(at);
    for pair in widths.windows(2) {
        assert!(pair[0].0.iter().zip(&pair[1].0).all(|(narrow, wide)| 0.0 < *narrow && narrow < wide), "{pair:?}");
    }
    // At low levels, the intersection of all intervals is often empty.
    let [_, _, (_, narrow), (_, wide)] = widths;
    assert!(narrow.iter().zip(&wide).all(|(narrow, wide)| 0.0 < *narrow && narrow < wide), "{widths:?}");
    // The half widths are .6745 and 2.5758 standard errors.
    assert!((widths[3].0[0] / widths[0].0[0] - 2.575_83 / 0.674_49).abs() < 0.02, "{widths:?}");
}

#[test]
fn levels_outside_zero_and_one_are_refused() {
    let log = log(&mut rng(1), 100);
    let rounds = LoggedRound::from_log(&log, &crate::world::targets(&log)).unwrap();
    let judge = OffPolicy::new(&rounds).unwrap();
    for level in [0.0, 1.0, -0.5, 1.5, 95.0, f64::NAN, f64::INFINITY] {
        let settings = EvaluationSettings::default().with_level(level);
        let refused = Evaluation::run(&log, &[better()], &settings, &mut rng(2)).unwrap_err();
        assert!(matches!(refused, Error::Parameter { name: "level", .. }), "{refused}");
        assert!(judge.inverse_propensity().unwrap().at_level(level).is_err());
        assert!(judge.bootstrap(Estimator::InversePropensity, 1000, level, &mut rng(2)).is_err());
        assert!(ConfidenceSequence::gain((0.0, 1.0), 1.0 - level).is_err());
    }
    // 1,000 resamples have no quantile of .9995.
    let refused = judge.bootstrap(Estimator::InversePropensity, 1000, 0.999, &mut rng(2)).unwrap_err();
    assert_eq!(refused, Error::TooFewObservations { what: "a bootstrap interval", needed: 2000, got: 1000 });
    let refused = judge.bootstrap(Estimator::Direct, 1000, 0.95, &mut rng(2)).unwrap_err();
    assert!(matches!(refused, Error::NoModel { .. }), "{refused}");
    let refused = judge.bootstrap(Estimator::Clipped { largest: 2.0 }, 1000, 0.95, &mut rng(2)).unwrap_err();
    assert_eq!(refused, Error::NoInterval { estimator: "clipped IPS" });
}

#[test]
fn deploying_needs_a_gain_above_zero() {
    // The policy has the same value as the logging policy, .45, and chooses differently: ½(a + .8(1 − a)) … with .2a +
    // .8(1 − a) and .6b + .4(1 − b).
    let equal = [[0.5, 0.5], [0.0, 1.0]];
    let settings = EvaluationSettings::default().with_reward_range(Some((0.0, 1.0)));
    let (mut rng, mut verdicts) = (rng(3), [0; 3]);
    for _ in 0..200 {
        let log = log(&mut rng, 400);
        let targets = [
            Target::new("equal", move |request| half(request, equal)),
            better(),
            Target::new("worse", |request| half(request, [[1.0, 0.0], [0.0, 1.0]])),
            Target::new("the same", |request| half(request, LOGGING)),
        ];
        let table = Evaluation::run(&log, &targets, &settings, &mut rng).unwrap();
        verdicts[0] += i32::from(table.verdict("equal") == Some(Verdict::Deploy));
        verdicts[1] += i32::from(table.anytime_verdict("equal") == Some(Verdict::Deploy));
        assert_ne!(table.verdict("worse"), Some(Verdict::Deploy));
        assert_ne!(table.verdict("better"), Some(Verdict::Reject));
        // The two policies differ in no row. DR adds only the noise of the model.
        for estimator in ["IPS", "SNIPS"] {
            let same = table.rows.iter().find(|row| row.policy == "the same" && row.estimator == estimator).unwrap();
            let same = same.gain.unwrap();
            assert!(same.value.abs() < 1e-12 && !same.has_interval(), "{same:?}");
        }
        assert_eq!(table.anytime_verdict("the same"), Some(Verdict::Undecided));
        verdicts[2] += i32::from(table.verdict("the same") == Some(Verdict::Deploy));
        let text = table.to_markdown();
        for policy in ["better", "worse"] {
            let row = text.lines().find(|line| line.starts_with(&format!("| {policy} | DR |"))).unwrap();
            assert!(row.contains(&format!("| {} |", table.verdict(policy).unwrap())), "{row}");
        }
        assert_eq!(table.verdict("nobody"), None);
    }
    // By Binomial(200, .025), more than 13 failures happen once in 1,000 runs.
    assert!(verdicts.iter().all(|deployed| *deployed <= 13), "{verdicts:?}");
    let log = log(&mut rng, 4000);
    let targets = [better(), Target::new("worse", |request| half(request, [[1.0, 0.0], [0.0, 1.0]]))];
    let table = Evaluation::run(&log, &targets, &settings, &mut rng).unwrap();
    assert_eq!(table.verdict("better"), Some(Verdict::Deploy));
    assert_eq!(table.anytime_verdict("better"), Some(Verdict::Deploy));
    assert_eq!(table.verdict("worse"), Some(Verdict::Reject));
    let row = table.row("better", "SNIPS").unwrap();
    let gain = row.gain.unwrap();
    assert!((gain.value - (row.estimate.value - table.rows[0].estimate.value)).abs() < 1e-12);
}

#[test]
fn a_paired_interval_is_shorter_than_two_of_their_own() {
    // The policy differs from the logging policy in one context only.
    let log = log(&mut rng(4), 4000);
    let near = [LOGGING[0], TARGET[1]];
    let targets = [Target::new("near", move |request| half(request, near))];
    let table = Evaluation::run(&log, &targets, &EvaluationSettings::default(), &mut rng(5)).unwrap();
    let (row, own) = (table.row("near", "DR").unwrap(), table.rows[0].estimate);
    let apart = (row.estimate.standard_error.powi(2) + own.standard_error.powi(2)).sqrt();
    let paired = row.gain.unwrap().standard_error;
    assert!(paired < 0.7 * apart, "{paired} {apart}");
}

#[test]
fn sequences_of_gains_cover_at_all_times() {
    let mut rng = rng(6);
    let mut missed = [0; 2];
    for _ in 0..300 {
        let mut sequences = [(0.0, 1.0), (-1.0, 3.0)].map(|range| ConfidenceSequence::gain(range, 0.05).unwrap());
        let mut right = [true; 2];
        for _ in 0..1500 {
            let (context, chosen, reward) = crate::world::draw(&mut rng);
            let round = crate::world::round(context, chosen, reward);
            for (scale, (sequence, right)) in [1.0, 4.0].into_iter().zip(sequences.iter_mut().zip(&mut right)) {
                let gain = scale * (VALUE - LOGGED_VALUE);
                let shifted = LoggedRound { reward: if scale == 4.0 { 4.0 * reward - 1.0 } else { reward }, ..round };
                *right &= sequence.push(&shifted).unwrap().contains(&gain);
            }
        }
        assert!(*sequences[0].interval().start() > 0.0, "{:?}", sequences[0].interval());
        missed.iter_mut().zip(right).for_each(|(missed, right)| *missed += i32::from(!right));
    }
    // Binomial(300, .05): mean 15, deviation 3.8.
    assert!(missed.iter().all(|missed| *missed <= 15), "{missed:?}");
}

#[test]
fn rates_of_zero_and_one_state_no_interval() {
    for reward in [0.0, 1.0] {
        let rows: Vec<_> = (0..200).map(|round| LoggedDecision::new(vec![1.0], arm(round % 2), 0.5, reward)).collect();
        let settings = EvaluationSettings::default().with_resamples(100).with_reward_range(Some((0.0, 1.0)));
        let targets = [Target::always(arm(1))];
        let table = Evaluation::run(&rows, &targets, &settings, &mut rng(7)).unwrap();
        let name = targets[0].name();
        for estimator in ["SNIPS", "DR", "SNDR"] {
            let row = table.row(name, estimator).unwrap();
            assert!((row.estimate.value - reward).abs() < 0.01, "{:?}", row.estimate);
        }
        assert!(!table.rows[0].estimate.has_interval());
        assert_ne!(table.verdict(name), Some(Verdict::Deploy));
        assert_ne!(table.anytime_verdict(name), Some(Verdict::Deploy));
        assert!(table.row(name, "IPS").unwrap().sequence.as_ref().unwrap().contains(&reward));
    }
}

#[test]
fn few_rounds_that_decide_state_no_interval() {
    // One round in a hundred has a weight of 100. Two hundred rounds have two effective samples.
    let round = |position: usize| {
        let rare = position.is_multiple_of(100);
        let reward = f64::from(u8::from(position.is_multiple_of(3)));
        LoggedRound::new(reward, if rare { 0.01 } else { 0.99 }, if rare { 1.0 } else { 0.0 })
    };
    let rounds: Vec<_> = (0..1000).map(round).collect();
    let judge = OffPolicy::new(&rounds).unwrap();
    let estimate = judge.self_normalised().unwrap();
    assert!(estimate.effective_samples < 11.0 && !estimate.has_interval(), "{estimate:?}");
    let uniform: Vec<_> = rounds.iter().map(|round| LoggedRound::new(round.reward, 1.0, 1.0)).collect();
    assert!(OffPolicy::new(&uniform).unwrap().self_normalised().unwrap().has_interval());
}

#[test]
fn tables_survive_json_with_and_without_intervals() {
    let log = log(&mut rng(8), 300);
    let table = Evaluation::run(&log, &[better()], &EvaluationSettings::default(), &mut rng(9)).unwrap();
    let text = serde_json::to_string(&table).unwrap();
    assert!(text.contains("\"low\":null"), "{text}");
    assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), table);
}
