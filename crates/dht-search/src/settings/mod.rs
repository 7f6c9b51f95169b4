//! Every number and choice that the paper leaves open, in one place. All defaults are ours.

mod exits;
mod presets;
mod routing;
mod training;

use dht_transformer::Pooling;
use serde::{Deserialize, Serialize};

use crate::cost::WidthCoupling;
use crate::error::{Error, Result};
use crate::reward::{HeadFeedback, RewardMemory, RewardRule, RewardShape};
use crate::space::SearchSpace;

pub use exits::{ClassifierSharing, ExitKind, ExitLosses};
pub use routing::{ContextDesign, HeadArms, HeadDraws, RouterKind, Steering};
pub use training::{FullModelSteps, LossSource, SoftLabels, Teacher};

/// One number for each kind of bandit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerBandit {
    /// For UCB_L, and for the gains at the exits of a sequential search.
    pub depth: f64,
    /// For UCB_H.
    pub heads: f64,
    /// For UCB_cp.
    pub arms: f64,
}

impl PerBandit {
    /// The same number for all.
    pub const fn all(number: f64) -> Self {
        Self { depth: number, heads: number, arms: number }
    }

    fn check(self, field: &'static str, least: f64) -> Result<()> {
        [self.depth, self.heads, self.arms].into_iter().try_for_each(|number| check_number(field, number, least))
    }
}

/// How samples of different depths come together in batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dispatch {
    /// Ours: a batch runs the base layers once with gradient, is routed, goes on in groups through the same graph, and
    /// gives one step. No second pass, no stale state.
    InFlight,
    /// The paper's Algorithm 3: a sample runs the base layers with the weights of the time, waits in the queue of its
    /// depth, and runs them again with gradient when `size` samples of that depth have come together. What still waits
    /// at the end of an epoch is trained on then (the print forgets it).
    Queue {
        /// Samples in a full queue, q.
        size: usize,
    },
}

/// The settings of a search. What the paper uses without giving a number is given one here; **the values are ours**.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchSettings {
    /// How samples of different depths come together.
    pub dispatch: Dispatch,
    /// What the bandits see.
    pub context: ContextDesign,
    /// What decides how deep a sample goes.
    #[serde(alias = "depth_decision")]
    pub router: RouterKind,
    /// What an arm of TSB is.
    pub head_arms: HeadArms,
    /// For whom a head set is drawn.
    pub head_draws: HeadDraws,
    /// Which cost steers.
    pub steering: Steering,
    /// Whether dropping heads also narrows the feed-forward. The neurons are sorted by their magnitude when the model is
    /// made, so that the first are the important ones.
    pub width_coupling: WidthCoupling,
    /// Which exits a sample trains.
    pub exit_losses: ExitLosses,
    /// Which steps run the whole model instead.
    #[serde(alias = "whole_steps")]
    pub full_model_steps: FullModelSteps,
    /// Whose probabilities the exits learn beside the labels; `None` is nobody's.
    pub soft_labels: Option<SoftLabels>,
    /// What reads a sample at an exit.
    pub exit_kind: ExitKind,
    /// Whether the exits share a classifier.
    #[serde(alias = "exit_classifiers")]
    pub classifier_sharing: ClassifierSharing,
    /// How a classifier sees a text.
    pub pooling: Pooling,
    /// LinUCB's exploration α: an arm scores wᵀθ + α·√(wᵀA⁻¹w) while exploring (paper, Algorithm 1; Li et al. 2010).
    pub exploration: PerBandit,
    /// LinUCB's ridge λ: A = λI and b = 0 at the start, θ = A⁻¹b.
    pub ridge: f64,
    /// LinUCB's forgetting γ in (0, 1]: an observation k updates ago counts γᵏ. Losses fall while the model learns, so
    /// old rewards mislead. The paper forgets nothing, γ = 1.
    pub discount: f64,
    /// TSB's prior precision s: the weights of each head start as N(0, 1/s) (Chapelle and Li 2011). The print's 0 is
    /// improper.
    pub head_prior_precision: f64,
    /// TSB's λ, the weight of what was learned before each update, in (0, 1]: argmin (λ/2)·Σ sⱼ(pⱼ − gⱼ)² + Σ log(1 +
    /// exp(−y·pᵀw)). 1 is Bayes' rule.
    pub head_prior_weight: f64,
    /// The factor κ of the rewards, κ·(usual δ)/δ with δ = loss · L for UCB_L and loss · L · H for UCB_H and UCB_cp: α, β₁
    /// and β_cp in the print (4.3). Without effect on [`RewardShape::Utility`] and [`RewardShape::Gain`].
    pub kappa: PerBandit,
    /// What is made of losses and costs (paper, 4.3).
    pub reward_shape: RewardShape,
    /// What a loss is compared with.
    pub reward_memory: RewardMemory,
    /// Which way TSB's binary reward points: the print's formula contradicts its text.
    pub head_feedback: HeadFeedback,
    /// Which losses the bandits learn from.
    pub loss_source: LossSource,
    /// Whether a sample's losses at the exits it passed also teach the arms of those exits.
    pub nested_feedback: bool,
    /// Contexts seen, with routes drawn at random, before their scaling is frozen and the bandits learn: one posterior
    /// sees one scaling. The paper scales by running statistics for ever (7.2). A model that has not come so far runs
    /// whole at inference.
    pub warm_up_contexts: usize,
    /// The share of the training in which routes are drawn at random while the bandits already learn: a bandit cannot
    /// know that depth helps before the deep layers have learned anything.
    pub explore_share: f64,
    /// How a random exit is drawn: with a probability in proportion to its depth to this power, 0 to 16. From scratch
    /// deep layers learn from deep routes alone, and a shallow exit that is shown many texts beyond it learns shortcuts;
    /// a pre-trained encoder's deep layers know enough, and its shallow exits need the texts.
    pub explore_power: f64,
    /// Texts that arm features are averaged over (paper, 4.2); the print uses all. Matters to [`ContextDesign::Paper`]
    /// alone.
    pub arm_feature_texts: usize,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            dispatch: Dispatch::InFlight,
            context: ContextDesign::StateAndSignals,
            router: RouterKind::default(),
            head_arms: HeadArms::default(),
            head_draws: HeadDraws::default(),
            steering: Steering::default(),
            width_coupling: WidthCoupling::default(),
            exit_losses: ExitLosses::Detached,
            full_model_steps: FullModelSteps::default(),
            soft_labels: None,
            exit_kind: ExitKind::default(),
            classifier_sharing: ClassifierSharing::PerExit,
            pooling: Pooling::Mean,
            exploration: PerBandit::all(0.1),
            ridge: 1.0,
            discount: 0.9999,
            head_prior_precision: 1.0,
            head_prior_weight: 1.0,
            kappa: PerBandit::all(1.0),
            reward_shape: RewardShape::Gain { lambda: 0.25 },
            reward_memory: RewardMemory::default(),
            head_feedback: HeadFeedback::default(),
            loss_source: LossSource::default(),
            nested_feedback: true,
            warm_up_contexts: 512,
            explore_share: 0.4,
            explore_power: 2.0,
            arm_feature_texts: 512,
        }
    }
}

