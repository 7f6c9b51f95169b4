//! Policies saved together with their position in a log.

use crate::decision::{Decision, Feedback, Slate};
use crate::error::Error;
use crate::files::replace_file;
use crate::log::{DecisionLog, LogError, LogProblem, LogReader, LogSettings, RewardRule, after_line, check_position};
use crate::policy::Policy;
use crate::saved_state::{StateHeader, header_reader};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Policy and the position in its log up to which it has learned, as one JSON file. After a crash it learns what it has
/// missed.
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
    /// The policy.
    pub policy: P,
    /// Position in the log: number of the file, and byte in it. The policy has learned the rewards before it.
    pub position: (u64, u64),
    /// Digest of the log's bytes before the position.
    digest: u64,
}

header_reader!("checkpoint");

/// Result of [`Checkpoint::catch_up`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct CatchUp {
    /// Number of decisions and slates learned.
    pub learned: usize,
    /// Ids of decisions and slates that the policy refused, such as those of removed arms, each with the reason.
    pub refused: Vec<(u64, Error)>,
}

/// Logged answer that a policy has not learned.
enum Missed {
    Reward(Decision, f64),
    Feedback(Slate, Vec<Feedback>),
}

impl<P> Checkpoint<P> {
    /// Combines a policy, or a reference to one, with the position of its log.
    pub fn new(policy: P, log: &DecisionLog) -> Self {
        let header = StateHeader::new("checkpoint");
        Self { header, policy, position: log.position(), digest: log.tail_digest() }
    }
}

impl<P: Serialize> Checkpoint<P> {
    /// Writes the checkpoint to a file, completely or not at all: a reader gets the former file or this one.
    ///
    /// # Errors
    /// [`Error::File`]: a file that cannot be written, or is not a regular file. [`Error::Settings`]: values that JSON
    /// cannot hold.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(|error| Error::Settings { problem: error.to_string() })?;
        replace_file(path.as_ref(), &text)
    }
}

impl<P: DeserializeOwned> Checkpoint<P> {
    /// Reads a checkpoint from a file.
    ///
    /// # Errors
    /// [`Error::File`]: the file cannot be read. [`Error::Settings`], with the file's name: a file that is torn, holds no
    /// checkpoint of this kind of policy, or has a newer version.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = std::fs::read(path).map_err(|error| Error::file(path, &error))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::Settings { problem: format!("{}: {error}", path.display()) })
    }
}

impl<P: Policy + Clone> Checkpoint<P> {
    /// Learns the rewards and the feedback after the position, in the order of the log, and advances the position. A
    /// second call learns nothing twice. Memory holds what is learned.
    ///
    /// The policy has to learn the first reward of each decision: sums and later rewards are refused. Announcements of
    /// [`AnyPolicy`](crate::policy::AnyPolicy::announce) are not saved. Defaults are not in the log, and so are not learned. A last line that was cut off is ignored, as by [`LogReader`].
    ///
    /// # Errors
    /// [`LogProblem::EndsBefore`]: the position is not in this log. [`LogProblem::OtherBytes`]: the log has another line
    /// before the position than when the policy was saved. Lines that cannot be read. Another
    /// [rule](LogSettings::reward_rule) than the first reward: part of a sum may have been learned. The checkpoint is
    /// unchanged then.
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
                missed.push((position, joined.id, Missed::Reward(joined.decision, joined.reward)));
            }
        }
        for joined in LogReader::open_slates(folder, settings)?.filter(of_this_reader) {
            let joined = joined?;
            if let Some(position) = joined.answered_at.filter(|position| *position >= self.position) {
                missed.push((position, joined.id, Missed::Feedback(joined.slate, joined.feedback)));
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
                Missed::Reward(decision, reward) => policy.learn(&decision, reward),
                Missed::Feedback(slate, feedback) => policy.learn_slate(&slate, &feedback),
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

/// Returns whether a line is for this reader: decisions and slates may share a folder.
fn of_this_reader<T>(joined: &Result<T, LogError>) -> bool {
    !matches!(joined, Err(LogError::Line { problem: LogProblem::OtherReader { .. }, .. }))
}
