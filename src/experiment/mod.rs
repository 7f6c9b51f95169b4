//! Setup of an experiment: flags, plan, data, and settings that all training runs share.

mod choices;
mod command;
mod data;
mod data_arguments;
mod plan;
mod search_plan;
mod trainings;

pub use choices::{DataSource, Model, SettingsChoice};
pub(crate) use command::named;
pub use data::RunData;
pub use data_arguments::DataArguments;
pub use plan::{Arguments, RunPlan};
pub(crate) use search_plan::PlannedSearch;
pub(crate) use trainings::{
    CLASSIFIERS, CONTROL, accelerate_settings, encoder, experiment, flops, model_name, model_record, pooling, print,
    rng, train_settings,
};
