//! Announcements of decisions whose rewards have not come, and their effect on further choices.

use super::configured::Kind;
use super::in_flight::InFlight;
use super::policy::AnyPolicy;
use crate::arm::ArmId;
use crate::clock::check_epoch;
use crate::decision::Decision;
use crate::error::Result;
use crate::policy::Policy;
use crate::posterior::sigmoid;

impl AnyPolicy {
    /// Announces a decision whose reward has not come yet. Until it is learned, the policy chooses as if the decision
    /// had earned the lower end of what is plausible, mean − width.
    ///
    /// Without announcements, a policy repeats its most uncertain choice until the first reward is back. An arm that is
    /// added while 1,000 rewards are in flight is then given to the next 1,000 visitors. Each announced decision lowers
    /// the bound of its arm until others are chosen as well. The price: a good new arm is found later,
    /// by two delays or more. Decisions from [`decide`](Policy::decide), and their propensities, are those of the policy
    /// that counts on these rewards. Slates do not. Each announcement counts: one that is announced twice, or after its
    /// reward was learned, waits until it is forgotten.
    ///
    /// [`learn`](Policy::learn) ends the wait of its decision, [`forget_announced`](Self::forget_announced) that of a
    /// reward that will never come. Announced decisions are not saved: announce those in flight again after a load. The
    /// cost is a second policy in memory, about four updates for each reward, and a search of the waiting decisions.
    ///
    /// ```
    /// use dht_bandits::policy::{AnyPolicy, RewardType};
    /// use dht_bandits::{Policy, Request};
    /// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    ///
    /// let mut rng = ChaCha8Rng::seed_from_u64(7);
    /// let mut policy = AnyPolicy::recommended(1, 2, RewardType::Binary)?;
    /// let first = policy.decide(&Request::new(&[1.0]), &mut rng)?;
    /// policy.announce(&first)?;
    /// let second = policy.decide(&Request::new(&[1.0]), &mut rng)?;
    /// assert_ne!(first.arm(), second.arm());
    /// policy.learn(&first, 1.0)?;
    /// assert_eq!(policy.announced(), 0);
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// A decision of another epoch; an arm that is unknown or removed; a context that does not fit; values that overflow.
    /// The policy is unchanged then.
    pub fn announce(&mut self, decision: &Decision) -> Result<()> {
        check_epoch(decision.choice.epoch, self.epoch())?;
        let mut flight = match self.in_flight.take() {
            Some(flight) => flight,
            None => Box::new(InFlight { waiting: Vec::new(), chooser: self.policy.clone(), stale: 0 }),
        };
        let reward = self.cautious(decision);
        let learned = flight.chooser.as_policy_mut().update(decision.arm(), &decision.context, reward, 1.0);
        if learned.is_ok() {
            flight.waiting.push(decision.clone());
        }
        self.in_flight = Some(flight).filter(|flight| !flight.waiting.is_empty());
        learned
    }

    /// Number of announced decisions whose rewards have not been learned.
    pub fn announced(&self) -> usize {
        self.in_flight.as_ref().map_or(0, |flight| flight.waiting.len())
    }

    /// Ends the wait for the reward of a decision that was announced; returns whether it was.
    pub fn forget_announced(&mut self, decision: &Decision) -> bool {
        let found = self.end_wait(decision);
        self.refresh(usize::from(found));
        found
    }

    /// Reward at the lower end of what is plausible for a decision: mean − width.
    fn cautious(&self, decision: &Decision) -> f64 {
        let low = decision.choice.mean - decision.choice.width;
        if self.kind().is_logistic() { sigmoid(low) } else { low }
    }

    pub(super) fn end_wait(&mut self, decision: &Decision) -> bool {
        let Some(flight) = &mut self.in_flight else { return false };
        match flight.waiting.iter().position(|waiting| waiting == decision) {
            Some(position) => {
                flight.waiting.remove(position);
                true
            }
            None => false,
        }
    }

    /// Makes the chooser anew after `changes` rewards or other changes, if they are many: usize::MAX for changes that
    /// it must not miss.
    pub(super) fn refresh(&mut self, changes: usize) {
        let Some(mut flight) = self.in_flight.take() else { return };
        flight.stale = flight.stale.saturating_add(changes);
        if flight.stale.saturating_mul(4) >= flight.waiting.len().max(16) {
            let mut chooser = self.policy.clone();
            // The reward of an arm that was removed is never learned.
            flight.waiting.retain(|decision| {
                let reward = self.cautious(decision);
                chooser.as_policy_mut().update(decision.arm(), &decision.context, reward, 1.0).is_ok()
            });
            (flight.chooser, flight.stale) = (chooser, 0);
        }
        self.in_flight = Some(flight).filter(|flight| !flight.waiting.is_empty());
    }

    /// Learns a reward in the chooser, too; one that it refuses makes it stale.
    pub(super) fn refresh_after(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) {
        let Some(flight) = &mut self.in_flight else { return };
        let learned = flight.chooser.as_policy_mut().update(arm, context, reward, weight);
        self.refresh(if learned.is_ok() { 1 } else { usize::MAX });
    }
}
