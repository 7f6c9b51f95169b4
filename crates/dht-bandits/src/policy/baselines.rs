//! Baseline policies that do not learn, for comparison: a learning policy should earn more reward than these.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::Policy;
use crate::arm::ArmId;
use crate::arm_set::{ArmSet, ArmSetState, SlotSpace};
use crate::clock::Clock;
use crate::decision::{Choice, Propensity, Request, check_sparse};
use crate::error::{Error, Result};
use crate::policy::forward::manages_arms;
use crate::saved_state::{StateHeader, check_header, header_reader, serde_by_state};
use crate::validate::{SPARSE, check_finite, check_length, check_scalar, check_weight};

/// Baseline policy that chooses uniformly at random among the available arms and does not learn.
/// ```
/// use dht_bandits::policy::Uniform;
/// use dht_bandits::{Policy, Request};
///
/// let policy = Uniform::new(2, 4)?;
/// let propensities = policy.propensities(&Request::new(&[1.0, 0.2]))?;
/// assert!(propensities.iter().all(|entry| entry.probability == 0.25));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Uniform {
    dimension: usize,
    arms: ArmSet,
    clock: Clock,
}

/// Baseline policy that always chooses the same arm and does not learn. If that arm is not available, it chooses
/// uniformly among the available arms.
/// ```
/// use dht_bandits::policy::Fixed;
/// use dht_bandits::{ArmId, Policy, Request};
///
/// let policy = Fixed::new(2, 3, ArmId::new(1))?;
/// let propensities = policy.propensities(&Request::new(&[1.0, 0.2]))?;
/// let probabilities: Vec<f64> = propensities.iter().map(|entry| entry.probability).collect();
/// assert_eq!(probabilities, [0.0, 1.0, 0.0]);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fixed {
    inner: Uniform,
    arm: ArmId,
}

impl Uniform {
    /// Creates a baseline over the arms 0 to `arms` − 1. The dimension is only used to check the length of contexts; a
    /// dimension of 0 accepts any length.
    ///
    /// # Errors
    /// Fails if the dimension or the number of arms exceeds 16,777,216.
    pub fn new(dimension: usize, arms: usize) -> Result<Self> {
        check_length("dimension", dimension.max(1))?;
        Ok(Self { dimension, arms: ArmSet::new(arms)?, clock: Clock::default() })
    }

    fn reserve_arm(&mut self, _like: Option<usize>) -> Result<()> {
        Ok(())
    }

    fn push_arm(&mut self, _arm: ArmId, _like: Option<usize>) {}

    fn copy_slot(&mut self, _from: usize, _to: usize) -> Result<()> {
        Ok(())
    }

    fn remove_slot(&mut self, _arm: ArmId, _slot: usize) {}

    /// Refuses a context of the wrong length or with a value that is not finite.
    fn check_context(&self, context: &[f64]) -> Result<()> {
        if context.first() == Some(&SPARSE) {
            return check_sparse(context).map(drop);
        }
        let expected = if self.dimension == 0 { context.len() } else { self.dimension };
        check_finite("context", context, expected)
    }

    /// Checks an observation. Returns the policy's logical clock after one more update.
    fn after(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<Clock> {
        self.check_context(context)?;
        check_scalar("reward", reward)?;
        check_weight(weight)?;
        self.arms.slot(arm)?;
        self.clock.after(1)
    }

    fn choice(&self, slot: usize, propensity: f64) -> Choice {
        let (arm, Clock { version, epoch }) = (self.arms.id(slot), self.clock);
        let propensity = Some(propensity);
        Choice { arm, version, score: 0.0, mean: 0.0, width: 0.0, propensity, epoch, propensity_error: 0.0 }
    }
}

impl Policy for Uniform {
    manages_arms!(self);

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn takes_sparse_contexts(&self) -> bool {
        true
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        self.check_context(request.context)?;
        let mut space = SlotSpace::default();
        let slots = self.arms.resolve(request.actions.available(), &mut space)?;
        let count = slots.count();
        let position = rng.random_range(0..count);
        let slot = slots.iter().nth(position).unwrap_or_default();
        Ok(self.choice(slot, 1.0 / count as f64))
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        self.check_context(request.context)?;
        let mut space = SlotSpace::default();
        let slots = self.arms.resolve(request.actions.available(), &mut space)?;
        let probability = 1.0 / slots.count() as f64;
        Ok(slots.iter().map(|slot| Propensity::exact(self.arms.id(slot), probability)).collect())
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.clock = self.after(arm, context, reward, weight)?;
        Ok(())
    }

    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        self.after(arm, context, reward, weight).map(|_| true)
    }
}

