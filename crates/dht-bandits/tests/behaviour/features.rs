//! Running normalisation and pyramid pooling.

use dht_bandits::{Error, Normalizer, features::PyramidPool};
use proptest::prelude::*;

use crate::support::{assert_close, normals, rng};

fn norm(dimension: usize) -> Normalizer {
    Normalizer::new(dimension).unwrap()
}

#[test]
fn running_mean_and_deviation_equal_two_passes_far_from_zero() {
    let mut rng = rng(1);
    let values: Vec<_> = normals(&mut rng, 500).iter().map(|value| 1e9 + 3.0 * value).collect();
    let mut running = norm(1);
    values.iter().for_each(|value| running.observe(&[*value]).unwrap());
    let mean = values.iter().map(|value| value - 1e9).sum::<f64>() / 500.0;
    let variance = values.iter().map(|value| (value - 1e9 - mean).powi(2)).sum::<f64>() / 500.0;
    assert!((running.mean()[0] - 1e9 - mean).abs() < 1e-5);
    assert_close(running.deviation(0).unwrap(), variance.sqrt(), 1e-7, "deviation");
}

#[test]
fn merged_halves_are_the_whole_in_either_order() {
    let mut rng = rng(2);
    let rows: Vec<_> = (0..101).map(|_| normals(&mut rng, 3)).collect();
    let seen = |rows: &[Vec<f64>]| {
        let mut norm = norm(3);
        rows.iter().for_each(|row| norm.observe(row).unwrap());
        norm
    };
    let whole = seen(&rows);
    let (left, right) = (seen(&rows[..30]), seen(&rows[30..]));
    for (mut first, second) in [(left.clone(), &right), (right.clone(), &left)] {
        first.merge(second).unwrap();
        assert_eq!(first.weight(), 101.0);
        for axis in 0..3 {
            assert!((first.mean()[axis] - whole.mean()[axis]).abs() < 1e-13);
            assert_close(first.deviation(axis).unwrap(), whole.deviation(axis).unwrap(), 1e-12, "deviation");
        }
    }
}

#[test]
fn normalised_contexts_have_mean_zero_and_variance_one() {
    let mut rng = rng(3);
    let mut running = norm(2);
    let rows: Vec<_> =
        (0..2000).map(|_| normals(&mut rng, 2)).map(|row| [1e-6 * row[0] + 4.0, 1e5 * row[1] - 7.0]).collect();
    rows.iter().for_each(|row| running.observe(row).unwrap());
    running.freeze();
    for axis in 0..2 {
        let values: Vec<_> = rows.iter().map(|row| running.normalise(row).unwrap()[axis]).collect();
        let mean = values.iter().sum::<f64>() / 2000.0;
        let variance = values.iter().map(|value| value * value).sum::<f64>() / 2000.0;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6, "{mean} {variance}");
    }
}

#[test]
fn a_dimension_that_does_not_vary_maps_to_zero() {
    let mut running = norm(2);
    assert_eq!(running.normalise(&[5.0, 5.0]).unwrap(), [0.0, 0.0]);
    running.observe(&[5.0, 1.0]).unwrap();
    running.observe(&[5.0, 2.0]).unwrap();
    let z = running.normalise(&[9.0, 2.0]).unwrap();
    assert_eq!(z, [0.0, 1.0]);
}

