//! Analysis of a model's answers to labelled texts, by task.

use dht_dynamic::serving::TextModel;
use dht_dynamic::transformer::{Dataset, EncodedDataset, Task};
use serde::Serialize;

use super::classes::ClassAnalysis;
use super::labels::LabelAnalysis;
use super::numbers::NumberAnalysis;
use crate::error::Result;
use crate::results::OwnAnswers;

/// Analysis of a model's answers at its default speed.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Analysis {
    /// One class for each text.
    Classes(ClassAnalysis),
    /// Several labels for each text.
    Labels(LabelAnalysis),
    /// Number for each text.
    Numbers(NumberAnalysis),
}

impl Analysis {
    /// Analyses the answers to `texts`; `encoded` are the token ids of the same texts.
    ///
    /// # Errors
    /// [`Error::Transformer`](crate::Error::Transformer) if a metric of a regression model cannot be computed.
    pub fn new(model: &TextModel, texts: &Dataset, encoded: &EncodedDataset, answers: &OwnAnswers) -> Result<Self> {
        Ok(match answers {
            OwnAnswers::Classes(answers) => Self::Classes(ClassAnalysis::new(texts, encoded, answers)),
            OwnAnswers::Values(values) if model.task() == Task::Number => {
                Self::Numbers(NumberAnalysis::new(texts, encoded, values)?)
            }
            OwnAnswers::Values(values) => {
                Self::Labels(LabelAnalysis::new(texts, encoded, values, model.thresholds.as_ref()))
            }
        })
    }
}
