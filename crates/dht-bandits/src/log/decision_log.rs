//! Writer of decisions and rewards to a log.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{LogError, LogProblem, check_value};
use super::logged_request::LoggedRequest;
use super::record::{DecisionRecord, Record, RewardRecord, Role, SegmentRecord, parse};
use super::segment_writer::{SegmentWriter, create_folder};
use super::segments::{check_regular, lock_folder, read_if_there, segments};
use crate::arm::ArmId;
use crate::decision::{Decision, Request};
use crate::options::options;
use crate::validate::check_parameter;

/// Rule for several rewards of one decision, such as a click and then a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardRule {
    /// The first reward counts, and later ones are refused ([`LogProblem::Twice`]). A decision is joined as soon as its
    /// reward is read.
    #[default]
    First,
    /// Only the last reward within the horizon counts.
    Last,
    /// The sum of the rewards within the horizon counts.
    Sum,
}

/// Settings of a decision log, for its writer and for readers that join rewards to decisions or feedback to slates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LogSettings {
    /// Longest time between a decision and its reward, or a slate and its feedback, in the caller's unit of time. The
    /// default `None` sets no limit.
    ///
    /// Time is measured by the log's clock, the largest time so far. The clock continues over the whole log, also after
    /// a restart, so that seconds since the start of the process are not suitable times. A writer holds younger
    /// decisions in memory, about 50 bytes each. A reader joins no later reward.
    pub horizon: Option<f64>,
    /// Largest size of a file in bytes, for writers. Beyond it, the log continues in the next file. The default is 256
    /// MiB.
    pub rotate_bytes: u64,
    /// Wait for the disk after each written line, so that it also survives a power failure. This is slow. The entries
    /// of new files, and of folders that the log creates, are then on the disk before their first line. Without this
    /// setting, a line survives the end of the process, but not a failure of the machine. Off by default.
    pub sync: bool,
    /// Reward of a decision that got no reward within the horizon, for readers of decisions. An example is 0 for no
    /// click. The default `None` leaves the decision out.
    pub default_reward: Option<f64>,
    /// Treat a slate without feedback within the horizon as unobserved, for readers of slates. Nothing is learned from
    /// the slate, and its reward is 0. By default, such a slate is left out. Leaving slates out is right if feedback is
    /// lost at random. It biases a policy's value upwards if feedback is missing because nobody clicked.
    pub unobserved: bool,
    /// Rule for several rewards of one decision; [`RewardRule::First`] by default. Under the other rules, a reader
    /// joins a decision once its horizon has passed, or without a horizon at the end of the log. Writer and readers
    /// need the same rule. Each slate takes feedback once.
    pub reward_rule: RewardRule,
}

options!(LogSettings::new() {
    horizon / with_horizon: Option<f64> = None,
    rotate_bytes / with_rotate_bytes: u64 = 1 << 28,
    sync / with_sync: bool = false,
    default_reward / with_default_reward: Option<f64> = None,
    unobserved / with_unobserved: bool = false,
    reward_rule / with_reward_rule: RewardRule = RewardRule::First,
});

