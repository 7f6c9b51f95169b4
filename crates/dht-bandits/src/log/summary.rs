//! Counts of the rows that a log reader returned, skipped and rejected.

use std::collections::BTreeMap;
use std::fmt;

use super::LoggedDecision;
use super::error::{LogError, LogProblem};

/// Log reader that counts the lines that it skips.
pub trait RowReader: Iterator<Item = Result<LoggedDecision, LogError>> {
    /// Number of lines skipped so far because they do not contain a row, for each type of such lines.
    fn left_out(&self) -> Vec<(&'static str, u64)>;
}

/// Summary of reading a log: how many rows were read, skipped and rejected, and why.
///
/// ```
/// use dht_bandits::features::FeatureHasher;
/// use dht_bandits::log::{LogSummary, VowpalRows};
///
/// let text = "1:0:0.5 |a x\n2:-1:0 |a x\nnone |a x\n|a x\n";
/// let (rows, summary) = LogSummary::read(VowpalRows::new(text.as_bytes(), "log.vw", FeatureHasher::new(18)?));
/// assert_eq!((rows.len(), summary.rows, summary.refused()), (1, 1, 2));
/// assert_eq!(
///     summary.to_string(),
///     "1 row read; left out: 1 examples without a cost; refused: 1 malformed (log.vw, line 3: malformed: the label \
///      \"none\", expected action:cost:probability), 1 propensity (log.vw, line 2: propensity 0 is outside (0, 1])"
/// );
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct LogSummary {
    /// Number of rows that were read.
    pub rows: u64,
    /// Types of lines that are not rows, with the number of skipped lines of each type. Examples are lines without a
    /// cost and rewards that are separate from their event.
    pub left_out: Vec<(&'static str, u64)>,
    /// Reasons why lines were rejected, with the number of lines and the first error message of each reason.
    pub reasons: BTreeMap<&'static str, (u64, String)>,
}

impl LogSummary {
    /// Reads all rows of a log into memory, and summarises the skipped and rejected lines. An I/O error ends the
    /// reading and is counted as a reason.
    pub fn read(reader: impl RowReader) -> (Vec<LoggedDecision>, Self) {
        let mut rows = Vec::new();
        let summary = Self::each(reader, |row| rows.push(row));
        (rows, summary)
    }

    /// Passes each row of a log to `take` without storing it, and summarises the log like [`read`](Self::read).
    pub fn each(mut reader: impl RowReader, mut take: impl FnMut(LoggedDecision)) -> Self {
        let mut summary = Self::default();
        for row in &mut reader {
            match row {
                Ok(row) => {
                    summary.rows += 1;
                    take(row);
                }
                Err(error) => {
                    let reason = summary.reasons.entry(reason(&error)).or_insert_with(|| (0, error.to_string()));
                    reason.0 += 1;
                }
            }
        }
        summary.left_out = reader.left_out().into_iter().filter(|(_, count)| *count > 0).collect();
        summary
    }

    /// Number of rejected lines.
    pub fn refused(&self) -> u64 {
        self.reasons.values().map(|(count, _)| count).sum()
    }
}

fn reason(error: &LogError) -> &'static str {
    match error {
        LogError::Line { problem, .. } | LogError::File { problem, .. } => match problem {
            LogProblem::Malformed(_) => "malformed",
            LogProblem::Missing(_) => "missing",
            LogProblem::Propensity(_) => "propensity",
            LogProblem::NotFinite { .. } => "not finite",
            LogProblem::UnknownAction(_) => "unknown action",
            LogProblem::Unsupported(_) => "not supported",
            _ => "other",
        },
        LogError::Io { .. } => "file",
        _ => "other",
    }
}

impl fmt::Display for LogSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} read", self.rows, if self.rows == 1 { "row" } else { "rows" })?;
        for (position, (kind, count)) in self.left_out.iter().enumerate() {
            write!(formatter, "{} {count} {kind}", if position == 0 { "; left out:" } else { "," })?;
        }
        for (position, (reason, (count, first))) in self.reasons.iter().enumerate() {
            write!(formatter, "{} {count} {reason} ({first})", if position == 0 { "; refused:" } else { "," })?;
        }
        Ok(())
    }
}
