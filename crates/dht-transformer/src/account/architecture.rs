//! Model classes of `transformers`, as named by the field `architectures` of `config.json`.

/// Kind of `transformers` class that saved a model directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// Text classifier (`ForSequenceClassification`).
    SequenceClassifier,
    /// Encoder without a head or with a pre-training head, and a description of the encoder.
    Encoder(&'static str),
    /// Encoder with a head for a task other than text classification, and a description of the task.
    OtherTask(&'static str),
    /// Class that `transformers` does not have for the model family.
    Foreign,
}

/// Known suffixes of class names, and the kind of each class.
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
    /// Parses a class name such as `BertForMaskedLM`. `family` is the prefix of the family's class names, such as
    /// `Bert`.
    pub(crate) fn from_class(class: &str, family: &str) -> Self {
        let ending = class.strip_prefix("Dht").unwrap_or(class).strip_prefix(family);
        CLASSES.iter().find(|(name, _)| ending == Some(name)).map_or(Self::Foreign, |(_, architecture)| *architecture)
    }
}
