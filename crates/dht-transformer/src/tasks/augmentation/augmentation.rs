//! Data augmentation for distillation: copies of texts in which some words are replaced.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use candle_core::{DType, Tensor};
use rand::{Rng, RngExt};
use rayon::prelude::*;

use super::settings::AugmentationSettings;
use super::words::Vocabulary;
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, Encoding, PackedBatch, Sample, TextTokenizer, WordVectors};
use crate::error::{Error, Result};
use crate::tasks::masked_language_model::MaskedLanguageModel;
use crate::tensors::HeadPlan;

/// Number of texts for whose words replacement candidates are computed together.
const ROWS: usize = 16;
/// Number of masked texts that the language model reads in one batch. Each takes a row of logits over the vocabulary.
const BATCH: usize = 64;

/// TinyBERT's data augmentation (Jiao et al. 2020, algorithm 1). It copies a text and replaces each word of the copy
/// with some probability. The new word is drawn from K candidates:
///
/// - For a word of one token, the candidates are the K words that a masked language model predicts with the highest
///   probability at this position.
/// - For other words, the candidates are the K words with the nearest word vectors. Without a language model, this also
///   applies to words of one token.
///
/// A word stays unchanged if it has no candidates, or if its replacement would make the text too long. Only words with
/// a letter are replaced; Jiao et al. also exclude a list of stop words. A copy has the label of its text. A wrong
/// label matters little if a teacher provides soft labels.
///
/// Tokens are replaced, not characters, so text pairs, special tokens and lengths stay as encoded. The vocabulary must
/// mark where a word begins, as WordPiece and whole-word vocabularies do.
///
/// # Cost
/// Each word needs one forward pass of the language model. Each distinct word that is looked up needs one pass over all
/// vectors.
///
/// # Examples
/// ```
/// use dht_transformer::TextTokenizer;
/// use dht_transformer::data::WordVectors;
/// use dht_transformer::tasks::{Augmentation, AugmentationSettings};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
///
/// let tokenizer = TextTokenizer::from_vocabulary(&["fine", "good", "food"].map(String::from))?;
/// let vectors = WordVectors::read_from("vectors.txt", &b"fine 1 0.1\ngood 1 0.2\n"[..])?;
/// let settings = AugmentationSettings { copies: 1, candidates: 1, replaced: 1.0, max_length: 16 };
/// let augmentation = Augmentation::new(&tokenizer, settings)?.with_vectors(&vectors);
///
/// let texts = augmentation.augment(&tokenizer.encode_texts(&["fine food"], 16)?, &mut rng)?;
/// assert_eq!(texts.len(), 2); // the text and its copy
/// assert_eq!(texts.samples[1].encoding, tokenizer.encode("good food", None, 16)?);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug)]
pub struct Augmentation<'a> {
    settings: AugmentationSettings,
    tokenizer: &'a TextTokenizer,
    vocabulary: Vocabulary,
    /// Masked language model and the id of its mask token.
    model: Option<(&'a MaskedLanguageModel, u32)>,
    vectors: Option<&'a WordVectors>,
}

/// Word of a text: its token range, and the candidates for its replacement, each a list of token ids.
#[derive(Debug)]
struct Word {
    tokens: Range<usize>,
    candidates: Vec<Vec<u32>>,
}

impl<'a> Augmentation<'a> {
    /// Creates an augmentation for texts that `tokenizer` encoded. Call [`with_model`](Self::with_model) or
    /// [`with_vectors`](Self::with_vectors) before use.
    ///
    /// # Errors
    /// Errors of [`AugmentationSettings::check`]; [`Error::Argument`] if the tokenizer is byte-level.
    pub fn new(tokenizer: &'a TextTokenizer, settings: AugmentationSettings) -> Result<Self> {
        settings.check()?;
        Ok(Self { settings, tokenizer, vocabulary: Vocabulary::new(tokenizer)?, model: None, vectors: None })
    }

