//! Metric of a task, and scoring of models by this metric.

use dht_dynamic::evaluate;
use dht_transformer::data::{Metric, NamedDataset};
use dht_transformer::flops::Load;
use dht_transformer::train::metrics::Confusion;
use dht_transformer::{EncodedDataset, TextClassifier};

use crate::error::Result;
use crate::experiment::{RunData, model_record};
use crate::record::{F1, JudgedModel, MATTHEWS};

/// Number of texts in a batch of predictions.
pub(super) const BATCH: usize = 64;

/// Metric by which classifiers are scored: the GLUE metric if the data directory has the name of a GLUE task, otherwise
/// accuracy. The F1 metric is used only if the labels include the class whose F1 it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Judge {
    Accuracy,
    Matthews,
    /// F1 of the class with this index.
    F1(usize),
}

/// Selects the metric of a classification task.
pub(super) fn metric(data: &RunData) -> Metric {
    match NamedDataset::find(&format!("glue/{}", data.record.name)).map(|known| known.metric) {
        Some(Metric::Matthews) => Metric::Matthews,
        Some(Metric::F1 { class }) if data.train.labels.iter().any(|label| label == class) => Metric::F1 { class },
        _ => Metric::Accuracy,
    }
}

impl Judge {
    pub(super) fn new(data: &RunData) -> Self {
        match metric(data) {
            Metric::Matthews => Self::Matthews,
            Metric::F1 { class } => {
                data.train.labels.iter().position(|label| label == class).map_or(Self::Accuracy, Self::F1)
            }
            _ => Self::Accuracy,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Matthews => MATTHEWS,
            Self::F1(_) => F1,
        }
    }

    pub(super) fn score(self, confusion: &Confusion) -> f64 {
        match self {
            Self::Accuracy => confusion.accuracy(),
            Self::Matthews => confusion.matthews(),
            Self::F1(class) => confusion.f1(class).unwrap_or_default(),
        }
    }

    /// Highest score of a model that predicts the same class for all test rows. For accuracy it is the share of the
    /// most frequent class.
    pub(super) fn best_constant(self, test: &EncodedDataset) -> Result<f64> {
        (0..test.labels.len() as u32)
            .map(|class| Ok(self.score(&Confusion::from_predictions(test, &vec![class; test.len()])?)))
            .try_fold(0.0, |best: f64, score: Result<f64>| Ok(best.max(score?)))
    }

    /// Scores a model on the test rows. Also returns the class that it predicts for each row. The ratio of prediction
    /// times is 1 until it is measured.
    pub(super) fn judge(
        self,
        model: &TextClassifier,
        test: &EncodedDataset,
        train_seconds: f64,
    ) -> Result<(JudgedModel, Vec<u32>)> {
        let evaluation = evaluate(model, test, BATCH)?;
        let confusion = evaluation.confusion;
        let classes = model.classifier().classes();
        let mut size = model_record(model.encoder(), classes);
        // Counted from the tensors, since removed dimensions and a pooler change the number for a whole encoder.
        size.parameters = model.encoder().parameters().elements();
        let judged = JudgedModel {
            size,
            score: self.score(&confusion),
            accuracy: confusion.accuracy(),
            macro_f1: confusion.macro_f1(),
            flops: model.forward_flops(Load::of_texts(test.lengths())).0,
            wall_ratio: 1.0,
            train_seconds,
            ..JudgedModel::default()
        };
        Ok((judged, evaluation.labels))
    }
}

#[cfg(test)]
mod tests {
    use dht_transformer::{Encoding, Sample};

    use super::*;

    #[test]
    fn the_best_constant_answer_is_that_of_the_metric() {
        // Two of five rows are of class 1.
        let sample = |(id, label): (u64, u32)| {
            let encoding =
                Encoding { ids: vec![2, 3], type_ids: Vec::new(), truncated: false, rest: Default::default() };
            Sample { id, label, targets: Vec::new(), encoding }
        };
        let samples = (0..).zip([0, 1, 0, 1, 0]).map(sample).collect();
        let test = EncodedDataset { samples, labels: vec!["a".into(), "b".into()], truncated_rows: 0 };
        let best = |judge: Judge| judge.best_constant(&test).unwrap();
        assert!((best(Judge::Accuracy) - 0.6).abs() < 1e-12);
        assert!(best(Judge::Matthews).abs() < 1e-12);
        // Precision 2/5 and recall 1: F1 = 4/7, although the other class is the more frequent one.
        assert!((best(Judge::F1(1)) - 4.0 / 7.0).abs() < 1e-12);
    }
}
