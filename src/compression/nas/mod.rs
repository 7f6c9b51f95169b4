//! Architecture searches (NAS) for several search spaces and target costs, in the five steps of the report on
//! differentiable search for BERT.

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
