//! Routers: they decide at which exit a sample leaves, and which heads it keeps until then. One file a router.
//!
//! A router sees hidden states and logits. It knows no encoder and no optimiser, so that the same router decides in training
//! and in inference.

mod bandit;
mod by_rule;
mod fixed;
mod full_heads;
mod queues;
mod trace;

use std::fmt::Debug;

use candle_core::Tensor;
use dht_transformer::{
    HeadSet, Hidden,
    flops::{BlockShape, ClassifierShape},
};
use rand::Rng;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::features::ArmFeatures;
use crate::settings::{RouterKind, SearchSettings};
use crate::space::SearchSpace;

pub use bandit::{Decided, ExitBandits};
pub(crate) use fixed::{FixedRoutes, RouteChoice, random_heads};
pub(crate) use queues::Queues;
pub use trace::{
    Deciding, Decisions, ExitOutput, ExitReads, ForwardTrace, GroupDecisions, GroupTrace, HeadSetGroup, Losses,
};
pub(crate) use trace::{ExitContexts, QueuedDecision};

/// How decisions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At random.
    Random,
    /// By the learned scores, with exploration.
    Explore,
    /// By the learned scores, without exploration.
    Exploit,
}

/// The input of a router: the samples at an exit.
#[derive(Debug)]
#[non_exhaustive]
pub struct StageView<'a> {
    /// The exit's index, from 0.
    pub exit: usize,
    /// The hidden rows of the samples that reached this exit.
    pub hidden: &'a Hidden,
    /// Their indices in the batch.
    pub members: &'a [usize],
    /// The exit's logits (samples, classes), where the router [reads](Router::reads) them.
    pub logits: Option<&'a Tensor>,
}

/// The input of a head router: the samples before a group of layers.
#[derive(Debug)]
#[non_exhaustive]
pub struct GroupView<'a> {
    /// The index of the group among the dynamic groups.
    pub group: usize,
    /// The hidden rows of the samples that run it.
    pub hidden: &'a Hidden,
    /// Their indices in the batch.
    pub members: &'a [usize],
    /// The decisions so far.
    pub decisions: &'a Decisions,
}

/// Input of the routers before the first batch of a training.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Preparation {
    /// The heads that every head set holds; `None` where the space pins none. [`HeadRouter::pin`] may replace them when the
    /// warm-up is over.
    pub pinned: Option<HeadSet>,
    /// Features of the arms, where the contexts have them.
    pub(crate) arm_features: Option<ArmFeatures>,
}

/// Decides how deep each sample goes.
pub trait Router: Debug + Send + Sync {
    /// Whether decisions need the logits of this exit; `last` is the index of the last one.
    fn reads(&self, exit: usize, last: usize) -> bool;

    /// Whether [`start`](Self::start) looks at the state. Where that state comes from a
    /// [pre-pass](crate::space::BaseState::PrePass), a router that does not look at it spares it.
    fn needs_state(&self) -> bool {
        true
    }

    /// Decides what can be decided before the first group of layers. `view` holds the state that routes are decided from,
    /// as exit 0. By default all samples go to the last exit.
    ///
    /// # Errors
    /// What the router reports.
    fn start(&self, view: &StageView<'_>, last: usize, _: Mode, _: &mut dyn Rng) -> Result<Decisions> {
        Ok(Decisions::leaving_at(vec![last; view.hidden.samples()]))
    }

    /// Decides at an exit, but the last, which of the samples there [leave](Decisions::leave). By default those that
    /// [`start`](Self::start) sent there.
    ///
    /// # Errors
    /// What the router reports.
    fn at_exit(&self, _: &StageView<'_>, _: &mut Decisions, _: Mode, _: &mut dyn Rng) -> Result<()> {
        Ok(())
    }

    /// FLOPs of deciding that a sample leaves at this exit, two for each multiply-add.
    fn flops(&self, _exit: usize) -> u64 {
        0
    }

    /// Prepares for a training, before its first batch.
    ///
    /// # Errors
    /// What the router reports; its state is unchanged then.
    fn prepare(&mut self, _: &Preparation) -> Result<()> {
        Ok(())
    }

