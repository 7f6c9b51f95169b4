//! Announced decisions: until their delayed rewards arrive, the policy assumes cautious rewards for them when it
//! chooses.

use super::configured::CloneablePolicy;
use super::in_flight::InFlight;
use super::policy::AnyPolicy;
use crate::arm::ArmId;
use crate::clock::check_epoch;
use crate::decision::Decision;
use crate::error::Result;
use crate::policy::Policy;
use crate::posterior::sigmoid;

impl AnyPolicy {
    /// Announces a decision whose reward has not arrived yet. Until its reward is learned, the policy chooses as if the
    /// decision had earned mean − width, the lower end of its plausible rewards.
    ///
    /// Without announcements, a policy repeats its most uncertain choice until the first reward arrives. For example,
    /// an arm that is added while 1,000 rewards are outstanding is shown to the next 1,000 visitors. Each announced
    /// decision lowers the upper confidence bound of its arm, so that other arms are chosen as well. The disadvantage
    /// is that a good new arm is recognised later, by two delays or more.
    ///
    /// [`decide`](Policy::decide) and the propensities take announcements into account; slates do not. Every
    /// announcement counts. A decision that is announced twice, or after its reward was learned, remains announced
    /// until [`forget_announced`](Self::forget_announced) is called.
    ///
    /// [`learn`](Policy::learn) ends the announcement of its decision. [`forget_announced`](Self::forget_announced)
    /// ends an announcement if the reward will never arrive. Announcements are not saved: repeat them after loading.
    /// The cost is a second policy in memory, about four updates for each reward, and a search of the announced
    /// decisions.
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
    /// Fails if the decision was made in another epoch, if its arm is unknown or removed, if the context does not fit,
    /// or if a value overflows. After an error the policy is unchanged.
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

    /// Number of announced decisions whose rewards have not been learned yet.
    pub fn announced(&self) -> usize {
        self.in_flight.as_ref().map_or(0, |flight| flight.waiting.len())
    }

    /// Ends the announcement of a decision whose reward will not arrive. Returns `false` if the decision was not
    /// announced.
    pub fn forget_announced(&mut self, decision: &Decision) -> bool {
        let was_announced = self.end_wait(decision);
        self.refresh(usize::from(was_announced));
        was_announced
    }

    /// Reward assumed for an announced decision: mean − width, the lower end of its plausible rewards.
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

    /// Rebuilds the copy of the policy that chooses while rewards are outstanding, once many changes have occurred
    /// since it was built. `changes` is the number of new changes; `usize::MAX` always rebuilds the copy.
    pub(super) fn refresh(&mut self, changes: usize) {
        let Some(mut flight) = self.in_flight.take() else { return };
        flight.stale = flight.stale.saturating_add(changes);
        if flight.stale.saturating_mul(4) >= flight.waiting.len().max(16) {
            let mut chooser = self.policy.clone();
            // A decision of a removed arm is dropped, since its reward is never learned.
            flight.waiting.retain(|decision| {
                let reward = self.cautious(decision);
                chooser.as_policy_mut().update(decision.arm(), &decision.context, reward, 1.0).is_ok()
            });
            (flight.chooser, flight.stale) = (chooser, 0);
        }
        self.in_flight = Some(flight).filter(|flight| !flight.waiting.is_empty());
    }

    /// Learns a reward in the copy of the policy that chooses while rewards are outstanding. If the copy refuses the
    /// reward, it is rebuilt.
    pub(super) fn refresh_after(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) {
        let Some(flight) = &mut self.in_flight else { return };
        let learned = flight.chooser.as_policy_mut().update(arm, context, reward, weight);
        self.refresh(if learned.is_ok() { 1 } else { usize::MAX });
    }
}
