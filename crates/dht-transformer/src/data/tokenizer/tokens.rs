//! Special and added tokens of a tokenizer, collected from all files of a Hugging Face directory that declare them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use crate::account::{TOKENS, TokenizerClass, VocabularyKind};
use crate::error::{Error, Result};

const DECODER: &str = "added_tokens_decoder";
/// Fields that list additional special tokens.
const LISTS: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];
/// Additional special tokens that `CamembertTokenizer` has by default.
const UNUSED_PIECES: [&str; 3] = ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"];

/// Special and added tokens that the files of a directory declare.
#[derive(Debug, Default)]
pub(super) struct DeclaredTokens {
    /// Tokens that are declared with an id, by id.
    numbered: BTreeMap<i64, DeclaredToken>,
    /// Special tokens, each with the name of its field, such as `cls_token`.
    named: Vec<(String, DeclaredToken)>,
    extra: Vec<DeclaredToken>,
}

/// Token that a file declares, with its flags (such as `special` and `lstrip`).
#[derive(Debug, Clone, PartialEq)]
struct DeclaredToken {
    token: AddedToken,
    /// `true` if the token is declared as an object with flags, `false` if it is declared as a string.
    has_flags: bool,
    /// `true` if the declaration sets the flag `normalized`. Otherwise this flag follows from the flag `special`.
    sets_normalized: bool,
}

impl DeclaredToken {
    /// Creates a token from its content alone, with default flags.
    fn plain(content: &str, is_special: bool) -> Self {
        Self { token: AddedToken::from(content, is_special), has_flags: false, sets_normalized: false }
    }

    fn content(&self) -> &str {
        &self.token.content
    }

    /// Converts the declaration to a token of the `tokenizers` crate. If `by_name` is set, a field such as `cls_token`
    /// names the token, which therefore becomes special.
    fn added(mut self, by_name: bool) -> AddedToken {
        if by_name && !self.token.special {
            self.token.special = true;
            self.token.normalized &= self.sets_normalized;
        }
        self.token
    }
}

pub(super) struct TokenFiles<'a> {
    /// Content of `tokenizer_config.json`.
    pub(super) config: &'a Map<String, Value>,
    /// Content of `special_tokens_map.json`.
    pub(super) special: Option<&'a Map<String, Value>>,
    /// Content of `added_tokens.json`.
    pub(super) added: Option<&'a Map<String, Value>>,
    /// Field `added_tokens` of `tokenizer.json`.
    pub(super) file_tokens: Option<&'a Value>,
    /// Padding token in the field `padding` of `tokenizer.json`.
    pub(super) padding: Option<&'a str>,
}

/// Fields that declare special tokens, such as `cls_token`, by field name.
type Fields = BTreeMap<String, Value>;

impl TokenFiles<'_> {
    /// Fields of `special_tokens_map.json`, except lists of additional tokens. In this file, a token with flags is
    /// always special, whatever the flags are.
    fn special_fields(&self) -> impl Iterator<Item = (String, Value)> {
        let fields = self.special.into_iter().flatten().filter(|(field, _)| !LISTS.contains(&field.as_str()));
        fields.map(|(field, value)| (field.clone(), specially(value)))
    }

    /// Tokens that `added_tokens.json` and `tokenizer.json` declare with an id. `tokenizer.json` takes precedence,
    /// since it has flags.
    fn numbered(&self, fields: &Fields, extra: &Extra) -> Result<BTreeMap<i64, DeclaredToken>> {
        let mut numbered = BTreeMap::new();
        for (content, number) in self.added.into_iter().flatten() {
            let refuse = || Error::argument("added_tokens", "a number for each token", number.to_string());
            let named = TOKENS.iter().filter_map(|name| content_of(fields.get(*name)?));
            let listed = extra.extra.iter().map(DeclaredToken::content);
            let is_special = named.chain(listed).any(|token| token == *content);
            let token = AddedToken::from(content, is_special);
            let token = DeclaredToken { token, has_flags: true, sets_normalized: true };
            numbered.insert(number.as_i64().ok_or_else(refuse)?, token);
        }
        for value in self.file_tokens.and_then(Value::as_array).into_iter().flatten() {
            let refuse = || Error::argument("added_tokens", "tokens with an id", value.to_string());
            numbered.insert(value["id"].as_i64().ok_or_else(refuse)?, token("added_tokens", value, false)?);
        }
        Ok(numbered)
    }
}

