//! Validation of settings: single values, combinations, and compatibility with a search space.

use super::bandits::Normalization;
use super::exits::{ClassifierSharing, ExitLosses};
use super::ranges::{check_number, check_power, check_share};
use super::routing::{PinnedHeads, RouterKind};
use super::settings::SearchSettings;
use super::training::Dispatch;
use crate::error::{Error, Result};
use crate::reward::RewardShape;
use crate::space::SearchSpace;

impl SearchSettings {
    /// Checks the range of every setting, and that the settings are consistent with each other.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) with the first setting that is out of range or inconsistent.
    pub fn check(&self) -> Result<()> {
        self.exploration.check("exploration", 0.0)?;
        check_power("explore_power", self.explore_power)?;
        let positive = [
            ("prior_precision", self.prior_precision),
            ("forgetting_decay", self.forgetting_decay),
            ("head_set_prior_precision", self.head_set_prior_precision),
            ("head_set_prior_weight", self.head_set_prior_weight),
        ];
        for (field, value) in positive {
            check_number(field, value, f64::MIN_POSITIVE)?;
        }
        let shares = [("forgetting_decay", self.forgetting_decay), ("explore_share", self.explore_share)];
        shares.into_iter().try_for_each(|(field, share)| check_share(field, share))?;
        self.full_model_steps.check(self.explore_share)?;
        self.soft_labels.map_or(Ok(()), |soft| soft.check(self.exit_losses))?;
        self.loss_source.check()?;
        self.depth_rewards().check()?;
        self.heads_rewards().check()?;
        self.arm_rewards().check()?;
        self.exit_losses.check()?;
        self.exit_kind.check(self.pooling)?;
        if self.last_exit_pooling.is_some() && self.classifier_sharing == ClassifierSharing::Shared {
            let expected = "none, since all exits share one classifier";
            return Err(Error::argument("last_exit_pooling", expected, "one"));
        }
        self.router.check()?;
        self.check_needs_of_passed_exits()?;
        if self.normalization == Normalization::Rolling && self.pinned_heads == PinnedHeads::GradientImportance {
            let expected = "largest_norm or given: with rolling statistics there is no warm-up to choose heads in";
            return Err(Error::argument("pinned_heads", expected, "gradient_importance"));
        }
        let counts = [
            ("warm_up_contexts", self.warm_up_contexts),
            ("arm_feature_texts", self.arm_feature_texts.unwrap_or(1)),
            ("dispatch.queue.size", self.dispatch.queue_size().unwrap_or(1)),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((field, count)) => Err(Error::argument(field, "at least 1", count)),
            None => Ok(()),
        }
    }

    /// Rejects settings that require losses at the exits that a sample passes before it stops, if `exit_losses` does
    /// not compute these losses.
    fn check_needs_of_passed_exits(&self) -> Result<()> {
        if self.exit_losses != ExitLosses::Chosen {
            return Ok(());
        }
        let needs_exits = [
            ("reward_shape", matches!(self.reward_shape, RewardShape::Gain { .. })),
            ("nested_feedback", self.nested_feedback),
            ("context", self.context.has_signals()),
        ];
        match needs_exits.into_iter().find(|(_, needs)| *needs) {
            Some((field, _)) => {
                let expected = "a choice that needs no passed exits, since exit_losses is chosen";
                Err(Error::argument(field, expected, "one that needs them"))
            }
            None => Ok(()),
        }
    }

