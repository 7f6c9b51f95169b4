//! The reader of a decision log, which joins rewards to decisions.

use super::LoggedDecision;
use super::decision_log::{parse, read_segment};
use super::error::{LineProblem, LogError, RewardProblem};
use super::lines::Lines;
use super::record::{DecisionRecord, LoggedRequest, Record, RewardRecord};
use super::segments::segments;
use crate::arm::ArmId;
use crate::policy::Decision;
use crate::validate::{check_parameter, check_scalar};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// How rewards are joined to decisions.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadSettings {
    /// How long a decision waits for its reward, in the log's unit of time; `None` until the end of the log.
    pub horizon: Option<f64>,
    /// The reward of a decision that got none within the horizon, such as 0 for no click; `None` leaves it out.
    pub default_reward: Option<f64>,
}

/// A decision with its reward.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedDecision {
    /// The id that the log gave it.
    pub id: u64,
    /// When it was made.
    pub time: f64,
    /// The decision, to [learn](crate::Policy::learn) from.
    pub decision: Decision,
    /// Its propensity.
    pub propensity: f64,
    /// The policy's probability of each arm, where it was logged.
    pub probabilities: Option<Vec<(ArmId, f64)>>,
    /// What the policy was asked, where it was logged.
    pub request: Option<LoggedRequest>,
    /// The reward.
    pub reward: f64,
    /// Whether that is the default.
    pub defaulted: bool,
}

impl JoinedDecision {
    /// The row, to be [judged](crate::evaluation) with.
    pub fn into_row(self) -> LoggedDecision {
        let record = DecisionRecord {
            id: self.id,
            time: self.time,
            propensity: Some(self.propensity),
            decision: self.decision,
            probabilities: self.probabilities,
            request: self.request,
        };
        record.row(self.reward)
    }
}

/// What a reader has met so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LogCounts {
    /// Decisions with their rewards.
    pub rewarded: u64,
    /// Decisions that got the default.
    pub defaulted: u64,
    /// Decisions whose horizon passed without a reward, and without a default for it.
    pub unrewarded: u64,
    /// Decisions at the end of the log whose horizon had not passed: their rewards may still come.
    pub waiting: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// Last lines that were cut off by a crash: 0 or 1.
    pub torn: u64,
}

/// Reads the decisions of a log in the order in which they were made, each when its reward has come or its horizon has
/// passed. Memory holds the decisions of one horizon; without a horizon all that have no reward, and those after them.
///
/// A line that cannot be used is an error, and the next call goes on after it. A last line that was cut off by a crash is
/// no error: it is [counted](Self::counts).
#[derive(Debug)]
pub struct LogReader {
    folder: PathBuf,
    settings: ReadSettings,
    segments: VecDeque<u64>,
    lines: Option<Lines<BufReader<File>>>,
    waiting: VecDeque<(DecisionRecord, Option<f64>)>,
    last: Option<u64>,
    now: f64,
    ended: bool,
    counts: LogCounts,
}

impl LogReader {
    /// A reader from the first line. The log may be written to meanwhile: what is written after the reader came to its
    /// end is not read.
    ///
    /// # Errors
    /// A folder that cannot be read; a horizon that is not positive, a default that is not finite.
    pub fn open(folder: impl AsRef<Path>, settings: ReadSettings) -> Result<Self, LogError> {
        let folder = folder.as_ref();
        if let Some(horizon) = settings.horizon {
            check_parameter("horizon", horizon, horizon > 0.0, "positive")?;
        }
        check_scalar("default reward", settings.default_reward.unwrap_or(0.0))?;
        Ok(Self {
            folder: folder.to_owned(),
            settings,
            segments: segments(folder)?.into(),
            lines: None,
            waiting: VecDeque::new(),
            last: None,
            now: f64::NEG_INFINITY,
            ended: false,
            counts: LogCounts::default(),
        })
    }

    /// What it has met so far.
    pub fn counts(&self) -> LogCounts {
        self.counts
    }

