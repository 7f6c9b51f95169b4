//! Commands: their arguments, and calls of the libraries.

mod accelerate;
mod arguments;
mod evaluate;
mod export;
mod inspect;
mod inspect_data;
mod loaded;
mod made;
mod output;
mod predict;
#[cfg(feature = "server")]
mod serve;
mod train;

pub use arguments::Arguments;
