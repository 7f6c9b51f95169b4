//! Interface of a search's routers.

use dht_dynamic::Error as Dynamic;
use dht_dynamic::passage::{GroupTrace, Trace};
use dht_dynamic::router::{Decisions, GroupView, HeadSetGroup, Mode};
use dht_dynamic::{Route, Router};
use dht_transformer::HeadSet;
use serde_json::Value;

use super::losses::Losses;
use crate::error::{Error, Result};
use crate::features::ArmFeatures;
use crate::space::SearchSpace;

/// Input that a router receives before the first batch is trained on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Preparation {
    /// Pinned heads, which every head set contains; `None` if the search space pins no heads. [`Learner::pin`] may
    /// replace the pinned heads when the warm-up is over.
    pub pinned: Option<HeadSet>,
    /// Features of the arms, if the contexts include them.
    pub(crate) arm_features: Option<ArmFeatures>,
}

/// Router of a search: a [`Router`] that may also learn, from the losses of the samples that it routed.
///
/// With the default methods the router does not learn. [`SearchModel::with_router`](crate::SearchModel::with_router)
/// sets the depth router, [`with_head_router`](crate::SearchModel::with_head_router) the head router.
///
/// # Examples
/// A router that sends short texts to the first exit:
///
/// ```
/// use dht_search::dynamic::router::{Decisions, ExitView, Mode};
/// use dht_search::dynamic::{Result, Router};
/// use dht_search::Learner;
///
/// #[derive(Debug, Clone)]
/// struct ByLength {
///     tokens: usize,
/// }
///
/// impl Router for ByLength {
///     fn reads(&self, _exit: usize, _last: usize) -> bool {
///         false // no decision needs an exit's answers
///     }
///
///     fn begin(
///         &self,
///         view: &ExitView<'_>,
///         decisions: &mut Decisions,
///         last: usize,
///         _: &mut Mode<'_>,
///     ) -> Result<()> {
///         let exit = |tokens| if tokens <= self.tokens { 0 } else { last };
///         decisions.exits = view.lengths().map(exit).collect();
///         Ok(())
///     }
/// }
///
/// impl Learner for ByLength {
///     fn box_clone(&self) -> Box<dyn Learner> {
///         Box::new(self.clone())
///     }
/// }
/// ```
pub trait Learner: Router {
    /// Returns whether the warm-up is over, so that the router can decide. During the warm-up, samples take random
    /// routes in training and run the full model in inference.
    fn is_warm(&self) -> bool {
        true
    }

    /// Sets the speed, which trades quality for cost: a higher speed gives cheaper routes. For bandits it is λ, the
    /// loss in nats that equals the cost of the full model. For a threshold router it is the threshold. For a patience
    /// router, which waits until enough consecutive exits agree, it is 1 / patience.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if the speed is out of range. The default method rejects every speed.
    fn set_speed(&mut self, speed: f64) -> Result<()> {
        Err(Error::argument("speed", "none, for a router of one speed", speed))
    }

    /// Prepares the router for a training run. It is called before the first batch is trained on.
    ///
    /// # Errors
    /// Each router defines its errors. An error leaves the router's state unchanged.
    fn prepare(&mut self, _: &Preparation) -> Result<()> {
        Ok(())
    }

    /// Updates the router from a batch. The trace has the exits and the contexts of the samples, and the heads that
    /// they kept in each group. Returns the FLOPs of the update, by formula, two for each multiply-add.
    ///
    /// # Errors
    /// Each router defines its errors.
    fn learn(&mut self, _: &Trace, _: &Losses) -> Result<u64> {
        Ok(0)
    }

    /// Changes to another search space without losing learned state. P-DHT needs it, because its two training phases
    /// have different search spaces.
    ///
    /// # Errors
    /// [`State`](dht_dynamic::Error::State) if the router cannot change to the new space. The default method rejects
    /// every space.
    fn enter(&mut self, _: &SearchSpace) -> Result<()> {
        Err(Error::state("space", "the space for which the router was built", "another space"))
    }

    /// Rejects a queued sample that this router cannot have routed to exit `_exit`. `_kept` is the sample's number of
    /// heads, if one was selected, and `_notes` are the router's notes about the sample.
    ///
    /// # Errors
    /// [`State`](dht_dynamic::Error::State) if the sample does not fit. The error names the property.
    #[doc(hidden)]
    fn check_queued(&self, _exit: usize, _kept: Option<usize>, _notes: &[f64]) -> Result<()> {
        Ok(())
    }

    /// Restores the state that [`state`](Router::state) returned.
    ///
    /// # Errors
    /// [`Json`](dht_dynamic::Error::Json) or [`State`](dht_dynamic::Error::State) if the state is not a state of this
    /// router.
    fn restore(&mut self, state: Value) -> Result<()> {
        match state {
            Value::Null => Ok(()),
            _ => Err(Error::state(
                "router's state",
                "null, since this router learns nothing",
                "the state of another router",
            )),
        }
    }

