//! The commands: arguments, and what each does with the libraries.

#[cfg(feature = "server")]
mod serve;

use clap::{Parser, Subcommand};

use crate::error::Result;

/// Text classifiers that run as many layers as a text needs.
#[derive(Debug, Parser)]
#[command(name = "dht", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer texts over HTTP
    #[cfg(feature = "server")]
    Serve(serve::ServeArguments),
}

impl Arguments {
    /// Runs the command.
    ///
    /// # Errors
    /// What the command reports.
    pub fn run(self) -> Result<()> {
        match self.command {
            #[cfg(feature = "server")]
            Command::Serve(arguments) => serve::serve(&arguments),
        }
    }
}
