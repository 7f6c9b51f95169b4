//! Five steps of the report, for several spaces and targets, and its table.

mod arguments;
mod choices;
mod difference;
#[expect(clippy::module_inception)]
mod nas;
mod plan;
mod rows;
mod search;
mod settings;

pub use arguments::NasArguments;
pub use nas::nas;
