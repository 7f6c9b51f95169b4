//! What the runnable examples share: arguments, data, progress, records, tables and pictures. No algorithm lives here.
//!
//! ```text
//! Arguments → RunPlan → RunData → (training, in the libraries) → RunRecord → table, pictures, README
//! ```

mod args;
mod command;
mod corpus;
mod data;
mod device;
mod error;
mod exit;
#[cfg(test)]
mod fixture;
mod output_dir;
mod plots;
mod progress;
mod readme;
pub mod record;
mod run;
mod search;
mod table;

pub use args::{Arguments, DataSource, Decision, DispatchChoice, Model, RunPlan};
pub use command::command_of;
pub use corpus::{Difficulty, GeneratedText, LABELS, generate, generate_noisy, vocabulary, write_csv};
pub use data::RunData;
pub use device::DeviceChoice;
pub use error::{Error, Result};
pub use exit::{exit_code, run_example};
pub use output_dir::Start;
pub use plots::{PICTURES, draw_pictures};
pub use progress::{RouteTally, TrainingProgress};
pub use readme::{README_END, README_START, with_numbers};
pub use run::run;
pub use table::{Row, markdown_table, rows, text_table};

/// Tensors of a training step are freed and asked for again all the time; mimalloc keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