/// Writes decisions, and later their rewards, as JSON lines into numbered files of one folder.
///
/// Decisions are written by [`append_request`](Self::append_request), which stores what is needed to evaluate any other
/// policy later, or by [`append`](Self::append), which omits the request. Slates are written by
/// [`append_slate_request`](Self::append_slate_request) and [`append_slate`](Self::append_slate). Later,
/// [`reward`](Self::reward) and [`feedback`](Self::feedback) write the outcomes.
///
/// Each line is one write: a killed process loses at most the line that it was writing. A partial line is cut off when
/// the log is opened again ([`torn_bytes`](Self::torn_bytes)). A folder has one writer, which locks it. Rewards refer
/// to decisions by the returned id, also after the log was closed and opened again. Slates go to the same folder or to
/// a separate one. A new file is created under the name `next.partial`, and never overwritten.
///
/// Times are the caller's, in one unit, and finite. They may go backwards, as those of several threads do. The log's
/// clock is its largest time. A reward is late if the clock, not the time of the reward, is beyond the horizon of its
/// decision.
///
/// ```
/// use dht_bandits::{LinUcb, Policy, Request, Ridge, Ucb};
/// use dht_bandits::log::{DecisionLog, LogReader, LogSettings};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let folder = std::env::temp_dir().join(format!("decision-log-{}", std::process::id()));
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policy = LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 })?;
/// let mut log = DecisionLog::open(&folder, LogSettings::default().with_horizon(Some(60.0)))?;
/// let request = Request::new(&[1.0, 0.2]);
/// let decision = policy.decide(&request, &mut rng)?;
/// let id = log.append_request(&request, &decision, None, 0.0)?;
/// // … twenty seconds later the click arrives
/// log.reward(id, 1.0, 20.0)?;
/// let settings = LogSettings::default().with_horizon(Some(60.0)).with_default_reward(Some(0.0));
/// for joined in LogReader::open(&folder, settings)? {
///     let joined = joined?;
///     policy.learn(&joined.decision, joined.reward)?;
/// }
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # After a crash
///
/// The log contains what a policy has learned since it was last saved. [`Checkpoint`](crate::policy::Checkpoint) saves
/// the policy with the log's [`position`](Self::position) as one file, and learns the rewards after that position. Log
/// each reward before the policy learns it, and save after the policy has learned it. Anything learned without a reward
/// in the log, such as 0 for no click, cannot be recovered: log it as a reward. If the machine itself may fail, set
/// `sync`. Otherwise the policy's file may survive although lines of the log are lost.
#[derive(Debug)]
pub struct DecisionLog {
    settings: LogSettings,
    files: SegmentWriter,
    next_id: u64,
    now: f64,
    /// Decisions and slates whose horizon has not passed.
    open: BTreeMap<u64, Waiting>,
    /// Exclusive upper bound of the ids whose horizon has passed.
    late_below: u64,
    torn_bytes: u64,
    _lock: File,
}

/// Decision or slate whose horizon has not passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    time: f64,
    /// Number of chosen arms of a slate.
    pub(super) shown: Option<usize>,
    /// `true` once the reward or feedback was written.
    answered: bool,
}

