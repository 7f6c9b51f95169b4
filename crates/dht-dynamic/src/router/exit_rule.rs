//! Trait of custom exit criteria. It is simpler to implement than the router trait.

use std::fmt::Debug;
use std::sync::Arc;

use serde_json::Value;

use super::decisions::{Decisions, Notes};
use super::mode::Mode;
use super::router::{ExitView, Router};
use super::rule::LeavingRule;
use crate::error::{Error, Result};

/// Exit criterion: decides at each exit which texts stop there. The trait is the part of [`Router`] that early exits
/// need: all texts keep all attention heads, and no decision is made before the first exit. Every exit rule is a
/// router, and its methods have the same meaning as the router's methods of the same names.
///
/// # Examples
/// Rule that stops a text at the second consecutive exit where the probabilities of the two most probable classes are
/// far apart:
///
/// ```
/// use dht_dynamic::Result;
/// use dht_dynamic::router::{ExitRule, ExitView, Notes};
/// use serde_json::{Value, json};
///
/// #[derive(Debug)]
/// struct Margin(f64);
///
/// impl ExitRule for Margin {
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
pub trait ExitRule: Debug + Send + Sync {
    /// Returns whether decisions at the exit with index `exit` need its log-probabilities. See [`Router::reads`].
    fn reads(&self, exit: usize, last: usize) -> bool;

    /// Decides for each text at an exit whether it stops there. The result has one entry for each of
    /// [`ExitView::members`], the texts at the exit. `notes` has the values stored for each text of the batch.
    ///
    /// # Errors
    /// [`Error`](crate::Error) if the rule cannot decide.
    fn leaves(&self, view: &ExitView<'_>, notes: &mut [Notes]) -> Result<Vec<bool>>;

    /// FLOPs of all decisions for a text that stops at the exit `_exit`. See [`Router::flops`].
    fn flops(&self, _exit: usize) -> u64 {
        0
    }

    /// Speed of the rule, such as a threshold; see [`Router::speed`].
    fn speed(&self) -> Option<f64> {
        None
    }

    /// Returns a router that applies this rule at another speed. See [`Router::at_speed`].
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if the speed is out of range.
    fn at_speed(&self, speed: f64) -> Result<Arc<dyn Router>> {
        Err(Error::argument("speed", "none, for a router of one speed", speed))
    }

    /// Built-in rule that makes exactly the same decisions; `None` if there is no such rule. See [`Router::rule`].
    fn rule(&self) -> Option<LeavingRule> {
        None
    }

    /// State of the rule, which is saved with the model and from which the rule is rebuilt. See [`Router::state`].
    ///
    /// # Errors
    /// [`Error`](crate::Error) if the state cannot be serialised.
    fn state(&self) -> Result<Value> {
        Ok(Value::Null)
    }
}

impl<T: ExitRule> Router for T {
    fn reads(&self, exit: usize, last: usize) -> bool {
        ExitRule::reads(self, exit, last)
    }

    fn needs_state(&self) -> bool {
        false
    }

    fn at_exit(&self, view: &ExitView<'_>, decisions: &mut Decisions, _: &mut Mode<'_>) -> Result<()> {
        let leaves = self.leaves(view, decisions.notes_mut())?;
        if leaves.len() != view.members.len() {
            let expected = format!("one for each of {} texts", view.members.len());
            return Err(Error::shape("router's decisions", expected, leaves.len()));
        }
        let leaving = view.members.iter().zip(leaves).filter(|(_, leaves)| *leaves);
        leaving.map(|(member, _)| *member).try_for_each(|member| decisions.leave(member, view.exit))
    }

    fn flops(&self, exit: usize) -> u64 {
        ExitRule::flops(self, exit)
    }

    fn speed(&self) -> Option<f64> {
        ExitRule::speed(self)
    }

    fn at_speed(&self, speed: f64) -> Result<Arc<dyn Router>> {
        ExitRule::at_speed(self, speed)
    }

    fn rule(&self) -> Option<LeavingRule> {
        ExitRule::rule(self)
    }

    fn state(&self) -> Result<Value> {
        ExitRule::state(self)
    }
}
