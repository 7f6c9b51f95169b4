//! Tokenizer classes, and tables of the fields in `tokenizer_config.json` and `special_tokens_map.json`: whether each
//! is applied, ignored or refused.

use serde_json::{Map, Value};

use super::entry::{Entry, Treatment};
use super::rule::{Check, Rule, entries, find, refusals};
use crate::error::Error;

/// Tokenizer class of `transformers` 5 that this crate supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenizerClass {
    /// WordPiece tokenizer, built from the vocabulary and the settings alone.
    Bert,
    /// WordPiece tokenizer as in BERT, without token types.
    DistilBert,
    /// WordPiece tokenizer as in BERT, with RoBERTa's special tokens around a text.
    MpNet,
    /// Byte-level BPE tokenizer, built from the vocabulary, the merges and the settings alone.
    Roberta,
    /// Unigram tokenizer, built from the vocabulary, the character map and the settings alone.
    XlmRoberta,
    /// Unigram tokenizer as in XLM-RoBERTa, except that the unknown token is looked up by name.
    Camembert,
    /// Tokenizer of any kind, exactly as `tokenizer.json` describes it.
    AsWritten,
}

/// Algorithm for which a tokenizer's vocabulary was trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VocabularyKind {
    WordPiece,
    ByteLevelBpe,
    Unigram,
}

const CLASSES: &[(TokenizerClass, &[&str])] = &[
    (
        TokenizerClass::Bert,
        &[
            "BertTokenizer",
            "ElectraTokenizer",
            "MobileBertTokenizer",
            "SqueezeBertTokenizer",
            "LxmertTokenizer",
            "LayoutLMTokenizer",
        ],
    ),
    (TokenizerClass::DistilBert, &["DistilBertTokenizer"]),
    (TokenizerClass::Roberta, &["RobertaTokenizer", "LongformerTokenizer", "BartTokenizer"]),
    (TokenizerClass::AsWritten, &["PreTrainedTokenizer", "TokenizersBackend", "PythonBackend"]),
    (TokenizerClass::XlmRoberta, &["XLMRobertaTokenizer"]),
    (TokenizerClass::Camembert, &["CamembertTokenizer"]),
    (TokenizerClass::MpNet, &["MPNetTokenizer"]),
];

impl TokenizerClass {
    /// Parses the name of a tokenizer class, with or without `Fast` at the end. `None` for an unsupported class.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix("Fast").unwrap_or(name);
        CLASSES.iter().find(|(_, names)| names.contains(&name)).map(|(class, _)| *class)
    }

    /// Algorithm for which vocabularies of this class are trained. `None` if `tokenizer.json` is used unchanged,
    /// whatever its algorithm.
    pub(crate) fn vocabulary(self) -> Option<VocabularyKind> {
        match self {
            Self::Bert | Self::DistilBert | Self::MpNet => Some(VocabularyKind::WordPiece),
            Self::Roberta => Some(VocabularyKind::ByteLevelBpe),
            Self::XlmRoberta | Self::Camembert => Some(VocabularyKind::Unigram),
            Self::AsWritten => None,
        }
    }

    /// Returns whether the tokenizer is built from its vocabulary by the rules of the class. Otherwise `tokenizer.json`
    /// is used unchanged.
    pub(crate) fn is_rebuilt(self) -> bool {
        self.vocabulary().is_some()
    }

    /// Main name of the class in `transformers`.
    pub(crate) fn name(self) -> &'static str {
        let named = CLASSES.iter().find(|(class, _)| *class == self);
        named.and_then(|(_, names)| names.first()).copied().unwrap_or_default()
    }

    pub(crate) fn names() -> String {
        CLASSES.iter().flat_map(|(_, names)| *names).copied().collect::<Vec<_>>().join(", ")
    }
}

/// Settings that only BERT-like tokenizer classes apply. Other classes of `transformers` 5 ignore them.
const BERT_SETTINGS: &[&str] = &["do_lower_case", "strip_accents", "tokenize_chinese_chars"];
const ROBERTA_SETTINGS: &[&str] = &["add_prefix_space"];

