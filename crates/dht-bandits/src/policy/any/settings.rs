//! Settings of a policy whose type is selected at run time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AnyRule;
use super::rule::FlooredRule;
use crate::clock::read_decay;
use crate::error::{Error, Result};
use crate::exploration::check_floor;
use crate::options::setters;
use crate::policy::ChangeTest;
use crate::posterior::DecayClock;

/// Kind of policy that settings select: the model of an arm's reward, and whether all arms share one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PolicyKind {
    /// Ridge regression for each arm ([`Disjoint`](crate::policy::Disjoint) over [`Ridge`](crate::posterior::Ridge)).
    Linear,
    /// Ridge regression for each arm that also learns the variance of the noise
    /// ([`NormalInverseGamma`](crate::posterior::NormalInverseGamma)).
    LinearNoise,
    /// Logistic regression for each arm, with a full covariance.
    Logistic,
    /// Logistic regression for each arm, with a diagonal precision.
    DiagonalLogistic,
    /// Ridge regressions with shared weights and weights of each arm ([`Hybrid`](crate::policy::Hybrid)).
    Hybrid,
    /// Ridge regression for each arm, for slates of several arms ([`TopK::per_arm`](crate::policy::TopK::per_arm)).
    TopKLinear,
    /// Logistic regression for each arm with a diagonal precision, for slates of several arms.
    TopKDiagonalLogistic,
    /// One ridge regression shared by all arms, over context and arm features.
    SharedLinear,
    /// One logistic regression shared by all arms, with a full covariance.
    SharedLogistic,
    /// One logistic regression shared by all arms, with a diagonal precision.
    SharedDiagonalLogistic,
    /// No model of contexts: only the mean reward of each arm ([`ContextFree`](crate::policy::ContextFree)).
    ContextFree,
    /// No model: arms are drawn uniformly.
    Uniform,
    /// Recommended kind and settings ([`PolicySettings::recommended`]), selected by the lengths of context and features
    /// and by `reward`.
    Auto,
}