    /// Selects head sets of prescribed sizes, so that evaluations on fixed routes keep heads that this router selects.
    /// `kept` has the number of heads of each sample of `view`.
    ///
    /// The default method returns the head sets that [`heads`](Router::heads) selects, which must have the prescribed
    /// sizes.
    ///
    /// # Errors
    /// Each router defines its errors. The default returns [`Shape`](dht_dynamic::Error::Shape) if
    /// [`heads`](Router::heads) selects other sizes.
    fn sets_keeping(&self, view: &GroupView<'_>, kept: &[usize], mode: &mut Mode<'_>) -> Result<Vec<HeadSetGroup>> {
        let head_sets = self.heads(view, mode)?.map(|decisions| decisions.head_sets).unwrap_or_default();
        for set in &head_sets {
            if let Some(size) = set.samples.iter().map(|index| kept[*index]).find(|size| *size != set.heads.len()) {
                let expected = format!("{size}, which sets_keeping of this head router would choose");
                return Err(Error::shape("heads kept", expected, set.heads.len()));
            }
        }
        Ok(head_sets)
    }

    /// Pinned heads, which every head set contains. `None` if the search space pins no heads, or if they are not yet
    /// selected.
    fn pinned(&self) -> Option<HeadSet> {
        None
    }

    /// Replaces the pinned heads, which every head set contains. This method is called once, when the warm-up is over
    /// and the importance of heads is known. The default does nothing.
    ///
    /// # Errors
    /// Each router defines its errors.
    fn pin(&mut self, _: HeadSet) -> Result<()> {
        Ok(())
    }

    /// Updates the router from the importance of heads, which a backward pass computes from gradients of head gates.
    /// `_importance` takes the index of a sample and a head. Returns the FLOPs of the update, two for each
    /// multiply-add.
    ///
    /// # Errors
    /// Each router defines its errors.
    fn learn_gradients(&mut self, _: &GroupTrace, _importance: &dyn Fn(usize, usize) -> f64) -> Result<u64> {
        Ok(0)
    }

    /// Selects a separate head set for each sample from now on, so that a sample's heads do not depend on its batch.
    /// The default does nothing: it is for routers whose head sets are already separate.
    fn draw_for_each_sample(&mut self) {}

    /// Returns a boxed copy with the learned state.
    fn box_clone(&self) -> Box<dyn Learner>;
}

impl Clone for Box<dyn Learner> {
    fn clone(&self) -> Self {
        (**self).box_clone()
    }
}

/// Converts the selected arms of an integrated search into routing decisions. `arms` has, for each sample, the index of
/// its route among the space's [arms](SearchSpace::integrated_arms).
///
/// # Errors
/// [`Range`](dht_dynamic::Error::Range) if an index in `arms` is out of range. It always is in a tree search, whose
/// space has no such arms.
///
/// # Examples
/// ```
/// use dht_search::{Preset, routing::taking_arms};
///
/// let space = Preset::SDht.space(12, 12)?; // 3L12H, 6L12H, 9L12H, 12L8H, 12L10H, 12L12H
/// let decisions = taking_arms(&space, &[1, 3])?;
/// assert_eq!(decisions.exits, [1, 3]); // 6 and 12 layers
/// assert_eq!(decisions.kept, [12, 8]);
/// # Ok::<(), dht_search::Error>(())
/// ```
pub fn taking_arms(space: &SearchSpace, arms: &[usize]) -> Result<Decisions> {
    let routes = space.integrated_arms();
    let mut decisions = Decisions::default();
    for &arm in arms {
        let missing = || Error::Dynamic(Dynamic::Range { what: "arm", got: arm, below: routes.len() });
        let route = routes.get(arm).ok_or_else(missing)?;
        let exit = space.exits().iter().position(|exit| *exit == route.exit()).ok_or_else(missing)?;
        decisions.exits.push(exit);
        decisions.kept.push(kept(route));
    }
    Ok(decisions)
}

/// Number of heads that a route keeps in its dynamic groups, which have a choice of heads; all heads if it has no such
/// group.
pub(crate) fn kept(arm: &Route) -> usize {
    arm.uniform_heads().unwrap_or(arm.model_shape().heads)
}

/// Number of heads that a text keeps in an integrated search, from its routing decision.
///
/// # Errors
/// [`Shape`](dht_dynamic::Error::Shape) if the decisions do not come from [arms](taking_arms).
pub(crate) fn kept_by(decisions: &Decisions, text: usize) -> Result<usize> {
    let missing = || Error::shape("router's decisions", "arms in an integrated space", "none");
    decisions.kept.get(text).copied().ok_or_else(missing)
}
