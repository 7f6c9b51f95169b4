//! Tests of numbers and ratings, which are answered by levels.

use std::path::Path;

use serde_json::Value;

use super::tables::write;
use super::{dht, json, printed, refused, reviews};

const TRAIN: [&str; 9] = ["train", "--model", "2x2x16", "--epochs", "8", "--batch", "8", "--lr", "3e-3"];

/// Rows with a number by the words of the text: about 0 or 30, in steps of 1.
fn numbers(at: &Path, name: &str, count: usize, from: usize) {
    let row = |(row, (label, text)): (usize, (String, String))| {
        format!("{},\"{text}\"\n", 30 * usize::from(label == "praised") + row % 3)
    };
    let rows: String = reviews(count, from).into_iter().enumerate().map(row).collect();
    write(at, name, &format!("score,text\n{rows}"));
}

fn own_row(results: &Value) -> &Value {
    results["results"].as_array().into_iter().flatten().find(|row| row["name"] == "at its speed").expect("a row")
}

fn metric(row: &Value, name: &str) -> f64 {
    let metrics = row["metrics"].as_array().into_iter().flatten();
    metrics.into_iter().find(|own| own["metric"] == name).and_then(|own| own["value"].as_f64()).expect("a metric")
}

#[test]
fn numbers_and_ratings_stop_at_exits() {
    let place = tempfile::tempdir().expect("a folder");
    let at = place.path();
    numbers(at, "data/train.csv", 400, 0);
    numbers(at, "data/test.csv", 120, 3000);
    for task in ["number", "rating"] {
        let words = ["--data", "data", "--task", task, "--label-column", "score", "--out", task, "--json"];
        let output = dht(at, &[&TRAIN[..], &words].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("outputs: whether the number is above 0.5, 1.5, 16, 30.5, 31.5"), "{said}");
        let made = json(&printed(&output));
        let own = own_row(&made);
        assert!(own["score"].as_f64() > Some(0.9), "{made}");
        let rows = made["results"].as_array().expect("rows");
        let cheap = rows.iter().find(|row| row["name"] == "cost up to 0.35").expect("a row");
        assert!(cheap["score"].as_f64() > Some(0.9) && cheap["cost"].as_f64() < Some(0.4), "{made}");
        // The standard deviation of the numbers is 15.
        assert!(metric(own, "RMSE") < 6.0 && metric(own, "MAE") < 4.0, "{made}");
        let scored = json(&printed(&dht(at, &["evaluate", task, "--data", "data", "--json"])));
        assert_eq!(
            (own["score"].as_f64(), own["metrics"].clone()),
            (own_row(&scored)["score"].as_f64(), own_row(&scored)["metrics"].clone())
        );
        let shown = json(&printed(&dht(at, &["inspect", task, "--json"])));
        assert_eq!((&shown["task"], &shown["labels"]), (&"number".into(), &serde_json::json!(["score"])), "{shown}");
        assert_eq!(shown["levels"]["values"], serde_json::json!([0.0, 1.0, 2.0, 30.0, 31.0, 32.0]), "{shown}");

        let answers = printed(&dht(at, &["predict", task, "data/test.csv", "--output-format", "jsonl"]));
        let values: Vec<f64> =
            answers.lines().map(|line| json(line)["predicted"]["value"].as_f64().expect("a number")).collect();
        let is_level = |value: &f64| [0.0, 1.0, 2.0, 30.0, 31.0, 32.0].contains(value);
        assert_eq!(values.iter().all(is_level), task == "rating", "{values:?}");
        // The answers are those that were scored.
        let truth = std::fs::read_to_string(at.join("data/test.csv")).expect("a file");
        let truth: Vec<f64> =
            truth.lines().skip(1).map(|line| line.split(',').next().unwrap_or("").parse().expect("a number")).collect();
        let squares: f64 = truth.iter().zip(&values).map(|(truth, value)| (truth - value).powi(2)).sum();
        assert!((metric(own, "RMSE") - (squares / 120.0).sqrt()).abs() < 1e-4, "{squares}");
    }
    let compared = json(&printed(&dht(at, &["compare", "number", "rating", "--data", "data", "--json"])));
    assert!(compared["score"].as_str().is_none_or(|score| score.contains("absolute error")), "{compared}");
    // Rows that are scored out of fold have their numbers.
    let few = [
        "--data",
        "few.csv",
        "--task",
        "number",
        "--label-column",
        "score",
        "--out",
        "few",
        "--json",
        "--model",
        "number",
    ];
    numbers(at, "few.csv", 60, 9000);
    let made = json(&printed(&dht(at, &[&["train", "--rungs", "1"][..], &few].concat())));
    assert!(own_row(&made)["score"].as_f64() > Some(0.5) && metric(own_row(&made), "RMSE") < 15.0, "{made}");
}

