//! Classifiers for which `transformers` has no class. Their directories name an unknown model type, and contain the
//! code of a class that `transformers` runs only with `trust_remote_code=True`.

use serde_json::{Map, Value, json};

use crate::config::Family;

/// Module of the class, next to the weights.
pub(crate) const CODE_FILE: &str = "modeling_dht.py";

/// Code of a family's class.
pub(crate) fn code(family: Family) -> String {
    let arguments = if family.class_has_pooler() { ", add_pooling_layer=False" } else { "" };
    include_str!("modeling_dht.py")
        .replace("{class}", &family.architecture(""))
        .replace("{model_type}", &family.own_model_type())
        .replace("{encoder}", family.prefix().trim_end_matches('.'))
        .replace("{arguments}", arguments)
}

/// Names the class in `config.json`.
///
/// The model type must be unknown to `transformers`, which selects its class by this type, ignores `architectures`, and
/// by default prefers its own class to the class in `auto_map`.
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
