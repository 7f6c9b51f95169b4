//! What a run came to, as one file that programs can read.

mod curves;
mod knob;
mod record;
mod recorder;

pub use curves::{Curves, GroupHeads, LossCurve, SetCount};
pub use knob::{KnobPoint, OracleResult};
pub use record::{
    DataRecord, DifficultyResult, DynamicResult, LayerHeadRatios, Machine, ModelRecord, ModelResult, RecordProblem,
    RouteCounts, RunRecord,
};
pub use recorder::CurveRecorder;
