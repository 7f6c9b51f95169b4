//! Forgetting by a decay clock, a window or a change test, for types of policies without a method of their own.

use std::any::Any;
use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::AnyRule;
use super::configured::{CloneablePolicy, Configured};
use super::rule::FlooredRule;
use super::settings::PolicySettings;
use crate::arm::ArmId;
use crate::clock::check_epoch;
use crate::decision::{Decision, Feedback, Slate};
use crate::error::{Error, Result};
use crate::features::Interactions;
use crate::policy::Policy;
use crate::policy::drift::ChangeDetector;
use crate::policy::forward::chooses_as;
use crate::posterior::{DecayClock, sigmoid};
use crate::validate::{check_length, check_parameter};

/// Wrapper that makes any policy forget old evidence, by a decay clock, a window or a change test.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forgetful<P> {
    policy: Box<P>,
    memory: Memory<P>,
}

/// Method of forgetting, with its state.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Memory<P> {
    /// Decay of all evidence by one clock. The decay of the last `due` steps is not applied yet. It is applied in one
    /// operation before its factor would fall below [`LEAST_DUE`].
    Clock { decay: f64, clock: DecayClock, due: f64 },
    /// Window of the last n/2 to n observations, where n is `length`. A second policy, `younger`, is untrained at first
    /// and learns in parallel. After n/2 observations it replaces the first policy, and a new untrained one becomes
    /// `younger`.
    Window { length: usize, since: usize, younger: Box<P> },
    /// Change test, which resets the policy when its predictions become worse.
    Reset { detector: ChangeDetector, resets: u64 },
}

/// Smallest decay factor that may remain unapplied. The weights of observations are wrong by at most this factor.
const LEAST_DUE: f64 = 0.95;

/// Returns an untrained copy of a policy, with the same arms, version and epoch.
fn blank<P: CloneablePolicy>(policy: &P) -> Box<P> {
    let mut blank = policy.clone();
    blank.reset();
    Box::new(blank)
}

impl<P: CloneablePolicy> Forgetful<P> {
    /// Wraps an untrained policy, which will forget by the clock, window or change test in the settings.
    ///
    /// # Errors
    /// Fails if the settings have no clock, window or change test, or if one of them is out of its range.
    pub(super) fn new(policy: P, settings: &PolicySettings) -> Result<Self> {
        let memory = match (settings.clock, settings.window, settings.reset) {
            (Some(clock), ..) => Memory::Clock { decay: settings.decay, clock, due: 0.0 },
            (_, Some(length), _) => {
                check_length("window", length)?;
                Memory::Window { length, since: 0, younger: blank(&policy) }
            }
            (.., Some(test)) => Memory::Reset { detector: ChangeDetector::new(test)?, resets: 0 },
            _ => {
                let problem = "clock, window or reset: expected one of them for a policy that forgets".to_owned();
                return Err(Error::Settings { problem });
            }
        };
        Ok(Self { policy: Box::new(policy), memory })
    }

    /// Wrapped policy, which chooses the arms.
    pub(super) fn policy(&self) -> &P {
        &self.policy
    }

    /// Number of resets by the change test; `None` without a test.
    pub(super) fn resets(&self) -> Option<u64> {
        if let Memory::Reset { resets, .. } = self.memory { Some(resets) } else { None }
    }

    /// Advances the decay clock by an elapsed time.
    ///
    /// # Errors
    /// Fails if the policy has no clock that measures time, or if the time is negative or not finite. After an error
    /// the policy is unchanged.
    pub(super) fn elapse(&mut self, time: f64) -> Result<()> {
        let Memory::Clock { clock: DecayClock::Time, due, .. } = &mut self.memory else {
            return Err(Error::Settings { problem: "clock: expected \"time\" to let time elapse".to_owned() });
        };
        check_parameter("elapsed time", time, time >= 0.0, "at least 0: a clock does not go back")?;
        check_parameter("elapsed time", *due + time, true, "of a finite sum")?;
        *due += time;
        self.forget_due();
        Ok(())
    }

    /// Applies the decay of steps that have passed, once it is large enough to be worth its cost. If the decayed
    /// evidence cannot be computed now, the decay is applied later.
    fn forget_due(&mut self) {
        let Memory::Clock { decay, due, .. } = &mut self.memory else { return };
        let factor = decay.powf(*due);
        // The decay is applied before the next step would exceed the limit.
        if factor * *decay < LEAST_DUE && self.policy.forget(factor.max(1e-100)).is_ok() {
            *due = 0.0;
        }
    }

    /// Advances the clock or window after the policy has learned `count` observations. `teach` makes another policy
    /// learn them too.
    fn after(&mut self, count: usize, teach: impl Fn(&mut P) -> Result<()>) {
        match &mut self.memory {
            Memory::Clock { clock, due, .. } => {
                if *clock == DecayClock::Updates {
                    *due += count as f64;
                }
                self.forget_due();
            }
            Memory::Window { length, since, younger } => {
                if teach(younger).is_err() {
                    // If the younger policy cannot learn the observation, it starts again without it and without those
                    // before.
                    *younger = blank(&self.policy);
                }
                *since += count;
                if *since >= length.div_ceil(2) {
                    *since = 0;
                    std::mem::swap(&mut self.policy, younger);
                    *younger = blank(&self.policy);
                }
            }
            Memory::Reset { .. } => {}
        }
    }

