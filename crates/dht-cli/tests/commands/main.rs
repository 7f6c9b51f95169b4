//! Tests of the command as a user runs it: from a file of labelled texts to a model and its answers, and errors.

mod abstaining;
mod advice;
mod class_weights;
mod comparing;
mod continuing;
mod inputs;
mod lengths;
mod missing_classes;
mod numbers;
#[cfg(unix)]
mod partitions;
mod predicting;
mod reporting;
mod resuming;
mod reviewing;
mod stopping;
#[cfg(all(unix, feature = "s3"))]
mod stores;
mod tables;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const GOOD: [&str; 4] = ["lovely", "fresh", "friendly", "quick"];
const BAD: [&str; 4] = ["stale", "rude", "cold", "slow"];
const THINGS: [&str; 5] = ["soup", "waiter", "bread", "table", "wine"];

/// Creates labelled reviews: praised or panned by one to three judgements of the same kind.
fn reviews(count: usize, from: usize) -> Vec<(String, String)> {
    (from..from + count)
        .map(|row| {
            let (label, words) = if row % 2 == 0 { ("praised", GOOD) } else { ("panned", BAD) };
            let judgement = |at: usize| format!("the {} was {}", THINGS[(row / 3 + at) % 5], words[(row / 7 + at) % 4]);
            let text = (0..1 + row % 3).map(judgement).collect::<Vec<_>>().join(" and ");
            (label.to_owned(), format!("{text}, said guest {}", row % 97))
        })
        .collect()
}

fn csv(rows: &[(String, String)]) -> String {
    let rows: String = rows.iter().map(|(label, text)| format!("{label},\"{text}\"\n")).collect();
    format!("label,text\n{rows}")
}

/// Creates a folder with `data/train.csv` and `data/test.csv`.
fn place() -> TempDir {
    let place = tempfile::tempdir().expect("a folder");
    let data = place.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::write(data.join("train.csv"), csv(&reviews(400, 0))).expect("a file");
    std::fs::write(data.join("test.csv"), csv(&reviews(60, 1000))).expect("a file");
    place
}

fn dht(place: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dht"))
        .current_dir(place)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("dht runs")
}

