//! How a task judges its models.

use dht_search::evaluate;
use dht_transformer::data::{Metric, NamedDataset};
use dht_transformer::flops::Load;
use dht_transformer::train::metrics::{Confusion, score};
use dht_transformer::{EncodedDataset, TextClassifier};

use crate::error::Result;
use crate::experiment::{RunData, model_record};
use crate::record::{JudgedModel, MATTHEWS};

/// Texts in a batch of predictions.
pub(super) const BATCH: usize = 64;

/// The task's metric: of the tasks of GLUE, by their directory's name, theirs; else accuracy.
#[derive(Debug, Clone, Copy)]
pub(super) enum Judge {
    Accuracy,
    Matthews,
    /// Of this class.
    F1(usize),
}

impl Judge {
    pub(super) fn of(data: &RunData) -> Self {
        let known = NamedDataset::find(&format!("glue/{}", data.record.name)).map(|known| known.metric);
        match known {
            Some(Metric::Matthews) => Self::Matthews,
            Some(Metric::F1 { class }) => {
                data.train.labels.iter().position(|label| label == class).map_or(Self::Accuracy, Self::F1)
            }
            _ => Self::Accuracy,
        }
    }

    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Matthews => MATTHEWS,
            Self::F1(_) => "F1",
        }
    }

    pub(super) fn score(self, confusion: &Confusion) -> f64 {
        match self {
            Self::Accuracy => confusion.accuracy(),
            Self::Matthews => confusion.matthews(),
            Self::F1(class) => confusion.f1(class).unwrap_or_default(),
        }
    }

    /// The score of the class that most test rows have, given to every one of them: at least what any constant answer has.
    pub(super) fn majority(self, test: &EncodedDataset) -> Result<f64> {
        let mut counts = vec![0_usize; test.labels.len()];
        test.samples.iter().for_each(|sample| counts[sample.label as usize] += 1);
        let most = (0..counts.len()).max_by_key(|class| (counts[*class], std::cmp::Reverse(*class))).unwrap_or(0);
        Ok(self.score(&score(test, &vec![most as u32; test.len()])?))
    }

    /// A model on the test rows, and the classes that it predicts; its clock is not measured yet.
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
        // With dimensions taken out and a pooler, there are more and fewer than a whole encoder's.
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