/// Settings of an [`AnyPolicy`](super::AnyPolicy), which can be read from TOML, JSON or another format of serde.
/// Unknown keys are refused.
///
/// ```toml
/// kind = "auto"
/// reward = "binary"
/// dimension = 8
/// arms = 4
/// seed = 7
/// ```
///
/// ```toml
/// kind = "logistic"
/// dimension = 8
/// arms = 4
/// prior_precision = 0.5
/// exploration = { rule = "square-cb", gamma = 100.0 } # with the default power = 0.5: γ_t = 100·√(1 + t)
/// normaliser = { warm_up = 200, bias = true, clip = 3.0 }
/// seed = 7
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicySettings {
    /// Kind of policy: the model of an arm's reward, and whether all arms share it.
    pub kind: PolicyKind,
    /// Length of the context of a request. It is 0 for policies without contexts, and for shared kinds (one model for
    /// all arms) whose arms are described only by features.
    #[serde(default)]
    pub dimension: usize,
    /// Number of initial arms, with the ids 0 to `arms` − 1. With a model shared by all arms, each request brings its
    /// own arms instead.
    #[serde(default)]
    pub arms: usize,
    /// Number of features of each arm in a request, for hybrid kinds and kinds with one model for all arms.
    #[serde(default)]
    pub features: usize,
    /// Prior precision λ of each weight. In hybrid policies, it applies only to each arm's own weights.
    #[serde(default = "one")]
    pub prior_precision: f64,
    /// Prior precision of the shared weights of a hybrid policy.
    #[serde(default = "one")]
    pub shared_prior_precision: f64,
    /// Exploration rule; `None` if arms are drawn uniformly.
    #[serde(default)]
    pub exploration: Option<AnyRule>,
    /// Factor by which each step of the `clock` multiplies all evidence; with 1, nothing is forgotten.
    #[serde(default = "one", alias = "discount", deserialize_with = "read_decay")]
    pub decay: f64,
    /// Clock by which the evidence of all arms decays, whether or not they are chosen, so that an unused arm returns to
    /// its prior. The default with a decay is `"updates"`, which counts the updates of all arms.
    /// [`AnyPolicy::elapse`](super::AnyPolicy::elapse) advances the clock `"time"`. Every kind of policy that uses
    /// contexts can have a clock. The kind `linear` decays at each step
    /// ([`DiscountedRidge`](crate::posterior::DiscountedRidge)). Other kinds decay once their evidence would lose 5 %,
    /// in O(d³) for each arm.
    #[serde(default)]
    pub clock: Option<DecayClock>,
    /// Number n of latest rewards that the policy learns from, for every kind of policy that uses contexts. It cannot
    /// be combined with a decay. The kind `linear` learns from exactly n rewards
    /// ([`SlidingWindow`](crate::policy::SlidingWindow)). Other kinds learn from the last n/2 to n: two copies learn
    /// each reward, and are reset in turn.
    #[serde(default)]
    pub window: Option<usize>,
    /// Change test of the policy's predictions: when it detects that they have become worse, the policy is reset
    /// ([`ResetOnChange`](crate::policy::ResetOnChange)). Every kind of policy that uses contexts can have a test, but
    /// not together with a clock or a window. The test uses only rewards learned together with their decisions, as by
    /// `learn`. It tests prediction − reward for logistic kinds and |reward − prediction| for others, in standard
    /// deviations if the normaliser scales rewards.
    #[serde(default)]
    pub reset: Option<ChangeTest>,
    /// Scaling of contexts; `None` leaves them unscaled.
    #[serde(default)]
    pub normaliser: Option<NormaliserSettings>,
    /// Seed that the caller can use for a random generator: `ChaCha8Rng::seed_from_u64(settings.seed)`.
    #[serde(default)]
    pub seed: u64,
    /// Range of the rewards, only for `kind = "auto"`.
    #[serde(default)]
    pub reward: Option<RewardType>,
    /// Pairs of column groups whose columns are multiplied with each other
    /// ([`Interactions`](crate::features::Interactions)). `[["context", "features"]]` multiplies every value of the
    /// context with every feature. A model shared by all arms needs such products for the context to affect the choice.
    #[serde(default)]
    pub interactions: Option<Vec<(String, String)>>,
    /// Named groups of columns for `interactions`, each as (first column, end). Columns are counted from the start of
    /// the raw context through the features of an arm, without a bias of the normaliser. The groups `context` and
    /// `features` are predefined.
    #[serde(default)]
    pub groups: BTreeMap<String, (usize, usize)>,
    /// Minimum probability of each arm under any rule that uses contexts ([`Floor`](crate::exploration::Floor)). It is
    /// at most 1/K among K arms; 0 means no minimum.
    #[serde(default)]
    pub floor: f64,
}

setters!(fn, PolicySettings {
    kind / with_kind: PolicyKind,
    dimension / with_dimension: usize,
    arms / with_arms: usize,
    features / with_features: usize,
    prior_precision / with_prior_precision: f64,
    shared_prior_precision / with_shared_prior_precision: f64,
    exploration / with_exploration: Option<AnyRule>,
    decay / with_decay: f64,
    clock / with_clock: Option<DecayClock>,
    window / with_window: Option<usize>,
    reset / with_reset: Option<ChangeTest>,
    normaliser / with_normaliser: Option<NormaliserSettings>,
    seed / with_seed: u64,
    reward / with_reward: Option<RewardType>,
    interactions / with_interactions: Option<Vec<(String, String)>>,
    groups / with_groups: BTreeMap<String, (usize, usize)>,
    floor / with_floor: f64,
});

fn one() -> f64 {
    1.0
}

/// Type of the rewards, which selects a logistic or a linear model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardType {
    /// Rewards from 0 to 1, such as clicks, successes, or fractions.
    Binary,
    /// Real rewards of any unit and offset.
    Real,
}

/// Default pairs of column groups for `interactions`: every value of the context is multiplied with every feature.
pub(super) fn all_pairs() -> Vec<(String, String)> {
    vec![("context".to_owned(), "features".to_owned())]
}