/// Returns the standard output of a command that must succeed.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the standard error of a command that must fail: with code 2 if the message begins with a flag.
fn refused(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = if said.contains("error: --") { 2 } else { code };
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

const TRAIN: [&str; 13] = [
    "train",
    "--data",
    "data",
    "--model",
    "3x2x16",
    "--epochs",
    "4",
    "--batch",
    "8",
    "--max-length",
    "24",
    "--out",
    "model",
];

fn trained() -> TempDir {
    let place = place();
    printed(&dht(place.path(), &TRAIN));
    place
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_model_is_trained_scored_inspected_and_exported() {
    let place = place();
    let output = dht(place.path(), &[&TRAIN[..], &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let made = json(&printed(&output));
    assert!(said.contains("360 training, 40 validation, 60 test"), "{said}");
    assert!(said.contains("2 classes: panned"), "{said}");
    assert_eq!(
        made["data"],
        serde_json::json!({ "path": "data", "split": "test", "rows": 60, "classes_without_rows": [] })
    );
    assert!(made["results"].as_array().expect("rows").iter().all(|row| row["cost"].is_number()), "{made}");
    assert!(made["results"][0]["accuracy"].as_f64().expect("a number") > 0.9, "{made}");
    assert!(!place.path().join("model.training").exists());
    let card = std::fs::read_to_string(place.path().join("model/README.md")).expect("a card");
    let curve = std::fs::read_to_string(place.path().join("model/curve.svg")).expect("a picture");
    assert!(card.contains("(curve.svg)") && curve.starts_with("<svg"), "{curve}");
    assert!(card.contains("at its speed") && card.contains("dht predict model"), "{card}");

    let scored = json(&printed(&dht(place.path(), &["evaluate", "model", "--data", "data", "--json"])));
    assert_eq!(scored["data"]["rows"], 60);
    assert_eq!(scored["results"][0]["accuracy"], made["results"][0]["accuracy"]);
    let facts = json(&printed(&dht(place.path(), &["inspect", "model", "--json"])));
    assert_eq!((&facts["kind"], &facts["max_length"]), (&"dynamic".into(), &24.into()));
    assert_eq!(facts["labels"], serde_json::json!(["panned", "praised"]));
    assert!(printed(&dht(place.path(), &["inspect", "model"])).contains("exits       after 0, 1, 2, 3 layers"));

    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    assert!(place.path().join("plain/model.safetensors").exists());
    let plain = json(&printed(&dht(place.path(), &["evaluate", "plain", "--data", "data", "--json"])));
    assert_eq!(plain["results"][0]["accuracy"], made["results"][0]["accuracy"], "the encoder alone, as it is");
    // The exported directory is a fine-tuned classifier like any other.
    let again =
        ["accelerate", "plain", "--data", "data", "--max-length", "24", "--out", "again", "--budget", "0.5", "--json"];
    let again = json(&printed(&dht(place.path(), &again)));
    let at = |made: &Value, row: usize| made["results"][row]["accuracy"].as_f64().expect("a number");
    assert_eq!(at(&again, 0), at(&made, 0), "the encoder alone answers alike");
    assert!(again["results"][2]["cost"].as_f64().expect("a number") < 0.6, "{again}");
    // Settings are selected on a separate file, so that all rows of the other file are training rows.
    std::fs::write(place.path().join("dev.csv"), csv(&reviews(60, 2000))).expect("a file");
    let beside =
        ["accelerate", "plain", "--data", "data", "--validation", "dev.csv", "--max-length", "24", "--out", "beside"];
    let output = dht(place.path(), &beside);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    printed(&output);
    let replaced = dht(place.path(), &[&beside[..9], &["again", "--seed", "1"]].concat());
    let warned = String::from_utf8_lossy(&replaced.stderr).into_owned();
    printed(&replaced);
    assert!(
        warned.contains("again holds a model of 360 rows of data/train, which will be replaced")
            && !said.contains("replaced"),
        "{warned}"
    );
    assert!(said.contains("400 texts, 60 held out") && !said.contains("give others with --validation"), "{said}");
    let small = refused(&dht(place.path(), &[&beside[..], &["--points", "1", "--calibration-rows", "57"]].concat()), 1);
    assert!(small.contains("expected at least 61"), "{small}");
    let none = refused(&dht(place.path(), &[&beside[..], &["--points", "1", "--calibration-rows", "0"]].concat()), 1);
    assert!(none.contains("--calibration-rows is 0, expected at least 1"), "{none}");
    let backwards = refused(&dht(place.path(), &["predict", "model", "data/train.csv", "--speed=-1"]), 1);
    assert!(backwards.contains("--speed is -1, expected a number of at least 0"), "{backwards}");
    let other = refused(&dht(place.path(), &["evaluate", "model", "--data", "data", "--task", "number"]), 1);
    assert!(other.contains("--task is number, expected class, which the model was trained for"), "{other}");
    // The exits of a model of dht are fitted anew on the same encoder.
    let own = ["accelerate", "model", "--data", "data", "--out", "m", "--json"];
    let own = json(&printed(&dht(place.path(), &own)));
    assert_eq!(at(&own, 0), at(&made, 0), "{own}");
    // With few rows, the exits learn from all of them, and are scored on out-of-fold answers.
    std::fs::write(place.path().join("few.csv"), csv(&reviews(30, 3000))).expect("a file");
    let few = ["train", "--data", "few.csv", "--model", "plain", "--max-length", "24", "--out", "few"];
    let table = printed(&dht(place.path(), &few));
    assert!(table.starts_with("On the 30 training and validation rows, out of fold"), "{table}");
    let few = json(&printed(&dht(place.path(), &[&few[..], &["--json"]].concat())));
    assert_eq!(
        few["data"],
        serde_json::json!({ "path": "few.csv", "split": "out of fold", "rows": 30, "classes_without_rows": [] })
    );
    let rungs = few["training"]["measurements"].as_array().expect("rungs");
    let rows = few["results"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["texts_per_second"].as_f64().is_some_and(|rate| rate > 0.0)), "{few}");
    assert_eq!(few["results"][1]["accuracy"], rungs.last().expect("a rung")["accuracy"], "all layers: {few}");
    let card = std::fs::read_to_string(place.path().join("few/README.md")).expect("a card");
    assert!(card.contains("only its exits were fitted, with seed 0."), "fine-tuning was not tried: {card}");
    let side = refused(&dht(place.path(), &["export", "model", "--out", "cut", "--layers", "1"]), 1);
    assert!(side.contains("layers is 1, expected a depth with a linear exit: ["), "{side}");
}

#[test]
fn multi_label_and_numeric_targets_train_score_and_predict() {
    let place = tempfile::tempdir().expect("a folder");
    let word = |good: bool, row: usize| if good { GOOD[row % 4] } else { BAD[row % 4] };
    let rows: Vec<(String, usize, String)> = (0..400)
        .map(|row| {
            let (food, service) = (row % 2 == 0, row / 2 % 2 == 0);
            let labels: Vec<&str> =
                [(food, "food"), (service, "service")].iter().filter(|it| it.0).map(|it| it.1).collect();
            let text = format!("the soup was {}; the waiter was {}", word(food, row / 4), word(service, row / 16));
            (labels.join(";"), usize::from(food) + usize::from(service), text)
        })
        .collect();
    let file = |name: &str, row: &dyn Fn(&(String, usize, String)) -> String| {
        let lines: String = rows.iter().map(row).collect();
        std::fs::write(place.path().join(name), format!("label,text\n{lines}")).expect("a file");
    };
    file("topics.csv", &|(labels, _, text)| format!("{labels},\"{text}\"\n"));
    file("stars.csv", &|(_, stars, text)| format!("{stars},\"{text}\"\n"));
    let train = |data: &'static str, task: &'static str, out: &'static str| {
        let words = [
            "train", "--data", data, "--task", task, "--out", out, "--model", "2x2x16", "--epochs", "8", "--batch", "8",
        ];
        [&words[..], &["--lr", "3e-3", "--json"]].concat()
    };
    let topics = [&train("topics.csv", "labels", "topics")[..], &["--label-separator", ";"]].concat();
    let stars = train("stars.csv", "number", "stars");
    let output = dht(place.path(), &topics);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("2 labels: food (") && said.contains("rows have none"), "{said}");
    let made = json(&printed(&output));
    assert!(made["results"][0]["score"].as_f64().expect("a number") > 0.9, "{made}");
    // The columns and the label separator are those of the model's training.
    let scored = json(&printed(&dht(place.path(), &["evaluate", "topics", "--data", "topics.csv", "--json"])));
    assert!(scored["results"][0]["score"].as_f64().expect("a number") > 0.9, "{scored}");

    let output = dht(place.path(), &[&stars[..], &["--kind", "full"]].concat());
    let made = json(&printed(&output));
    assert!(made["results"][0]["score"].as_f64().expect("a number") > 0.9, "{made}");

    std::fs::write(place.path().join("asked.txt"), "the soup was fresh; the waiter was rude\n").expect("a file");
    let ask = |model: &str| json(&printed(&dht(place.path(), &["predict", model, "asked.txt"])));
    let (topics, stars) = (ask("topics"), ask("stars"));
    assert_eq!(topics["predicted"]["labels"], serde_json::json!(["food"]), "{topics}");
    let value = stars["predicted"]["value"].as_f64().expect("a number");
    assert!((value - 1.0).abs() < 0.5, "{stars}");
    // Exits on a multi-label classifier cost less than all layers.
    let export = ["export", "topics", "--out", "plain"];
    printed(&dht(place.path(), &export));
    let labels = ["--data", "topics.csv", "--task", "labels", "--label-separator", ";", "--json"];
    let fast = [&["accelerate", "plain", "--out", "fast"][..], &labels].concat();
    let rows = json(&printed(&dht(place.path(), &fast)))["results"].clone();
    let row = |name: &str| rows.as_array().into_iter().flatten().find(|row| row["name"] == name).cloned();
    let (all, own) = (row("all layers").expect("a row"), row("at its speed").expect("a row"));
    assert!(own["score"].as_f64() > Some(0.9) && own["cost"].as_f64() <= all["cost"].as_f64(), "{rows}");
    let answers = printed(&dht(place.path(), &["predict", "fast", "asked.txt", "--speed", "1"]));
    assert!(answers.contains("\"route\":\"0L\"") && answers.contains("\"labels\""), "{answers}");
    let said = refused(&dht(place.path(), &["accelerate", "stars", "--data", "stars.csv", "--out", "slow"]), 2);
    assert!(said.contains("models of numbers have no early exits"), "{said}");
}

#[test]
fn a_training_that_was_killed_goes_on_to_the_same_bits() {
    let place = place();
    let out = |name: &'static str| [&TRAIN[..12], &[name, "--quiet"]].concat();
    printed(&dht(place.path(), &out("whole")));
    let weights = |name: &str| {
        let model = place.path().join(name).join("model");
        ["encoder/model.safetensors", "dynamic.checkpoint", "ngram.json"]
            .map(|file| std::fs::read(model.join(file)).expect("a file"))
    };
    let mut kills = 0;
    for wait in [40, 90, 150, 240, 400, 700, 1200] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dht"))
            .current_dir(place.path())
            .args(out("killed"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dht runs");
        std::thread::sleep(std::time::Duration::from_millis(wait));
        kills += usize::from(child.try_wait().expect("a state").is_none());
        let _ = child.kill();
        let _ = child.wait();
    }
    assert!(kills > 0, "at least one was still running");
    printed(&dht(place.path(), &out("killed")));
    assert_eq!(weights("killed"), weights("whole"));

    // A different training run does not resume from the state of this one.
    let state = place.path().join("other.training");
    std::fs::create_dir(&state).expect("a folder");
    std::fs::write(state.join("training.json"), "{\"format\": \"dht training\", \"lr\": 1}").expect("a file");
    std::fs::write(state.join("full.checkpoint"), "a state").expect("a file");
    let said = refused(&dht(place.path(), &out("other")), 1);
    assert!(
        said.contains("other.training has the state of a stopped training run with other texts or settings"),
        "{said}"
    );
    printed(&dht(place.path(), &[&out("other")[..], &["--restart"]].concat()));
}

#[test]
fn a_learning_rate_is_found_and_a_full_model_stays_one() {
    let place = place();
    let arguments =
        [&TRAIN[..12], &["found", "--lr", "find", "--balanced", "--patience", "1", "--kind", "full"]].concat();
    let output = dht(place.path(), &arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    printed(&output);
    assert_eq!(said.matches("validation loss").count(), 3, "{said}");
    let card = std::fs::read_to_string(place.path().join("found/README.md")).expect("a card");
    assert!(card.contains("at a peak learning rate of 0.003"), "{card}");
    assert_eq!(printed(&dht(place.path(), &["inspect", "found"])).lines().next(), Some("kind        full"));
}

#[test]
fn a_promise_is_kept_or_said_to_be_out_of_reach() {
    let place = place();
    let promised = |points: &str, out: &'static str| {
        let arguments = [&TRAIN[..12], &[out, "--points", points, "--calibration-rows", "80", "--json"]].concat();
        json(&printed(&dht(place.path(), &arguments)))
    };
    let report = promised("20", "kept");
    assert_eq!(report["not_kept"], serde_json::json!([]));
    assert_eq!((&report["promise"]["rows"], &report["promise"]["most"]), (&80.into(), &0.2.into()));
    let card = std::fs::read_to_string(place.path().join("kept/README.md")).expect("a card");
    assert!(card.contains("Promise: at most 20.00 points of accuracy lost"), "{card}");
    let out_of_reach = promised("0.1", "not");
    assert_eq!(out_of_reach["promise"], Value::Null);
    assert!(
        out_of_reach["not_kept"][0]
            .as_str()
            .expect("a sentence")
            .contains("--points 0.1 cannot be shown from 80 texts: ")
    );
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_written() {
    let place = place();
    let train = |more: &[&str]| refused(&dht(place.path(), &[&TRAIN[..], more].concat()), 1);
    for (flags, said) in [
        (&["--budget", "0"][..], "--budget is 0, expected a share"),
        (&["--points", "0"], "--points is 0, expected percentage points above 0"),
        (&["--layers", "4"], "--layers is 4, expected 1 to 3"),
        (&["--layers", "1"], "--layers is 1, expected at least 2, or --kind full"),
        (&["--kind", "full", "--budget", "0.5"], "--kind is full, expected dynamic"),
        (&["--lr", "0"], "--lr is 0, expected a finite number above 0, or find"),
        (&["--lr", "fast"], "--lr is fast, expected a finite number above 0, or find"),
        (&["--patience", "0"], "--patience is 0, expected at least 1"),
        (&["--text-column", "label", "--label-column", "label"], "--text-column is \"label\", expected another column"),
        (&["--text-column", "words"], "no column \"words\"; there are \"label\", \"text\""),
        (&["--train-rows", "3"], "expected at least 4 rows, got 3"),
        (&["--train-rows", "12"], "expected at least 20 rows to train on (--kind full takes fewer), got 10"),
    ] {
        let flags: Vec<&str> = flags.to_vec();
        let got = train(&flags);
        assert!(got.contains(said), "{flags:?}: {got}");
    }
    assert!(!place.path().join("model").exists() && !place.path().join("model.training").exists());
    std::fs::create_dir(place.path().join("model")).expect("a folder");
    std::fs::write(place.path().join("model/notes.txt"), "mine").expect("a file");
    assert!(train(&[]).contains("model/notes.txt was not written by this command"));
    assert!(!place.path().join("model.training").exists(), "nothing was trained for a target that is taken");
    let nowhere = refused(&dht(place.path(), &["train", "--data", "data", "--model", "nowhere", "--out", "m"]), 2);
    assert!(
        nowhere.contains("nowhere is not a model to start from, expected a directory with a config.json"),
        "{nowhere}"
    );
    let narrow = refused(&dht(place.path(), &["train", "--data", "data", "--model", "1x1x1", "--out", "m"]), 1);
    assert!(narrow.contains("size is 1x1x1, expected a width of at least 2"), "{narrow}");
    refused(&dht(place.path(), &["train", "--data", "data", "--out", "m"]), 2);
    let none = refused(&dht(place.path(), &["predict", "data", "data/test.csv"]), 1);
    assert!(none.contains("has no dht.json: name a directory"), "{none}");
    assert!(printed(&dht(place.path(), &["completions", "bash"])).contains("accelerate"));
}

#[test]
fn texts_without_labels_are_enough_to_accelerate() {
    let place = trained();
    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    let texts: String = reviews(300, 9000).iter().map(|(_, text)| format!("{text}\n")).collect();
    std::fs::write(place.path().join("texts.txt"), texts).expect("a file");
    let arguments = [
        "accelerate",
        "plain",
        "--data",
        "texts.txt",
        "--unlabelled",
        "--max-length",
        "24",
        "--out",
        "fast",
        "--points",
        "20",
        "--json",
    ];
    let made = json(&printed(&dht(place.path(), &arguments)));
    assert_eq!(made["results"][0]["accuracy"], 1.0, "the encoder agrees with itself: {made}");
    assert_eq!(made["promise"]["disagreement"], true);
}

#[test]
fn refusals_name_arguments_as_they_were_typed() {
    let place = place();
    for (arguments, expected) in [
        (&["accelerate", "nowhere", "--data", "data", "--out", "o"][..], "error: nowhere is not a model to start from"),
        (
            &["train", "--model", "nowhere", "--data", "data", "--out", "o"],
            "error: nowhere is not a model to start from",
        ),
        (&["inspect-data", "nothing"], "error: nothing: there is no such file or directory, and no data set is known"),
        (&["train", "--model", "2x2x16", "--data", "nothing", "--out", "o"], "error: nothing: there is no such file"),
    ] {
        let said = refused(&dht(place.path(), arguments), 2);
        assert!(said.starts_with(expected), "{arguments:?}: {said}");
    }
    let said = refused(&dht(place.path(), &["evaluate", "nowhere", "--data", "data"]), 1);
    assert!(said.contains("nowhere") && !said.contains("--"), "{said}");
}
