//! Flag `--target-accuracy`: selects the minimum probability of answers on held-out texts.

use std::path::PathBuf;

use clap::Args;
use dht_dynamic::evaluation::{AbstentionThreshold, InPrecision};
use dht_dynamic::serving::{ServedModel, TextModel};
use dht_dynamic::transformer::{Precision, Task};
use dht_dynamic::{Error as DynamicError, evaluate};
use serde::Serialize;

use crate::acceleration::BATCH;
use crate::error::{Error, Result};
use crate::progress::report;
use crate::texts::{
    DataArguments, LabelArguments, RowArguments, TableArguments, TextArguments, mapping_note, trained_rows,
};

/// Flags that request a minimum accuracy of the answers.
#[derive(Debug, Clone, Args)]
pub struct TargetArguments {
    /// Give only answers whose probability is high enough that at least this share of them is right, above 0 and below
    /// 1
    ///
    /// The lowest such probability is selected on the texts of --held-out, and printed. The promise holds for texts of
    /// the same distribution, with the probability of --confidence.
    #[arg(long, value_name = "SHARE", requires = "held_out", conflicts_with = "min_probability")]
    target_accuracy: Option<f64>,
    /// Labelled texts for --target-accuracy that were used neither to train the model nor to select its settings
    ///
    /// A model without exits does not record its training texts, and cannot refuse them.
    #[arg(long, value_name = "DIR|FILE", requires = "target_accuracy")]
    held_out: Option<PathBuf>,
    /// Probability with which the accuracy of --target-accuracy holds, above 0 and below 1
    #[arg(long, value_name = "P", default_value_t = 0.95, requires = "target_accuracy")]
    confidence: f64,
}

/// Minimum probability of answers that reaches a target accuracy, with statistics of the held-out texts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    accuracy: f64,
    confidence: f64,
    /// Lowest minimum probability at which the answers reach the target accuracy.
    pub min_probability: f32,
    held_out: PathBuf,
    rows: usize,
    answered: usize,
    right: usize,
    coverage: f64,
    coverage_interval: [f64; 2],
}

impl TargetArguments {
    /// Path of the held-out texts, if a flag names them.
    pub fn held_out(&self) -> Option<&PathBuf> {
        self.held_out.as_ref()
    }

    /// Selects the minimum probability for a model at its current speed (exit threshold). `None` without the flag.
    ///
    /// # Errors
    /// * [`Error::Argument`] if a value is out of range, or the model does not predict one class for each text.
    /// * [`DynamicError::SeenTexts`] if the model was trained on some of the texts.
    /// * [`DynamicError::Accuracy`] if no minimum probability reaches the target accuracy.
    /// * Errors of reading the texts.
    pub fn select(&self, model: &TextModel, precision: Precision, rows: &RowArguments) -> Result<Option<Target>> {
        let (Some(accuracy), Some(held_out)) = (self.target_accuracy, &self.held_out) else { return Ok(None) };
        for (flag, value) in [("target-accuracy", accuracy), ("confidence", self.confidence)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(Error::argument(flag, "a number above 0 and below 1", value));
            }
        }
        let task = model.task();
        if task != Task::Class {
            let expected = "this flag left out: the model does not give one class for each text";
            return Err(Error::argument("target-accuracy", expected, accuracy));
        }
        let table = TableArguments::new(rows.clone(), LabelArguments::default());
        let texts = TextArguments::new(DataArguments { data: held_out.clone(), table });
        let (texts, notes) = texts.read_scored(&model.labels, task, model.origin.as_ref())?;
        notes.iter().chain(&mapping_note(&texts)).for_each(|note| report(note));
        let encoded = model.tokenizer.encode_all(&texts, model.max_length)?;
        let seen = trained_rows(model, &texts, &encoded);
        if seen > 0 {
            let first = match &model.model {
                ServedModel::Dynamic(dynamic) => dynamic.seen_texts().rows_of(&encoded).first().copied().unwrap_or(0),
                _ => 0,
            };
            let of = encoded.len();
            return Err(DynamicError::SeenTexts { what: "held-out texts", rows: seen, first, of }.into());
        }
        let packed = InPrecision::new(&model.model, precision);
        let evaluation = evaluate(&packed.with_model(&model.model), &encoded, BATCH)?;
        let right = evaluation.labels.iter().zip(&encoded.samples).map(|(class, sample)| *class == sample.label);
        let of_answers = evaluation.labels.iter().zip(&evaluation.probabilities).map(|(class, p)| p[*class as usize]);
        let answers: Vec<(f32, bool)> = of_answers.zip(right).collect();
        let threshold = AbstentionThreshold::select(&answers, accuracy, self.confidence)?;
        let (coverage, coverage_interval) = threshold.coverage(self.confidence);
        Ok(Some(Target {
            accuracy,
            confidence: self.confidence,
            min_probability: threshold.probability,
            held_out: held_out.clone(),
            rows: threshold.rows,
            answered: threshold.answered,
            right: threshold.right,
            coverage,
            coverage_interval,
        }))
    }
}

impl Target {
    /// Formats the selected minimum probability for the output.
    pub fn text(&self) -> String {
        let Self { accuracy, confidence, min_probability, rows, answered, right, .. } = self;
        let percent = |share: f64| format!("{:.1}", 100.0 * share);
        let [low, high] = self.coverage_interval.map(percent);
        format!(
            "answers need a probability of at least {min_probability}: with a probability of {confidence}, at least {accuracy} of \
             such answers are right on texts like the {rows} of {}, of which {answered} are answered ({} %, interval {low} to \
             {high} %), {right} of them right",
            self.held_out.display(),
            percent(self.coverage)
        )
    }
}