impl SearchSettings {
    /// The paper's choices where it names one: queues, [x ; z], the chosen exit alone, one classifier behind a pooler,
    /// the ratio to the previous batch. Numbers that it does not give stay ours.
    pub fn paper() -> Self {
        Self {
            dispatch: Dispatch::Queue { size: 32 },
            context: ContextDesign::Paper,
            head_draws: HeadDraws::PerSample,
            exit_losses: ExitLosses::Chosen,
            classifier_sharing: ClassifierSharing::Shared,
            pooling: Pooling::Pooler,
            discount: 1.0,
            reward_shape: RewardShape::Ratio,
            reward_memory: RewardMemory::PreviousBatch,
            nested_feedback: false,
            explore_share: 0.0,
            ..Self::default()
        }
    }

    /// Checks every number, and that the choices make sense together.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first that is out of range.
    pub fn check(&self) -> Result<()> {
        self.exploration.check("exploration", 0.0)?;
        check_power("explore_power", self.explore_power)?;
        let positive = [
            ("ridge", self.ridge),
            ("discount", self.discount),
            ("head_prior_precision", self.head_prior_precision),
            ("head_prior_weight", self.head_prior_weight),
        ];
        for (field, number) in positive {
            check_number(field, number, f64::MIN_POSITIVE)?;
        }
        let shares = [
            ("discount", self.discount),
            ("head_prior_weight", self.head_prior_weight),
            ("explore_share", self.explore_share),
        ];
        shares.into_iter().try_for_each(|(field, share)| check_share(field, share))?;
        self.full_model_steps.check(self.explore_share)?;
        self.soft_labels.map_or(Ok(()), |soft| soft.check(self.exit_losses))?;
        self.loss_source.check()?;
        self.depth_rewards().check()?;
        self.heads_rewards().check()?;
        self.arm_rewards().check()?;
        match self.exit_losses {
            ExitLosses::Detached => {}
            ExitLosses::Weighted { weight, power } => {
                check_number("exit_losses.weighted.weight", weight, f64::MIN_POSITIVE)?;
                check_power("exit_losses.weighted.power", power)?;
            }
            ExitLosses::Chosen => {
                let needs_exits = [
                    ("reward_shape", matches!(self.reward_shape, RewardShape::Gain { .. })),
                    ("nested_feedback", self.nested_feedback),
                    ("context", self.context.has_signals()),
                ];
                if let Some((field, _)) = needs_exits.into_iter().find(|(_, needs)| *needs) {
                    let expected = "a choice that does without the exits on the way, since exit_losses is chosen";
                    return Err(Error::setting(field, expected, "one that needs them"));
                }
            }
        }
        let counts = [
            ("warm_up_contexts", self.warm_up_contexts),
            ("arm_feature_texts", self.arm_feature_texts),
            ("dispatch.queue.size", if let Dispatch::Queue { size } = self.dispatch { size } else { 1 }),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((field, count)) => Err(Error::setting(field, "at least 1", count)),
            None => Ok(()),
        }
    }

