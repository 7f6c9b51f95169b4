//! Tests of data sets and models by name: from a simulated hub, or refused with advice.

use std::path::Path;
use std::process::{Command, Output, Stdio};

#[cfg(feature = "hub")]
#[expect(dead_code, reason = "lists are read there")]
#[path = "../../dht-transformer/tests/hub/parquet_writer.rs"]
mod parquet_writer;
#[cfg(feature = "hub")]
#[expect(dead_code, reason = "what a hub does wrong is tried there")]
#[path = "../../dht-transformer/tests/hub/server.rs"]
mod server;

fn dht(place: &Path, hub: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dht"))
        .current_dir(place)
        .args(arguments)
        .env("HF_ENDPOINT", hub)
        .env("HF_HOME", place.join("cache"))
        .env_remove("HF_HUB_CACHE")
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .stdin(Stdio::null())
        .output()
        .expect("dht runs")
}

/// Returns the standard error of a command that must fail: with code 2 if the message names a flag or an unknown name.
fn refused(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = if said.contains("error: --") || said.contains("no data set is known") { 2 } else { 1 };
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_name_that_is_not_known_is_refused_with_those_that_are() {
    let place = tempfile::tempdir().unwrap();
    let train = |data: &str| {
        refused(&dht(place.path(), "http://127.0.0.1:9", &["train", "--data", data, "--model", "2x2x16", "--out", "m"]))
    };
    let said = train("agnews");
    assert!(said.contains("error: agnews: there is no such file or directory, and no data set is known"), "{said}");
    for known in ["ag_news", "dbpedia_14", "yelp_polarity", "yelp_review_full", "imdb", "glue/mnli", "hf:OWNER/NAME"] {
        assert!(said.contains(known), "{known}: {said}");
    }
    // A value that can only be a file is reported as a missing file.
    for file in ["rows.csv", "rows.parquet", "./rows", "no/rows.jsonl.gz"] {
        let said = train(file);
        assert!(said.contains("No such file"), "{file}: {said}");
    }
}

#[cfg(not(feature = "hub"))]
#[test]
fn without_the_feature_a_name_is_refused_with_what_to_build() {
    let place = tempfile::tempdir().unwrap();
    let ask = |arguments: &[&str]| refused(&dht(place.path(), "http://127.0.0.1:9", arguments));
    for data in ["imdb", "glue/sst2", "hf:some/data"] {
        let said = ask(&["train", "--data", data, "--model", "2x2x16", "--out", "m"]);
        assert!(said.contains("build with the feature `hub`"), "{data}: {said}");
    }
    for command in ["evaluate", "predict", "inspect"] {
        let mut arguments = vec![command, "hf:some/model"];
        arguments.extend(if command == "evaluate" { &["--data", "x.csv"][..] } else { &[] });
        let said = ask(&arguments);
        assert!(said.contains("build with the feature `hub`"), "{command}: {said}");
    }
}

#[cfg(feature = "hub")]
mod from_a_server {
    use parquet::basic::Compression;
    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;
    use crate::parquet_writer::{Cells, class_label, parquet, reviews, texts};
    use crate::server::{COMMIT, Hub};

    fn place() -> (Hub, TempDir) {
        (Hub::start(), tempfile::tempdir().expect("a folder"))
    }

    /// Returns the standard output and standard error.
    fn printed(output: &Output) -> (String, String) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    }

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    const TINY: [&str; 10] =
        ["--model", "2x2x16", "--epochs", "12", "--lr", "5e-3", "--batch", "8", "--max-length", "24"];

    fn train<'a>(data: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["train", "--data", data, "--out", out][..], &TINY, more].concat()
    }

    /// Creates rows of a GLUE task: two classes that the words determine, in one or two columns. The labels of a test
    /// split are secret.
    fn glue(columns: &[&str], classes: [&str; 2], rows: usize, secret: bool) -> Vec<u8> {
        let text = |row: usize, part: usize| {
            format!("{} {} {}", ["stale", "fresh"][row % 2], ["soup", "bread", "wine"][row / 2 % 3], row * 3 + part)
        };
        let mut cells: Vec<(&str, Cells)> = columns
            .iter()
            .enumerate()
            .map(|(part, name)| (*name, texts((0..rows).map(|row| text(row, part)))))
            .collect();
        let label = |row: usize| if secret { -1 } else { row as i64 % 2 };
        cells.push(("label", Cells::Integers((0..rows).map(label).collect())));
        cells.push(("idx", Cells::Integers((0..rows as i64).collect())));
        parquet(&cells, 100, Compression::SNAPPY, Some(class_label("label", &classes)))
    }

    fn put_glue(hub: &Hub, task: &str, columns: &[&str], classes: [&str; 2]) {
        for (split, rows, secret) in [("train", 240, false), ("validation", 40, false), ("test", 30, true)] {
            let path = format!("{task}/{split}-00000-of-00001.parquet");
            hub.put("datasets/nyu-mll/glue", "main", &path, glue(columns, classes, rows, secret));
        }
    }

    /// Puts all files of a folder on the branch `main`.
    fn put_folder(hub: &Hub, repository: &str, folder: &Path) {
        let mut folders = vec![folder.to_path_buf()];
        while let Some(inner) = folders.pop() {
            for entry in std::fs::read_dir(inner).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(folder).expect("a path in it").to_string_lossy().into_owned();
                hub.put(repository, "main", &name, std::fs::read(&path).expect("a file"));
            }
        }
    }

    #[test]
    fn a_task_of_glue_is_trained_and_scored_as_it_is_judged() {
        let (hub, place) = place();
        put_glue(&hub, "cola", &["sentence"], ["unacceptable", "acceptable"]);
        put_glue(&hub, "mrpc", &["sentence1", "sentence2"], ["not_equivalent", "equivalent"]);
        let run = |arguments: &[&str]| printed(&dht(place.path(), &hub.address, arguments));
        let (table, said) = run(&train("glue/cola", "cola", &[]));
        assert!(said.contains("glue/cola/train: 216 training, 24 validation, 40 test rows"), "{said}");
        assert!(
            said.contains("scored on the split validation: the labels of the test split are kept secret"),
            "{said}"
        );
        assert!(said.contains("2 classes: unacceptable (") && said.contains("), acceptable ("), "{said}");
        assert!(table.lines().any(|line| line.contains("macro F1") && line.contains("MCC")), "{table}");
        let (made, said) = run(&["evaluate", "cola", "--data", "glue/cola", "--json"]);
        assert!(said.contains("scored on the split validation"), "{said}");
        let made = json(&made);
        assert_eq!((&made["data"]["name"], &made["data"]["rows"]), (&"glue/cola/validation".into(), &40.into()));
        let row = &made["results"][0];
        assert_eq!(row["metrics"][0]["metric"], "MCC");
        let (accuracy, matthews) = (row["accuracy"].as_f64().unwrap(), row["metrics"][0]["value"].as_f64().unwrap());
        // Of two classes of equal size, each wrong answer costs the correlation twice its share, or a little less.
        assert!(accuracy > 0.9 && (matthews - (2.0 * accuracy - 1.0)).abs() < 0.02, "{made}");

        let (table, said) = run(&train("glue/mrpc", "mrpc", &["--kind", "full"]));
        assert!(said.contains("text: columns \"sentence1\", \"sentence2\", a pair (as asked)"), "{said}");
        assert!(table.contains("F1 of equivalent"), "{table}");
        let origin = json(&std::fs::read_to_string(place.path().join("mrpc/dht.json")).unwrap())["origin"].clone();
        assert_eq!((&origin["pair"], &origin["data"]), (&true.into(), &"glue/mrpc/train".into()));

        // An existing path takes precedence: here one without a training file.
        std::fs::create_dir_all(place.path().join("glue/cola")).unwrap();
        let said = refused(&dht(place.path(), &hub.address, &train("glue/cola", "other", &[])));
        assert!(said.contains("glue/cola: holds none of the files train.csv"), "{said}");
    }

    #[test]
    fn a_full_model_learns_numbers_and_reports_correlations() {
        let (hub, place) = place();
        let rows = |count: usize, secret: bool| {
            let word = |row: usize| ["nothing", "little", "half", "much", "all"][row % 5];
            let score = |row: usize| if secret { -1.0 } else { (row % 5) as f64 };
            let columns = [
                ("sentence1", texts((0..count).map(|row| format!("{} of it {row}", word(row))))),
                ("sentence2", texts((0..count).map(|row| format!("it is {}", word(row))))),
                ("label", Cells::Numbers((0..count).map(score).collect())),
            ];
            parquet(&columns, 100, Compression::SNAPPY, None)
        };
        for (split, count, secret) in [("train", 200, false), ("validation", 30, false), ("test", 20, true)] {
            let path = format!("stsb/{split}-00000-of-00001.parquet");
            hub.put("datasets/nyu-mll/glue", "main", &path, rows(count, secret));
        }
        let said = refused(&dht(place.path(), &hub.address, &train("glue/stsb", "values", &["--kind", "dynamic"])));
        assert!(said.contains("--kind is dynamic, expected full: the labels of glue/stsb are numbers"), "{said}");
        let output = dht(place.path(), &hub.address, &train("glue/stsb", "values", &["--json"]));
        let (made, said) = printed(&output);
        assert!(said.contains("numbers from 0 to 4"), "{said}");
        let row = &json(&made)["results"][0];
        let spearman = &row["metrics"][2];
        assert_eq!(spearman["metric"], "Spearman");
        assert!(row["score"].as_f64().unwrap() > 0.5 && spearman["value"].as_f64().unwrap() > 0.5, "{row}");
        let run = |arguments: &[&str]| dht(place.path(), &hub.address, arguments);
        printed(&run(&["export", "values", "--out", "exported"]));
        let said = refused(&run(&["accelerate", "exported", "--data", "glue/stsb", "--out", "fast"]));
        assert!(said.contains("--data is glue/stsb, expected texts of one class or of several labels each"), "{said}");
    }

    #[test]
    fn a_revision_is_read_and_its_commit_recorded() {
        let (hub, place) = place();
        for (split, rows, seed) in [("train", 200, 0), ("test", 40, 200)] {
            let path = format!("data/{split}-00000-of-00001.parquet");
            hub.put("datasets/some/reviews", "main", &path, reviews(rows, seed));
        }
        hub.tag("datasets/some/reviews", "main", "v1");
        hub.commit("datasets/some/reviews", "main");
        hub.put("datasets/some/reviews", "main", "data/train-00000-of-00001.parquet", b"not parquet".to_vec());
        let run = |arguments: &[&str]| printed(&dht(place.path(), &hub.address, arguments));
        let (_, said) = run(&train("hf:some/reviews@v1", "model", &["--kind", "full"]));
        assert!(said.contains(&format!("hf:some/reviews@v1 on the hub, commit {COMMIT}: test ")), "{said}");
        assert!(said.contains("some/reviews@v1/train: 180 training, 20 validation, 40 test rows"), "{said}");

        run(&["export", "model", "--out", "plain"]);
        put_folder(&hub, "models/my/plain", &place.path().join("plain"));
        put_folder(&hub, "models/my/saved", &place.path().join("model"));
        let source = format!("hf:my/plain@{COMMIT}");
        for name in ["plain", "saved"] {
            let repository = format!("models/my/{name}");
            hub.tag(&repository, "main", "v2");
            hub.commit(&repository, "main");
            hub.put(&repository, "main", "config.json", b"{}".to_vec());
            hub.put(&repository, "main", "dht.json", b"{}".to_vec());
            let from = format!("hf:my/{name}@v2");
            let out = format!("from-{name}");
            let again = ["train", "--data", "hf:some/reviews@v1", "--model", &from, "--out", &out, "--epochs", "1"];
            let (_, said) = run(&[&again[..], &["--max-length", "24", "--kind", "full"]].concat());
            let source = source.replace("plain", name);
            assert!(said.contains(&format!("starting from {source}\n")), "{said}");
            let card = std::fs::read_to_string(place.path().join(&out).join("README.md")).unwrap();
            assert!(card.contains(&format!("fine-tuned from {source} in 1 passes")), "{card}");
            let (facts, _) = run(&["inspect", &from]);
            assert!(facts.contains(&source), "{facts}");
            let (facts, _) = run(&["inspect", &from, "--json"]);
            assert_eq!(json(&facts)["source"], source);
        }
        let accelerate =
            ["accelerate", "hf:my/plain@v2", "--data", "hf:some/reviews@v1", "--unlabelled", "--out", "fast"];
        run(&accelerate);
        let card = std::fs::read_to_string(place.path().join("fast/README.md")).unwrap();
        assert!(card.contains(&format!("It is {source} with exits fitted")), "{card}");

        for (arguments, expected) in [
            (
                &["inspect", "hf:my/plain@v3"][..],
                "hf:my/plain@v3 on the hub: has no revision \"v3\"; there are main, v2",
            ),
            (&["inspect", "hf:my/plain@a b"], "revision is \"a b\", expected a branch, a tag or a commit"),
            (&["predict", "hf:my/plain@", "x.csv"], "revision is \"\", expected"),
            (&["inspect", "hf:../plain@v2"], "name is ../plain@v2, expected OWNER/NAME or OWNER/NAME@REVISION"),
            (&train("hf:some/reviews@v3", "m", &[]), "some/reviews@v3 on the hub: has no revision \"v3\""),
            (&train("hf:some/reviews@..", "m", &[]), "revision is \"..\", expected"),
        ] {
            let said = refused(&dht(place.path(), &hub.address, arguments));
            assert!(said.contains(expected.trim_start_matches("hf:")), "{arguments:?}: {said}");
        }
    }

    #[test]
    fn any_data_set_and_a_saved_model_come_from_the_hub() {
        let (hub, place) = place();
        let put = |path: &str, bytes| hub.put("datasets/some/reviews", "main", path, bytes);
        put("data/train-00000-of-00001.parquet", reviews(200, 0));
        put("data/validation-00000-of-00001.parquet", reviews(40, 200));
        put("data/test-00000-of-00001.parquet", glue(&["text"], ["bad", "good"], 20, true));
        let run = |arguments: &[&str]| printed(&dht(place.path(), &hub.address, arguments));
        let (_, said) = run(&train("hf:some/reviews", "model", &[]));
        assert!(said.contains("some/reviews/train: 180 training, 20 validation, 40 test rows"), "{said}");
        assert!(
            said.contains("scored on the split validation: the labels of the test split are kept secret"),
            "{said}"
        );

        let saved = place.path().join("model");
        put_folder(&hub, "models/my/reviews", &saved);
        std::fs::remove_dir_all(&saved).unwrap();
        let (made, _) = run(&["evaluate", "hf:my/reviews", "--data", "hf:some/reviews", "--json"]);
        assert_eq!(json(&made)["data"]["rows"], 40);
        let (facts, _) = run(&["inspect", "hf:my/reviews", "--json"]);
        assert_eq!(json(&facts)["labels"], serde_json::json!(["bad", "good"]));
        std::fs::write(place.path().join("asked.txt"), "the soup was fresh\n").unwrap();
        let (answers, _) = run(&["predict", "hf:my/reviews", "asked.txt"]);
        assert_eq!(answers.lines().count(), 1);
        run(&["export", "hf:my/reviews", "--out", "plain"]);
        let again = ["accelerate", "plain", "--data", "hf:some/reviews", "--unlabelled", "--out", "again"];
        let (table, _) = run(&again);
        assert!(table.contains("against the classifier's own answers"), "{table}");

        let said = refused(&dht(place.path(), &hub.address, &["inspect", "hf:my/none"]));
        assert!(said.contains("my/none on the hub: the hub answers 404 for the list of files"), "{said}");
        let said = refused(&dht(place.path(), &hub.address, &train("hf:some/none", "m", &[])));
        assert!(said.contains("some/none on the hub: the hub answers 404"), "{said}");
        // Without the hub, the command fails.
        let said = refused(&dht(place.path(), "http://127.0.0.1:9", &train("imdb", "m", &[])));
        assert!(said.contains("stanfordnlp/imdb on the hub: the list of files could not be fetched"), "{said}");
        assert!(!place.path().join("m").exists());
    }
}