#[test]
fn contexts_of_any_unit_are_scaled_and_rounding_is_not() {
    // The numbers 1 to 9 have the same normalised values in units down to 1e-150.
    let normalised = |unit: f64| {
        let mut running = norm(1);
        (1..10).for_each(|value| running.observe(&[unit * f64::from(value)]).unwrap());
        running.normalise(&[unit * 9.0]).unwrap()[0]
    };
    for exponent in [-150, -12, -3, 0, 12, 90] {
        assert_close(normalised(10f64.powi(exponent)), 4.0 / (20f64 / 3.0).sqrt(), 1e-12, "normalised");
    }
    // A constant that is computed in two ways and varies by rounding, in any unit, beside neighbouring dimensions.
    for unit in [1e-30, 1.0, 1e12] {
        let mut running = norm(1);
        for round in 0..50 {
            let constant = unit * if round % 2 == 0 { 0.1 + 0.2 } else { 0.3 };
            running.observe(&[constant * (1.0 + f64::from(round % 3) * f64::EPSILON)]).unwrap();
        }
        assert_eq!(running.deviation(0), Some(0.0));
        assert_eq!(running.normalise(&[unit * 0.4]).unwrap(), [0.0]);
    }
    // A time in seconds that varies by minutes is not a constant.
    let mut seconds = norm(1);
    [0.0, 60.0].iter().for_each(|later| seconds.observe(&[1.7e9 + later]).unwrap());
    assert_eq!(seconds.deviation(0), Some(30.0));
}

#[test]
fn a_saved_scaling_without_a_relative_floor_is_unchanged() {
    // In format 3, only absolute deviations above 1e-9 counted, however large the mean.
    let saved = r#"{"header":{"kind":"running-norm","format":3},"options":{"floor":1e-9,"clip":null,"decay":1.0},
        "weight":2.0,"mean":[1e12,1e-10],"squares":[0.5,2e-22],"frozen":true}"#;
    let loaded: Normalizer = serde_json::from_str(saved).unwrap();
    assert_eq!([0, 1].map(|axis| loaded.deviation(axis)), [Some(0.5), Some(0.0)]);
    assert_eq!(again(&loaded), Some(loaded));
}

#[test]
fn a_frozen_normalizer_ignores_what_it_observes_and_clips() {
    let mut running = norm(1).with_clip(2.0).unwrap();
    [0.0, 2.0].iter().for_each(|value| running.observe(&[*value]).unwrap());
    running.freeze();
    let before = running.clone();
    running.observe(&[1e6]).unwrap();
    assert_eq!(running, before);
    assert_eq!(running.normalise(&[1e6]).unwrap(), [2.0]);
    assert_eq!(running.normalise(&[-1e6]).unwrap(), [-2.0]);
    assert!(matches!(running.merge(&before), Err(Error::Unlike { .. })));
}

#[test]
fn forgetting_follows_a_stream_that_drifts() {
    let mut running = norm(1).with_decay(0.95).unwrap();
    let mut rng = rng(4);
    for mean in [0.0, 100.0] {
        normals(&mut rng, 500).iter().for_each(|value| running.observe(&[mean + value]).unwrap());
    }
    assert!((running.mean()[0] - 100.0).abs() < 1.0);
    assert!((running.deviation(0).unwrap() - 1.0).abs() < 0.5);
    assert!((running.weight() - 20.0).abs() < 1e-6);
}

#[test]
fn bad_contexts_leave_the_normalizer_unchanged() {
    let mut running = norm(2);
    running.observe(&[1.0, 2.0]).unwrap();
    let before = running.clone();
    assert!(running.observe(&[1.0]).is_err());
    assert!(running.observe(&[1.0, f64::NAN]).is_err());
    assert!(running.observe(&[1.0, 1e300]).is_err());
    assert_eq!(running, before);
    let mut context = [1.0, f64::INFINITY];
    assert!(running.normalise_in_place(&mut context).is_err());
    assert_eq!(context, [1.0, f64::INFINITY]);
}

#[test]
fn the_pyramid_of_the_paper_has_eighty_four_values() {
    assert_eq!(PyramidPool::grid(0..=1, 2..=4).unwrap().dimension(), 84);
    assert_eq!(PyramidPool::grid(0..=1, 1..=3).unwrap().dimension(), 42);
    assert_eq!(PyramidPool::grid(0..=0, 2..=3).unwrap().dimension(), 12);
}