/// Parses the field `added_tokens_decoder`, an object of tokens by id.
fn of_decoder(tokens: &Value) -> Result<BTreeMap<i64, DeclaredToken>> {
    let refuse = || Error::argument(DECODER, "an object of tokens by their numbers", tokens.to_string());
    let mut numbered = BTreeMap::new();
    for (number, value) in tokens.as_object().ok_or_else(refuse)? {
        let refuse = |_| Error::argument(DECODER, "numbers as keys", format!("{number:?}"));
        numbered.insert(number.trim().parse().map_err(refuse)?, token(DECODER, value, false)?);
    }
    Ok(numbered)
}

/// Additional special tokens, from the lists `extra_special_tokens` and `additional_special_tokens` in all files.
#[derive(Default)]
struct Extra {
    /// Tokens of `extra_special_tokens`. They are also special if `added_tokens.json` declares them again.
    extra: Vec<DeclaredToken>,
    /// Tokens of `additional_special_tokens`. Empty if a file has the list `extra_special_tokens`.
    additional: Vec<DeclaredToken>,
    named: Vec<(String, DeclaredToken)>,
}

impl Extra {
    /// Reads the additional tokens of `tokenizer_config.json`, and of `special_tokens_map.json` if that file is used.
    /// An empty `extra_special_tokens` also overrides `additional_special_tokens`.
    fn new(config: &Map<String, Value>, special: Option<&Map<String, Value>>) -> Result<Self> {
        let mut tokens = Self::default();
        let [mut extra, mut additional] = LISTS.map(|list| config.get(list));
        if additional.is_some() && extra.is_none_or(is_nothing) {
            (extra, additional) = (additional, None);
        }
        let mut has_extra = false;
        if let Some(value) = extra {
            tokens.extra = tokens.read(LISTS[0], value)?;
            has_extra = !value.is_object();
        }
        if let Some(special) = special {
            if let Some(value) = special.get(LISTS[0]) {
                let value = value.as_array().map_or_else(|| value.clone(), |list| list.iter().map(specially).collect());
                let read = tokens.read(LISTS[0], &value)?;
                has_extra = !value.is_object();
                tokens.extra.extend(read);
            }
            additional = special.get(LISTS[1]).or(additional);
        }
        if !has_extra {
            tokens.extra.clear();
            tokens.additional = additional.map_or_else(|| Ok(Vec::new()), |value| tokens.read(LISTS[1], value))?;
        }
        Ok(tokens)
    }

    /// Parses a list of tokens. If the value is an object of tokens by name, the tokens are stored in `named`, and the
    /// returned list is empty.
    fn read(&mut self, field: &'static str, value: &Value) -> Result<Vec<DeclaredToken>> {
        match value {
            Value::Null => Ok(Vec::new()),
            Value::Array(list) => list.iter().map(|value| token(field, value, true)).collect(),
            Value::Object(named) => {
                for (name, value) in named {
                    self.named.retain(|(known, _)| known != name);
                    self.named.push((name.clone(), token(field, value, true)?));
                }
                Ok(Vec::new())
            }
            other => Err(Error::argument(field, "a list of tokens", other.to_string())),
        }
    }
}

