//! Architecture searches for several spaces and targets, in the five steps of the report on differentiable search for
//! BERT, and the table of the results.

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
