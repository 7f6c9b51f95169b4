//! Log writer for decisions and their rewards.

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

/// Rule that combines several rewards of one decision, such as rewards for a click and for a later purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardRule {
    /// Accepts only the first reward; later ones are errors ([`LogProblem::Twice`]). A reader returns the decision as
    /// soon as it has read the reward.
    #[default]
    First,
    /// Uses the last reward within the horizon (longest waiting time of a decision).
    Last,
    /// Adds up all rewards within the horizon (longest waiting time of a decision).
    Sum,
}

/// Settings of a decision log, for its writer and for its readers. Readers join rewards to decisions, and feedback to
/// slates (lists of arms shown at once).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LogSettings {
    /// Horizon: the longest time between a decision and its reward, or between a slate and its feedback, in the
    /// caller's unit of time. Later answers are not accepted. The default `None` sets no limit.
    ///
    /// The current time is the largest time in the log. The log continues after a restart, so that times must not start
    /// at 0 with each process. A writer keeps decisions within the horizon in memory, about 50 bytes each.
    pub horizon: Option<f64>,
    /// File size in bytes above which the writer continues in a new file. The default is 256 MiB.
    pub rotate_bytes: u64,
    /// `true` if the writer waits after each line until the line is on the disk. Lines then survive a power failure,
    /// but writing is slow. New files and folders are on the disk before their first line. Without this setting, the
    /// default, lines survive the end of the process, but not a failure of the machine.
    pub sync: bool,
    /// Reward of a decision that received none within the horizon (longest waiting time), such as 0 for no click. With
    /// the default `None`, readers leave out such decisions.
    pub default_reward: Option<f64>,
    /// `true` if a reader also returns slates that received no feedback within the horizon (longest waiting time), as
    /// slates of which no arm was observed. A policy learns nothing from them, and their reward is 0. By default they
    /// are left out. This is right if feedback is lost at random. If feedback is missing because nobody clicked,
    /// leaving slates out biases a policy's value upwards.
    pub unobserved: bool,
    /// Rule that combines several rewards of one decision. The default is [`RewardRule::First`]. Under the other rules,
    /// a reader returns a decision when its horizon (longest waiting time) has passed, or without a horizon at the end
    /// of the log. Writer and readers must use the same rule. A slate has only one feedback under every rule.
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

/// Log writer: appends decisions, and later their rewards, as JSON lines to numbered files in a folder.
///
/// [`append_request`](Self::append_request) writes a decision with its request, from which any other policy can be
/// evaluated later. [`append`](Self::append) omits the request. [`reward`](Self::reward) writes the reward. For slates
/// (lists of arms shown at once) there are [`append_slate_request`](Self::append_slate_request),
/// [`append_slate`](Self::append_slate) and [`feedback`](Self::feedback).
///
/// Each line is one write, so that a killed process loses at most the line that it was writing. An incomplete last line
/// is removed when the log is opened again ([`torn_bytes`](Self::torn_bytes)). A folder has one writer at a time, which
/// locks it. The id that the append methods return identifies a decision, also after the log was closed and opened
/// again. Slates may be in the same folder as decisions or in another one. A new file is named `next.partial` until its
/// first line is written. Existing files are never overwritten.
///
/// The caller supplies all times, as finite numbers in one unit. They need not ascend, for example because several
/// threads write. The current time is the largest time in the log. A reward is late if the
/// [horizon](LogSettings::horizon) of its decision (the longest waiting time) has passed at the current time, whatever
/// the time of the reward.
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
/// A policy can be restored from its last save and the log. [`Checkpoint`](crate::policy::Checkpoint) saves the policy
/// and the log's [`position`](Self::position) as one file; after a crash the policy learns the rewards after that
/// position. Log each reward before the policy learns it, and save the policy after it has learned the reward. Rewards
/// that are not in the log, such as an implied 0 for no click, cannot be recovered: log them too. If the machine may
/// fail, set `sync`. Otherwise the saved policy may contain rewards whose log lines are lost.
#[derive(Debug)]
pub struct DecisionLog {
    settings: LogSettings,
    files: SegmentWriter,
    next_id: u64,
    now: f64,
    /// Decisions and slates that may still get an answer (reward or feedback), by id. Their horizon (longest waiting
    /// time) has not passed.
    open: BTreeMap<u64, Waiting>,
    /// Exclusive upper bound of the ids whose horizon (longest waiting time) has passed. A reward or feedback for a
    /// smaller id is late.
    late_below: u64,
    torn_bytes: u64,
    _lock: File,
}

