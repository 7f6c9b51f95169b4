//! Recommended policy settings for given context lengths, numbers of arms and types of rewards. They were selected by
//! measurements.

use super::settings::all_pairs;
use super::{AnyPolicy, AnyRule, NormaliserSettings, PolicyKind, PolicySettings, RewardType};
use crate::error::{Error, Result};
use crate::exploration::GrowingUcb;
use crate::policy::BetaThompson;
use crate::posterior::DecayClock;

impl RewardType {
    /// Recommended prior precision λ for d weights per arm: d/4 for real rewards and normalised contexts x, for which
    /// x'x ≈ d. The prior variance x'x/λ of a score is then 4 for any d, so that a first reward moves the prediction in
    /// its own context by four fifths. A binary reward adds at most ¼ as much precision, so that λ is d/16 for binary
    /// rewards.
    fn prior_precision(self, weights: usize) -> f64 {
        let share = match self {
            Self::Binary => 16.0,
            Self::Real => 4.0,
        };
        weights.max(1) as f64 / share
    }
}

const CLIP: f64 = 3.0;

/// Recommended exploration rule for a policy with `weights` weights in total. It uses upper confidence bounds whose
/// factor α grows from ¼ to 3/2, by ¼ whenever another two rewards per weight have been learned.
fn exploration(weights: usize) -> AnyRule {
    AnyRule::GrowingUcb(GrowingUcb { alpha: 0.25, rounds: 2.0 * weights.max(1) as f64, limit: 1.5 })
}

impl PolicySettings {
    /// Recommended settings for arms with separate weights: upper confidence bounds over logistic regressions
    /// ([`RewardType::Binary`]) or ridge regressions ([`RewardType::Real`]). The prior precision is λ = d/16 or λ =
    /// d/4, respectively, for d weights per arm.
    ///
    /// The exploration factor α grows from ¼ to 3/2 ([`GrowingUcb`]), by a quarter for each two rewards per weight;
    /// there are (d + 1)·`arms` weights. Contexts (and real rewards) are normalised by the statistics of the first 200
    /// rounds with rewards, without a phase of uniform draws. Normalised values are clipped at ±3, and a bias is added.
    /// Without contexts (`dimension` 0), binary rewards get Beta-Thompson sampling.
    ///
    /// The constants were selected on some data sets and simulated environments, and measured on others: see the
    /// [README](https://docs.rs/crate/dht-bandits/latest/source/README.md). They do not depend on the scale of features
    /// or rewards. With few rewards for each weight, noise can hide the best arm for a while: with six segments and
    /// three arms, a policy has hardly explored after 300 rounds. Memory is O(arms·d²): from about 1,000 features on,
    /// use `kind = "diagonal-logistic"`.
    ///
    /// Upper confidence bounds choose the same arm in the same context, which makes a log useless for evaluating other
    /// policies. For such a log, replace `exploration` by [`SquareCb::new(100.0)`](crate::exploration::SquareCb::new).
    /// In a settings file this is `{ rule = "square-cb", gamma = 100.0 }`; γ_t is then 100·√(1 + t) after t rewards.
    ///
    /// ```
    /// use dht_bandits::policy::{PolicyKind, PolicySettings, RewardType};
    ///
    /// let settings = PolicySettings::recommended(8, 4, RewardType::Binary);
    /// assert_eq!((settings.kind, settings.prior_precision), (PolicyKind::Logistic, 0.5));
    /// ```
    pub fn recommended(dimension: usize, arms: usize, reward: RewardType) -> Self {
        if dimension == 0 && reward == RewardType::Binary {
            let rule = AnyRule::BetaThompson(BetaThompson::default());
            return Self::new(PolicyKind::ContextFree, 0, arms, Some(rule));
        }
        let kind = match reward {
            RewardType::Binary => PolicyKind::Logistic,
            RewardType::Real => PolicyKind::Linear,
        };
        Self {
            prior_precision: reward.prior_precision(dimension),
            normaliser: Some(NormaliserSettings::recommended(reward)),
            ..Self::new(kind, dimension, arms, Some(exploration(dimension.saturating_add(1).saturating_mul(arms))))
        }
    }

