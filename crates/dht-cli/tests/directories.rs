//! Tests of model directories: inspected, accelerated, trained from, exported.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Creates a folder with `data/train.csv` of two classes and longer texts, and with `model`, a full model of at most 16
/// tokens.
fn place() -> TempDir {
    let place = tempfile::tempdir().expect("a folder");
    let data = place.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let row = |row: usize| {
        let (label, word) = if row.is_multiple_of(2) { ("praised", "lovely") } else { ("panned", "stale") };
        format!("{label},the soup was {word} and the bread was {word} said guest {} of table {}\n", row % 29, row % 7)
    };
    let rows = |rows: std::ops::Range<usize>| "label,text\n".to_owned() + &rows.map(row).collect::<String>();
    std::fs::write(data.join("train.csv"), rows(0..300)).expect("a file");
    std::fs::write(data.join("test.csv"), rows(300..340)).expect("a file");
    let train = [
        "train",
        "--data",
        "data",
        "--model",
        "2x2x16",
        "--kind",
        "full",
        "--epochs",
        "1",
        "--max-length",
        "16",
        "--out",
        "model",
        "--quiet",
    ];
    printed(&dht(place.path(), &train));
    place
}

fn dht(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dht"));
    command.current_dir(place).args(arguments).stdin(Stdio::null()).output().expect("dht runs")
}

/// Returns the standard output of a command that must succeed.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the standard output and standard error of a command that must fail.
fn refused(output: &Output) -> (String, String) {
    let [out, error] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    (out, error)
}

fn edit(path: &Path, change: impl FnOnce(&mut Map<String, Value>)) {
    let mut fields: Map<String, Value> =
        serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("an object");
    change(&mut fields);
    std::fs::write(path, json!(fields).to_string()).expect("a file");
}

#[test]
fn a_length_travels_through_export_and_accelerate() {
    let place = place();
    let said = printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    assert!(said.contains("texts of up to 16 tokens"), "{said}");
    let settings = place.path().join("plain/tokenizer_config.json");
    let declared: Value = serde_json::from_slice(&std::fs::read(&settings).unwrap()).unwrap();
    assert_eq!(declared["model_max_length"], 16);
    let length = |out: &str, arguments: &[&str]| {
        let all = ["accelerate", "plain", "--data", "data", "--out", out, "--quiet"];
        printed(&dht(place.path(), &[&all[..], arguments].concat()));
        let facts: Value = serde_json::from_str(&printed(&dht(place.path(), &["inspect", out, "--json"]))).unwrap();
        facts["max_length"].clone()
    };
    assert_eq!(length("same", &[]), 16);
    assert_eq!(length("asked", &["--max-length", "12"]), 12);
    // Both notations for no maximum length mean as many tokens as there are positions.
    edit(&settings, |fields| drop(fields.insert("model_max_length".into(), json!(1e30))));
    assert_eq!(length("sentinel", &[]), 512);
    edit(&settings, |fields| drop(fields.insert("model_max_length".into(), json!("16"))));
    let (_, error) = refused(&dht(place.path(), &["accelerate", "plain", "--data", "data", "--out", "none"]));
    assert!(error.contains("model_max_length is \"16\", expected a whole number"), "{error}");
}

#[test]
fn an_account_is_printed_of_every_directory() {
    let place = place();
    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    let account = printed(&dht(place.path(), &["inspect", "plain"]));
    for part in [
        "kind        classifier",
        "labels      panned, praised",
        "texts       up to 16 tokens",
        "obeyed    config.json: architectures (the class",
        "harmless  files: modeling_dht.py (code, which is never run",
        "obeyed    model.safetensors: ",
    ] {
        assert!(account.contains(part), "{part}: {account}");
    }
    let config = place.path().join("plain/config.json");
    // A training run can start from the encoder, whatever its head is for.
    edit(&config, |fields| {
        fields.insert("architectures".into(), json!(["BertForTokenClassification"]));
    });
    let account: Value = serde_json::from_str(&printed(&dht(place.path(), &["inspect", "plain", "--json"]))).unwrap();
    assert_eq!((&account["kind"], &account["problems"][0]["classifier_alone"]), (&json!("encoder"), &json!(true)));
    let (_, error) = refused(&dht(place.path(), &["accelerate", "plain", "--data", "data", "--out", "none"]));
    assert!(error.contains("\"BertForTokenClassification\" is a classifier of single tokens"), "{error}");
    let train =
        ["train", "--data", "data", "--model", "plain", "--kind", "full", "--epochs", "1", "--out", "again", "--quiet"];
    printed(&dht(place.path(), &train));
    // If a directory cannot be loaded, all reasons are listed.
    edit(&config, |fields| {
        fields.insert("hidden_size".into(), Value::Null);
        fields.insert("quantization_config".into(), json!({"bits": 8}));
    });
    std::fs::write(place.path().join("plain/adapter_config.json"), "{}").unwrap();
    let (account, error) = refused(&dht(place.path(), &["inspect", "plain"]));
    assert!(account.starts_with("kind        unusable"), "{account}");
    for part in
        ["hidden_size is null", "quantization_config is {\"bits\":8}", "adapter_config.json: weights of an adapter"]
    {
        assert!(account.contains(part), "{part}: {account}");
    }
    assert!(error.contains("plain cannot be loaded: 3 reasons, listed above"), "{error}");
    let (out, _) = refused(&dht(place.path(), &["inspect", "plain", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["kind"], "unusable");
}

#[test]
fn names_of_classes_that_are_none_are_refused() {
    let place = place();
    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    let config = place.path().join("plain/config.json");
    for (names, part) in [
        (json!({"0": "panned", "2": "praised"}), "0 to 1"),
        (json!({"1": "panned", "2": "praised"}), "0 to 1"),
        (json!({"0": "x", "1": "x"}), "another name for each class"),
    ] {
        edit(&config, |fields| {
            fields.remove("label2id");
            fields.insert("id2label".into(), names);
        });
        let (_, error) = refused(&dht(place.path(), &["accelerate", "plain", "--data", "data", "--out", "none"]));
        assert!(error.contains("plain/config.json: id2label is ") && error.contains(part), "{error}");
    }
}
