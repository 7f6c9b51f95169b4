//! Detection of text classifiers by the `transformers` class that a model directory names.

use std::path::Path;

use serde_json::Value;

use crate::account::Architecture;
use crate::config::{BertConfig, Pooling};
use crate::error::Error;

const FIELD: &str = "architectures";

/// Checks that a directory holds a text classifier; returns the reason if it does not. The decision follows from the
/// field `architectures` of `config.json`. If this field is missing, it follows from `outputs`, the number of outputs
/// of the classifier in the weights.
pub(crate) fn class_problem(folder: &Path, config: &BertConfig, outputs: Option<usize>) -> Option<Error> {
    let refuse = |reason: String| {
        let (path, item) = (folder.join("config.json"), Some(FIELD.into()));
        Some(Error::Unsupported { path, item, reason })
    };
    let classes: Vec<&Value> = match config.other.get(FIELD) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(classes)) => classes.iter().collect(),
        Some(class) => vec![class],
    };
    // `transformers` gives its own classes a pooler, whatever the field's value.
    let stock = |class: &&&Value| {
        let name = class.as_str().unwrap_or_default();
        !name.starts_with("Dht")
            && Architecture::from_class(name, config.family.class()) == Architecture::SequenceClassifier
    };
    if let (Ok(Pooling::Cls | Pooling::Mean), Some(class)) = (Pooling::of_config(config), classes.iter().find(stock)) {
        let reason = format!("{class} has a pooler in transformers, whatever this field says: remove the field");
        return Some(Error::Unsupported {
            path: folder.join("config.json"),
            item: Some("classifier_pooling".into()),
            reason,
        });
    }
    if classes.is_empty() {
        return unnamed_problem(config, outputs).and_then(refuse);
    }
    let architecture = |class: &Value| {
        let family = config.family.class();
        class.as_str().map_or(Architecture::Foreign, |class| Architecture::from_class(class, family))
    };
    let architectures: Vec<_> = classes.iter().map(|class| (architecture(class), class)).collect();
    // An encoder's class next to a classifier's is a part of it.
    let classifies = architectures.iter().any(|(architecture, _)| *architecture == Architecture::SequenceClassifier);
    architectures.into_iter().find_map(|(architecture, class)| match architecture {
        Architecture::SequenceClassifier => None,
        Architecture::Encoder(_) if classifies => None,
        Architecture::Encoder(what) => refuse(format!(
            "{class} is {what}: fine-tune it first, for example with `dht train --model {}`",
            folder.display()
        )),
        Architecture::OtherTask(what) => refuse(format!(
            "{class} is {what}, not a classifier of texts; its encoder can be fine-tuned, for example with `dht train --model {}`",
            folder.display()
        )),
        Architecture::Foreign => refuse(format!(
            "{class} is not a class of transformers for the model type {:?}, and may compute something else; expected \"{}\"",
            config.family.model_type(),
            config.family.architecture("ForSequenceClassification")
        )),
    })
}

/// Describes why a directory without the field `architectures` may not be a text classifier: its fields suggest
/// multiple choice or token classification.
fn unnamed_problem(config: &BertConfig, outputs: Option<usize>) -> Option<String> {
    let set = |field: &str| config.other.get(field).is_some_and(|value| !value.is_null());
    let expected = config.family.architecture("ForSequenceClassification");
    if outputs == Some(1) && !["id2label", "num_labels", "problem_type"].into_iter().any(set) {
        return Some(format!(
            "is missing, and a single output may be that of a multiple choice: add [\"{expected}\"], or a `problem_type`"
        ));
    }
    let labels = config.labels()?;
    let starts = |start: &str| labels.iter().any(|label| label.starts_with(start));
    (labels.iter().any(|label| label == "O") && (starts("B-") || starts("I-"))).then(|| {
        format!("is missing, and the names of the classes are those of single tokens: add [\"{expected}\"] if they are of texts")
    })
}

/// Checks the number of a classifier's outputs against the field `problem_type`. Returns an error if the two contradict
/// each other.
pub(crate) fn task_problem(config: &BertConfig, outputs: usize) -> Option<Error> {
    let task = config.other.get("problem_type")?.as_str()?;
    let (right, expected) = match task {
        "regression" => (outputs == 1, "another task, or 1 output"),
        "single_label_classification" => (outputs >= 2, "another task, or at least 2 outputs"),
        _ => (true, ""),
    };
    let got = || format!("{task:?} of {outputs} output{}", if outputs == 1 { "" } else { "s" });
    (!right).then(|| Error::argument("problem_type", expected, got()))
}
