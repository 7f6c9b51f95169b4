//! Construction of tokenizers from a vocabulary, by the rules of their `transformers` class.

use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::{PostProcessor, PostProcessorWrapper, Tokenizer};

use super::description::{Cleaning, normalizer};
use super::tokens::DeclaredTokens;
use super::word_piece::MOST_LETTERS_OF_A_WORD;
use crate::account::{TokenizerClass, VocabularyKind};
use crate::error::{Error, Result};
use crate::storage::{FileKind, read_file};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Id of the unknown token in XLM-RoBERTa. It overrides the id in `tokenizer.json`.
const UNKNOWN_PIECE: usize = 3;

/// Settings in `tokenizer_config.json` that determine how a tokenizer class splits texts.
pub(super) struct Settings {
    cleaning: Cleaning,
    add_prefix_space: bool,
    /// `true` if `model_input_names` includes token types (`token_type_ids`); `None` if the field is missing.
    pub(super) types: Option<bool>,
}

impl Settings {
    pub(super) fn from_fields(class: TokenizerClass, fields: &Map<String, Value>) -> Result<Self> {
        let flag = |field: &'static str, default: bool| match fields.get(field) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| Error::argument(field, "true or false", value.to_string())),
        };
        let types = match fields.get("model_input_names") {
            None => None,
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
                Some(names.iter().any(|name| name == "token_type_ids"))
            }
            Some(value) => {
                return Err(Error::argument("model_input_names", "a list of names", value.to_string()));
            }
        };
        let mut settings = Self { cleaning: Cleaning::default(), add_prefix_space: false, types };
        match class.vocabulary() {
            Some(VocabularyKind::WordPiece) => {
                settings.cleaning.lowercase = flag("do_lower_case", true)?;
                settings.cleaning.chinese = flag("tokenize_chinese_chars", true)?;
                settings.cleaning.strip_accents = match fields.get("strip_accents") {
                    None | Some(Value::Null) => None,
                    Some(_) => Some(flag("strip_accents", false)?),
                };
            }
            Some(VocabularyKind::ByteLevelBpe) => settings.add_prefix_space = flag("add_prefix_space", false)?,
            Some(VocabularyKind::Unigram) => settings.add_prefix_space = flag("add_prefix_space", true)?,
            None => {}
        }
        Ok(settings)
    }
}

/// Vocabulary of a tokenizer. It includes the merges of a BPE model, and the character map of a Unigram model.
pub(super) struct Vocabulary {
    pub(super) path: String,
    /// Tokens with their ids. For a Unigram model: a list of tokens with their scores.
    tokens: Value,
    /// Merge rules of a BPE model, in order; null for other models.
    merges: Value,
    /// Normalizer of a Unigram model (`precompiled_charsmap`), which maps characters as in training; null if there is
    /// none.
    table: Value,
}

impl Vocabulary {
    pub(super) fn from_file(what: &str, class: TokenizerClass, file: &Map<String, Value>) -> Result<Self> {
        let model = file.get("model").unwrap_or(&Value::Null);
        let kind = model["type"].as_str();
        let tokens = &model["vocab"];
        let vocabulary = class.vocabulary();
        let kinds: &[&str] = match vocabulary {
            Some(VocabularyKind::ByteLevelBpe) => &["BPE"],
            Some(VocabularyKind::Unigram) => &["Unigram"],
            _ => &["WordPiece", "WordLevel"],
        };
        let is_bpe = model.get("merges").is_some();
        let has_form = if vocabulary == Some(VocabularyKind::Unigram) { tokens.is_array() } else { tokens.is_object() };
        let needs_merges = vocabulary == Some(VocabularyKind::ByteLevelBpe);
        let is_kind = kind.map_or(is_bpe == needs_merges, |kind| kinds.contains(&kind));
        if !has_form || !is_kind {
            return Err(wrong_kind(what, kind, &kinds.join(" or ")));
        }
        let merges = model.get("merges").cloned().unwrap_or(Value::Null);
        let table = table(file.get("normalizer").unwrap_or(&Value::Null)).cloned().unwrap_or(Value::Null);
        Ok(Self { path: what.into(), tokens: tokens.clone(), merges, table })
    }

