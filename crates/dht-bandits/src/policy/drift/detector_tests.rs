//! Tests of the change tests: results computed by hand, false alarms, and delays.

use std::cmp::Ordering::{self, Greater, Less};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{ChangeDetector, ChangeTest};

/// Creates a detector that has seen no values.
fn detector(test: ChangeTest) -> ChangeDetector {
    ChangeDetector::new(test).unwrap_or_else(|error| unreachable!("{error}"))
}

#[test]
fn page_hinkley_is_what_it_is_by_hand() {
    // Values 0, 0, 1, 1: means 0, 0, ⅓, ½; m = −.1, −.2, ⅔ − .3, ⅔ + ½ − .4; above the least, −.2, by .5667 and .9667.
    let mut test = detector(ChangeTest::PageHinkley { tolerance: 0.1, threshold: 0.9 });
    let detected: Vec<_> = [0.0, 0.0, 1.0, 1.0].iter().map(|&value| test.push(value).unwrap()).collect();
    assert_eq!(detected, [None, None, None, Some(Greater)]);
    let mut test = detector(ChangeTest::PageHinkley { tolerance: 0.1, threshold: 0.97 });
    assert!([0.0, 0.0, 1.0, 1.0].iter().all(|&value| test.push(value).unwrap().is_none()));
}

/// Returns the rounds in which a test detects a change, with the direction. Values are uniform in [0, 1], and from
/// round `at` on in [shift, 1 + shift].
fn alarms(test: &mut ChangeDetector, rounds: usize, at: usize, shift: f64, seed: u64) -> Vec<(usize, Ordering)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut detected = Vec::new();
    for round in 0..rounds {
        let value = rng.random::<f64>() + if round >= at { shift } else { 0.0 };
        match test.push(value) {
            Ok(None) => {}
            Ok(Some(change)) => detected.push((round, change)),
            Err(error) => unreachable!("{error}"),
        }
    }
    detected
}

#[test]
fn changes_are_found_soon_and_seldom_imagined() {
    let (mut false_alarms, mut delays) = ([0, 0], [Vec::new(), Vec::new()]);
    for seed in 0..100 {
        let mut tests: [ChangeDetector; 2] = [
            detector(ChangeTest::PageHinkley { tolerance: 0.05, threshold: 20.0 }),
            detector(ChangeTest::Adwin { delta: 0.002, range: 1.0 }),
        ];
        for (position, test) in tests.iter_mut().enumerate() {
            let detected = alarms(test, 4000, 3000, 0.5, seed);
            false_alarms[position] += i32::from(detected.iter().any(|(round, _)| *round < 3000));
            let after = detected.iter().find(|(round, _)| *round >= 3000).unwrap();
            assert_eq!(after.1, Greater);
            delays[position].push(after.0 - 3000);
        }
    }
    // Binomial(100, .05) exceeds 12 once in a thousand.
    assert!(false_alarms.iter().all(|count| *count <= 12), "{false_alarms:?}");
    for delays in &delays {
        let mean = delays.iter().sum::<usize>() as f64 / 100.0;
        assert!(mean < 80.0, "{mean}");
    }
}

#[test]
fn adwin_drops_data_before_a_change_and_reports_its_direction() {
    let mut test = detector(ChangeTest::Adwin { delta: 0.002, range: 1.0 });
    assert!(alarms(&mut test, 2000, 2000, 0.0, 1).is_empty());
    assert_eq!(test.window(), 2000);
    assert!((test.mean() - 0.5).abs() < 0.03);
    let detected = alarms(&mut test, 1000, 0, -0.4, 2);
    assert_eq!(detected[0].1, Less);
    assert!(test.window() <= 1100 && (test.mean() - 0.1).abs() < 0.05, "{} {}", test.window(), test.mean());
    test.reset();
    assert_eq!((test.window(), test.mean()), (0, 0.0));
}

#[test]
fn sums_of_the_adaptive_window_are_those_of_its_values() {
    // No change is possible with a range so wide: the window is all values, whatever buckets they are in.
    let mut test = detector(ChangeTest::Adwin { delta: 0.5, range: 1e9 });
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut sum = 0.0;
    for round in 1..=5000usize {
        let value = rng.random::<f64>();
        sum += value;
        assert_eq!(test.push(value).unwrap(), None);
        assert_eq!(test.window(), round);
        assert!((test.mean() - sum / round as f64).abs() < 1e-12);
    }
    let state = serde_json::to_value(&test).unwrap();
    // Five of each of log₂(5000/5) ≈ 10 sizes, and one more.
    assert!(state["adwin"]["buckets"].as_array().unwrap().len() <= 5 * 12, "{state}");
}

#[test]
fn values_that_are_not_finite_are_refused_and_settings_checked() {
    let mut tests: [ChangeDetector; 2] = [
        detector(ChangeTest::PageHinkley { tolerance: 0.05, threshold: 20.0 }),
        detector(ChangeTest::Adwin { delta: 0.002, range: 1.0 }),
    ];
    for test in &mut tests {
        for value in [f64::NAN, f64::INFINITY, 1e300] {
            assert!(test.push(value).is_err());
        }
    }
    assert!(
        ChangeDetector::new(ChangeTest::PageHinkley { tolerance: -1.0, threshold: 1.0 }).is_err()
            && ChangeDetector::new(ChangeTest::PageHinkley { tolerance: 0.0, threshold: 0.0 }).is_err()
    );
    assert!(
        ChangeDetector::new(ChangeTest::Adwin { delta: 0.0, range: 1.0 }).is_err()
            && ChangeDetector::new(ChangeTest::Adwin { delta: 0.1, range: 0.0 }).is_err()
            && ChangeDetector::new(ChangeTest::Adwin { delta: 1.0, range: 1.0 }).is_err()
    );
}