    /// Recommended settings for short-lived items, each described by `features` features. One model serves all items,
    /// and its inputs include the products of context and features; other settings are as in
    /// [`recommended`](Self::recommended). Features are not normalised: scale them to about 1.
    ///
    /// ```
    /// use dht_bandits::policy::{PolicyKind, PolicySettings, RewardType};
    ///
    /// let settings = PolicySettings::recommended_for_items(3, 5, RewardType::Binary);
    /// assert_eq!((settings.kind, settings.features), (PolicyKind::SharedLogistic, 5));
    /// ```
    pub fn recommended_for_items(dimension: usize, features: usize, reward: RewardType) -> Self {
        let kind = match reward {
            RewardType::Binary => PolicyKind::SharedLogistic,
            RewardType::Real => PolicyKind::SharedLinear,
        };
        let (normaliser, interactions, weights) = match dimension {
            0 => (None, None, features),
            _ => {
                let weights = dimension.saturating_mul(features).saturating_add(dimension).saturating_add(features);
                (Some(NormaliserSettings::recommended(reward)), Some(all_pairs()), weights)
            }
        };
        Self {
            features,
            prior_precision: reward.prior_precision(weights),
            normaliser,
            interactions,
            ..Self::new(kind, dimension, 0, Some(exploration(weights)))
        }
    }

    /// Replaces `kind = "auto"` by the recommended settings. Settings of other kinds are returned unchanged, except
    /// that a decay gets its default clock.
    ///
    /// # Errors
    /// [`Error::Settings`] if `auto` is combined with a key that it sets itself or comes without `reward`, or if
    /// `reward` is set for another kind.
    pub(super) fn resolved(self) -> Result<Self> {
        let refuse = |problem: &str| Err(Error::Settings { problem: problem.to_owned() });
        let Self { kind, dimension, arms, features, seed, reward, floor, decay, clock, window, reset, .. } = self;
        // Weights that all arms share decay with every update anyway.
        let shared = matches!(kind, PolicyKind::SharedLinear | PolicyKind::SharedDiagonalLogistic);
        let clock = if decay == 1.0 || shared { clock } else { clock.or(Some(DecayClock::Updates)) };
        if kind != PolicyKind::Auto {
            return if reward.is_none() {
                Ok(Self { clock, ..self })
            } else {
                refuse("reward: expected only with kind = \"auto\"")
            };
        }
        let Some(reward) = reward else {
            return refuse("reward: expected \"binary\" (from 0 to 1) or \"real\" with kind = \"auto\"");
        };
        let forgetting = |settings| Self { decay, window, reset, ..settings };
        let blank = Self { features, seed, floor, reward: Some(reward), ..Self::new(kind, dimension, arms, None) };
        let blank = Self { clock: self.clock, ..forgetting(blank) };
        if self != (Self { interactions: self.interactions.clone(), groups: self.groups.clone(), ..blank }) {
            return refuse(
                "kind: \"auto\" sets priors, exploration and scaling itself; name a kind to set one of them",
            );
        }
        let recommended = match features {
            0 => Self::recommended(dimension, arms, reward),
            _ => Self { arms, ..Self::recommended_for_items(dimension, features, reward) },
        };
        let interactions = self.interactions.or(recommended.interactions.clone());
        Ok(Self { seed, interactions, groups: self.groups, floor, clock, ..forgetting(recommended) })
    }
}

impl NormaliserSettings {
    fn recommended(reward: RewardType) -> Self {
        let rewards = reward == RewardType::Real;
        Self { bias: true, clip: Some(CLIP), rewards, ..Self::default() }
    }
}

impl AnyPolicy {
    /// Creates an untrained policy with the [recommended settings](PolicySettings::recommended).
    ///
    /// ```
    /// use dht_bandits::policy::{AnyPolicy, RewardType};
    /// use dht_bandits::{Policy, Request};
    /// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    ///
    /// let mut rng = ChaCha8Rng::seed_from_u64(7);
    /// let mut policy = AnyPolicy::recommended(2, 3, RewardType::Real)?;
    /// let decision = policy.decide(&Request::new(&[1e6, 0.002]), &mut rng)?; // any scale
    /// policy.learn(&decision, -350.0)?;
    /// assert_eq!(policy.version(), 1);
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the dimension is zero with real rewards or above 65,536, if there are more than 16,777,216 arms, or if
    /// memory cannot be allocated.
    pub fn recommended(dimension: usize, arms: usize, reward: RewardType) -> Result<Self> {
        Self::new(PolicySettings::recommended(dimension, arms, reward))
    }
}