impl DeclaredTokens {
    /// Collects the tokens that a directory declares in `tokenizer_config.json`. If this file has no field
    /// `added_tokens_decoder`, also collects those of `special_tokens_map.json`, `added_tokens.json` and
    /// `tokenizer.json`.
    pub(super) fn new(class: TokenizerClass, files: &TokenFiles<'_>) -> Result<Self> {
        let mut fields: Fields = files.config.iter().map(|(field, value)| (field.clone(), value.clone())).collect();
        let decoder = files.config.get(DECODER);
        let extra = Extra::new(files.config, files.special.filter(|_| decoder.is_none()))?;
        let numbered = match decoder {
            Some(tokens) => of_decoder(tokens)?,
            None => {
                fields.extend(files.special_fields());
                files.numbered(&fields, &extra)?
            }
        };
        if let (TokenizerClass::AsWritten, Some(padding)) = (class, files.padding) {
            fields.entry("pad_token".into()).or_insert_with(|| padding.into());
        }
        let mut tokens = Self { numbered, ..Self::default() };
        tokens.name(class, &fields)?;
        tokens.named.extend(extra.named);
        tokens.extra = extra.extra;
        tokens.extra.extend(extra.additional);
        if class == TokenizerClass::Camembert && files.config.get(LISTS[1]).is_none_or(Value::is_null) {
            tokens.extra.extend(UNUSED_PIECES.map(|piece| DeclaredToken::plain(piece, true)));
        }
        Ok(tokens)
    }

    /// Determines the named special tokens, such as `cls_token`. Fields of the files override the defaults of the
    /// class.
    fn name(&mut self, class: TokenizerClass, fields: &Fields) -> Result<()> {
        let others = fields
            .keys()
            .map(String::as_str)
            .filter(|field| field.ends_with("_token") && !TOKENS.contains(field) && fields[*field].is_string());
        for name in TOKENS.iter().copied().chain(others) {
            let field: &'static str = TOKENS.iter().find(|field| **field == name).copied().unwrap_or("special token");
            let declared = match fields.get(name) {
                Some(Value::Null) if needed(class, name) => {
                    return Err(Error::argument(field, "a token, which this class of tokenizers needs", "null"));
                }
                Some(Value::Null) => None,
                Some(value) => Some(token(field, value, true)?),
                None => default(class, name).map(|content| DeclaredToken::plain(content, true)),
            };
            if let Some(mut declared) = declared {
                declared.token.lstrip |= !declared.has_flags && strips_left(class, name);
                // A token that is also declared with an id has the flags of that declaration.
                let known = self.numbered.values().find(|token| token.content() == declared.content()).cloned();
                self.named.push((name.to_owned(), known.unwrap_or(declared)));
            }
        }
        Ok(())
    }

    /// Content of a special token, such as `[CLS]`. `name` is the field that declares the token, such as `cls_token`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(named, _)| named == name).map(|(_, token)| token.content())
    }

    /// Special tokens as pairs of field name and content, such as `cls_token` and `[CLS]`.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        self.named.iter().map(|(name, token)| (name.clone(), token.content().to_owned())).collect()
    }

    /// Adds the declared tokens to a tokenizer, in the same order as `transformers`. `rows` is the number of rows in
    /// the model's embedding. A named token without a declared id is skipped if there is no row for it.
    ///
    /// # Errors
    /// [`Error::Argument`] if a token outside the vocabulary is declared with another id than the next free one.
    pub(super) fn add_to(&self, tokenizer: &mut Tokenizer, rows: u64) -> Result<()> {
        let special: BTreeSet<&str> = self.named.iter().map(|(_, token)| token.content()).collect();
        let known = |tokenizer: &Tokenizer, token: &DeclaredToken| tokenizer.token_to_id(token.content()).is_some();
        let add = |tokenizer: &mut Tokenizer, token: DeclaredToken| {
            let got = token.content().to_owned();
            let token = token.added(special.contains(got.as_str()));
            tokenizer.add_tokens([token]).map(drop).map_err(|error| {
                Error::argument(DECODER, "tokens that can be added", format!("{got:?}, of which it was said: {error}"))
            })
        };
        for (number, token) in &self.numbered {
            let new = !known(tokenizer, token);
            add(tokenizer, token.clone())?;
            let content = token.content();
            let id = tokenizer.token_to_id(content).map(i64::from);
            if new && !content.is_empty() && id != Some(*number) {
                let expected = format!("{} for {content:?}, the next number of the vocabulary", id.unwrap_or(-1));
                return Err(Error::argument(DECODER, expected, number.to_string()));
            }
        }
        let others =
            self.named.iter().filter(|(name, token)| !TOKENS.contains(&name.as_str()) && !known(tokenizer, token));
        let others: BTreeSet<&str> = others.map(|(_, token)| token.content()).collect();
        if others.len() > 1 {
            let expected = "at most one new token without an id, as no file states the order of such tokens: declare their \
                            ids in added_tokens_decoder";
            return Err(Error::argument(LISTS[0], expected, format!("{others:?}")));
        }
        let added: BTreeSet<String> =
            tokenizer.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
        // If a token is declared twice with different flags, the last flags count. An equal declaration is skipped.
        let mut done: Vec<&DeclaredToken> = Vec::new();
        for token in self.named.iter().map(|(_, token)| token).chain(&self.extra) {
            let next = tokenizer.get_vocab_size(true) as u64;
            let is_new = !added.contains(token.content()) && !done.contains(&token);
            if is_new && (known(tokenizer, token) || next < rows) {
                add(tokenizer, token.clone())?;
                done.push(token);
            }
        }
        Ok(())
    }
}