    /// Checks every number, and that the choices make sense in a space.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::Setting`] also for what needs exits on the way (their losses, signals, gains)
    /// where every route ends in a tail or no classifier stands behind the base layers, and for decisions at every exit
    /// in an integrated search, with queues, without the losses of the exits, or without [`RewardShape::Gain`].
    pub fn check_with(&self, space: &SearchSpace) -> Result<()> {
        self.check()?;
        let refuse = |field, expected: &str, got: &str| Err(Error::setting(field, expected, got));
        if space.base().is_none() {
            if self.context.has_signals() {
                return refuse(
                    "context",
                    "one without signals: no exit lies behind the base state",
                    "one with signals",
                );
            }
            if matches!(self.reward_shape, RewardShape::Gain { .. }) {
                return refuse("reward_shape", "another: no exit lies behind the base state to gain from", "gain");
            }
        }
        if space.tail().is_some() {
            if self.exit_losses != ExitLosses::Chosen {
                return refuse("exit_losses", "chosen: passed exits do not run the last layers", "another");
            }
            if self.nested_feedback {
                return refuse("nested_feedback", "off: passed exits do not run the last layers", "on");
            }
        }
        if self.router.decides_at_exits() {
            let gain = matches!(self.reward_shape, RewardShape::Gain { .. });
            let cases = [
                (!space.is_tree(), "bandit, since an integrated search decides depth and heads at once"),
                (space.base().is_none() || space.tail().is_some(), "bandit, where exits need layers of their own"),
                (space.exits().len() < 2, "bandit, where there is but one exit"),
                (self.dispatch != Dispatch::InFlight, "bandit, since a queue is one of samples of one depth"),
                (self.exit_losses == ExitLosses::Chosen, "bandit, since the passed exits have no losses"),
                (self.router == RouterKind::SequentialBandit && !gain, "bandit, with other rewards than gain"),
            ];
            if let Some((_, expected)) = cases.into_iter().find(|(wrong, _)| *wrong) {
                return refuse("router", expected, "one that decides at exits");
            }
        }
        Ok(())
    }

    /// These settings at another [speed](crate::DynamicModel::set_speed) of the router.
    ///
    /// # Errors
    /// [`Error::Setting`] for a speed out of range, and with rewards in which the cost is learned.
    pub(crate) fn at_speed(&self, speed: f64) -> Result<Self> {
        let mut reward_shape = self.reward_shape;
        match &mut reward_shape {
            RewardShape::Utility { lambda } | RewardShape::Gain { lambda } => *lambda = speed,
            RewardShape::Ratio | RewardShape::Log | RewardShape::Clipped { .. } => {
                let expected = "utility or gain: in the others the cost is learned, not known";
                return Err(Error::setting("reward_shape", expected, format!("{reward_shape:?}")));
            }
        }
        let settings = Self { reward_shape, ..self.clone() };
        settings.check()?;
        Ok(settings)
    }

    /// The rewards of UCB_L.
    pub fn depth_rewards(&self) -> RewardRule {
        self.rule(self.kappa.depth)
    }

    /// The rewards of UCB_H.
    pub fn heads_rewards(&self) -> RewardRule {
        self.rule(self.kappa.heads)
    }

    /// The rewards of UCB_cp.
    pub fn arm_rewards(&self) -> RewardRule {
        self.rule(self.kappa.arms)
    }

    fn rule(&self, kappa: f64) -> RewardRule {
        RewardRule { shape: self.reward_shape, memory: self.reward_memory, kappa }
    }
}

fn check_number(field: &'static str, number: f64, least: f64) -> Result<()> {
    if number.is_finite() && number >= least {
        return Ok(());
    }
    let expected = if least == 0.0 { "a finite number, 0 or more" } else { "a finite number above 0" };
    Err(Error::setting(field, expected, number))
}

fn check_share(field: &'static str, share: f64) -> Result<()> {
    match (0.0..=1.0).contains(&share) {
        true => Ok(()),
        false => Err(Error::setting(field, "at most 1, and not below 0", share)),
    }
}

fn check_power(field: &'static str, power: f64) -> Result<()> {
    match (0.0..=16.0).contains(&power) {
        true => Ok(()),
        false => Err(Error::setting(field, "0 to 16", power)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOFT: SoftLabels = SoftLabels { teacher: Teacher::Deepest, weight: 0.5, temperature: 2.0 };

    #[test]
    fn the_defaults_and_the_papers_choices_are_possible() {
        SearchSettings::default().check().unwrap();
        SearchSettings::paper().check().unwrap();
    }

    #[test]
    fn a_setting_out_of_range_is_refused_by_its_name() {
        type Change = fn(&mut SearchSettings);
        let cases: [(&str, Change); 19] = [
            ("exploration", |s| s.exploration.heads = f64::NAN),
            ("ridge", |s| s.ridge = 0.0),
            ("discount", |s| s.discount = 1.5),
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
        ];
        for (name, change) in cases {
            let mut settings = SearchSettings::default();
            change(&mut settings);
            match settings.check() {
                Err(Error::Setting { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
