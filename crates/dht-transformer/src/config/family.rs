//! Model families that share one encoder implementation, and the properties in which each family differs from BERT.

use serde::{Deserialize, Serialize};

use super::activation::HeadActivation;
use crate::account::{Check, FamilyFields, Rule, TokenizerClass};

/// Model family of an encoder: `model_type` in its `config.json`.
///
/// | | BERT | DistilBERT | RoBERTa, XLM-RoBERTa, CamemBERT | MPNet |
/// |---|---|---|---|---|
/// | token types | yes | none | one (usually) | none |
/// | first position in use | 0 | 0 | `pad_token_id` + 1 | 2 |
/// | activation of a classifier's pooler | tanh | relu | tanh | tanh |
/// | added to attention scores | – | – | – | a bias for the distance between two tokens |
///
/// Devlin et al. 2019; Sanh et al. 2019; Liu et al. 2019; Conneau et al. 2020; Martin et al. 2020; Song et al. 2020.
/// The families differ only in the properties of the table and in the names of fields and tensors. In memory, every
/// encoder has BERT's names; a directory is read and written with the names of its family.
///
/// # Examples
/// ```
/// use dht_transformer::config::Family;
///
/// assert_eq!(Family::XlmRoberta.model_type(), "xlm-roberta");
/// assert!(!Family::DistilBert.has_token_types());
/// assert_eq!(Family::Roberta.first_position(1), 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
#[non_exhaustive]
pub enum Family {
    /// BERT (Devlin et al. 2019).
    #[default]
    Bert,
    /// DistilBERT (Sanh et al. 2019).
    DistilBert,
    /// RoBERTa (Liu et al. 2019).
    Roberta,
    /// XLM-RoBERTa (Conneau et al. 2020): RoBERTa with a multilingual vocabulary.
    XlmRoberta,
    /// CamemBERT (Martin et al. 2020): RoBERTa with a French vocabulary.
    Camembert,
    /// MPNet (Song et al. 2020).
    MpNet,
}

/// Properties in which a model family differs from BERT. Each pair of names is BERT's name and the family's name.
struct Traits {
    model_type: &'static str,
    /// Prefix of the family's class names in `transformers`, such as `Bert`.
    class: &'static str,
    /// Prefix of the encoder's tensor names in a file that also has a head, such as `bert.`.
    prefix: &'static str,
    fields: FamilyFields,
    /// Text before the layer number in tensor names, such as `encoder.layer.`.
    layers: &'static str,
    /// Renamed modules of a layer, as pairs of BERT's name and the family's name.
    layer: &'static [(&'static str, &'static str)],
    /// Renamed modules of an output head, such as the head of masked language modelling, as pairs of BERT's name and
    /// the family's name.
    heads: &'static [(&'static str, &'static str)],
    /// Renamed modules of a classification head, as pairs of BERT's name and the family's name. They apply only in a
    /// file with a classifier.
    beside_classifier: &'static [(&'static str, &'static str)],
    /// Activation function between the two layers of a classification head.
    head_activation: HeadActivation,
    positions: Positions,
    /// Number of rows in the table of relative position biases, which all layers add to their attention scores. `None`
    /// if the family has no such table.
    relative_buckets: Option<usize>,
    /// Tokenizer class of a model directory that does not name one.
    tokenizer: TokenizerClass,
    /// `true` if the encoder's class in `transformers` has a pooler by default.
    class_has_pooler: bool,
}

/// Assignment of tokens to rows of the position table.
enum Positions {
    /// Positions of a text count from 0.
    FromZero,
    /// Positions count from `pad_token_id` + 1. A padding token has the position `pad_token_id`.
    AfterPadding,
    /// Positions count from this number + 1, whatever `pad_token_id` is. A padding token has this number as its
    /// position.
    After(u32),
}

/// Naming scheme of the tensors of an output head (such as a classifier) in a weight file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadNames {
    /// Names of a classifier in the model family. In a file with these names, the encoder's pooler is not used.
    Classifier,
    /// Names of a classifier without a class in `transformers`, for which this crate writes a Python class.
    Own,
    /// BERT's names, which also apply to a file without a classifier.
    Other,
}

