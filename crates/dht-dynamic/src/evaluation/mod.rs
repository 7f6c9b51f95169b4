//! Evaluation of models: scores, costs, timing and risk control.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
pub(crate) mod evaluation;
mod in_precision;
mod risk_control;
pub(crate) mod speed;
pub(crate) mod stages;
mod timing;

pub(crate) use evaluation::evaluate;
pub use in_precision::InPrecision;
pub use risk_control::{AbstentionThreshold, Calibration, Guarantee, Promise, Promised, Risk};
pub use speed::{Speed, SpeedPoint, calibrate};
pub use stages::{Staged, Stages};
pub use timing::{PassTimes, time_in_turns};
