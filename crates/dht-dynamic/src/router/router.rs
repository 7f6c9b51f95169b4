//! The trait of routers.

use std::fmt::Debug;
use std::sync::Arc;

use dht_transformer::Hidden;
use serde_json::Value;

use super::rule::LeavingRule;
use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;

/// What a router noted of a text at the exits that it passed, for its decisions at later ones. Nobody else looks inside; it
/// goes with the text, from batch to batch.
pub type Notes = Vec<f64>;

/// The texts at an exit, but the last.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ExitView<'a> {
    /// The exit's index among the model's exits, from 0. One before the first layer is one of them.
    pub exit: usize,
    /// The indices in the batch of the texts that are here.
    pub members: &'a [usize],
    /// The tokens of each.
    pub lengths: &'a [usize],
    /// ln p of each class for each, with everything that is stacked on the exit. There are none where the router does not
    /// [read](Router::reads) the exit, unless others want them: an exit before the first layer always answers, and all do where
    /// the [stages](crate::DynamicModel::predict_with_stages) are asked for.
    pub answers: Option<&'a LogProbabilities>,
    /// Their hidden rows; `None` before the first layer.
    pub hidden: Option<&'a Hidden>,
}

impl<'a> ExitView<'a> {
    /// Texts at an exit.
    pub fn new(
        exit: usize,
        members: &'a [usize],
        lengths: &'a [usize],
        answers: Option<&'a LogProbabilities>,
        hidden: Option<&'a Hidden>,
    ) -> Self {
        Self { exit, members, lengths, answers, hidden }
    }

    /// The answers, of a router that reads the exit.
    ///
    /// # Errors
    /// [`Error::Setting`] where there are none.
    pub fn needed_answers(&self) -> Result<&'a LogProbabilities> {
        self.answers.ok_or_else(|| Error::setting("answers", "those of the exit", "none"))
    }
}

/// Decides at each exit which texts leave there. It knows no encoder, and does not change while it decides.
///
/// # Examples
/// Texts leave where the two likeliest classes are far apart, at the second exit in a row at the earliest:
///
/// ```
/// use dht_dynamic::Result;
/// use dht_dynamic::router::{ExitView, Notes, Router};
/// use serde_json::{Value, json};
///
/// #[derive(Debug)]
/// struct Margin(f64);
///
/// impl Router for Margin {
///     fn reads(&self, exit: usize, last: usize) -> bool {
///         exit < last
///     }
///
///     fn leaves(&self, view: &ExitView<'_>, notes: &mut [Notes]) -> Result<Vec<bool>> {
///         // Notes are by place in the batch, answers by place in the view.
///         let texts = view.members.iter().zip(view.needed_answers()?.rows());
///         Ok(texts
///             .map(|(member, logs)| {
///                 let mut sorted: Vec<f64> = logs.iter().map(|log| log.exp()).collect();
///                 sorted.sort_by(|a, b| b.total_cmp(a));
///                 let far = sorted[0] - sorted[1] > self.0;
///                 let before = std::mem::replace(&mut notes[*member], vec![f64::from(u8::from(far))]);
///                 far && before == [1.0]
///             })
///             .collect())
///     }
///
///     fn state(&self) -> Result<Value> {
///         Ok(json!(self.0)) // `DynamicModel::load_with` gets it back
///     }
/// }
/// ```
pub trait Router: Debug + Send + Sync {
    /// Whether its decisions at this exit need the exit's answers: where they do not, only texts that leave are answered. All
    /// exits after a layer but the last, whose index is `last`, are asked about.
    fn reads(&self, exit: usize, last: usize) -> bool;

    /// Which of the texts at an exit leave there, by index in the view. `notes` are those of all texts of the batch.
    ///
    /// # Errors
    /// What the router reports.
    fn leaves(&self, view: &ExitView<'_>, notes: &mut [Notes]) -> Result<Vec<bool>>;

    /// FLOPs of all decisions about a text that leaves at this exit, two for each multiply-add.
    fn flops(&self, _exit: usize) -> u64 {
        0
    }

    /// Its speed: the higher, the cheaper the predictions. `None` by default: a router of one speed.
    fn speed(&self) -> Option<f64> {
        None
    }

    /// The same router at another speed.
    ///
    /// # Errors
    /// [`Error::Setting`] for a speed out of range, and by default.
    fn at_speed(&self, speed: f64) -> Result<Arc<dyn Router>> {
        Err(Error::setting("speed", "none, for a router of one speed", speed))
    }

    /// The rule by which it compares its speed with what exits say, if it decides at every speed just as that rule's own router: then every
    /// speed is [arithmetic](crate::evaluation::Stages) on the exits' answers, and a router without a [state](Self::state) is saved and
    /// loaded as the rule. `None` by default.
    fn rule(&self) -> Option<LeavingRule> {
        None
    }

    /// All that it takes to make it again, which is saved with its model: what it has learned, and its speed, unless it has a
    /// [rule](Self::rule). `null` by default.
    ///
    /// # Errors
    /// What the serialisation reports.
    fn state(&self) -> Result<Value> {
        Ok(Value::Null)
    }
}
