//! Division of long texts into parts that can be tokenised separately.
//!
//! Concatenated, the tokens of the parts must be the tokens of the whole text. This holds at positions where the
//! pre-tokenizer always splits, unless a normaliser or an added token acts across the position. If no position is safe,
//! for example with an unsupported pre-tokenizer, the whole text is one part.

use std::borrow::Cow;
use std::collections::HashMap;

use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, Model, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType,
    PreTokenizedString, PreTokenizer, PreTokenizerWrapper, Result, Tokenizer,
};

/// Minimum length in bytes of a text part in which overlong words are shortened before tokenisation.
const LONG_PART: usize = 4096;
/// Number of ASCII characters, for which character classes are precomputed.
const ASCII: usize = 128;

/// Positions at which a text may be divided without a change of its tokens.
#[derive(Debug, Clone)]
pub(crate) enum SplitPoints {
    /// The text is never divided, since no position is known to be safe.
    None,
    /// Splits before a space that follows a letter or digit: in these vocabularies a space belongs to the token after
    /// it.
    BeforeSpaces,
    /// Splits before and after characters that separate words, such as spaces and punctuation.
    BetweenWords(WordBoundaries),
}

/// Effect of a character on word boundaries, independent of its position in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CharacterClass {
    /// Letter, digit or other part of a word. It counts towards the maximum length of a word.
    InWord,
    /// Whitespace, punctuation or ideograph: the word before it ends, and a new word starts after it.
    Separator,
    Other,
}

/// Word boundaries of a tokenizer that splits texts only by character class.
#[derive(Debug, Clone)]
pub(crate) struct WordBoundaries {
    ascii: [CharacterClass; ASCII],
    /// Pairs of adjacent characters inside added tokens, such as `[` and `C` in `[CLS]`. Texts are not divided between
    /// them, since added tokens are matched before a text is split.
    inside_added: Vec<(char, char)>,
    /// Maximum number of characters of a word that can be in the vocabulary. `None` if overlong words cannot be
    /// shortened.
    longest: Option<usize>,
}

impl SplitPoints {
    pub(crate) fn new(tokenizer: &Tokenizer) -> Result<Self> {
        let added: Vec<AddedToken> = tokenizer.get_added_tokens_decoder().into_values().collect();
        let plain = |token: &AddedToken| {
            token.content.is_ascii() && !token.content.contains(char::is_whitespace) && !token.single_word
        };
        if !added.iter().all(plain) {
            return Ok(Self::None);
        }
        let normalizer = tokenizer.get_normalizer();
        match tokenizer.get_pre_tokenizer() {
            Some(
                PreTokenizerWrapper::BertPreTokenizer(_)
                | PreTokenizerWrapper::Whitespace(_)
                | PreTokenizerWrapper::WhitespaceSplit(_),
            ) if normalizer.is_none_or(is_by_character) => WordBoundaries::split_points(tokenizer, &added),
            Some(PreTokenizerWrapper::ByteLevel(ByteLevel { use_regex: true, .. })) if normalizer.is_none() => {
                Ok(Self::before_spaces(&added))
            }
            Some(PreTokenizerWrapper::Metaspace(space)) if normalizer.is_none() && space.get_split() => {
                Ok(Self::before_spaces(&added))
            }
            _ => Ok(Self::None),
        }
    }

    fn before_spaces(added: &[AddedToken]) -> Self {
        // A token that takes the spaces after it would change the tokens that follow.
        if added.iter().any(|token| token.rstrip) { Self::None } else { Self::BeforeSpaces }
    }

    /// Splits off the first part of a text, at the first safe position from byte `least` on. Returns the part and the
    /// remaining text.
    pub(crate) fn split_first<'a>(
        &self,
        tokenizer: &Tokenizer,
        text: &'a str,
        least: usize,
    ) -> Result<(&'a str, &'a str)> {
        let Some(start) = (least.max(1)..text.len()).find(|&index| text.is_char_boundary(index)) else {
            return Ok((text, ""));
        };
        let mut classes = CharacterClasses::new(tokenizer, self);
        let mut before = text[..start].chars().next_back().unwrap_or_default();
        for (index, next) in text[start..].char_indices() {
            let between = match self {
                Self::None => return Ok((text, "")),
                Self::BeforeSpaces => next == ' ' && before.is_alphanumeric(),
                Self::BetweenWords(words) => {
                    (classes.get(before)? == CharacterClass::Separator
                        || classes.get(next)? == CharacterClass::Separator)
                        && !words.inside_added.contains(&(before, next))
                }
            };
            if between {
                return Ok(text.split_at(start + index));
            }
            before = next;
        }
        Ok((text, ""))
    }

    /// Maximum number of characters of a word that can be in the vocabulary; `None` if words are not
    /// [shortened](Self::shortened).
    pub(crate) fn longest_word(&self) -> Option<usize> {
        match self {
            Self::BetweenWords(words) => words.longest,
            _ => None,
        }
    }

    /// Shortens overlong words in a part of a text, to save time. The tokens of the part do not change.
    pub(crate) fn shortened<'a>(&self, tokenizer: &Tokenizer, part: &'a str) -> Result<Cow<'a, str>> {
        match self {
            Self::BetweenWords(WordBoundaries { longest: Some(longest), .. }) if part.len() >= LONG_PART => {
                shortened(CharacterClasses::new(tokenizer, self), *longest, part)
            }
            _ => Ok(part.into()),
        }
    }
}

