//! Policies that are chosen at run time, by settings.

mod batch;
mod kind;
mod merge;
mod rule;
mod settings;

use super::{
    Actions, ArmSet, Choice, Decision, Feedback, Normalised, Observation, Policy, Propensity, Request, Slate,
    SlatePolicy,
};
use crate::arm::ArmId;
use crate::clock::Forgetting;
use crate::error::{Error, Result};
use crate::features::NormalizerOptions;
use crate::saved_state::{StateHeader, check_header, header_reader};
use rand::Rng;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use batch::learn_normalised;
use kind::Kind;
pub use merge::AnyDelta;
pub use rule::AnyRule;
pub use settings::{NormaliserSettings, PolicyKind, PolicySettings};

/// A policy whose kind, exploration and scaling come from [`PolicySettings`].
///
/// Serialised, it is one file: a header with the format's version, the settings, and what was learned. With the feature
/// `settings` it is read and written as JSON, and settings are read from TOML and JSON.
///
/// ```
/// use dht_bandits::policy::{AnyPolicy, AnyRule, PolicyKind, PolicySettings};
/// use dht_bandits::{Policy, Request, Thompson};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let rule = AnyRule::Thompson(Thompson { alpha: 0.3 });
/// let settings = PolicySettings::new(PolicyKind::Linear, 2, 3, Some(rule));
/// let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
/// let mut policy = AnyPolicy::new(settings)?;
/// let decision = policy.decide(&Request::new(&[1.0, 0.2]), &mut rng)?;
/// policy.learn(&decision, 1.0)?;
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AnyPolicy {
    settings: PolicySettings,
    policy: Wrapped,
}

/// With and without a scaling.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wrapped {
    Plain(Kind),
    Normalised(Normalised<Kind>),
}

impl AnyPolicy {
    /// A policy that has learned nothing.
    ///
    /// # Errors
    /// [`Error::Settings`]: settings that the kind lacks or has no use for; a value out of its range.
    pub fn new(settings: PolicySettings) -> Result<Self> {
        settings.check()?;
        let kind = Kind::new(&settings)?;
        let policy = match settings.normaliser {
            None => Wrapped::Plain(kind),
            Some(NormaliserSettings { warm_up, bias, floor, clip }) => {
                let features = if kind.joins_features() { settings.features } else { 0 };
                let options = NormalizerOptions { floor, clip, forgetting: Forgetting::NONE };
                Wrapped::Normalised(Normalised::with_features(
                    kind,
                    settings.dimension,
                    features,
                    options,
                    warm_up,
                    bias,
                )?)
            }
        };
        Ok(Self { settings, policy })
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &PolicySettings {
        &self.settings
    }

    /// Adds an arm that has learned nothing.
    ///
    /// # Errors
    /// [`Error::Settings`]: a shared kind, whose arms come and go with the features of a request. The arm of number 2⁶³ − 1
    /// exists or existed.
    pub fn add_arm(&mut self) -> Result<ArmId> {
        self.kind_mut().add_arm()
    }

    /// Removes an arm for good: its id is never reused.
    ///
    /// # Errors
    /// [`Error::Settings`]: a shared kind. The arm is unknown or removed already.
    pub fn remove_arm(&mut self, arm: ArmId) -> Result<()> {
        self.kind_mut().remove_arm(arm)
    }

    /// Begins the next epoch: decisions and slates made before are refused from now on. To be followed by a save.
    ///
    /// # Errors
    /// [`Error::Settings`]: uniform draws, which learn nothing.
    pub fn expire_decisions(&mut self) -> Result<()> {
        self.kind_mut().expire_decisions()
    }

    /// Learns rewards of single decisions that arrived together: all of them, or none if one is refused.
    ///
    /// Linear and logistic kinds, top-k and shared ones learn them as [`Disjoint::learn_batch`](super::Disjoint::learn_batch)
    /// does; the others, and all until their scaling is frozen, one after the other on a copy of the policy. A test of
    /// `reset` looks at those of weight 1.
    ///
    /// # Errors
    /// As [`learn`](Policy::learn), for the first observation that is refused.
    pub fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        match &mut self.policy {
            Wrapped::Plain(kind) => kind.learn_batch(observations),
            Wrapped::Normalised(policy) => learn_normalised(policy, observations, Kind::learn_batch),
        }
    }

    /// Lets time pass for all arms where `clock = "time"`: evidence counts γ^`time` times as much. O(1). Rewards that wait
    /// for a scaling are new when it is frozen.
    ///
    /// # Errors
    /// [`Error::Settings`]: other settings. A time that is negative or not finite; a clock beyond 2⁵².
    pub fn elapse(&mut self, time: f64) -> Result<()> {
        self.kind_mut().elapse(time)
    }

    /// Shared weights would multiply a feature as if it were of the context, and the reverse.
    fn check_lengths(&self, request: &Request<'_>) -> Result<()> {
        let PolicySettings { dimension, features, .. } = self.settings;
        match request.actions {
            Actions::Featured(_) if features > 0 => {
                request.actions.features(features)?;
                let got = request.context.len();
                if got == dimension {
                    Ok(())
                } else {
                    Err(Error::Dimension { what: "context", expected: dimension, got })
                }
            }
            _ => Ok(()),
        }
    }

    fn inside(&self) -> &dyn Policy {
        match &self.policy {
            Wrapped::Plain(policy) => policy,
            Wrapped::Normalised(policy) => policy,
        }
    }

