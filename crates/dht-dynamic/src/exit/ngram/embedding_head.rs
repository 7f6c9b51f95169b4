//! The second part of exit 0: logistic regression on a text's mean input embedding, stacked on the n-grams' scores.

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
use crate::outputs::Outputs;

/// The values of C to select from, on standardised means.
const C: [f64; 7] = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0];
/// Gradient tolerance of the final fit.
const TOLERANCE: f64 = 3e-3;
/// The number of texts whose means are computed together.
const TOGETHER: usize = 4096;

/// Logistic regression on the mean of the encoder's input embeddings over all tokens of a text, with the weights that
/// stack it on the n-grams' log-probabilities. A text without tokens counts as the mean of the training texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbeddingHead {
    /// Number of rows of the table, one for each token.
    tokens: usize,
    /// Mean over the training texts, (columns).
    mean: Vec<f32>,
    /// The regression on means that are not standardised.
    scores: ClassScores,
    stacker: Stacker,
    /// [Digest](EmbeddingTable::digest) of the table.
    digest: u64,
    /// The table; `None` for a head that was loaded without its encoder.
    #[serde(skip)]
    table: Option<EmbeddingTable>,
}

impl EmbeddingHead {
    /// Fits the head, with at most this number of bytes of embeddings in memory. `ngrams` are the n-grams' out-of-fold
    /// log-probabilities. Also returns the stacked out-of-fold
    /// log-probabilities and the FLOPs.
    pub(super) fn fit(
        table: &EmbeddingTable,
        (texts, left_out): (&[Tokens<'_>], &BTreeSet<u32>),
        labels: &[u32],
        fold_of: &[usize],
        ngrams: &LogProbabilities,
        most_bytes: usize,
    ) -> Result<(Self, LogProbabilities, u64)> {
        let (columns, outputs) = (table.columns(), ngrams.outputs());
        // The matrices of all folds, and of all texts.
        let in_memory =
            size_of::<f32>() * texts.len() * columns * (1 + fold_of.iter().max().map_or(0, |last| last + 1));
        let mut means = Rows::zeros(texts.len(), columns, in_memory > most_bytes)?;
        let of_text = |values: &[f32], text: &Tokens<'_>| mean(values, columns, &[], text.whole(left_out));
        let (mut known, mut additions) = (Vec::new(), 0);
        for (first, some) in (0..).step_by(TOGETHER).zip(texts.chunks(TOGETHER)) {
            let found: Vec<(Vec<f32>, usize)> =
                table.with_values(|values| some.par_iter().map(|text| of_text(values, text)).collect())?;
            for (row, (mean, tokens)) in (first..).zip(found).filter(|(_, (_, tokens))| *tokens > 0) {
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
            cross_validate(labels, outputs, fold_of, &C, |rows, held_out| {
                let scaling = Standardisation::new(&means, Some(rows))?;
                Ok((
                    FeatureMatrix::of_rows(&means, Some(rows), &scaling),
                    FeatureMatrix::of_rows(&means, Some(held_out), &scaling),
                ))
            })?;
        let (stacker, of_stacker) = Stacker::fit_counted(ngrams, &out_of_fold, labels)?;
        let stacked = stacker.stack(ngrams, &out_of_fold)?;
        let scaling = Standardisation::new(&means, None)?;
        let features = FeatureMatrix::of_rows(&means, None, &scaling);
        let settings = FitSettings { c, tolerance: TOLERANCE };
        let (scores, minimum) = ClassScores::fit(&features, labels, outputs, settings, None)?;
        let flops = additions as u64 + of_folds + of_stacker + minimum.map_or(0, |minimum| minimum.flops);
        let (scores, table) = (scores.folded(&scaling), table.clone());
        let head = Self { tokens: table.tokens(), mean, scores, stacker, digest: table.digest(), table: Some(table) };
        Ok((head, stacked, flops))
    }

    /// Stacks the answer to a text on that of its n-grams. `values` are those of the table.
    pub(super) fn stack(&self, ngrams: &[f64], values: &[f32], tokens: impl Iterator<Item = u32>) -> Vec<f64> {
        let (mean, _) = mean(values, self.mean.len(), &self.mean, tokens);
        let features: Vec<(u32, f32)> = (0..).zip(mean).collect();
        self.stacker.stack_row(self.scores.outputs(), ngrams, &self.scores.log_probabilities(&features))
    }

    /// Weights of both regressions.
    pub(super) fn stacker(&self) -> Stacker {
        self.stacker
    }

    /// The part of this head in a linear function of the log-probabilities, `odds`: that of a text without features, and
    /// that of each token.
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

    /// FLOPs of a text: one for each known token and column, two for each column and class, and those of the stacking.
    pub(super) fn flops(&self, tokens: impl Iterator<Item = u32>) -> u64 {
        let (columns, classes) = (self.mean.len(), self.scores.outputs().count());
        let known = tokens.filter(|token| (*token as usize) < self.tokens).count();
        (known * columns + 2 * columns * classes) as u64 + Stacker::flops(classes)
    }

    /// Table.
    ///
    /// # Errors
    /// [`Error::Argument`] for a head that was loaded without its encoder.
    pub(super) fn table(&self) -> Result<&EmbeddingTable> {
        let missing = || {
            let expected = "those of the encoder that the n-gram classifier was fitted with (`with_encoder`)";
            Error::argument("embeddings", expected, "none")
        };
        self.table.as_ref().ok_or_else(missing)
    }

    /// Adds the table of an encoder.
    ///
    /// # Errors
    /// [`Error::State`] for a table of other values.
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

    /// Rejects stored parts that do not fit together.
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
