//! Result file of a run: one JSON file, [`Record`].

mod architecture_search;
mod at_costs;
mod data;
mod distillation;
mod head_ablation;
pub(crate) mod json;
mod machine;
mod promises;
#[expect(clippy::module_inception)]
mod record;
mod reproduction;
mod right;
mod routes;
mod summary;

pub use architecture_search::{ArchitectureSearchRecord, ArchitectureSearches, KeptUnits, SearchedArchitecture};
pub(crate) use architecture_search::{F1, MATTHEWS};
pub use at_costs::{AtCosts, CellAtCost, Comparison, Difference, Encoders, Interval, KindAtCosts};
pub use data::{DataRecord, ModelRecord};
pub use distillation::{Distillation, DistillationRecord, JudgedModel};
pub use head_ablation::{AblatedHeads, HeadAblationRecord, HeadScores};
pub use machine::{Machine, this_machine};
pub use promises::PromiseTrial;
pub use record::{Record, Results};
pub use reproduction::{Reproduction, ReproductionRecord, RowGroup, RowRecord};

pub use right::RightTexts;
pub(crate) use right::{packed, unpacked};
pub use routes::RouteCounts;
pub use summary::Summary;
