//! Trait of routers. A router decides at which exit each text stops and which attention heads it uses.

use std::fmt::Debug;
use std::sync::Arc;

use dht_transformer::{Hidden, PackedBatch};
use serde_json::Value;

use super::decisions::{Decisions, GroupDecisions};
use super::mode::Mode;
use super::rule::LeavingRule;
use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;

/// Input of a router's decision: the texts that have reached an exit (not the last one).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ExitView<'a> {
    /// Index of the exit among the model's exits, counted from 0. If there is an n-gram classifier, it is exit 0.
    pub exit: usize,
    /// Whole batch, of which some texts are at this exit.
    pub batch: &'a PackedBatch,
    /// Batch indices of the texts at this exit.
    pub members: &'a [usize],
    /// Log-probabilities of the texts at this exit, combined with the n-gram classifier if there is one. `None` if the
    /// router does not [read](Router::reads) the exit. At the n-gram classifier, they are always available.
    pub answers: Option<&'a LogProbabilities>,
    /// Hidden states of the texts; `None` at an n-gram classifier, which runs before any layer.
    pub hidden: Option<&'a Hidden>,
}

impl<'a> ExitView<'a> {
    /// Creates the view of the texts at an exit.
    pub fn new(
        exit: usize,
        batch: &'a PackedBatch,
        members: &'a [usize],
        answers: Option<&'a LogProbabilities>,
        hidden: Option<&'a Hidden>,
    ) -> Self {
        Self { exit, batch, members, answers, hidden }
    }

    /// Iterates over the texts' ids; see [`Sample::id`](dht_transformer::Sample::id).
    pub fn ids(&self) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        let Self { batch, members, .. } = *self;
        members.iter().map(|member| batch.sample_ids[*member])
    }

    /// Iterates over the texts' numbers of tokens.
    pub fn lengths(&self) -> impl ExactSizeIterator<Item = usize> + use<'a> {
        let Self { batch, members, .. } = *self;
        members.iter().map(|member| batch.spans.range(*member).len())
    }

    /// Iterates over the texts' token ids, special tokens included.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &'a [u32]> + use<'a> {
        let Self { batch, members, .. } = *self;
        members.iter().map(|member| &batch.ids[batch.spans.range(*member)])
    }

    /// Returns the log-probabilities at the exit, for a router that requires them.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are none, because the router does not [read](Router::reads) the exit.
    pub fn needed_answers(&self) -> Result<&'a LogProbabilities> {
        self.answers.ok_or_else(|| Error::argument("answers", "those of the exit", "none"))
    }

    /// Returns the hidden states of the texts, for a router that requires them.
    ///
    /// # Errors
    /// [`Error::Argument`] at an exit before the first layer, where there are no hidden states.
    pub fn needed_hidden(&self) -> Result<&'a Hidden> {
        self.hidden.ok_or_else(|| Error::argument("hidden", "those of an exit after a layer", "none"))
    }
}

/// Input of a decision on attention heads: the texts that are about to run a group of layers.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct GroupView<'a> {
    /// Index of the group among the dynamic groups, the groups of layers whose attention heads are selected.
    pub group: usize,
    /// Hidden states of the texts that run the group.
    pub hidden: &'a Hidden,
    /// Batch indices of the texts that run the group.
    pub members: &'a [usize],
    /// Routing decisions for the batch so far.
    pub decisions: &'a Decisions,
}

impl<'a> GroupView<'a> {
    /// Creates the view of the texts before a group of layers.
    pub fn new(group: usize, hidden: &'a Hidden, members: &'a [usize], decisions: &'a Decisions) -> Self {
        Self { group, hidden, members, decisions }
    }
}

/// Router: decides at which exit each text stops, and which attention heads the text keeps in the layers before this
/// exit. The same router decides in training and in inference. A router does not know the encoder, and does not change
/// while it decides.
///
/// Routers that only decide on early exits can implement the simpler trait [`ExitRule`](super::ExitRule) instead.
/// [`DynamicModel::with_router`](crate::DynamicModel::with_router) sets the router of a model;
/// [`OwnParts`](crate::OwnParts) has an example that saves and loads a model with a custom router.
pub trait Router: Debug + Send + Sync {
    /// Returns whether decisions at the exit with index `exit` need the exit's log-probabilities. If not, the exit is
    /// computed only for the texts that stop there. The method is called for every exit after a layer, except the last
    /// one, whose index is `last`.
    fn reads(&self, exit: usize, last: usize) -> bool;

