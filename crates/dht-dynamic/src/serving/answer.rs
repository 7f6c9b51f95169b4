//! Prediction of a serving engine for one text, with its cost.

use std::sync::Arc;

use dht_transformer::{Sample, Task, train::metrics::LabelThresholds};
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::prediction::Prediction;
use crate::route::Route;

/// Prediction for a query, with its cost.
///
/// Answers serialize to the JSON that `dht predict` and `dht serve` write. The members are `label`, `probabilities` by
/// name, `route`, `layers` (the number of heads of each layer that ran), `flops`, `cost`, `tokens` and `truncated`. For
/// a multi-label model, the list `labels` replaces `label`. If the engine [abstains](Self::abstains), `label` is null,
/// and a member `abstained` is true. For a regression model, `value` replaces `label`, and there are no
/// `probabilities`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// Name of the most probable class or label; for a regression model, the name of its quantity.
    pub label: Arc<str>,
    /// Index of the most probable class or label.
    pub class: usize,
    /// Probability of each class or label, by index; for a regression model, the predicted number.
    pub probabilities: Vec<f32>,
    /// Task of the model, which defines the meaning of the probabilities.
    pub task: Task,
    /// Names of the classes or labels, by index.
    pub labels: Arc<[Arc<str>]>,
    /// Indices of the labels that apply to the text; empty if the model is not multi-label.
    applies: Vec<usize>,
    /// True if the engine abstains, so that a person should decide. The probability of the most probable class is then
    /// below the engine's [threshold](crate::Engine::with_least_probability).
    pub abstains: bool,
    /// Route of the text: the layers that it ran, and the number of attention heads in each layer.
    pub route: Route,
    /// FLOPs of all matrix products for this answer; see [`Prediction::flops`](crate::Prediction::flops).
    pub flops: u64,
    /// FLOPs that the full model, with all layers, needs for a text of this length.
    pub full_flops: u64,
    /// Number of tokens that the encoder reads for this text, special tokens included.
    pub tokens: usize,
    /// True if the text had more tokens than the encoder reads, and was truncated.
    pub truncated: bool,
}

impl Answer {
    pub(super) fn new(
        prediction: Prediction,
        sample: &Sample,
        (task, labels, thresholds): (Task, &Arc<[Arc<str>]>, &LabelThresholds),
        full_flops: u64,
    ) -> Self {
        let applies = match task {
            Task::Labels => thresholds.applying(&prediction.probabilities),
            Task::Class | Task::Number => Vec::new(),
        };
        Self {
            applies,
            label: labels[prediction.label as usize].clone(),
            class: prediction.label as usize,
            probabilities: prediction.probabilities,
            task,
            labels: labels.clone(),
            abstains: false,
            route: prediction.route,
            flops: prediction.flops,
            full_flops,
            tokens: sample.encoding.ids.len(),
            truncated: sample.encoding.truncated,
        }
    }

    /// Cost of the answer: its FLOPs, divided by the full model's FLOPs for a text of this length.
    pub fn cost(&self) -> f64 {
        self.flops as f64 / self.full_flops.max(1) as f64
    }

    /// Names of the labels that apply to the text, for a multi-label model. The model's
    /// [thresholds](crate::serving::TextModel::thresholds) select them; the order is that of [`labels`](Self::labels).
    pub fn applying(&self) -> Vec<&str> {
        self.applies.iter().map(|label| &*self.labels[*label]).collect()
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut answer = serializer.serialize_struct("Answer", 8 + usize::from(self.abstains))?;
        match self.task {
            Task::Class if self.abstains => {
                answer.serialize_field("label", &None::<&str>)?;
                answer.serialize_field("abstained", &true)?;
            }
            Task::Class => answer.serialize_field("label", &*self.label)?,
            Task::Labels => answer.serialize_field("labels", &self.applying())?,
            Task::Number => answer.serialize_field("value", &self.probabilities.first())?,
        }
        match self.task {
            Task::Class | Task::Labels => answer.serialize_field("probabilities", &ByName(self))?,
            Task::Number => answer.skip_field("probabilities")?,
        }
        answer.serialize_field("route", &self.route.to_string())?;
        answer.serialize_field("layers", &self.route.layers().map(|(_, heads)| heads).collect::<Vec<_>>())?;
        answer.serialize_field("flops", &self.flops)?;
        answer.serialize_field("cost", &self.cost())?;
        answer.serialize_field("tokens", &self.tokens)?;
        answer.serialize_field("truncated", &self.truncated)?;
        answer.end()
    }
}

/// Serialises probabilities as a map from class name to probability, in the order of the classes.
struct ByName<'a>(&'a Answer);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Answer { labels, probabilities, .. } = self.0;
        let mut map = serializer.serialize_map(Some(labels.len()))?;
        for (label, p) in labels.iter().zip(probabilities) {
            map.serialize_entry(&**label, p)?;
        }
        map.end()
    }
}