fn needed(class: TokenizerClass, name: &str) -> bool {
    let required: &[&str] = match class.vocabulary() {
        Some(VocabularyKind::WordPiece | VocabularyKind::ByteLevelBpe) => &["unk_token", "cls_token", "sep_token"],
        Some(VocabularyKind::Unigram) => &["bos_token", "eos_token"],
        None => &[],
    };
    required.contains(&name)
}

/// Default content of a special token in a tokenizer class.
fn default(class: TokenizerClass, name: &str) -> Option<&'static str> {
    let is_bert = matches!(class, TokenizerClass::Bert | TokenizerClass::DistilBert);
    match (name, is_bert) {
        _ if !class.is_rebuilt() => None,
        ("unk_token", _) if class.vocabulary() == Some(VocabularyKind::WordPiece) => Some("[UNK]"),
        ("sep_token", true) => Some("[SEP]"),
        ("pad_token", true) => Some("[PAD]"),
        ("cls_token", true) => Some("[CLS]"),
        ("mask_token", true) => Some("[MASK]"),
        ("bos_token" | "cls_token", false) => Some("<s>"),
        ("eos_token" | "sep_token", false) => Some("</s>"),
        ("unk_token", false) => Some("<unk>"),
        ("pad_token", false) => Some("<pad>"),
        ("mask_token", false) => Some("<mask>"),
        _ => None,
    }
}

/// Returns whether a special token includes the space before it (`lstrip`) by default.
fn strips_left(class: TokenizerClass, name: &str) -> bool {
    name == "mask_token" && matches!(class, TokenizerClass::MpNet | TokenizerClass::Camembert)
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// Copies the declaration of a token and makes it special. In some files, every token that is declared with flags is
/// special.
fn specially(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(flags) = value.as_object_mut() {
        flags.insert("special".into(), true.into());
    }
    value
}

/// Content of a declared token. The declaration is a string, or an object with a field `content`.
fn content_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// Parses the declaration of a token. A plain string gets its flag `special` from the argument `special`.
fn token(field: &'static str, value: &Value, special: bool) -> Result<DeclaredToken> {
    let refuse = || Error::argument(field, "a text, or an object with the text as its content", value.to_string());
    let content = content_of(value).filter(|content| !content.is_empty()).ok_or_else(refuse)?;
    let Some(flags) = value.as_object() else { return Ok(DeclaredToken::plain(content, special)) };
    let flag = |name: &str, default: bool| match flags.get(name) {
        None => Ok(default),
        Some(value) => value.as_bool().ok_or_else(refuse),
    };
    let is_special = flag("special", false)?;
    let token = AddedToken::from(content, is_special)
        .single_word(flag("single_word", false)?)
        .lstrip(flag("lstrip", false)?)
        .rstrip(flag("rstrip", false)?)
        .normalized(flag("normalized", !is_special)?);
    Ok(DeclaredToken { token, has_flags: true, sets_normalized: flags.contains_key("normalized") })
}
