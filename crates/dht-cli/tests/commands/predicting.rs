//! Tests of answers to files and pipes: order, columns, formats and notes.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{csv, dht, json, printed, refused, reviews, trained};

#[test]
fn files_and_pipes_get_the_same_answers_in_order() {
    let place = trained();
    let asked = reviews(300, 5000);
    let write = |name: &str, text: String| std::fs::write(place.path().join(name), text).expect("a file");
    write("asked.csv", csv(&asked));
    write("asked.txt", asked.iter().map(|(_, text)| format!("{text}\n")).collect());
    let object =
        |(n, (_, text)): (usize, &(String, String))| format!("{}\n", serde_json::json!({ "n": n, "text": text }));
    write("asked.jsonl", asked.iter().enumerate().map(object).collect());

    let table = printed(&dht(place.path(), &["predict", "model", "asked.csv"]));
    let mut rows = table.lines();
    assert_eq!(rows.next(), Some("label,text,predicted,probability,route,cost"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.rsplitn(5, ',').collect()).collect();
    assert_eq!(rows.len(), 300);
    for (row, (_, text)) in rows.iter().zip(&asked) {
        assert!(row[4].contains(text.as_str()), "{row:?} is of {text}");
    }
    let objects = |text: &str| text.lines().map(json).collect::<Vec<Value>>();
    let lines = objects(&printed(&dht(place.path(), &["predict", "model", "asked.txt"])));
    let members = objects(&printed(&dht(place.path(), &["predict", "model", "asked.jsonl", "--text-column", "text"])));
    let mut piped = Command::new(env!("CARGO_BIN_EXE_dht"))
        .current_dir(place.path())
        .args(["predict", "model", "--input-format", "csv", "--output-format", "jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("dht runs");
    piped.stdin.take().expect("a pipe").write_all(csv(&asked).as_bytes()).expect("written");
    let piped = objects(&printed(&piped.wait_with_output().expect("an end")));
    // A table that would be read as lines is refused, and rows without a text are counted.
    write("table.txt", csv(&asked));
    let said = refused(&dht(place.path(), &["predict", "model", "table.txt"]), 1);
    assert!(said.contains("whose first line names columns"), "{said}");
    write("gaps.txt", "good work\n\nnull\n".into());
    let gaps = dht(place.path(), &["predict", "model", "gaps.txt"]);
    let gaps = String::from_utf8_lossy(&gaps.stderr);
    assert!(gaps.contains("2 of 3 rows have no text, the first in line 2"), "{gaps}");
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(members[at]["n"], at);
        for other in [&lines[at], &members[at], &piped[at]] {
            let predicted = &other["predicted"];
            assert_eq!((predicted["label"].as_str(), predicted["route"].as_str()), (Some(row[3]), Some(row[1])));
            let own: f64 = row[2].parse().expect("a probability");
            let probability = predicted["probabilities"][row[3]].as_f64().expect("a probability");
            assert!((own - probability).abs() < 1e-6, "{own} {probability}");
        }
    }
    // Objects are written as cells with all members, or refused: no member is lost silently.
    let cells =
        printed(&dht(place.path(), &["predict", "model", "asked.jsonl", "asked.jsonl", "--output-format", "csv"]));
    let mut cells = cells.lines();
    assert_eq!(cells.next(), Some("n,text,predicted,probability,route,cost"));
    let cells: Vec<&str> = cells.collect();
    assert_eq!(cells.len(), 600);
    for (at, cell) in cells.iter().enumerate() {
        let added = rows[at % 300].iter().take(4).rev().copied().collect::<Vec<_>>().join(",");
        assert!(cell.starts_with(&format!("{},", at % 300)) && cell.ends_with(&added), "{cell}: {added}");
    }
    write("more.jsonl", "{\"text\": \"fine soup\"}\n{\"text\": \"cold soup\", \"id\": 7}\n".into());
    let refused = dht(place.path(), &["predict", "model", "more.jsonl", "--output-format", "csv"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("line 2 has the member \"id\""), "{said}");
    let right = rows.iter().zip(&asked).filter(|(row, (label, _))| row[3] == label).count();
    assert!(right > 280, "{right} of 300 right");
    let cost = |arguments: &[&str]| {
        let table = printed(&dht(place.path(), &[&["predict", "model", "asked.csv"], arguments].concat()));
        let costs =
            table.lines().skip(1).map(|row| row.rsplit(',').next().expect("a cost").parse::<f64>().expect("a number"));
        costs.sum::<f64>() / 300.0
    };
    assert!((cost(&["--speed", "0"]) - 1.0).abs() < 0.1);
    assert!(cost(&["--budget", "0.4"]) < 0.6);
}

#[test]
fn an_unreadable_row_is_named_after_the_answers_before_it() {
    let place = trained();
    let file: PathBuf = place.path().join("asked.csv");
    std::fs::write(&file, "label,text\na,the soup was cold\nb,the wine was fresh\nbroken\n").expect("a file");
    let output = dht(place.path(), &["predict", "model", "asked.csv"]);
    let said = refused(&output, 1);
    assert!(said.contains("asked.csv:4: 1 columns, expected 2"), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    // If the reader of the output goes away, the command ends without a message.
    std::fs::write(&file, csv(&reviews(20_000, 0))).expect("a file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_dht"))
        .current_dir(place.path())
        .args(["predict", "model", "asked.csv", "--budget", "0.4"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dht runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(141), &b""[..]));
}

#[test]
fn columns_and_pairs_unlike_the_training_are_read_or_rejected() {
    let place = trained();
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).expect("a file");
    write("reviews.csv", "review\nthe soup was cold\n\"the wine, though, was fresh\"\n");
    write("reviews.jsonl", "{\"review\": \"the soup was cold\"}\n");
    write("ids.jsonl", "{\"id\": 1}\n");
    for name in ["reviews.csv", "reviews.jsonl", "ids.jsonl"] {
        let said = refused(&dht(place.path(), &["predict", "model", name, "--quiet"]), 1);
        assert!(
            said.contains("no column \"text\"") && said.contains("name this file's column with --text-column"),
            "{said}"
        );
    }
    let other = dht(place.path(), &["predict", "model", "reviews.csv", "--text-column", "review", "--quiet"]);
    let table = printed(&other);
    assert_eq!(table.lines().next(), Some("review,predicted,probability,route,cost"));
    assert_eq!(table.lines().count(), 3, "{table}");
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert_eq!(said, "reading column \"review\"; the model was trained on column \"text\"\n");
    write("wide.csv", "id,opinion\n1,the soup was cold\n");
    let said = refused(&dht(place.path(), &["predict", "model", "wide.csv"]), 1);
    assert!(said.contains("name this file's column with --text-column"), "{said}");
    let pair = ["predict", "model", "wide.csv", "--pair", "--text-column", "id", "--text-column", "opinion"];
    let said = refused(&dht(place.path(), &pair), 1);
    assert!(said.contains("`--pair` cannot be used: this model was trained on single texts"), "{said}");
    let pair = ["evaluate", "model", "--data", "data", "--pair"];
    assert!(refused(&dht(place.path(), &pair), 1).contains("this model was trained on single texts"));
    let said = refused(&dht(place.path(), &["predict", "model", "reviews.csv", "nowhere.csv"]), 1);
    assert!(said.contains("nowhere.csv"), "{said}");

    let row = |(label, text): &(String, String)| format!("{label},\"{text}\",the food\n");
    let rows: String = reviews(200, 0).iter().map(row).collect();
    write("pairs.csv", &format!("label,first,second\n{rows}"));
    let train = ["train", "--data", "pairs.csv", "--pair", "--model", "2x2x16", "--epochs", "1", "--out", "pairs"];
    printed(&dht(place.path(), &train));
    let named = ["predict", "pairs", "pairs.csv", "--text-column", "first", "--text-column", "second"];
    let own = printed(&dht(place.path(), &["predict", "pairs", "pairs.csv"]));
    assert_eq!(printed(&dht(place.path(), &named)), own);
    assert_eq!(printed(&dht(place.path(), &[&named[..], &["--pair"]].concat())), own);
    let said = refused(&dht(place.path(), &named[..5]), 1);
    assert!(said.contains("pair is none, expected a second text: the model was trained on pairs"), "{said}");
    assert!(printed(&dht(place.path(), &["inspect", "pairs"])).contains("of pairs, pairs; "));
    // Without `--pair`, two texts are neither joined nor reduced to one.
    let said = refused(&dht(place.path(), &[&train[..3], &train[4..]].concat()), 1);
    assert!(said.contains("columns \"first\", \"second\" may all be the text"), "{said}");
}

#[test]
fn the_ending_of_the_output_names_its_format() {
    let place = trained();
    std::fs::write(place.path().join("asked.csv"), "id,text\n1,the soup was fresh\n").expect("a file");
    let ask = |more: &[&str]| dht(place.path(), &[&["predict", "model", "asked.csv", "--output"], more].concat());
    let written = |name: &str| std::fs::read_to_string(place.path().join(name)).expect("answers");
    printed(&ask(&["a.jsonl"]));
    assert_eq!(json(&written("a.jsonl"))["id"], "1");
    printed(&ask(&["a.tsv"]));
    assert!(written("a.tsv").starts_with("id\ttext\tpredicted\t"), "{}", written("a.tsv"));
    // Without an ending that names a format, the format is that of the texts. A flag has the same effect as an ending.
    printed(&ask(&["a.txt"]));
    assert!(written("a.txt").starts_with("id,text,predicted,"));
    printed(&ask(&["b.txt", "--output-format", "jsonl"]));
    assert_eq!(json(&written("b.txt"))["id"], "1");
    printed(&ask(&["c.NDJSON", "--output-format", "jsonl"]));

    let said = refused(&ask(&["d.csv", "--output-format", "jsonl"]), 2);
    assert!(
        said.contains("--output is a file that ends with .csv, expected the ending .jsonl of --output-format"),
        "{said}"
    );
    let said = refused(&ask(&["d.csv.gz"]), 2);
    assert!(said.contains("expected an ending without .gz: answers are not compressed"), "{said}");
    assert!(!place.path().join("d.csv").exists() && !place.path().join("d.csv.gz").exists());
}

#[test]
fn texts_that_are_cut_are_counted_in_one_line() {
    let place = trained();
    let long = "the soup was fresh ".repeat(20);
    std::fs::write(place.path().join("asked.csv"), format!("text\n{long}\nshort\n{long}\n")).expect("a file");
    std::fs::write(place.path().join("scored.csv"), format!("label,text\npraised,{long}\npanned,\"it was rude\"\n"))
        .expect("a file");
    let predict = ["predict", "model", "asked.csv"];
    let partitions = ["predict", "model", "--partitions", "asked.csv", "--output", "out"];
    let evaluate = ["evaluate", "model", "--data", "scored.csv"];
    let said = |arguments: &[&str]| {
        let output = dht(place.path(), arguments);
        printed(&output);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (arguments, line) in [
        (&predict[..], "2 of 3 texts are longer than 24 tokens and cut"),
        (&partitions, "2 of 3 texts are longer than 24 tokens and cut"),
        (&evaluate, "1 of 2 texts are longer than 24 tokens and cut"),
    ] {
        let noted = said(arguments);
        assert_eq!(noted.matches(line).count(), 1, "{arguments:?}: {noted}");
    }
    assert_eq!(said(&[&predict[..], &["--quiet"]].concat()), "");
    assert!(!said(&[&evaluate[..], &["--quiet"]].concat()).contains("cut"));
}
