//! Tokenisation of only the first tokens of texts.

use tokenizers::utils::truncation::TruncationDirection;
use tokenizers::{Encoding, Result, Tokenizer};

use super::parts::Parts;
use crate::data::encoded::CutTokens;

/// Upper estimate of the bytes per token. It determines the length of the first part of a text, so that one part
/// usually suffices.
const BYTES_A_TOKEN: usize = 8;
/// Minimum length of a part, and maximum length of later parts.
const PART_BYTES: [usize; 2] = [64, 1 << 16];

/// Text that is tokenised part by part.
struct Growing<'a> {
    tokenizer: &'a Tokenizer,
    parts: &'a Parts,
    rest: &'a str,
    /// Length of the next part.
    bytes: usize,
    /// Number of tokens that are needed.
    most: usize,
    /// First tokens: at least `most`, if the text has as many.
    encoding: Encoding,
    /// Number of tokens so far.
    tokens: usize,
}

impl<'a> Growing<'a> {
    /// Tokenises a text until more than `most` tokens, or all, are known.
    fn new(tokenizer: &'a Tokenizer, parts: &'a Parts, text: &'a str, most: usize) -> Result<Self> {
        let [least, _] = PART_BYTES;
        let bytes = most.saturating_add(1).saturating_mul(BYTES_A_TOKEN).max(least);
        let encoding = Encoding::default();
        let mut growing = Self { tokenizer, parts, rest: text, bytes, most, encoding, tokens: 0 };
        // At least once: a tokenizer may return tokens even for an empty text.
        growing.grow()?;
        while growing.tokens <= most && !growing.is_whole() {
            growing.grow()?;
        }
        Ok(growing)
    }

    fn is_whole(&self) -> bool {
        self.rest.is_empty()
    }

    fn grow(&mut self) -> Result<()> {
        let (part, rest) = self.parts.split_first(self.tokenizer, self.rest, self.bytes)?;
        self.rest = rest;
        self.bytes = self.bytes.max((2 * self.bytes).min(PART_BYTES[1]));
        let encoding = self.tokenizer.encode_fast(&*self.parts.shortened(self.tokenizer, part)?, false)?;
        self.tokens += encoding.len();
        if self.encoding.len() <= self.most {
            self.encoding.merge_with(encoding, false);
        }
        Ok(())
    }

    /// Splits off the first `length` tokens, and up to `rest` ids that follow them.
    fn cut(mut self, length: usize, rest: usize) -> (Encoding, Vec<u32>) {
        let after: Vec<u32> = self.encoding.get_ids().iter().skip(length).take(rest).copied().collect();
        if self.encoding.len() > length {
            self.encoding.truncate(length, 0, TruncationDirection::Right);
            // The remainder would pass through the post-processor needlessly.
            self.encoding.take_overflowing();
        }
        (self.encoding, after)
    }
}

/// The first tokens of a text, or of a pair.
pub(crate) struct FirstTokens {
    pub(crate) first: Encoding,
    pub(crate) second: Option<Encoding>,
    /// `true` if tokens were truncated.
    pub(crate) truncated: bool,
    pub(crate) rest: CutTokens,
}

/// Tokenises the beginning of a text, or of a pair, without special tokens: at most `capacity` tokens in all, and up to
/// `rest` following ids of each text.
pub(crate) fn first_tokens(
    tokenizer: &Tokenizer,
    parts: &Parts,
    (text, pair): (&str, Option<&str>),
    capacity: usize,
    rest: usize,
) -> Result<FirstTokens> {
    let grow = |text| Growing::new(tokenizer, parts, text, capacity.saturating_add(rest));
    let (mut first, mut second) = (grow(text)?, pair.map(grow).transpose()?);
    if let Some(second) = &mut second {
        grow_until_compared(&mut first, second, capacity)?;
    }
    let lengths = (first.tokens, second.as_ref().map_or(0, |second| second.tokens));
    let kept = longest_first(lengths, capacity);
    let (first, after_first) = first.cut(kept.0, rest);
    let (second, after_second) = second.map(|second| second.cut(kept.1, rest)).unzip();
    let rest = CutTokens { first: after_first, second: after_second.unwrap_or_default() };
    Ok(FirstTokens { first, second, truncated: kept != lengths, rest })
}

/// Tokenises two texts until it is known which text is longer. If both fill an odd `capacity`, the longer text gets one
/// more token.
fn grow_until_compared<'a>(first: &mut Growing<'a>, second: &mut Growing<'a>, capacity: usize) -> Result<()> {
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

/// Number of tokens of each text that fit into a shared `capacity`. For a single text, the second length is 0.
fn longest_first((first, second): (usize, usize), capacity: usize) -> (usize, usize) {
    if first + second <= capacity {
        return (first, second);
    }
    // The shorter one is not truncated if it fits into half.
    let half = capacity / 2;
    let short = first.min(second).min(half);
    let long = capacity - short;
    if first <= second { (short, long) } else { (long, short) }
}