/// Settings for the scaling of contexts and rewards by a [`Normalised`](crate::policy::Normalised) policy.
///
/// ```
/// use dht_bandits::policy::NormaliserSettings;
///
/// let settings = NormaliserSettings::default().with_bias(true).with_clip(Some(3.0));
/// assert_eq!((settings.warm_up, settings.clip), (200, Some(3.0)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NormaliserSettings {
    /// Number of rewards (the warm-up) after which the scaling of contexts is fixed. Until then it is provisional
    /// ([`Normalised`](crate::policy::Normalised)).
    #[serde(default = "warm_up")]
    pub warm_up: u64,
    /// Appends a constant 1, the bias, to the normalised context.
    #[serde(default)]
    pub bias: bool,
    /// Largest standard deviation that is treated as zero. Deviations of at most 1e-12 of the mean's magnitude are
    /// treated as zero in any case.
    #[serde(default)]
    pub floor: f64,
    /// Bound on normalised values, which are clipped to [−clip, clip]; `None` disables clipping.
    #[serde(default)]
    pub clip: Option<f64>,
    /// Scales rewards as well, so that exploration does not depend on their unit and offset. Only linear kinds allow
    /// it. The scale is computed from the first `warm_up` rewards. If these are all equal, the first later reward that
    /// differs sets the scale.
    #[serde(default)]
    pub rewards: bool,
}

setters!(const fn, NormaliserSettings {
    warm_up / with_warm_up: u64,
    bias / with_bias: bool,
    floor / with_floor: f64,
    clip / with_clip: Option<f64>,
    rewards / with_rewards: bool,
});

impl Default for NormaliserSettings {
    /// Creates settings with a scaling that is fixed after 200 rewards, no bias, no clipping, and unscaled rewards.
    fn default() -> Self {
        Self { warm_up: warm_up(), bias: false, floor: 0.0, clip: None, rewards: false }
    }
}

fn warm_up() -> u64 {
    200
}

impl PolicySettings {
    /// Creates the default settings of a kind: no forgetting, no scaling, prior precisions of 1, and seed 0.
    pub fn new(kind: PolicyKind, dimension: usize, arms: usize, exploration: Option<AnyRule>) -> Self {
        Self {
            kind,
            dimension,
            arms,
            features: 0,
            prior_precision: 1.0,
            shared_prior_precision: 1.0,
            exploration,
            decay: 1.0,
            clock: None,
            window: None,
            reset: None,
            normaliser: None,
            seed: 0,
            reward: None,
            interactions: None,
            groups: BTreeMap::new(),
            floor: 0.0,
        }
    }

