//! The writer of decisions and rewards.

use super::error::{FileProblem, LogError, RewardProblem, check_value};
use super::logged_request::LoggedRequest;
use super::record::{DecisionRecord, Record, RewardRecord, Role, SegmentRecord, parse};
use super::segment_writer::SegmentWriter;
use super::segments::{LogPosition, check_regular, lock_folder, read_if_there, segments};
use crate::arm::ArmId;
use crate::options::options;
use crate::policy::{Decision, Request};
use crate::validate::check_parameter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::Path;

/// The settings of a [`DecisionLog`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LogSettings {
    /// How long after its decision a reward is accepted, in the caller's unit of time; `None` for ever. Decisions younger
    /// than this are kept in memory, some 50 bytes each. Time is that of the whole log, which goes on after a restart: seconds since
    /// the process began would be long past.
    pub horizon: Option<f64>,
    /// A file of more bytes than this is followed by the next one.
    pub rotate_bytes: u64,
    /// Waits for the disk after each line, so that it also survives a power failure: slow. Without it a line survives the
    /// process, but not the machine.
    pub sync: bool,
}

options!(LogSettings::new() {
    horizon / with_horizon: Option<f64> = None,
    rotate_bytes / with_rotate_bytes: u64 = 1 << 28,
    sync / with_sync: bool = false,
});

/// Writes decisions, and their rewards when they come, as JSON lines into numbered files of a folder.
///
/// Decisions come from [`append_request`](Self::append_request), which other policies can be judged from later whatever they look
/// at, or [`append`](Self::append), which leaves out what was asked; slates from
/// [`append_slate_request`](Self::append_slate_request) and [`append_slate`](Self::append_slate). What came of them goes to
/// [`reward`](Self::reward) and [`feedback`](Self::feedback).
///
/// Each line is one write: a process that is killed loses at most the line it was writing, and what there is of that is
/// cut off when the log is opened again ([`torn_bytes`](Self::torn_bytes)). One writer a folder: it is locked. Rewards
/// refer to decisions by the id that was returned for them, also after the log was closed and opened again. Slates go to
/// the same folder or to one of their own. A file is begun under the name `next.partial`, and never written over.
///
/// Times are the caller's, in one unit, and finite. They may go backwards, as those of several threads do: the log's clock is
/// the largest time that it holds, and a reward is late when the clock, not its own time, is beyond the horizon.
///
/// ```
/// use dht_bandits::{LinUcb, Policy, Request, RidgeOptions, Ucb};
/// use dht_bandits::log::{DecisionLog, LogReader, LogSettings, ReadSettings};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// # let folder = std::env::temp_dir().join(format!("decision-log-{}", std::process::id()));
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policy = LinUcb::new(2, 3, RidgeOptions::default(), Ucb { alpha: 0.5 })?;
/// let mut log = DecisionLog::open(&folder, LogSettings::default().with_horizon(Some(60.0)))?;
/// let request = Request::new(&[1.0, 0.2]);
/// let decision = policy.decide(&request, &mut rng)?;
/// let id = log.append_request(&request, &decision, None, 0.0)?;
/// // … twenty seconds later the click arrives
/// log.reward(id, 1.0, 20.0)?;
/// let settings = ReadSettings::default().with_horizon(Some(60.0)).with_default_reward(Some(0.0));
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
/// What a policy learned since it was last saved is in the log. Save it with the log's [`position`](Self::position), and learn
/// from the rewards after that position, in their order ([`JoinedDecision::answered_at`](super::JoinedDecision::answered_at)):
///
/// ```
/// # use dht_bandits::{LinUcb, Policy, Request, RidgeOptions, Ucb};
/// # use dht_bandits::log::{DecisionLog, LogPosition, LogReader, LogSettings, ReadSettings};
/// # use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// # let folder = std::env::temp_dir().join(format!("decision-log-crash-{}", std::process::id()));
/// # let mut rng = ChaCha8Rng::seed_from_u64(7);
/// # let mut policy = LinUcb::new(2, 3, RidgeOptions::default(), Ucb { alpha: 0.5 })?;
/// # let mut log = DecisionLog::open(&folder, LogSettings::default())?;
/// # let decision = policy.decide(&Request::new(&[1.0, 0.2]), &mut rng)?;
/// # let id = log.append(&decision, None, 0.0)?;
/// // Now and then, both at once: in one file, or in one row of a database.
/// let saved = serde_json::to_string(&(&policy, log.position()))?;
/// // A reward is logged and learned; then the process ends.
/// log.reward(id, 1.0, 20.0)?;
/// policy.learn(&decision, 1.0)?;
/// # let (before, _log) = (policy, log);
/// // The next process:
/// let (mut policy, position): (LinUcb, LogPosition) = serde_json::from_str(&saved)?;
/// let mut missed = Vec::new();
/// for joined in LogReader::open(&folder, ReadSettings::default())? {
///     missed.extend(Some(joined?).filter(|joined| joined.answered_at >= Some(position)));
/// }
/// missed.sort_by_key(|joined| joined.answered_at);
/// for joined in &missed {
///     policy.learn(&joined.decision, joined.reward)?;
/// }
/// # assert_eq!((missed.len(), policy.state()), (1, before.state()));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Log each reward before it is learned, and save when both are done, so that the position tells what was learned. What was
/// learned without a reward in the log, such as 0 for no click, is not found again: log it as a reward. Read with the log's
/// horizon, if it has one: memory then holds no more than that. Where the machine itself may fail, set `sync`, lest the policy's
/// file outlive the log's lines.
#[derive(Debug)]
pub struct DecisionLog {
    settings: LogSettings,
    files: SegmentWriter,
    next_id: u64,
    now: f64,
    /// The decisions and slates within the horizon.
    open: BTreeMap<u64, Waiting>,
    /// The horizon of all before this id has passed.
    late_below: u64,
    torn_bytes: u64,
    _lock: File,
}