/// Prefix of `model_type` for classifiers without a class in `transformers`.
const OWN: &str = "dht-";

const BERT_LAYERS: &str = "encoder.layer.";

const BERT: Traits = Traits {
    model_type: "bert",
    class: "Bert",
    prefix: "bert.",
    fields: FamilyFields { renamed: &[], absent: &[], rules: &[] },
    layers: BERT_LAYERS,
    layer: &[],
    heads: &[],
    beside_classifier: &[],
    head_activation: HeadActivation::Tanh,
    positions: Positions::FromZero,
    relative_buckets: None,
    tokenizer: TokenizerClass::Bert,
    class_has_pooler: true,
};

const DISTILBERT: Traits = Traits {
    model_type: "distilbert",
    class: "DistilBert",
    prefix: "distilbert.",
    fields: FamilyFields {
        renamed: &[
            ("hidden_size", "dim"),
            ("num_hidden_layers", "n_layers"),
            ("num_attention_heads", "n_heads"),
            ("intermediate_size", "hidden_dim"),
            ("hidden_dropout_prob", "dropout"),
            ("attention_probs_dropout_prob", "attention_dropout"),
            ("hidden_act", "activation"),
        ],
        absent: &["type_vocab_size", "layer_norm_eps"],
        rules: &[
            Rule::new(Check::Harmless, "training alone", &["qa_dropout", "seq_classif_dropout"]),
            Rule::new(Check::Harmless, "the positions are stored", &["sinusoidal_pos_embds"]),
        ],
    },
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
    head_activation: HeadActivation::Relu,
    tokenizer: TokenizerClass::DistilBert,
    class_has_pooler: false,
    ..BERT
};

const ROBERTA: Traits = Traits {
    model_type: "roberta",
    class: "Roberta",
    prefix: "roberta.",
    fields: FamilyFields {
        rules: &[Rule::new(Check::Obeyed, "the positions are counted from the number after it", &["pad_token_id"])],
        ..BERT.fields
    },
    heads: &[
        ("cls.predictions.transform.dense", "lm_head.dense"),
        ("cls.predictions.transform.LayerNorm", "lm_head.layer_norm"),
        ("cls.predictions", "lm_head"),
    ],
    beside_classifier: &[("pooler.dense", "classifier.dense"), ("classifier", "classifier.out_proj")],
    positions: Positions::AfterPadding,
    tokenizer: TokenizerClass::Roberta,
    ..BERT
};

const XLM_ROBERTA: Traits =
    Traits { model_type: "xlm-roberta", class: "XLMRoberta", tokenizer: TokenizerClass::XlmRoberta, ..ROBERTA };

const CAMEMBERT: Traits =
    Traits { model_type: "camembert", class: "Camembert", tokenizer: TokenizerClass::Camembert, ..ROBERTA };

const MPNET: Traits = Traits {
    model_type: "mpnet",
    class: "MPNet",
    prefix: "mpnet.",
    fields: FamilyFields {
        absent: &["type_vocab_size"],
        rules: &[Rule::new(
            Check::Number(32),
            "transformers computes 32 buckets, whatever this field says",
            &["relative_attention_num_buckets"],
        )],
        ..BERT.fields
    },
    layer: &[
        ("attention.self.query", "attention.attn.q"),
        ("attention.self.key", "attention.attn.k"),
        ("attention.self.value", "attention.attn.v"),
        ("attention.output.dense", "attention.attn.o"),
        ("attention.output.LayerNorm", "attention.LayerNorm"),
        ("intermediate.dense", "intermediate.dense"),
        ("output.dense", "output.dense"),
        ("output.LayerNorm", "output.LayerNorm"),
    ],
    positions: Positions::After(1),
    relative_buckets: Some(32),
    tokenizer: TokenizerClass::MpNet,
    ..ROBERTA
};

impl Family {
    const ALL: [Self; 6] =
        [Self::Bert, Self::DistilBert, Self::Roberta, Self::XlmRoberta, Self::Camembert, Self::MpNet];

