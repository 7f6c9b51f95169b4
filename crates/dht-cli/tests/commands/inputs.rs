//! Tests that each flag and file has an effect or is refused: none is ignored.

use serde_json::{Value, json as value};
use tempfile::TempDir;

use super::tables::{said, train, write};
use super::{TRAIN, csv, dht, json, place, printed, refused, reviews, trained};

fn read(place: &TempDir, name: &str) -> String {
    std::fs::read_to_string(place.path().join(name)).expect("a file")
}

#[test]
fn labels_of_the_training_file_are_mapped_too() {
    let place = place();
    let mut rows = reviews(90, 0);
    (0..30).for_each(|row| rows[row].0 = "neutral".into());
    write(place.path(), "data/train.csv", &csv(&rows));
    write(place.path(), "data/test.csv", &csv(&rows[20..50]));
    let merged = ["--label-map", "neutral=panned"];
    let read = said(&train(place.path(), "data", &merged));
    assert!(read.contains("2 classes: panned (") && read.contains("neutral is panned"), "{read}");
    let inspected = printed(&dht(place.path(), &[&["inspect-data", "data/train.csv"][..], &merged].concat()));
    assert!(inspected.contains("2 classes: panned (60), praised (30)"), "{inspected}");
    let unknown = refused(&train(place.path(), "data", &["--label-map", "netral=panned"]), 1);
    assert!(unknown.contains("\"netral\" is mapped to a class, but no row has this label"), "{unknown}");
    let numbers = refused(&train(place.path(), "data", &["--task", "number", "--label-map", "1=good"]), 2);
    assert!(numbers.contains("--label-map is set, expected classes or labels"), "{numbers}");
}

#[test]
fn columns_of_texts_that_are_read_by_lines_are_refused() {
    let place = trained();
    write(place.path(), "lines.txt", "id,headline\n1,the soup was cold\n");
    for flags in [&["--text-column", "headline"][..], &["--header"]] {
        let refused = refused(&dht(place.path(), &[&["predict", "model", "lines.txt"], flags].concat()), 2);
        assert!(
            refused.contains(&format!("{} is set for lines.txt, which is read line by line", flags[0])),
            "{refused}"
        );
    }
    let read = ["predict", "model", "lines.txt", "--text-column", "headline", "--input-format", "csv"];
    assert_eq!(printed(&dht(place.path(), &read)).lines().count(), 2);
}

