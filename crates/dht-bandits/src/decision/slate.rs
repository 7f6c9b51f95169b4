//! Slates (lists of arms that are shown at once), and the feedback on their arms.

use serde::{Deserialize, Serialize};

use super::choice::Choice;
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::validate::check_parameter;

/// Feedback on one arm of a slate: a reward, or the information that the user did not see the arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Feedback {
    /// Reward of an arm that the user saw: 1 for a click and 0 for no click, or any reward in the range of the model.
    Observed(f64),
    /// Missing reward of an arm that the user did not see.
    Unobserved,
}

impl Feedback {
    /// Feedback on a slate of `shown` arms by the cascade model. The user examines the arms in order and stops at the
    /// first click, at index `clicked`. The clicked arm and the arms before it count as observed. Without a click, all
    /// arms count as observed.
    ///
    /// ```
    /// use dht_bandits::policy::Feedback::{self, Observed, Unobserved};
    /// let feedback: Vec<_> = Feedback::cascade(4, Some(1)).collect();
    /// assert_eq!(feedback, [Observed(0.0), Observed(1.0), Unobserved, Unobserved]);
    /// ```
    pub fn cascade(shown: usize, clicked: Option<usize>) -> impl Iterator<Item = Self> {
        (0..shown).map(move |position| match clicked {
            Some(click) if position > click => Self::Unobserved,
            Some(click) => Self::from(position == click),
            None => Self::from(false),
        })
    }
}

impl From<bool> for Feedback {
    /// Creates the feedback on an observed arm: reward 1 for `true`, reward 0 for `false`.
    fn from(good: bool) -> Self {
        Self::Observed(f64::from(u8::from(good)))
    }
}

/// Feedback on one arm of a slate, with the context in which the arm was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmFeedback<'a> {
    /// Arm to which the feedback belongs.
    pub arm: ArmId,
    /// Context in which the arm was chosen.
    pub context: &'a [f64],
    /// Reward of the arm, if it was observed.
    pub feedback: Feedback,
    /// Weight of the feedback in learning; 1 counts it once.
    pub weight: f64,
}

impl<'a> ArmFeedback<'a> {
    /// Creates feedback with weight 1.
    pub fn new(arm: ArmId, context: &'a [f64], feedback: Feedback) -> Self {
        Self { arm, context, feedback, weight: 1.0 }
    }
}

/// Slate: K arms that a policy chose to show at once, best first. It includes pinned arms, which the caller set in
/// advance, and stores the contexts in which the feedback will be learned.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Slate {
    pub(crate) choices: Vec<Choice>,
    pub(crate) pinned: Vec<ArmId>,
    pub(crate) contexts: Vec<f64>,
    pub(crate) version: u64,
    #[serde(default)]
    pub(crate) epoch: u64,
    /// Probability that the user looks at each position; empty if every position is seen.
    #[serde(default)]
    pub(crate) examination: Vec<f64>,
    // Scratch memory for making the choice.
    #[serde(skip)]
    pub(crate) ranked: Vec<(Choice, usize, u32)>,
    #[serde(skip)]
    pub(crate) sorted: Vec<ArmId>,
    #[serde(skip)]
    pub(crate) weights: Vec<f64>,
    #[serde(skip)]
    pub(crate) gathered: Gathered,
}

/// Scratch memory for the ids of available arms, and for the model's inputs: contexts followed by the features of arms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathered {
    pub(crate) ids: Vec<ArmId>,
    pub(crate) rows: Vec<f64>,
}

impl PartialEq for Slate {
    fn eq(&self, other: &Self) -> bool {
        let Self { choices, pinned, contexts, version, epoch, examination, .. } = self;
        let counts = (*version, *epoch) == (other.version, other.epoch);
        let chosen = (choices, pinned, contexts) == (&other.choices, &other.pinned, &other.contexts);
        counts && chosen && *examination == other.examination
    }
}

pub(crate) fn check_examination(probabilities: &[f64]) -> Result<()> {
    probabilities.iter().try_for_each(|&probability| {
        check_parameter("examination", probability, (1e-6..=1.0).contains(&probability), "from 1e-6 to 1")
    })
}

impl Slate {
    /// Chosen arms, best first. Pinned arms (set in advance by the caller) are not included.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// Pinned arms: arms that the caller set in advance, as far as the request made them available.
    pub fn pinned(&self) -> &[ArmId] {
        &self.pinned
    }

