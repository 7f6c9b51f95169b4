//! `dht serve`.

use std::path::PathBuf;

use clap::Args;

use crate::error::Result;
use crate::server;

/// The arguments of `dht serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Directory of the model
    pub model: PathBuf,
    /// The port; 0 for any that is free
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
}

pub fn serve(arguments: &ServeArguments) -> Result<()> {
    server::run(&arguments.model, arguments.port)
}
