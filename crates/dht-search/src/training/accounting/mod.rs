//! Cost accounting and curves of a training run, which checkpoints contain.

mod cost_accounting;
mod curve_recorder;
mod curves;

pub use cost_accounting::CostAccounting;
pub use curve_recorder::CurveRecorder;
pub use curves::{Curves, GroupHeads, LossCurve, SetCount};
