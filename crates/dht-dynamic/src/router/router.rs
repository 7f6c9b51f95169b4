//! Trait of routers, and the views of a batch on which routers decide.

use std::fmt::Debug;
use std::sync::Arc;

use dht_transformer::{Hidden, PackedBatch};
use serde_json::Value;

use super::decisions::{Decisions, GroupDecisions};
use super::mode::Mode;
use super::rule::LeavingRule;
use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;

/// View of the texts at one exit before the last, the input of a router's decision.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ExitView<'a> {
    /// Index of the exit among the model's exits, counted from 0. An n-gram exit is included.
    pub exit: usize,
    /// Batch; some of its texts are at this exit.
    pub batch: &'a PackedBatch,
    /// Batch indices of the texts at this exit.
    pub members: &'a [usize],
    /// Log-probability of each class for each text, combined with the answer of the n-gram exit if there is one. `None`
    /// if the router does not [read](Router::reads) the exit. The n-gram exit always answers.
    pub answers: Option<&'a LogProbabilities>,
    /// Hidden rows of the texts; `None` at an n-gram exit.
    pub hidden: Option<&'a Hidden>,
}

impl<'a> ExitView<'a> {
    /// Builds the view of the texts at an exit.
    pub fn new(
        exit: usize,
        batch: &'a PackedBatch,
        members: &'a [usize],
        answers: Option<&'a LogProbabilities>,
        hidden: Option<&'a Hidden>,
    ) -> Self {
        Self { exit, batch, members, answers, hidden }
    }

    /// Id of each text; see [`Sample::id`](dht_transformer::Sample::id).
    pub fn ids(&self) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        let Self { batch, members, .. } = *self;
        members.iter().map(|member| batch.sample_ids[*member])
    }

    /// Number of tokens of each text.
    pub fn lengths(&self) -> impl ExactSizeIterator<Item = usize> + use<'a> {
        let Self { batch, members, .. } = *self;
        members.iter().map(|member| batch.spans.range(*member).len())
    }

    /// Token ids of each text, special tokens included.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &'a [u32]> + use<'a> {
        let Self { batch, members, .. } = *self;
        members.iter().map(|member| &batch.ids[batch.spans.range(*member)])
    }

    /// Answers of the exit, for a router that requires them.
    ///
    /// # Errors
    /// [`Error::Argument`] if the view has no answers, since the router does not [read](Router::reads) the exit.
    pub fn needed_answers(&self) -> Result<&'a LogProbabilities> {
        self.answers.ok_or_else(|| Error::argument("answers", "those of the exit", "none"))
    }

    /// Hidden rows of the texts, for a router that requires them.
    ///
    /// # Errors
    /// [`Error::Argument`] at an exit before the first layer, where there are no hidden rows.
    pub fn needed_hidden(&self) -> Result<&'a Hidden> {
        self.hidden.ok_or_else(|| Error::argument("hidden", "those of an exit after a layer", "none"))
    }
}

/// View of the texts that are about to run a group of layers, the input of a decision on heads.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct GroupView<'a> {
    /// Index of the group among the dynamic groups, which are the groups whose heads are selected.
    pub group: usize,
    /// Hidden rows of the texts that run the group.
    pub hidden: &'a Hidden,
    /// Batch indices of the texts that run the group.
    pub members: &'a [usize],
    /// Decisions that were made for the batch so far.
    pub decisions: &'a Decisions,
}

impl<'a> GroupView<'a> {
    /// Builds the view of the texts before a group of layers.
    pub fn new(group: usize, hidden: &'a Hidden, members: &'a [usize], decisions: &'a Decisions) -> Self {
        Self { group, hidden, members, decisions }
    }
}

/// Decides at which exit each text stops, and which attention heads the text keeps in the layers before this exit. The
/// same router decides in training and in inference. A router does not know the encoder, and does not change while it
/// decides.
///
/// A router that only decides on early exits can implement the simpler trait [`ExitRule`](super::ExitRule) instead.
/// [`DynamicModel::with_router`](crate::DynamicModel::with_router) sets the router of a model;
/// [`OwnParts`](crate::OwnParts) has a program that saves and loads a model with a custom router.
pub trait Router: Debug + Send + Sync {
    /// Returns whether decisions at this exit need the exit's answers. If not, the exit answers only the texts that
    /// leave there. The method is called for all exits after a layer except the last, whose index is `last`.
    fn reads(&self, exit: usize, last: usize) -> bool;

