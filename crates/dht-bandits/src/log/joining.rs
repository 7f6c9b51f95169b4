//! Joins rewards to decisions, and feedback to slates, while a log is read.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::{LogError, LogProblem};
use super::lines::Lines;
use super::record::{Record, SegmentRecord, parse};
use super::segments::{path_of, read_segment, segments};
use crate::validate::check_parameter;

/// Counts of the records that a log reader has read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LogCounts {
    /// Number of decisions with a reward, or of slates with feedback.
    pub rewarded: u64,
    /// Number of decisions with the default reward, or of slates with the default feedback.
    pub defaulted: u64,
    /// Number of decisions without a reward, or slates without feedback, whose horizon (longest waiting time) has
    /// passed and that got no default. The default is not used if the reward or feedback may be in lines that could not
    /// be read.
    pub unrewarded: u64,
    /// Number of decisions without a reward, or slates without feedback, whose horizon (longest waiting time) had not
    /// passed at the end of the log. Their rewards or feedback may still be written.
    pub waiting: u64,
    /// Number of invalid lines, except those counted in [`other`](Self::other).
    pub refused: u64,
    /// Number of files that could not be read completely.
    pub unreadable: u64,
    /// Number of records for another type of reader: slates in a reader of decisions, or decisions in a reader of
    /// slates.
    pub other: u64,
    /// Number of rewards or feedbacks whose decision or slate was in a missing file.
    pub orphaned: u64,
    /// Number of gaps in the numbered files of the log. A gap is one missing file, or several consecutive ones.
    pub gaps: u64,
    /// Number of incomplete last lines, which a crash leaves: 0 or 1.
    pub torn: u64,
}

/// Record type that a log reader joins with answers: decisions with rewards, or slates with feedback.
pub(super) trait Joinable: Debug + Send + Sync {
    type Subject: Debug + Send + Sync;
    type Answer: Debug + Send + Sync;
    /// Decision with its reward, or slate with its feedback.
    type Joined;

    fn classify(record: Record) -> ReaderRecord<Self::Subject, Self::Answer>;

    /// Returns an error if an answer (reward or feedback) does not fit its decision or slate.
    fn check(made: &Self::Subject, answer: &Self::Answer) -> Result<(), LogProblem>;

    /// Default reward or feedback for a decision or slate without an answer, once its horizon (longest waiting time)
    /// has passed.
    fn default(&self, made: &Self::Subject) -> Option<Self::Answer>;

    /// Returns whether the first reward of a decision, or the first feedback on a slate, is final, so that the reader
    /// does not wait for more.
    fn first_is_final(&self) -> bool {
        true
    }

    /// Combines two answers (rewards or feedback) to one record, or returns an error if only one is allowed.
    fn combine(&self, _: &Self::Answer, _: Self::Answer) -> Result<Self::Answer, LogProblem> {
        Err(LogProblem::Twice)
    }

    /// Joins a decision with its reward, or a slate with its feedback. `answered_at` is the position of this answer in
    /// the log, `None` for the default.
    fn join(made: Self::Subject, answer: Self::Answer, answered_at: Option<(u64, u64)>) -> Self::Joined;
}

/// Type-erased log reader, which iterates over decisions with their rewards, or over slates with their feedback.
pub(super) trait JoinedRecords<T>: Debug + Send + Sync {
    /// Next decision with its reward, or slate with its feedback, or the error of an invalid line. `None` at the end of
    /// the log.
    fn next_joined(&mut self) -> Option<Result<T, LogError>>;

    fn counts(&self) -> LogCounts;
}

impl<K: Joinable> JoinedRecords<K::Joined> for Joining<K> {
    fn next_joined(&mut self) -> Option<Result<K::Joined, LogError>> {
        self.next()
    }

    fn counts(&self) -> LogCounts {
        self.counts
    }
}

/// Log record as seen by a reader of one record type. `M` is the type of records (decisions or slates), and `A` the
/// type of answers to them (rewards or feedback).
pub(super) enum ReaderRecord<M, A> {
    Subject(u64, f64, M),
    Answer(u64, f64, A),
    Segment(SegmentRecord),
    /// Record that only another reader can read, such as a slate for a reader of decisions: its id, its time, and the
    /// error to return.
    OtherSubject(u64, f64, LogProblem),
    OtherAnswer(f64),
}

#[derive(Debug)]
struct Waiting<M, A> {
    id: u64,
    time: f64,
    made: M,
    answer: Option<(A, (u64, u64))>,
    /// `true` if the record's answer (reward or feedback) may be in lines that could not be read.
    answer_lost: bool,
}

