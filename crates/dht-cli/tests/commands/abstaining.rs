//! Abstention and unreadable rows: `--target-accuracy` and `--on-error`.

use super::tables::write;
use super::{csv, dht, json, printed, refused, reviews, trained};

#[test]
fn a_target_accuracy_selects_a_probability() {
    let place = trained();
    let at = place.path();
    write(at, "held.csv", &csv(&reviews(600, 5000)));
    let target = ["--target-accuracy", "0.9", "--held-out", "held.csv"];
    let run = dht(at, &[&["predict", "model", "data/test.csv"][..], &target].concat());
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(printed(&run).lines().count() == 61 && said.contains("answers need a probability of at least"), "{said}");
    assert!(said.contains("on texts like the 600 of held.csv"), "{said}");
    let evaluation = dht(at, &[&["evaluate", "model", "--data", "data", "--json"][..], &target].concat());
    let evaluation = json(&printed(&evaluation));
    let number = |name: &str| evaluation["target"][name].as_f64().expect("a number");
    assert!(number("right") >= 0.9 * number("answered") && number("coverage") > 0.5, "{evaluation}");
    assert!(evaluation["target"]["coverage_interval"][0].as_f64() < Some(number("coverage")), "{evaluation}");
    assert_eq!(evaluation["sure"]["min_probability"], evaluation["target"]["min_probability"]);

    // With wrong labels, no probability reaches the accuracy. Texts of the training are refused.
    let turned: Vec<(String, String)> = reviews(600, 5000)
        .into_iter()
        .enumerate()
        .map(|(row, (label, text))| (if row % 5 < 2 { "praised".into() } else { label }, text))
        .collect();
    write(at, "turned.csv", &csv(&turned));
    let predict = |more: &[&str]| dht(at, &[&["predict", "model", "data/test.csv"][..], more].concat());
    let told = refused(&predict(&["--target-accuracy", "0.99", "--held-out", "turned.csv"]), 1);
    assert!(told.contains("an accuracy of 0.99 of the answers cannot be shown from 600 texts"), "{told}");
    let told = refused(&predict(&["--target-accuracy", "0.9", "--held-out", "data/train.csv"]), 1);
    assert!(told.contains("are texts that the model was fitted on"), "{told}");
    for (more, expected) in [
        (&["--target-accuracy", "0.9"][..], "--held-out"),
        (&["--target-accuracy", "1", "--held-out", "held.csv"], "--target-accuracy is 1, expected a number above 0"),
        (&["--target-accuracy", "0.9", "--held-out", "held.csv", "--confidence", "0"], "--confidence is 0"),
        (&["--target-accuracy", "0.9", "--held-out", "held.csv", "--min-probability", "0.5"], "cannot be used with"),
        (&["--target-accuracy", "0.9", "--held-out", "none.csv"], "none.csv"),
    ] {
        let run = predict(more);
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && said.contains(expected) && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn rows_without_an_answer_are_skipped_or_reported() {
    let place = trained();
    let at = place.path();
    let rows = b"{\"text\": \"the soup was lovely\"}\n{\"text\": \"a\xff\"}\n{\"text\": \n{\"body\": 1}\n{\"text\": \"\"}\n{\"text\": [1]}\n{\"text\": \"the bread was stale\"}\n{\"text\": \"cut \xc3";
    std::fs::write(at.join("odd.jsonl"), rows).expect("a file");
    let predict = |more: &[&str]| dht(at, &[&["predict", "model"][..], more].concat());
    let failed = refused(&predict(&["odd.jsonl"]), 1);
    assert!(failed.contains("odd.jsonl:2: is not UTF-8"), "{failed}");
    let run = predict(&["odd.jsonl", "--on-error", "skip"]);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(printed(&run).lines().count(), 2, "{said}");
    assert!(said.contains("6 of 8 rows have no answer, the first in line 2"), "{said}");
    let run = predict(&["odd.jsonl", "--on-error", "report", "--top-k", "1"]);
    let lines: Vec<_> = printed(&run).lines().map(json).collect();
    assert_eq!(lines.len(), 8, "{lines:?}");
    let reasons: Vec<bool> = lines.iter().map(|line| line["error"].is_string()).collect();
    assert_eq!(reasons, [false, true, true, true, true, true, false, true]);
    assert!(lines[1]["line"] == 2 && lines[4]["text"] == "" && lines[4]["predicted"].is_null(), "{lines:?}");
    assert_eq!(lines[0]["predicted"]["probabilities"].as_object().map(|classes| classes.len()), Some(1));

    // The csv file has a row with too many columns, and its header again.
    write(at, "odd.csv", "id,text\n1,the soup was lovely\n2,a,b,c\nid,text\n3,\n4,the bread was stale\n");
    let table = printed(&predict(&["odd.csv", "--on-error", "report", "--top-k", "2"]));
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows[0], "id,text,predicted,probability,route,cost,predicted_2,probability_2,error");
    assert_eq!(rows.len(), 6, "{table}");
    assert!(rows[1].ends_with(',') && rows[2].starts_with(",,,,") && rows[2].contains("columns"), "{table}");
    assert!(rows[4].starts_with("3,,,,") && rows[4].ends_with("the row has no text"), "{table}");
    let cells: Vec<&str> = rows[1].split(',').collect();
    let sum: f64 = [3, 7].map(|cell: usize| cells[cell].parse::<f64>().expect("a number")).iter().sum();
    assert!((sum - 1.0).abs() < 1e-5 && cells[2] != cells[6], "{table}");
    let skipped = printed(&predict(&["odd.csv", "--on-error", "skip"]));
    assert_eq!(skipped.lines().count(), 3, "{skipped}");
    // An undecodable line within a quoted cell makes one row unreadable.
    let cells = b"id,text\n1,the soup was lovely\n2,\"a\nb\xff\nc\"\n3,\xe9t\xe9\n4,the bread was stale\n5,cut \xc3";
    std::fs::write(at.join("latin.csv"), cells).expect("a file");
    let failed = refused(&predict(&["latin.csv"]), 1);
    assert!(failed.contains("latin.csv:4: is not UTF-8"), "{failed}");
    let table = printed(&predict(&["latin.csv", "--on-error", "report"]));
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 6, "{table}");
    for (row, is_readable) in rows[1..].iter().zip([true, false, false, true, false]) {
        assert_eq!(row.ends_with(',') && !row.contains("UTF-8"), is_readable, "{table}");
    }
    assert!(rows[2].contains("line 4: is not UTF-8"), "{table}");
    // Rows that are left out are counted even if notes are not wanted.
    let run = predict(&["latin.csv", "--on-error", "skip", "--quiet"]);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(printed(&run).lines().count(), 3, "{said}");
    assert!(said.contains("3 of 5 rows have no answer, the first in line 4"), "{said}");
    let lines = b"the soup was lovely\n\xff\xfe\xfd bad\nthe bread was stale";
    std::fs::write(at.join("odd.txt"), lines).expect("a file");
    let table = printed(&predict(&["odd.txt", "--on-error", "report", "--output-format", "tsv"]));
    assert_eq!(table.lines().nth(2).map(|row| row.matches('\t').count()), Some(5), "{table}");
    // An input that only has invalid lines is refused early.
    let noise: Vec<u8> = b"\xff\n".repeat(5000);
    std::fs::write(at.join("noise.txt"), noise).expect("a file");
    let said = refused(&predict(&["noise.txt", "--on-error", "skip"]), 2);
    assert!(said.contains("fewer than 1000 unreadable rows in succession"), "{said}");
    for (most, expected) in [("0", "--top-k is 0, expected 1 to 2"), ("3", "--top-k is 3, expected 1 to 2")] {
        let said = refused(&predict(&["odd.csv", "--top-k", most]), 2);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn headers_of_all_files_are_checked_before_the_first_row() {
    let place = trained();
    let at = place.path();
    write(at, "a.csv", "id,text\n1,the soup was lovely\n");
    for (name, content) in
        [("other.csv", "id,body,text\n1,2,b\n"), ("none.csv", "id,number\n1,2\n"), ("c.jsonl", "{\"text\": \"b\"}\n")]
    {
        write(at, name, content);
        let run = dht(at, &["predict", "model", "a.csv", name]);
        assert!(!run.status.success() && run.stdout.is_empty(), "{name}: {run:?}");
        assert!(String::from_utf8_lossy(&run.stderr).contains(name), "{run:?}");
    }
    write(at, "b.csv", "id,text\n2,the bread was stale\n");
    assert_eq!(printed(&dht(at, &["predict", "model", "a.csv", "b.csv"])).lines().count(), 3);
}

#[test]
fn rows_of_unknown_and_empty_labels_are_counted() {
    let place = trained();
    let at = place.path();
    let mut rows = reviews(60, 3000);
    rows[3].0 = "<i>odd</i>".into();
    rows[4].0 = "<i>odd</i>".into();
    rows[9].0 = String::new();
    write(at, "more.csv", &csv(&rows));
    let run = dht(at, &["evaluate", "model", "--data", "more.csv", "--json", "--report", "page.html"]);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    let told =
        "3 of 60 rows are not scored: 1 have no label, 2 have a label that the model does not have (\"<i>odd</i>\": 2)";
    assert!(said.contains(told), "{said}");
    let evaluation = json(&printed(&run));
    let reading = &evaluation["data"]["reading"];
    assert_eq!((&evaluation["data"]["rows"], &reading["unlabelled_rows"]), (&57.into(), &1.into()), "{evaluation}");
    assert_eq!(reading["unknown_labels"], serde_json::json!([["<i>odd</i>", 2]]));
    let page = std::fs::read_to_string(at.join("page.html")).expect("a page");
    assert!(page.contains("&#60;i&#62;odd") && !page.contains("<i>odd"), "{page}");
    // Labels that the model does not have are still refused.
    rows.iter_mut().for_each(|row| row.0 = format!("{} meal", row.0));
    write(at, "other.csv", &csv(&rows));
    refused(&dht(at, &["evaluate", "model", "--data", "other.csv"]), 1);
}

#[test]
fn answers_are_explained_by_their_exit() {
    let place = trained();
    let at = place.path();
    let predict = |more: &[&str]| dht(at, &[&["predict", "model", "--explain"][..], more].concat());
    let rows: Vec<_> =
        reviews(30, 7000).into_iter().map(|(_, text)| serde_json::json!({ "text": text }).to_string()).collect();
    write(at, "asked.jsonl", &rows.join("\n"));
    let weights = |line: &serde_json::Value| -> Vec<f64> {
        let parts = line["explanation"]["parts"].as_array().expect("parts");
        parts.iter().map(|part| part["weight"].as_f64().expect("a number")).collect()
    };
    // At speed 1 the n-gram exit answers; at speed 0 all layers run.
    for line in printed(&predict(&["asked.jsonl", "--speed", "1"])).lines().map(json) {
        let explanation = &line["explanation"];
        assert_eq!(
            (&explanation["method"], &line["predicted"]["route"]),
            (&"contributions".into(), &"0L".into()),
            "{line}"
        );
        let number = |name: &str| explanation[name].as_f64().expect("a number");
        let sum = number("constant") + number("rest") + weights(&line).iter().sum::<f64>();
        let probability = |label: &serde_json::Value| {
            line["predicted"]["probabilities"][label.as_str().expect("a name")].as_f64().expect("a number")
        };
        let odds = (probability(&line["predicted"]["label"]) / probability(&explanation["against"])).ln();
        assert!((sum - odds).abs() < 1e-3, "{sum} is not {odds}: {line}");
    }
    let deep: Vec<_> = printed(&predict(&["asked.jsonl", "--speed", "0"])).lines().map(json).collect();
    for line in &deep {
        let words = line["text"].as_str().expect("a text").split_whitespace().count();
        assert_eq!(line["explanation"]["method"], "occlusion");
        assert_eq!(line["explanation"]["texts"].as_u64(), Some(words as u64), "{line}");
        assert!(line["explanation"]["flops"].as_u64() > line["predicted"]["flops"].as_u64(), "{line}");
        assert_eq!(weights(line).len(), words.min(30));
    }
    let said = refused(&predict(&["data/test.csv"]), 2);
    assert!(said.contains("--explain is set, expected answers as JSON lines"), "{said}");
    assert_eq!(printed(&predict(&["data/test.csv", "--output-format", "jsonl"])).lines().count(), 60);
}
