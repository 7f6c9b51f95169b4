//! What changes in a router: what it has learned, and its speed.

use dht_transformer::HeadSet;
use serde_json::Value;

use super::trace::{Decisions, GroupTrace, Losses, QueuedDecision};
use crate::error::{Error, Result};
use crate::features::ArmFeatures;
use crate::space::SearchSpace;

/// What a router needs before the first batch of a training.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Preparation {
    /// The heads that every head set holds; `None` where the space pins none. [`HeadState::pin`] may replace them when the
    /// warm-up is over.
    pub pinned: Option<HeadSet>,
    /// Features of the arms, where the contexts have them.
    pub(crate) arm_features: Option<ArmFeatures>,
}

/// What a router has learned, and its speed. By default nothing, and none.
pub trait RouterState {
    /// Whether its warm-up is over, so that it can decide. Until then samples take random routes in training and the full model in
    /// inference.
    fn is_warm(&self) -> bool {
        true
    }

    /// Its speed; `None` for a router of one speed.
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

    /// Prepares for a training, before its first batch.
    ///
    /// # Errors
    /// What the router reports; its state is unchanged then.
    fn prepare(&mut self, _: &Preparation) -> Result<()> {
        Ok(())
    }

    /// Learns from a batch: the exits of its samples, their contexts, the heads kept in each group, and the losses. Returns the FLOPs of
    /// that, by formula, two for each multiply-add.
    ///
    /// # Errors
    /// What the router reports.
    fn learn(&mut self, _: &Decisions, _: &[GroupTrace], _: &Losses) -> Result<u64> {
        Ok(0)
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
    fn stored(&self) -> Result<Value> {
        Ok(Value::Null)
    }

    /// Restores what [`stored`](Self::stored) gave.
    ///
    /// # Errors
    /// [`Error::State`] and [`Error::Setting`] for a state that is not of this router.
    fn restore(&mut self, state: Value) -> Result<()> {
        match state {
            Value::Null => Ok(()),
            _ => Err(Error::setting("router's state", "null, of a router that learns nothing", "another's")),
        }
    }
}

/// What a head router has learned beside that.
pub trait HeadState: RouterState {
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

    /// Learns from the gate gradients of a backward pass: `importance` of a sample (by index in the group) and a head. Returns FLOPs, as
    /// [`learn`](RouterState::learn) does.
    ///
    /// # Errors
    /// What the router reports.
    fn learn_gradients(&mut self, _: &GroupTrace, _importance: &dyn Fn(usize, usize) -> f64) -> Result<u64> {
        Ok(0)
    }

    /// From now on draws a head set for each sample, by its own context alone. By default a router does so anyway.
    fn draw_for_each_sample(&mut self) {}
}