#[test]
fn each_value_is_the_mean_of_its_cell() {
    // 3 rows × 4 columns, one level of rows (1), two of columns (1 + 2).
    let pool = PyramidPool::grid(0..=0, 0..=1).unwrap();
    let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
    assert_eq!(pool.pool(&values, &[3, 4]).unwrap(), [5.5, 4.5, 6.5]);
    let pool = PyramidPool::grid(1..=1, 0..=0).unwrap();
    assert_eq!(pool.pool(&values, &[3, 4]).unwrap(), [1.5, 7.5]); // rows 0 and 1..3
}

#[test]
fn a_short_sequence_repeats_its_nearest_token() {
    let pool = PyramidPool::new(&[2..=2]).unwrap();
    assert_eq!(pool.pool(&[1.0, 2.0, 3.0], &[3]).unwrap(), [1.0, 2.0, 2.0, 3.0]);
    assert_eq!(pool.pool(&[7.0], &[1]).unwrap(), [7.0; 4]);
    assert_eq!(pool.pool(&[1.0, 2.0], &[2]).unwrap(), [1.0, 1.0, 2.0, 2.0]);
}

#[test]
fn three_axes_pool_like_one_after_the_other() {
    let mut rng = rng(5);
    let (shape, axes) = ([3, 5, 8], [0..=1, 0..=2, 1..=2]);
    let values = normals(&mut rng, 120);
    let pool = PyramidPool::new(&axes).unwrap();
    let pooled = pool.pool(&values, &shape).unwrap();
    assert_eq!(pooled.len(), 3 * 7 * 6);
    // The reference averages each cell directly.
    let cells = |axis: &std::ops::RangeInclusive<u32>, length: usize| -> Vec<std::ops::Range<usize>> {
        (axis.clone())
            .flat_map(|level| {
                let parts = 1usize << level;
                (0..parts).map(move |part| {
                    if length < parts {
                        let nearest = (2 * part + 1) * length / (2 * parts);
                        nearest..nearest + 1
                    } else {
                        part * length / parts..(part + 1) * length / parts
                    }
                })
            })
            .collect()
    };
    let mut position = 0;
    for first in cells(&axes[0], 3) {
        for second in cells(&axes[1], 5) {
            for third in cells(&axes[2], 8) {
                let mut sum = 0.0;
                for i in first.clone() {
                    for j in second.clone() {
                        sum += third.clone().map(|k| values[i * 40 + j * 8 + k]).sum::<f64>();
                    }
                }
                let count = first.len() * second.len() * third.len();
                assert!((pooled[position] - sum / count as f64).abs() < 1e-12);
                position += 1;
            }
        }
    }
}

#[test]
fn tensors_of_the_wrong_shape_are_refused() {
    let pool = PyramidPool::grid(0..=0, 0..=0).unwrap();
    let error = pool.pool(&[1.0f32; 6], &[2, 4]).unwrap_err();
    assert_eq!(error, Error::Dimension { what: "values", expected: 8, got: 6 });
    assert_eq!(pool.pool(&[1.0f32; 6], &[6]).unwrap_err(), Error::Dimension { what: "shape", expected: 2, got: 1 });
    assert!(matches!(pool.pool(&[0.0f32; 0], &[0, 4]), Err(Error::Parameter { .. })));
    assert!(matches!(pool.pool(&[f32::NAN, 1.0], &[1, 2]), Err(Error::NotFinite { index: 0, .. })));
    assert!(matches!(pool.pool(&[1.0f32], &[usize::MAX, 4]), Err(Error::Dimension { .. })));
    #[expect(clippy::reversed_empty_ranges, reason = "the refusal of one is what is tested")]
    let reversed = PyramidPool::grid(2..=1, 0..=0);
    assert!(matches!(reversed, Err(Error::Parameter { name: "first exponent", .. })));
}

fn loaded(weight: f64, mean: f64, squares: f64, blank: &Normalizer) -> Option<Normalizer> {
    let mut value = serde_json::to_value(blank).unwrap();
    value["weight"] = weight.into();
    value["mean"][0] = mean.into();
    value["squares"][0] = squares.into();
    serde_json::from_value(value).ok()
}

fn again(norm: &Normalizer) -> Option<Normalizer> {
    serde_json::from_str(&serde_json::to_string(norm).unwrap()).ok()
}

