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
    /// The heads that every head set contains; `None` if the space pins no heads. [`HeadState::pin`] may replace them
    /// when the warm-up is over.
    pub pinned: Option<HeadSet>,
    /// Features of the arms, if the contexts include them.
    pub(crate) arm_features: Option<ArmFeatures>,
}

/// Learned state and speed of a router. The default methods describe a router with neither.
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

    /// Sets the speed: a higher speed gives cheaper routes. For bandits it is λ, the price of the full model's cost in
    /// nats of loss. For a threshold router it is the threshold. For a patience it is the reciprocal.
    ///
    /// # Errors
    /// [`Error::Argument`] for a speed out of range; the default method always returns it.
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

    /// Learns from a batch: the exits and the contexts of its samples, the heads that they kept in each group, and
    /// their losses. Returns the FLOPs of the update, by formula, two for each multiply-add.
    ///
    /// # Errors
    /// Errors of the router.
    fn learn(&mut self, _: &Decisions, _: &[GroupTrace], _: &Losses) -> Result<u64> {
        Ok(0)
    }

    /// Changes to another space and keeps the learned state, as P-DHT requires.
    ///
    /// # Errors
    /// [`Error::Argument`] for a space to which the router cannot change; the default method rejects every space.
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
    /// The heads that every head set contains, once they are selected; `None` before, and if no heads are pinned.
    fn pinned(&self) -> Option<HeadSet> {
        None
    }

    /// Replaces the [pinned](Self::pinned) heads. It is called once, when the warm-up is over and the importance of
    /// heads is known. The default does nothing.
    ///
    /// # Errors
    /// Errors of the router.
    fn pin(&mut self, _: HeadSet) -> Result<()> {
        Ok(())
    }

    /// Learns from the gate gradients of a backward pass. `importance` takes the index of a sample in the group and a
    /// head. Returns FLOPs, as [`learn`](RouterState::learn) does.
    ///
    /// # Errors
    /// Errors of the router.
    fn learn_gradients(&mut self, _: &GroupTrace, _importance: &dyn Fn(usize, usize) -> f64) -> Result<u64> {
        Ok(0)
    }

    /// Switches to a separate head set for each sample, which depends on its own context alone. The default does
    /// nothing, for a router that already works this way.
    fn draw_for_each_sample(&mut self) {}
}
