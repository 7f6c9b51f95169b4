//! Classifiers for which `transformers` has no class, such as a classifier without a pooler. Their directories contain
//! the Python code of a class and a model type that `transformers` does not know. `transformers` runs this code only
//! with `trust_remote_code=True`.

use serde_json::{Map, Value, json};

use crate::config::Family;

/// File name of the Python class that this crate writes into a model directory.
pub(crate) const CODE_FILE: &str = "modeling_dht.py";

pub(crate) fn code(family: Family) -> String {
    let arguments = if family.class_has_pooler() { ", add_pooling_layer=False" } else { "" };
    include_str!("modeling_dht.py")
        .replace("{class}", &family.architecture(""))
        .replace("{model_type}", &family.own_model_type())
        .replace("{encoder}", family.prefix().trim_end_matches('.'))
        .replace("{arguments}", arguments)
}

/// Writes the names of the Python class and its model type to the fields of `config.json`.
///
/// The model type must be unknown to `transformers`. For a known type, `transformers` by default selects its own class,
/// and ignores `architectures` and `auto_map`.
pub(crate) fn describe(fields: &mut Map<String, Value>, family: Family) {
    let class = |what: &str| format!("Dht{}", family.architecture(what));
    let module = CODE_FILE.trim_end_matches(".py");
    let (config, classifier) = (class("Config"), class("ForSequenceClassification"));
    fields.insert("model_type".into(), family.own_model_type().into());
    fields.insert(
        "auto_map".into(),
        json!({
            "AutoConfig": format!("{module}.{config}"),
            "AutoModelForSequenceClassification": format!("{module}.{classifier}"),
        }),
    );
    fields.insert("architectures".into(), json!([classifier]));
}