    /// Reads settings from TOML text.
    ///
    /// ```
    /// use dht_bandits::policy::{AnyPolicy, PolicySettings};
    /// use dht_bandits::Policy;
    ///
    /// let text = "kind = 'auto'\nreward = 'binary'\ndimension = 8\narms = 4";
    /// let policy = AnyPolicy::new(PolicySettings::from_toml(text)?)?;
    /// assert_eq!((policy.dimension(), policy.arms().len()), (8, 4));
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Settings`], with the line, if the text is not TOML, if a key is unknown or missing, or if a value has
    /// another type.
    #[cfg(feature = "settings")]
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| Error::Settings { problem: error.to_string().trim_end().to_owned() })
    }

    /// Reads settings from JSON text.
    ///
    /// # Errors
    /// [`Error::Settings`] if the text is not JSON, if a key is unknown or missing, or if a value has another type.
    #[cfg(feature = "settings")]
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::Settings { problem: error.to_string() })
    }

    /// Length of the context after scaling, which may append a bias; arm features are not counted.
    pub(super) fn scaled_dimension(&self) -> usize {
        self.dimension.saturating_add(usize::from(self.normaliser.is_some_and(|normaliser| normaliser.bias)))
    }

    /// Exploration rule with its floor, the minimum probability of each arm.
    ///
    /// # Errors
    /// Fails if the settings have no exploration rule.
    pub(super) fn floored_rule(&self) -> Result<FlooredRule> {
        let missing = || Error::Settings { problem: "exploration: missing".to_owned() };
        Ok(FlooredRule { rule: self.exploration.ok_or_else(missing)?, floor: self.floor })
    }

    /// Rejects settings that the policy would ignore, because a user would expect them to have an effect.
    pub(super) fn check(&self) -> Result<()> {
        use PolicyKind::{
            ContextFree, DiagonalLogistic, Hybrid, Linear, SharedDiagonalLogistic, SharedLinear, TopKDiagonalLogistic,
            TopKLinear, Uniform,
        };
        let refuse = |fits: bool, problem: String| if fits { Ok(()) } else { Err(Error::Settings { problem }) };
        let kind = self.kind;
        let shared = matches!(kind, SharedLinear | SharedDiagonalLogistic | PolicyKind::SharedLogistic);
        let free = matches!(kind, ContextFree | Uniform);
        refuse(
            self.features == 0 || shared || matches!(kind, Hybrid | TopKLinear | TopKDiagonalLogistic),
            format!("features: {} given, but arms of this kind have no features", self.features),
        )?;
        refuse(
            !(shared || kind == Hybrid) || self.features > 0,
            "features: expected at least 1 with this kind".to_owned(),
        )?;
        refuse(
            self.arms == 0 || !shared,
            format!("arms: {} given, but arms of this kind come with each request", self.arms),
        )?;
        refuse(
            self.dimension == 0 || kind != ContextFree,
            format!("dimension: {} given, but this kind reads no context", self.dimension),
        )?;
        refuse(
            self.shared_prior_precision == 1.0 || kind == Hybrid,
            "shared_prior_precision: only kind = \"hybrid\" has one".into(),
        )?;
        refuse(self.prior_precision == 1.0 || !free, "prior_precision: this kind has no prior precision".into())?;
        let (clock, window, reset) = (self.clock.is_some(), self.window.is_some(), self.reset.is_some());
        refuse(self.decay == 1.0 || !free, format!("decay: {} given, but this kind does not forget", self.decay))?;
        let own = matches!(
            kind,
            Linear | DiagonalLogistic | TopKLinear | TopKDiagonalLogistic | SharedLinear | SharedDiagonalLogistic
        );
        refuse(self.decay == 1.0 || clock || own, "decay: expected with a clock for this kind".to_owned())?;
        for (field, set) in [("clock", clock), ("window", window), ("reset", reset)] {
            refuse(!(free && set), format!("{field}: this kind does not forget"))?;
        }
        refuse(!clock || self.decay != 1.0, "clock: expected together with a decay below 1".to_owned())?;
        refuse(!window || self.decay == 1.0, "window: cannot be combined with a decay".to_owned())?;
        refuse(!reset || !(clock || window), "reset: cannot be combined with a clock or a window".to_owned())?;
        refuse(
            self.exploration.is_some() == (kind != Uniform),
            "exploration: expected with every kind but uniform".to_owned(),
        )?;
        refuse((0.0..=1.0).contains(&self.floor), format!("floor: {} given, expected from 0 to 1", self.floor))?;
        refuse(self.floor == 0.0 || !free, "floor: this kind has no rule with contexts".to_owned())?;
        if !shared && self.arms > 0 {
            check_floor(self.floor, self.arms)?;
        }
        refuse(
            self.normaliser.is_none() || (!free && self.dimension > 0),
            "normaliser: there is no context".to_owned(),
        )?;
        let scales_rewards = self.normaliser.is_some_and(|normaliser| normaliser.rewards);
        let linear = matches!(kind, Linear | PolicyKind::LinearNoise | Hybrid | TopKLinear | SharedLinear);
        refuse(!scales_rewards || linear, "normaliser.rewards: expected only with linear kinds".to_owned())?;
        let joins = shared || matches!(kind, TopKLinear | TopKDiagonalLogistic);
        refuse(
            self.interactions.is_none() || (joins && self.features > 0 && self.dimension > 0),
            "interactions: expected with a shared or top-k kind, a context, and features of arms".to_owned(),
        )?;
        refuse(
            self.groups.is_empty() || self.interactions.is_some(),
            "groups: expected only with interactions, whose pairs name them".to_owned(),
        )?;
        if shared && self.dimension > 0 && self.interactions.is_none() {
            return Err(Error::NeedsInteractions { context: self.dimension });
        }
        self.products().map(drop)
    }
}
