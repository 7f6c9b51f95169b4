//! How a program begins and ends.

use std::error::Error;
use std::process::ExitCode;

use dht_search::Preset;

use crate::experiment::{Arguments, RunPlan, run};
use crate::output_dir::if_stopped;
use crate::progress::tell;

/// What a shell gives a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// The whole of an example that runs a preset: from its arguments to its exit code. Ctrl-C ends it with a line on how to go
/// on, and exit code 130.
pub fn run_example(preset: Preset, arguments: Arguments) -> ExitCode {
    exit_code(RunPlan::try_from(arguments).and_then(|plan| {
        let out = plan.out_of(preset);
        // Where no handler can be set, Ctrl-C ends the program all the same, in silence.
        let _ = ctrlc::set_handler(move || {
            tell(&format!("\n{}", if_stopped(&out)));
            std::process::exit(INTERRUPTED);
        });
        run(preset, &plan).map(|_| ())
    }))
}

/// Ends a program: nothing and exit code 0, or `error: …` with its causes on standard error and exit code 1.
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
            tell(&format!("error: {}", message(&error)));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, each once: many errors quote their cause themselves.
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
    fn causes_follow_and_none_is_said_twice() {
        assert_eq!(message(&Outer(std::io::Error::other("inner"))), "outer: inner");
        let quoting = crate::error::Error::Io { path: "file".into(), source: std::io::Error::other("gone") };
        assert_eq!(message(&quoting), "file: gone");
    }
}