    fn slates(&self) -> Result<&dyn SlatePolicy> {
        match &self.policy {
            Wrapped::Plain(kind) => kind.slates(),
            Wrapped::Normalised(_) => Err(scaled_slates()),
        }
    }

    fn kind_mut(&mut self) -> &mut Kind {
        match &mut self.policy {
            Wrapped::Plain(kind) => kind,
            Wrapped::Normalised(policy) => policy.inner_mut(),
        }
    }

    /// The policy as a text of JSON.
    ///
    /// # Errors
    /// [`Error::Settings`]: what JSON cannot hold.
    #[cfg(feature = "settings")]
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::Settings { problem: error.to_string() })
    }

    /// The policy in a text of JSON, checked.
    ///
    /// # Errors
    /// [`Error::Settings`]: what is not a policy, is of a newer version or contradicts itself.
    #[cfg(feature = "settings")]
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::Settings { problem: error.to_string() })
    }

    /// Writes the policy to a file: whole, or not at all.
    ///
    /// # Errors
    /// [`Error::File`]: the file, or one of its name with `.partial` appended, cannot be written. [`Error::Settings`]: as
    /// [`to_json`](Self::to_json).
    #[cfg(feature = "settings")]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        use std::io::Write;
        let path = path.as_ref();
        let text = self.to_json()?;
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let write = || {
            let mut file = std::fs::File::create(&partial)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&partial, path)
        };
        write().map_err(|error| Error::file(path, &error))
    }

    /// Reads a policy from a file.
    ///
    /// # Errors
    /// [`Error::File`]: the file cannot be read; its kind tells one that is not there. [`Error::Settings`], with the file's
    /// name: as [`from_json`](Self::from_json).
    #[cfg(feature = "settings")]
    pub fn load(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read(path).map_err(|error| Error::file(path, &error))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::Settings { problem: format!("{}: {error}", path.display()) })
    }
}

impl Policy for AnyPolicy {
    fn dimension(&self) -> usize {
        self.settings.dimension
    }

    fn arms(&self) -> &ArmSet {
        self.inside().arms()
    }

    fn version(&self) -> u64 {
        self.inside().version()
    }

    fn epoch(&self) -> u64 {
        self.inside().epoch()
    }

    fn keeps_features(&self) -> bool {
        self.inside().keeps_features()
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        self.check_lengths(request)?;
        self.inside().select(request, rng)
    }

    fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        self.check_lengths(request)?;
        self.inside().decide(request, rng)
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        self.check_lengths(request)?;
        self.inside().propensities(request)
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        match &mut self.policy {
            Wrapped::Plain(policy) => policy.update(arm, context, reward, weight),
            Wrapped::Normalised(policy) => policy.update(arm, context, reward, weight),
        }
    }

    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        match &mut self.policy {
            Wrapped::Plain(policy) => policy.learn(decision, reward),
            Wrapped::Normalised(policy) => policy.learn(decision, reward),
        }
    }
}

/// Of shared and top-k kinds, without a scaling; every method of the others is an [`Error::Settings`].
impl SlatePolicy for AnyPolicy {
    fn select_slate(&self, k: usize, request: &Request<'_>, rng: &mut dyn Rng, slate: &mut Slate) -> Result<()> {
        slate.clear();
        self.check_lengths(request)?;
        self.slates()?.select_slate(k, request, rng, slate)
    }

    fn decide_slate(&self, k: usize, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Slate> {
        self.check_lengths(request)?;
        self.slates()?.decide_slate(k, request, rng)
    }

    fn slate_propensities(&self, k: usize, request: &Request<'_>) -> Result<Vec<Propensity>> {
        self.check_lengths(request)?;
        self.slates()?.slate_propensities(k, request)
    }

    fn learn_slate(&mut self, slate: &Slate, feedback: &[Feedback]) -> Result<()> {
        match &mut self.policy {
            Wrapped::Plain(kind) => kind.slates_mut()?.learn_slate(slate, feedback),
            Wrapped::Normalised(_) => Err(scaled_slates()),
        }
    }
}

fn scaled_slates() -> Error {
    Error::Settings { problem: "normaliser: slates take contexts as they are".to_owned() }
}

header_reader!("any-policy");

#[derive(Serialize)]
struct Saved<'a> {
    header: StateHeader,
    settings: &'a PolicySettings,
    policy: &'a Wrapped,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Loaded {
    #[serde(deserialize_with = "read_header")]
    header: StateHeader,
    settings: PolicySettings,
    policy: Wrapped,
}

impl Serialize for AnyPolicy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { settings, policy } = self;
        Saved { header: StateHeader::of("any-policy"), settings, policy }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AnyPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Loaded { header, settings, policy } = Loaded::deserialize(deserializer)?;
        check_header(&header, "any-policy").map_err(D::Error::custom)?;
        settings.check().map_err(D::Error::custom)?;
        let kind = match &policy {
            Wrapped::Plain(kind) => kind,
            Wrapped::Normalised(policy) => policy.inner(),
        };
        let scaled = matches!(policy, Wrapped::Normalised(_));
        if kind.fits(&settings) && scaled == settings.normaliser.is_some() {
            return Ok(Self { settings, policy });
        }
        let problem = "settings and policy disagree in kind, lengths, exploration or scaling".to_owned();
        Err(D::Error::custom(Error::InvalidState { what: "policy", index: 0, problem }))
    }
}
