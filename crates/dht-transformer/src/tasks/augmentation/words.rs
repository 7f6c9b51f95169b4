//! Detection of words in tokenised texts.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::data::TextTokenizer;
use crate::error::{Error, Result};

/// Prefix of a token that continues a word, in WordPiece vocabularies.
const CONTINUATION: &str = "##";
/// Prefix of a token that begins a word, in byte-level vocabularies.
const VISIBLE_SPACE: char = 'Ġ';

/// Vocabulary of a tokenizer, in which tokens that begin a word, continue a word, or are special can be told apart.
#[derive(Debug, Clone)]
pub(super) struct Vocabulary {
    special: BTreeSet<u32>,
    tokens: Vec<String>,
}

impl Vocabulary {
    /// Creates the vocabulary of a tokenizer.
    ///
    /// # Errors
    /// [`Error::Argument`] if the vocabulary is byte-level: its tokens do not mark where a word begins in a text.
    pub(super) fn new(tokenizer: &TextTokenizer) -> Result<Self> {
        let tokens = (0..tokenizer.vocabulary_size() as u32).map(|id| tokenizer.token(id).unwrap_or_default());
        let own = Self { special: tokenizer.special_tokens(), tokens: tokens.collect() };
        match own.tokens.iter().find(|token| token.starts_with(VISIBLE_SPACE)) {
            None => Ok(own),
            Some(token) => {
                Err(Error::argument("tokenizer", "one of WordPiece or of whole words", format!("{token:?}")))
            }
        }
    }

    fn token(&self, id: u32) -> &str {
        self.tokens.get(id as usize).map_or("", String::as_str)
    }

    fn continues(&self, id: u32) -> bool {
        self.token(id).starts_with(CONTINUATION)
    }

    pub(super) fn is_word(&self, id: u32) -> bool {
        !self.special.contains(&id) && !self.continues(id) && self.token(id).contains(char::is_alphabetic)
    }

    /// Token ranges of all words in a text that contain a letter.
    pub(super) fn words(&self, ids: &[u32]) -> Vec<Range<usize>> {
        let mut words = Vec::new();
        let mut start = 0;
        while start < ids.len() {
            let more = ids[start + 1..].iter().take_while(|id| self.continues(**id)).count();
            let word = start..start + 1 + more;
            let lettered = ids[word.clone()].iter().any(|id| self.token(*id).contains(char::is_alphabetic));
            if lettered && !self.special.contains(&ids[start]) {
                words.push(word.clone());
            }
            start = word.end;
        }
        words
    }

    /// Text of a word, the concatenation of its tokens without the prefix `##`.
    pub(super) fn text(&self, word: &[u32]) -> String {
        let part = |id: &u32| self.token(*id).strip_prefix(CONTINUATION).unwrap_or(self.token(*id));
        word.iter().map(part).collect()
    }

    /// Returns whether a word contains a special token, such as the unknown token.
    pub(super) fn has_special(&self, ids: &[u32]) -> bool {
        ids.iter().any(|id| self.special.contains(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_with_all_their_parts() {
        let folder = tempfile::tempdir().unwrap();
        let vocabulary = "[PAD] [UNK] [CLS] [SEP] [MASK] play ##ing ##er chess . 1".replace(' ', "\n");
        std::fs::write(folder.path().join("vocab.txt"), vocabulary).unwrap();
        let tokenizer = TextTokenizer::from_dir(folder.path()).unwrap();
        let vocabulary = Vocabulary::new(&tokenizer).unwrap();
        let id = |token: &str| tokenizer.token_id(token).unwrap();
        let ids = ["[CLS]", "play", "##ing", "##er", "chess", ".", "1", "[UNK]", "play", "[SEP]"].map(id);
        assert_eq!(vocabulary.words(&ids), [1..4, 4..5, 8..9]);
        assert_eq!(vocabulary.text(&ids[1..4]), "playinger");
        let alone = ids.iter().filter(|id| vocabulary.is_word(**id)).count();
        assert_eq!(alone, 3, "play, chess, play");
        assert!(vocabulary.has_special(&ids[7..8]) && !vocabulary.has_special(&ids[1..4]));
    }
}
