use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn names(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

/// Classes of the labels, or `None` if they are refused.
fn mapped(labels: &[&str], classes: &[&str]) -> Option<Vec<String>> {
    let (labels, classes) = (names(labels), names(classes));
    match LabelMapping::new(&labels, &classes, false).ok()? {
        None => Some(labels),
        Some(mapping) => Some(mapping.pairs().iter().map(|(_, class)| class.clone()).collect()),
    }
}

#[test]
fn labels_are_matched_by_name_then_by_number() {
    let nli = ["ENTAILMENT", "NEUTRAL", "CONTRADICTION"];
    let lower = ["contradiction", "entailment", "neutral"];
    assert_eq!(mapped(&lower, &nli), Some(names(&["CONTRADICTION", "ENTAILMENT", "NEUTRAL"])));
    assert_eq!(mapped(&["0", "1", "2"], &nli), Some(names(&nli)));
    assert_eq!(mapped(&["1", "2", "3"], &nli), Some(names(&nli)));
    assert_eq!(mapped(&["0", "2"], &nli), Some(names(&["ENTAILMENT", "CONTRADICTION"])));
    assert_eq!(mapped(&["LABEL_2", "LABEL_1"], &nli), Some(names(&["CONTRADICTION", "NEUTRAL"])));
    assert_eq!(mapped(&["no", "yes"], &["LABEL_1", "LABEL_0"]), Some(names(&["LABEL_0", "LABEL_1"])));
    assert_eq!(mapped(&["True"], &["0", "1"]), Some(names(&["1"])));
    assert_eq!(
        mapped(&["2", "0", "1"], &["LABEL_1", "LABEL_0", "LABEL_2"]),
        Some(names(&["LABEL_2", "LABEL_0", "LABEL_1"]))
    );
    let of = |labels: &[&str]| {
        LabelMapping::new(&names(labels), &names(&["0", "1", "2"]), true).map(|mapping| mapping.is_some())
    };
    assert!(matches!(of(&["low", "mid", "high"]), Ok(true)), "a file's own order is known");
    assert_eq!(mapped(&["1", "2"], &["LABEL_0", "LABEL_1"]), Some(names(&["LABEL_0", "LABEL_1"])));
    assert_eq!(mapped(&["LABEL_0", "LABEL_1"], &["0", "1"]), Some(names(&["0", "1"])));
    assert_eq!(mapped(&["0.0", "1.0"], &["1", "0"]), Some(names(&["0", "1"])));
    assert_eq!(mapped(&[" Good"], &["bad", "good"]), Some(names(&["good"])));
}

#[test]
fn labels_with_two_readings_are_refused() {
    for (labels, classes) in [
        (&["positive", "negative"][..], &["good", "bad"][..]),
        (&["1", "2"], &["0", "1"]),
        (&["1", "2"], &["a", "b", "c"]),
        (&["1", "3"], &["a", "b", "c"]),
        (&["0", "1", "2"], &["-1", "0", "1"]),
        (&["0", "1", "2", "3"], &["a", "b", "c"]),
        (&["LABEL_1", "LABEL_2"], &["LABEL_0", "LABEL_1"]),
        (&["LABEL_0", "LABEL_1"], &["1", "2"]),
        (&["bad", "good"], &["LABEL_0", "LABEL_1"]),
        (&["high", "low", "mid"], &["0", "1", "2"]),
        (&["bad", "good", "so so"], &["LABEL_0", "LABEL_1"]),
        (&["bad", "2"], &["a", "b"]),
        (&["Good", "good"], &["bad", "good"]),
        (&["GOOD"], &["Good", "good"]),
    ] {
        assert_eq!(mapped(labels, classes), None, "{labels:?} of {classes:?}");
    }
}

/// Two hundred random pairs of lists with a known meaning. Each label is mapped to its class, or all labels are
/// refused.
#[test]
fn random_label_lists_are_right_or_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let (mut right, mut refused) = (0, 0);
    for pair in 0..200 {
        let count = rng.random_range(2..7);
        let mut classes: Vec<String> =
            names(&["World", "sports", "Sci/Tech", "business", "HEALTH", "Arts"])[..count].to_vec();
        classes.shuffle(&mut rng);
        // A spelling of each class, and the class that it is meant to be.
        let kind = pair % 8;
        let meant: BTreeMap<String, usize> = (0..count)
            .map(|class| {
                let spelling = match kind {
                    0 => classes[class].clone(),
                    1 => classes[class].to_uppercase(),
                    2 => format!(" {} ", classes[class]),
                    3 => class.to_string(),
                    4 => (class + 1).to_string(),
                    5 => format!("LABEL_{class}"),
                    6 => format!("topic {}", rng.random_range(0..1000) * 7 + class),
                    _ => (class + 5).to_string(),
                };
                (spelling, class)
            })
            .collect();
        let mut labels: Vec<String> = meant.keys().cloned().collect();
        labels.shuffle(&mut rng);
        if rng.random_bool(0.4) {
            labels.truncate(rng.random_range(1..=labels.len()));
        }
        if rng.random_bool(0.1) {
            labels.push(format!("{}\u{200b}", labels[0]));
        }
        match LabelMapping::new(&labels, &classes, false) {
            Err(_) => refused += 1,
            Ok(mapping) => {
                let pairs: Vec<(String, String)> = mapping.map_or_else(
                    || labels.iter().map(|label| (label.clone(), label.clone())).collect(),
                    |mapping| mapping.pairs().to_vec(),
                );
                assert_eq!(pairs.len(), labels.len());
                for (label, class) in pairs {
                    assert_eq!(
                        meant.get(&label).map(|place| &classes[*place]),
                        Some(&class),
                        "{labels:?} of {classes:?}"
                    );
                }
                right += 1;
            }
        }
    }
    assert!(right > 80 && refused > 40, "{right} right, {refused} refused");
}