impl Fixed {
    /// Creates a baseline over the arms 0 to `arms` − 1 that always chooses `arm`.
    ///
    /// # Errors
    /// Fails as [`Uniform::new`] does, and if `arm` is not below `arms`.
    pub fn new(dimension: usize, arms: usize, arm: ArmId) -> Result<Self> {
        let inner = Uniform::new(dimension, arms)?;
        inner.arms.slot(arm)?;
        Ok(Self { inner, arm })
    }

    /// Arm that the baseline always chooses.
    pub fn arm(&self) -> ArmId {
        self.arm
    }
}

impl Policy for Fixed {
    fn dimension(&self) -> usize {
        self.inner.dimension
    }

    fn takes_sparse_contexts(&self) -> bool {
        true
    }

    fn arms(&self) -> &ArmSet {
        &self.inner.arms
    }

    fn version(&self) -> u64 {
        self.inner.clock.version
    }

    fn epoch(&self) -> u64 {
        self.inner.clock.epoch
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        self.inner.check_context(request.context)?;
        let mut space = SlotSpace::default();
        let slots = self.inner.arms.resolve(request.actions.available(), &mut space)?;
        match self.inner.arms.slot(self.arm) {
            Ok(slot) if slots.contains(slot) => Ok(self.inner.choice(slot, 1.0)),
            _ => self.inner.select(request, rng),
        }
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        let mut propensities = self.inner.propensities(request)?;
        if propensities.iter().any(|entry| entry.arm == self.arm) {
            let of = |arm| if arm == self.arm { 1.0 } else { 0.0 };
            propensities.iter_mut().for_each(|entry| entry.probability = of(entry.arm));
        }
        Ok(propensities)
    }

    fn add_arm(&mut self) -> Result<ArmId> {
        self.inner.add_arm()
    }

    fn insert_arm(&mut self, arm: ArmId) -> Result<()> {
        self.inner.insert_arm(arm)
    }

    /// Removes an arm permanently. The arm that the baseline always chooses cannot be removed.
    fn remove_arm(&mut self, arm: ArmId) -> Result<()> {
        if arm == self.arm {
            Err(Error::Unsupported { what: "removing the arm it plays" })
        } else {
            self.inner.remove_arm(arm)
        }
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.inner.update(arm, context, reward, weight)
    }

    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        self.inner.check_update(arm, context, reward, weight)
    }
}

header_reader!("");

/// Saved state of a [`Uniform`] or [`Fixed`] baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineState {
    /// Header of the state: the kind of policy and the version of the format.
    #[serde(deserialize_with = "read_header")]
    pub header: StateHeader,
    dimension: usize,
    arms: ArmSetState,
    version: u64,
    arm: Option<ArmId>,
    #[serde(default)]
    epoch: u64,
}

impl Uniform {
    /// Returns the state of this baseline for saving.
    pub fn state(&self) -> BaselineState {
        let (header, arms, Clock { version, epoch }) = (StateHeader::new("uniform"), self.arms.state(), self.clock);
        BaselineState { header, dimension: self.dimension, arms, version, arm: None, epoch }
    }

    /// Creates a baseline from a saved state, after checking the state.
    ///
    /// # Errors
    /// Fails if the state belongs to another kind of policy, has a newer format version, or contradicts itself.
    pub fn from_state(state: &BaselineState) -> Result<Self> {
        check_header(&state.header, "uniform")?;
        Self::load(state)
    }

    fn load(state: &BaselineState) -> Result<Self> {
        let empty = Self::new(state.dimension, 0)?;
        let (arms, clock) = (ArmSet::from_state(&state.arms)?, Clock::load(state.version, state.epoch)?);
        Ok(Self { arms, clock, ..empty })
    }
}

impl Fixed {
    /// Returns the state of this baseline for saving.
    pub fn state(&self) -> BaselineState {
        BaselineState { header: StateHeader::new("fixed"), arm: Some(self.arm), ..self.inner.state() }
    }

    /// Creates a baseline from a saved state, after checking the state.
    ///
    /// # Errors
    /// Fails if the state belongs to another kind of policy, has a newer format version, or contradicts itself.
    pub fn from_state(state: &BaselineState) -> Result<Self> {
        check_header(&state.header, "fixed")?;
        let inner = Uniform::load(state)?;
        let arm = state.arm.ok_or(Error::NoArms { arms: inner.arms.len() })?;
        inner.arms.slot(arm)?;
        Ok(Self { inner, arm })
    }
}

serde_by_state!([] Uniform as BaselineState);
serde_by_state!([] Fixed as BaselineState);