/// Returns whether a normaliser treats each character separately, so that parts of a text can be normalised separately.
/// The order of accents on one character may change. A normaliser that composes characters, such as NFC, does not
/// qualify.
fn is_by_character(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::BertNormalizer(_)
        | NormalizerWrapper::StripAccents(_)
        | NormalizerWrapper::Lowercase(_)
        | NormalizerWrapper::NFD(_)
        | NormalizerWrapper::NFKD(_) => true,
        NormalizerWrapper::Sequence(all) => all.as_ref().iter().all(is_by_character),
        _ => false,
    }
}

impl WordBoundaries {
    fn split_points(tokenizer: &Tokenizer, added: &[AddedToken]) -> Result<SplitPoints> {
        let mut ascii = [CharacterClass::Other; ASCII];
        for (code, class) in (0_u8..).zip(&mut ascii) {
            *class = CharacterClass::new(tokenizer, code.into())?;
        }
        let has = |token: &AddedToken, class| token.content.bytes().any(|byte| ascii[usize::from(byte)] == class);
        // An added token is matched in the normalised text, and the match must not span a separator.
        if added.iter().any(|token| token.normalized && has(token, CharacterClass::Separator)) {
            return Ok(SplitPoints::None);
        }
        let pairs = |token: &AddedToken| token.content.chars().zip(token.content.chars().skip(1)).collect::<Vec<_>>();
        let inside_added = added.iter().flat_map(pairs).collect();
        let longest = match tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => Some(model.max_input_chars_per_word),
            ModelWrapper::WordLevel(model) => model.get_vocab().keys().map(|word| word.chars().count()).max(),
            _ => None,
        };
        // Words are shortened only if no added token can lie inside a word, or span the removed middle of a word.
        let longest = longest
            .filter(|_| {
                added.iter().all(|token| has(token, CharacterClass::Separator) || has(token, CharacterClass::Other))
            })
            .map(|longest| added.iter().map(|token| token.content.len()).fold(longest, usize::max));
        Ok(SplitPoints::BetweenWords(Self { ascii, inside_added, longest }))
    }
}

impl CharacterClass {
    /// Determines the class of a character by an experiment. The tokenizer splits two test texts: the character between
    /// two letters, and the character between two dots.
    fn new(tokenizer: &Tokenizer, character: char) -> Result<Self> {
        let among_letters = words(tokenizer, &format!("x{character}x"))?;
        let separates = |words: &[String], neighbour| match words {
            [before, .., after] => before == neighbour && after == neighbour,
            _ => false,
        };
        Ok(match among_letters.as_slice() {
            [word] if word.chars().count() >= 3 => Self::InWord,
            words if !separates(words, "x") => Self::Other,
            _ if separates(&words(tokenizer, &format!(".{character}."))?, ".") => Self::Separator,
            _ => Self::Other,
        })
    }
}

/// Cache of character classes. Classes of characters beyond ASCII are computed on demand.
struct CharacterClasses<'a> {
    tokenizer: &'a Tokenizer,
    ascii: [CharacterClass; ASCII],
    others: HashMap<char, CharacterClass>,
}

impl<'a> CharacterClasses<'a> {
    fn new(tokenizer: &'a Tokenizer, split_points: &SplitPoints) -> Self {
        let ascii = match split_points {
            SplitPoints::BetweenWords(words) => words.ascii,
            _ => [CharacterClass::Other; ASCII],
        };
        Self { tokenizer, ascii, others: HashMap::new() }
    }

    fn get(&mut self, character: char) -> Result<CharacterClass> {
        if let Some(class) = self.ascii.get(character as usize) {
            return Ok(*class);
        }
        if let Some(class) = self.others.get(&character) {
            return Ok(*class);
        }
        let class = CharacterClass::new(self.tokenizer, character)?;
        self.others.insert(character, class);
        Ok(class)
    }
}