#[test]
fn spellings_that_nobody_tells_apart_are_refused() {
    for [first, second] in [
        ["good", "Good"],
        ["1", "1.0"],
        ["good", "good\u{200b}"],
        ["so so", "so\u{a0}so"],
        ["caf\u{e9}", "cafe\u{301}"],
        ["news", "n\u{435}ws"],
        ["sci-fi", "sci\u{2010}fi"],
        ["0", "LABEL_0"],
        ["1", "True"],
        ["3", "\u{663}"],
        ["TOM", "\u{3a4}\u{39f}\u{39c}"],
    ] {
        let refused = check_spellings(&names(&["other", first, second])).expect_err("one label twice").to_string();
        assert!(refused.contains(&escaped(first)) && refused.contains(&escaped(second)), "{refused}");
    }
    assert!(check_spellings(&names(&["0", "1", "01x", "good", "goods", "", "c", "c++", "c#"])).is_ok());
}

#[test]
fn only_labels_without_a_class_are_named() {
    let refused = LabelMapping::new(&names(&["a", "b", "c"]), &names(&["a", "b"]), false);
    assert!(matches!(refused, Err(DataProblem::OtherLabels { labels, .. }) if labels == "\"c\" (1)"));
}

#[test]
fn classes_that_are_given_have_to_be_there() {
    let mapping_from = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(own, class)| ((*own).into(), (*class).into())).collect();
        LabelMapping::from_pairs(&pairs, &names(&["1", "2"]), &names(&["a", "b"]))
            .map(|mapping| mapping.map(|all| all.to_string()))
    };
    assert_eq!(mapping_from(&[("1", "b"), ("2", "a")]), Ok(Some("1 is b, 2 is a".into())));
    assert!(matches!(mapping_from(&[("1", "c")]), Err(DataProblem::NoSuchClass { class, .. }) if class == "\"c\""));
    assert!(matches!(mapping_from(&[("1", "a"), ("1", "b")]), Err(DataProblem::TwoClasses { .. })));
    assert!(
        matches!(mapping_from(&[("1", "a")]), Err(DataProblem::OtherLabels { labels, .. }) if labels == "\"2\" (1)")
    );
}
