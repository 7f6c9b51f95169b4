//! The results of a run as one JSON file.

mod architecture_search;
mod at_costs;
mod distillation;
mod drift;
mod file;
mod head_ablation;
pub(crate) mod json;
mod less_training;
mod machine;
mod operating_points;
mod promises;
mod recipe;
mod reproduction;
mod results;
mod right;
mod summary;
mod truncations;

pub use architecture_search::{ArchitectureSearchRecord, KeptUnits, SearchedArchitecture};
pub(crate) use architecture_search::{F1, MATTHEWS};
pub use at_costs::{AtCosts, CellAtCost, Comparison, Difference, Encoders, Interval, KindAtCosts};
pub use distillation::{DistillationRecord, JudgedModel};
pub use drift::{DriftComparison, DriftRecord, DriftWay};
pub use file::{DataRecord, ModelRecord, RunRecord};
pub use head_ablation::{HeadAblationRecord, HeadScores};
pub use less_training::{LessTrainingRecord, TrainedOn, TrainedWay};
pub use machine::{Machine, this_machine};
pub use operating_points::{OperatingPoint, OracleResult};
pub use promises::PromiseTrial;
pub use recipe::{HeadChoice, HeadChoiceWay, RecipeRecord, SpeedTrial, Trial};
pub use reproduction::{ReproductionRecord, RowGroup, RowRecord};
pub use results::{DifficultyResult, DynamicResult, ModelResult, RouteCounts, SearchResult};
pub use right::RightTexts;
pub(crate) use right::{packed, unpacked};
pub use summary::Summary;
