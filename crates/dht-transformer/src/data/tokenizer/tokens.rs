//! Special and added tokens, wherever a directory declares them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use crate::account::{TOKENS, TokenizerClass};
use crate::error::{Error, Result};

const DECODER: &str = "added_tokens_decoder";
/// Names of the lists of additional special tokens; the first list that is not empty is used.
const LISTS: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];

/// Tokens that a directory declares.
#[derive(Debug, Default)]
pub(super) struct DeclaredTokens {
    /// Tokens by declared id, ascending.
    numbered: BTreeMap<i64, AddedToken>,
    /// Special tokens by the names of their fields.
    named: Vec<(String, AddedToken)>,
    extra: Vec<AddedToken>,
}

/// Files of a directory that declare tokens.
pub(super) struct TokenFiles<'a> {
    /// `tokenizer_config.json`.
    pub(super) config: &'a Map<String, Value>,
    /// `special_tokens_map.json`.
    pub(super) special: Option<&'a Map<String, Value>>,
    /// `added_tokens.json`.
    pub(super) added: Option<&'a Map<String, Value>>,
    /// Field `added_tokens` of `tokenizer.json`.
    pub(super) file_tokens: Option<&'a Value>,
}

/// Fields with the special tokens, by name.
type Fields = BTreeMap<String, Value>;

impl TokenFiles<'_> {
    /// Fields of `special_tokens_map.json` but for the lists. A token with flags is special there, whatever they say.
    fn special_fields(&self) -> impl Iterator<Item = (String, Value)> {
        let fields = self.special.into_iter().flatten().filter(|(field, _)| !LISTS.contains(&field.as_str()));
        fields.map(|(field, value)| {
            let mut value = value.clone();
            if let Some(flags) = value.as_object_mut() {
                flags.insert("special".into(), true.into());
            }
            (field.clone(), value)
        })
    }

    /// Tokens of `added_tokens.json` and of `tokenizer.json` by their ids. The latter have flags, and override.
    fn numbered(&self, fields: &Fields, extra: Option<&Value>) -> Result<BTreeMap<i64, AddedToken>> {
        let mut numbered = BTreeMap::new();
        for (content, number) in self.added.into_iter().flatten() {
            let refuse = || Error::argument("added_tokens", "a number for each token", number.to_string());
            let named = TOKENS.iter().filter_map(|name| content_of(fields.get(*name)?));
            let listed = extra.iter().filter_map(|list| list.as_array()).flatten().filter_map(content_of);
            let is_special = named.chain(listed).any(|token| token == *content);
            numbered.insert(number.as_i64().ok_or_else(refuse)?, AddedToken::from(content, is_special));
        }
        for value in self.file_tokens.and_then(Value::as_array).into_iter().flatten() {
            let refuse = || Error::argument("added_tokens", "tokens with an id", value.to_string());
            numbered.insert(value["id"].as_i64().ok_or_else(refuse)?, token("added_tokens", value, false)?);
        }
        Ok(numbered)
    }
}

/// Tokens of `added_tokens_decoder` by their ids.
fn of_decoder(tokens: &Value) -> Result<BTreeMap<i64, AddedToken>> {
    let refuse = || Error::argument(DECODER, "an object of tokens by their numbers", tokens.to_string());
    let mut numbered = BTreeMap::new();
    for (number, value) in tokens.as_object().ok_or_else(refuse)? {
        let refuse = |_| Error::argument(DECODER, "numbers as keys", format!("{number:?}"));
        numbered.insert(number.trim().parse().map_err(refuse)?, token(DECODER, value, false)?);
    }
    Ok(numbered)
}

/// Additional special tokens of a file: the first list that is not empty.
fn additional(file: &Map<String, Value>) -> Option<&Value> {
    LISTS.iter().find_map(|list| file.get(*list).filter(|value| !is_nothing(value)))
}

impl DeclaredTokens {
    /// Reads the tokens of `tokenizer_config.json`, and, if it has no `added_tokens_decoder`, of
    /// `special_tokens_map.json`, `added_tokens.json` and `tokenizer.json`.
    pub(super) fn new(class: TokenizerClass, files: &TokenFiles<'_>) -> Result<Self> {
        let mut fields: Fields = files.config.iter().map(|(field, value)| (field.clone(), value.clone())).collect();
        let mut extra = additional(files.config);
        let numbered = match files.config.get(DECODER) {
            Some(tokens) => of_decoder(tokens)?,
            None => {
                fields.extend(files.special_fields());
                extra = extra.or_else(|| files.special.and_then(additional));
                files.numbered(&fields, extra)?
            }
        };
        let mut tokens = Self { numbered, ..Self::default() };
        tokens.name(class, &fields)?;
        tokens.add_extra(extra)?;
        Ok(tokens)
    }

    /// Adds the additional special tokens: a list, or an object by names.
    fn add_extra(&mut self, extra: Option<&Value>) -> Result<()> {
        match extra {
            Some(Value::Array(list)) => {
                self.extra = list.iter().map(|value| token(LISTS[0], value, true)).collect::<Result<_>>()?;
            }
            Some(Value::Object(named)) => {
                for (name, value) in named {
                    self.named.push((name.clone(), token(LISTS[0], value, true)?));
                }
            }
            Some(other) => return Err(Error::argument(LISTS[0], "a list of tokens", other.to_string())),
            None => {}
        }
        Ok(())
    }

