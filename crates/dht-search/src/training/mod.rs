//! What a training of a search keeps of itself.

mod curve_recorder;
mod curves;

pub use curve_recorder::CurveRecorder;
pub use curves::{Curves, GroupHeads, LossCurve, SetCount};
