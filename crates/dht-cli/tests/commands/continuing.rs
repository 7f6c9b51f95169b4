//! A model of `dht` that is trained on, replaced, accelerated again, or asked with other columns.

use std::path::Path;

use tempfile::TempDir;

use super::{csv, dht, json, printed, refused, reviews, trained};

/// A folder with `plain`, a classifier of two classes in the form of the Hugging Face library.
fn exported() -> TempDir {
    let place = trained();
    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    place
}

fn write(place: &Path, name: &str, text: &str) {
    std::fs::write(place.join(name), text).expect("a file");
}

/// Rows of a third class.
fn shipped(count: usize) -> String {
    (0..count).map(|row| format!("shipped,\"the parcel {row} came with truck {}\"\n", row % 7)).collect()
}

/// Trains a model in rungs 0 and 1.
fn rungs(place: &Path, arguments: &[&str]) -> std::process::Output {
    dht(place, &[&["train", "--rungs", "1", "--max-length", "24"], arguments].concat())
}

#[test]
fn a_model_is_trained_on_with_new_rows_and_a_new_class() {
    let place = exported();
    let at = place.path();
    printed(&rungs(at, &["--data", "data/train.csv", "--model", "plain", "--out", "first"]));
    write(at, "more.csv", &format!("{}{}", csv(&reviews(100, 400)), shipped(60)));
    let next = dht(at, &["train", "--rungs", "1", "--data", "more.csv", "--model", "first", "--out", "next"]);
    let said = String::from_utf8_lossy(&next.stderr).into_owned();
    printed(&next);
    assert!(said.contains("the model keeps its 2 classes and gets 1: shipped"), "{said}");
    assert!(said.contains("validation rows of the classes that the model had"), "{said}");
    let facts = json(&printed(&dht(at, &["inspect", "next", "--json"])));
    assert_eq!(facts["labels"], serde_json::json!(["panned", "praised", "shipped"]));
    assert_eq!(facts["max_length"], 24, "the length of the model");
    write(at, "asked.csv", "text\nthe parcel 900 came with truck 3\nthe soup was fresh\n");
    let answers = printed(&dht(at, &["predict", "next", "asked.csv"]));
    let labels: Vec<&str> = answers.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(labels, ["shipped", "praised"], "{answers}");
    // Exits are fitted anew.
    let again = ["accelerate", "next", "--data", "more.csv", "--out", "again"];
    printed(&dht(at, &again));
    assert_eq!(json(&printed(&dht(at, &["inspect", "again", "--json"])))["labels"], facts["labels"]);
}

#[test]
fn each_class_of_a_model_needs_rows_of_one_spelling() {
    let place = exported();
    let at = place.path();
    printed(&rungs(at, &["--data", "data/train.csv", "--model", "plain", "--out", "first"]));
    let next = |data: &str, more: &[&str]| {
        let arguments = ["train", "--rungs", "1", "--data", data, "--model", "first", "--out", "next"];
        dht(at, &[&arguments[..], more].concat())
    };
    let good: Vec<_> = reviews(100, 400).into_iter().filter(|(label, _)| label == "praised").collect();
    write(at, "half.csv", &format!("{}{}", csv(&good), shipped(20)));
    let said = refused(&next("half.csv", &[]), 1);
    assert!(said.contains("half.csv has no row of the class \"panned\"") && said.contains("--also"), "{said}");
    let both = next("half.csv", &["--also", "data/train.csv"]);
    assert!(printed(&both).contains("written to next"));
    for (name, file, expected) in [
        ("spelled.csv", csv(&reviews(60, 0)).replace("praised", "Praised "), "may be one, written in two ways"),
        ("other.csv", csv(&reviews(60, 0)).replace("praised", "up").replace("panned", "down"), "do not match"),
        ("columns.csv", csv(&reviews(60, 0)).replace("label,text", "label,opinion"), "no column \"text\""),
    ] {
        write(at, name, &file);
        let said = refused(&next(name, &[]), 1);
        assert!(said.contains(expected), "{name}: {said}");
    }
    let said = refused(&next("half.csv", &["--task", "labels"]), 2);
    assert!(said.contains("--task is labels, expected class, which the model was trained for"), "{said}");
    assert!(!at.join("next.training").exists());
}

#[test]
fn a_model_of_other_classes_is_replaced_by_request_alone() {
    let place = trained();
    let at = place.path();
    let before = std::fs::read(at.join("model/dht.json")).expect("a file");
    write(at, "other.csv", &csv(&reviews(60, 0)).replace("praised", "up"));
    let train = ["train", "--data", "other.csv", "--model", "2x2x16", "--epochs", "1", "--out", "model"];
    let said = refused(&dht(at, &train), 1);
    assert!(said.contains("only there \"praised\", only here \"up\"") && said.contains("--replace"), "{said}");
    assert_eq!(std::fs::read(at.join("model/dht.json")).expect("a file"), before);
    assert!(!at.join("model.training").exists());
    let numbers: String = (0..60).map(|row| format!("{}.5,the soup {row}\n", row % 7)).collect();
    write(at, "numbers.csv", &format!("label,text\n{numbers}"));
    let numbers = ["train", "--data", "numbers.csv", "--task", "number", "--kind", "full", "--model", "2x2x16"];
    let said = refused(&dht(at, &[&numbers[..], &["--out", "model"]].concat()), 1);
    assert!(said.contains("one class for each text there, numbers here"), "{said}");
    let output = printed(&dht(at, &[&train[..], &["--replace"]].concat()));
    assert!(output.contains("written to model, in place of a model of 360 rows of data/train"), "{output}");
}

#[test]
fn rows_of_the_training_are_named_where_they_are_scored() {
    let place = trained();
    let said = |data: &str| {
        let output = dht(place.path(), &["evaluate", "model", "--data", data, "--quiet"]);
        printed(&output);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said("data/train.csv").contains("scored rows are rows of the training"), "{}", said("data/train.csv"));
    assert!(!said("data/test.csv").contains("rows of the training"), "{}", said("data/test.csv"));
}

#[test]
fn a_text_is_answered_without_a_file() {
    let place = trained();
    let answer = printed(&dht(place.path(), &["predict", "model", "the soup was fresh"]));
    assert_eq!((answer.lines().count(), json(&answer)["text"].as_str()), (1, Some("the soup was fresh")));
    let said = refused(&dht(place.path(), &["predict", "model", "no such file.csv"]), 1);
    assert!(said.contains("no such file.csv"), "{said}");
}
