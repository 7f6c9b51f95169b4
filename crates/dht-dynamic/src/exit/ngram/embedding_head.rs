//! Second regression of an n-gram classifier. It reads the mean input embedding of a text, and its log-probabilities
//! are combined with those of the regression on n-grams.

use std::collections::BTreeSet;

use dht_transformer::Encoder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::class_scores::ClassScores;
use super::cross_validation::{CrossValidation, cross_validate};
use super::embedding_table::{EmbeddingTable, mean};
use super::features::Tokens;
use crate::error::{Error, Result};
use crate::exit::Stacker;
use crate::log_probabilities::LogProbabilities;
use crate::logistic::{FeatureMatrix, FitSettings, Rows, Standardisation};
use crate::outputs::{Outputs, row_weights};

/// Candidates for the inverse penalty C of the regression on standardised mean embeddings.
const C: [f64; 7] = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0];
/// Gradient norm at which the final fit, on all training texts, stops.
const TOLERANCE: f64 = 3e-3;
/// Number of texts whose mean embeddings are computed in one parallel step.
const TOGETHER: usize = 4096;

/// Logistic regression on the mean input embedding of a text. Stacking weights combine its log-probabilities with those
/// of the regression on n-grams.
///
/// The mean is over the encoder's input embeddings of all tokens of the text. A text without tokens gets the average of
/// the training texts' means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbeddingHead {
    /// Number of rows in the embedding table, one for each token of the vocabulary.
    tokens: usize,
    /// Mean embeddings of the training texts, averaged. Shape (hidden,).
    mean: Vec<f32>,
    /// Fitted regression. It was fitted on standardised mean embeddings, and then rescaled to read raw ones.
    scores: ClassScores,
    stacker: Stacker,
    /// [Checksum](EmbeddingTable::digest) of the embedding table with which the regression was fitted.
    digest: u64,
    /// Embedding table of the encoder; `None` if the classifier was loaded without its encoder.
    #[serde(skip)]
    table: Option<EmbeddingTable>,
}