/// A decision or slate within the horizon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    time: f64,
    /// The number of chosen arms of a slate.
    pub(super) shown: Option<usize>,
    /// Whether its reward came.
    answered: bool,
}

impl DecisionLog {
    /// Opens a log, or begins one: makes the folder, cuts off a torn last line, and reads which decisions still wait.
    ///
    /// Reads the files as far back as the horizon; all of them without one.
    ///
    /// # Errors
    /// A folder that cannot be used or is in use; lines that are no records: a damaged log is not written to. A horizon
    /// that is not positive. [`LogError::File`]: a file of the log's names that is no regular file, or that no other can follow;
    /// a newest file that is empty where those before it are gone, since ids would begin anew.
    pub fn open(folder: impl AsRef<Path>, settings: LogSettings) -> Result<Self, LogError> {
        let folder = folder.as_ref();
        if let Some(horizon) = settings.horizon {
            check_parameter("horizon", horizon, horizon > 0.0, "positive")?;
        }
        let io = |source| LogError::io(folder, source);
        fs::create_dir_all(folder).map_err(io)?;
        let path = folder.join("lock");
        check_regular(&path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(io)?;
        lock_folder(&lock, folder)?;
        let numbers = segments(folder)?;
        let LogSettings { rotate_bytes, sync, .. } = settings;
        let (files, torn_bytes) = SegmentWriter::open(folder, numbers.last().copied(), rotate_bytes, sync)?;
        let (next_id, now, open, late_below) = (0, f64::NEG_INFINITY, BTreeMap::new(), 0);
        let mut log = Self { settings, files, next_id, now, open, late_below, torn_bytes, _lock: lock };
        log.recover(folder, &numbers)?;
        Ok(log)
    }

    /// Reads which decisions wait for rewards.
    fn recover(&mut self, folder: &Path, numbers: &[u64]) -> Result<(), LogError> {
        // The clock tells how far back decisions may still wait.
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
                    Role::Made { id, time, shown } => {
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
            Some(1..) if !met => Err(LogError::File { path: self.files.path(), problem: FileProblem::NoIds }),
            Some(1..) => self.files.begin(self.first_line()),
            _ => Ok(()),
        }
    }

    /// Moves the clock, and forgets decisions whose horizon has passed.
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

    /// How many bytes of a torn line were cut off when the log was opened; 0 after an orderly end.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// How many decisions wait for a reward, and slates for feedback.
    pub fn waiting(&self) -> usize {
        self.open.values().filter(|entry| !entry.answered).count()
    }

    /// Where the next line will stand: what is written from now on is at this position or a later one. What it is for:
    /// [after a crash](Self#after-a-crash).
    pub fn position(&self) -> LogPosition {
        self.files.position()
    }

    /// The id of the next decision or slate.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Writes a decision, with the policy's probability of each arm where they are known, and returns its id. The
    /// propensity is the decision's own, or else that of the probabilities. A decision without either is written too: it can
    /// be learned from, and judges no policy but by the direct method.
    ///
    /// # Errors
    /// A propensity outside (0, 1]; probabilities that are no distribution; values that
    /// are not finite, such as the time; a line that cannot be written, also because the next file is there already
    /// ([`LogError::File`]). The log is unchanged then.
    pub fn append(
        &mut self,
        decision: &Decision,
        probabilities: Option<&[(ArmId, f64)]>,
        time: f64,
    ) -> Result<u64, LogError> {
        self.append_record(decision, probabilities, None, time)
    }

    /// Writes a decision as [`append`](Self::append) does, and what was asked: the context, the arms that could be chosen and
    /// their features. Without them the log of a policy with features of arms teaches, but judges no other policy.
    ///
    /// # Errors
    /// As `append`; a chosen arm that is not among those of the request; all arms but some
    /// ([`Actions::Except`](crate::Actions::Except)) without probabilities, since the log does not know all.
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
        let found = || probabilities.and_then(|all| all.iter().find(|(other, _)| *other == arm)).map(|entry| entry.1);
        let propensity = decision.choice.propensity.or_else(found);
        let probabilities = probabilities.map(<[_]>::to_vec);
        let record = DecisionRecord { id, time, propensity, decision: decision.clone(), probabilities, request };
        self.write_made(&Record::Decision(record), time, None)
    }

