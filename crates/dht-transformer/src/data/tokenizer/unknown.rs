//! Identification of words that become unknown tokens.

use tokenizers::{ModelWrapper, NormalizedString, Normalizer, Result, Tokenizer};

use super::word_piece::MOST_LETTERS_OF_A_WORD;

/// Smallest id of an unknown word. All token ids are smaller.
const FIRST_WORD: u32 = 1 << 31;

/// Token that stands for words outside a tokenizer's vocabulary.
#[derive(Debug, Clone)]
pub(super) struct UnknownToken {
    pub(super) id: u32,
    /// Number of leading characters that identify a word. Later characters of an overlong word may be removed before
    /// tokenisation.
    most_characters: usize,
}

impl UnknownToken {
    /// Finds the unknown token of a tokenizer; `None` if it has no such token. `longest` is the maximum number of
    /// characters of a word that can be in the vocabulary, if there is a limit.
    pub(super) fn new(tokenizer: &Tokenizer, longest: Option<usize>) -> Option<Self> {
        let token = match tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => &model.unk_token,
            ModelWrapper::WordLevel(model) => &model.unk_token,
            ModelWrapper::BPE(model) => model.unk_token.as_ref()?,
            ModelWrapper::Unigram(_) => "<unk>",
        };
        let id = tokenizer.token_to_id(token)?;
        Some(Self { id, most_characters: longest.unwrap_or(MOST_LETTERS_OF_A_WORD) + 1 })
    }

    /// Finds the words that became unknown tokens. `ids` are the tokens of `text`. Returns pairs: the index of the
    /// unknown token among `ids`, and the id of the word. If there are unknown tokens, the text is tokenised again to
    /// locate the words.
    pub(super) fn words(&self, tokenizer: &Tokenizer, text: &str, ids: &[u32]) -> Result<Vec<(usize, u32)>> {
        if !ids.contains(&self.id) {
            return Ok(Vec::new());
        }
        let encoding = tokenizer.encode(text, false)?;
        let mut words = Vec::new();
        for (index, (_, (start, end))) in
            encoding.get_ids().iter().zip(encoding.get_offsets()).enumerate().filter(|(_, (id, _))| **id == self.id)
        {
            let word = normalized(tokenizer, text.get(*start..*end).unwrap_or_default())?;
            let end = word.char_indices().nth(self.most_characters).map_or(word.len(), |(end, _)| end);
            let before = words.len();
            words.extend(pieces(&word[..end]).map(|piece| (index, word_id(piece))));
            if words.len() == before {
                words.push((index, word_id(&word)));
            }
        }
        Ok(words)
    }
}

fn normalized(tokenizer: &Tokenizer, word: &str) -> Result<String> {
    let mut word = NormalizedString::from(word);
    if let Some(normalizer) = tokenizer.get_normalizer() {
        normalizer.normalize(&mut word)?;
    }
    Ok(word.get().to_owned())
}

/// Splits an unknown word into symbols, such as emoji, and the letters between them. Characters that change only the
/// appearance of a symbol are removed.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let is_look = |sign: char| matches!(sign, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}' | '\u{2581}');
    let is_symbol =
        |sign: char| matches!(sign, '\u{2190}'..='\u{2bff}' | '\u{e000}'..='\u{f8ff}' | '\u{1f000}'..='\u{1faff}');
    let mut rest = word.trim_start_matches(is_look);
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = match is_symbol(first) {
            true => first.len_utf8(),
            false => rest.find(|sign| is_symbol(sign) || is_look(sign)).unwrap_or(rest.len()),
        };
        let piece = &rest[..end];
        rest = rest[end..].trim_start_matches(is_look);
        Some(piece)
    })
}

/// Computes the id of an unknown word: 31 bits of its 64-bit FNV-1a hash, with the highest bit set so that it exceeds
/// all token ids.
fn word_id(word: &str) -> u32 {
    let hash = word
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    FIRST_WORD | (hash ^ hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_split_at_its_symbols() {
        let of = |word| pieces(word).collect::<Vec<_>>();
        assert_eq!(of("love😍😍it"), ["love", "😍", "😍", "it"]);
        assert_eq!(of("\u{2764}\u{fe0f}"), ["\u{2764}"]);
        assert_eq!(of("👨\u{200d}👩"), ["👨", "👩"]);
        assert_eq!(of("კარგი"), ["კარგი"]);
        assert!(of("\u{fe0f}").is_empty() && of("").is_empty());
    }

    #[test]
    fn ids_of_words_differ_from_ids_of_tokens() {
        let ids: std::collections::BTreeSet<u32> = (0..100_000).map(|word| word_id(&format!("word{word}"))).collect();
        assert!(ids.len() >= 99_990 && ids.iter().all(|id| *id >= FIRST_WORD), "{}", ids.len());
    }
}