#[test]
fn a_normalizer_at_its_limits_rejects_what_it_could_not_reload() {
    assert_eq!(loaded(1.0, 1e150, 0.0, &norm(1)), None);
    assert_eq!(loaded(0.0, 3.0, 1.0, &norm(1)), None);
    assert_eq!(loaded(1e-100, 0.0, 1e250, &norm(1)), None);
    let mut full = loaded(2.0, 0.0, 1e250, &norm(1)).unwrap();
    let before = full.clone();
    assert!(matches!(full.merge(&before), Err(Error::TooLarge { what: "sum of squares", .. })));
    assert_eq!(full, before);
    let mut heavy = loaded(1e100, 0.0, 1.0, &norm(1)).unwrap();
    let before = heavy.clone();
    assert!(matches!(heavy.merge(&before), Err(Error::TooLarge { what: "weight", .. })));
    assert_eq!(heavy, before);
}

#[test]
fn normalizers_of_other_settings_are_not_merged() {
    let mut ours = norm(1);
    ours.observe(&[1.0]).unwrap();
    let before = ours.clone();
    let others = [
        (norm(1).with_decay(0.5), "decay", 1.0, 0.5),
        (norm(1).with_floor(1e-3), "floor", 0.0, 1e-3),
        (norm(1).with_clip(4.0), "clip", f64::INFINITY, 4.0),
    ];
    for (other, what, here, there) in others {
        let refused = ours.merge(&other.unwrap()).unwrap_err();
        assert_eq!(refused, Error::Unlike { what, ours: here, theirs: there });
    }
    assert_eq!(ours, before);
}

/// Event of a normalizer: it observes a value, or merges one of these statistics.
#[derive(Debug, Clone, Copy)]
enum Event {
    Observe(f64),
    Merge(f64, f64, f64),
}

fn wide() -> impl Strategy<Value = f64> {
    prop_oneof![-3.0f64..3.0, (-1.0f64..1.0, -120..260).prop_map(|(digits, exponent)| digits * 10f64.powi(exponent))]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        wide().prop_map(Event::Observe),
        (wide(), wide(), wide()).prop_map(|(weight, mean, squares)| Event::Merge(weight.abs(), mean, squares.abs())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_norm_accepts_it_saves_and_loads(
        events in prop::collection::vec(event(), 1..12),
        decay in prop::sample::select(vec![1.0, 0.9, 1e-100]),
        probe in wide(),
    ) {
        let blank = norm(1).with_decay(decay).unwrap().with_floor(0.0).unwrap();
        let mut norm = blank.clone();
        for event in events {
            let before = norm.clone();
            let outcome = match event {
                Event::Observe(value) => norm.observe(&[value]),
                Event::Merge(weight, mean, squares) => match loaded(weight, mean, squares, &blank) {
                    Some(other) => norm.merge(&other),
                    None => Ok(()),
                },
            };
            if outcome.is_err() {
                prop_assert_eq!(&norm, &before);
            }
            prop_assert_eq!(again(&norm), Some(norm.clone()));
            prop_assert!(norm.deviation(0).unwrap().is_finite());
            prop_assert!(norm.normalise(&[probe]).unwrap()[0].is_finite());
        }
    }
}

#[test]
fn a_deviation_beyond_the_last_dimension_is_none() {
    let mut norm = Normalizer::new(2).unwrap();
    norm.observe(&[1.0, 5.0]).unwrap();
    norm.observe(&[3.0, 5.0]).unwrap();
    assert_eq!([0, 1, 2, usize::MAX].map(|dimension| norm.deviation(dimension)), [Some(1.0), Some(0.0), None, None]);
}

#[test]
fn a_pool_of_a_range_that_was_used_up_is_refused() {
    let mut range = 0..=0;
    assert_eq!(range.next(), Some(0));
    assert!(matches!(PyramidPool::new(&[range]), Err(Error::Parameter { name: "dimension", .. })));
}