/// Fields that name a special token. Any other text field whose name ends in `_token` also does.
pub(crate) const TOKENS: &[&str] =
    &["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

const FIELDS: &[Rule] = &[
    Rule::new(Check::Obeyed, "the class", &["tokenizer_class"]),
    Rule::new(Check::Obeyed, "letter case, accents, ideographs and spaces", BERT_SETTINGS),
    Rule::new(Check::Obeyed, "letter case, accents, ideographs and spaces", ROBERTA_SETTINGS),
    Rule::new(Check::Obeyed, "a special token", TOKENS),
    Rule::new(
        Check::Obeyed,
        "added tokens",
        &["additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens", "added_tokens_decoder"],
    ),
    Rule::new(Check::Obeyed, "the maximal length, bounded by the positions", &["model_max_length", "max_len"]),
    Rule::new(Check::Obeyed, "whether the second text of a pair has a type of its own", &["model_input_names"]),
    Rule::new(
        Check::Only(&["right"]),
        "long texts are cut at their end (set it to \"right\" to accept that)",
        &["truncation_side"],
    ),
    Rule::new(Check::Empty, "special tokens in texts are never split into parts", &["split_special_tokens"]),
    Rule::new(Check::Empty, "code in a directory is never run, and may split texts otherwise", &["auto_map"]),
    Rule::new(
        Check::Empty,
        "the tokenizer is read from its own files",
        &["init_inputs", "vocab", "merges", "tokenizer_object", "gguf_file", "post_processor", "fast_tokenizer_files"],
    ),
    Rule::new(
        Check::Harmless,
        "no padding is computed",
        &["padding_side", "pad_token_type_id", "pad_to_multiple_of", "padding", "pad_token_id"],
    ),
    Rule::new(
        Check::Harmless,
        "ids to text alone",
        &[
            "clean_up_tokenization_spaces",
            "errors",
            "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
        ],
    ),
    Rule::new(Check::Harmless, "positions of tokens in the text alone", &["trim_offsets"]),
    Rule::new(
        Check::Harmless,
        "no effect in transformers 5",
        &[
            "do_basic_tokenize",
            "never_split",
            "add_bos_token",
            "add_eos_token",
            "use_fast",
            "from_slow",
            "legacy",
            "unk_id",
            "sp_model_kwargs",
            "do_split_on_punc",
            "do_word_tokenize",
            "do_subword_tokenize",
        ],
    ),
    Rule::new(
        Check::Harmless,
        "the caller gives the length",
        &["max_length", "stride", "truncation", "truncation_strategy"],
    ),
    Rule::new(
        Check::Harmless,
        "chats alone",
        &["chat_template", "response_template", "response_schema", "chat_control_tokens"],
    ),
    Rule::new(
        Check::Harmless,
        "a note",
        &[
            "name_or_path",
            "special_tokens_map_file",
            "tokenizer_file",
            "vocab_file",
            "merges_file",
            "backend",
            "is_local",
            "local_files_only",
            "full_tokenizer_file",
            "processor_class",
            "verbose",
            "files_loaded",
            "transformers_version",
            "device_map",
            "tokenizer_type",
            "model_type",
            "tokenizers_version",
        ],
    ),
];

/// Creates an account entry (name, treatment and reason) for each field of a tokenizer file.
pub(crate) fn tokenizer_entries(class: TokenizerClass, file: &str, fields: &Map<String, Value>) -> Vec<Entry> {
    let mut entries = entries(|field| find(FIELDS, field), file, fields);
    for entry in &mut entries {
        let Some(field) = entry.item.as_deref() else { continue };
        let without: &[&[&str]] = match class.vocabulary() {
            Some(VocabularyKind::WordPiece) => &[ROBERTA_SETTINGS],
            Some(VocabularyKind::ByteLevelBpe | VocabularyKind::Unigram) => &[BERT_SETTINGS],
            None => &[BERT_SETTINGS, ROBERTA_SETTINGS],
        };
        let obeyed = !without.iter().any(|settings| settings.contains(&field));
        if !obeyed {
            entry.treatment = Treatment::Harmless;
            entry.reason = "no effect on a tokenizer of this class".into();
        }
        if entry.treatment == Treatment::Unknown && field.ends_with("_token") && fields[field].is_string() {
            entry.treatment = Treatment::Obeyed;
            entry.reason = "a special token".into();
        }
    }
    entries
}

/// Creates an [`Error::Argument`] for each field of a tokenizer file that prevents loading.
pub(crate) fn tokenizer_refusals(fields: &Map<String, Value>) -> Vec<Error> {
    refusals(|field| find(FIELDS, field), fields)
}
