//! Splits of a data set, compared with naive computations of their documented properties.

use std::collections::{BTreeMap, BTreeSet};

use dht_transformer::data::UnreadTokens;
use dht_transformer::{Dataset, EncodedDataset, Encoding, Error, Example, Sample};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::dataset::texts;

/// Data set from pairs of a class number and a text number.
fn data(rows: &[(usize, usize)]) -> Dataset {
    let classes = rows.iter().map(|(class, _)| class + 1).max().unwrap_or(1);
    let examples = rows.iter().map(|(class, text)| Example::new(format!("text {text}"), *class)).collect();
    Dataset::from_examples("rows", (0..classes).map(|class| class.to_string()).collect(), examples)
        .expect("they are right")
}

/// Data set with a number of rows for each class, sorted by class. All texts differ.
fn sorted(counts: &[usize]) -> Dataset {
    let classes = counts.iter().enumerate().flat_map(|(class, count)| std::iter::repeat_n(class, *count));
    data(&classes.zip(0..).collect::<Vec<_>>())
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn distinct(data: &Dataset) -> BTreeSet<&str> {
    texts(data).into_iter().collect()
}

/// Asserts that two sides are a partition of the rows in their order, that they share no text, and that the remaining
/// rows have every class.
fn assert_sides(all: &Dataset, rest: &Dataset, held: &Dataset) {
    assert!(!rest.is_empty() && !held.is_empty());
    assert!(distinct(rest).is_disjoint(&distinct(held)));
    let held_texts = distinct(held);
    let (expected_held, expected_rest): (Vec<Example>, Vec<Example>) =
        all.examples.iter().cloned().partition(|row| held_texts.contains(row.text.as_str()));
    assert_eq!((&held.examples, &rest.examples), (&expected_held, &expected_rest));
    let classes = |data: &Dataset| data.examples.iter().map(|row| row.label).collect::<BTreeSet<_>>();
    assert_eq!(classes(rest), classes(all));
}

/// Texts of each class.
fn texts_by_class(data: &Dataset) -> BTreeMap<usize, BTreeSet<&str>> {
    let mut texts: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    data.examples.iter().for_each(|row| {
        texts.entry(row.label).or_default().insert(&row.text);
    });
    texts
}

proptest! {
    #[test]
    fn different_texts_are_split_by_the_shares_of_their_classes(
        counts in proptest::collection::vec(1_usize..60, 1..8),
        fraction in 0.02_f64..0.6,
        seed in any::<u64>(),
    ) {
        let all = sorted(&counts);
        prop_assume!(counts.iter().any(|count| *count > 1));
        let held_out_rows = ((all.len() as f64 * fraction).round() as usize).max(1);
        let share = |class: usize| counts[class] as f64 * held_out_rows as f64 / all.len() as f64;
        let (rest, calibration) = all.clone().split_calibration(fraction, &mut rng(seed)).unwrap();
        assert_sides(&all, &rest, &calibration);
        for (class, count) in calibration.class_counts().into_iter().enumerate() {
            prop_assert!((count as f64 - share(class)).abs() < 1.0, "{count} of {}", share(class));
        }
        if counts.iter().all(|count| *count > 1) && fraction < 0.5 {
            prop_assert_eq!(calibration.len(), held_out_rows);
        }
        let (rest, validation) = all.clone().split_validation(fraction, &mut rng(seed)).unwrap();
        assert_sides(&all, &rest, &validation);
        prop_assert!(validation.len() <= 2 * held_out_rows);
        for (class, count) in validation.class_counts().into_iter().enumerate() {
            prop_assert!((count as f64 - share(class)).abs() < 1.0, "{count} of {}", share(class));
            prop_assert!(count > 0 || counts[class] == 1 || counts.len() > held_out_rows);
        }
        prop_assert_eq!(all.split_validation(fraction, &mut rng(seed)).unwrap(), (rest, validation));
    }

    #[test]
    fn repeated_texts_are_on_one_side_and_no_class_gives_too_many(
        rows in proptest::collection::vec((0_usize..4, 0_usize..30), 2..200),
        are_mixed in any::<bool>(),
        fraction in 0.02_f64..0.6,
        seed in any::<u64>(),
    ) {
        let rows: Vec<_> =
            rows.into_iter().map(|(class, text)| (class, if are_mixed { text } else { 4 * text + class })).collect();
        let all = data(&rows);
        let texts_of = texts_by_class(&all);
        match all.clone().split_validation(fraction, &mut rng(seed)) {
            // Every class has only one text.
            Err(error) => {
                prop_assert!(matches!(error, Error::Argument { .. }), "{error}");
                for text in distinct(&all) {
                    prop_assert!(texts_of.values().any(|texts| texts.len() == 1 && texts.contains(text)), "{text}");
                }
            }
            Ok((rest, validation)) => {
                assert_sides(&all, &rest, &validation);
                let held_out_rows = ((all.len() as f64 * fraction).round() as usize).max(1);
                let held_of = texts_by_class(&validation);
                for (class, texts) in &texts_of {
                    let rows = all.class_counts()[*class] as f64;
                    let share = (rows * held_out_rows as f64 / all.len() as f64).floor() + 1.0;
                    let held = held_of.get(class).map_or(0, BTreeSet::len);
                    let held_rows = validation.class_counts()[*class] as f64;
                    let most = (1.5 * share * texts.len() as f64 / rows).ceil();
                    prop_assert!(held as f64 <= most || are_mixed, "{held} texts of {most}");
                    prop_assert!(held_rows <= share || held == 1 || are_mixed, "{held_rows} rows of {share}");
                    prop_assert!(held > 0 || texts.len() == 1 || are_mixed || texts_of.len() > held_out_rows);
                }
            }
        }
    }
}

#[test]
fn every_class_is_validated_whatever_the_order_and_the_seed() {
    for counts in [&[480, 20][..], &[20, 480], &[240, 240, 20], &[193, 7], &[58, 2], &[997, 3]] {
        for seed in 0..50 {
            let all = sorted(counts);
            let (rest, validation) = all.clone().split_validation(0.1, &mut rng(seed)).unwrap();
            assert_sides(&all, &rest, &validation);
            assert!(validation.class_counts().iter().all(|count| *count > 0), "{counts:?} {seed}");
        }
    }
    let (_, validation) = sorted(&[480, 20]).split_validation(0.1, &mut rng(0)).unwrap();
    assert_eq!(validation.class_counts(), [48, 2]);
    let (rest, validation) = sorted(&[59, 1]).split_validation(0.1, &mut rng(0)).unwrap();
    assert_eq!((rest.class_counts(), validation.class_counts()), (vec![53, 1], vec![6, 0]));
}

#[test]
fn more_classes_than_validation_rows_do_not_empty_the_training() {
    let (rest, validation) = sorted(&[2; 250]).split_validation(0.1, &mut rng(0)).unwrap();
    assert_eq!((rest.len(), validation.len()), (450, 50));
    // Each class has one validation row, although its share is only half a row.
    let (_, validation) = sorted(&[5; 20]).split_validation(0.1, &mut rng(0)).unwrap();
    assert_eq!(validation.class_counts(), [1; 20]);
    let (_, calibration) = sorted(&[5; 20]).split_calibration(0.1, &mut rng(0)).unwrap();
    assert_eq!(calibration.len(), 10);
    let (_, validation) = sorted(&[vec![4; 100], vec![700]].concat()).split_validation(0.1, &mut rng(0)).unwrap();
    assert_eq!((validation.len(), validation.class_counts()[100]), (170, 70));
}

#[test]
fn a_text_of_nine_rows_in_ten_stays_in_the_rest() {
    for seed in 0..20 {
        let rows: Vec<_> = (0..500).map(|row| (row % 2, if row < 450 { row % 2 } else { row })).collect();
        let all = data(&rows);
        let (rest, validation) = all.clone().split_validation(0.1, &mut rng(seed)).unwrap();
        assert_sides(&all, &rest, &validation);
        assert_eq!(validation.class_counts(), [4, 4], "0.15 of 26 texts of each class");
        // Each text has ten rows, so a tenth of the rows is a tenth of the texts.
        let rows: Vec<_> = (0..500).map(|row| (row % 2, row % 50)).collect();
        let (_, validation) = data(&rows).split_validation(0.1, &mut rng(seed)).unwrap();
        assert!(validation.len() == 40 && distinct(&validation).len() == 4, "25 rows of a class are 2 texts");
    }
}

#[test]
fn a_class_of_two_frequent_texts_gives_the_rarer_one() {
    let rows: Vec<_> = (0..200).map(|row| (0, usize::from(row % 4 == 0))).collect();
    let (rest, validation) = data(&rows).split_validation(0.1, &mut rng(0)).unwrap();
    assert_eq!((distinct(&rest), distinct(&validation)), (["text 0"].into(), ["text 1"].into()));
}

#[test]
fn rows_without_another_text_of_their_class_are_refused() {
    for rows in [vec![(0, 0); 9], vec![(0, 0), (1, 1), (0, 0), (1, 1)], vec![(0, 0), (1, 0), (1, 0)]] {
        let refused = data(&rows).split_validation(0.5, &mut rng(0)).unwrap_err().to_string();
        assert!(refused.contains("different texts") && refused.contains(&format!("{} rows", rows.len())), "{refused}");
    }
    // One class has a second text.
    let (rest, validation) = data(&[(0, 0), (1, 1), (0, 0), (1, 2)]).split_validation(0.25, &mut rng(0)).unwrap();
    assert_eq!((rest.len(), validation.len(), validation.examples[0].label), (3, 1, 1));
}

#[test]
fn rows_with_targets_and_pairs_are_split_by_their_texts() {
    let labels: Vec<String> = ["a", "b"].map(String::from).into();
    let row = |number: usize| {
        let pair = Some(format!("second {}", number % 10));
        Example { pair, targets: vec![1.0, (number % 3) as f32], ..Example::new(format!("text {}", number % 4), 0) }
    };
    let all = Dataset::from_examples("targets", labels, (0..100).map(row).collect()).unwrap();
    let (rest, held) = all.split_validation(0.3, &mut rng(1)).unwrap();
    let pairs =
        |data: &Dataset| data.examples.iter().map(|row| (row.text.clone(), row.pair.clone())).collect::<BTreeSet<_>>();
    assert!(pairs(&rest).is_disjoint(&pairs(&held)));
    assert_eq!((rest.len(), held.len(), pairs(&rest).len() + pairs(&held).len()), (70, 30, 20));
    // The first text of a pair may occur on both sides, if the pairs differ.
    assert!(!distinct(&rest).is_disjoint(&distinct(&held)));
}

#[test]
fn encoded_rows_are_split_like_their_texts() {
    let sample = |id: u64| {
        let encoding = Encoding {
            ids: vec![1, id as u32 % 60],
            type_ids: Vec::new(),
            truncated: id == 0,
            rest: UnreadTokens::default(),
        };
        Sample { id, label: u32::from(id % 20 == 3), targets: Vec::new(), encoding }
    };
    let data = EncodedDataset {
        samples: (0..240).map(sample).collect(),
        labels: ["a", "b"].map(String::from).into(),
        truncated_rows: 1,
    };
    let (rest, held) = data.split_validation(0.25, &mut rng(2)).unwrap();
    let counts =
        |data: &EncodedDataset| [0, 1].map(|class| data.samples.iter().filter(|sample| sample.label == class).count());
    assert_eq!((counts(&rest), counts(&held)), ([172, 8], [56, 4]));
    let tokens = |data: &EncodedDataset| data.samples.iter().map(|row| row.encoding.ids[1]).collect::<BTreeSet<_>>();
    assert!(tokens(&rest).is_disjoint(&tokens(&held)));
    assert_eq!(rest.truncated_rows + held.truncated_rows, 1);
    assert!(data.select([0, 60]).unwrap().split_validation(0.5, &mut rng(2)).is_err());
}
