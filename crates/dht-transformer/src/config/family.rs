//! Model families BERT, DistilBERT and RoBERTa. One encoder computes all of them; tables hold their names in files and
//! their differences.

use serde::{Deserialize, Serialize};

/// Model family of an encoder: `model_type` in its `config.json`.
///
/// | | BERT | DistilBERT | RoBERTa |
/// |---|---|---|---|
/// | token types | yes | none | one (usually) |
/// | first position | 0 | 0 | `pad_token_id` + 1 |
/// | pooler of a classifier | tanh | relu | tanh |
///
/// Devlin et al. 2019; Sanh et al. 2019; Liu et al. 2019. The families differ in the table below, and otherwise only in
/// names of fields and tensors. In memory every encoder has BERT's names; a directory is read and written with the
/// names of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Family {
    /// BERT (Devlin et al. 2019).
    #[default]
    Bert,
    /// DistilBERT (Sanh et al. 2019).
    DistilBert,
    /// RoBERTa (Liu et al. 2019).
    Roberta,
}

/// Names in a family's files: pairs of BERT's name and the family's.
struct Naming {
    model_type: &'static str,
    /// Prefix of the family's class names in `transformers`.
    class: &'static str,
    /// Prefix of the encoder's tensors in a file that also has a head.
    prefix: &'static str,
    /// Fields of `config.json`.
    fields: &'static [(&'static str, &'static str)],
    /// Prefix of a layer number.
    layers: &'static str,
    /// Parts of a layer.
    layer: &'static [(&'static str, &'static str)],
    /// Parts of a head.
    heads: &'static [(&'static str, &'static str)],
    /// Parts of a classifier head that have these names only in a file with a classifier.
    beside_classifier: &'static [(&'static str, &'static str)],
}

/// Naming scheme of a head's tensors in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadNames {
    /// Names of the family's classifier. In a file with these names, the encoder's pooler is not used.
    Classifier,
    /// Names of a classifier of this crate's own class for `transformers`.
    Own,
    /// Names in a file without a classifier, or of a family whose classifier has BERT's names.
    Other,
}

/// Prefix of the `model_type` of models without a class in `transformers`.
const OWN: &str = "dht-";

const BERT_LAYERS: &str = "encoder.layer.";

const BERT: Naming = Naming {
    model_type: "bert",
    class: "Bert",
    prefix: "bert.",
    fields: &[],
    layers: BERT_LAYERS,
    layer: &[],
    heads: &[],
    beside_classifier: &[],
};

const DISTILBERT: Naming = Naming {
    model_type: "distilbert",
    class: "DistilBert",
    prefix: "distilbert.",
    fields: &[
        ("hidden_size", "dim"),
        ("num_hidden_layers", "n_layers"),
        ("num_attention_heads", "n_heads"),
        ("intermediate_size", "hidden_dim"),
        ("hidden_dropout_prob", "dropout"),
        ("attention_probs_dropout_prob", "attention_dropout"),
        ("hidden_act", "activation"),
    ],
    layers: "transformer.layer.",
    layer: &[
        ("attention.self.query", "attention.q_lin"),
        ("attention.self.key", "attention.k_lin"),
        ("attention.self.value", "attention.v_lin"),
        ("attention.output.dense", "attention.out_lin"),
        ("attention.output.LayerNorm", "sa_layer_norm"),
        ("intermediate.dense", "ffn.lin1"),
        ("output.dense", "ffn.lin2"),
        ("output.LayerNorm", "output_layer_norm"),
    ],
    heads: &[
        ("pooler.dense", "pre_classifier"),
        ("cls.predictions.transform.dense", "vocab_transform"),
        ("cls.predictions.transform.LayerNorm", "vocab_layer_norm"),
        ("cls.predictions", "vocab_projector"),
    ],
    beside_classifier: &[],
};

const ROBERTA: Naming = Naming {
    model_type: "roberta",
    class: "Roberta",
    prefix: "roberta.",
    fields: &[],
    layers: BERT_LAYERS,
    layer: &[],
    heads: &[
        ("cls.predictions.transform.dense", "lm_head.dense"),
        ("cls.predictions.transform.LayerNorm", "lm_head.layer_norm"),
        ("cls.predictions", "lm_head"),
    ],
    beside_classifier: &[("pooler.dense", "classifier.dense"), ("classifier", "classifier.out_proj")],
};

impl Family {
    const ALL: [Self; 3] = [Self::Bert, Self::DistilBert, Self::Roberta];