/// Log reader that joins decisions with their rewards, or slates with their feedback.
#[derive(Debug)]
pub(super) struct Joining<K: Joinable> {
    kind: K,
    horizon: Option<f64>,
    folder: PathBuf,
    segments: VecDeque<u64>,
    /// Number that the next file should have; `None` before the first file.
    next_segment: Option<u64>,
    /// Ids of decisions and slates whose lines were in missing files.
    missing: Vec<Range<u64>>,
    /// `true` if lines of the log are missing before the current position, and the next id of a decision or slate is
    /// not yet known.
    after_gap: bool,
    /// Line reader for the open log file, whose number is `file`.
    lines: Option<Lines<BufReader<File>>>,
    file: u64,
    waiting: VecDeque<Waiting<K::Subject, K::Answer>>,
    last: Option<u64>,
    now: f64,
    ended: bool,
    pub(super) counts: LogCounts,
}

impl<K: Joinable> Joining<K> {
    pub(super) fn open(folder: &Path, kind: K, horizon: Option<f64>) -> Result<Self, LogError> {
        if let Some(horizon) = horizon {
            check_parameter("horizon", horizon, horizon > 0.0, "positive")?;
        }
        let segments: VecDeque<u64> = segments(folder)?.into();
        Ok(Self {
            kind,
            horizon,
            folder: folder.to_owned(),
            next_segment: None,
            missing: Vec::new(),
            // Old files may be deleted at any time.
            after_gap: segments.front().is_some_and(|&first| first > 0),
            segments,
            lines: None,
            file: 0,
            waiting: VecDeque::new(),
            last: None,
            now: f64::NEG_INFINITY,
            ended: false,
            counts: LogCounts::default(),
        })
    }

    /// Reads one line and processes its record. Returns `false` at the end of the log.
    fn advance(&mut self) -> Result<bool, LogError> {
        loop {
            let Some(lines) = &mut self.lines else {
                if self.open_next()? {
                    continue;
                }
                return Ok(false);
            };
            if lines.advance()? {
                break;
            }
            let torn = lines.torn();
            let refused = lines.refuse(LogProblem::Malformed("cut off, but not at the end of the log".to_owned()));
            self.lines = None;
            if torn > 0 {
                if !self.segments.is_empty() {
                    self.lose();
                    return Err(refused);
                }
                self.counts.torn += torn;
            }
        }
        let Some(lines) = &self.lines else { return Ok(false) };
        let position = (self.file, lines.start());
        let parsed = parse(lines.line()).and_then(|record| record.check().map(|()| record));
        let outcome = parsed.and_then(|record| self.take(K::classify(record), position));
        // `self` was written to, so that the reference is taken again.
        match (&self.lines, outcome) {
            (Some(lines), Err(problem)) => Err(lines.refuse(problem)),
            _ => Ok(true),
        }
    }

    /// Opens the next existing file. Returns `false` at the end of the log. Files that were deleted while the log is
    /// read are treated as if they had been missing before.
    fn open_next(&mut self) -> Result<bool, LogError> {
        loop {
            let Some(&number) = self.segments.front() else { return Ok(false) };
            let opened = read_segment(&self.folder, number);
            if opened.as_ref().is_err_and(LogError::is_not_found) && self.segments.len() > 1 {
                self.segments.pop_front();
                self.after_gap = true;
                continue;
            }
            if let Some(expected) = self.next_segment.replace(number).filter(|expected| *expected != number) {
                let [path, next] = [expected, number].map(|number| path_of(&self.folder, number));
                return Err(LogError::MissingFile { path, next });
            }
            self.segments.pop_front();
            (self.file, self.next_segment) = (number, Some(number.saturating_add(1)));
            self.lines = Some(opened?);
            return Ok(true);
        }
    }

    /// Marks a gap after an unreadable part of the log. The gap may contain decisions, and also rewards or feedback for
    /// records that still wait for an answer.
    fn lose(&mut self) {
        self.after_gap = true;
        self.waiting.iter_mut().for_each(|waiting| waiting.answer_lost = true);
    }

    /// Processes a record. `position` is the number of its file, and its byte in the file.
    fn take(&mut self, record: ReaderRecord<K::Subject, K::Answer>, position: (u64, u64)) -> Result<(), LogProblem> {
        match record {
            ReaderRecord::Segment(record) => {
                self.end_gap(record.next_id);
                self.now = self.now.max(record.clock.unwrap_or(f64::NEG_INFINITY));
            }
            ReaderRecord::Subject(id, time, made) => {
                self.ascend(id, time)?;
                self.waiting.push_back(Waiting { id, time, made, answer: None, answer_lost: false });
            }
            ReaderRecord::OtherSubject(id, time, problem) => {
                self.ascend(id, time)?;
                return Err(problem);
            }
            ReaderRecord::OtherAnswer(time) => self.now = self.now.max(time),
            ReaderRecord::Answer(id, time, answer) => {
                self.now = self.now.max(time);
                self.answer(id, answer, position)
                    .map_err(|problem| LogProblem::Reward { id, problem: Box::new(problem) })?;
            }
        }
        Ok(())
    }

