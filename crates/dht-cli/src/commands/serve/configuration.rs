//! Configuration of `dht serve` by environment variables and a TOML file.
//!
//! The order of precedence is command line, environment variables, file.

use std::path::Path;

use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use crate::error::{Error, Result};

/// Prefix of the names of environment variables. The shorter prefix `DHT_` could conflict with variables such as
/// `DHT_PORT`, which Kubernetes sets for a service named `dht`.
const PREFIX: &str = "DHT_SERVE_";
/// Flag that names the configuration file.
pub(super) const FILE: &str = "config";

/// Allows each argument to be set by an environment variable. Empty variables are ignored.
pub(in crate::commands) fn with_environment(command: Command) -> Command {
    command.mut_args(|argument| {
        let name = format!("{PREFIX}{}", argument.get_id().as_str().to_ascii_uppercase());
        let is_empty = std::env::var_os(&name).is_some_and(|value| value.is_empty());
        if is_empty || is_of_clap(&argument) { argument } else { argument.env(name).hide_env(true) }
    })
}

/// Sets the defaults of arguments to the values in a TOML file.
///
/// # Errors
/// [`Error::Configuration`] if the file is not TOML, a key is not a flag or occurs twice, or the flag does not accept
/// the value.
pub(in crate::commands) fn with_file(command: Command, path: &Path) -> Result<Command> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let refused = |problem: String| Error::Configuration { path: path.into(), problem };
    let table: Table =
        text.parse().map_err(|error: toml::de::Error| refused(error.to_string().trim_end().to_owned()))?;
    let mut set = command.clone();
    for (key, value) in &table {
        let argument = command.get_arguments().find(|argument| key_of(argument) == *key && !is_of_clap(argument));
        let Some(argument) = argument.filter(|argument| argument.get_id() != FILE) else {
            let keys: Vec<_> =
                command.get_arguments().filter(|own| !is_of_clap(own) && own.get_id() != FILE).map(key_of).collect();
            return Err(refused(format!("unknown key `{key}`, expected one of {}", keys.join(", "))));
        };
        let values = values(argument, value).map_err(|problem| refused(format!("{key}: {problem}")))?;
        check(argument, &values).map_err(|problem| refused(format!("{key}: {problem}")))?;
        set = set.mut_arg(argument.get_id(), |argument| argument.required(false).default_values(values));
    }
    Ok(set)
}

/// Key of an argument in the configuration file, which is the name of its flag.
fn key_of(argument: &Arg) -> String {
    argument.get_long().map_or_else(|| argument.get_id().to_string(), ToOwned::to_owned)
}

fn is_of_clap(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version)
}

/// Converts a TOML value to values on the command line.
fn values(argument: &Arg, value: &Value) -> Result<Vec<String>, String> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(boolean) => Ok(boolean.to_string()),
        other => Err(format!("expected a string, a number or a boolean, not a value of type {}", other.type_str())),
    };
    match (value, argument.get_action()) {
        (Value::Array(values), ArgAction::Append) => values.iter().map(one).collect(),
        (Value::Array(_), _) => Err("expected one value, not a list".into()),
        (value, _) => Ok(vec![one(value)?]),
    }
}

/// Checks the values of an argument with its own parser.
fn check(argument: &Arg, values: &[String]) -> Result<(), String> {
    let action = argument.get_action();
    let alone = Command::new("file").no_binary_name(true).disable_help_flag(true).arg(
        Arg::new("value")
            .long("value")
            .action(if action.takes_values() { action.clone() } else { ArgAction::Set })
            .value_parser(argument.get_value_parser().clone())
            .allow_hyphen_values(true),
    );
    let arguments = values.iter().map(|value| format!("--value={value}"));
    match alone.try_get_matches_from(arguments) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            Err(line.trim_start_matches("error: ").replace(" for '--value <value>'", ""))
        }
    }
}