    /// Reads the vocabulary from `vocab.txt` (WordPiece), or from `vocab.json` and `merges.txt` (BPE).
    pub(super) fn from_folder(folder: &Path, class: TokenizerClass) -> Result<Self> {
        let read = |name: &str| -> Result<(String, String)> {
            let path = folder.join(name);
            let failed = |source: std::io::Error| match source.kind() {
                std::io::ErrorKind::NotFound => Error::io(&path, missing(folder, class)),
                _ => Error::io(&path, source),
            };
            let bytes = read_file(&path, FileKind::Tokenizer).map_err(failed)?;
            let not_text = |error| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, error));
            Ok((path.display().to_string(), String::from_utf8(bytes).map_err(not_text)?))
        };
        if class.vocabulary() != Some(VocabularyKind::ByteLevelBpe) {
            let (path, text) = read("vocab.txt")?;
            // An empty line at the end also counts as a token, so the first added token has the next id.
            let tokens = text.lines().enumerate().map(|(id, token)| (token.trim_end().to_owned(), id.into()));
            let tokens = tokens.collect::<Map<String, Value>>().into();
            return Ok(Self { path, tokens, merges: Value::Null, table: Value::Null });
        }
        let (path, text) = read("vocab.json")?;
        let tokens = serde_json::from_str(&text).map_err(|source| Error::Json { what: path.clone(), source })?;
        let (_, merges) = read("merges.txt")?;
        let merges = merges.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty());
        Ok(Self { path, tokens, merges: merges.map(Value::from).collect(), table: Value::Null })
    }

    /// Looks up the id of a token that the tokenizer class requires. A missing token is an error.
    fn id(&self, token: &str) -> Result<Value> {
        let id = match &self.tokens {
            Value::Array(list) => list.iter().position(|piece| piece[0] == token).map(Value::from),
            tokens => tokens.get(token).cloned(),
        };
        id.ok_or_else(|| {
            let source = format!("the vocabulary lacks {token}").into();
            Error::Tokenizer { what: self.path.clone(), source }
        })
    }
}

/// Builds a tokenizer from a vocabulary and the rules of its class. Added tokens are not included.
pub(super) fn rebuilt(
    what: &str,
    class: TokenizerClass,
    vocabulary: Vocabulary,
    settings: &Settings,
    tokens: &DeclaredTokens,
) -> Result<Tokenizer> {
    let named = |name: &str| tokens.get(name).unwrap_or_default();
    if class.vocabulary() == Some(VocabularyKind::Unigram) {
        let (begin, end) = (named("bos_token"), named("eos_token"));
        let ids = (vocabulary.id(begin)?, vocabulary.id(end)?);
        let unknown = match class {
            TokenizerClass::Camembert => vocabulary.id(named("unk_token")).unwrap_or(0.into()),
            _ => UNKNOWN_PIECE.into(),
        };
        return parsed(what, &unigram(vocabulary, settings, unknown, (begin, end), ids));
    }
    let (unknown, class_token, separator) = (named("unk_token"), named("cls_token"), named("sep_token"));
    let (class_id, separator_id) = (vocabulary.id(class_token)?, vocabulary.id(separator)?);
    let space = settings.add_prefix_space;
    let roberta_processing = json!({
        "type": "RobertaProcessing", "sep": [separator, separator_id], "cls": [class_token, class_id],
        "trim_offsets": true, "add_prefix_space": space
    });
    let description = if class.vocabulary() == Some(VocabularyKind::ByteLevelBpe) {
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {
                "type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true, "use_regex": true
            },
            "post_processor": roberta_processing,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
                "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocabulary.tokens, "merges": vocabulary.merges
            },
        })
    } else {
        vocabulary.id(unknown)?;
        let bert_processing = json!({
            "type": "BertProcessing", "sep": [separator, separator_id], "cls": [class_token, class_id]
        });
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": normalizer(&settings.cleaning),
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": if class == TokenizerClass::MpNet { roberta_processing } else { bert_processing },
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
            "model": {
                "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
                "max_input_chars_per_word": MOST_LETTERS_OF_A_WORD, "vocab": vocabulary.tokens
            },
        })
    };
    parsed(what, &description)
}

