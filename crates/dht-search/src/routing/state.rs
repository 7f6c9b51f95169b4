//! Mutable state of a router: its learned state, and its speed.

use dht_transformer::HeadSet;
use serde_json::Value;

use super::trace::{Decisions, GroupTrace, Losses, QueuedDecision};
use crate::error::{Error, Result};
use crate::features::ArmFeatures;
use crate::space::SearchSpace;

/// Input of a router before the first batch of a training.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Preparation {
    /// The heads that every head set contains; `None` where the space pins none. [`HeadState::pin`] may replace them
    /// when the warm-up is over.
    pub pinned: Option<HeadSet>,
    /// Features of the arms, where the contexts have them.
    pub(crate) arm_features: Option<ArmFeatures>,
}

/// Learned state and speed of a router. The default methods have neither.
pub trait RouterState {
    /// Returns whether the warm-up is over, so that the router can decide. Until then samples take random routes in
    /// training and the full model in inference.
    fn is_warm(&self) -> bool {
        true
    }

    /// The router's speed; `None` for a router with a single speed.
    fn speed(&self) -> Option<f64> {
        None
    }

    /// Sets the speed: the higher, the cheaper the routes. For bandits it is λ, the price of the full model's cost in
    /// nats of loss; for a threshold the threshold, for a patience its reciprocal.
    ///
    /// # Errors
    /// [`Error::Argument`] for a speed out of range, and always by default.
    fn set_speed(&mut self, speed: f64) -> Result<()> {
        Err(Error::argument("speed", "none, for a router of one speed", speed))
    }

    /// Prepares for a training, before its first batch.
    ///
    /// # Errors
    /// Errors of the router; its state is then unchanged.
    fn prepare(&mut self, _: &Preparation) -> Result<()> {
        Ok(())
    }

    /// Learns from a batch: the exits of its samples, their contexts, the heads kept in each group, and the losses.
    /// Returns the FLOPs of the update, by formula, two for each multiply-add.
    ///
    /// # Errors
    /// Errors of the router.
    fn learn(&mut self, _: &Decisions, _: &[GroupTrace], _: &Losses) -> Result<u64> {
        Ok(0)
    }

    /// Changes to another space and keeps the learned state (P-DHT).
    ///
    /// # Errors
    /// [`Error::Argument`] for a space that it cannot change to; by default for any space.
    fn enter(&mut self, _: &SearchSpace) -> Result<()> {
        Err(Error::state("space", "the one that the router was made for", "another"))
    }

    /// Rejects a queued sample that this router cannot have sent to the queue of `exit`.
    ///
    /// # Errors
    /// [`Error::Argument`] with the part that does not fit.
    #[doc(hidden)]
    fn check_queued(&self, _exit: usize, _: &QueuedDecision) -> Result<()> {
        Ok(())
    }

    /// Serialises the learned state for a checkpoint. `null` by default.
    ///
    /// # Errors
    /// Errors of the serialisation.
    fn stored(&self) -> Result<Value> {
        Ok(Value::Null)
    }

    /// Restores the state that [`stored`](Self::stored) returned.
    ///
    /// # Errors
    /// [`Error::Json`] and [`Error::Argument`] for a state that does not belong to this router.
    fn restore(&mut self, state: Value) -> Result<()> {
        match state {
            Value::Null => Ok(()),
            _ => Err(Error::state("router's state", "null, of a router that learns nothing", "another's")),
        }
    }
}

/// Additional learned state of a head router.
pub trait HeadState: RouterState {
    /// The heads that every head set contains, once they are selected; also `None` where none is pinned.
    fn pinned(&self) -> Option<HeadSet> {
        None
    }

    /// Replaces the [pinned](Self::pinned) heads, once, when the warm-up is over and the importance of heads is known.
    /// By default nothing is pinned.
    ///
    /// # Errors
    /// Errors of the router.
    fn pin(&mut self, _: HeadSet) -> Result<()> {
        Ok(())
    }

    /// Learns from the gate gradients of a backward pass: `importance` of a sample (by index in the group) and a head.
    /// Returns FLOPs, as [`learn`](RouterState::learn) does.
    ///
    /// # Errors
    /// Errors of the router.
    fn learn_gradients(&mut self, _: &GroupTrace, _importance: &dyn Fn(usize, usize) -> f64) -> Result<u64> {
        Ok(0)
    }

    /// Switches to one head set for each sample, by its context alone. The default does nothing, for a router that
    /// always does so.
    fn draw_for_each_sample(&mut self) {}
}