    /// Smallest id that was not read yet.
    fn next_id(&self) -> u64 {
        let read = self.last.map_or(0, |last| last.saturating_add(1));
        self.missing.last().map_or(read, |missing| missing.end.max(read))
    }

    /// Ends a gap of missing lines at `begins`, the next known id of a decision or slate. All unread ids below it are
    /// taken to be in missing files.
    fn end_gap(&mut self, begins: u64) {
        if std::mem::take(&mut self.after_gap) && self.next_id() < begins {
            self.missing.push(self.next_id()..begins);
        }
    }

    fn is_missing(&self, id: u64) -> bool {
        self.missing.iter().any(|missing| missing.contains(&id)) || (self.after_gap && id >= self.next_id())
    }

    /// Returns an error if an id is not larger than all ids before it.
    fn ascend(&mut self, id: u64, time: f64) -> Result<(), LogProblem> {
        self.end_gap(id);
        if let Some(last) = self.last.filter(|last| id <= *last) {
            return Err(LogProblem::Order { id, last });
        }
        self.last = Some(id);
        self.now = self.now.max(time);
        Ok(())
    }

    /// Assigns an answer (reward or feedback) to its decision or slate. `position` is the answer's position in the log.
    fn answer(&mut self, id: u64, answer: K::Answer, position: (u64, u64)) -> Result<(), LogProblem> {
        let first = self.waiting.front().map_or(u64::MAX, |first| first.id);
        match self.waiting.binary_search_by_key(&id, |waiting| waiting.id) {
            Ok(index) => {
                let entry = &mut self.waiting[index];
                if entry.answer.is_some() && self.kind.first_is_final() {
                    return Err(LogProblem::Twice);
                }
                if self.horizon.is_some_and(|horizon| self.now - entry.time > horizon) {
                    return Err(LogProblem::Late);
                }
                K::check(&entry.made, &answer)?;
                let answer = match &entry.answer {
                    Some((earlier, _)) => self.kind.combine(earlier, answer)?,
                    None => answer,
                };
                entry.answer = Some((answer, position));
                Ok(())
            }
            Err(_) if self.is_missing(id) => {
                self.counts.orphaned += 1;
                Ok(())
            }
            Err(_) if id < first && self.last.is_some_and(|last| id <= last) => {
                // Without a horizon, a record that no longer waits was answered.
                Err(if self.horizon.is_some() { LogProblem::Late } else { LogProblem::Twice })
            }
            Err(_) => Err(LogProblem::Unknown),
        }
    }

    /// Removes the oldest waiting decision or slate and returns it with its answer, if this answer is final or the
    /// horizon (longest waiting time) has passed.
    fn due(&mut self) -> Option<K::Joined> {
        loop {
            let first = self.waiting.front()?;
            let passed = match self.horizon {
                Some(horizon) => self.now - first.time > horizon,
                // Without a horizon, a record waits until the end of the log. Then it gets the default, or its answer
                // may still come.
                None => self.ended && (first.answer.is_some() || self.kind.default(&first.made).is_some()),
            };
            let answered = first.answer.is_some() && self.kind.first_is_final();
            if !answered && !passed {
                if !self.ended {
                    return None;
                }
                self.counts.waiting += 1;
                self.waiting.pop_front();
                continue;
            }
            let Waiting { made, answer, answer_lost, .. } = self.waiting.pop_front()?;
            if let Some((answer, position)) = answer {
                self.counts.rewarded += 1;
                return Some(K::join(made, answer, Some(position)));
            }
            let Some(default) = self.kind.default(&made).filter(|_| !answer_lost) else {
                self.counts.unrewarded += 1;
                continue;
            };
            self.counts.defaulted += 1;
            return Some(K::join(made, default, None));
        }
    }

    pub(super) fn next(&mut self) -> Option<Result<K::Joined, LogError>> {
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
                    *match &error {
                        LogError::Line { problem: LogProblem::OtherReader { .. }, .. } => &mut self.counts.other,
                        LogError::MissingFile { .. } => &mut self.counts.gaps,
                        LogError::Line { .. } => &mut self.counts.refused,
                        _ => &mut self.counts.unreadable,
                    } += 1;
                    if error.loses_lines() {
                        self.lose();
                    }
                    return Some(Err(error));
                }
            }
        }
    }
}
