//! Model classes of `transformers`, which the field `architectures` of `config.json` names.

/// Model class of the Python library `transformers` that saved a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// Classifier of whole texts.
    SequenceClassifier,
    /// Encoder, alone or with a pre-training head.
    Encoder(&'static str),
    /// Encoder with a head for another task.
    OtherTask(&'static str),
    /// Unknown class name, which `transformers` does not have for the model family.
    Foreign,
}

/// Suffixes of class names, and their architectures.
const CLASSES: [(&str, Architecture); 10] = [
    ("ForSequenceClassification", Architecture::SequenceClassifier),
    ("Model", Architecture::Encoder("an encoder without a classifier")),
    ("ForMaskedLM", Architecture::Encoder("a model of masked tokens")),
    ("ForPreTraining", Architecture::Encoder("a pre-trained encoder without a classifier")),
    ("ForNextSentencePrediction", Architecture::OtherTask("a model that tells whether one text follows another")),
    ("ForTokenClassification", Architecture::OtherTask("a classifier of single tokens")),
    ("ForMultipleChoice", Architecture::OtherTask("a model that selects one of several texts")),
    ("ForQuestionAnswering", Architecture::OtherTask("a model that marks answers in texts")),
    ("ForCausalLM", Architecture::OtherTask("a model that generates text")),
    ("LMHeadModel", Architecture::OtherTask("a model that generates text")),
];

impl Architecture {
    /// Architecture of a class name such as `BertForMaskedLM`. `family` is the prefix of the family's class names.
    pub(crate) fn from_class(class: &str, family: &str) -> Self {
        let ending = class.strip_prefix("Dht").unwrap_or(class).strip_prefix(family);
        CLASSES.iter().find(|(name, _)| ending == Some(name)).map_or(Self::Foreign, |(_, architecture)| *architecture)
    }
}
