//! Tokenizer of texts: training, settings and encoding to token ids.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use rayon::prelude::*;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{PostProcessor, Tokenizer};

use super::cut::{EncodedStart, FirstTokens, Splitter, first_tokens};
use super::description::{Cleaning, SPECIAL, description, special_tokens};
use super::parts::{SplitPoints, words};
use super::unknown::UnknownToken;
use super::word_piece::{MOST_LETTERS_OF_A_WORD, is_split, train_word_piece};
use crate::config::BertConfig;
use crate::data::dataset::Dataset;
use crate::data::encoded::{EncodedDataset, Encoding, Sample, UnknownWord, UnreadTokens};
use crate::data::reader::LONGEST_ROW;
use crate::error::{Error, Result};
use crate::storage::{FileKind, GIT_LFS, read_file, write_atomically};

/// Converts texts to token ids in BERT's format: `[CLS] text [SEP]`, or `[CLS] text [SEP] pair [SEP]` for a text pair.
///
/// # Examples
/// ```
/// use dht_transformer::TextTokenizer;
///
/// let words = ["the", "cat", "sat"].map(String::from);
/// let tokenizer = TextTokenizer::from_vocabulary(&words)?;
/// let encoding = tokenizer.encode("The cat stood.", None, 8)?;
/// assert_eq!(encoding.ids, [2, 5, 6, 1, 1, 3]); // [CLS] the cat [UNK] [UNK] [SEP]
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    split_points: SplitPoints,
    /// Unknown token; `None` if the vocabulary can encode every text.
    unknown: Option<UnknownToken>,
    vocabulary_size: usize,
    max_bytes: usize,
    /// Maximum number of truncated token ids that are stored for each text.
    rest: usize,
    prefix: String,
    pub(super) max_length: Option<usize>,
    /// Special tokens, each with the name of its field in `tokenizer_config.json`.
    pub(super) named: Vec<(String, String)>,
}