    fn traits(self) -> &'static Traits {
        match self {
            Self::Bert => &BERT,
            Self::DistilBert => &DISTILBERT,
            Self::Roberta => &ROBERTA,
            Self::XlmRoberta => &XLM_ROBERTA,
            Self::Camembert => &CAMEMBERT,
            Self::MpNet => &MPNET,
        }
    }

    /// Name of the family in the field `model_type` of `config.json`, such as `bert`.
    pub fn model_type(self) -> &'static str {
        self.traits().model_type
    }

    /// Value of `model_type` for the family's classifiers that have no class in `transformers`.
    pub(crate) fn own_model_type(self) -> String {
        format!("{OWN}{}", self.model_type())
    }

    /// Parses the field `model_type`. Returns the family, and whether the type has the prefix of models without a class
    /// in `transformers`.
    pub(crate) fn of_model_type(model_type: &str) -> Option<(Self, bool)> {
        let stock = model_type.strip_prefix(OWN);
        let family = Self::ALL.into_iter().find(|family| family.model_type() == stock.unwrap_or(model_type))?;
        Some((family, stock.is_some()))
    }

    pub(crate) fn model_types() -> String {
        Self::ALL.map(|family| format!("{:?}", family.model_type())).join(", ")
    }

    pub(crate) fn class(self) -> &'static str {
        self.traits().class
    }

    /// Name of a `transformers` class, such as `BertForMaskedLM` for `ForMaskedLM`.
    pub(crate) fn architecture(self, what: &str) -> String {
        format!("{}{what}", self.traits().class)
    }

    pub(crate) fn head_activation(self) -> HeadActivation {
        self.traits().head_activation
    }

    pub(crate) fn tokenizer(self) -> TokenizerClass {
        self.traits().tokenizer
    }

    pub(crate) fn class_has_pooler(self) -> bool {
        self.traits().class_has_pooler
    }

    /// Number of rows in the table of relative position biases; `None` if the family has no such table.
    pub(crate) fn relative_buckets(self) -> Option<usize> {
        self.traits().relative_buckets
    }

    /// Returns whether encoders of the family embed token types, which distinguish the first and second text of a pair.
    pub fn has_token_types(self) -> bool {
        !self.fields().absent.contains(&"type_vocab_size")
    }

    /// Position of a padding token in families that count positions from the padding token; `None` for other families.
    pub(crate) fn padding_position(self, pad_token_id: u32) -> Option<u32> {
        match self.traits().positions {
            Positions::FromZero => None,
            Positions::AfterPadding => Some(pad_token_id),
            Positions::After(id) => Some(id),
        }
    }

    /// Row of the position table for the first token of a text. `pad_token_id` is the id of the padding token.
    pub fn first_position(self, pad_token_id: u32) -> u32 {
        self.padding_position(pad_token_id).map_or(0, |padding| padding + 1)
    }

    /// Row of the position table for each token. `ids` are token ids, and `tokens` are the indices of the tokens in
    /// their texts.
    ///
    /// In families that count positions from the padding token, a padding token within a text has the position of
    /// padding. It does not increase the positions of later tokens.
    pub(crate) fn positions(self, pad_token_id: u32, ids: &[u32], tokens: &[u32]) -> Vec<u32> {
        let first = self.first_position(pad_token_id);
        let Some(pad) = self.padding_position(pad_token_id).filter(|pad| ids.contains(pad)) else {
            return tokens.iter().map(|token| first + token).collect();
        };
        let mut padding = 0;
        let position = |(id, token): (&u32, &u32)| {
            padding = if *token == 0 { 0 } else { padding };
            if *id == pad {
                padding += 1;
                return pad;
            }
            first + token - padding
        };
        ids.iter().zip(tokens).map(position).collect()
    }

    pub(crate) fn fields(self) -> &'static FamilyFields {
        &self.traits().fields
    }

    pub(crate) fn field(self, ours: &'static str) -> &'static str {
        self.fields().renamed.iter().find(|(name, _)| *name == ours).map_or(ours, |(_, theirs)| theirs)
    }

    pub(crate) fn prefix(self) -> &'static str {
        self.traits().prefix
    }

    /// Removes the prefix of the encoder from a tensor name.
    pub(crate) fn bare(self, name: &str) -> &str {
        name.strip_prefix(self.traits().prefix).unwrap_or(name)
    }

    /// Detects the naming scheme of the output head in a file, from its tensor names. `own` is `true` if `transformers`
    /// has no class for the model.
    pub(crate) fn head_names<'a>(self, own: bool, names: impl IntoIterator<Item = &'a str>) -> HeadNames {
        let beside = self.traits().beside_classifier;
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

    /// Translates a tensor name in a file to BERT's name without prefix. Old names of layer norms (`gamma`, `beta`) are
    /// replaced. Returns `None` for a name that no model of the family has.
    pub(crate) fn ours(self, name: &str, head: HeadNames) -> Option<String> {
        let traits = self.traits();
        let (module, number) = self.bare(name).rsplit_once('.')?;
        let number = match number {
            "gamma" => "weight",
            "beta" => "bias",
            number => number,
        };
        if let Some((layer, part)) = in_layer(module, traits.layers) {
            // A family with its own names for parts has no other parts.
            let part = if traits.layer.is_empty() { part } else { ours_of(traits.layer, part)? };
            return Some(format!("{BERT_LAYERS}{layer}.{part}.{number}"));
        }
        let beside = if head == HeadNames::Classifier { traits.beside_classifier } else { &[] };
        if let Some(module) = ours_of(traits.heads, module).or_else(|| ours_of(beside, module)) {
            return Some(format!("{module}.{number}"));
        }
        // If a head has the family's own names, BERT's names are those of another model's head.
        let renamed = |(ours, _): &&(&str, &str)| *ours == module;
        let token_classifier =
            head == HeadNames::Other && module == "classifier" && !traits.beside_classifier.is_empty();
        if token_classifier || traits.heads.iter().chain(beside).any(|pair| renamed(&pair)) {
            return None;
        }
        Some(format!("{module}.{number}"))
    }

    /// Names of the weight and the bias of one linear layer in a classifier, as files of the family have them. `part`
    /// is BERT's name of the linear layer, such as `pooler.dense`.
    pub(crate) fn names_of(self, part: &str) -> String {
        ["weight", "bias"].map(|number| self.theirs(&format!("{part}.{number}"), true, true)).join(", ")
    }

    /// Translates a tensor name from BERT's to the name in a file of the family. `head` states whether the file has a
    /// head, and `classifier` whether this head is a classifier.
    pub(crate) fn theirs(self, name: &str, head: bool, classifier: bool) -> String {
        let traits = self.traits();
        let Some((module, number)) = name.rsplit_once('.') else { return name.to_owned() };
        let theirs = |table: &[(&'static str, &'static str)], module: &str| {
            table.iter().find(|(ours, _)| *ours == module).map(|(_, theirs)| *theirs)
        };
        let prefix = if head { traits.prefix } else { "" };
        if let Some((layer, part)) = in_layer(module, BERT_LAYERS) {
            let part = theirs(traits.layer, part).unwrap_or(part);
            return format!("{prefix}{}{layer}.{part}.{number}", traits.layers);
        }
        let beside = || theirs(traits.beside_classifier, module).filter(|_| classifier);
        match theirs(traits.heads, module).or_else(beside) {
            Some(module) => format!("{module}.{number}"),
            None if ["embeddings.", "encoder.", "pooler."].iter().any(|part| name.starts_with(part)) => {
                format!("{prefix}{name}")
            }
            None => name.to_owned(),
        }
    }
}

impl From<Family> for &'static str {
    fn from(family: Family) -> Self {
        family.model_type()
    }
}

impl TryFrom<String> for Family {
    type Error = String;

    fn try_from(model_type: String) -> Result<Self, String> {
        let family = Self::ALL.into_iter().find(|family| family.model_type() == model_type);
        family.ok_or_else(|| format!("model_type is {model_type:?}, expected one of {}", Self::model_types()))
    }
}

fn ours_of(table: &[(&'static str, &'static str)], module: &str) -> Option<&'static str> {
    table.iter().find(|(_, theirs)| *theirs == module).map(|(ours, _)| *ours)
}

/// Splits a module name such as `encoder.layer.7.output.dense` into the layer number and the rest.
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