    fn naming(self) -> &'static Naming {
        match self {
            Self::Bert => &BERT,
            Self::DistilBert => &DISTILBERT,
            Self::Roberta => &ROBERTA,
        }
    }

    /// `model_type` in `config.json`.
    pub fn model_type(self) -> &'static str {
        self.naming().model_type
    }

    /// `model_type` of the classifiers without a class in `transformers`.
    pub(crate) fn own_model_type(self) -> String {
        format!("{OWN}{}", self.model_type())
    }

    /// Family of a `model_type`, and whether the `model_type` is one of this crate's own.
    pub(crate) fn of_model_type(model_type: &str) -> Option<(Self, bool)> {
        let stock = model_type.strip_prefix(OWN);
        let family = Self::ALL.into_iter().find(|family| family.model_type() == stock.unwrap_or(model_type))?;
        Some((family, stock.is_some()))
    }

    /// All model types, for errors.
    pub(crate) fn model_types() -> String {
        Self::ALL.map(|family| format!("{:?}", family.model_type())).join(", ")
    }

    /// Prefix of the family's class names in `transformers`, such as `Bert`.
    pub(crate) fn class(self) -> &'static str {
        self.naming().class
    }

    /// Name of a class of `transformers`, such as `BertForMaskedLM`.
    pub(crate) fn architecture(self, what: &str) -> String {
        format!("{}{what}", self.naming().class)
    }

    /// Returns whether tokens have embedded types (first or second text).
    pub fn has_token_types(self) -> bool {
        self != Self::DistilBert
    }

    /// Row of the position table for the first token of a text.
    pub fn first_position(self, pad_token_id: u32) -> u32 {
        if self == Self::Roberta { pad_token_id + 1 } else { 0 }
    }

    /// Row of the position table for each token. `tokens` are the positions of the tokens in their texts. In RoBERTa, a
    /// padding token that occurs within a text has the position of padding, and does not increase the positions of
    /// later tokens.
    pub(crate) fn positions(self, pad_token_id: u32, ids: &[u32], tokens: &[u32]) -> Vec<u32> {
        let first = self.first_position(pad_token_id);
        if self != Self::Roberta || !ids.contains(&pad_token_id) {
            return tokens.iter().map(|token| first + token).collect();
        }
        let mut padding = 0;
        let position = |(id, token): (&u32, &u32)| {
            padding = if *token == 0 { 0 } else { padding };
            if *id == pad_token_id {
                padding += 1;
                return pad_token_id;
            }
            first + token - padding
        };
        ids.iter().zip(tokens).map(position).collect()
    }

    /// Pairs of names of a field of `config.json`: the name in this crate, and the family's name.
    pub(crate) fn fields(self) -> &'static [(&'static str, &'static str)] {
        self.naming().fields
    }

    /// Family's name of a field.
    pub(crate) fn field(self, ours: &'static str) -> &'static str {
        self.fields().iter().find(|(name, _)| *name == ours).map_or(ours, |(_, theirs)| theirs)
    }

    /// Prefix of an encoder's tensor names in a file of a model with a head.
    pub(crate) fn prefix(self) -> &'static str {
        self.naming().prefix
    }

    /// Name without the prefix of the family.
    pub(crate) fn bare(self, name: &str) -> &str {
        name.strip_prefix(self.naming().prefix).unwrap_or(name)
    }

    /// Naming scheme of the head in a file with tensors of these names.
    pub(crate) fn head_names<'a>(self, own: bool, names: impl IntoIterator<Item = &'a str>) -> HeadNames {
        let beside = self.naming().beside_classifier;
        let is_head = |name: &str| {
            let module = self.bare(name).rsplit_once('.').map_or("", |(module, _)| module);
            beside.iter().any(|(_, theirs)| *theirs == module)
        };
        if own {
            HeadNames::Own
        } else if names.into_iter().any(is_head) {
            HeadNames::Classifier
        } else {
            HeadNames::Other
        }
    }

    /// BERT's name, without prefix, of a tensor in one of the family's files. Old names of layer norms (`gamma`,
    /// `beta`) are replaced. `None` for a name that no model of the family has in such a file.
    pub(crate) fn ours(self, name: &str, head: HeadNames) -> Option<String> {
        let naming = self.naming();
        let (module, number) = self.bare(name).rsplit_once('.')?;
        let number = match number {
            "gamma" => "weight",
            "beta" => "bias",
            number => number,
        };
        if let Some((layer, part)) = in_layer(module, naming.layers) {
            // A family with its own names for parts has no other parts.
            let part = if naming.layer.is_empty() { part } else { ours_of(naming.layer, part)? };
            return Some(format!("{BERT_LAYERS}{layer}.{part}.{number}"));
        }
        let beside = if head == HeadNames::Classifier { naming.beside_classifier } else { &[] };
        if let Some(module) = ours_of(naming.heads, module).or_else(|| ours_of(beside, module)) {
            return Some(format!("{module}.{number}"));
        }
        // If a head has the family's own names, BERT's names are those of another model's head.
        let renamed = |(ours, _): &&(&str, &str)| *ours == module;
        let token_classifier =
            head == HeadNames::Other && module == "classifier" && !naming.beside_classifier.is_empty();
        if token_classifier || naming.heads.iter().chain(beside).any(|pair| renamed(&pair)) {
            return None;
        }
        Some(format!("{module}.{number}"))
    }

    /// Family's names of the weight and the bias of a part of a classifier, in its file.
    pub(crate) fn names_of(self, part: &str) -> String {
        ["weight", "bias"].map(|number| self.theirs(&format!("{part}.{number}"), true, true)).join(", ")
    }

    /// Family's name of one of BERT's tensors, in a file with or without a head, which may be a classifier.
    pub(crate) fn theirs(self, name: &str, head: bool, classifier: bool) -> String {
        let naming = self.naming();
        let Some((module, number)) = name.rsplit_once('.') else { return name.to_owned() };
        let theirs = |table: &[(&'static str, &'static str)], module: &str| {
            table.iter().find(|(ours, _)| *ours == module).map(|(_, theirs)| *theirs)
        };
        let prefix = if head { naming.prefix } else { "" };
        if let Some((layer, part)) = in_layer(module, BERT_LAYERS) {
            let part = theirs(naming.layer, part).unwrap_or(part);
            return format!("{prefix}{}{layer}.{part}.{number}", naming.layers);
        }
        let beside = || theirs(naming.beside_classifier, module).filter(|_| classifier);
        match theirs(naming.heads, module).or_else(beside) {
            Some(module) => format!("{module}.{number}"),
            None if ["embeddings.", "pooler."].iter().any(|part| name.starts_with(part)) => format!("{prefix}{name}"),
            None => name.to_owned(),
        }
    }
}