#[test]
fn numbers_without_levels_are_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let at = place.path();
    let rows = |number: &dyn Fn(usize) -> String| {
        let row = |(row, (_, text)): (usize, (String, String))| format!("{},\"{text}\"\n", number(row));
        format!("score,text\n{}", reviews(200, 0).into_iter().enumerate().map(row).collect::<String>())
    };
    write(at, "one.csv", &rows(&|_| "3".into()));
    write(at, "many.csv", &rows(&|row| format!("{}", row % 40)));
    let train = |data: &str, task: &str, more: &[&str]| {
        let words = ["--data", data, "--task", task, "--label-column", "score", "--out", "model"];
        dht(at, &[&TRAIN[..], &words, more].concat())
    };
    let said = refused(&train("one.csv", "number", &[]), 1);
    assert!(said.contains("numbers is 3 alone, expected at least two numbers that differ"), "{said}");
    // Dates as numbers are rounded to even ones.
    write(at, "dates.csv", &rows(&|row| format!("{}", 20_240_101 + row % 8)));
    let said = refused(&train("dates.csv", "rating", &[]), 1);
    assert!(said.contains("stored in steps of") && said.contains("subtract a constant"), "{said}");
    let said = refused(&train("many.csv", "rating", &[]), 1);
    assert!(said.contains("numbers is 40, expected at most 16 different ratings"), "{said}");
    let said = refused(&train("many.csv", "rating", &["--kind", "full"]), 1);
    assert!(said.contains("--kind is full, expected dynamic, which ratings require"), "{said}");
    let said = refused(&train("many.csv", "number", &["--points", "1"]), 1);
    assert!(said.contains("--points is 1, expected this flag left out"), "{said}");
    assert!(!at.join("model").exists());
}

#[test]
fn equal_held_out_numbers_select_all_layers() {
    let place = tempfile::tempdir().expect("a folder");
    let at = place.path();
    numbers(at, "data/train.csv", 400, 0);
    numbers(at, "data/test.csv", 120, 3000);
    let row = |(_, text): (String, String)| format!("2,\"{text}\"\n");
    let rows: String = reviews(100, 6000).into_iter().map(row).collect();
    write(at, "data/validation.csv", &format!("score,text\n{rows}"));
    let words = ["--data", "data", "--task", "number", "--label-column", "score", "--out", "model", "--json"];
    let output = dht(at, &[&TRAIN[..], &words].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the numbers of all held-out rows are on one level"), "{said}");
    let made = json(&printed(&output));
    assert!(own_row(&made)["mean_layers"].as_f64() == Some(2.0), "{made}");
}

#[test]
fn two_numbers_make_one_label() {
    let place = tempfile::tempdir().expect("a folder");
    let at = place.path();
    let row =
        |(label, text): (String, String)| format!("{},\"{text}\"\n", if label == "praised" { "4.5" } else { "1" });
    write(at, "two.csv", &format!("score,text\n{}", reviews(300, 0).into_iter().map(row).collect::<String>()));
    let words = ["--data", "two.csv", "--task", "rating", "--label-column", "score", "--out", "model", "--json"];
    let made = json(&printed(&dht(at, &[&TRAIN[..], &words].concat())));
    assert!(own_row(&made)["score"].as_f64() > Some(0.9), "{made}");
    write(at, "asked.txt", "the soup was lovely\n");
    let answer = json(&printed(&dht(at, &["predict", "model", "asked.txt"])));
    assert_eq!(answer["predicted"]["value"], 4.5, "{answer}");
}