    /// Learns from a batch: the exits of its samples, their contexts, and their losses.
    ///
    /// # Errors
    /// What the router reports.
    fn learn(&mut self, _: &Decisions, _: &Losses) -> Result<()> {
        Ok(())
    }

    /// FLOPs of what it learned since the last call, by formula, two for each multiply-add; so each is counted once.
    fn take_learning_flops(&mut self) -> u64 {
        0
    }

    /// Whether its warm-up is over, so that it can decide. Until then samples take random routes in training and the full model in
    /// inference.
    fn is_warm(&self) -> bool {
        true
    }

    /// The speed that [`set_speed`](Self::set_speed) set, for a router of a user's own; `None` by default: a router of one speed.
    fn speed(&self) -> Option<f64> {
        None
    }

    /// Sets the speed: the higher, the cheaper the routes. For bandits it is λ, the price of the full model's cost in
    /// nats of loss; for a threshold the threshold, for a patience its reciprocal.
    ///
    /// # Errors
    /// [`Error::Setting`] for a speed out of range, and by default: a router has no speed unless it says so.
    fn set_speed(&mut self, speed: f64) -> Result<()> {
        Err(Error::setting("speed", "none, for a router of one speed", speed))
    }

    /// Changes to another space and keeps what it has learned (P-DHT).
    ///
    /// # Errors
    /// [`Error::Setting`] for a space that it cannot change to; by default any.
    fn enter(&mut self, _: &SearchSpace) -> Result<()> {
        Err(Error::setting("space", "the one that the router was made for", "another"))
    }

    /// Refuses a queued sample that this router cannot have sent to the queue of `exit`.
    ///
    /// # Errors
    /// [`Error::Setting`] that says what does not fit.
    #[doc(hidden)]
    fn check_queued(&self, _exit: usize, _: &QueuedDecision) -> Result<()> {
        Ok(())
    }

    /// What it has learned, for a checkpoint. `null` by default: nothing.
    ///
    /// # Errors
    /// What the serialisation reports.
    fn state(&self) -> Result<Value> {
        Ok(Value::Null)
    }

    /// Restores a [`state`](Self::state).
    ///
    /// # Errors
    /// [`Error::State`] and [`Error::Setting`] for a state that is not of this router.
    fn restore(&mut self, state: Value) -> Result<()> {
        refuse_state(&state)
    }

    /// A copy, with what it has learned.
    fn box_clone(&self) -> Box<dyn Router>;
}