    /// All arms of the slate. The pinned arms, which the caller set in advance, come first. The chosen arms follow,
    /// best first.
    pub fn arms(&self) -> impl Iterator<Item = ArmId> + '_ {
        self.pinned.iter().copied().chain(self.choices.iter().map(|choice| choice.arm))
    }

    /// Number of updates that the policy had learned before it chose the slate.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Sets the probability that the user looks at each position of the slate, in the order of
    /// [`choices`](Self::choices). These probabilities come from an eye-tracking study or from shuffled slates, for
    /// example. They are stored in the slate and in logs of slates.
    ///
    /// This corrects for position bias: an item is not penalised because users rarely look at its position. A click
    /// proves that the user looked at the position. Without a click this is unknown, and the reward of 0 gets the
    /// weight e(1 − p)/(1 − e·p). The weight is the probability that the user looked at the position but did not click.
    /// e is the probability of looking, and p is the policy's expected reward (the E-step of a position-based click
    /// model).
    ///
    /// `learn_slate` applies this weight to rewards from 0 to 1. If a [`Normalised`](crate::policy::Normalised) policy
    /// scales rewards, they count fully. So do rewards that such a policy learns before its scaling is final.
    ///
    /// ```
    /// use dht_bandits::{Policy, Ridge, Request, Ucb, policy::{Feedback, TopK}};
    /// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    ///
    /// let mut policy = TopK::<Ridge, _>::per_arm(1, 5, Ridge::default(), Ucb { alpha: 0.5 })?;
    /// let slate = policy.decide_slate(3, &Request::new(&[1.0]), &mut ChaCha8Rng::seed_from_u64(7))?;
    /// let slate = slate.with_examination(&[0.9, 0.5, 0.2])?;
    /// policy.learn_slate(&slate, &[Feedback::from(false), Feedback::from(true), Feedback::from(false)])?;
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the number of probabilities differs from the number of chosen arms, or if a probability is outside
    /// [1e-6, 1].
    pub fn with_examination(self, probabilities: &[f64]) -> Result<Self> {
        let (expected, got) = (self.choices.len(), probabilities.len());
        if got != expected {
            return Err(Error::Dimension { what: "examination of the slate", expected, got });
        }
        check_examination(probabilities)?;
        Ok(Self { examination: probabilities.to_vec(), ..self })
    }

    /// Probability that the user looks at each position; empty if every position is seen.
    pub fn examination(&self) -> &[f64] {
        &self.examination
    }

    /// Pairs each chosen arm with its feedback and with the context in which it was chosen. The context is empty if the
    /// slate was stored without its contexts.
    pub fn feedback<'a>(&'a self, feedback: &'a [Feedback]) -> impl Iterator<Item = ArmFeedback<'a>> + 'a {
        let dimension = self.contexts.len() / self.choices.len().max(1);
        let row = move |position: usize| &self.contexts[position * dimension..][..dimension];
        (self.choices.iter().zip(feedback).enumerate())
            .map(move |(position, (choice, &feedback))| ArmFeedback::new(choice.arm, row(position), feedback))
    }

    /// Model inputs of the chosen arms, one row for each arm: the context, followed by the arm's features if it has
    /// any.
    #[cfg(feature = "log")]
    pub(crate) fn contexts(&self) -> &[f64] {
        &self.contexts
    }

    #[cfg(feature = "log")]
    pub(crate) fn without_scratch(&self) -> Self {
        let Self { choices, pinned, contexts, version, epoch, examination, .. } = self;
        let (choices, pinned, contexts) = (choices.clone(), pinned.clone(), contexts.clone());
        let (version, epoch, examination) = (*version, *epoch, examination.clone());
        Self { choices, pinned, contexts, version, epoch, examination, ..Self::default() }
    }

    pub(crate) fn clear(&mut self) {
        self.choices.clear();
        self.pinned.clear();
        self.contexts.clear();
        self.examination.clear();
        self.ranked.clear();
        self.sorted.clear();
        self.version = 0;
        self.epoch = 0;
    }

    /// Moves the `k` candidates with the highest scores to the front, best first.
    pub(crate) fn rank(&mut self, k: usize) {
        let order = |left: &(Choice, usize, u32), right: &(Choice, usize, u32)| {
            right.0.score.total_cmp(&left.0.score).then(left.2.cmp(&right.2)).then(left.1.cmp(&right.1))
        };
        if k > 0 && k < self.ranked.len() {
            self.ranked.select_nth_unstable_by(k - 1, order);
        }
        self.ranked[..k].sort_unstable_by(order);
    }
}
