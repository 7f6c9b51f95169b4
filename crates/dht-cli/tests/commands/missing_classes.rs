//! Tests of classes that the validation rows or the scored rows lack: every score on such rows names them.

use std::path::Path;

use super::{csv, dht, json, printed, reviews};

/// Writes reviews of two classes, with some rows of a third.
fn write(path: &Path, rows: usize, from: usize, of_third: usize) {
    let mut reviews = reviews(rows, from);
    reviews
        .extend((0..of_third).map(|row| ("mixed".to_owned(), format!("neither good nor bad, guest {}", from + row))));
    std::fs::write(path, csv(&reviews)).expect("a file");
}

fn said(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const TRAIN: [&str; 9] = ["train", "--model", "2x2x16", "--epochs", "1", "--max-length", "16", "--quiet", "--data"];

#[test]
fn a_class_without_validation_rows_is_named_with_every_score() {
    let place = tempfile::tempdir().expect("a folder");
    write(&place.path().join("rows.csv"), 199, 0, 1);
    let output = dht(place.path(), &[&TRAIN[..], &["rows.csv", "--out", "model"]].concat());
    let note = "no validation row has the class \"mixed\": scores on these rows say nothing about it";
    assert!(said(&output).contains(note), "{}", said(&output));
    assert!(printed(&output).contains(note), "{}", printed(&output));
    let card = std::fs::read_to_string(place.path().join("model/README.md")).expect("a card");
    assert!(card.contains(&format!("Beware: {note}.\n")), "{card}");
    let output = dht(place.path(), &[&TRAIN[..], &["rows.csv", "--out", "again", "--json"]].concat());
    assert_eq!(json(&printed(&output))["data"]["classes_without_rows"], serde_json::json!(["mixed"]));

    // With 20 rows, two are held out.
    write(&place.path().join("rows.csv"), 180, 0, 20);
    let output = dht(place.path(), &[&TRAIN[..], &["rows.csv", "--out", "whole"]].concat());
    assert!(!said(&output).contains("no validation row"), "{}", said(&output));
    assert!(!printed(&output).contains("no validation row"), "{}", printed(&output));
}

#[test]
fn a_class_without_scored_rows_is_named() {
    let place = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(place.path().join("data")).expect("a folder");
    write(&place.path().join("data/train.csv"), 180, 0, 20);
    write(&place.path().join("data/validation.csv"), 20, 5000, 0);
    write(&place.path().join("data/test.csv"), 20, 7000, 0);
    let output = dht(place.path(), &[&TRAIN[..], &["data", "--out", "model", "--kind", "full"]].concat());
    assert!(said(&output).contains("no validation row has the class \"mixed\""), "{}", said(&output));
    assert!(printed(&output).contains("no test row has the class \"mixed\""), "{}", printed(&output));

    let output = dht(place.path(), &["evaluate", "model", "--data", "data", "--json"]);
    assert!(said(&output).contains("no scored row has the class \"mixed\""), "{}", said(&output));
    assert_eq!(json(&printed(&output))["data"]["classes_without_rows"], serde_json::json!(["mixed"]));

    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    let arguments = ["accelerate", "plain", "--data", "data/train.csv", "--validation", "data/test.csv"];
    let output = dht(place.path(), &[&arguments[..], &["--max-length", "16", "--out", "fast", "--quiet"]].concat());
    assert!(said(&output).contains("no held-out row has the class \"mixed\""), "{}", said(&output));
    assert!(printed(&output).contains("no held-out row has the class \"mixed\""), "{}", printed(&output));
}

#[test]
fn texts_that_cannot_be_held_out_are_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let rows: Vec<_> = (0..60).map(|row| ((row % 2).to_string(), ["no", "yes"][row % 2].to_owned())).collect();
    std::fs::write(place.path().join("rows.csv"), csv(&rows)).expect("a file");
    let output = dht(place.path(), &[&TRAIN[..], &["rows.csv", "--out", "model"]].concat());
    let refusal = super::refused(&output, 1);
    assert!(refusal.contains("60 rows of 2 different texts") && refusal.contains("add different texts"), "{refusal}");
    assert!(!place.path().join("model").exists());
}
