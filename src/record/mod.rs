//! What a run came to, as one file that programs can read.

mod file;
mod machine;
mod operating_points;

pub use file::{
    DataRecord, DifficultyResult, DynamicResult, LayerHeadRatios, Machine, ModelRecord, ModelResult, RouteCounts,
    RunRecord,
};
pub use machine::this_machine;
pub use operating_points::{KnobPoint, OracleResult};
