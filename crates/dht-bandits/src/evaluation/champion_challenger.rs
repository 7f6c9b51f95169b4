//! Comparison of two policies in service: one of them acts, both learn, and a confidence sequence compares their
//! rewards.

use std::ops::RangeInclusive;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::confidence_sequence::ConfidenceSequence;
use super::estimate::LoggedRound;
use super::evaluate::Verdict;
use crate::decision::{Choice, Decision, Propensity, Request};
use crate::error::{Error, Result};
use crate::policy::Policy;
use crate::saved_state::{StateHeader, header_reader};
use crate::validate::check_parameter;

/// Comparison in service of the current policy (champion) with a new one (challenger). For each request both policies
/// decide, the decision of one is used, and both learn from the reward. A [`ConfidenceSequence`] estimates the
/// challenger's gain in reward. It is valid at all times, so that [`verdict`](Self::verdict) may be called after every
/// reward.
///
/// The champion's decision is used, except in a random [share](Self::with_share) of the requests, 0 by default. The
/// propensity of a decision accounts for this mixture of both policies. With a share of 0, the champion must explore:
/// if it never chooses an arm that the challenger chooses, the challenger's value cannot be estimated, and `decide`
/// fails with [`Error::NoOverlap`]. For a champion that does not explore, use a share of .05 to .1.
///
/// Both policies and the confidence sequence are saved together, by `policy::save_binary` or as JSON. The confidence
/// sequence assumes policies whose expected rewards do not change. If a policy still learns, its value is the mean over
/// the rounds. A gain whose interval is above 0 then shows only that the challenger was better at some time.
///
/// ```
/// use dht_bandits::evaluation::{ChampionChallenger, Verdict};
/// use dht_bandits::policy::Fixed;
/// use dht_bandits::{ArmId, Request};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let (champion, challenger) = (Fixed::new(1, 2, ArmId::new(0))?, Fixed::new(1, 2, ArmId::new(1))?);
/// // Rewards from 0 to 1, an error probability of .05, and a tenth of the requests for the challenger.
/// let mut service = ChampionChallenger::new(champion, challenger, (0.0, 1.0), 0.05)?.with_share(0.1)?;
/// let mut rounds = 0;
/// while service.verdict() == Verdict::Undecided {
///     let pair = service.decide(&Request::new(&[1.0]), &mut rng)?; // serde: kept until the reward arrives
///     let reward = if pair.decision.arm() == ArmId::new(1) { 0.8 } else { 0.3 };
///     service.learn(&pair, reward)?;
///     rounds += 1;
/// }
/// assert!(service.verdict() == Verdict::Deploy && rounds < 3000);
/// let next = service.into_challenger();
/// # drop(next);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "A: Deserialize<'de>, B: Deserialize<'de>"))]
pub struct ChampionChallenger<A, B> {
    #[serde(deserialize_with = "read_header")]
    header: StateHeader,
    #[serde(deserialize_with = "read_share")]
    share: f64,
    champion: A,
    challenger: B,
    sequence: ConfidenceSequence,
}

header_reader!("champion-challenger");

fn read_share<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    check_share(share).map_err(serde::de::Error::custom)?;
    Ok(share)
}

fn check_share(share: f64) -> Result<()> {
    check_parameter("share", share, (0.0..1.0).contains(&share), "from 0 to below 1")
}

/// Decision of a [`ChampionChallenger`], with the challenger's choice and its probability of the chosen arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PairedDecision {
    /// Decision to carry out, made by champion or challenger. Its propensity accounts for the random choice between the
    /// two.
    pub decision: Decision,
    /// Choice of the challenger. It equals the choice of `decision` if the challenger's decision is used.
    pub challenger: Choice,
    /// Probability with which the challenger chooses the arm of `decision`.
    pub target: f64,
    /// Epochs of the champion and the challenger when they made the decision. An epoch counts calls of
    /// `expire_decisions`.
    epochs: (u64, u64),
}

impl<A: Policy + Clone, B: Policy + Clone> ChampionChallenger<A, B> {
    /// Creates a comparison of two policies for rewards in `range`. Its verdict is wrong with a probability of at most
    /// `alpha`.
    ///
    /// # Errors
    /// * Fails as [`ConfidenceSequence::gain`] does.
    /// * Fails if only one of the policies stores the features of arms in its decisions.
    pub fn new(champion: A, challenger: B, range: (f64, f64), alpha: f64) -> Result<Self> {
        if champion.keeps_features() != challenger.keeps_features() {
            return Err(Error::Unsupported { what: "a challenger that reads other parts of a request" });
        }
        let (header, sequence) = (StateHeader::new("champion-challenger"), ConfidenceSequence::gain(range, alpha)?);
        Ok(Self { header, share: 0.0, champion, challenger, sequence })
    }

