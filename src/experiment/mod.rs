//! An experiment: flags, plan, data, trainings, record.

mod command;
mod data;
mod dynamic;
mod job;
mod plain;
mod plan;
mod search_plan;

pub use command::command_of;
pub use data::RunData;
pub use job::run;
pub use plan::{Arguments, DataSource, Decision, DispatchChoice, Model, RunPlan, SettingsChoice};
