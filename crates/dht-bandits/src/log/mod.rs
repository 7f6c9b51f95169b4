//! Logs of decisions: chosen arms with their propensities (probabilities of the choice) and their rewards.
//!
//! [`LoggedDecision`] is one row of a log. [`LoggedSlate`] is one row of a log of slates (lists of arms shown at once).
//! The module [`evaluation`](crate::evaluation) uses both. The cargo feature `log` adds writers and readers:
//!
//! * `DecisionLog` writes decisions (`append_request`), rewards (`reward`), slates (`append_slate_request`) and
//!   feedback (`feedback`) as JSON lines. Each line is one write, so that a killed process loses at most one line.
//! * `LogReader` reads decisions and joins them with their rewards, which may be late or missing.
//!   `LogReader::open_slates` reads slates and joins them with their feedback.
//! * `CsvRows` and `LoggedDecision::write_csv` read and write CSV with the columns `arm`, `propensity`, `reward`, and
//!   one column for each value of the context.
//! * `DsjsonRows` and `LoggedDecision::write_dsjson` read and write Vowpal Wabbit's dsjson, the format of
//!   Personalizer's logs.
//! * `VowpalRows` reads Vowpal Wabbit's text format, and `JsonRows` reads JSON lines. Both convert names and categories
//!   to sparse contexts by a feature hasher. `CsvRows` and `DsjsonRows` do so optionally.
//! * `LogSummary` counts the rows that a reader returned, skipped and rejected.
//!
//! All readers stream, so that memory does not grow with the log. They are iterators of results, and continue after an
//! error. An error states file and line. Stop at the first error with `?`, or count errors and use the other rows.

#[cfg(feature = "log")]
mod arm_names;
#[cfg(feature = "log")]
mod csv_rows;
#[cfg(feature = "log")]
mod decision_log;
#[cfg(feature = "log")]
mod dsjson;
#[cfg(feature = "log")]
mod error;
#[cfg(feature = "log")]
mod joining;
#[cfg(feature = "log")]
mod json_rows;
#[cfg(feature = "log")]
mod lines;
mod logged_decision;
#[cfg(feature = "log")]
mod logged_request;
mod logged_slate;
#[cfg(feature = "log")]
mod reader;
#[cfg(feature = "log")]
mod record;
#[cfg(feature = "log")]
mod segment_writer;
#[cfg(feature = "log")]
mod segments;
#[cfg(feature = "log")]
mod slate_log;
#[cfg(feature = "log")]
mod slate_reader;
#[cfg(feature = "log")]
mod slate_record;

#[cfg(feature = "log")]
mod summary;
#[cfg(feature = "log")]
mod vowpal_rows;

#[cfg(feature = "log")]
pub use csv_rows::CsvRows;
#[cfg(feature = "log")]
pub use decision_log::{DecisionLog, LogSettings, RewardRule};
#[cfg(feature = "log")]
pub use dsjson::DsjsonRows;
#[cfg(feature = "log")]
pub use error::{LogError, LogProblem};
#[cfg(feature = "log")]
pub use joining::LogCounts;
#[cfg(feature = "log")]
pub use json_rows::JsonRows;
pub use logged_decision::LoggedDecision;
pub(crate) use logged_decision::{check_distribution, check_drop_probability, check_logged_propensity};
pub use logged_slate::{LoggedSlate, ShownArm};
#[cfg(feature = "log")]
pub use reader::{JoinedDecision, LogReader};
#[cfg(feature = "log")]
pub(crate) use segments::{after_line, check_position};
#[cfg(feature = "log")]
pub use slate_reader::JoinedSlate;
#[cfg(feature = "log")]
pub use summary::LogSummary;
#[cfg(feature = "log")]
#[doc(hidden)]
pub use summary::RowReader;
#[cfg(feature = "log")]
pub use vowpal_rows::VowpalRows;
