//! Implementation of the command `dht`. This crate is internal to the workspace: every item may change.
//!
//! ```text
//! Arguments ─▶ commands ─▶ texts ─▶ the libraries ─▶ results ─▶ files, standard output
//! ```
//!
//! | module | content |
//! |---|---|
//! | `commands` | each subcommand in its own file or folder: its flags, and calls of the libraries |
//! | `texts` | labelled rows from files and data sets on the hub |
//! | `training` | the encoder to start from, the learning rate, a directory to resume from, signals |
//! | `acceleration` | exits, budgets and verified promises |
//! | `results` | rows, tables and diagrams of scores and costs; the card of a model |
//! | `analysis` | classes, errors, coverage and calibration of a model's answers, as JSON and as an HTML page |
//! | `explanation` | parts of a text that support its answer |
//! | `review` | rows of a table that a person should look at |
//! | `server` | HTTP server around a `Service` of `dht-dynamic` |
//! | `partitions` | inputs, outputs, claims and records of the workers of `dht predict --partitions` |
//! | `device`, `progress` | the device of the tensors; progress on standard error |
//! | `error`, `exit_code` | errors of the commands; exit code of the program |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod acceleration;
mod analysis;
mod commands;
mod device;
mod error;
mod exit_code;
mod explanation;
mod partitions;
mod progress;
mod results;
mod review;
#[cfg(feature = "server")]
mod server;
mod texts;
mod training;

use std::process::ExitCode;

pub use commands::Arguments;
pub use device::DeviceChoice;
pub use error::{Error, Result};
pub use exit_code::exit_code;
pub use progress::{TrainingProgress, report};
#[cfg(feature = "server")]
pub use server::{Limits, LoadedModel, Server, ServerSettings};
pub use training::{Difference, RunDir};

/// Global allocator. Tensors of equal sizes are frequently allocated and freed, and mimalloc reuses their memory pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Parses the arguments, runs the command and returns the exit code.
pub fn main() -> ExitCode {
    training::Interruption::install();
    exit_code(Arguments::read().and_then(Arguments::run))
}