    /// Tests the error of a prediction, and resets the policy if errors have increased.
    ///
    /// For a logistic model the tested error is prediction − reward. The absolute error is not tested, because it may
    /// decrease after a change: if a reward rate below one half falls, |reward − prediction| falls too.
    fn test(&mut self, mean: f64, reward: f64) {
        let logistic = self.policy.is_logistic();
        let Memory::Reset { detector, resets } = &mut self.memory else { return };
        let error = if logistic { sigmoid(mean) - reward } else { (reward - mean).abs() };
        // An error that is too large for the test is ignored by it; the policy has still learned the reward.
        if detector.push(error).unwrap_or(None) == Some(Ordering::Greater) {
            detector.reset();
            *resets += 1;
            self.policy.reset();
        }
    }

    /// Changes the arms of all policies in this wrapper, or of none if the change fails.
    fn change<T>(&mut self, change: impl Fn(&mut P) -> Result<T>) -> Result<T> {
        if let Memory::Window { younger, .. } = &mut self.memory {
            let mut copy = younger.clone();
            change(&mut copy)?;
            let changed = change(&mut self.policy)?;
            **younger = *copy;
            return Ok(changed);
        }
        change(&mut self.policy)
    }

    /// Returns whether a loaded state is consistent. For a window, both policies must have learned from the same
    /// stream.
    fn is_consistent(&self) -> bool {
        match &self.memory {
            Memory::Clock { due, .. } => due.is_finite() && *due >= 0.0,
            Memory::Window { length, since, younger } => {
                let arms = || self.arms().iter().eq(younger.arms().iter());
                *since < length.div_ceil(2)
                    && self.policy.has_settings_of(&**younger)
                    && self.version() == younger.version()
                    && self.epoch() == younger.epoch()
                    && arms()
            }
            Memory::Reset { .. } => true,
        }
    }
}

impl<P: CloneablePolicy> Policy for Forgetful<P> {
    fn dimension(&self) -> usize {
        self.policy.dimension()
    }

    chooses_as!(self => &*self.policy);

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.policy.update(arm, context, reward, weight)?;
        self.after(1, |policy| policy.update(arm, context, reward, weight));
        Ok(())
    }

    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        self.policy.check_update(arm, context, reward, weight)
    }

    /// Learns the reward of a decision, and resets the policy if its predictions have become worse.
    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        check_epoch(decision.choice.epoch, self.epoch())?;
        self.update(decision.arm(), &decision.context, reward, 1.0)?;
        self.test(decision.choice.mean, reward);
        Ok(())
    }

    fn learn_slate(&mut self, slate: &Slate, feedback: &[Feedback]) -> Result<()> {
        let before = self.version();
        self.policy.learn_slate(slate, feedback)?;
        let count = self.version().saturating_sub(before);
        self.after(usize::try_from(count).unwrap_or(usize::MAX), |policy| policy.learn_slate(slate, feedback));
        for (choice, feedback) in slate.choices().iter().zip(feedback) {
            if let Feedback::Observed(reward) = *feedback {
                self.test(choice.mean, reward);
            }
        }
        Ok(())
    }

    fn add_arm(&mut self) -> Result<ArmId> {
        self.change(Policy::add_arm)
    }

    fn insert_arm(&mut self, arm: ArmId) -> Result<()> {
        self.change(|policy| policy.insert_arm(arm))
    }

    fn add_arm_like(&mut self, like: ArmId) -> Result<ArmId> {
        self.change(|policy| policy.add_arm_like(like))
    }

    fn warm_start(&mut self, to: ArmId, from: ArmId) -> Result<()> {
        self.change(|policy| policy.warm_start(to, from))
    }

    fn remove_arm(&mut self, arm: ArmId) -> Result<()> {
        self.change(|policy| policy.remove_arm(arm))
    }

    fn expire_decisions(&mut self) -> Result<()> {
        self.change(Policy::expire_decisions)
    }
}

impl<P: CloneablePolicy> Configured for Forgetful<P> {
    fn rule(&self) -> Option<AnyRule> {
        self.policy.rule()
    }

    fn set_rule(&mut self, rule: FlooredRule) -> Result<()> {
        self.change(|policy| policy.set_rule(rule))
    }

    fn has_settings_of(&self, other: &dyn Any) -> bool {
        let same = |other: &Self| {
            let memory = match (&self.memory, &other.memory) {
                (Memory::Clock { decay, clock, .. }, Memory::Clock { decay: theirs, clock: of, .. }) => {
                    decay == theirs && clock == of
                }
                (Memory::Window { length, .. }, Memory::Window { length: theirs, .. }) => length == theirs,
                (Memory::Reset { detector, .. }, Memory::Reset { detector: theirs, .. }) => detector.tests_as(theirs),
                _ => false,
            };
            memory && self.policy.has_settings_of(&*other.policy) && self.is_consistent()
        };
        other.downcast_ref().is_some_and(same)
    }

    fn interactions(&self) -> Option<&Interactions> {
        self.policy.interactions()
    }

    fn reset(&mut self) {
        self.policy.reset();
    }

    fn forget(&mut self, decay: f64) -> Result<()> {
        self.policy.forget(decay)
    }
}
