//! Arguments of `dht` and its subcommands.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

#[cfg(feature = "server")]
use super::serve;
use super::{accelerate, compare, evaluate, export, inspect, inspect_data, output, predict, review, train};
use crate::error::Result;

/// Train and run text classifiers that use only as many layers as a text needs.
///
/// Exit codes: 0 for success, 1 for an error, 2 for flags and values that are not allowed, 3 for a model that `compare
/// --fail-below` rejects. The code is 130 after Ctrl-C, 143 after SIGTERM, and 141 if the reader of predicted answers
/// has closed standard output.
///
/// Names on the Hugging Face hub require a build with the feature hub: cargo install --locked --features hub.
#[derive(Debug, Parser)]
#[command(name = "dht", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a classifier on labelled texts
    Train(Box<train::TrainArguments>),
    /// Make a fine-tuned classifier cheaper without changing its weights
    Accelerate(Box<accelerate::AccelerateArguments>),
    /// Score a model on labelled texts
    Evaluate(evaluate::EvaluateArguments),
    /// Compare two models on the same labelled texts
    Compare(compare::CompareArguments),
    /// Classify texts from files or standard input
    Predict(predict::PredictArguments),
    /// List the rows of labelled texts that a person should look at
    Review(review::ReviewArguments),
    /// Classify texts over HTTP
    #[cfg(feature = "server")]
    Serve(serve::ServeArguments),
    /// Print the contents of a model's directory, and any problem that prevents loading
    Inspect(inspect::InspectArguments),
    /// Print how a table of labelled texts is interpreted, with the reason for each decision
    InspectData(inspect_data::InspectDataArguments),
    /// Write a model as a Hugging Face directory
    Export(export::ExportArguments),
    /// Print a completion script for a shell
    Completions {
        /// Shell that runs the script
        shell: Shell,
    },
}

impl Arguments {
    /// Parses the command line and, for `dht serve`, the environment and the file of `--config`. If the command line
    /// cannot be parsed, the process ends with a message.
    ///
    /// # Errors
    /// [`Error::Configuration`](crate::error::Error::Configuration) if the file of `--config` cannot be read or has a
    /// key or value that is not allowed.
    pub fn read() -> Result<Self> {
        let command = Self::command();
        #[cfg(feature = "server")]
        let command = serve::configured(command)?;
        let matches = command.get_matches();
        Ok(Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
    }

    /// Runs the selected subcommand.
    ///
    /// # Errors
    /// Errors of the command.
    ///
    /// # Examples
    /// ```
    /// use clap::Parser;
    /// use dht_cli::Arguments;
    ///
    /// let arguments = Arguments::try_parse_from(["dht", "inspect", "no-such-model"])?;
    /// assert!(arguments.run().is_err());
    /// // A model is missing.
    /// assert!(Arguments::try_parse_from(["dht", "inspect"]).is_err());
    /// # Ok::<(), clap::Error>(())
    /// ```
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Train(arguments) => train::train(&arguments),
            Command::Accelerate(arguments) => accelerate::accelerate(&arguments),
            Command::Evaluate(arguments) => evaluate::evaluate(&arguments),
            Command::Compare(arguments) => compare::compare(&arguments),
            Command::Predict(arguments) => predict::predict(&arguments),
            Command::Review(arguments) => review::review(&arguments),
            #[cfg(feature = "server")]
            Command::Serve(arguments) => serve::serve(&arguments),
            Command::Inspect(arguments) => inspect::inspect(&arguments),
            Command::InspectData(arguments) => inspect_data::inspect_data(arguments),
            Command::Export(arguments) => export::export(&arguments),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "dht", &mut script);
                output::print(&String::from_utf8_lossy(&script))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_all_commands_fit_together() {
        Arguments::command().debug_assert();
    }
}
