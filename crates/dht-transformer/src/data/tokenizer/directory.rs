//! Tokenizer of a Hugging Face directory. If several files set the same field, the same file takes precedence as in
//! `transformers` 5.
//!
//! For most tokenizer classes, such as `BertTokenizer`, only the vocabulary, the merges, the character map and the
//! added tokens of `tokenizer.json` are used. All other properties follow from `tokenizer_config.json` and the defaults
//! of the class. The class `PreTrainedTokenizerFast` uses `tokenizer.json` unchanged.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use super::build::{self, Settings};
use super::prompt::PROMPTS;
use super::text_tokenizer::TextTokenizer;
use super::tokens::{DeclaredTokens, TokenFiles};
use crate::account::{Entry, TokenizerClass, Treatment, VocabularyKind, tokenizer_entries, tokenizer_refusals};
use crate::config::{Family, json_object};
use crate::error::{Error, Result};
use crate::storage::{FileKind, model_directory, read_file};

const FILE: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";
/// Shell command in an error message. It converts a fast tokenizer of any class to a `tokenizer.json` that is used
/// unchanged.
const AS_WRITTEN: &str = "python -c \"from transformers import AutoTokenizer, PreTrainedTokenizerFast as F; \
                          t = AutoTokenizer.from_pretrained('.'); F(tokenizer_object=t.backend_tokenizer, \
                          model_max_length=t.model_max_length, model_input_names=t.model_input_names, \
                          **t.special_tokens_map).save_pretrained('.')\"";
/// Settings file of sentence-transformers. It is read only if the directory or its parent has a `modules.json`.
const SENTENCE: &str = "sentence_bert_config.json";
const MODULES: &str = "modules.json";

/// Contents of the tokenizer files in a directory, and the problems found in them.
pub(crate) struct TokenizerDirectory {
    folder: PathBuf,
    file: Option<Map<String, Value>>,
    config: Option<Map<String, Value>>,
    special: Option<Map<String, Value>>,
    added: Option<Map<String, Value>>,
    model: ModelFields,
    class: TokenizerClass,
    /// Maximum length of a text in tokens, from the settings of sentence-transformers.
    sentence_length: Option<usize>,
    /// `true` if a file names the tokenizer class.
    declared: bool,
    problems: Vec<Error>,
}

/// Fields of `config.json` that determine the tokenizer.
#[derive(Default)]
struct ModelFields {
    model_type: String,
    tokenizer_class: Option<Value>,
    vocab_size: Option<u64>,
}