    /// Checks the range of every setting, and that the settings are consistent with each other and with a search space.
    ///
    /// # Errors
    /// * As [`check`](Self::check).
    /// * [`Argument`](dht_dynamic::Error::Argument) if the number of listed pinned heads differs from the number that
    ///   the space pins.
    /// * [`Argument`](dht_dynamic::Error::Argument) if a setting needs the losses, signals or gains of exits that a
    ///   text passes, and the space has no such exits. This is so if every route ends in a tail, or if there is no
    ///   classifier after the base layers.
    /// * [`Argument`](dht_dynamic::Error::Argument) if the router decides at every exit, but the search is integrated,
    ///   has queues, or computes no losses of exits that a text passes.
    /// * [`Argument`](dht_dynamic::Error::Argument) if the router is a sequential bandit without [`RewardShape::Gain`],
    ///   or with rolling normalisation.
    pub fn check_with(&self, space: &SearchSpace) -> Result<()> {
        self.check()?;
        self.pinned_heads.check_with(space.pinned(), space.model_shape().heads)?;
        let reject = |field, expected: &str, got: &str| Err(Error::argument(field, expected, got));
        if space.base().is_none() {
            if self.context.has_signals() {
                let expected = "one without signals: there is no exit after the base state";
                return reject("context", expected, "one with signals");
            }
            if matches!(self.reward_shape, RewardShape::Gain { .. }) {
                let expected = "another: there is no exit after the base state to measure a gain from";
                return reject("reward_shape", expected, "gain");
            }
        }
        if space.tail().is_some() {
            if self.exit_losses != ExitLosses::Chosen {
                return reject("exit_losses", "chosen: passed exits do not run the last layers", "another");
            }
            if self.nested_feedback {
                return reject("nested_feedback", "off: passed exits do not run the last layers", "on");
            }
        }
        if self.router.decides_at_exits() {
            let gain = matches!(self.reward_shape, RewardShape::Gain { .. });
            let cases = [
                (!space.is_tree(), "bandit, since an integrated search decides depth and heads at once"),
                (space.base().is_none() || space.tail().is_some(), "bandit, where exits need layers of their own"),
                (space.exits().len() < 2, "bandit, where there is only one exit"),
                (self.dispatch != Dispatch::InFlight, "bandit, since a queue holds samples of one depth"),
                (self.exit_losses == ExitLosses::Chosen, "bandit, since the passed exits have no losses"),
                (self.router == RouterKind::SequentialBandit && !gain, "bandit, with other rewards than gain"),
                (
                    self.router == RouterKind::SequentialBandit && self.normalization == Normalization::Rolling,
                    "bandit, with contexts that are scaled by rolling statistics",
                ),
            ];
            if let Some((_, expected)) = cases.into_iter().find(|(wrong, _)| *wrong) {
                return reject("router", expected, "one that decides at exits");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dht_dynamic::Error as Dynamic;
    use dht_transformer::Pooling;

    use super::*;
    use crate::settings::{LossSource, SoftLabels, Teacher};

    const SOFT: SoftLabels = SoftLabels { teacher: Teacher::Deepest, weight: 0.5, temperature: 2.0 };

    #[test]
    fn the_defaults_and_the_papers_choices_are_possible() {
        SearchSettings::default().check().unwrap();
        SearchSettings::paper().check().unwrap();
    }

    #[test]
    fn a_setting_out_of_range_is_refused_by_its_name() {
        type Change = fn(&mut SearchSettings);
        let cases: [(&str, Change); 22] = [
            ("pinned_heads", |s| s.normalization = Normalization::Rolling),
            ("exploration", |s| s.exploration.heads = f64::NAN),
            ("prior_precision", |s| s.prior_precision = 0.0),
            ("forgetting_decay", |s| s.forgetting_decay = 1.5),
            ("explore_share", |s| s.explore_share = -0.1),
            ("explore_power", |s| s.explore_power = f64::NAN),
            ("kappa", |s| s.kappa.depth = 0.0),
            ("dispatch.queue.size", |s| s.dispatch = Dispatch::Queue { size: 0 }),
            ("exit_losses.weighted.weight", |s| s.exit_losses = ExitLosses::Weighted { weight: 0.0, power: 0.0 }),
            ("exit_losses.weighted.power", |s| s.exit_losses = ExitLosses::Weighted { weight: 0.1, power: -1.0 }),
            ("full_model_steps.first", |s| s.full_model_steps.first = 0.7),
            ("full_model_steps.first", |s| (s.full_model_steps.first, s.explore_share) = (1.0, 0.0)),
            ("full_model_steps.every", |s| s.full_model_steps.every = 1),
            ("soft_labels.weight", |s| s.soft_labels = Some(SoftLabels { weight: 1.5, ..SOFT })),
            ("soft_labels.temperature", |s| s.soft_labels = Some(SoftLabels { temperature: 0.0, ..SOFT })),
            ("soft_labels.teacher", |s| {
                *s = SearchSettings { soft_labels: Some(SOFT), ..SearchSettings::paper() };
            }),
            ("loss_source.held_out.share", |s| s.loss_source = LossSource::HeldOut { share: f64::NAN }),
            ("loss_source.held_out.share", |s| s.loss_source = LossSource::HeldOut { share: 0.0 }),
            ("reward_shape", |s| s.exit_losses = ExitLosses::Chosen),
            ("warm_up_contexts", |s| s.warm_up_contexts = 0),
            ("router.patience.patience", |s| s.router = RouterKind::Patience { patience: 0 }),
            ("last_exit_pooling", |s| {
                (s.last_exit_pooling, s.classifier_sharing) = (Some(Pooling::Cls), ClassifierSharing::Shared);
            }),
        ];
        for (name, change) in cases {
            let mut settings = SearchSettings::default();
            change(&mut settings);
            match settings.check() {
                Err(Error::Dynamic(Dynamic::Argument { name: field, .. })) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
