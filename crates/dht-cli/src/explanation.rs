//! Explanations of answers: the parts of a text that support its answer, for `dht predict --explain` and `dht serve`.

use dht_dynamic::serving::ServedModel;
use dht_dynamic::{Answer, Engine, Query};
use serde::Serialize;

use crate::error::Result;

/// Maximum number of parts of a text that an explanation lists.
const PARTS: usize = 30;
/// Maximum number of parts of a text that are omitted one at a time. In a longer text, several words form one part.
const OCCLUSIONS: usize = 128;
/// First of the ids that stand for words that the tokenizer does not know.
const FIRST_WORD: u32 = 1 << 31;

/// Part of a text, with its weight in an explanation of the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WeightedTerm {
    text: String,
    weight: f64,
}

/// Explanation of one answer by the parts of its text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "method", rename_all = "lowercase")]
pub enum Explanation {
    /// Explanation of an answer of the n-gram classifier, the first exit. The log-odds against the second most likely
    /// class are exactly the sum of `constant`, the weights of the parts, and `rest`.
    Contributions {
        /// Second most likely class.
        against: String,
        /// Constant term of the log-odds.
        constant: f64,
        /// Tokens and pairs of tokens, in descending order of their weights.
        parts: Vec<WeightedTerm>,
        /// Sum of the weights of all other tokens and pairs.
        rest: f64,
    },
    /// Explanation of an answer at an exit after a layer, by omitting parts of the text. The weight of a part is the
    /// probability of the predicted class, minus its probability for the text without the part.
    Occlusion {
        /// Words or sequences of words, in descending order of their weights.
        parts: Vec<WeightedTerm>,
        /// Number of additional texts that were classified for the explanation.
        texts: usize,
        /// FLOPs of classifying the additional texts.
        flops: u64,
    },
}

/// Explains an answer to a query.
///
/// # Errors
/// [`Error::Transformer`](crate::Error::Transformer) or [`Error::Dynamic`](crate::Error::Dynamic) if the model fails.
pub fn explain(engine: &Engine, query: Query<'_>, answer: &Answer) -> Result<Explanation> {
    if let Some(explanation) = contributions(engine, query, answer)? {
        return Ok(explanation);
    }
    let occlusion = Occlusion::new(query);
    let queries: Vec<_> = occlusion.texts.iter().map(|(text, pair)| Query { text, pair: pair.as_deref() }).collect();
    Ok(occlusion.explanation(answer, &engine.predict(&queries)?))
}

/// Explains an answer of the n-gram exit exactly. Returns `None` for an answer of a deeper exit.
///
/// # Errors
/// Errors of the model.
pub fn contributions(engine: &Engine, query: Query<'_>, answer: &Answer) -> dht_dynamic::Result<Option<Explanation>> {
    let ServedModel::Dynamic(model) = engine.model() else { return Ok(None) };
    let Some(front) = model.front().filter(|_| answer.route.depth() == 0) else { return Ok(None) };
    let sample = engine.encode(query, 0)?;
    let mut others: Vec<usize> = (0..answer.probabilities.len()).filter(|class| *class != answer.class).collect();
    others.sort_by(|a, b| answer.probabilities[*b].total_cmp(&answer.probabilities[*a]));
    for against in others {
        let contributions = front.ngram().contributions(&sample, answer.class as u32, against as u32)?;
        let Some((constant, weights)) = contributions else { continue };
        let name = |id: &u32| match id {
            FIRST_WORD.. => Some("(an unknown word)".into()),
            id => engine.tokenizer().token(*id),
        };
        let part = |(tokens, weight): (Vec<u32>, f64)| {
            let names: Vec<String> = tokens.iter().filter_map(name).collect();
            WeightedTerm { text: names.join(" "), weight }
        };
        let all = weights.into_iter().map(part).collect();
        let (parts, rest) = largest(all);
        return Ok(Some(Explanation::Contributions {
            against: answer.labels[against].to_string(),
            constant,
            parts,
            rest,
        }));
    }
    Ok(None)
}