    /// Uses a masked language model to find candidates for words of one token.
    ///
    /// # Errors
    /// [`Error::Argument`] if the tokenizer has more tokens than the model, or has no mask token.
    pub fn with_model(self, model: &'a MaskedLanguageModel) -> Result<Self> {
        self.tokenizer.check_fits(model.encoder().config())?;
        let mask = self.tokenizer.mask_token();
        let mask = mask.ok_or_else(|| Error::argument("tokenizer", "one with a token [MASK]", "one without"))?;
        Ok(Self { model: Some((model, mask)), ..self })
    }

    /// Uses word vectors to find candidates for words.
    #[must_use]
    pub fn with_vectors(self, vectors: &'a WordVectors) -> Self {
        Self { vectors: Some(vectors), ..self }
    }

    /// Returns a data set of the texts and their augmented copies; the copies follow the texts. Each row has a unique
    /// id.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is neither a model nor vectors, or if a text has more tokens than the model reads.
    /// Errors of [`Encoder::embed`](crate::Encoder::embed).
    pub fn augment<R: Rng + ?Sized>(&self, data: &EncodedDataset, rng: &mut R) -> Result<EncodedDataset> {
        if self.model.is_none() && self.vectors.is_none() {
            return Err(Error::argument("augmentation", "a model of masked tokens, or vectors of words", "neither"));
        }
        let mut samples = data.samples.clone();
        let mut id = data.samples.iter().map(|sample| sample.id + 1).max().unwrap_or(0);
        let mut looked_up = HashMap::new();
        for rows in data.samples.chunks(ROWS) {
            for (sample, words) in rows.iter().zip(self.words(rows, &mut looked_up)?) {
                let mut seen = HashSet::from([sample.encoding.ids.clone()]);
                for _ in 0..self.settings.copies {
                    let encoding = self.copy(&sample.encoding, &words, rng);
                    if seen.insert(encoding.ids.clone()) {
                        samples.push(Sample { id, encoding, ..sample.clone() });
                        id += 1;
                    }
                }
            }
        }
        let truncated_rows = samples.iter().filter(|sample| sample.encoding.truncated).count();
        Ok(EncodedDataset { samples, labels: data.labels.clone(), truncated_rows })
    }

    fn copy<R: Rng + ?Sized>(&self, text: &Encoding, words: &[Word], rng: &mut R) -> Encoding {
        let (mut ids, mut type_ids) = (Vec::with_capacity(text.ids.len()), Vec::with_capacity(text.type_ids.len()));
        let (mut length, mut done) = (text.ids.len(), 0);
        let keep = |ids: &mut Vec<u32>, type_ids: &mut Vec<u32>, part: Range<usize>| {
            ids.extend_from_slice(&text.ids[part.clone()]);
            type_ids.extend(text.type_ids.get(part).unwrap_or_default());
        };
        for Word { tokens, candidates } in words.iter().filter(|word| !word.candidates.is_empty()) {
            if rng.random::<f64>() >= self.settings.replaced {
                continue;
            }
            let replacement = &candidates[rng.random_range(0..candidates.len())];
            let replaced = length - tokens.len() + replacement.len();
            if replaced > self.settings.max_length.max(length) {
                continue;
            }
            length = replaced;
            keep(&mut ids, &mut type_ids, done..tokens.start);
            ids.extend_from_slice(replacement);
            if let Some(kind) = text.type_ids.get(tokens.start) {
                type_ids.extend(std::iter::repeat_n(*kind, replacement.len()));
            }
            done = tokens.end;
        }
        keep(&mut ids, &mut type_ids, done..text.ids.len());
        Encoding { ids, type_ids, truncated: text.truncated, rest: Default::default() }
    }

