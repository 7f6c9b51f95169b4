//! What the command `dht` is made of. For this workspace only: nothing here is promised to stay.

mod acceleration;
mod applying;
mod commands;
mod device;
mod error;
mod exit_code;
mod progress;
mod results;
#[cfg(feature = "server")]
mod server;
mod texts;
mod training;

use std::process::ExitCode;

use clap::Parser;

pub use commands::Arguments;
pub use device::DeviceChoice;
pub use error::{Error, Result};
pub use exit_code::exit_code;
pub use progress::{RouteTally, TrainingProgress, report};
#[cfg(feature = "server")]
pub use server::{Limits, LoadedModel, Server, ServerSettings};
pub use training::{Difference, RunDir};

/// Tensors of the same sizes are allocated and freed all the time; mimalloc keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command: arguments in, exit code out.
pub fn main() -> ExitCode {
    exit_code(Arguments::parse().run())
}
