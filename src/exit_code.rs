//! The main function of the examples: arguments in, exit code out.

use std::error::Error;
use std::process::ExitCode;

use dht_search::Preset;

use crate::experiment::{Arguments, RunPlan, run};
use crate::output_dir::message_if_stopped;
use crate::progress::report;

/// The exit code of an interrupted program.
const INTERRUPTED: i32 = 130;

/// Runs an example: a preset with these arguments. Ctrl-C ends it with exit code 130 and a line that says how to resume.
pub fn run_example(preset: Preset, arguments: Arguments) -> ExitCode {
    exit_code(RunPlan::of_preset(preset, arguments).and_then(|plan| {
        let out = plan.out_of(preset);
        // Without a handler Ctrl-C still ends the program, only without the line.
        let _ = ctrlc::set_handler(move || {
            report(&format!("\n{}", message_if_stopped(&out)));
            std::process::exit(INTERRUPTED);
        });
        run(preset, &plan).map(|_| ())
    }))
}

/// The exit code of a program: 0, or 1 after `error: …` with its causes on standard error.
///
/// # Examples
/// ```
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     dht_lab::exit_code(run())
/// }
///
/// fn run() -> dht_lab::Result<()> {
///     Ok(())
/// }
/// ```
pub fn exit_code<E: Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("error: {}", message(&error)));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, without those that its own message already quotes.
fn message(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_and_none_is_repeated() {
        assert_eq!(message(&Outer(std::io::Error::other("inner"))), "outer: inner");
        let quoting = crate::error::Error::Io { path: "file".into(), source: std::io::Error::other("gone") };
        assert_eq!(message(&quoting), "file: gone");
    }
}
