//! Slates for policies that scale their contexts: requests, slates and decisions contain raw contexts.

use super::Normalised;
use crate::clock::check_epoch;
use crate::decision::{ArmFeedback, Feedback, Slate};
use crate::error::{Error, Result};
use crate::policy::Policy;

impl<P: Policy + Clone + 'static> Normalised<P> {
    /// Learns the feedback on a slate: jointly once the scaling of contexts is final, else reward by reward on a copy
    /// of the policy.
    pub(super) fn learn_slate_raw(&mut self, slate: &Slate, feedback: &[Feedback]) -> Result<()> {
        check_epoch(slate.epoch, self.epoch())?;
        // This call fails for policies of single choices; others learn nothing from an empty slate.
        self.inner.learn_slate(&Slate { epoch: slate.epoch, ..Slate::default() }, &[])?;
        let chosen = slate.choices.len();
        for (what, expected, got) in [
            ("feedback", chosen, feedback.len()),
            ("contexts of the slate", chosen * (self.dimension() + self.features), slate.contexts.len()),
        ] {
            if got != expected {
                return Err(Error::Dimension { what, expected, got });
            }
        }
        if self.is_settled() && slate.version >= self.warm_up {
            let mut contexts = Vec::with_capacity(slate.contexts.len() + chosen);
            let mut scaled_feedback = Vec::with_capacity(chosen);
            for ArmFeedback { context, feedback, .. } in slate.feedback(feedback) {
                contexts.extend(self.scaling.context(context)?);
                scaled_feedback.push(match feedback {
                    Feedback::Observed(reward) => Feedback::Observed(self.scaling.reward(reward)?),
                    Feedback::Unobserved => feedback,
                });
            }
            let choices = slate.choices.iter().map(|&choice| self.scaling.scaled_choice(choice)).collect();
            let (pinned, version, epoch) = (slate.pinned.clone(), slate.version, slate.epoch);
            // A raw reward of 0 is not 0 after scaling, so scaled rewards count fully at every position.
            let examination = slate.examination.clone();
            let scaled = Slate { choices, pinned, contexts, version, epoch, examination, ..Slate::default() };
            return self.inner.learn_slate(&scaled, &scaled_feedback);
        }
        let mut learned = self.clone();
        for ArmFeedback { arm, context, feedback, weight } in slate.feedback(feedback) {
            if let Feedback::Observed(reward) = feedback {
                learned.update(arm, context, reward, weight)?;
            }
        }
        *self = learned;
        Ok(())
    }
}
