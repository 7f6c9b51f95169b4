//! Confidence sequences: validity at all times, the direction of bets, refusals.

use dht_bandits::{
    Error,
    evaluation::{ConfidenceSequence, LoggedRound, Prediction},
};

use crate::world::{VALUE, draw, rng, round};

#[test]
fn one_bet_is_the_bet_computed_by_hand() {
    // First round: variance ¼, λ = min(√(2 ln(2/α)/(¼·ln 2)), ½/ν). With w = 1000, r = 1 and α = ½, 2/α = 4: the capital
    // against ν is 1 + min(λ, ½/ν)·(1000 − ν) ≥ 4 for all ν on the grid, so that all but the end is ruled out.
    let mut sequence = ConfidenceSequence::new((0.0, 1.0), 0.5).unwrap();
    let interval = sequence.push(&LoggedRound::new(1.0, 0.001, 1.0)).unwrap();
    assert_eq!(interval, 1.0..=1.0);
    // With w = 6 and r = 1: ½/ν·(6 − ν) ≥ 3 up to ν = 6/7, and λ = √(8 ln 4/ln 2) = 4 does not bind from ν = ⅛.
    let mut sequence = ConfidenceSequence::new((0.0, 1.0), 0.5).unwrap();
    let interval = sequence.push(&LoggedRound::new(1.0, 1.0 / 6.0, 1.0)).unwrap();
    assert!((interval.start() - 0.857).abs() < 1e-9, "{interval:?}");
    // The mirrored round rules out the upper end.
    let mut sequence = ConfidenceSequence::new((-2.0, 2.0), 0.5).unwrap();
    let interval = sequence.push(&LoggedRound::new(-2.0, 1.0 / 6.0, 1.0)).unwrap();
    assert!((interval.end() - (2.0 - 4.0 * 0.857)).abs() < 1e-9 && *interval.start() == -2.0, "{interval:?}");
}

#[test]
fn sequences_cover_the_value_at_all_times_and_close_in_on_it() {
    let mut rng = rng(1);
    let mut missed = [0; 2];
    let mut widths = [0.0; 2];
    for _ in 0..300 {
        let mut sequences = [
            ConfidenceSequence::new((0.0, 1.0), 0.05).unwrap(),
            ConfidenceSequence::doubly_robust((0.0, 1.0), 0.05, 3.0).unwrap(),
        ];
        let mut right = [true; 2];
        for _ in 0..2000 {
            let (context, arm, reward) = draw(&mut rng);
            for (sequence, right) in sequences.iter_mut().zip(&mut right) {
                *right &= sequence.push(&round(context, arm, reward)).unwrap().contains(&VALUE);
            }
        }
        for position in 0..2 {
            missed[position] += i32::from(!right[position]);
            let interval = sequences[position].interval();
            widths[position] += (interval.end() - interval.start()) / 300.0;
        }
    }
    // Binomial(300, .05) has mean 15 and deviation 3.8.
    assert!(missed.iter().all(|missed| *missed <= 15), "{missed:?}");
    assert!(widths.iter().all(|width| *width < 0.25), "{widths:?}");
}

#[test]
fn rounds_outside_a_sequences_assumptions_are_rejected() {
    let mut sequence = ConfidenceSequence::doubly_robust((0.0, 1.0), 0.05, 2.0).unwrap();
    let prediction = Some(Prediction { logged: 0.5, expected: 0.5 });
    let good = LoggedRound { prediction, ..LoggedRound::new(1.0, 0.5, 1.0) };
    sequence.push(&good).unwrap();
    let before = (sequence.interval(), sequence.rounds());
    let refused = [
        LoggedRound { reward: 1.1, ..good },
        LoggedRound { propensity: Some(0.4), ..good },
        LoggedRound { propensity: Some(0.0), ..good },
        LoggedRound { prediction: None, ..good },
        LoggedRound { prediction: Some(Prediction { logged: 0.5, expected: 1.5 }), ..good },
    ];
    let errors = refused.map(|round| sequence.push(&round).unwrap_err());
    assert!(matches!(errors[0], Error::Reward { .. }));
    assert!(matches!(errors[1], Error::Parameter { name: "weight", .. }));
    assert!(matches!(errors[2], Error::Propensity { round: 1, .. }));
    assert!(matches!(errors[3], Error::NoModel { round: 1, .. }));
    assert!(matches!(errors[4], Error::Reward { .. }));
    assert_eq!((sequence.interval(), sequence.rounds()), before);
    for range in [(1.0, 1.0), (1.0, 0.0), (0.0, f64::INFINITY), (f64::NAN, 1.0)] {
        assert!(ConfidenceSequence::new(range, 0.05).is_err());
    }
    assert!(ConfidenceSequence::new((0.0, 1.0), 0.0).is_err());
    assert!(ConfidenceSequence::doubly_robust((0.0, 1.0), 0.05, 0.5).is_err());
}
