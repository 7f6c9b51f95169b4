//! Answers as JSON.

use std::sync::Arc;

use dht_dynamic::serving::{Answer, Served};
use dht_dynamic::transformer::Task;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::applying::applying;

/// Answer with probabilities, route and cost.
#[derive(Debug, Serialize)]
pub(super) struct AnswerBody {
    #[serde(flatten)]
    outcome: Outcome,
    /// Route, such as `2L12H`.
    route: String,
    /// Number of heads that each executed layer kept.
    layers: Vec<usize>,
    flops: u64,
    /// Share of the full model's FLOPs.
    share: f64,
    tokens: usize,
    truncated: bool,
}

/// Prediction for the text, by the model's task.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Class {
        #[serde(serialize_with = "text")]
        label: Arc<str>,
        #[serde(serialize_with = "by_label")]
        probabilities: Vec<(Arc<str>, f32)>,
    },
    /// Labels that apply.
    Labels {
        labels: Vec<String>,
        #[serde(serialize_with = "by_label")]
        probabilities: Vec<(Arc<str>, f32)>,
    },
    Number {
        value: f32,
    },
}

impl Outcome {
    fn of(task: Task, answer: &Answer, labels: &[Arc<str>]) -> Self {
        let probabilities = labels.iter().cloned().zip(answer.probabilities.iter().copied()).collect();
        match task {
            Task::Class => Self::Class { label: answer.label.clone(), probabilities },
            Task::Labels => {
                let apply = applying(labels, &answer.probabilities);
                Self::Labels { labels: apply.iter().map(ToString::to_string).collect(), probabilities }
            }
            Task::Number => Self::Number { value: answer.probabilities[0] },
        }
    }
}

impl From<Served> for AnswerBody {
    fn from(served: Served) -> Self {
        let Served { answer, task, labels, tokens, full_flops, .. } = served;
        Self {
            outcome: Outcome::of(task, &answer, &labels),
            route: answer.route.to_string(),
            layers: answer.route.layers().map(|(_, heads)| heads).collect(),
            flops: answer.flops,
            share: answer.flops as f64 / full_flops.max(1) as f64,
            tokens,
            truncated: answer.truncated,
        }
    }
}

/// Serializes a shared text as a string.
pub(super) fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// Serializes an object in the order of the classes.
fn by_label<S: Serializer>(probabilities: &[(Arc<str>, f32)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(probabilities.len()))?;
    for (label, p) in probabilities {
        map.serialize_entry(&**label, p)?;
    }
    map.end()
}