impl EmbeddingHead {
    /// Fits the regression on mean embeddings. Also returns its out-of-fold log-probabilities, already combined with
    /// `ngrams`, and the FLOPs.
    ///
    /// `ngrams` are the out-of-fold log-probabilities of the regression on n-grams. If the mean embeddings need more
    /// than `most_bytes` bytes, they are stored in a temporary file.
    pub(super) fn fit(
        table: &EmbeddingTable,
        (texts, left_out): (&[Tokens<'_>], &BTreeSet<u32>),
        (labels, class_weights): (&[u32], Option<&[f32]>),
        fold_of: &[usize],
        ngrams: &LogProbabilities,
        most_bytes: usize,
    ) -> Result<(Self, LogProbabilities, u64)> {
        let (columns, outputs) = (table.columns(), ngrams.outputs());
        // One matrix for each fold, and one for all texts.
        let in_memory =
            size_of::<f32>() * texts.len() * columns * (1 + fold_of.iter().max().map_or(0, |last| last + 1));
        let mut means = Rows::zeros(texts.len(), columns, in_memory > most_bytes)?;
        let of_text = |values: &[f32], text: &Tokens<'_>| mean(values, columns, &[], text.whole(left_out));
        let (mut known, mut additions) = (Vec::new(), 0);
        for (first, chunk) in (0..).step_by(TOGETHER).zip(texts.chunks(TOGETHER)) {
            let chunk_means: Vec<(Vec<f32>, usize)> =
                table.with_values(|values| chunk.par_iter().map(|text| of_text(values, text)).collect())?;
            for (row, (mean, tokens)) in (first..).zip(chunk_means).filter(|(_, (_, tokens))| *tokens > 0) {
                means.set(row, &mean)?;
                known.push(row);
                additions += tokens * columns;
            }
        }
        let of_known = Standardisation::new(&means, Some(&known))?;
        let mean: Vec<f32> = of_known.mean().iter().map(|mean| *mean as f32).collect();
        for row in (0..texts.len()).filter(|row| known.binary_search(row).is_err()) {
            means.set(row, &mean)?;
        }
        let CrossValidation { out_of_fold, c, flops: of_folds, .. } =
            cross_validate(labels, class_weights, outputs, fold_of, &C, |rows, held_out| {
                let scaling = Standardisation::new(&means, Some(rows))?;
                Ok((
                    FeatureMatrix::of_rows(&means, Some(rows), &scaling),
                    FeatureMatrix::of_rows(&means, Some(held_out), &scaling),
                ))
            })?;
        let (stacker, of_stacker) = Stacker::fit_weighted(ngrams, &out_of_fold, labels, class_weights)?;
        let stacked = stacker.stack(ngrams, &out_of_fold)?;
        let scaling = Standardisation::new(&means, None)?;
        let features = FeatureMatrix::of_rows(&means, None, &scaling);
        let row_weights = row_weights(labels, class_weights);
        let settings = FitSettings { c, tolerance: TOLERANCE, row_weights: row_weights.as_deref() };
        let (scores, minimum) = ClassScores::fit(&features, labels, outputs, settings, None)?;
        let flops = additions as u64 + of_folds + of_stacker + minimum.map_or(0, |minimum| minimum.flops);
        let (scores, table) = (scores.folded(&scaling), table.clone());
        let head = Self { tokens: table.tokens(), mean, scores, stacker, digest: table.digest(), table: Some(table) };
        Ok((head, stacked, flops))
    }

    /// Predicts a text, and combines the result with `ngrams`, the log-probabilities of the regression on n-grams.
    /// `values` are the entries of the embedding table.
    pub(super) fn stack(&self, ngrams: &[f64], values: &[f32], tokens: impl Iterator<Item = u32>) -> Vec<f64> {
        let (mean, _) = mean(values, self.mean.len(), &self.mean, tokens);
        let features: Vec<(u32, f32)> = (0..).zip(mean).collect();
        self.stacker.stack_row(self.scores.outputs(), ngrams, &self.scores.log_probabilities(&features))
    }

    /// Weights that combine the predictions of the regression on n-grams with those of this regression.
    pub(super) fn stacker(&self) -> Stacker {
        self.stacker
    }

    /// Splits this regression's part of the log-odds into a constant and the contribution of each token.
    ///
    /// `odds` computes log-odds from features, and must be linear in the log-probabilities. For a text without tokens
    /// of the table, the constant is the log-odds at the training texts' average embedding.
    pub(super) fn contributions(
        &self,
        values: &[f32],
        tokens: &[u32],
        odds: impl Fn(&ClassScores, &[(u32, f32)]) -> f64,
    ) -> (f64, Vec<(u32, f64)>) {
        let columns = self.mean.len();
        let row_of = |token: u32| values.get(token as usize * columns..(token as usize + 1) * columns);
        let known: Vec<(u32, &[f32])> = tokens.iter().filter_map(|token| Some((*token, row_of(*token)?))).collect();
        let odds = |features: &[(u32, f32)]| self.stacker.exit * odds(&self.scores, features);
        let constant = odds(&[]);
        if known.is_empty() {
            let mean: Vec<(u32, f32)> = (0..).zip(self.mean.iter().copied()).collect();
            return (odds(&mean), Vec::new());
        }
        let share = 1.0 / known.len() as f32;
        let weight = |(token, row): (u32, &[f32])| {
            let features: Vec<(u32, f32)> = (0..).zip(row.iter().map(|value| share * value)).collect();
            (token, odds(&features) - constant)
        };
        (constant, known.into_iter().map(weight).collect())
    }

    /// FLOPs of predicting a text: one for each known token and embedding column, two for each column and class, and
    /// those of stacking.
    pub(super) fn flops(&self, tokens: impl Iterator<Item = u32>) -> u64 {
        let (columns, classes) = (self.mean.len(), self.scores.outputs().count());
        let known = tokens.filter(|token| (*token as usize) < self.tokens).count();
        (known * columns + 2 * columns * classes) as u64 + Stacker::flops(classes)
    }

    /// Embedding table of the encoder with which the regression was fitted.
    ///
    /// # Errors
    /// [`Error::Argument`] if the regression was loaded without its encoder.
    pub(super) fn table(&self) -> Result<&EmbeddingTable> {
        let missing = || {
            let expected = "those of the encoder that the n-gram classifier was fitted with (`with_encoder`)";
            Error::argument("embeddings", expected, "none")
        };
        self.table.as_ref().ok_or_else(missing)
    }

    /// Attaches the embedding table of the encoder with which the regression was fitted.
    ///
    /// # Errors
    /// * [`Error::State`] if the encoder's table has another size or other values.
    /// * [`Error::Transformer`] or [`Error::Argument`] if the encoder has no valid table of word embeddings.
    pub(super) fn with_encoder(self, encoder: &Encoder) -> Result<Self> {
        let table = EmbeddingTable::new(encoder)?;
        let [expected, got] =
            [(self.tokens, self.mean.len(), self.digest), (table.tokens(), table.columns(), table.digest())]
                .map(|(tokens, columns, digest)| format!("{tokens} × {columns} numbers with digest {digest:016x}"));
        if expected != got {
            return Err(Error::state("embeddings", expected, got));
        }
        Ok(Self { table: Some(table), ..self })
    }

    /// Checks that a regression read from a file is consistent.
    ///
    /// # Errors
    /// * [`Error::Shape`] if its classes or labels are not `outputs`.
    /// * [`Error::State`] if a value is not finite, or if the number of weights is wrong.
    pub(super) fn check(&self, outputs: Outputs) -> Result<()> {
        let own = self.scores.outputs();
        if own != outputs {
            return Err(Error::shape("outputs of the embedding head", outputs.to_string(), own));
        }
        let finite = self.mean.iter().all(|value| value.is_finite());
        if !(finite && self.stacker.ngram.is_finite() && self.stacker.exit.is_finite()) {
            return Err(Error::state("embedding head", "finite numbers", "NaN or infinity"));
        }
        self.scores.check(self.mean.len())
    }
}