#[test]
fn several_labels_and_numbers_begin_with_a_fitted_last_layer() {
    let place = trained();
    let at = place.path();
    printed(&dht(at, &["export", "model", "--out", "plain"]));
    let rows = |of: fn(usize, &str) -> String, count: usize, first: usize| -> String {
        let row = |(at, (label, text)): (usize, &(String, String))| format!("{},\"{text}\"\n", of(at, label));
        format!("label,text\n{}", reviews(count, first).iter().enumerate().map(row).collect::<String>())
    };
    let labels = |at: usize, label: &str| format!("{label};{}", if at.is_multiple_of(2) { "even" } else { "odd" });
    write(at, "several/train.csv", &rows(labels, 300, 0));
    write(at, "several/test.csv", &rows(labels, 100, 5000));
    let train = ["train", "--model", "plain", "--epochs", "1", "--max-length", "24"];
    let several = ["--data", "several", "--task", "labels", "--label-separator", ";", "--out", "several-model"];
    let train_several = |more: &[&'static str]| dht(at, &[&train[..], &several, more].concat());
    let told = said(&train_several(&["--rungs", "1"]));
    assert!(told.contains("rung 1, the encoder as it is: validation micro F1 ") && !told.contains("rung 2"), "{told}");
    let shown = printed(&dht(at, &["inspect", "several-model"]));
    assert!(shown.contains("applies at  even 0.") && shown.contains("at least one label for each text"), "{shown}");
    let thresholds = json(&printed(&dht(at, &["inspect", "several-model", "--json"])))["thresholds"].clone();
    assert_eq!(thresholds["least"], serde_json::json!([0.5, 0.5, 0.5, 0.5]), "{thresholds}");
    printed(&train_several(&["--rungs", "1", "--label-thresholds", "f1"]));
    let shown = json(&printed(&dht(at, &["inspect", "several-model", "--json"])))["thresholds"].clone();
    let least: Vec<f64> =
        shown["least"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect();
    assert!(least.len() == 4 && least.iter().all(|least| (0.0..1.0).contains(least)), "{shown}");
    let scored = json(&printed(&dht(at, &["evaluate", "several-model", "--data", "several", "--json"])));
    let metrics: Vec<&str> = scored["results"][0]["metrics"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|own| own["metric"].as_str())
        .collect();
    assert_eq!(metrics, ["micro F1", "subset accuracy", "average precision"], "{scored}");
    let answers = printed(&dht(at, &["predict", "several-model", "several/test.csv", "--output-format", "jsonl"]));
    assert!(
        answers
            .lines()
            .all(|line| json(line)["predicted"]["labels"].as_array().is_some_and(|labels| !labels.is_empty()))
    );
    let told = said(&train_several(&["--kind", "full"]));
    assert!(told.contains("rung 1: macro F1 ") && told.contains("rung 2: macro F1 "), "{told}");
    let both = refused(&train_several(&["--kind", "full", "--rungs", "1", "--minutes", "5"]), 2);
    assert!(both.contains("expected this flag left out"), "{both}");

    let stars = |at: usize, label: &str| format!("{}", usize::from(label == "praised") * 3 + at % 2);
    write(at, "stars/train.csv", &rows(stars, 300, 0));
    write(at, "stars/test.csv", &rows(stars, 100, 5000));
    let number = ["--data", "stars", "--task", "number", "--out", "stars-model", "--rungs", "1", "--json"];
    let made = json(&printed(&dht(at, &[&train[..], &number].concat())));
    let row = &made["results"][1];
    assert!(row["score"].as_f64().expect("a number") > 0.8, "{made}");
    assert_eq!(row["metrics"][3]["metric"], "quadratic kappa", "{made}");
}

#[test]
fn columns_of_texts_without_labels_are_stored() {
    let place = trained();
    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    let row = |(at, (_, text)): (usize, &(String, String))| format!("title {at},\"{text}\"\n");
    let rows: String = reviews(200, 9000).iter().enumerate().map(row).collect();
    write(place.path(), "t.csv", &format!("text,body\n{rows}"));
    write(place.path(), "t.tab", &format!("text\tbody\n{}", rows.replace(',', "\t")));
    write(place.path(), "t.txt", "{\"text\": \"the soup was cold\"}\n");
    let fast = |data: &'static str, more: &[&'static str]| {
        let words = ["accelerate", "plain", "--data", data, "--unlabelled", "--max-length", "24", "--out", "fast"];
        dht(place.path(), &[&words[..], more].concat())
    };
    let made = said(&fast("t.csv", &["--text-column", "body"]));
    assert!(made.contains("text: column \"body\" (as asked)") && made.contains("200 rows"), "{made}");
    let stored: Value = json(&read(&place, "fast/dht.json"));
    assert_eq!(stored["origin"]["columns"]["text"], value!([{ "name": "body" }]), "{stored}");
    let answers = |more: &[&'static str]| printed(&dht(place.path(), &[&["predict", "fast", "t.csv"], more].concat()));
    assert_eq!(answers(&[]), answers(&["--text-column", "body"]));
    // A table with labels is also scored with that text column.
    write(place.path(), "l.csv", &format!("text,body,label\n{}", rows.replace('\n', ",praised\n")));
    let scored = printed(&dht(place.path(), &["evaluate", "fast", "--data", "l.csv"]));
    assert!(scored.contains("text from column \"body\" (as in training)"), "{scored}");
    let ending = refused(&fast("t.tab", &[]), 2);
    assert!(ending.contains("--data is t.tab, expected a name that ends with .csv"), "{ending}");
    let objects = refused(&fast("t.txt", &[]), 2);
    assert!(objects.contains("t.txt, whose first line is one of a table"), "{objects}");
    write(place.path(), "lines.txt", "the soup was cold\n");
    let lines = refused(&fast("lines.txt", &["--text-column", "body"]), 2);
    assert!(lines.contains("--text-column is set for lines.txt, which is read line by line"), "{lines}");
}

#[test]
fn a_directory_without_a_model_is_not_replaced() {
    let place = place();
    for name in ["README.md", "model/config.json", "dht.json"] {
        write(place.path(), &format!("mine/{name}"), "mine");
        let out = refused(&dht(place.path(), &[&TRAIN[..12], &["mine"]].concat()), 1);
        assert!(out.contains("mine"), "{out}");
        assert_eq!(read(&place, &format!("mine/{name}")), "mine");
        std::fs::remove_dir_all(place.path().join("mine")).expect("removed");
    }
    // The same holds with a model.
    let place = trained();
    write(place.path(), "model/model/notes.txt", "mine");
    assert!(refused(&dht(place.path(), &TRAIN), 1).contains("notes.txt"));
}

#[test]
fn texts_that_mostly_repeat_are_refused_before_the_training() {
    let place = place();
    write(place.path(), "data/validation.csv", &csv(&reviews(40, 0)));
    let repeated = refused(&dht(place.path(), &TRAIN), 2);
    assert!(repeated.contains("40 of 40 validation rows have the text of a training row"), "{repeated}");
    assert!(!place.path().join("model.training").exists());
    // Rows that are split off never share a text with the training rows, even if texts are repeated.
    std::fs::remove_file(place.path().join("data/validation.csv")).expect("a file");
    let rows: Vec<_> = (0..8).flat_map(|_| reviews(50, 0)).collect();
    write(place.path(), "data/train.csv", &csv(&rows));
    let told = said(&dht(place.path(), &TRAIN));
    assert!(told.contains("368 training, 32 validation") && !told.contains("the text of a training row"), "{told}");
}

#[test]
fn labels_of_the_test_file_alone_are_mapped() {
    let place = place();
    let mut rows = reviews(60, 600);
    rows[3].0 = "mixed".into();
    write(place.path(), "data/test.csv", &csv(&rows));
    assert!(refused(&train(place.path(), "data", &[]), 1).contains("--label-map"));
    let mapped = said(&train(place.path(), "data", &["--label-map", "mixed=panned"]));
    assert!(mapped.contains("mixed is panned"), "{mapped}");
}

#[test]
fn the_texts_are_not_overwritten_by_their_answers() {
    let place = trained();
    write(place.path(), "a.txt", "the soup was cold\n");
    for output in ["a.txt", "./a.txt"] {
        let same = refused(&dht(place.path(), &["predict", "model", "a.txt", "--output", output]), 2);
        assert!(same.contains("--output is a.txt, expected another file than the texts"), "{same}");
    }
    assert_eq!(read(&place, "a.txt"), "the soup was cold\n");
}

#[test]
fn a_regression_predicts_in_the_units_of_its_targets() {
    let place = place();
    let score = |label: &str| if label == "praised" { 180.0 } else { 20.0 };
    let row =
        |(at, (label, text)): (usize, &(String, String))| format!("{},\"{text}\"\n", score(label) + (at % 5) as f64);
    let rows: String = reviews(400, 0).iter().enumerate().map(row).collect();
    write(place.path(), "s.csv", &format!("score,text\n{rows}"));
    let words = ["train", "--data", "s.csv", "--task", "number", "--label-column", "score", "--kind", "full", "--json"];
    let more = ["--out", "scores", "--model", "2x2x16", "--epochs", "8", "--batch", "8", "--lr", "3e-3"];
    let made = json(&printed(&dht(place.path(), &[&words[..], &more].concat())));
    let judged = &made["results"][0]["metrics"][0];
    // The standard deviation of the targets is 80.
    assert!(judged["metric"] == "RMSE" && judged["value"].as_f64().expect("a number") < 30.0, "{made}");
    printed(&dht(place.path(), &["export", "scores", "--out", "plain"]));
    let again =
        printed(&dht(place.path(), &["evaluate", "plain", "--data", "s.csv", "--label-column", "score", "--json"]));
    assert_eq!(json(&again)["results"][0]["metrics"][0]["metric"], "RMSE", "{again}");
}

#[test]
fn calibration_rows_that_repeat_training_texts_are_left_out() {
    let place = place();
    write(place.path(), "data/validation.csv", &csv(&[reviews(130, 5000), reviews(30, 0)].concat()));
    let arguments = [&TRAIN[..12], &["kept", "--points", "20", "--calibration-rows", "80", "--json"]].concat();
    let output = dht(place.path(), &arguments);
    let (told, made) = (said(&output), json(&printed(&output)));
    assert!(told.contains("of 80 calibration rows have the text of a training row"), "{told}");
    assert!(made["promise"]["rows"].as_u64().expect("a promise") < 80, "{made}");
    // Rows that are split off never share a text with the training rows.
    let mut rows = reviews(400, 0);
    (0..60).for_each(|row| rows[6 * row] = ("praised".into(), "thanks".into()));
    write(place.path(), "data/train.csv", &csv(&rows));
    std::fs::remove_file(place.path().join("data/validation.csv")).expect("a file");
    let told = said(&dht(place.path(), &arguments));
    assert!(told.contains(" calibration, 60 test rows") && !told.contains("the text of a training row"), "{told}");
}

#[test]
fn inputs_of_another_layout_are_refused_in_one_table() {
    let place = trained();
    write(place.path(), "a.txt", "the soup was cold\n");
    write(place.path(), "b.jsonl", "{\"text\": \"the soup was fresh\"}\n");
    write(place.path(), "two.csv", "1,the soup was cold\n2,the wine was warm\n");
    write(place.path(), "three.csv", "1,the soup was cold,x\n2,the wine was warm,y\n");
    let ask = |more: &[&'static str]| dht(place.path(), &[&["predict", "model"], more].concat());
    let mixed = refused(&ask(&["a.txt", "b.jsonl", "--output-format", "csv"]), 1);
    assert!(mixed.contains("b.jsonl has another format or other columns than the first file"), "{mixed}");
    let wider = refused(&ask(&["two.csv", "three.csv", "--no-header", "--text-column", "1"]), 1);
    assert!(wider.contains("three.csv has another format or other columns"), "{wider}");
    let titled = printed(&ask(&["a.txt", "--output-format", "csv"]));
    assert!(titled.starts_with("text,predicted,probability,route,cost\nthe soup was cold,"), "{titled}");
    printed(&ask(&["two.csv", "--no-header", "--text-column", "1", "--output", "a.json"]));
    assert_eq!(json(read(&place, "a.json").lines().next().expect("a line"))["0"], "1");
    let parquet = refused(&ask(&["a.txt", "--output", "a.parquet"]), 2);
    assert!(parquet.contains("--output is a file that ends with .parquet, expected csv, tsv or jsonl"), "{parquet}");
}

#[test]
fn a_first_row_that_may_name_the_column_is_pointed_out() {
    let place = trained();
    write(place.path(), "asked.csv", "headline\nthe soup was cold\nthe wine was warm\n");
    // A classifier that `dht` did not train expects no names of columns.
    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    let ask = |more: &[&'static str]| dht(place.path(), &[&["predict", "plain", "asked.csv"], more].concat());
    let (doubt, rows) = (said(&ask(&[])), printed(&ask(&[])).lines().count());
    assert!(doubt.contains("asked.csv: the first row, \"headline\", is read as a text (--header if"), "{doubt}");
    assert_eq!(rows, 3);
    assert_eq!(said(&ask(&["--no-header"])), "");
    let titled = printed(&ask(&["--header", "--text-column", "headline"]));
    assert!(titled.starts_with("headline,predicted,"), "{titled}");
}
