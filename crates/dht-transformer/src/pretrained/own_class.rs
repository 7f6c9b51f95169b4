//! Classifiers that `transformers` has no class for: their directories name a model type that it refuses, and bring the
//! code of a class that it runs only with `trust_remote_code=True`.

use serde_json::{Map, Value, json};

use crate::config::Family;

/// The module of the class, beside the weights.
pub(crate) const CODE_FILE: &str = "modeling_dht.py";

/// The code of a family's class.
pub(crate) fn code(family: Family) -> String {
    // The pooler of BERT and RoBERTa is a part of their encoders, which is not asked for here; DistilBERT's has none.
    let arguments = if family == Family::DistilBert { "" } else { ", add_pooling_layer=False" };
    include_str!("modeling_dht.py")
        .replace("{class}", &family.architecture(""))
        .replace("{model_type}", &family.own_model_type())
        .replace("{encoder}", family.model_type())
        .replace("{arguments}", arguments)
}

/// Makes `config.json` name the class.
///
/// The model type has to be one that `transformers` does not know: it goes by that, takes no notice of `architectures`,
/// and prefers a class of its own to that of `auto_map` by default.
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