    /// Returns whether decisions read hidden rows. For a router that does not read hidden rows, a
    /// [pre-pass](crate::route::BaseState::PrePass) that computes them is skipped.
    fn needs_state(&self) -> bool {
        true
    }

    /// Makes the decisions that are possible before the first group of layers whose heads are selected. The view shows
    /// the first exit after a layer, with the hidden rows of the [base state](crate::route::BaseState). At first, all
    /// texts run to the exit `last`.
    ///
    /// # Errors
    /// Errors of the router.
    fn begin(&self, _: &ExitView<'_>, _: &mut Decisions, _last: usize, _: &mut Mode<'_>) -> Result<()> {
        Ok(())
    }

    /// Decides at an exit before the last which of its texts [leave](Decisions::leave). By default, the texts that
    /// [`begin`](Self::begin) sent to this exit leave.
    ///
    /// # Errors
    /// Errors of the router.
    fn at_exit(&self, _: &ExitView<'_>, _: &mut Decisions, _: &mut Mode<'_>) -> Result<()> {
        Ok(())
    }

    /// Decides the heads of each text in a group of layers. `None`, the default, keeps all heads. The [head
    /// sets](GroupDecisions::head_sets) together contain every index of the [`GroupView`] once.
    ///
    /// # Errors
    /// Errors of the router.
    fn heads(&self, _: &GroupView<'_>, _: &mut Mode<'_>) -> Result<Option<GroupDecisions>> {
        Ok(None)
    }

    /// Returns whether every text keeps all heads of every group. If so, a batch may run its layers in parts, whatever
    /// [`heads`](Self::heads) returns.
    fn keeps_all(&self) -> bool {
        true
    }

    /// Returns whether [`heads`](Self::heads) reads the [answers](Decisions::answers) of the last exit that a text
    /// passed. The first exit then answers all texts.
    fn reads_answers(&self) -> bool {
        false
    }

    /// FLOPs of all decisions about a text that leaves at this exit, where a multiply-add is two FLOPs.
    fn flops(&self, _exit: usize) -> u64 {
        0
    }

    /// FLOPs of deciding which heads a text keeps in one group of layers.
    fn group_flops(&self) -> u64 {
        0
    }

    /// Speed of the router; predictions at a higher speed are cheaper. `None`, the default, is for a router with a
    /// single speed.
    fn speed(&self) -> Option<f64> {
        None
    }

    /// Returns this router at another speed.
    ///
    /// # Errors
    /// [`Error::Argument`] if the speed is out of range. The default method always returns this error.
    fn at_speed(&self, speed: f64) -> Result<Arc<dyn Router>> {
        Err(Error::argument("speed", "none, for a router of one speed", speed))
    }

    /// Returns a router whose decision about a text does not depend on the other texts of its batch; `None`, the
    /// default, if this router's own decisions never depend on other texts.
    fn independent(&self) -> Option<Arc<dyn Router>> {
        None
    }

    /// Rule whose built-in router decides exactly like this router at every speed. If there is such a rule, the result
    /// at every speed can be [computed](crate::evaluation::Stages) from the exits' answers, and a router without a
    /// [state](Self::state) is saved and loaded as the rule. `None` by default.
    fn rule(&self) -> Option<LeavingRule> {
        None
    }

    /// State that is saved with the model and rebuilds the router: its learned values, and its speed unless it has a
    /// [rule](Self::rule). `null` by default.
    ///
    /// A router with a rule, a speed and a `null` state is saved as the built-in router of the rule, which
    /// [`load`](crate::DynamicModel::load) reads. Any other router is saved as its state, also if the state is `null`,
    /// and [`OwnParts::with_router`](crate::OwnParts::with_router) must build it.
    ///
    /// # Errors
    /// Errors of the serialisation.
    fn state(&self) -> Result<Value> {
        Ok(Value::Null)
    }
}
