//! Answers as JSON.

use std::sync::Arc;

use dht_search::serving::Served;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// An answer with probabilities, route and cost.
#[derive(Debug, Serialize)]
pub(super) struct AnswerBody {
    #[serde(serialize_with = "text")]
    label: Arc<str>,
    #[serde(serialize_with = "by_label")]
    probabilities: Vec<(Arc<str>, f32)>,
    /// As `2L12H`.
    route: String,
    /// The heads that each layer kept, of the layers that ran.
    layers: Vec<usize>,
    flops: u64,
    /// What part of the full model's FLOPs that is.
    share: f64,
    tokens: usize,
    truncated: bool,
}

impl From<Served> for AnswerBody {
    fn from(served: Served) -> Self {
        let Served { answer, labels, tokens, full_flops, .. } = served;
        Self {
            label: answer.label,
            probabilities: labels.iter().cloned().zip(answer.probabilities).collect(),
            route: answer.route.to_string(),
            layers: answer.route.layers().map(|(_, heads)| heads).collect(),
            flops: answer.flops,
            share: answer.flops as f64 / full_flops.max(1) as f64,
            tokens,
            truncated: answer.truncated,
        }
    }
}

/// A shared text as a string.
pub(super) fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// An object in the order of the classes.
fn by_label<S: Serializer>(probabilities: &[(Arc<str>, f32)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(probabilities.len()))?;
    for (label, p) in probabilities {
        map.serialize_entry(&**label, p)?;
    }
    map.end()
}