impl TokenizerDirectory {
    /// Reads the tokenizer files of a directory. Problems are collected, not returned.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut problems = Vec::new();
        let mut object = |name: &str, problem: fn(PathBuf, Error) -> Error| {
            let path = folder.join(name);
            let bytes = match read_file(&path, FileKind::Tokenizer) {
                Ok(bytes) => bytes,
                Err(source) if source.kind() == std::io::ErrorKind::NotFound => return None,
                Err(source) => {
                    problems.push(Error::io(path, source));
                    return None;
                }
            };
            match json_object(&path.display().to_string(), &bytes) {
                Ok(fields) => Some(fields),
                Err(error) => {
                    problems.push(problem(path, error));
                    None
                }
            }
        };
        let file = object(FILE, as_tokenizer_error);
        let [config, special, added, sentence] =
            [CONFIG, SPECIAL, ADDED, SENTENCE].map(|name| object(name, |_, error| error));
        // Problems of `config.json` are reported when the model is read, so they are ignored here.
        let model = read_file(folder.join("config.json"), FileKind::Description).ok();
        let model = model.and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(&bytes).ok());
        let model = model.map_or_else(ModelFields::default, |mut fields| ModelFields {
            model_type: fields.get("model_type").map_or("bert", |value| value.as_str().unwrap_or_default()).to_owned(),
            vocab_size: fields.get("vocab_size").and_then(Value::as_u64),
            tokenizer_class: fields.remove("tokenizer_class"),
        });
        let named = config.as_ref().and_then(|fields| fields.get("tokenizer_class")).filter(|value| !value.is_null());
        let at = if named.is_some() { CONFIG } else { "config.json" };
        let named = named.or(model.tokenizer_class.as_ref().filter(|value| !value.is_null()));
        let mut class = match Family::of_model_type(&model.model_type) {
            Some((family, false)) => family.tokenizer(),
            _ => TokenizerClass::AsWritten,
        };
        if let Some(value) = named {
            match value.as_str().and_then(TokenizerClass::from_name) {
                Some(named) => class = named,
                None => problems.push(Error::Config {
                    file: folder.join(at).display().to_string(),
                    field: "tokenizer_class",
                    expected: format!(
                        "one of {} (also with Fast at the end); another fast tokenizer becomes one of them, in this directory, by \
                         `{AS_WRITTEN}`",
                        TokenizerClass::names()
                    ),
                    got: value.to_string(),
                }),
            }
        }
        for (name, fields) in [(CONFIG, &config), (SPECIAL, &special)] {
            let refusals = fields.as_ref().map_or_else(Vec::new, tokenizer_refusals);
            problems.extend(refusals.into_iter().map(|error| error.in_file(folder.join(name).display().to_string())));
        }
        let declared = named.is_some();
        if file.is_none() && !declared && !class.is_rebuilt() {
            let is_bpe = folder.join("vocab.json").exists() && !folder.join("vocab.txt").exists();
            class = if is_bpe { TokenizerClass::Roberta } else { TokenizerClass::Bert };
        }
        let folder = folder.to_path_buf();
        let is_sentences =
            [Some(&*folder), folder.parent()].iter().flatten().any(|folder| folder.join(MODULES).exists());
        let sentence_length = None;
        let mut own = Self { folder, file, config, special, added, model, class, sentence_length, declared, problems };
        if let Some(sentence) = sentence.filter(|_| is_sentences) {
            own.lower_as_sentences(&sentence);
            own.cut_as_sentences(&sentence);
        }
        own
    }

    /// Applies the setting `do_lower_case` of sentence-transformers: texts are lower-cased before they are split, and
    /// keep their accents.
    fn lower_as_sentences(&mut self, sentence: &Map<String, Value>) {
        let Some(lower) = sentence.get("do_lower_case") else { return };
        // These classes lower-case by default, if the field is missing.
        let lowers = |fields: &Map<String, Value>| fields.get("do_lower_case") != Some(&Value::Bool(false));
        let can = self.class.vocabulary() == Some(VocabularyKind::WordPiece);
        match lower {
            Value::Bool(false) | Value::Null => {}
            Value::Bool(true) if can => {
                let config = self.config.get_or_insert_default();
                if !lowers(config) {
                    config.insert("do_lower_case".into(), true.into());
                    config.entry("strip_accents").or_insert(false.into());
                }
            }
            other => self.problems.push(Error::Config {
                file: self.folder.join(SENTENCE).display().to_string(),
                field: "do_lower_case",
                expected: if can { "true or false" } else { "false: this tokenizer's class has no lower case" }.into(),
                got: other.to_string(),
            }),
        }
    }

    /// Applies the setting `max_seq_length` of sentence-transformers, which overrides `model_max_length`.
    fn cut_as_sentences(&mut self, sentence: &Map<String, Value>) {
        match whole_number(sentence, "max_seq_length") {
            Ok(length) => self.sentence_length = length,
            Err(error) => self.problems.push(error.in_file(self.folder.join(SENTENCE).display().to_string())),
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        for (name, fields) in [(CONFIG, &self.config), (SPECIAL, &self.special)] {
            all.extend(fields.as_ref().map_or_else(Vec::new, |fields| tokenizer_entries(self.class, name, fields)));
        }
        if self.config.as_ref().is_some_and(|fields| fields.contains_key("added_tokens_decoder")) {
            for entry in all.iter_mut().filter(|entry| entry.file == SPECIAL && entry.treatment == Treatment::Obeyed) {
                entry.treatment = Treatment::Harmless;
                entry.reason = format!("not read beside added_tokens_decoder in {CONFIG}");
            }
        }
        let rebuilt = self.class.is_rebuilt() && (self.config.is_some() || self.declared);
        for field in self.file.iter().flat_map(Map::keys) {
            let (treatment, reason) = match field.as_str() {
                "model" | "added_tokens" => (Treatment::Obeyed, "the vocabulary"),
                "normalizer" if rebuilt && self.class.vocabulary() == Some(VocabularyKind::Unigram) => {
                    (Treatment::Obeyed, "its table of characters (Precompiled) alone; the rest follows from the class")
                }
                "normalizer" | "pre_tokenizer" | "post_processor" if rebuilt => {
                    (Treatment::Harmless, "overridden by the tokenizer's class and tokenizer_config.json")
                }
                "normalizer" | "pre_tokenizer" | "post_processor" => (Treatment::Obeyed, "the way texts are split"),
                "truncation" => (Treatment::Obeyed, "the caller gives the length; texts are cut at their end"),
                "padding" if !rebuilt => (Treatment::Obeyed, "the padding token; no padding is computed"),
                "padding" => (Treatment::Harmless, "no padding is computed"),
                "decoder" => (Treatment::Harmless, "ids to text alone"),
                "version" => (Treatment::Harmless, "a note"),
                _ => (Treatment::Unknown, "no field of a tokenizer"),
            };
            all.push(Entry::new(FILE, Some(field), treatment, reason));
        }
        all
    }

    /// Builds the tokenizer, or returns all problems of its files.
    pub(crate) fn tokenizer(mut self) -> Result<TextTokenizer, Vec<Error>> {
        if self.problems.is_empty() {
            match self.build() {
                Ok(tokenizer) => return Ok(tokenizer),
                Err(problem) => self.problems.push(problem),
            }
        }
        Err(self.problems)
    }

    /// Builds the tokenizer from its settings and vocabulary, and adds the tokens that the files declare.
    fn build(&self) -> Result<TextTokenizer> {
        let none = Map::new();
        let config = self.config.as_ref().unwrap_or(&none);
        let in_config = |error: Error| error.in_file(self.folder.join(CONFIG).display().to_string());
        let settings = Settings::from_fields(self.class, config).map_err(in_config)?;
        let max_length = max_length(config).map_err(in_config)?;
        self.check_truncation(config)?;
        let files = TokenFiles {
            config,
            special: self.special.as_ref(),
            added: self.added.as_ref(),
            file_tokens: self.file.as_ref().and_then(|file| file.get("added_tokens")),
            padding: self.file.as_ref().and_then(|file| file.get("padding")?.get("pad_token")?.as_str()),
        };
        let tokens = DeclaredTokens::new(self.class, &files).map_err(in_config)?;
        let what = self.folder.join(FILE).display().to_string();
        let mut tokenizer = self.vocabulary_tokenizer(&what, &settings, &tokens)?;
        if !self.class.is_rebuilt() && self.is_explicit() && !build::adds_special_tokens(&tokenizer) {
            let source = "adds no special tokens around a text, and its class adds none: name another `tokenizer_class` in \
                          tokenizer_config.json, such as \"BertTokenizer\"";
            return Err(Error::Tokenizer { what, source: source.into() });
        }
        let rows = self.model.vocab_size.unwrap_or(u64::MAX);
        tokens.add_to(&mut tokenizer, rows).map_err(in_config)?;
        let types = settings.types.or(self.is_explicit().then_some(self.class == TokenizerClass::Bert));
        if types == Some(false) {
            build::without_types(&mut tokenizer).map_err(|source| Error::Tokenizer { what: what.clone(), source })?;
        }
        let mut tokenizer = TextTokenizer::from_tokenizer(&what, tokenizer)?;
        tokenizer.max_length = self.sentence_length.or(max_length);
        tokenizer.named = tokens.names();
        Ok(tokenizer)
    }

    /// Returns whether the tokenizer class is certain: a file names the class, or there is a `tokenizer_config.json`.
    fn is_explicit(&self) -> bool {
        self.declared || self.config.is_some()
    }

    /// Builds the tokenizer from its vocabulary, before added tokens. `what` names `tokenizer.json` in errors.
    fn vocabulary_tokenizer(&self, what: &str, settings: &Settings, tokens: &DeclaredTokens) -> Result<Tokenizer> {
        let class = self.class;
        match (&self.file, class.vocabulary()) {
            (Some(file), None) => build::as_written(what, file),
            (Some(file), Some(_)) => {
                let vocabulary = build::Vocabulary::from_file(what, class, file)?;
                let rebuilt = build::rebuilt(what, class, vocabulary, settings, tokens)?;
                self.check_defaults(what, file, &rebuilt)?;
                Ok(rebuilt)
            }
            (None, None | Some(VocabularyKind::Unigram)) => {
                Err(Error::io(self.folder.join(FILE), build::missing(&self.folder, class)))
            }
            (None, Some(_)) => {
                let vocabulary = build::Vocabulary::from_folder(&self.folder, class)?;
                let what = vocabulary.path.clone();
                build::rebuilt(&what, class, vocabulary, settings, tokens)
            }
        }
    }

    /// Refuses a `tokenizer.json` that differs from the defaults of its tokenizer class, if the class is not
    /// [certain](Self::is_explicit). It is then unknown whether the file or the defaults are right.
    fn check_defaults(&self, what: &str, file: &Map<String, Value>, rebuilt: &Tokenizer) -> Result<()> {
        if self.is_explicit() {
            return Ok(());
        }
        let as_written = build::as_written(what, file)?;
        let Some(part) = build::difference(rebuilt, &as_written) else { return Ok(()) };
        Err(Error::Unsupported {
            path: self.folder.join(FILE),
            item: Some(part.into()),
            reason: format!(
                "differs from the defaults of the tokenizers of {:?}, which transformers takes in its place: add a {CONFIG} with \
                 \"tokenizer_class\": \"PreTrainedTokenizerFast\" to use this file as it is, or with the settings of the class",
                self.model.model_type
            ),
        })
    }

    /// Refuses a `tokenizer.json` that truncates texts at their beginning, since this crate truncates at the end.
    fn check_truncation(&self, config: &Map<String, Value>) -> Result<()> {
        let direction = self.file.as_ref().and_then(|file| file.get("truncation")?.get("direction"));
        match direction.and_then(Value::as_str) {
            Some(direction) if direction != "Right" && !config.contains_key("truncation_side") => {
                Err(Error::Unsupported {
                    path: self.folder.join(FILE),
                    item: Some("truncation.direction".into()),
                    reason: format!(
                        "is {direction:?}, and long texts are cut at their end: set \"truncation_side\": \"right\" in {CONFIG} to accept that"
                    ),
                })
            }
            _ => Ok(()),
        }
    }
}