/// Decision or slate that may still get an answer (reward or feedback), because its horizon (longest waiting time) has
/// not passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    time: f64,
    /// Number of chosen arms of a slate; `None` for a single decision.
    pub(super) shown: Option<usize>,
    /// `true` once the reward or feedback was written.
    answered: bool,
}

impl DecisionLog {
    /// Opens or creates a log in a folder. An incomplete last line is removed. To find the decisions that may still get
    /// a reward, the newest files are read, as far back as the horizon (longest waiting time). Without a horizon, all
    /// files are read.
    ///
    /// # Errors
    /// * Fails if the folder cannot be used, or if another writer uses it.
    /// * Fails if a line is invalid: a damaged log is not continued.
    /// * Fails if the horizon is not positive.
    /// * [`LogError::File`] if a log file is not a regular file or has the last possible number.
    /// * [`LogError::File`] if the newest file is empty and all earlier files were deleted, because the next id is then
    ///   unknown.
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

    /// Reads the newest log files, to find the decisions and slates that may still get an answer (reward or feedback).
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

    /// Advances the current time, and forgets decisions and slates whose horizon (longest waiting time) has passed.
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

    /// Number of bytes of an incomplete last line that were removed when the log was opened; 0 if the line was
    /// complete.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Number of decisions without a reward and slates without feedback whose horizon (longest waiting time) has not
    /// passed.
    pub fn waiting(&self) -> usize {
        self.open.values().filter(|entry| !entry.answered).count()
    }

    /// Position at which the next line will be written (number of the file, and byte in it). It is needed to restore a
    /// policy [after a crash](Self#after-a-crash).
    pub fn position(&self) -> (u64, u64) {
        self.files.position()
    }

    /// Hash of the bytes before the [position](Self::position) of the next line, which identifies this log.
    pub(crate) fn tail_digest(&self) -> u64 {
        self.files.tail_digest()
    }

    /// Id that the next decision or slate will get.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Writes a decision, with the policy's probability of each arm if known, and returns the id of the decision. If
    /// the decision has no propensity, the probability of its arm is written as the propensity. Without both, policies
    /// can still learn from the decision, but only the direct method can evaluate policies on it. After an error the
    /// log is unchanged.
    ///
    /// # Errors
    /// * Fails if the propensity is outside (0, 1], or if the probabilities are not a distribution.
    /// * Fails if the time or another value is not finite.
    /// * Fails if the line cannot be written, for example because the next file already exists ([`LogError::File`]).
    pub fn append(
        &mut self,
        decision: &Decision,
        probabilities: Option<&[(ArmId, f64)]>,
        time: f64,
    ) -> Result<u64, LogError> {
        self.append_record(decision, probabilities, None, time)
    }

    /// Writes a decision together with its request: the context, the available arms and their features. Otherwise like
    /// [`append`](Self::append). If arms have features, other policies can be evaluated only with the request.
    ///
    /// # Errors
    /// * Fails as [`append`](Self::append) does.
    /// * Fails if the chosen arm is not in the request.
    /// * Fails if the request excludes arms ([`Request::except`](crate::Request::except)) and there are no
    ///   probabilities, because the log does not know all arms.
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

    /// Checks and writes a decision or a slate, and returns its id. `shown` is the number of chosen arms of a slate.
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
    /// * [`LogError::Reward`] if the log does not contain the decision, or if its file was deleted.
    /// * [`LogError::Reward`] if the decision already has its reward and the [rule](LogSettings::reward_rule) allows
    ///   only one.
    /// * [`LogError::Reward`] if the horizon (longest waiting time) has passed, or if the id belongs to a slate.
    /// * Fails if a value is not finite, or if the line cannot be written.
    pub fn reward(&mut self, id: u64, reward: f64, time: f64) -> Result<(), LogError> {
        let waiting = self.waiting_for(id, time)?;
        if waiting.shown.is_some() {
            return Err(LogError::Reward { id, problem: LogProblem::TakesFeedback });
        }
        self.write_answer(&Record::Reward(RewardRecord { id, time, reward }), id, time)
    }

    /// Finds the decision or slate with this id, if a reward or feedback at `time` is still accepted.
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
    /// [`LogError::Io`] if the operating system cannot write the lines to the disk.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.files.sync()
    }

    /// First line of a new file. It contains the next id, because all earlier files may be deleted.
    fn first_line(&self) -> SegmentRecord {
        SegmentRecord { next_id: self.next_id, clock: self.now.is_finite().then_some(self.now) }
    }
}

/// Time of the first record in log file `number`, or the largest time in this file if `newest`.
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
