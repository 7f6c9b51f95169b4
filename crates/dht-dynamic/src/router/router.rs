//! The trait of routers.

use std::fmt::Debug;
use std::sync::Arc;

use dht_transformer::Hidden;
use serde_json::Value;

use super::rule::LeavingRule;
use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;

/// A router's notes on one text, written at earlier exits and used at later ones. No other code reads the notes; they
/// move with the text from batch to batch.
pub type Notes = Vec<f64>;

/// The texts at one exit before the last.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ExitView<'a> {
    /// The index of the exit among the model's exits, counted from 0. An n-gram exit is included.
    pub exit: usize,
    /// The indices in the batch of the texts at this exit.
    pub members: &'a [usize],
    /// The [id](dht_transformer::Sample::id) of each text.
    pub ids: &'a [u64],
    /// The number of tokens of each text.
    pub lengths: &'a [usize],
    /// ln p of each class for each text, combined with the n-gram exit's if there is one. `None` if the router does not
    /// [read](Router::reads) the exit and nothing else needs the answers. The n-gram exit always answers, and all exits
    /// answer if the [stages](crate::DynamicModel::predict_with_stages) are requested.
    pub answers: Option<&'a LogProbabilities>,
    /// The hidden rows of the texts; `None` before the first layer.
    pub hidden: Option<&'a Hidden>,
}

impl<'a> ExitView<'a> {
    /// Builds the view of the texts at an exit.
    pub fn new(
        exit: usize,
        members: &'a [usize],
        ids: &'a [u64],
        lengths: &'a [usize],
        answers: Option<&'a LogProbabilities>,
        hidden: Option<&'a Hidden>,
    ) -> Self {
        Self { exit, members, ids, lengths, answers, hidden }
    }

    /// The answers of the exit, for a router that requires them.
    ///
    /// # Errors
    /// [`Error::Argument`] if the view has no answers.
    pub fn needed_answers(&self) -> Result<&'a LogProbabilities> {
        self.answers.ok_or_else(|| Error::argument("answers", "those of the exit", "none"))
    }
}

/// Decides at each exit which texts leave at it. A router does not know the encoder and does not change while it
/// decides. [`DynamicModel::with_router`](crate::DynamicModel::with_router) sets it; [`OwnParts`](crate::OwnParts) has
/// a program that saves and loads a model with a custom router.
///
/// # Examples
/// A text leaves at the second consecutive exit where the probabilities of its two likeliest classes are far apart:
///
/// ```
/// use dht_dynamic::Result;
/// use dht_dynamic::{router::{ExitView, Notes}, Router};
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
///         Ok(json!(self.0)) // the builder in `OwnParts::with_router` gets it back
///     }
/// }
/// ```
pub trait Router: Debug + Send + Sync {
    /// Returns whether decisions at this exit need the exit's answers. If not, the exit answers only the texts that
    /// leave. The method is called for all exits after a layer except the last, whose index is `last`.
    fn reads(&self, exit: usize, last: usize) -> bool;

    /// Decides which texts of the view leave, by index in the view. `notes` holds one entry for each text of the batch.
    ///
    /// # Errors
    /// Errors of the router.
    fn leaves(&self, view: &ExitView<'_>, notes: &mut [Notes]) -> Result<Vec<bool>>;

    /// FLOPs of all decisions about a text that leaves at this exit, two for each multiply-add.
    fn flops(&self, _exit: usize) -> u64 {
        0
    }

    /// The router's speed: predictions at a higher speed are cheaper. `None`, the default, for a router with a single
    /// speed.
    fn speed(&self) -> Option<f64> {
        None
    }

    /// Returns this router at another speed.
    ///
    /// # Errors
    /// [`Error::Argument`] for a speed out of range; the default method always returns it.
    fn at_speed(&self, speed: f64) -> Result<Arc<dyn Router>> {
        Err(Error::argument("speed", "none, for a router of one speed", speed))
    }

    /// The rule whose built-in router decides exactly like this router at every speed. If there is one, the result at
    /// every speed can be [computed](crate::evaluation::Stages) from the exits' answers, and a router without a
    /// [state](Self::state) is saved and loaded as the rule. `None` by default.
    fn rule(&self) -> Option<LeavingRule> {
        None
    }

    /// State that is saved with the model and rebuilds the router: its learned values, and its speed unless it has a
    /// [rule](Self::rule). `null` by default.
    ///
    /// A router with a rule, a speed and a `null` state is saved as the built-in router of the rule, which
    /// [`load`](crate::DynamicModel::load) reads. Any other router is saved as its state, also if that is `null`, and
    /// [`OwnParts::with_router`](crate::OwnParts::with_router) must build it.
    ///
    /// # Errors
    /// Errors of the serialisation.
    fn state(&self) -> Result<Value> {
        Ok(Value::Null)
    }
}
