//! Tokenisation of only the beginning of a long text. It stops as soon as there are enough tokens.

use tokenizers::utils::truncation::TruncationDirection;
use tokenizers::{Encoding, Result, Tokenizer};

use super::parts::SplitPoints;
use super::unknown::UnknownToken;

/// Upper estimate of the number of bytes per token. It determines how many bytes of a text are tokenised first, so that
/// one part of the text usually suffices.
const BYTES_A_TOKEN: usize = 8;
/// Lengths in bytes of the parts of a text: minimum for the part that is tokenised first, and maximum for later parts.
const PART_BYTES: [usize; 2] = [64, 1 << 16];

/// State of a text that is tokenised part by part, until there are enough tokens.
struct PartialEncoding<'a> {
    tokenizer: &'a Tokenizer,
    split_points: &'a SplitPoints,
    unknown: Option<&'a UnknownToken>,
    rest: &'a str,
    /// Length in bytes of the part of the text that is tokenised next.
    bytes: usize,
    most: usize,
    /// First tokens of the text, with at least the requested number of tokens. A shorter text has all of its tokens
    /// here.
    encoding: Encoding,
    /// Number of tokens in the parts read so far.
    tokens: usize,
    /// Words that became unknown tokens in `encoding`, each as the index of its unknown token and the id of the word.
    words: Vec<(usize, u32)>,
}

impl<'a> PartialEncoding<'a> {
    /// Tokenises parts of a text until there are more than `most` tokens, or until the text ends.
    fn new(splitter: Splitter<'a>, text: &'a str, most: usize) -> Result<Self> {
        let Splitter { tokenizer, split_points, unknown } = splitter;
        let [least, _] = PART_BYTES;
        let bytes = most.saturating_add(1).saturating_mul(BYTES_A_TOKEN).max(least);
        let (encoding, words) = (Encoding::default(), Vec::new());
        let mut partial =
            Self { tokenizer, split_points, unknown, rest: text, bytes, most, encoding, tokens: 0, words };
        // Tokenises at least one part: a tokenizer may return tokens even for an empty text.
        partial.grow()?;
        while partial.tokens <= most && !partial.is_whole() {
            partial.grow()?;
        }
        Ok(partial)
    }

    fn is_whole(&self) -> bool {
        self.rest.is_empty()
    }

    fn grow(&mut self) -> Result<()> {
        let (part, rest) = self.split_points.split_first(self.tokenizer, self.rest, self.bytes)?;
        self.rest = rest;
        self.bytes = self.bytes.max((2 * self.bytes).min(PART_BYTES[1]));
        let part = self.split_points.shortened(self.tokenizer, part)?;
        let encoding = self.tokenizer.encode_fast(&*part, false)?;
        self.tokens += encoding.len();
        if self.encoding.len() <= self.most {
            if let Some(unknown) = self.unknown {
                let before = self.encoding.len();
                let words = unknown.words(self.tokenizer, &part, encoding.get_ids())?;
                self.words.extend(words.into_iter().map(|(token, word)| (before + token, word)));
            }
            self.encoding.merge_with(encoding, false);
        }
        Ok(())
    }

    /// Truncates the encoding to `length` tokens. Up to `rest` token ids after these tokens are returned, too.
    fn cut(mut self, length: usize, rest: usize) -> EncodedStart {
        let after: Vec<u32> = self.encoding.get_ids().iter().skip(length).take(rest).copied().collect();
        let most = length.saturating_add(rest);
        let words = self.words.into_iter().take_while(|(token, _)| *token < most).collect();
        if self.encoding.len() > length {
            self.encoding.truncate(length, 0, TruncationDirection::Right);
            // Otherwise the remainder would pass through the post-processor needlessly.
            self.encoding.take_overflowing();
        }
        EncodedStart { encoding: self.encoding, after, words }
    }
}

/// Truncated encoding of a text, with token ids that were truncated.
pub(crate) struct EncodedStart {
    pub(crate) encoding: Encoding,
    pub(crate) after: Vec<u32>,
    /// Words that became unknown tokens, each as the index of its unknown token in the text and the id of the word.
    pub(crate) words: Vec<(usize, u32)>,
}

#[derive(Clone, Copy)]
pub(crate) struct Splitter<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) split_points: &'a SplitPoints,
    pub(crate) unknown: Option<&'a UnknownToken>,
}

/// Truncated encodings of a single text or a text pair.
pub(crate) struct FirstTokens {
    pub(crate) first: EncodedStart,
    pub(crate) second: Option<EncodedStart>,
    /// `true` if a text was longer than the available number of tokens.
    pub(crate) truncated: bool,
}

/// Tokenises the beginning of a text or of a pair, without special tokens. Both texts together have at most `capacity`
/// tokens. Up to `rest` truncated token ids of each text are returned, too.
pub(crate) fn first_tokens(
    splitter: Splitter<'_>,
    (text, pair): (&str, Option<&str>),
    capacity: usize,
    rest: usize,
) -> Result<FirstTokens> {
    let grow = |text| PartialEncoding::new(splitter, text, capacity.saturating_add(rest));
    let (mut first, mut second) = (grow(text)?, pair.map(grow).transpose()?);
    if let Some(second) = &mut second {
        grow_until_compared(&mut first, second, capacity)?;
    }
    let lengths = (first.tokens, second.as_ref().map_or(0, |second| second.tokens));
    let limits = longest_first(lengths, capacity);
    let second = second.map(|second| second.cut(limits.1, rest));
    Ok(FirstTokens { first: first.cut(limits.0, rest), second, truncated: limits != lengths })
}

/// Tokenises two texts until it is known which one has more tokens. The answer matters if both are truncated and
/// `capacity` is odd: the longer text then receives the extra token.
fn grow_until_compared<'a>(
    first: &mut PartialEncoding<'a>,
    second: &mut PartialEncoding<'a>,
    capacity: usize,
) -> Result<()> {
    if capacity.is_multiple_of(2) || first.tokens.min(second.tokens) <= capacity / 2 {
        return Ok(());
    }
    loop {
        let shorter = if first.tokens <= second.tokens { &mut *first } else { &mut *second };
        if shorter.is_whole() {
            return Ok(());
        }
        shorter.grow()?;
    }
}

/// Truncates the longer of two texts first, until both have at most `capacity` tokens together. Takes and returns the
/// number of tokens of each text; the second number is 0 for a single text.
fn longest_first((first, second): (usize, usize), capacity: usize) -> (usize, usize) {
    if first + second <= capacity {
        return (first, second);
    }
    // The shorter text is not truncated if it fits into half of the capacity.
    let half = capacity / 2;
    let short = first.min(second).min(half);
    let long = capacity - short;
    if first <= second { (short, long) } else { (long, short) }
}