    /// Returns whether decisions depend on hidden states. If not, the separate pass that computes hidden states for the
    /// router ([pre-pass](crate::route::BaseState::PrePass)) is skipped.
    fn needs_state(&self) -> bool {
        true
    }

    /// Makes the decisions that are possible before the first group of layers whose attention heads are selected. The
    /// view shows the first exit after a layer, with the hidden states of the [base state](crate::route::BaseState).
    /// Before this call, all texts are assigned to the exit `_last`.
    ///
    /// # Errors
    /// [`Error`] if the router cannot decide.
    fn begin(&self, _: &ExitView<'_>, _: &mut Decisions, _last: usize, _: &mut Mode<'_>) -> Result<()> {
        Ok(())
    }

    /// Decides which texts [stop](Decisions::leave) at an exit before the last. By default, these are the texts that
    /// [`begin`](Self::begin) assigned to this exit.
    ///
    /// # Errors
    /// [`Error`] if the router cannot decide.
    fn at_exit(&self, _: &ExitView<'_>, _: &mut Decisions, _: &mut Mode<'_>) -> Result<()> {
        Ok(())
    }

    /// Decides which attention heads each text keeps in a group of layers. `None`, the default, keeps all heads. The
    /// [head sets](GroupDecisions::head_sets) together must contain every text index of the [`GroupView`] exactly once.
    ///
    /// # Errors
    /// [`Error`] if the router cannot decide.
    fn heads(&self, _: &GroupView<'_>, _: &mut Mode<'_>) -> Result<Option<GroupDecisions>> {
        Ok(None)
    }

    /// Returns whether every text keeps all attention heads in every group of layers. If true, the model may split a
    /// batch and run its parts one after the other, even if [`heads`](Self::heads) returns head sets.
    fn keeps_all(&self) -> bool {
        true
    }

    /// Returns whether [`heads`](Self::heads) reads the [log-probabilities](Decisions::answers) of the last exit that a
    /// text passed. If true, the model computes the first exit after a layer for all texts, even if
    /// [`reads`](Self::reads) returns false for it.
    fn reads_answers(&self) -> bool {
        false
    }

    /// FLOPs of all routing decisions for a text that stops at the exit `_exit`. A multiply-add counts as two.
    fn flops(&self, _exit: usize) -> u64 {
        0
    }

    /// FLOPs of deciding which attention heads a text keeps in one group of layers.
    fn group_flops(&self) -> u64 {
        0
    }

    /// Speed of the router, such as an exit threshold; a higher speed is cheaper. `None`, the default, means that the
    /// speed cannot be adjusted.
    fn speed(&self) -> Option<f64> {
        None
    }

    /// Returns a copy of this router that runs at another speed.
    ///
    /// # Errors
    /// [`Error::Argument`] if the speed is out of range. The default implementation always returns this error.
    fn at_speed(&self, speed: f64) -> Result<Arc<dyn Router>> {
        Err(Error::argument("speed", "none, for a router of one speed", speed))
    }

    /// Returns a router whose decision on a text does not depend on the other texts of its batch. `None`, the default,
    /// means that this already holds for `self`.
    fn independent(&self) -> Option<Arc<dyn Router>> {
        None
    }

    /// Rule whose built-in router makes exactly the same decisions as this router, at every speed; `None` by default.
    /// With a rule, the result at every speed can be [computed](crate::evaluation::Stages) from the exits'
    /// log-probabilities. A router with a rule and without a [state](Self::state) is saved and loaded as the rule.
    fn rule(&self) -> Option<LeavingRule> {
        None
    }

    /// State of the router, which is saved with the model and from which the router is rebuilt. It has the learned
    /// values, and the speed unless there is a [rule](Self::rule). `null` by default.
    ///
    /// Routers with a rule, a speed and a `null` state are saved as the built-in router of the rule, which
    /// [`load`](crate::DynamicModel::load) reads. All other routers are saved as their state, even if it is `null`, and
    /// a function in [`OwnParts::with_router`](crate::OwnParts::with_router) must rebuild them.
    ///
    /// # Errors
    /// [`Error`] if the state cannot be serialised.
    fn state(&self) -> Result<Value> {
        Ok(Value::Null)
    }
}
