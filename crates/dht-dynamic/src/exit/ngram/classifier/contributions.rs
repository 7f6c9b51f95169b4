//! Contributions of single tokens to a prediction. They are exact, since the classifier's regressions are linear.

use std::collections::BTreeMap;

use dht_transformer::Sample;

use super::NgramClassifier;
use crate::error::Result;
use crate::exit::ngram::class_scores::ClassScores;
use crate::exit::ngram::features::Tokens;

impl NgramClassifier {
    /// Explains a prediction: splits the log-odds ln p(class) − ln p(against) into a sum of token contributions.
    ///
    /// The result has a constant, and a weight for each token and each bigram of the text. The weight of a token is the
    /// sum of the contributions of its unigram and of its embedding. Unknown words have ids of at least 2³¹. Returns
    /// `None` if one of the two classes has no training rows, since its probability is a constant.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if the classifier reads embeddings and was loaded without its
    /// encoder.
    pub fn contributions(&self, sample: &Sample, class: u32, against: u32) -> Result<Option<Contributions>> {
        if ![class, against].iter().all(|class| self.scores.has_rows(*class)) {
            return Ok(None);
        }
        let left_out = &self.settings.left_out;
        let encoding = &sample.encoding;
        let text = Tokens { ids: &encoding.ids, type_ids: &encoding.type_ids, rest: Some(&encoding.rest) };
        let ngram_weight = self.embedding.as_ref().map_or(1.0, |head| head.stacker().ngram);
        let odds = |features: &[(u32, f32)]| ngram_weight * log_odds(&self.scores, features, class, against);
        let mut constant = odds(&[]);
        let mut weights: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
        for feature in self.vocabulary.features(text, left_out) {
            let tokens = self.vocabulary.tokens_of(feature.0);
            *weights.entry(tokens).or_default() += odds(&[feature]) - odds(&[]);
        }
        if let Some(head) = &self.embedding {
            let tokens: Vec<u32> = text.whole(left_out).collect();
            let (of_head, of_tokens) = head.table()?.with_values(|values| {
                let odds = |scores: &ClassScores, features: &[(u32, f32)]| log_odds(scores, features, class, against);
                head.contributions(values, &tokens, odds)
            })?;
            constant += of_head;
            of_tokens.into_iter().for_each(|(token, weight)| *weights.entry(vec![token]).or_default() += weight);
        }
        Ok(Some((constant, weights.into_iter().collect())))
    }
}

/// Contributions to the log-odds of a prediction: a constant, and the weight of each unigram or bigram (one or two
/// token ids).
pub(crate) type Contributions = (f64, Vec<(Vec<u32>, f64)>);

/// Log-odds of the class `class` against the class `against`, predicted by one regression.
fn log_odds(scores: &ClassScores, features: &[(u32, f32)], class: u32, against: u32) -> f64 {
    let logs = scores.log_probabilities(features);
    logs[class as usize] - logs[against as usize]
}