/// Builds the Unigram tokenizer of XLM-RoBERTa and CamemBERT. It splits texts at spaces, and encodes `<s> text </s>` or
/// `<s> text </s></s> pair </s>`.
fn unigram(
    vocabulary: Vocabulary,
    settings: &Settings,
    unknown: Value,
    (begin, end): (&str, &str),
    (begin_id, end_id): (Value, Value),
) -> Value {
    let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let text = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    let declared = |token: &str, id: &Value| json!({"id": token, "ids": [id], "tokens": [token]});
    let scheme = if settings.add_prefix_space { "always" } else { "never" };
    let space = json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": scheme, "split": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": vocabulary.table,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, space]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special(begin), text("A"), special(end)],
            "pair": [special(begin), text("A"), special(end), special(end), text("B"), special(end)],
            "special_tokens": {begin: declared(begin, &begin_id), end: declared(end, &end_id)}
        },
        "decoder": space,
        "model": {"type": "Unigram", "unk_id": unknown, "byte_fallback": false, "vocab": vocabulary.tokens},
    })
}

/// Finds the character map (`precompiled_charsmap`) in a normalizer, or in a sequence of normalizers.
fn table(normalizer: &Value) -> Option<&Value> {
    let all = match normalizer["type"].as_str() {
        Some("Sequence") => normalizer["normalizers"].as_array().map(Vec::as_slice).unwrap_or_default(),
        _ => std::slice::from_ref(normalizer),
    };
    all.iter()
        .find(|normalizer| normalizer["type"] == "Precompiled" && normalizer.get("precompiled_charsmap").is_some())
}

/// Creates the error for a directory without a readable vocabulary. The message explains how to write one.
pub(super) fn missing(folder: &Path, class: TokenizerClass) -> std::io::Error {
    let pieces = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let pieces = pieces.filter_map(|name| name.into_string().ok()).find(|name| name.ends_with(".model"));
    let how = match (pieces, class.vocabulary()) {
        (Some(pieces), Some(VocabularyKind::Unigram)) => format!(
            "is missing, and {pieces} is not read: write it once, in this directory, by `pip install transformers sentencepiece \
             protobuf` and `python -c \"from transformers import {} as T; T.from_pretrained('.').save_pretrained('.')\"`",
            class.name()
        ),
        (Some(pieces), _) => format!(
            "is missing, and {pieces} is not read: name the class in tokenizer_config.json, such as \
             {{\"tokenizer_class\": \"XLMRobertaTokenizer\"}}; the next error then says how tokenizer.json is written"
        ),
        (None, Some(VocabularyKind::WordPiece | VocabularyKind::ByteLevelBpe)) => {
            "is missing, and there is no tokenizer.json: copy the tokenizer's files of the model that this one was trained from"
                .into()
        }
        (None, _) => "is missing: this class of tokenizers needs it".into(),
    };
    std::io::Error::new(std::io::ErrorKind::NotFound, how)
}

/// Builds the tokenizer that a `tokenizer.json` describes, without its truncation and padding.
pub(super) fn as_written(what: &str, file: &Map<String, Value>) -> Result<Tokenizer> {
    let mut file = file.clone();
    file.retain(|field, _| field != "truncation" && field != "padding");
    parsed(what, &Value::Object(file))
}