impl DecisionLog {
    /// Opens or creates a log. It creates the folder, cuts off a torn last line, and reads which decisions still wait
    /// for rewards. Files are read as far back as the horizon; without a horizon, all are read.
    ///
    /// # Errors
    /// * Fails if the folder cannot be used or is in use.
    /// * Fails if a line is not a record, since a damaged log is not written to.
    /// * Fails if the horizon is not positive.
    /// * [`LogError::File`] if a log file is not a regular file or has the last possible number.
    /// * [`LogError::File`] if the newest file is empty and all earlier files were deleted, since ids would start
    ///   again.
    pub fn open(folder: impl AsRef<Path>, settings: LogSettings) -> Result<Self, LogError> {
        let folder = folder.as_ref();
        if let Some(horizon) = settings.horizon {
            check_parameter("horizon", horizon, horizon > 0.0, "positive")?;
        }
        let LogSettings { rotate_bytes, sync, .. } = settings;
        let io = |source| LogError::io(folder, source);
        create_folder(folder, sync)?;
        let path = folder.join("lock");
        check_regular(&path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(io)?;
        lock_folder(&lock, folder)?;
        let numbers = segments(folder)?;
        let (files, torn_bytes) = SegmentWriter::open(folder, numbers.last().copied(), rotate_bytes, sync)?;
        let (next_id, now, open, late_below) = (0, f64::NEG_INFINITY, BTreeMap::new(), 0);
        let mut log = Self { settings, files, next_id, now, open, late_below, torn_bytes, _lock: lock };
        log.recover(folder, &numbers)?;
        Ok(log)
    }

    /// Reads which decisions wait for rewards.
    fn recover(&mut self, folder: &Path, numbers: &[u64]) -> Result<(), LogError> {
        // The clock determines how far back decisions may still wait.
        let newest = numbers.iter().rev().find_map(|&number| clock_of(folder, number, true).transpose());
        let oldest = match (newest.transpose()?, self.settings.horizon) {
            (Some(newest), Some(horizon)) => newest - horizon,
            _ => f64::NEG_INFINITY,
        };
        let mut from = 0;
        for (position, &number) in numbers.iter().enumerate().skip(1).rev() {
            if clock_of(folder, number, false)?.is_some_and(|clock| clock < oldest) {
                from = position;
                break;
            }
        }
        let mut met = false;
        for &number in &numbers[from..] {
            let Some(mut lines) = read_if_there(folder, number)? else { continue };
            while lines.advance()? {
                met = true;
                match parse(lines.line()).map_err(|problem| lines.refuse(problem))?.role() {
                    Role::Segment(SegmentRecord { next_id, clock }) => {
                        self.next_id = self.next_id.max(next_id);
                        self.pass(clock.unwrap_or(f64::NEG_INFINITY));
                        if clock.is_some_and(|clock| clock < oldest) {
                            self.late_below = self.late_below.max(next_id);
                        }
                    }
                    Role::Subject { id, time, shown } => {
                        self.next_id = self.next_id.max(id.saturating_add(1));
                        self.open.insert(id, Waiting { time, shown, answered: false });
                        self.pass(time);
                    }
                    Role::Answer { id, time } => {
                        self.next_id = self.next_id.max(id.saturating_add(1));
                        self.open.entry(id).and_modify(|entry| entry.answered = true);
                        self.pass(time);
                    }
                }
            }
        }
        match numbers.last() {
            Some(1..) if !met => Err(LogError::File { path: self.files.path(), problem: LogProblem::NoIds }),
            Some(1..) => self.files.begin(self.first_line()),
            _ => Ok(()),
        }
    }

    /// Advances the clock, and removes decisions whose horizon has passed from memory.
    fn pass(&mut self, time: f64) {
        self.now = self.now.max(time);
        let Some(horizon) = self.settings.horizon else { return };
        while let Some(first) = self.open.first_entry() {
            if self.now - first.get().time <= horizon {
                break;
            }
            self.late_below = first.key().saturating_add(1);
            first.remove();
        }
    }

    /// Number of bytes of a torn line that were cut off when the log was opened; 0 if the last line was complete.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Number of decisions that wait for a reward and slates that wait for feedback.
    pub fn waiting(&self) -> usize {
        self.open.values().filter(|entry| !entry.answered).count()
    }

    /// Position of the next line: later lines are at this position or beyond. It is used to recover [after a
    /// crash](Self#after-a-crash).
    pub fn position(&self) -> (u64, u64) {
        self.files.position()
    }

    /// Digest of the last bytes before the [position](Self::position), which distinguishes this log from others.
    pub(crate) fn tail_digest(&self) -> u64 {
        self.files.tail_digest()
    }

    /// Id of the next decision or slate.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Writes a decision, with the policy's probability of each arm if known, and returns the id of the decision. The
    /// written propensity is that of the decision, or else the probability of its arm. A decision with neither is also
    /// written. Policies can learn from such a decision, but only the direct method can evaluate with it. After an
    /// error the log is unchanged.
    ///
    /// # Errors
    /// * Fails if the propensity is outside (0, 1], or if the probabilities are not a distribution.
    /// * Fails if a value is not finite, such as the time.
    /// * Fails if the line cannot be written. One reason is that the next file already exists ([`LogError::File`]).
    pub fn append(
        &mut self,
        decision: &Decision,
        probabilities: Option<&[(ArmId, f64)]>,
        time: f64,
    ) -> Result<u64, LogError> {
        self.append_record(decision, probabilities, None, time)
    }

    /// Writes a decision as [`append`](Self::append) does, together with its request: the context, the available arms
    /// and their features. Without the request, the log of a policy with arm features supports learning, but not the
    /// evaluation of other policies.
    ///
    /// # Errors
    /// * Errors of [`append`](Self::append).
    /// * Fails if the chosen arm is not in the request.
    /// * Fails if the request excludes arms ([`Request::except`](crate::Request::except)) and there are no
    ///   probabilities, since the log does not know all arms.
    pub fn append_request(
        &mut self,
        request: &Request<'_>,
        decision: &Decision,
        probabilities: Option<&[(ArmId, f64)]>,
        time: f64,
    ) -> Result<u64, LogError> {
        let request = LoggedRequest::new(request, Some(&decision.context), probabilities)
            .map_err(|problem| LogError::Value { problem })?;
        self.append_record(decision, probabilities, Some(request), time)
    }

    fn append_record(
        &mut self,
        decision: &Decision,
        probabilities: Option<&[(ArmId, f64)]>,
        request: Option<LoggedRequest>,
        time: f64,
    ) -> Result<u64, LogError> {
        let id = self.next_id;
        let arm = decision.arm();
        let listed = || probabilities.and_then(|all| all.iter().find(|(other, _)| *other == arm)).map(|entry| entry.1);
        let propensity = decision.choice.propensity.or_else(listed);
        let probabilities = probabilities.map(<[_]>::to_vec);
        let record = DecisionRecord { id, time, propensity, decision: decision.clone(), probabilities, request };
        self.write_made(&Record::Decision(record), time, None)
    }

    /// Checks and writes a record that waits for an answer: a decision or a slate.
    pub(super) fn write_made(&mut self, record: &Record, time: f64, shown: Option<usize>) -> Result<u64, LogError> {
        record.check().map_err(|problem| LogError::Value { problem })?;
        self.files.write(record, self.first_line())?;
        let id = self.next_id;
        self.next_id += 1;
        self.open.insert(id, Waiting { time, shown, answered: false });
        self.pass(time);
        Ok(id)
    }

    /// Writes the reward of a decision. After an error the log is unchanged.
    ///
    /// # Errors
    /// * [`LogError::Reward`] if the log does not hold the decision, or no longer holds it.
    /// * [`LogError::Reward`] if the decision already has its reward and the [rule](LogSettings::reward_rule) allows
    ///   only one.
    /// * [`LogError::Reward`] if the horizon has passed, or if the id belongs to a slate.
    /// * Fails if a value is not finite, or if the line cannot be written.
    pub fn reward(&mut self, id: u64, reward: f64, time: f64) -> Result<(), LogError> {
        let waiting = self.waiting_for(id, time)?;
        if waiting.shown.is_some() {
            return Err(LogError::Reward { id, problem: LogProblem::TakesFeedback });
        }
        self.write_answer(&Record::Reward(RewardRecord { id, time, reward }), id, time)
    }

    /// Finds the waiting decision or slate with this id, for an answer at this time.
    pub(super) fn waiting_for(&self, id: u64, time: f64) -> Result<Waiting, LogError> {
        check_value("time", time).map_err(|problem| LogError::Value { problem })?;
        let now = self.now.max(time);
        let problem = match self.open.get(&id) {
            None if id >= self.next_id => LogProblem::Unknown,
            None if id < self.late_below => LogProblem::Late,
            None => LogProblem::Gone,
            Some(entry)
                if entry.answered && (self.settings.reward_rule == RewardRule::First || entry.shown.is_some()) =>
            {
                LogProblem::Twice
            }
            Some(entry) if self.settings.horizon.is_some_and(|horizon| now - entry.time > horizon) => LogProblem::Late,
            Some(entry) => return Ok(*entry),
        };
        Err(LogError::Reward { id, problem })
    }

    /// Checks and writes the answer to a waiting decision or slate.
    pub(super) fn write_answer(&mut self, record: &Record, id: u64, time: f64) -> Result<(), LogError> {
        record.check().map_err(|problem| LogError::Value { problem })?;
        self.files.write(record, self.first_line())?;
        self.open.entry(id).and_modify(|entry| entry.answered = true);
        self.pass(time);
        Ok(())
    }

    /// Waits until all lines are on the disk.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.files.sync()
    }

    /// First line of a new file. It stores the next id, since earlier files may be deleted.
    fn first_line(&self) -> SegmentRecord {
        SegmentRecord { next_id: self.next_id, clock: self.now.is_finite().then_some(self.now) }
    }
}

/// Clock of a segment: the time of its first record, or the largest time in it if `newest`.
fn clock_of(folder: &Path, number: u64, newest: bool) -> Result<Option<f64>, LogError> {
    let Some(mut lines) = read_if_there(folder, number)? else { return Ok(None) };
    let mut clock: Option<f64> = None;
    while lines.advance()? {
        let time = match parse(lines.line()).map_err(|problem| lines.refuse(problem))?.role() {
            Role::Subject { time, .. } | Role::Answer { time, .. } => time,
            Role::Segment(SegmentRecord { clock: Some(clock), .. }) => clock,
            Role::Segment(_) => continue,
        };
        if !newest {
            return Ok(Some(time));
        }
        clock = Some(clock.map_or(time, |before| before.max(time)));
    }
    Ok(clock)
}
