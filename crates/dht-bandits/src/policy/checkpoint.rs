//! Checkpoints: a policy saved together with its position in the decision log, for recovery after a crash.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Feedback, Slate};
use crate::error::Error;
use crate::files::replace_file;
use crate::log::{DecisionLog, LogError, LogProblem, LogReader, LogSettings, RewardRule, after_line, check_position};
use crate::policy::Policy;
use crate::saved_state::{StateHeader, header_reader};

/// Saved policy together with its position in the decision log, as one JSON file. The policy has learned all rewards
/// before that position. After a crash, [`catch_up`](Self::catch_up) learns the later rewards from the log.
///
/// ```
/// use dht_bandits::log::{DecisionLog, LogSettings};
/// use dht_bandits::{LinUcb, Policy, Request, Ridge, Ucb, policy::Checkpoint};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// # let folder = std::env::temp_dir().join(format!("checkpoint-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let (rewards, file) = (folder.join("rewards"), folder.join("policy.json"));
/// let mut policy = LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 })?;
/// let mut log = DecisionLog::open(&rewards, LogSettings::default())?;
/// let decision = policy.decide(&Request::new(&[1.0, 0.2]), &mut ChaCha8Rng::seed_from_u64(7))?;
/// let id = log.append(&decision, None, 0.0)?;
/// Checkpoint::new(&policy, &log).save(&file)?; // now and then
/// log.reward(id, 1.0, 20.0)?;
/// policy.learn(&decision, 1.0)?;
/// // The process ends without another save; the next one:
/// let mut restored = Checkpoint::<LinUcb>::load(&file)?;
/// let caught_up = restored.catch_up(&rewards, LogSettings::default())?;
/// assert_eq!((caught_up.learned, restored.policy.state()), (1, policy.state()));
/// # drop(log);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint<P> {
    #[serde(deserialize_with = "read_header")]
    header: StateHeader,
    /// Saved policy.
    pub policy: P,
    /// Position in the log: number of the file, and byte within that file. The policy has learned all rewards before
    /// this position.
    pub position: (u64, u64),
    /// Digest of the last log bytes before `position`, which detects a different log.
    digest: u64,
}

header_reader!("checkpoint");

/// Result of [`Checkpoint::catch_up`]: number of rewards learned from the log, and the refused ones with their errors.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct CatchUp {
    /// Number of logged decisions and slates whose rewards the policy has learned.
    pub learned: usize,
    /// Ids of decisions and slates whose rewards the policy refused, each with the error. For example, the arm of the
    /// decision may have been removed.
    pub refused: Vec<(u64, Error)>,
}

/// Logged reward of a decision, or logged feedback on a slate, that the policy has not learned yet.
enum LoggedOutcome {
    Reward(Decision, f64),
    Feedback(Slate, Vec<Feedback>),
}

impl<P> Checkpoint<P> {
    /// Creates a checkpoint of a policy, or of a reference to one, at the current end of its log.
    pub fn new(policy: P, log: &DecisionLog) -> Self {
        let header = StateHeader::new("checkpoint");
        Self { header, policy, position: log.position(), digest: log.tail_digest() }
    }
}

impl<P: Serialize> Checkpoint<P> {
    /// Writes the checkpoint to a file, completely or not at all: a reader sees either the previous file or the new
    /// one.
    ///
    /// # Errors
    /// - [`Error::File`] if the file cannot be written or is not a regular file.
    /// - [`Error::Settings`] if JSON cannot represent a value.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(|error| Error::Settings { problem: error.to_string() })?;
        replace_file(path.as_ref(), &text)
    }
}

impl<P: DeserializeOwned> Checkpoint<P> {
    /// Reads a checkpoint from a JSON file, and checks it.
    ///
    /// # Errors
    /// - [`Error::File`] if the file cannot be read.
    /// - [`Error::Settings`], with the file's name, if the file is cut off, does not hold a checkpoint of this kind of
    ///   policy, or has a newer version.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = std::fs::read(path).map_err(|error| Error::file(path, &error))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::Settings { problem: format!("{}: {error}", path.display()) })
    }
}

impl<P: Policy + Clone> Checkpoint<P> {
    /// Learns the rewards and the slate feedback that the log contains after the saved position, in the order of the
    /// log, and advances the position. A repeated call does not learn a reward twice. All rewards to be learned are
    /// held in memory.
    ///
    /// The log must use the first reward of each decision. Settings that sum several rewards or use a later one are
    /// refused. Default rewards are not in the log, and so are not learned. Decisions announced with
    /// [`AnyPolicy::announce`](crate::policy::AnyPolicy::announce) must be announced again, since a checkpoint does not
    /// save them. An incomplete last line is ignored, as by [`LogReader`].
    ///
    /// # Errors
    /// - [`LogProblem::EndsBefore`] if the position is not in this log.
    /// - [`LogProblem::OtherBytes`] if the line before the position has changed since the checkpoint was saved.
    /// - The error of [`LogReader`] for a line that cannot be read.
    /// - [`Error::Settings`] if the [reward rule](LogSettings::reward_rule) does not select the first reward: the
    ///   policy may already have learned a part of a sum.
    ///
    /// After an error the checkpoint is unchanged.
    pub fn catch_up(&mut self, folder: impl AsRef<Path>, settings: LogSettings) -> Result<CatchUp, LogError> {
        let folder = folder.as_ref();
        if settings.reward_rule != RewardRule::First {
            let problem = "reward_rule: expected \"first\", since a policy may have learned a part of several rewards";
            return Err(Error::Settings { problem: problem.to_owned() }.into());
        }
        check_position(folder, self.position, self.digest)?;
        let settings = settings.with_default_reward(None).with_unobserved(false);
        let mut missed = Vec::new();
        for joined in LogReader::open(folder, settings)?.filter(of_this_reader) {
            let joined = joined?;
            if let Some(position) = joined.answered_at.filter(|position| *position >= self.position) {
                missed.push((position, joined.id, LoggedOutcome::Reward(joined.decision, joined.reward)));
            }
        }
        for joined in LogReader::open_slates(folder, settings)?.filter(of_this_reader) {
            let joined = joined?;
            if let Some(position) = joined.answered_at.filter(|position| *position >= self.position) {
                missed.push((position, joined.id, LoggedOutcome::Feedback(joined.slate, joined.feedback)));
            }
        }
        missed.sort_by_key(|(position, ..)| *position);
        let (mut policy, mut caught_up) = (self.policy.clone(), CatchUp::default());
        let last = missed.last().map(|(position, ..)| *position);
        let (position, digest) = match last {
            Some(line) => after_line(folder, line)?,
            None => (self.position, self.digest),
        };
        for (_, id, answer) in missed {
            let outcome = match answer {
                LoggedOutcome::Reward(decision, reward) => policy.learn(&decision, reward),
                LoggedOutcome::Feedback(slate, feedback) => policy.learn_slate(&slate, &feedback),
            };
            match outcome {
                Ok(()) => caught_up.learned += 1,
                Err(error) => caught_up.refused.push((id, error)),
            }
        }
        (self.policy, self.position, self.digest) = (policy, position, digest);
        Ok(caught_up)
    }
}

/// Filter for log records that a reader can return. A log may contain decisions and slates, and a reader of one type
/// reports a record of the other type as an error, which this filter drops.
fn of_this_reader<T>(joined: &Result<T, LogError>) -> bool {
    !matches!(joined, Err(LogError::Line { problem: LogProblem::OtherReader { .. }, .. }))
}