/// BERT's name of a module to which the family gives another name.
fn ours_of(table: &[(&'static str, &'static str)], module: &str) -> Option<&'static str> {
    table.iter().find(|(_, theirs)| *theirs == module).map(|(ours, _)| *ours)
}

/// Layer number and part of the layer, in a name such as `encoder.layer.7.output.dense`.
fn in_layer<'a>(module: &'a str, layers: &str) -> Option<(&'a str, &'a str)> {
    module.strip_prefix(layers)?.split_once('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_survives_the_way_into_each_familys_file_and_back() {
        let names = [
            "embeddings.word_embeddings.weight",
            "embeddings.LayerNorm.bias",
            "encoder.layer.0.attention.self.query.weight",
            "encoder.layer.11.attention.output.LayerNorm.weight",
            "encoder.layer.3.intermediate.dense.bias",
            "encoder.layer.3.output.dense.bias",
            "pooler.dense.weight",
            "classifier.bias",
            "cls.predictions.transform.LayerNorm.bias",
            "cls.predictions.bias",
        ];
        for family in Family::ALL {
            for (head, classifier) in [(false, false), (true, false), (true, true)] {
                for name in names {
                    let theirs = family.theirs(name, head, classifier);
                    let names = if classifier { HeadNames::Classifier } else { HeadNames::Own };
                    assert_eq!(family.ours(&theirs, names).as_deref(), Some(name), "{family:?}: {theirs}");
                }
            }
        }
    }

    #[test]
    fn padding_in_a_text_has_no_position_of_its_own() {
        let (ids, tokens) = ([0, 9, 1, 9, 2, 0, 9, 2], [0, 1, 2, 3, 4, 0, 1, 2]);
        assert_eq!(Family::Roberta.positions(1, &ids, &tokens), [2, 3, 1, 4, 5, 2, 3, 4]);
        assert_eq!(Family::Bert.positions(1, &ids, &tokens), tokens);
    }

    #[test]
    fn names_are_those_of_transformers() {
        let query = "encoder.layer.2.attention.self.query.weight";
        assert_eq!(Family::Bert.theirs(query, true, true), format!("bert.{query}"));
        assert_eq!(Family::DistilBert.theirs(query, false, false), "transformer.layer.2.attention.q_lin.weight");
        assert_eq!(Family::Roberta.theirs("classifier.bias", true, true), "classifier.out_proj.bias");
        assert_eq!(Family::Roberta.theirs("pooler.dense.bias", false, false), "pooler.dense.bias");
        assert_eq!(Family::DistilBert.theirs("cls.predictions.bias", true, false), "vocab_projector.bias");
        let ours = |family: Family, name| family.ours(name, HeadNames::Other);
        let norm = ours(Family::Bert, "bert.embeddings.LayerNorm.gamma");
        assert_eq!(norm.as_deref(), Some("embeddings.LayerNorm.weight"));
        assert_eq!(ours(Family::Bert, "cls"), None);
        assert_eq!(ours(Family::DistilBert, "pooler.dense.weight"), None);
        assert_eq!(ours(Family::Roberta, "classifier.weight"), None);
        assert_eq!(Family::Roberta.ours("roberta.pooler.dense.bias", HeadNames::Classifier), None);
    }
}