/// Selects the parts with the largest weights. Also returns the sum of all other weights.
fn largest(mut parts: Vec<WeightedTerm>) -> (Vec<WeightedTerm>, f64) {
    parts.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
    let rest = parts.iter().skip(PARTS).map(|part| part.weight).sum::<f64>() + 0.0;
    parts.truncate(PARTS);
    (parts, rest)
}

/// Parts of a text, with the texts whose answers show the weights of the parts.
pub struct Occlusion {
    parts: Vec<String>,
    /// Text without each of the parts; the second member belongs to a pair.
    pub texts: Vec<OwnedText>,
}

/// Text with the optional second text of a pair.
type OwnedText = (String, Option<String>);

impl Occlusion {
    /// Leaves out each part of a text or pair in turn.
    pub fn new(Query { text, pair }: Query<'_>) -> Self {
        let of_text = occluded(text).into_iter().map(|(part, rest)| (part, (rest, pair.map(str::to_owned))));
        let of_pair =
            pair.map(occluded).into_iter().flatten().map(|(part, rest)| (part, (text.to_owned(), Some(rest))));
        let (parts, texts) = of_text.chain(of_pair).unzip();
        Self { parts, texts }
    }

    /// Explains an answer to the whole text by the answers to [`texts`](Self::texts).
    pub fn explanation(&self, answer: &Answer, others: &[Answer]) -> Explanation {
        let weight = |other: &Answer| f64::from(answer.probabilities[answer.class] - other.probabilities[answer.class]);
        let parts = self.parts.iter().zip(others);
        let parts = parts.map(|(text, other)| WeightedTerm { text: text.clone(), weight: weight(other) }).collect();
        let (texts, flops) = (others.len(), others.iter().map(|answer| answer.flops).sum());
        Explanation::Occlusion { parts: largest(parts).0, texts, flops }
    }
}

/// Parts of a text, each with the text without it. Parts are words, sequences of words in a long text, or characters in
/// scripts without spaces.
fn occluded(text: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [] => Vec::new(),
        [word] if word.is_ascii() => Vec::new(),
        [word] => without_each(&word.split("").filter(|character| !character.is_empty()).collect::<Vec<_>>(), ""),
        _ => without_each(&words, " "),
    }
}

fn without_each(words: &[&str], space: &str) -> Vec<(String, String)> {
    if words.len() < 2 {
        return Vec::new();
    }
    let together = words.len().div_ceil(OCCLUSIONS);
    let part = |(at, part): (usize, &[&str])| {
        let rest = [&words[..at * together], &words[(at * together + part.len()).min(words.len())..]].concat();
        (part.join(space), rest.join(space))
    };
    words.chunks(together).enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_left_out_once() {
        let parts = occluded("the  soup\nwas rude");
        assert_eq!(parts[1], ("soup".into(), "the was rude".into()));
        assert_eq!(parts.len(), 4);
        assert!(occluded("one").is_empty() && occluded(" \n").is_empty() && occluded("中").is_empty());
        assert_eq!(occluded("好吃的")[1], ("吃".into(), "好的".into()));
        let long: Vec<String> = (0..1000).map(|word| format!("w{word}")).collect();
        let parts = occluded(&long.join(" "));
        assert_eq!(parts.len(), 125);
        assert_eq!(parts.iter().map(|(part, _)| part.split(' ').count()).sum::<usize>(), 1000);
        assert!(parts.iter().all(|(part, rest)| part.split(' ').count() + rest.split(' ').count() == 1000));
    }

    #[test]
    fn parts_that_are_not_listed_are_summed() {
        let part = |at: u32| WeightedTerm { text: at.to_string(), weight: f64::from(at) };
        let (parts, rest) = largest((0..40).map(part).collect());
        assert_eq!((parts.len(), parts[0].weight, rest), (PARTS, 39.0, 45.0));
    }
}