    /// Names the special tokens: the defaults of the class, overridden by the fields.
    fn name(&mut self, class: TokenizerClass, fields: &Fields) -> Result<()> {
        let others = fields
            .keys()
            .map(String::as_str)
            .filter(|field| field.ends_with("_token") && !TOKENS.contains(field) && fields[*field].is_string());
        for name in TOKENS.iter().copied().chain(others) {
            let field: &'static str = TOKENS.iter().find(|field| **field == name).copied().unwrap_or("special token");
            let given = match fields.get(name) {
                Some(Value::Null) if needed(class, name) => {
                    return Err(Error::argument(field, "a token, which this class of tokenizers needs", "null"));
                }
                Some(Value::Null) => None,
                Some(value) => Some(token(field, value, true)?),
                None => default(class, name).map(|content| AddedToken::from(content, true)),
            };
            if let Some(given) = given {
                // A token that is declared with its id keeps the flags of that declaration.
                let known = self.numbered.values().find(|token| token.content == given.content).cloned();
                self.named.push((name.to_owned(), known.unwrap_or(given)));
            }
        }
        Ok(())
    }

    /// Content of a named token.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(named, _)| named == name).map(|(_, token)| token.content.as_str())
    }

    /// Names and contents of the special tokens.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        self.named.iter().map(|(name, token)| (name.clone(), token.content.clone())).collect()
    }

    /// Adds the tokens to a tokenizer, in the order of `transformers`. A token that is named but has no declared id is
    /// skipped if the model, which has `rows` rows, has no row for it.
    ///
    /// # Errors
    /// [`Error::Argument`] for a token outside the vocabulary whose declared id is not the next one.
    pub(super) fn add_to(&self, tokenizer: &mut Tokenizer, rows: u64) -> Result<()> {
        let special: BTreeSet<&str> = self.named.iter().map(|(_, token)| token.content.as_str()).collect();
        let known = |tokenizer: &Tokenizer, token: &AddedToken| tokenizer.token_to_id(&token.content).is_some();
        let add = |tokenizer: &mut Tokenizer, mut token: AddedToken| {
            token.special |= special.contains(token.content.as_str());
            let got = token.content.clone();
            tokenizer.add_tokens([token]).map(drop).map_err(|error| {
                Error::argument(DECODER, "tokens that can be added", format!("{got:?}, of which it was said: {error}"))
            })
        };
        for (number, token) in &self.numbered {
            let new = !known(tokenizer, token);
            add(tokenizer, token.clone())?;
            let id = tokenizer.token_to_id(&token.content).map(i64::from);
            if new && !token.content.is_empty() && id != Some(*number) {
                let expected =
                    format!("{} for {:?}, the next number of the vocabulary", id.unwrap_or(-1), token.content);
                return Err(Error::argument(DECODER, expected, number.to_string()));
            }
        }
        let added: BTreeSet<String> =
            tokenizer.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
        for token in self.named.iter().map(|(_, token)| token).chain(&self.extra) {
            let next = tokenizer.get_vocab_size(true) as u64;
            if !added.contains(&token.content) && (known(tokenizer, token) || next < rows) {
                add(tokenizer, token.clone())?;
            }
        }
        Ok(())
    }
}

/// Returns whether a class requires a special token.
fn needed(class: TokenizerClass, name: &str) -> bool {
    match class {
        TokenizerClass::Bert | TokenizerClass::DistilBert | TokenizerClass::Roberta => {
            ["unk_token", "cls_token", "sep_token"].contains(&name)
        }
        TokenizerClass::Unigram => ["bos_token", "eos_token"].contains(&name),
        TokenizerClass::AsWritten => false,
    }
}

/// Default special token of a class that no file names.
fn default(class: TokenizerClass, name: &str) -> Option<&'static str> {
    let bert = match name {
        "unk_token" => Some("[UNK]"),
        "sep_token" => Some("[SEP]"),
        "pad_token" => Some("[PAD]"),
        "cls_token" => Some("[CLS]"),
        "mask_token" => Some("[MASK]"),
        _ => None,
    };
    match class {
        TokenizerClass::Bert | TokenizerClass::DistilBert => bert,
        TokenizerClass::Roberta | TokenizerClass::Unigram => match name {
            "bos_token" | "cls_token" => Some("<s>"),
            "eos_token" | "sep_token" => Some("</s>"),
            "unk_token" => Some("<unk>"),
            "pad_token" => Some("<pad>"),
            "mask_token" => Some("<mask>"),
            _ => None,
        },
        TokenizerClass::AsWritten => None,
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// Content of a token, which is a string or an object with its content.
fn content_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// Parses a token with its flags. `special` is the flag of a token that is a plain string.
fn token(field: &'static str, value: &Value, special: bool) -> Result<AddedToken> {
    let refuse = || Error::argument(field, "a text, or an object with the text as its content", value.to_string());
    let content = content_of(value).filter(|content| !content.is_empty()).ok_or_else(refuse)?;
    let Some(flags) = value.as_object() else { return Ok(AddedToken::from(content, special)) };
    let flag = |name: &str, default: bool| match flags.get(name) {
        None => Ok(default),
        Some(value) => value.as_bool().ok_or_else(refuse),
    };
    let is_special = flag("special", false)?;
    Ok(AddedToken::from(content, is_special)
        .single_word(flag("single_word", false)?)
        .lstrip(flag("lstrip", false)?)
        .rstrip(flag("rstrip", false)?)
        .normalized(flag("normalized", !is_special)?))
}