/// Decides which heads each sample keeps in a group of layers.
pub trait HeadRouter: Debug + Send + Sync {
    /// The heads of each sample in a group: together the [head-set groups](HeadSetGroup) hold every index once.
    ///
    /// # Errors
    /// What the router reports.
    fn decide(&self, view: &GroupView<'_>, mode: Mode, rng: &mut dyn Rng) -> Result<GroupDecisions>;

    /// The heads of samples that keep as many as `kept` says, by index in the view: so controls on given routes run with
    /// this router's own sets. By default those of [`decide`](Self::decide), if they are of these sizes.
    ///
    /// # Errors
    /// What the router reports; [`Error::Setting`] by default for sizes that it does not choose itself.
    fn sets_keeping(
        &self,
        view: &GroupView<'_>,
        kept: &[usize],
        mode: Mode,
        rng: &mut dyn Rng,
    ) -> Result<Vec<HeadSetGroup>> {
        let head_sets = self.decide(view, mode, rng)?.head_sets;
        for set in &head_sets {
            if let Some(wanted) = set.indices.iter().map(|index| kept[*index]).find(|kept| *kept != set.heads.len()) {
                let expected = format!("{wanted}, which sets_keeping of this head router would choose");
                return Err(Error::setting("heads kept", expected, set.heads.len()));
            }
        }
        Ok(head_sets)
    }

    /// Whether it looks at the signals (entropy, margin, length) of the exit after the base layers, which the executor then
    /// reads for it where the router does not.
    fn reads_signals(&self) -> bool {
        false
    }

    /// Whether every sample keeps all heads of every group. Its layers may then be run in parts, without the sets of
    /// [`decide`](Self::decide).
    fn keeps_all(&self) -> bool {
        false
    }

    /// FLOPs of the decisions before a group for one sample, two for each multiply-add.
    fn flops(&self) -> u64 {
        0
    }

    /// The heads that every head set holds, once they are chosen; `None` also where none is pinned.
    fn pinned(&self) -> Option<HeadSet> {
        None
    }

    /// Replaces the [pinned](Self::pinned) heads, once, when the warm-up is over and the importance of heads is known. By
    /// default nothing is pinned.
    ///
    /// # Errors
    /// What the router reports.
    fn pin(&mut self, _: HeadSet) -> Result<()> {
        Ok(())
    }

    /// As [`Router::prepare`].
    ///
    /// # Errors
    /// What the router reports.
    fn prepare(&mut self, _: &Preparation) -> Result<()> {
        Ok(())
    }

    /// Learns from a batch: the heads kept in each group, and the losses.
    ///
    /// # Errors
    /// What the router reports.
    fn learn(&mut self, _: &Decisions, _: &[GroupTrace], _: &Losses) -> Result<()> {
        Ok(())
    }

    /// Learns from the gate gradients of a backward pass: `importance` of a sample (by index in the group) and a head.
    ///
    /// # Errors
    /// What the router reports.
    fn learn_gradients(&mut self, _: &GroupTrace, _importance: &dyn Fn(usize, usize) -> f64) -> Result<()> {
        Ok(())
    }

    /// As [`Router::take_learning_flops`].
    fn take_learning_flops(&mut self) -> u64 {
        0
    }

    /// As [`Router::is_warm`].
    fn is_warm(&self) -> bool {
        true
    }

    /// From now on draws a head set for each sample, by its own context alone. By default a router does so anyway.
    fn draw_for_each_sample(&mut self) {}

    /// As [`Router::set_speed`]; by default the heads do not depend on it.
    ///
    /// # Errors
    /// [`Error::Setting`] for a speed out of range.
    fn set_speed(&mut self, _: f64) -> Result<()> {
        Ok(())
    }

    /// As [`Router::enter`].
    ///
    /// # Errors
    /// As there.
    fn enter(&mut self, _: &SearchSpace) -> Result<()> {
        Err(Error::setting("space", "the one that the head router was made for", "another"))
    }

    /// As [`Router::state`].
    ///
    /// # Errors
    /// As there.
    fn state(&self) -> Result<Value> {
        Ok(Value::Null)
    }

    /// As [`Router::restore`].
    ///
    /// # Errors
    /// As there.
    fn restore(&mut self, state: Value) -> Result<()> {
        refuse_state(&state)
    }

    /// A copy, with what it has learned.
    fn box_clone(&self) -> Box<dyn HeadRouter>;
}

impl Clone for Box<dyn Router> {
    fn clone(&self) -> Self {
        (**self).box_clone()
    }
}

impl Clone for Box<dyn HeadRouter> {
    fn clone(&self) -> Self {
        (**self).box_clone()
    }
}

/// Refuses a state for a router that learns nothing.
fn refuse_state(state: &Value) -> Result<()> {
    match state {
        Value::Null => Ok(()),
        _ => Err(Error::setting("router's state", "null, of a router that learns nothing", "another's")),
    }
}

/// The router and the head router of a search.
pub(crate) fn build(
    space: &SearchSpace,
    settings: &SearchSettings,
    block: BlockShape,
    classifier: ClassifierShape,
) -> Result<(Box<dyn Router>, Box<dyn HeadRouter>)> {
    let setup = bandit::Setup::new(space.clone(), settings.clone(), block, classifier)?;
    let heads: Box<dyn HeadRouter> = match full_heads::FullHeads::of_space(space)? {
        Some(heads) => Box::new(heads),
        None => Box::new(bandit::BanditHeads::new(setup.clone())?),
    };
    let router: Box<dyn Router> = match settings.router {
        RouterKind::Bandit => Box::new(bandit::DepthRouter::new(setup)?),
        RouterKind::SequentialBandit => Box::new(bandit::GainRouter::new(setup)?),
        _ => Box::new(by_rule::ByRule::new(setup)?),
    };
    Ok((router, heads))
}
