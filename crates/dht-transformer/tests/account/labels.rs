//! Class names in `config.json`.

use dht_transformer::{Error, config::Family};
use serde_json::{Value, json};

use crate::directory::Directory;

/// Class names of a classifier whose `config.json` has additional fields, or the refused field and its message.
fn names(classes: usize, fields: Value) -> Result<Vec<String>, (&'static str, String)> {
    let directory = Directory::new(Family::Bert, classes);
    directory.without("id2label").without("label2id").config(fields);
    match directory.load() {
        Ok(model) => {
            let names = model.class_names().expect("a loaded classifier has names");
            assert_eq!(directory.account().labels.as_deref(), Some(names.as_slice()));
            Ok(names)
        }
        Err(Error::Config { field, expected, got, .. }) => {
            directory.refused(true);
            Err((field, format!("{got}, expected {expected}")))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn names_that_number_the_outputs_are_taken() {
    let taken = [
        (json!({"id2label": {"0": "bad", "1": "good"}}), ["bad", "good"]),
        (json!({"id2label": {"1": "good", "0": "bad"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}), ["bad", "good"]),
        (json!({"id2label": {"0": 0, "1": 1}}), ["0", "1"]),
        (json!({"id2label": {"0": "Good", "1": "good"}}), ["Good", "good"]),
        (json!({"label2id": {"good": 1, "bad": 0}}), ["bad", "good"]),
        (json!({"label2id": {"good": "1", "bad": "0"}}), ["bad", "good"]),
        (json!({"id2label": {"0": "bad", "1": "good"}, "num_labels": 2, "label2id": null}), ["bad", "good"]),
        (json!({}), ["LABEL_0", "LABEL_1"]),
        (json!({"id2label": null, "num_labels": 2}), ["LABEL_0", "LABEL_1"]),
    ];
    for (fields, expected) in taken {
        assert_eq!(names(2, fields.clone()), Ok(expected.map(String::from).to_vec()), "{fields}");
    }
    let directory = Directory::new(Family::Bert, 2);
    assert!(!directory.account().has_placeholder_names());
    directory.without("id2label").without("label2id");
    assert!(directory.account().has_placeholder_names());
    let many: serde_json::Map<String, Value> =
        (0..12).map(|class| (class.to_string(), json!(format!("n{class}")))).collect();
    assert_eq!(names(12, json!({"id2label": many})).unwrap()[10], "n10");
}

#[test]
fn names_that_do_not_number_the_outputs_are_refused() {
    let refused = [
        (json!({"id2label": {"0": "bad", "2": "good"}}), "id2label", "0: \"bad\", 2: \"good\""),
        (json!({"id2label": {"1": "bad", "2": "good"}}), "id2label", "0 to 1"),
        (json!({"id2label": {"-1": "bad", "0": "good"}}), "id2label", "-1: \"bad\""),
        (json!({"id2label": {"0": "bad"}}), "id2label", "0: \"bad\""),
        (json!({"id2label": {"0": "bad", "1": "good", "2": "more"}}), "id2label", "2: \"more\""),
        (json!({"id2label": {}}), "id2label", "empty"),
        (json!({"id2label": {"zero": "bad", "1": "good"}}), "id2label", "the key \"zero\""),
        (json!({"id2label": {"0": "a", "00": "b"}}), "id2label", "0: \"a\", 0: \"b\""),
        (json!({"id2label": {"0": "a", "1": null}}), "id2label", "null for class 1"),
        (json!({"id2label": ["bad", "good"]}), "id2label", "an object"),
        (json!({"id2label": {"0": "x", "1": "x"}}), "id2label", "another name for each class"),
        (json!({"id2label": {"0": "x", "1": "x "}}), "id2label", "another name for each class"),
        (json!({"id2label": {"0": "x", "1": "x\u{200b}"}}), "id2label", "\\u{200b}"),
        (json!({"id2label": {"0": "x", "1": " "}}), "id2label", "names with letters"),
        (json!({"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}), "label2id", "as id2label says"),
        (json!({"id2label": {"0": "a", "1": "b"}, "num_labels": 5}), "num_labels", "the classifier's outputs"),
        (json!({"num_labels": 3}), "num_labels", "2, the classifier's outputs"),
        (json!({"label2id": {"a": 0, "b": 2}}), "label2id", "0 to 1"),
        (json!({"label2id": {"a": 0, "b": 0}}), "label2id", "0: \"a\", 0: \"b\""),
        (json!({"label2id": {"a": 0, "b": "one"}}), "label2id", "\"one\" for \"b\""),
    ];
    for (fields, field, part) in refused {
        let (got, message) = names(2, fields.clone()).expect_err("a refusal");
        assert!(got == field && message.contains(part), "{fields}: {got} is {message}");
    }
}
