//! An experiment: flags, plan, data, trainings, record.

mod accelerated;
mod choices;
mod command;
mod data;
mod data_arguments;
mod dynamic;
mod job;
mod plain;
mod plan;
mod search_plan;

pub(crate) use accelerated::accelerate_settings;
pub use choices::{DataSource, Decision, DispatchChoice, Model, SettingsChoice};
pub use command::command_of;
pub(crate) use command::named;
pub use data::RunData;
pub use data_arguments::DataArguments;
pub use job::run;
pub(crate) use job::{
    ACCELERATED, CLASSIFIERS, CONTROL, encoder, experiment, model_name, model_record, pooling, print, rng,
    train_settings,
};
pub(crate) use plain::flops;
pub use plan::{Arguments, RunPlan};
pub(crate) use search_plan::PlannedSearch;