    /// Finds the words of each text, and the candidates for the replacement of each word. `looked_up` caches the
    /// candidates of words that were looked up in the word vectors.
    fn words(&self, rows: &[Sample], looked_up: &mut HashMap<String, Vec<Vec<u32>>>) -> Result<Vec<Vec<Word>>> {
        let word = |tokens| Word { tokens, candidates: Vec::new() };
        let words_of = |row: &Sample| self.vocabulary.words(&row.encoding.ids).into_iter().map(word).collect();
        let mut words: Vec<Vec<Word>> = rows.iter().map(words_of).collect();
        let mut masked = Vec::new();
        for (row, (sample, words)) in rows.iter().zip(&mut words).enumerate() {
            for (place, word) in words.iter_mut().enumerate() {
                let ids = &sample.encoding.ids[word.tokens.clone()];
                match (ids, self.model, self.vectors) {
                    ([_], Some(_), _) => masked.push((row, place)),
                    (ids, _, Some(vectors)) => {
                        let text = self.vocabulary.text(ids);
                        if !looked_up.contains_key(&text) {
                            looked_up.insert(text.clone(), self.nearest(&text, vectors)?);
                        }
                        word.candidates = looked_up[&text].clone();
                    }
                    _ => {}
                }
            }
        }
        if let Some((model, mask)) = self.model {
            for places in masked.chunks(BATCH) {
                let texts = places.iter().map(|(row, place)| {
                    let mut sample = rows[*row].clone();
                    let token = words[*row][*place].tokens.start;
                    sample.encoding.ids[token] = mask;
                    (sample, token)
                });
                let guesses = self.guesses(model, &texts.collect::<Vec<_>>())?;
                for ((row, place), guesses) in places.iter().zip(guesses) {
                    let own = rows[*row].encoding.ids[words[*row][*place].tokens.start];
                    let others = guesses.into_iter().filter(|id| *id != own).take(self.settings.candidates);
                    words[*row][*place].candidates = others.map(|id| vec![id]).collect();
                }
            }
        }
        Ok(words)
    }

    /// Token ids of the words whose vectors are nearest to the vector of `word`. Words with special tokens are left
    /// out.
    fn nearest(&self, word: &str, vectors: &WordVectors) -> Result<Vec<Vec<u32>>> {
        let words = vectors.nearest(word, self.settings.candidates).into_iter();
        let tokens = words.map(|word| self.tokenizer.subwords(word)).collect::<Result<Vec<_>>>()?;
        Ok(tokens.into_iter().filter(|ids| !ids.is_empty() && !self.vocabulary.has_special(ids)).collect())
    }

    /// Predicts words at one masked token of each text. Returns their token ids, most probable first. There is one word
    /// more than the number of candidates, since the original word may be among them.
    fn guesses(&self, model: &MaskedLanguageModel, texts: &[(Sample, usize)]) -> Result<Vec<Vec<u32>>> {
        let longest = model.encoder().config().longest_text();
        if let Some((sample, _)) = texts.iter().find(|(sample, _)| sample.encoding.ids.len() > longest) {
            let got = format!("{} in row {}", sample.encoding.ids.len(), sample.id);
            return Err(Error::argument("tokens", format!("at most {longest}, as the model takes"), got));
        }
        let (batch, ctx) =
            (PackedBatch::from_samples(texts.iter().map(|(sample, _)| sample))?, ForwardContext::inference());
        let hidden = model.encoder().embed(&batch, &ctx)?;
        let hidden = model.encoder().run(0..model.encoder().layers(), &hidden, &HeadPlan::Full, &ctx)?;
        let rows = batch.spans.starts().iter().zip(texts).map(|(start, (_, token))| (start + token) as u32);
        let rows = Tensor::from_iter(rows, hidden.tensor().device())?;
        let logits = model.logits(&hidden.tensor().index_select(&rows, 0)?, &ctx)?;
        let logits: Vec<Vec<f32>> = logits.to_dtype(DType::F32)?.to_vec2()?;
        let best = |logits: &Vec<f32>| {
            let mut ids: Vec<u32> = (0..logits.len() as u32).filter(|id| self.vocabulary.is_word(*id)).collect();
            let more_probable = |left: &u32, right: &u32| {
                logits[*right as usize].total_cmp(&logits[*left as usize]).then(left.cmp(right))
            };
            let count = self.settings.candidates + 1;
            if count < ids.len() {
                ids.select_nth_unstable_by(count, more_probable);
                ids.truncate(count);
            }
            ids.sort_unstable_by(more_probable);
            ids
        };
        Ok(logits.par_iter().map(best).collect())
    }
}
