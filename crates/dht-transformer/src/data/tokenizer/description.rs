//! Serialisation of a new vocabulary as a `tokenizer.json`.

use serde_json::{Value, json};

use super::word_piece::MOST_LETTERS_OF_A_WORD;
use crate::error::{Error, Result};

/// Special tokens of a newly trained vocabulary, in the order of their ids.
pub(super) const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Text normalisation settings of BERT's tokenizer, such as lower case.
pub(super) struct Cleaning {
    pub(super) lowercase: bool,
    pub(super) strip_accents: Option<bool>,
    pub(super) chinese: bool,
}

impl Default for Cleaning {
    fn default() -> Self {
        Self { lowercase: true, strip_accents: None, chinese: true }
    }
}

pub(super) fn special_tokens() -> Vec<String> {
    SPECIAL.map(String::from).to_vec()
}

/// Describes a tokenizer in the format of Hugging Face's `tokenizer.json`. `special` holds the padding, unknown, class,
/// separator and mask tokens, in this order.
pub(super) fn description(
    model: &str,
    subwords: &[String],
    special: &[&str; 5],
    cleaning: &Cleaning,
    what: &str,
) -> Result<Value> {
    let vocabulary: serde_json::Map<String, Value> =
        subwords.iter().enumerate().map(|(id, subword)| (subword.clone(), id.into())).collect();
    let [_, unknown, class, separator, _] = special;
    for needed in [unknown, class, separator] {
        if !vocabulary.contains_key(*needed) {
            let source = format!("the vocabulary lacks {needed}").into();
            return Err(Error::Tokenizer { what: what.into(), source });
        }
    }
    let id = |token: &str| vocabulary[token].clone();
    let added: Vec<Value> = special
        .iter()
        .filter(|token| vocabulary.contains_key(**token))
        .map(|token| {
            json!({"id": id(token), "content": token, "special": true, "normalized": false,
                   "single_word": false, "lstrip": false, "rstrip": false})
        })
        .collect();
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": normalizer(cleaning),
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": [separator, id(separator)], "cls": [class, id(class)]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": if model == "WordPiece" {
            json!({"type": model, "unk_token": unknown, "continuing_subword_prefix": "##",
                   "max_input_chars_per_word": MOST_LETTERS_OF_A_WORD, "vocab": vocabulary})
        } else {
            json!({"type": model, "unk_token": unknown, "vocab": vocabulary})
        },
    }))
}

/// Describes BERT's text normalisation in the format of `tokenizer.json`.
pub(super) fn normalizer(cleaning: &Cleaning) -> Value {
    json!({
        "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": cleaning.chinese,
        "strip_accents": cleaning.strip_accents, "lowercase": cleaning.lowercase,
    })
}
