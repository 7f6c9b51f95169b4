//! Score functions: probabilities, raw scores, and functions of Hugging Face pipelines.

use dht_dynamic::Answer;
use dht_dynamic::transformer::Task;
use serde::Deserialize;

/// Function that converts raw scores (logits) to the scores in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ScoreFunction {
    Sigmoid,
    Softmax,
    /// Raw scores without conversion.
    None,
}

impl ScoreFunction {
    /// Default score function of a task.
    fn of_task(task: Task) -> Self {
        match task {
            Task::Class => Self::Softmax,
            Task::Labels => Self::Sigmoid,
            Task::Number => Self::None,
        }
    }
}

/// Computes the scores of an answer, in the order of the labels. If `function` is `None`, the default function of the
/// model's task is used.
///
/// Raw scores are logits. For classes they are ln p of the probabilities p, which equals the logits up to a constant.
/// For a multi-label model they are computed from probabilities in single precision, and are at most 16.6. The value of
/// a regression is not converted.
pub(super) fn scores(answer: &Answer, function: Option<ScoreFunction>) -> Vec<f32> {
    let own = ScoreFunction::of_task(answer.task);
    let Some(function) = function.filter(|function| *function != own) else { return answer.probabilities.clone() };
    // ln 0 is not a number in JSON.
    let ln = |p: f32| p.max(f32::MIN_POSITIVE).ln();
    let raw = answer.probabilities.iter().map(|p| match answer.task {
        Task::Class => ln(*p),
        Task::Labels => ln(*p) - (1.0 - p).max(f32::EPSILON / 2.0).ln(),
        Task::Number => *p,
    });
    match function {
        ScoreFunction::None => raw.collect(),
        ScoreFunction::Sigmoid => raw.map(|score| 1.0 / (1.0 + (-score).exp())).collect(),
        ScoreFunction::Softmax => {
            let raw: Vec<f32> = raw.collect();
            let highest = raw.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f32> = raw.iter().map(|score| (score - highest).exp()).collect();
            let sum: f32 = powers.iter().sum();
            powers.iter().map(|power| power / sum).collect()
        }
    }
}
