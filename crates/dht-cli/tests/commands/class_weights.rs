//! Tests of class weights: a rare class is found in each kind of training, and wrong values are refused by name.

use std::path::Path;

use tempfile::TempDir;

use super::{csv, dht, json, printed, refused, reviews, trained};

/// Creates reviews of which an eighth asks for a call. A fourth of these reviews has the class `urgent`.
fn with_rare_class(count: usize, from: usize) -> Vec<(String, String)> {
    let mut rows = reviews(count, from);
    for (at, (label, text)) in rows.iter_mut().enumerate().step_by(8) {
        *text = format!("please call back: {text}");
        if (at / 8).is_multiple_of(4) {
            *label = "urgent".into();
        }
    }
    rows
}

/// Creates a folder with the classifier `plain`, and rows of three classes in `rows`.
fn place() -> TempDir {
    let place = trained();
    let at = place.path();
    printed(&dht(at, &["export", "model", "--out", "plain"]));
    std::fs::create_dir(at.join("rows")).expect("a folder");
    std::fs::write(at.join("rows/train.csv"), csv(&with_rare_class(640, 2000))).expect("a file");
    std::fs::write(at.join("rows/test.csv"), csv(&with_rare_class(640, 9000))).expect("a file");
    place
}

const TRAIN: [&str; 9] = ["train", "--data", "rows", "--model", "plain", "--max-length", "24", "--quiet", "--out"];

/// Trains a model with some flags, and returns the share of the rare class that it finds.
fn recall(at: &Path, out: &str, flags: &[&str]) -> f64 {
    printed(&dht(at, &[&TRAIN[..], &[out], flags].concat()));
    let answers = printed(&dht(at, &["predict", out, "rows/test.csv", "--output-format", "jsonl"]));
    let answers: Vec<_> = answers.lines().map(json).collect();
    let rare: Vec<_> = answers.iter().filter(|line| line["label"] == "urgent").collect();
    assert_eq!((answers.len(), rare.len()), (640, 20));
    rare.iter().filter(|line| line["predicted"]["label"] == "urgent").count() as f64 / 20.0
}

#[test]
fn weights_find_a_rare_class_in_rungs() {
    let place = place();
    let at = place.path();
    for (rung, rungs) in [("0", "0"), ("1", "1"), ("2", "2..2")] {
        let flags = ["--rungs", rungs, "--epochs", "2"];
        let plain = recall(at, &format!("plain-{rung}"), &flags);
        let balanced = recall(at, &format!("balanced-{rung}"), &[&flags[..], &["--balanced"]].concat());
        assert!(balanced >= plain + 0.3, "rung {rung}: {plain} and {balanced}");
    }
    let named = recall(at, "named", &["--rungs", "1", "--class-weight", "urgent=20"]);
    assert!(named >= 0.5, "{named}");
    let card = |name: &str| std::fs::read_to_string(at.join(name).join("README.md")).expect("a card");
    assert!(card("named").contains("In training, classes had weights: urgent 20, and 1 for each other class."));
    let balanced = card("balanced-1");
    assert!(balanced.contains("each class had the reciprocal of its number of rows as its weight."), "{balanced}");
    assert!(balanced.contains("the frequency of each class is multiplied by its weight."), "{balanced}");
    assert!(!card("plain-1").contains("In training"), "{}", card("plain-1"));
}

#[test]
fn class_weights_out_of_range_are_refused_by_name() {
    let place = place();
    let at = place.path();
    let refuse = |flags: &[&str]| refused(&dht(at, &[&TRAIN[..], &["other"], flags].concat()), 2);
    for (value, message) in [
        ("urgent", "--class-weight is urgent, expected NAME=WEIGHT"),
        ("=3", "--class-weight is =3, expected NAME=WEIGHT"),
        ("urgent=", "--class-weight is urgent=, expected a finite WEIGHT above 0"),
        ("urgent=0", "--class-weight is urgent=0, expected a finite WEIGHT above 0"),
        ("urgent=-2", "--class-weight is urgent=-2, expected a finite WEIGHT above 0"),
        ("urgent=inf", "--class-weight is urgent=inf, expected a finite WEIGHT above 0"),
        ("urgent=NaN", "--class-weight is urgent=NaN, expected a finite WEIGHT above 0"),
        ("urgent=much", "--class-weight is urgent=much, expected a finite WEIGHT above 0"),
        ("a=b=2", "--class-weight is a=b, expected a class of the rows: panned, praised, urgent"),
        ("Urgent=2", "--class-weight is Urgent, expected a class of the rows: panned, praised, urgent"),
    ] {
        let said = refuse(&["--class-weight", value]);
        assert!(said.contains(message), "{said}");
    }
    let twice = refuse(&["--class-weight", "urgent=2", "--class-weight", "urgent=3"]);
    assert!(twice.contains("--class-weight is given twice for the class \"urgent\""), "{twice}");
    let both = refuse(&["--balanced", "--class-weight", "urgent=2"]);
    assert!(both.contains("--balanced") && both.contains("--class-weight"), "{both}");
    assert!(!at.join("other").exists() && !at.join("other.training").exists());

    // Several labels and numbers.
    let labels = refuse(&["--task", "labels", "--label-separator", ";", "--balanced"]);
    assert!(labels.contains("--balanced is set, expected this flag left out, or --label-thresholds f1"), "{labels}");
    std::fs::write(at.join("stars.csv"), "label,text\n1,the soup was cold\n5,the soup was fresh\n").expect("a file");
    let number = ["train", "--data", "stars.csv", "--model", "plain", "--task", "number", "--out", "other"];
    let number = refused(&dht(at, &[&number[..], &["--class-weight", "5=2"]].concat()), 2);
    assert!(number.contains("--class-weight is 5=2, expected this flag left out"), "{number}");
}