impl TextTokenizer {
    /// Reads a tokenizer from a `tokenizer.json`. Truncation and padding in the file are ignored: the caller sets the
    /// maximum length, and batches are not padded. If the file adds no special tokens to texts, BERT's `[CLS]` and
    /// `[SEP]` are added.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read. [`Error::Tokenizer`] if the file is not a tokenizer, or if the
    /// vocabulary lacks the special tokens.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read_file(path, FileKind::Tokenizer).map_err(|source| Error::io(path, source))?;
        Self::from_json(&path.display().to_string(), &bytes)
    }

    /// Creates a tokenizer of whole words, which lower-cases texts and splits them at spaces and punctuation. The first
    /// ids belong to `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` and `[MASK]`, followed by the words in order. Words that differ
    /// only in case share one id.
    ///
    /// # Errors
    /// [`Error::Argument`] if a word is empty, or if the tokenizer would split it, so that it could never match.
    pub fn from_vocabulary(words: &[String]) -> Result<Self> {
        let cleaning = Cleaning::default();
        let splitter = Self::from_subwords("WordLevel", &special_tokens(), &cleaning)?;
        let mut subwords = special_tokens();
        let mut seen: BTreeSet<String> = subwords.iter().cloned().collect();
        for word in words {
            if SPECIAL.contains(&word.as_str()) {
                continue;
            }
            let [clean] = splitter.words(word)?.try_into().map_err(|parts: Vec<String>| {
                Error::argument(
                    "words",
                    "words without spaces and punctuation, or single signs",
                    format!("{word:?}, which is split into {parts:?}"),
                )
            })?;
            if seen.insert(clean.clone()) {
                subwords.push(clean);
            }
        }
        Self::from_subwords("WordLevel", &subwords, &cleaning)
    }

    /// Trains a lower-casing WordPiece tokenizer on texts. Training is deterministic: the same texts give the same
    /// tokenizer.
    ///
    /// The tokenizer has at most `vocabulary_size` tokens; the first are the special tokens `[PAD]`, `[UNK]`, `[CLS]`,
    /// `[SEP]` and `[MASK]`. It has fewer if training stops early because no pair of adjacent subwords occurs twice;
    /// see [`vocabulary_size`](Self::vocabulary_size). Words of more than 100 letters are not used for training. They
    /// are encoded as `[UNK]`, not as subwords.
    ///
    /// # Errors
    /// [`Error::Argument`] if `vocabulary_size` is below 32, which is too small for the special tokens and some
    /// letters, or if the texts contain no word.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::TextTokenizer;
    ///
    /// let tokenizer = TextTokenizer::train(["low lower", "lowest low"], 40)?;
    /// assert!(tokenizer.token_id("low").is_some() && tokenizer.vocabulary_size() <= 40);
    /// let encoding = tokenizer.encode("low", None, 8)?;
    /// assert_eq!(encoding.ids.len(), 3); // [CLS] low [SEP]
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    pub fn train<'a>(texts: impl IntoIterator<Item = &'a str>, vocabulary_size: usize) -> Result<Self> {
        if vocabulary_size < 32 {
            return Err(Error::argument("vocabulary_size", "at least 32", vocabulary_size.to_string()));
        }
        let cleaning = Cleaning::default();
        let splitter = Self::from_subwords("WordLevel", &special_tokens(), &cleaning)?;
        let texts: Vec<&str> = texts.into_iter().collect();
        let counts = texts
            .par_chunks(256)
            .map(|texts| {
                let mut counts: HashMap<String, u64> = HashMap::new();
                for text in texts {
                    for word in splitter.words(text)?.into_iter().filter(|word| is_split(word)) {
                        *counts.entry(word).or_default() += 1;
                    }
                }
                Ok(counts)
            })
            .collect::<Result<Vec<_>>>()?;
        // The counts are sums in a sorted map, so the order of the hash maps does not matter.
        let mut words: BTreeMap<String, u64> = BTreeMap::new();
        for (word, count) in counts.into_iter().flatten() {
            *words.entry(word).or_default() += count;
        }
        if words.is_empty() {
            let words = format!("some words of at most {MOST_LETTERS_OF_A_WORD} letters");
            return Err(Error::argument("texts", words, "none"));
        }
        let mut subwords = special_tokens();
        subwords.extend(train_word_piece(&words, vocabulary_size - SPECIAL.len()));
        Self::from_subwords("WordPiece", &subwords, &cleaning)
    }

    /// Number of rows that an embedding table requires: the largest token id plus one.
    pub fn vocabulary_size(&self) -> usize {
        self.vocabulary_size
    }

    /// Checks that the word embedding of a model has a row for every token. Additional rows are allowed.
    ///
    /// # Errors
    /// [`Error::Argument`] if the word embedding has too few rows. The model was then trained with another tokenizer.
    pub fn check_fits(&self, config: &BertConfig) -> Result<()> {
        if self.vocabulary_size <= config.vocab_size {
            return Ok(());
        }
        let last = self.vocabulary_size - 1;
        let token = self.token(last as u32).map(|token| format!(" {token:?}")).unwrap_or_default();
        let expected = format!(
            "at least {}: the tokenizer's token{token} has the number {last}, and the embeddings need a row for it",
            self.vocabulary_size
        );
        Err(Error::argument("vocab_size", expected, config.vocab_size.to_string()))
    }

    /// Id of a token, such as `[MASK]`; `None` if the vocabulary lacks it.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// Id of the mask token: the `mask_token` that the tokenizer's directory declares, otherwise `[MASK]` or `<mask>`.
    pub fn mask_token(&self) -> Option<u32> {
        let named = self.named.iter().filter(|(name, _)| name == "mask_token").map(|(_, token)| token.as_str());
        named.chain(["[MASK]", "<mask>"]).find_map(|token| self.token_id(token))
    }

    /// Maximum length of a text in tokens: the `model_max_length` that the tokenizer's directory declares. The position
    /// table of a model may be shorter.
    pub fn model_max_length(&self) -> Option<usize> {
        self.max_length
    }

    /// Sets the maximum length of a text in tokens for a saved tokenizer.
    /// [`PretrainedWeights::write`](crate::pretrained::PretrainedWeights::write) stores it as `model_max_length`.
    #[must_use]
    pub fn with_model_max_length(self, tokens: usize) -> Self {
        Self { max_length: Some(tokens), ..self }
    }

    /// Special tokens in the vocabulary, each with the name of its field in `tokenizer_config.json`.
    pub(crate) fn named_tokens(&self) -> Vec<(String, String)> {
        let names = ["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"];
        let usual = match self.token_id("[CLS]") {
            Some(_) => SPECIAL,
            None => ["<pad>", "<unk>", "<s>", "</s>", "<mask>"],
        };
        let mut tokens = self.named.clone();
        for (name, token) in names.into_iter().zip(usual) {
            if tokens.iter().all(|(named, _)| named != name) {
                tokens.push((name.to_owned(), token.to_owned()));
            }
        }
        tokens.retain(|(_, token)| self.token_id(token).is_some());
        tokens
    }

    /// Ids of tokens that are not part of a text's content. They are the special tokens of the tokenizer's file, the
    /// tokens around a text, and the padding, unknown and mask tokens.
    pub fn special_tokens(&self) -> BTreeSet<u32> {
        let added = self.tokenizer.get_added_tokens_decoder();
        let marked = added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id);
        let known = SPECIAL.into_iter().chain(["<s>", "</s>", "<pad>", "<unk>", "<mask>"]);
        marked.chain(known.filter_map(|token| self.token_id(token))).collect()
    }

    /// Ids of the special tokens that [`encode`](Self::encode) adds to texts: `[CLS]` and `[SEP]`, or their
    /// equivalents.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the tokenizer cannot encode an empty text.
    pub fn tokens_around(&self) -> Result<BTreeSet<u32>> {
        let failed = |source| Error::Tokenizer { what: "encoding".into(), source };
        let text = self.tokenizer.encode_fast("", true).map_err(failed)?;
        let pair = self.tokenizer.encode_fast(("", ""), true).map_err(failed)?;
        Ok(text.get_ids().iter().chain(pair.get_ids()).copied().collect())
    }

    /// Text of the token with this id; `None` if the vocabulary lacks the id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// Writes the tokenizer as a `tokenizer.json`. The file is replaced atomically.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let json = self.to_json()?;
        write_atomically(path, |file| file.write_all(json.as_bytes()))
    }

    pub(crate) fn to_json(&self) -> Result<String> {
        self.tokenizer.to_string(true).map_err(|source| Error::Tokenizer { what: "writing".into(), source })
    }

    /// Sets the maximum size of a text in bytes. The default, 4 MiB, is also the maximum length of a row that is read
    /// from a file. The limit bounds the time that [`encode`](Self::encode) spends on an untrusted text.
    #[must_use]
    pub fn with_max_bytes(self, bytes: usize) -> Self {
        Self { max_bytes: bytes, ..self }
    }

    /// Sets how many truncated token ids of each text are stored in the [rest](Encoding::rest) of its encoding; default
    /// none. An n-gram model can read these ids; an encoder cannot. 4,096 ids cover nearly any text. Tokenising them
    /// takes additional time.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::TextTokenizer;
    ///
    /// let tokenizer = TextTokenizer::from_vocabulary(&["fine", "food"].map(String::from))?.with_rest(4096);
    /// let encoding = tokenizer.encode("fine food fine", None, 4)?;
    /// assert_eq!(encoding.ids, [2, 5, 6, 3]); // [CLS] fine food [SEP]
    /// assert_eq!(encoding.rest.first, [5]); // fine
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    #[must_use]
    pub fn with_rest(self, tokens: usize) -> Self {
        Self { rest: tokens, ..self }
    }

    /// Maximum number of truncated token ids that are stored for each text; see [`with_rest`](Self::with_rest).
    pub fn rest(&self) -> usize {
        self.rest
    }

    /// Sets a prefix that is put before each text (in a pair, before the first text) when it is encoded; default none.
    /// Some encoders are trained with a prefix, such as `"query: "` for E5. The prefix is saved with a model.
    #[must_use]
    pub fn with_prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Prefix that is put before each text; see [`with_prefix`](Self::with_prefix).
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Encodes a text or a pair as at most `max_length` tokens, including special tokens. Longer texts are truncated at
    /// the end. In a pair, the longer text is truncated until both are equally long, and then both are truncated.
    /// Hugging Face calls this strategy `longest_first`.
    ///
    /// A word outside the vocabulary becomes the unknown token, `[UNK]`. A hash of the word is stored in the
    /// [rest](Encoding::rest) of the encoding.
    ///
    /// # Cost
    /// Only the beginning of a text is tokenised, as far as `max_length` requires. The result is the same as after
    /// tokenisation of the whole text. For three kinds of text, time and memory still grow with the length of the text:
    ///
    /// - A text without spaces (except ideographs), unless it consists of letters and digits and the vocabulary is
    ///   WordPiece or whole words.
    /// - The shorter text of a pair of two long texts.
    /// - Any text, if the tokenizer is neither of BERT's nor of RoBERTa's type.
    ///
    /// # Errors
    /// [`Error::Argument`] if `max_length` leaves no room for a token of each text; [`Error::TextTooLong`] if a text
    /// has more bytes than [`with_max_bytes`](Self::with_max_bytes) allows.
    pub fn encode(&self, text: &str, pair: Option<&str>, max_length: usize) -> Result<Encoding> {
        let failed = |source| Error::Tokenizer { what: "encoding".into(), source };
        let special = self.tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(pair.is_some()));
        let least = special + 1 + usize::from(pair.is_some());
        if max_length < least {
            return Err(Error::argument(
                "max_length",
                format!("at least {least} ({special} special tokens and one of each text)"),
                max_length.to_string(),
            ));
        }
        if let Some(text) = [Some(text), pair].into_iter().flatten().find(|text| text.len() > self.max_bytes) {
            return Err(Error::TextTooLong { row: None, bytes: text.len(), most: self.max_bytes });
        }
        let text = match &*self.prefix {
            "" => Cow::Borrowed(text),
            prefix => Cow::Owned([prefix, text].concat()),
        };
        let texts = (&*text, pair);
        let splitter =
            Splitter { tokenizer: &self.tokenizer, split_points: &self.split_points, unknown: self.unknown.as_ref() };
        let FirstTokens { first, second, truncated } =
            first_tokens(splitter, texts, max_length - special, self.rest).map_err(failed)?;
        let lengths = [first.encoding.len(), second.as_ref().map_or(0, |second| second.encoding.len())];
        let (second, after_second, words_of_second) = match second {
            Some(EncodedStart { encoding, after, words }) => (Some(encoding), after, words),
            None => Default::default(),
        };
        let encoding = self.tokenizer.post_process(first.encoding, second, true).map_err(failed)?;
        let types = encoding.get_type_ids();
        let type_ids = if types.iter().all(|kind| *kind == 0) { Vec::new() } else { types.to_vec() };
        let ids = encoding.get_ids().to_vec();
        let mut rest = UnreadTokens { first: first.after, second: after_second, words: Vec::new() };
        rest.words = self.placed_words(&ids, &rest, [first.words, words_of_second], lengths);
        Ok(Encoding { ids, type_ids, truncated, rest })
    }

    /// Lists unknown words, each with the index of its unknown token. The index first counts `ids`, and then the
    /// truncated ids in `rest`. `lengths` is the number of tokens in `ids` for each text, without special tokens.
    fn placed_words(
        &self,
        ids: &[u32],
        rest: &UnreadTokens,
        words: [Vec<(usize, u32)>; 2],
        lengths: [usize; 2],
    ) -> Vec<UnknownWord> {
        let mut placed = Vec::new();
        let Some(unknown) = self.unknown.as_ref().filter(|_| words.iter().any(|words| !words.is_empty())) else {
            return placed;
        };
        // Unknown tokens have the same order in `ids` as in the texts.
        let mut places = ids.iter().enumerate().filter(|(_, id)| **id == unknown.id).map(|(place, _)| place);
        for (words, length) in words.iter().zip(lengths) {
            for words in words.chunk_by(|left, right| left.0 == right.0).take_while(|words| words[0].0 < length) {
                let Some(token) = places.next() else { break };
                placed.extend(words.iter().map(|(_, id)| UnknownWord { token: token as u32, id: *id }));
            }
        }
        let starts = [ids.len(), ids.len() + rest.first.len()];
        for ((words, length), start) in words.into_iter().zip(lengths).zip(starts) {
            let cut = words.into_iter().filter(|(token, _)| *token >= length);
            placed.extend(cut.map(|(token, id)| UnknownWord { token: (start + token - length) as u32, id }));
        }
        placed
    }

    /// Fraction of unknown tokens (`[UNK]`) in texts that this tokenizer encoded. An encoder cannot distinguish the
    /// words that became unknown tokens. Special tokens around a text do not count. The fraction is 0 if there are no
    /// tokens.
    ///
    /// # Errors
    /// Same errors as [`tokens_around`](Self::tokens_around).
    pub fn unknown_share(&self, texts: &EncodedDataset) -> Result<f64> {
        let Some(unknown) = &self.unknown else { return Ok(0.0) };
        let around = self.tokens_around()?;
        let (mut tokens, mut unknowns) = (0_u64, 0_u64);
        for Sample { encoding, .. } in &texts.samples {
            let ids = encoding.ids.iter().chain(&encoding.rest.first).chain(&encoding.rest.second);
            for id in ids.filter(|id| !around.contains(id)) {
                tokens += 1;
                unknowns += u64::from(*id == unknown.id);
            }
        }
        Ok(unknowns as f64 / tokens.max(1) as f64)
    }

    /// Encodes all examples of a data set in parallel, in the order of the examples.
    ///
    /// # Errors
    /// Errors of [`encode`](Self::encode) for the first example that fails.
    pub fn encode_all(&self, data: &Dataset, max_length: usize) -> Result<EncodedDataset> {
        let samples = data
            .examples
            .par_iter()
            .enumerate()
            .map(|(row, example)| {
                let encoding = self
                    .encode(&example.text, example.pair.as_deref(), max_length)
                    .map_err(|error| error.in_row(row))?;
                let (label, targets) = (example.label as u32, example.targets.clone());
                Ok(Sample { id: row as u64, label, targets, encoding })
            })
            .collect::<Result<Vec<_>>>()?;
        let truncated_rows = samples.iter().filter(|sample| sample.encoding.truncated).count();
        Ok(EncodedDataset { samples, labels: data.labels.clone(), truncated_rows })
    }

    /// Encodes texts without labels in parallel, in the order of the texts. All samples have class 0.
    ///
    /// # Errors
    /// Errors of [`encode`](Self::encode) for the first text that fails.
    pub fn encode_texts<T: AsRef<str> + Sync>(&self, texts: &[T], max_length: usize) -> Result<EncodedDataset> {
        let sample = |(row, text): (usize, &T)| {
            let encoding = self.encode(text.as_ref(), None, max_length).map_err(|error| error.in_row(row))?;
            Ok(Sample { id: row as u64, label: 0, targets: Vec::new(), encoding })
        };
        let samples = texts.par_iter().enumerate().map(sample).collect::<Result<Vec<_>>>()?;
        let truncated_rows = samples.iter().filter(|sample| sample.encoding.truncated).count();
        Ok(EncodedDataset { samples, labels: vec![String::new()], truncated_rows })
    }

    /// Encodes a text without special tokens around it and without truncation.
    pub(crate) fn subwords(&self, text: &str) -> Result<Vec<u32>> {
        let failed = |source| Error::Tokenizer { what: "encoding".into(), source };
        Ok(self.tokenizer.encode_fast(text, false).map_err(failed)?.get_ids().to_vec())
    }

    /// Ids of the special tokens before and after a text.
    pub(crate) fn special_token_template(&self) -> Result<(Vec<u32>, Vec<u32>)> {
        let failed = |source| Error::Tokenizer { what: "encoding".into(), source };
        let around = |ids: &[u32]| match ids {
            [before, after] => Ok((vec![*before], vec![*after])),
            _ => Err(failed(format!("puts {} special tokens around a text, expected 2", ids.len()).into())),
        };
        around(self.tokenizer.encode_fast("", true).map_err(failed)?.get_ids())
    }

    fn words(&self, text: &str) -> Result<Vec<String>> {
        words(&self.tokenizer, text).map_err(|source| Error::Tokenizer { what: "splitting".into(), source })
    }

    fn from_subwords(model: &str, subwords: &[String], cleaning: &Cleaning) -> Result<Self> {
        let what = "vocabulary";
        Self::from_json(what, description(model, subwords, &SPECIAL, cleaning, what)?.to_string().as_bytes())
    }

    fn from_json(what: &str, json: &[u8]) -> Result<Self> {
        let failed = |source| Error::Tokenizer { what: what.into(), source };
        if json.starts_with(&GIT_LFS) {
            return Err(failed("is a Git LFS pointer and not the file: fetch it, as by `git lfs pull`".into()));
        }
        // The `tokenizers` crate panics on invalid JSON in some parts of the file, for example on half of a surrogate
        // pair. So the whole file is parsed first.
        serde_json::from_slice::<serde_json::Value>(json).map_err(|error| failed(error.into()))?;
        Self::from_tokenizer(what, Tokenizer::from_bytes(json).map_err(failed)?)
    }

    /// Wraps a tokenizer of the `tokenizers` crate. Truncation and padding are removed. A tokenizer that adds no
    /// special tokens gets BERT's `[CLS]` and `[SEP]`.
    pub(super) fn from_tokenizer(what: &str, mut tokenizer: Tokenizer) -> Result<Self> {
        let failed = |source| Error::Tokenizer { what: what.into(), source };
        tokenizer.with_truncation(None).map_err(failed)?.with_padding(None);
        if tokenizer.get_post_processor().is_none_or(|processor| processor.added_tokens(false) == 0) {
            let special = |token: &str| tokenizer.token_to_id(token).map(|id| (token.to_owned(), id));
            let (Some(separator), Some(class)) = (special("[SEP]"), special("[CLS]")) else {
                return Err(failed("adds no special tokens, and its vocabulary lacks [CLS] or [SEP]".into()));
            };
            tokenizer.with_post_processor(Some(BertProcessing::new(separator, class)));
        }
        // The token of an empty line occurs in no text, so it does not count.
        let tokens = tokenizer.get_vocab(true).into_iter().filter(|(token, _)| !token.is_empty());
        let greatest = tokens.map(|(_, id)| id).max().unwrap_or_default();
        let empty = tokenizer.encode_fast("", true).map_err(failed)?;
        let empty_pair = tokenizer.encode_fast(("", ""), true).map_err(failed)?;
        match empty.get_ids().iter().chain(empty_pair.get_ids()).find(|&&id| id > greatest) {
            Some(id) => Err(failed(format!("adds the token {id}, which is not in its vocabulary").into())),
            None => {
                let split_points = SplitPoints::new(&tokenizer).map_err(failed)?;
                let unknown = UnknownToken::new(&tokenizer, split_points.longest_word());
                Ok(Self {
                    tokenizer,
                    unknown,
                    split_points,
                    vocabulary_size: greatest as usize + 1,
                    max_bytes: LONGEST_ROW,
                    rest: 0,
                    prefix: String::new(),
                    max_length: None,
                    named: Vec::new(),
                })
            }
        }
    }
}