/// Removes the middle of words that are too long for the vocabulary.
fn shortened<'a>(mut classes: CharacterClasses<'_>, longest: usize, text: &'a str) -> Result<Cow<'a, str>> {
    let edge = longest + 1;
    let mut shorter = String::new();
    // Number of processed bytes; length of the current word; end of its first `edge` characters.
    let (mut done, mut run, mut head) = (0, 0, 0);
    let characters = text.char_indices().map(|(index, character)| (index, Some(character)));
    // The end of the text also ends a word.
    for (index, character) in characters.chain([(text.len(), None)]) {
        if let Some(character) = character
            && classes.get(character)? == CharacterClass::InWord
        {
            run += 1;
            if run == edge {
                head = index + character.len_utf8();
            }
            continue;
        }
        if run > 2 * edge
            && let Some((tail, _)) = text[..index].char_indices().rev().nth(edge - 1)
        {
            shorter.push_str(&text[done..head]);
            done = tail;
        }
        run = 0;
    }
    if done == 0 {
        return Ok(text.into());
    }
    shorter.push_str(&text[done..]);
    Ok(shorter.into())
}

/// Splits a normalised text into words with the pre-tokenizer.
pub(crate) fn words(tokenizer: &Tokenizer, text: &str) -> Result<Vec<String>> {
    let mut text = NormalizedString::from(text);
    if let Some(normalizer) = tokenizer.get_normalizer() {
        normalizer.normalize(&mut text)?;
    }
    let mut split = PreTokenizedString::from(text);
    if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
        pre_tokenizer.pre_tokenize(&mut split)?;
    }
    let words = split.get_splits(OffsetReferential::Normalized, OffsetType::None);
    Ok(words.into_iter().map(|(word, _, _)| word.to_owned()).filter(|word| !word.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer(normalizer: &str, pre_tokenizer: &str) -> (Tokenizer, SplitPoints) {
        let json = format!(
            r###"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": {normalizer},
                "pre_tokenizer": {pre_tokenizer}, "post_processor": null, "decoder": null,
                "model": {{"type": "WordLevel", "unk_token": "x", "vocab": {{"x": 0, "longer": 1}}}}}}"###
        );
        let tokenizer = Tokenizer::from_bytes(json).unwrap();
        let split_points = SplitPoints::new(&tokenizer).unwrap();
        (tokenizer, split_points)
    }

    const BERT: &str = r#"{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                           "strip_accents": null, "lowercase": true}"#;

    #[test]
    fn texts_are_cut_only_where_their_tokenizer_always_splits() {
        let first = |normalizer, pre_tokenizer, text| {
            let (tokenizer, split_points) = tokenizer(normalizer, pre_tokenizer);
            split_points.split_first(&tokenizer, text, 2).unwrap().0.to_owned()
        };
        let (split, level) = (
            r#"{"type": "BertPreTokenizer"}"#,
            r#"{"type": "ByteLevel", "add_prefix_space": false,
            "trim_offsets": true, "use_regex": true}"#,
        );
        assert_eq!(first(BERT, split, "ab, cd"), "ab");
        assert_eq!(first(BERT, split, "ab\u{b}cd\nef"), "ab\u{b}cd");
        assert_eq!(first("null", r#"{"type": "Whitespace"}"#, "ab... cd"), "ab...");
        assert_eq!(first("null", r#"{"type": "WhitespaceSplit"}"#, "ab... cd"), "ab...");
        assert_eq!(first(BERT, split, "中文龥"), "中");
        assert_eq!(first("null", split, "中文 龥"), "中文");
        assert_eq!(first(r#"{"type": "NFC"}"#, split, "ab cd"), "ab cd");
        assert_eq!(first("null", level, "ab,  cd ef"), "ab,  cd");
        assert_eq!(first(BERT, level, "ab cd"), "ab cd");
        assert_eq!(first("null", r#"{"type": "Punctuation", "behavior": "Isolated"}"#, "ab cd"), "ab cd");
        assert_eq!(first("null", "null", "ab cd"), "ab cd");
    }

    #[test]
    fn endless_words_lose_their_middle_and_nothing_else() {
        let (known, split_points) = tokenizer(BERT, r#"{"type": "BertPreTokenizer"}"#);
        let shortened = |text: &str| split_points.shortened(&known, text).unwrap().into_owned();
        // Seven letters show that a word is longer than every known word.
        let long = "é,".to_owned() + &"w".repeat(LONG_PART) + "xyz-" + &"ж".repeat(LONG_PART);
        let short = "é,".to_owned() + &"w".repeat(7 + 4) + "xyz-" + &"ж".repeat(14);
        assert_eq!(shortened(&long), short);
        for whole in [
            ".".repeat(LONG_PART),
            "a\u{301}".repeat(LONG_PART),
            "w".repeat(LONG_PART - 1),
            "longer ".repeat(LONG_PART),
        ] {
            assert_eq!(shortened(&whole), whole);
        }
    }
}