    /// Reads one line into the waiting decisions; false at the end of the log.
    fn advance(&mut self) -> Result<bool, LogError> {
        loop {
            let Some(lines) = &mut self.lines else {
                let Some(number) = self.segments.pop_front() else { return Ok(false) };
                self.lines = Some(read_segment(&self.folder, number)?);
                continue;
            };
            if lines.advance()? {
                break;
            }
            let torn = lines.torn();
            let refused = lines.refuse(LineProblem::Malformed("cut off, but not at the end of the log".to_owned()));
            self.lines = None;
            if torn > 0 {
                if !self.segments.is_empty() {
                    return Err(refused);
                }
                self.counts.torn += torn;
            }
        }
        let Some(lines) = &self.lines else { return Ok(false) };
        let record = parse(lines.line()).map_err(|problem| lines.refuse(problem))?;
        match record {
            Record::Segment(_) => {}
            Record::Decision(record) => {
                record.check().map_err(|problem| lines.refuse(problem))?;
                if let Some(last) = self.last.filter(|last| record.id <= *last) {
                    return Err(lines.refuse(LineProblem::Order { id: record.id, last }));
                }
                self.last = Some(record.id);
                self.now = self.now.max(record.time);
                self.waiting.push_back((record, None));
            }
            Record::Reward(record) => {
                record.check().map_err(|problem| lines.refuse(problem))?;
                let RewardRecord { id, time, reward } = record;
                let refuse = |problem| Err(lines.refuse(LineProblem::Reward { id, problem }));
                self.now = self.now.max(time);
                let first = self.waiting.front().map_or(u64::MAX, |(first, _)| first.id);
                match self.waiting.binary_search_by_key(&id, |(waiting, _)| waiting.id) {
                    Ok(position) => {
                        let (made, found) = &mut self.waiting[position];
                        if found.is_some() {
                            return refuse(RewardProblem::Twice);
                        }
                        if self.settings.horizon.is_some_and(|horizon| time - made.time > horizon) {
                            return refuse(RewardProblem::Late);
                        }
                        *found = Some(reward);
                    }
                    Err(_) if id < first && self.last.is_some_and(|last| id <= last) => {
                        return refuse(RewardProblem::Late);
                    }
                    Err(_) => return refuse(RewardProblem::Unknown),
                }
            }
        }
        Ok(true)
    }

    /// The first waiting decision, if it needs to wait no longer.
    fn due(&mut self) -> Option<JoinedDecision> {
        loop {
            let (record, reward) = self.waiting.front()?;
            let passed = match self.settings.horizon {
                Some(horizon) => self.now - record.time > horizon,
                // For ever: at the end it gets the default, or its reward may still come.
                None => self.ended && self.settings.default_reward.is_some(),
            };
            let (reward, defaulted) = match (*reward, passed, self.settings.default_reward) {
                (Some(reward), ..) => (Some(reward), false),
                (None, true, default) => (default, true),
                (None, false, _) if self.ended => {
                    self.counts.waiting += 1;
                    self.waiting.pop_front();
                    continue;
                }
                (None, false, _) => return None,
            };
            let (record, _) = self.waiting.pop_front()?;
            let Some(reward) = reward else {
                self.counts.unrewarded += 1;
                continue;
            };
            if defaulted {
                self.counts.defaulted += 1;
            } else {
                self.counts.rewarded += 1;
            }
            let DecisionRecord { id, time, propensity, decision, probabilities, request } = record;
            let propensity = propensity.unwrap_or(f64::NAN);
            return Some(JoinedDecision { id, time, decision, propensity, probabilities, request, reward, defaulted });
        }
    }
}

impl Iterator for LogReader {
    type Item = Result<JoinedDecision, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(joined) = self.due() {
                return Some(Ok(joined));
            }
            if self.ended {
                return None;
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => self.ended = true,
                Err(error) => {
                    self.counts.refused += 1;
                    // What cannot be read at all has no next line.
                    self.ended = matches!(error, LogError::Io { .. });
                    return Some(Err(error));
                }
            }
        }
    }
}