    /// Checks and writes a record that waits for an answer from now on.
    pub(super) fn write_made(&mut self, record: &Record, time: f64, shown: Option<usize>) -> Result<u64, LogError> {
        record.check().map_err(|problem| LogError::Value { problem })?;
        self.files.write(record, self.first_line())?;
        let id = self.next_id;
        self.next_id += 1;
        self.open.insert(id, Waiting { time, shown, answered: false });
        self.pass(time);
        Ok(id)
    }

    /// Writes the reward of a decision.
    ///
    /// # Errors
    /// [`LogError::Reward`]: the log does not hold the decision, or no longer, or it has its reward already, or the horizon
    /// has passed, or it is a slate; values that are not finite; a line that cannot be written. The log is unchanged then.
    pub fn reward(&mut self, id: u64, reward: f64, time: f64) -> Result<(), LogError> {
        let waiting = self.waiting_for(id, time)?;
        if waiting.shown.is_some() {
            return Err(LogError::Reward { id, problem: RewardProblem::TakesFeedback });
        }
        self.write_answer(&Record::Reward(RewardRecord { id, time, reward }), id, time)
    }

    /// What waits for an answer that comes at this time.
    pub(super) fn waiting_for(&self, id: u64, time: f64) -> Result<Waiting, LogError> {
        check_value("time", time).map_err(|problem| LogError::Value { problem })?;
        let now = self.now.max(time);
        let problem = match self.open.get(&id) {
            None if id >= self.next_id => RewardProblem::Unknown,
            None if id < self.late_below => RewardProblem::Late,
            None => RewardProblem::Gone,
            Some(entry) if entry.answered => RewardProblem::Twice,
            Some(entry) if self.settings.horizon.is_some_and(|horizon| now - entry.time > horizon) => {
                RewardProblem::Late
            }
            Some(entry) => return Ok(*entry),
        };
        Err(LogError::Reward { id, problem })
    }

    /// Checks and writes the answer to a decision or slate that waits for it.
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
    /// The system's.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.files.sync()
    }

    /// What a new file begins with: files before may be deleted, and each later one knows where ids go on.
    fn first_line(&self) -> SegmentRecord {
        SegmentRecord { next_id: self.next_id, clock: self.now.is_finite().then_some(self.now) }
    }
}

/// The clock of a segment: before its first record, or after its newest.
fn clock_of(folder: &Path, number: u64, newest: bool) -> Result<Option<f64>, LogError> {
    let Some(mut lines) = read_if_there(folder, number)? else { return Ok(None) };
    let mut found: Option<f64> = None;
    while lines.advance()? {
        let time = match parse(lines.line()).map_err(|problem| lines.refuse(problem))?.role() {
            Role::Made { time, .. } | Role::Answer { time, .. } => time,
            Role::Segment(SegmentRecord { clock: Some(clock), .. }) => clock,
            Role::Segment(_) => continue,
        };
        if !newest {
            return Ok(Some(time));
        }
        found = Some(found.map_or(time, |before| before.max(time)));
    }
    Ok(found)
}
