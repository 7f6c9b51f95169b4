//! Implementation of the `Policy` trait for semi-bandits, which choose slates; a single choice is a slate of one arm.

use rand::Rng;

use super::TopK;
use crate::arm::ArmId;
use crate::clock::check_epoch;
use crate::decision::{ArmFeedback, Choice, Decision, Feedback, Propensity, Request, Slate};
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::features::Interactions;
use crate::policy::forward::manages_arms;
use crate::policy::{Explanation, Observation, Policy, Term};
use crate::posterior::{Beliefs, Posterior, copy_of_slot};
use crate::validate::check_finite;

fn only<T>(mut slate: Vec<T>) -> Result<T> {
    slate.pop().ok_or(Error::NoArms { arms: 0 })
}

/// Single choices are slates of one arm, and allocate memory. In a hot loop, reuse a slate with
/// [`TopK::select_slate_into`].
impl<P: Posterior, E: Exploration> Policy for TopK<P, E> {
    manages_arms!(self);

    /// Length of context and arm features together, without their products.
    fn dimension(&self) -> usize {
        let length = |interactions: &Interactions| interactions.context() + interactions.features();
        self.interactions.as_ref().map_or(self.posterior.dimension(), length)
    }

    /// Learns several rewards of single decisions at once: all of them, or none if one is refused.
    ///
    /// # Errors
    /// Fails as [`update_batch`](Self::update_batch) does, and if a decision was made in another
    /// [epoch](Policy::epoch).
    fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        observations.iter().try_for_each(|seen| check_epoch(seen.decision.choice.epoch, self.clock.epoch))?;
        self.update_observed(observations.iter().map(|Observation { decision, reward, weight }| {
            let (context, feedback) = (&decision.context[..], Feedback::Observed(*reward));
            ArmFeedback { arm: decision.arm(), context, feedback, weight: *weight }
        }))
    }

    fn keeps_features(&self) -> bool {
        true
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        only(self.select_slate(1, request, rng)?.choices)
    }

    fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        let slate = self.decide_slate(1, request, rng)?;
        Ok(Decision { choice: only(slate.choices)?, context: slate.contexts })
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        self.slate_propensities(1, request)
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.update_batch(&[ArmFeedback { arm, context, feedback: Feedback::Observed(reward), weight }])
    }

    fn select_slate(&self, k: usize, request: &Request<'_>, rng: &mut dyn Rng, slate: &mut Slate) -> Result<()> {
        self.select_slate_into(k, request, rng, slate)
    }

    fn decide_slate(&self, k: usize, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Slate> {
        self.decide_slate(k, request, rng)
    }

    fn slate_propensities(&self, k: usize, request: &Request<'_>) -> Result<Vec<Propensity>> {
        self.slate_propensities(k, request)
    }

    fn learn_slate(&mut self, slate: &Slate, feedback: &[Feedback]) -> Result<()> {
        self.learn_slate(slate, feedback)
    }

    fn explain(&self, decision: &Decision) -> Result<Explanation> {
        check_finite("context", &decision.context, self.dimension())?;
        let (raw, slot) = (decision.context.len(), self.slot(decision.arm())?);
        let products = self.interactions.as_ref().map_or_else(Vec::new, Interactions::products);
        let term = |place: usize| match place.checked_sub(raw).and_then(|place| products.get(place)) {
            Some(&(i, j)) => Term::Product(i, j),
            None => Term::Column(place),
        };
        let row = self.expand(&decision.context, Vec::new());
        Explanation::linear(&row, term, |row| self.posterior.score(slot, row).checked())
    }

    /// Checks an observation by learning it on a copy of the weights that it would change.
    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        let slot = self.check(arm, context, weight)?;
        self.posterior.check_reward(reward)?;
        self.clock.after(1)?;
        // The reward is learned as a batch of one, since a logistic posterior may learn a batch differently from a
        // single reward.
        let row = self.expand(context, Vec::new());
        copy_of_slot(&self.posterior, slot)?.update_batch(0, &row, &[reward], &[weight])?;
        Ok(true)
    }
}
