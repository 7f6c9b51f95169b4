//! Tests of tables in many forms: each is read as it is meant, or refused with the flag that decides.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use super::{csv, dht, json, place, printed, refused, reviews, trained};

pub(super) fn write(place: &Path, name: &str, text: &str) {
    let path = place.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}

pub(super) fn said(output: &Output) -> String {
    printed(output);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Trains a small full model quickly.
pub(super) fn train(place: &Path, data: &str, more: &[&str]) -> Output {
    let arguments = ["train", "--data", data, "--model", "1x2x16", "--epochs", "1", "--kind", "full", "--out", "m"];
    dht(place, &[&arguments[..], more].concat())
}

#[test]
fn validation_files_are_used_or_named() {
    let place = place();
    let rows = |from| csv(&reviews(60, from));
    for name in ["validation", "valid", "val", "dev", "eval", "VAL"] {
        let folder = format!("only-{name}");
        write(place.path(), &format!("{folder}/train.csv"), &rows(0));
        write(place.path(), &format!("{folder}/{name}.csv"), &rows(900));
        let said = said(&train(place.path(), &folder, &[]));
        assert!(said.contains(&format!("no test file: {name}.csv is scored")), "{said}");
    }
    write(place.path(), "both/train.csv", &rows(0));
    write(place.path(), "both/test.csv", &rows(600));
    write(place.path(), "both/val.csv", &rows(900));
    write(place.path(), "both/extra.csv", &rows(900));
    let said = said(&train(place.path(), "both", &[]));
    assert!(said.contains("60 training, 60 validation, 60 test"), "{said}");
    assert!(
        said.contains("settings are selected on the rows of both/val") && said.contains("not read: extra.csv"),
        "{said}"
    );
    write(place.path(), "both/dev.csv", &rows(900));
    assert!(refused(&train(place.path(), "both", &[]), 1).contains("holds both dev.csv and val.csv"));
}

#[test]
fn what_is_no_model_is_told_by_each_command() {
    let place = place();
    write(place.path(), "train.csv", &csv(&reviews(60, 0)));
    write(place.path(), "m.gguf", "GGUF");
    write(place.path(), "peft/adapter_config.json", "{}");
    write(place.path(), "trainer/checkpoint-500/config.json", "{}");
    for (model, told) in
        [("m.gguf", "name the directory of a model"), ("peft", "merge_and_unload"), ("trainer", "checkpoint-500")]
    {
        for command in [&["predict", model, "fine food"][..], &["evaluate", model, "--data", "train.csv"]] {
            let refused = refused(&dht(place.path(), command), 1);
            assert!(refused.contains(told), "{command:?}: {refused}");
        }
    }
    let arguments = ["train", "--data", "train.csv", "--model", "1x2x16", "--out", "m"];
    let refused = refused(&dht(place.path(), &arguments), 2);
    assert!(refused.contains("--model is 1x2x16, expected one of at least 2 layers, or --kind full"), "{refused}");
}

#[test]
fn a_prefix_is_saved_with_the_model_and_trained_on() {
    let place = place();
    write(place.path(), "train.csv", &csv(&reviews(60, 0)));
    for kind in ["full", "dynamic"] {
        let more = ["--kind", kind, "--text-prefix", "query: ", "--replace"];
        let arguments = ["train", "--data", "train.csv", "--model", "2x2x16", "--epochs", "1", "--out", kind];
        let said = said(&dht(place.path(), &[&arguments[..], &more].concat()));
        assert!(said.contains(r#"before each text: "query: ""#), "{said}");
        assert_eq!(json(&printed(&dht(place.path(), &["inspect", kind, "--json"])))["prefix"], "query: ");
        assert!(printed(&dht(place.path(), &["inspect", kind])).contains(r#"prefix      "query: " before each text"#));
        let arguments =
            ["train", "--model", kind, "--data", "train.csv", "--epochs", "1", "--out", "again", "--replace"];
        printed(&dht(place.path(), &arguments));
        assert_eq!(json(&printed(&dht(place.path(), &["inspect", "again", "--json"])))["prefix"], "query: ");
        // Without the file, another model would answer.
        let file = if kind == "full" { "model" } else { "model/encoder" };
        std::fs::remove_file(place.path().join(kind).join(file).join("config_sentence_transformers.json")).unwrap();
        let refused = refused(&dht(place.path(), &["predict", kind, "train.csv"]), 1);
        assert!(refused.contains("config_sentence_transformers.json"), "{refused}");
    }
}

#[test]
fn training_rows_are_drawn_from_all_classes() {
    let place = place();
    let mut sorted = reviews(200, 0);
    sorted.sort();
    write(place.path(), "sorted/train.csv", &csv(&sorted));
    let said = said(&train(place.path(), "sorted", &["--train-rows", "40"]));
    assert!(said.contains("2 classes: panned (18), praised (18)"), "{said}");
    let rows: String = (0..30).map(|row| format!("class {row},the text of row {row}\n")).collect();
    write(place.path(), "many/train.csv", &format!("label,text\n{}", rows.repeat(2)));
    let none = refused(&train(place.path(), "many", &["--train-rows", "20"]), 1);
    assert!(none.contains("has no training row"), "{none}");
}

#[test]
fn a_date_beside_the_text_is_not_read() {
    let place = place();
    let row = |(at, (label, text)): (usize, &(String, String))| {
        format!("\"{text}\",{label},{} May 2024 10:00\n", at % 28 + 1)
    };
    let rows: String = reviews(60, 0).iter().enumerate().map(row).collect();
    for (name, header) in [("text", "text,label,created_at\n"), ("opinion", "opinion,label,created_at\n")] {
        write(place.path(), &format!("{name}.csv"), &format!("{header}{rows}"));
        let read = json(&printed(&dht(place.path(), &["inspect-data", &format!("{name}.csv"), "--json"])));
        assert_eq!(read["reading"]["text"], serde_json::json!([{ "name": name }]), "{read}");
        assert_eq!(read["reading"]["carried"], serde_json::json!([{ "name": "created_at" }]));
    }
    let two = "opinion,label,title\n".to_owned() + &rows.replace(" May 2024 10:00", " letters");
    write(place.path(), "two.csv", &two);
    let refused = refused(&dht(place.path(), &["inspect-data", "two.csv"]), 1);
    assert!(refused.contains("of sentence pairs (`--text-column`, for sentence pairs also `--pair`)"), "{refused}");
}

#[test]
fn labels_of_a_classifier_are_matched_by_name() {
    let place = trained();
    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    let renamed = |rows: &[(String, String)], rename: &dyn Fn(&str) -> String| {
        csv(&rows.iter().map(|(label, text)| (rename(label), text.clone())).collect::<Vec<_>>())
    };
    let accelerate = |data: &str, more: &[&str]| {
        let arguments = ["accelerate", "plain", "--data", data, "--max-length", "24", "--out", "fast", "--quiet"];
        dht(place.path(), &[&arguments[..], more].concat())
    };
    write(place.path(), "upper.csv", &renamed(&reviews(200, 0), &str::to_uppercase));
    let upper = said(&accelerate("upper.csv", &[]));
    assert!(upper.contains("labels of upper: PANNED is panned, PRAISED is praised"), "{upper}");
    // The mapping of labels is part of the model, and also applies to a file with one class.
    let praised: Vec<_> = reviews(60, 0).into_iter().filter(|(label, _)| label == "praised").collect();
    write(place.path(), "one.csv", &renamed(&praised, &str::to_uppercase));
    let scored = json(&printed(&dht(place.path(), &["evaluate", "fast", "--data", "one.csv", "--json"])));
    assert!(scored["results"][0]["accuracy"].as_f64().expect("a number") > 0.9, "{scored}");

    let swapped = |label: &str| if label == "praised" { "bad".into() } else { "good".into() };
    write(place.path(), "other.csv", &renamed(&reviews(200, 0), &swapped));
    let other = refused(&accelerate("other.csv", &[]), 1);
    assert!(
        other.contains(r#"the labels "bad", "good" (2) do not match the classes "panned", "praised" (2)"#),
        "{other}"
    );
    let told = said(&accelerate("other.csv", &["--label-map", "bad=praised", "--label-map", "good=panned"]));
    assert!(told.contains("bad is praised, good is panned"), "{told}");
    let wrong = said(&accelerate("other.csv", &["--label-map", "bad=panned", "--label-map", "good=praised"]));
    assert!(wrong.contains("of always answering") && wrong.contains("check that the labels"), "{wrong}");

    let mut twice = reviews(40, 0);
    twice[5].0.push('\u{200b}');
    write(place.path(), "twice.csv", &csv(&twice));
    let twice = refused(&train(place.path(), "twice.csv", &[]), 1);
    assert!(twice.contains(r#""panned" and "panned\u{200b}" may be one"#), "{twice}");
    write(place.path(), "types.jsonl", "{\"text\":\"a b\",\"label\":1}\n{\"text\":\"c d\",\"label\":\"1\"}\n");
    assert!(refused(&train(place.path(), "types.jsonl", &[]), 1).contains("values such as 1 in some rows and such as"));
}

#[test]
fn a_first_row_that_may_be_either_is_asked_for() {
    let place = place();
    write(
        place.path(),
        "either.csv",
        "opinion,verdict\nfine food,good\ncold soup,bad\nwarm bread,good\nold wine,bad\n",
    );
    let inspect = |more: &[&str]| dht(place.path(), &[&["inspect-data", "either.csv"], more].concat());
    let either = refused(&inspect(&[]), 1);
    assert!(either.contains("either.csv:1: the first row may be a header or data"), "{either}");
    assert!(printed(&inspect(&["--header"])).starts_with("csv, a header (as asked); 4 rows"));
    let data = printed(&inspect(&["--no-header", "--label-column", "1"]));
    assert!(data.starts_with("csv, no header (as asked); 5 rows"), "{data}");
    write(place.path(), "index.csv", ",text,label,\n0,fine food,good,\n1,cold soup,bad,\n,,,\n");
    let index = printed(&dht(place.path(), &["inspect-data", "index.csv"]));
    let expected = "csv, a header (it has \"text\"); 2 rows, 1 blank row left out\ntext: column \"text\" (by its name)\n\
                    label: column \"label\", a class (by its name): 2 classes: bad (1), good (1)\nnot read: columns 0, 3\n\
                    beware: 2 classes have fewer than 5 rows (\"bad\": 1): they are learned poorly, and their scores say little\n";
    assert_eq!(index, expected);
    write(place.path(), "joined.csv", "text,label\nfine food,good\nlabel,text\ncold soup,bad\n");
    let again = refused(&dht(place.path(), &["inspect-data", "joined.csv"]), 1);
    assert!(again.contains("joined.csv:3: the header of line 1 comes again"), "{again}");
}

#[test]
fn several_labels_are_split_by_their_own_sign() {
    let place = place();
    let inspect = |text: &str, more: &[&str]| {
        write(place.path(), "topics.csv", &format!("text,label\n{text}"));
        dht(place.path(), &[&["inspect-data", "topics.csv", "--task", "labels"], more].concat())
    };
    let hashes = "fine food,food#wine\ncold soup,food\nold wine,wine#food\n";
    let wrong = refused(&inspect(hashes, &[]), 1);
    assert!(wrong.contains("no label cell has the separator ',', and 2 of 3 have '#'"), "{wrong}");
    assert!(printed(&inspect(hashes, &["--label-separator", "#"])).contains("separated by '#'"));
    let list = printed(&inspect("fine food,\"['food', 'wine']\"\ncold soup,['food']\n", &[]));
    assert!(list.contains("several labels, in lists"), "{list}");
}

#[test]
fn rows_come_back_from_predict_as_they_were_given() {
    let place = trained();
    let predict = |file: &str, more: &[&str]| dht(place.path(), &[&["predict", "model", file], more].concat());
    let without = |line: &str| line.split(", \"predicted\": ").next().unwrap_or_default().to_owned() + "}";
    write(place.path(), "a.csv", "id-7,the soup was cold\nid-8,\" the wine, was fresh \"\n");
    let rows = printed(&predict("a.csv", &["--text-column", "1", "--output-format", "jsonl"]));
    let rows: Vec<String> = rows.lines().map(without).collect();
    assert_eq!(rows, [r#"{"0": "id-7", "1": "the soup was cold"}"#, r#"{"0": "id-8", "1": " the wine, was fresh "}"#]);
    let rows = printed(&predict("a.csv", &["--text-column", "1"]));
    assert!(rows.lines().nth(1).expect("a row").starts_with("id-8,\" the wine, was fresh \",p"), "{rows}");
    let line = r#"{"text": "fine \ud83d soup", "id": 340282366920938463463374607431768211455, "price": 19.990, "more": {"a": [1e3]}}"#;
    write(place.path(), "n.jsonl", line);
    assert_eq!(printed(&predict("n.jsonl", &[])).lines().map(without).collect::<Vec<_>>(), [line]);
    let cells = printed(&predict("n.jsonl", &["--output-format", "csv"]));
    assert!(cells.contains(",340282366920938463463374607431768211455,19.990,\"{\"\"a\"\": [1e3]}\","), "{cells}");

    write(place.path(), "taken.csv", "text,cost\nfine soup,3\n");
    let taken = refused(&predict("taken.csv", &[]), 1);
    assert!(taken.contains("taken.csv already has a column \"cost\"") && taken.contains("`--prefix dht_`"), "{taken}");
    let own = printed(&predict("taken.csv", &["--prefix", "dht_"]));
    assert!(own.starts_with("text,cost,dht_predicted,dht_probability,dht_route,dht_cost\nfine soup,3,"), "{own}");
    write(place.path(), "taken.jsonl", "{\"text\": \"fine soup\", \"predicted\": 1}\n");
    assert!(refused(&predict("taken.jsonl", &[]), 1).contains("already has a column \"predicted\""));
    write(place.path(), "lines.csv", "text,n\n\"fine\nsoup\",1\n");
    assert!(refused(&predict("lines.csv", &["--output-format", "tsv"]), 1).contains("which tsv cannot hold"));
    write(place.path(), "keys.jsonl", "{\"text\": \"fine soup\"}\n{\"body\": \"cold soup\"}\n");
    assert!(refused(&predict("keys.jsonl", &[]), 1).contains("keys.jsonl:2: the row has no key \"text\""));
}

#[test]
fn answers_in_a_file_are_whole_or_not_there() {
    let place = trained();
    let predict = |more: &[&str]| dht(place.path(), &[&["predict", "model"], more].concat());
    write(place.path(), "right.csv", "text\nthe soup was cold\nfine wine\n");
    let expected = printed(&predict(&["right.csv"]));
    assert_eq!(printed(&predict(&["right.csv", "--output", "-"])), expected);
    assert_eq!(printed(&predict(&["right.csv", "--output", "answers.csv"])), "");
    let answers = || std::fs::read_to_string(place.path().join("answers.csv")).expect("answers");
    assert_eq!(answers(), expected);
    write(place.path(), "torn.jsonl", "{\"text\": \"fine soup\"}\n{\"text\": \"cold");
    refused(&predict(&["torn.jsonl", "--output", "answers.csv"]), 1);
    assert_eq!(answers(), expected, "the earlier file stays");
    let old = refused(&predict(&["right.csv", "--output", "jsonl"]), 2);
    assert!(old.contains("say `--output-format jsonl`"), "{old}");
    assert!(refused(&predict(&["right.csv", "--output", "none/a.csv"]), 2).contains("none/a.csv: No such file"));
    assert!(refused(&predict(&["right.csv", "--input", "csv"]), 2).contains("--input-format"));
    assert!(!place.path().join("jsonl").exists());
}

#[test]
fn texts_that_are_cut_are_counted() {
    let place = trained();
    let long = |(label, text): &(String, String)| (label.clone(), format!("{text} {}", "and so on ".repeat(20)));
    write(place.path(), "long.csv", &csv(&reviews(30, 0).iter().map(long).collect::<Vec<_>>()));
    let scored = said(&dht(place.path(), &["evaluate", "model", "--data", "long.csv"]));
    assert!(scored.contains("30 of 30 texts are longer than 24 tokens and cut"), "{scored}");
    let predicted = said(&dht(place.path(), &["predict", "model", "long.csv", "--summary"]));
    assert!(predicted.contains("30 of 30 texts are longer than 24 tokens and cut"), "{predicted}");
    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    let fast = ["accelerate", "plain", "--data", "long.csv", "--max-length", "24", "--out", "fast", "--quiet"];
    let made = said(&dht(place.path(), &fast));
    assert!(made.contains("30 of 30 texts are longer than 24 tokens and cut"), "{made}");
}

/// A text gets the same answer whatever format it is in.
#[test]
fn spaces_and_line_ends_change_no_answer() {
    let place: TempDir = trained();
    let text = "the soup was cold\nand the wine was fresh";
    write(place.path(), "a.csv", &format!("text\r\n\"  {}\"\r\n", text.replace('\n', "\r\n")));
    write(place.path(), "a.jsonl", &format!("{}\n", serde_json::json!({ "text": format!(" {text} ") })));
    write(place.path(), "a.txt", &format!("\t{} \r\n", text.replace('\n', " ")));
    let answer = |file: &str| -> Value {
        let answer = json(&printed(&dht(place.path(), &["predict", "model", file, "--output-format", "jsonl"])));
        answer["predicted"]["probabilities"].clone()
    };
    assert_eq!(answer("a.csv"), answer("a.jsonl"));
    assert_eq!(answer("a.csv"), answer("a.txt"));
}

#[test]
fn files_of_other_formats_are_not_answered_line_by_line() {
    let place = trained();
    let predict = |name: &str, text: &str| {
        write(place.path(), name, text);
        dht(place.path(), &["predict", "model", name])
    };
    let returns = refused(&predict("cr.csv", "text,label\rfine soup,praised\rcold soup\n,panned\n"), 1);
    assert!(returns.contains("cr.csv:1: the lines end with carriage returns alone"), "{returns}");
    let signs = refused(&predict("s.csv", "opinion;verdict\nfine soup;praised\ncold soup;panned\n"), 1);
    assert!(signs.contains("and all have ';'"), "{signs}");
    let ending = refused(&predict("t.tab", "text\tlabel\nfine soup\tpraised\n"), 1);
    assert!(ending.contains("--input-format is not set for t.tab, expected lines, csv, tsv or jsonl"), "{ending}");
    write(place.path(), "numbers.csv", "7,fine soup,good\n8,cold soup,bad\n9,warm soup,good\n10,old soup,bad\n");
    printed(&train(place.path(), "numbers.csv", &[]));
    write(place.path(), "narrow.csv", "fine soup,good\ncold soup,bad\n");
    let narrow = refused(&dht(place.path(), &["predict", "m", "narrow.csv"]), 1);
    assert!(narrow.contains("2 columns without names, and the training's file had 3"), "{narrow}");
}

#[test]
fn warnings_that_are_due_are_said_with_quiet_too() {
    let place = place();
    let mut rows = reviews(60, 0);
    rows[7].1 = "nan".into();
    write(place.path(), "data/train.csv", &csv(&rows));
    write(place.path(), "data/test.csv", &csv(&rows[..20]));
    let said = said(&train(place.path(), "data", &["--quiet", "--max-length", "6"]));
    for warning in ["tokens and cut", "test rows have the text of a training row", "1 text is a missing value"] {
        assert!(said.contains(warning), "{warning}: {said}");
    }
}

#[test]
fn each_warning_is_printed_once() {
    let place = place();
    let mut rows = reviews(60, 0);
    rows[7].1 = "nan".into();
    rows.push(("mixed".into(), rows[3].1.clone()));
    rows.push(("mixed".into(), "the soup was neither cold nor warm".into()));
    write(place.path(), "data/train.csv", &csv(&rows));
    write(place.path(), "data/dev.csv", &csv(&rows[..20]));
    let said = said(&train(place.path(), "data", &["--max-length", "24"]));
    for warning in [
        "beware: 1 text is a missing value, \"nan\"",
        "beware: 1 training text stands in several rows with different labels: ",
        "beware: 1 class has fewer than 5 training rows (\"mixed\": 2): it is learned poorly",
        "20 validation rows have the text of a training row",
    ] {
        assert_eq!(said.matches(warning).count(), 1, "{warning}: {said}");
    }
}

#[test]
fn semicolons_are_read_and_written() {
    let place = trained();
    let at = place.path();
    write(at, "asked.csv", "id;text\r\n1;\"the soup; was fresh\"\r\n2;the soup was cold, and slow\r\n");
    let answers = printed(&dht(at, &["predict", "model", "asked.csv"]));
    assert!(answers.starts_with("id;text;predicted;probability;route;cost\n1;\"the soup; was fresh\";"), "{answers}");
    write(at, "plain.csv", "opinion;verdict\nfine work;a\nno work;b\nfine;a\nno;b\n");
    let said = refused(&dht(at, &["inspect-data", "plain.csv"]), 1);
    assert!(said.trim_end().ends_with("(`--separator`)"), "{said}");
    let flags = ["--separator", ";", "--header", "--label-column", "verdict"];
    let read = printed(&dht(at, &[&["inspect-data", "plain.csv"][..], &flags].concat()));
    assert!(read.starts_with("csv separated by ';', a header"), "{read}");
}

#[test]
fn a_comma_in_a_name_is_not_the_separator() {
    let place = trained();
    let at = place.path();
    write(at, "asked.csv", "text, or so;label\nfine, work;a\nno, work;b\nfine;a\nno;b\n");
    let read = printed(&dht(at, &["inspect-data", "asked.csv"]));
    assert!(read.starts_with("csv separated by ';', a header"), "{read}");
    let answers = printed(&dht(at, &["predict", "model", "asked.csv", "--text-column", "text, or so"]));
    assert!(answers.starts_with("text, or so;label;predicted;"), "{answers}");
}

#[test]
fn classes_and_labels_in_lists_are_read() {
    let place = trained();
    let at = place.path();
    for (good, bad) in [("{\"\"good\"\": 1, \"\"bad\"\": 0}", "{\"\"bad\"\": 1}"), ("['good']", "['bad']")] {
        write(
            at,
            "cats.csv",
            &format!("text,label\n{}", format!("fine work,\"{good}\"\nno work,\"{bad}\"\n").repeat(4)),
        );
        let read = printed(&dht(at, &["inspect-data", "cats.csv"]));
        assert!(read.contains("a class (by its name): 2 classes: bad (4), good (4)"), "{read}");
    }
    write(at, "several.csv", &format!("text,label\n{}", "fine work,\"['a', 'b']\"\nno work,['b']\n".repeat(4)));
    let read = printed(&dht(at, &["inspect-data", "several.csv"]));
    assert!(read.contains("several labels, in lists (by its name): 2 labels"), "{read}");
    write(at, "nested.csv", &format!("text,label\n{}", "fine work,\"{'a': ['b']}\"\n".repeat(4)));
    let said = refused(&dht(at, &["inspect-data", "nested.csv"]), 1);
    assert!(said.contains("is a list or an object"), "{said}");
    write(at, "tagged.csv", &format!("text,label\n{}", "fine work,[good]\nno work,[bad]\n".repeat(4)));
    assert!(printed(&dht(at, &["inspect-data", "tagged.csv"])).contains("2 classes: [bad] (4), [good] (4)"));
}

#[test]
fn rows_in_other_files_train_the_same_model() {
    let place = place();
    let at = place.path();
    let rows = reviews(120, 0);
    let answers = |data: &str, more: &[&str]| {
        said(&train(at, data, more));
        printed(&dht(at, &["predict", "m", "data/test.csv"]))
    };
    write(at, "plain.csv", &csv(&rows));
    let plain = answers("plain.csv", &[]);
    let json = |(label, text): &(String, String)| serde_json::json!({ "label": label, "text": text }).to_string();
    let objects: Vec<String> = rows.iter().map(json).collect();
    write(at, "rows.json", &format!("[\n{}\n]\n", objects.join(",\n")));
    let fast: String = rows.iter().map(|(label, text)| format!("__label__{label} {text}\n")).collect();
    write(at, "rows.txt", &fast);
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    std::fs::write(at.join("utf16.csv"), utf16(&csv(&rows))).expect("a file");
    write(at, "returns.csv", &csv(&rows).replace('\n', "\r"));
    write(at, "parts/1.csv", &csv(&rows[..50]));
    write(at, "parts/2.csv", &csv(&rows[50..]));
    for (data, more) in [
        ("rows.json", &[][..]),
        ("rows.txt", &[]),
        ("utf16.csv", &["--encoding", "utf-16le"]),
        ("returns.csv", &[]),
        ("parts/*.csv", &[]),
    ] {
        assert_eq!(answers(data, more), plain, "{data}");
    }
    // The texts of a fastText file are answered without its labels.
    let first = fast.lines().next().expect("a line");
    write(at, "asked.txt", &format!("{first}\n"));
    write(at, "bare.txt", &format!("{}\n", rows[0].1));
    let answer = |name| {
        let output = dht(at, &["predict", "m", name]);
        let mut answer: Value = serde_json::from_str(&printed(&output)).expect("an answer");
        answer["text"] = Value::Null;
        (answer, String::from_utf8_lossy(&output.stderr).contains("(__label__…) are left out"))
    };
    let (asked, bare) = (answer("asked.txt"), answer("bare.txt"));
    assert_eq!((asked.0, asked.1, bare.1), (bare.0, true, false));
    assert!(refused(&train(at, "none/*.csv", &[]), 1).contains("no file has such a name"));
    let latin = b"text,label\ncaf\xe9 was fine,a\nno cafe,b\ncafe,a\nno,b\n";
    std::fs::write(at.join("latin.csv"), latin).expect("a file");
    assert!(refused(&dht(at, &["inspect-data", "latin.csv"]), 1).trim_end().ends_with("(`--encoding`)"));
    let read = printed(&dht(at, &["inspect-data", "latin.csv", "--encoding", "latin1"]));
    assert!(read.starts_with("csv in windows-1252, a header"), "{read}");
    assert!(refused(&dht(at, &["inspect-data", "latin.csv", "--encoding", "klingon"]), 2).contains("windows-1252"));
}

#[test]
fn folders_of_classes_and_a_test_file_without_labels_are_read() {
    let place = place();
    let at = place.path();
    for (row, (label, text)) in reviews(60, 0).iter().enumerate() {
        write(at, &format!("folders/train/{label}/{row}.txt"), text);
    }
    for (row, (label, text)) in reviews(20, 900).iter().enumerate() {
        write(at, &format!("folders/test/{label}/{row}.txt"), text);
    }
    let output = said(&train(at, "folders", &[]));
    assert!(output.contains("20 test"), "{output}");
    write(at, "contest/train.csv", &csv(&reviews(60, 0)));
    write(at, "contest/test.csv", "id,text\n1,the soup was fresh\n2,the soup was cold\n");
    let output = said(&train(at, "contest", &[]));
    assert!(output.contains("not scored: test.csv has no column \"label\""), "{output}");
}

#[test]
fn inputs_without_a_text_are_named() {
    let place = trained();
    let at = place.path();
    write(at, "blank.csv", "\n\n");
    assert!(said(&dht(at, &["predict", "model", "blank.csv"])).contains("blank.csv has no text"));
    assert!(said(&dht(at, &["predict", "model", "  "])).contains("1 of 1 rows have no text"));
}

#[test]
fn a_class_file_names_numbered_classes() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("data");
    std::fs::create_dir(&folder).expect("a folder");
    let rows: String = super::reviews(40, 0)
        .iter()
        .map(|(label, text)| format!("{},\"{text}\"\n", if label == "praised" { 2 } else { 1 }))
        .collect();
    std::fs::write(folder.join("train.csv"), rows).expect("a file");
    std::fs::write(folder.join("classes.txt"), "panned\npraised\n\n").expect("a file");
    let read = printed(&dht(place.path(), &["inspect-data", "data", "--no-header"]));
    assert!(read.contains("panned (20), praised (20)"), "{read}");
    // A `classes.txt` with a wrong number of names is refused.
    std::fs::write(folder.join("classes.txt"), "panned\n").expect("a file");
    let said = refused(&dht(place.path(), &["inspect-data", "data", "--no-header"]), 1);
    assert!(said.contains("do not match the classes"), "{said}");
}

#[test]
fn control_characters_of_labels_are_shown_escaped() {
    let place = tempfile::tempdir().expect("a folder");
    let rows = reviews(40, 0).into_iter().map(|(label, text)| format!("{label}\u{1b}[2J,\"{text}\"\n"));
    write(place.path(), "data.csv", &format!("label,text\n{}", rows.collect::<String>()));
    let shown = printed(&dht(place.path(), &["inspect-data", "data.csv"]));
    assert!(shown.contains("praised\\u{1b}[2J") && !shown.contains('\u{1b}'), "{shown}");
    let facts = printed(&dht(place.path(), &["inspect-data", "data.csv", "--json"]));
    assert_eq!(json(&facts)["labels"][1], "praised\u{1b}[2J");
}