    /// Sets the share of requests, drawn at random, in which the challenger's decision is used.
    ///
    /// # Errors
    /// Fails if the share is not in [0, 1).
    pub fn with_share(self, share: f64) -> Result<Self> {
        check_share(share)?;
        Ok(Self { share, ..self })
    }

    /// Asks both policies for a decision, and returns the one to carry out.
    ///
    /// # Errors
    /// * Fails if `decide` of either policy fails.
    /// * [`Error::NoOverlap`] if the challenger's share of requests is 0, and it chooses an arm that the champion never
    ///   chooses.
    pub fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<PairedDecision> {
        let (first, second) = (self.champion.propensities(request)?, self.challenger.propensities(request)?);
        let of = |all: &[Propensity], arm| {
            all.iter().find(|entry: &&Propensity| entry.arm == arm).map_or(0.0, |entry| entry.probability)
        };
        if self.share == 0.0 {
            let covered = second.iter().filter(|entry| of(&first, entry.arm) > 0.0);
            let weights: f64 = covered.map(|entry| entry.probability).sum();
            if weights < 1.0 - 1e-6 {
                return Err(Error::NoOverlap { position: 0, weights });
            }
        }
        let (mut decision, challenger) = (self.champion.decide(request, rng)?, self.challenger.decide(request, rng)?);
        let acts = self.share > 0.0 && rng.random::<f64>() < self.share;
        let choice = challenger.choice;
        if acts {
            decision = challenger;
        }
        let target = of(&second, decision.arm()).min(1.0);
        let mixture = (1.0 - self.share) * of(&first, decision.arm()) + self.share * target;
        decision.choice.propensity = Some(mixture.min(1.0));
        let epochs = (self.champion.epoch(), self.challenger.epoch());
        Ok(PairedDecision { decision, challenger: choice, target, epochs })
    }

    /// Lets both policies learn a reward, and adds it to the comparison. After an error nothing has changed.
    ///
    /// # Errors
    /// * Fails if the reward is outside the range passed to [`new`](Self::new).
    /// * Fails if `learn` of either policy fails.
    pub fn learn(&mut self, pair: &PairedDecision, reward: f64) -> Result<()> {
        let mut sequence = self.sequence.clone();
        sequence.push(&LoggedRound::new(reward, pair.decision.choice.propensity, pair.target))?;
        let of_epoch = |epoch| Decision { choice: Choice { epoch, ..pair.decision.choice }, ..pair.decision.clone() };
        let (for_champion, for_challenger) = (of_epoch(pair.epochs.0), of_epoch(pair.epochs.1));
        // Both policies are copied, so that an error of the second leaves the first unchanged.
        let mut champion = self.champion.clone();
        champion.learn(&for_champion, reward)?;
        self.challenger.learn(&for_challenger, reward)?;
        (self.champion, self.sequence) = (champion, sequence);
        Ok(())
    }

    /// Champion: the current policy, whose decisions are used except in the challenger's share of requests.
    pub fn champion(&self) -> &A {
        &self.champion
    }

    /// Challenger: the policy that may replace the champion.
    pub fn challenger(&self) -> &B {
        &self.challenger
    }

    /// Confidence interval of the challenger's gain over the champion in expected reward. It is valid after every
    /// round.
    pub fn gain(&self) -> RangeInclusive<f64> {
        // The sequence compares with the mixture, which already contains a part of the gain.
        let interval = self.sequence.interval();
        let whole = 1.0 - self.share;
        interval.start() / whole..=interval.end() / whole
    }

    /// Number of rewards compared so far.
    pub fn rounds(&self) -> u64 {
        self.sequence.rounds()
    }

    /// Current verdict: [`Verdict::Deploy`] once the interval of the challenger's gain is above 0, [`Verdict::Reject`]
    /// once it is below 0, otherwise [`Verdict::Undecided`].
    pub fn verdict(&self) -> Verdict {
        let gain = self.gain();
        Verdict::new(*gain.start(), *gain.end())
    }

    /// Ends the comparison and returns the champion.
    pub fn into_champion(self) -> A {
        self.champion
    }

    /// Ends the comparison and returns the challenger.
    pub fn into_challenger(self) -> B {
        self.challenger
    }
}