fn wrong_kind(what: &str, kind: Option<&str>, needed: &str) -> Error {
    let source = format!(
        "has a vocabulary of the kind {:?}, and the tokenizer's class needs {needed}: name another `tokenizer_class` in \
         tokenizer_config.json, such as \"PreTrainedTokenizerFast\", which takes this file as it is",
        kind.unwrap_or("none"),
    );
    Error::Tokenizer { what: what.into(), source: source.into() }
}

fn parsed(what: &str, description: &Value) -> Result<Tokenizer> {
    let failed = |source| Error::Tokenizer { what: what.into(), source };
    Tokenizer::from_bytes(description.to_string().as_bytes()).map_err(failed)
}

pub(super) fn adds_special_tokens(tokenizer: &Tokenizer) -> bool {
    tokenizer.get_post_processor().is_some_and(|processor| processor.added_tokens(false) > 0)
}

/// Compares how two tokenizers split texts. Returns the name of the first component that differs, such as "normalizer",
/// or `None` if they agree.
pub(super) fn difference(left: &Tokenizer, right: &Tokenizer) -> Option<&'static str> {
    let part = |tokenizer: &Tokenizer, part: &str| {
        let mut value = match part {
            "normalizer" => serde_json::to_value(tokenizer.get_normalizer()),
            _ => serde_json::to_value(tokenizer.get_pre_tokenizer()),
        }
        .unwrap_or_default();
        value.as_object_mut().map(|fields| fields.remove("trim_offsets"));
        value
    };
    let around = |tokenizer: &Tokenizer| {
        let ids =
            tokenizer.encode_fast(("", ""), true).map(|pair| (pair.get_ids().to_vec(), pair.get_type_ids().to_vec()));
        ids.unwrap_or_default()
    };
    // A file that adds no special tokens leaves this to the class, so it does not differ.
    let template = |tokenizer| adds_special_tokens(tokenizer).then(|| around(tokenizer));
    if let Some(name) = ["normalizer", "pre_tokenizer"].into_iter().find(|name| part(left, name) != part(right, name)) {
        return Some(name);
    }
    template(right).is_some_and(|right| right != around(left)).then_some("post_processor")
}

/// Changes the token type of the second text of a pair to 0, the type of the first text.
pub(super) fn without_types(tokenizer: &mut Tokenizer) -> Result<(), Failure> {
    let Some(processor) = tokenizer.get_post_processor() else { return Ok(()) };
    let mut value = serde_json::to_value(processor)?;
    remove_types(&mut value);
    let processor: PostProcessorWrapper = serde_json::from_value(value)?;
    tokenizer.with_post_processor(Some(processor));
    Ok(())
}

fn remove_types(processor: &mut Value) {
    if processor["type"] == "BertProcessing" {
        let pair = |name: &str| (processor[name][0].clone(), processor[name][1].clone());
        let ((separator, separator_id), (class, class_id)) = (pair("sep"), pair("cls"));
        let special = |token: &Value| json!({"SpecialToken": {"id": token, "type_id": 0}});
        let text = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
        let declared = |token: &Value, id: &Value| json!({"id": token, "ids": [id], "tokens": [token]});
        let key = |token: &Value| token.as_str().unwrap_or_default().to_owned();
        *processor = json!({
            "type": "TemplateProcessing",
            "single": [special(&class), text("A"), special(&separator)],
            "pair": [special(&class), text("A"), special(&separator), text("B"), special(&separator)],
            "special_tokens": {
                key(&class): declared(&class, &class_id), key(&separator): declared(&separator, &separator_id)
            },
        });
        return;
    }
    match processor {
        Value::Object(fields) => {
            if let Some(kind) = fields.get_mut("type_id") {
                *kind = 0.into();
            }
            fields.values_mut().for_each(remove_types);
        }
        Value::Array(list) => list.iter_mut().for_each(remove_types),
        _ => {}
    }
}