impl TextTokenizer {
    /// Reads the tokenizer of a Hugging Face directory, as `transformers` 5 does.
    ///
    /// The vocabulary is read from `tokenizer.json`. Without this file, it is read from `vocab.txt` (BERT's WordPiece),
    /// or from `vocab.json` and `merges.txt` (RoBERTa's BPE). `tokenizer_config.json`, `special_tokens_map.json` and
    /// `added_tokens.json` are also read. The settings in `tokenizer_config.json` override `tokenizer.json`.
    ///
    /// For most tokenizer classes, such as `BertTokenizer`, only the vocabulary and the added tokens of
    /// `tokenizer.json` are used. `PreTrainedTokenizerFast` uses the file unchanged. The default prompt of
    /// sentence-transformers becomes the [prefix](Self::with_prefix_of) of each text. [`account`](crate::account) lists
    /// the fields that are read, and the fields that are refused.
    ///
    /// # Errors
    /// Errors of [`from_file`](Self::from_file) and
    /// [`PretrainedWeights::fetch`](crate::pretrained::PretrainedWeights::fetch). [`Error::Json`] or [`Error::Config`]
    /// if another file is invalid. [`Error::Unsupported`] if `tokenizer.json` differs from the defaults of its class,
    /// and no other file decides between them.
    pub fn from_dir(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = model_directory(folder)?;
        std::fs::metadata(&folder).map_err(|source| Error::io(&folder, source))?;
        let read = TokenizerDirectory::read(&folder).tokenizer();
        let tokenizer = read.map_err(|problems| {
            let none = || Error::Tokenizer { what: "reading".into(), source: "failed".into() };
            problems.into_iter().next().unwrap_or_else(none)
        })?;
        // In the old layout of sentence-transformers, the encoder has its own folder, and the prompts are in the folder
        // above.
        let above = folder.parent().filter(|above| !folder.join(PROMPTS).exists() && above.join(MODULES).exists());
        tokenizer.with_prefix_of(above.unwrap_or(&folder))
    }
}

/// Reads the maximum number of tokens of a text, from `model_max_length` or from `max_len`, the old name of this field.
fn max_length(config: &Map<String, Value>) -> Result<Option<usize>> {
    // The new name takes precedence, even if its value is null.
    let field = ["model_max_length", "max_len"].into_iter().find(|field| config.contains_key(*field));
    field.map_or(Ok(None), |field| whole_number(config, field))
}

/// Parses a length in tokens, which is a whole number. `None` if the field is missing or null.
fn whole_number(fields: &Map<String, Value>, field: &'static str) -> Result<Option<usize>> {
    let Some(value) = fields.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
    let whole = value.as_f64().filter(|length| *length >= 1.0 && length.fract() == 0.0);
    let refuse = || Error::argument(field, "a whole number of at least 1, or null", value.to_string());
    // `transformers` writes a huge number for "no limit"; it is larger than the length of any text.
    whole.map(|length| Some(length as usize)).ok_or_else(refuse)
}

fn as_tokenizer_error(path: PathBuf, error: Error) -> Error {
    let source: Box<dyn std::error::Error + Send + Sync> = match error {
        Error::Json { source, .. } => source.into(),
        other => other.into(),
    };
    Error::Tokenizer { what: path.display().to_string(), source }
}
