//! Exit code of the program `dht`.

use std::error::Error;
use std::process::ExitCode;

use crate::progress::report;

/// Converts the result of a program to an exit code: 0 for success, and 1 for most errors. The code is 2 for a flag of
/// this crate with a value that is not allowed, and 3 for a model that is worse than `dht compare --fail-below` allows.
/// Errors are printed as `error: …` with their causes on standard error.
///
/// # Examples
/// ```
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     dht_cli::exit_code(run())
/// }
///
/// fn run() -> dht_cli::Result<()> {
///     Ok(())
/// }
/// ```
pub fn exit_code<E: Error + 'static>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("error: {}", message(&error)));
            let own = (&error as &dyn Error).downcast_ref::<crate::error::Error>();
            ExitCode::from(own.map_or(1, crate::error::Error::exit_code))
        }
    }
}

/// Joins the messages of an error and its causes. Causes that another message already contains are omitted.
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
