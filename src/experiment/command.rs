//! The command line of a run, as its record stores it and as a shell takes it.

use std::path::{Component, Path};

use clap::{Parser, ValueEnum};
use dht_transformer::data::Column;

use super::choices::Model;
use super::data_arguments::DataArguments;
use super::plan::Arguments;
use crate::error::{Error, Result};
use crate::record::RunRecord;

/// The shell command for the run of a record that was read from `path`.
///
/// # Errors
/// [`Error::NoCommand`] when the record does not contain it.
pub fn command_of(record: &RunRecord, path: &Path) -> Result<String> {
    let Some((example, flags)) = record.command.split_first() else {
        return Err(Error::NoCommand { path: path.into() });
    };
    let start = ["cargo", "run", "--release", "--example", example].map(String::from);
    let end = if flags.is_empty() { None } else { Some("--".to_owned()) };
    let words: Vec<String> = start.into_iter().chain(end).chain(flags.iter().map(|flag| quoted(flag))).collect();
    Ok(words.join(" "))
}

impl Arguments {
    /// The flags that differ from their defaults, in the order of `--help`, without those that change no result (`--out`,
    /// `--resume`, `--restart`, `--quiet`). Of paths that are absolute or contain `..` only the last part is kept.
    pub(crate) fn flags(&self) -> Vec<String> {
        // Names every field, so that a new one is not forgotten.
        let Self {
            source,
            model,
            epochs,
            batch,
            lr,
            seed,
            device,
            precision,
            settings,
            dispatch,
            decide,
            space,
            out: _,
            resume: _,
            restart: _,
            quiet: _,
        } = self;
        let DataArguments {
            data,
            text_column,
            label_column,
            pair,
            max_length,
            paper_lengths,
            train_rows,
            test_rows,
            extra_test_rows,
            skip_rows,
        } = source;
        let default = Self::parse_from(["dht"]);
        let number = |number: &Option<usize>| number.map(|number| number.to_string());
        let mut flags = Flags::default();
        flags.add("data", data.as_deref().map(named));
        flags.add("model", Some(model).filter(|model| **model != default.model).map(of_model));
        text_column.iter().for_each(|column| flags.add("text-column", Some(of_column(column))));
        flags.add("label-column", label_column.as_ref().map(of_column));
        flags.switch("pair", *pair);
        flags.add("max-length", number(max_length));
        flags.switch("paper-lengths", *paper_lengths);
        flags.add("train-rows", number(train_rows));
        flags.add("test-rows", number(test_rows));
        flags.add("extra-test-rows", number(extra_test_rows));
        flags.add("skip-rows", number(skip_rows));
        flags.add("epochs", number(epochs));
        flags.add("batch", number(&Some(*batch).filter(|batch| *batch != default.batch)));
        flags.add("lr", lr.map(|lr| lr.to_string()));
        flags.add("seed", Some(*seed).filter(|seed| *seed != default.seed).map(|seed| seed.to_string()));
        flags.add("device", Some(device).filter(|device| **device != default.device).map(ToString::to_string));
        let precision = Some(precision).filter(|precision| **precision != default.precision);
        flags.add("precision", precision.map(ToString::to_string));
        flags.add("settings", Some(settings).filter(|settings| **settings != default.settings).and_then(of_choice));
        let usual = settings.dispatch();
        flags.add("dispatch", dispatch.as_ref().filter(|dispatch| **dispatch != usual).and_then(of_choice));
        flags.add("decide", Some(decide).filter(|decide| **decide != default.decide).and_then(of_choice));
        flags.add("space", space.as_deref().map(named));
        flags.0
    }
}

#[derive(Default)]
struct Flags(Vec<String>);

impl Flags {
    fn add(&mut self, flag: &str, value: Option<String>) {
        self.0.extend(value.into_iter().flat_map(|value| [format!("--{flag}"), value]));
    }

    fn switch(&mut self, flag: &str, given: bool) {
        self.0.extend(given.then(|| format!("--{flag}")));
    }
}

/// A path for publication: without the directories of this machine.
pub(crate) fn named(path: &Path) -> String {
    let private = path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
    let last = path.file_name().filter(|_| private).map(Path::new);
    last.unwrap_or(path).display().to_string()
}

fn of_model(model: &Model) -> String {
    match model {
        Model::Directory(folder) => named(folder),
        Model::Size(size) => size.to_string(),
    }
}

fn of_column(column: &Column) -> String {
    match column {
        Column::Name(name) => name.clone(),
        Column::Number(number) => number.to_string(),
    }
}

fn of_choice(choice: &impl ValueEnum) -> Option<String> {
    Some(choice.to_possible_value()?.get_name().to_owned())
}

/// A word with quotes where a shell needs them.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "-_./=:,+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn flags(words: &[&str]) -> Vec<String> {
        Arguments::parse_from(std::iter::once(&"t_dht").chain(words)).flags()
    }

    #[test]
    fn every_flag_that_may_change_a_result_is_kept_as_typed() {
        let kept = [
            "--data",
            "texts",
            "--model",
            "12x4x32",
            "--text-column",
            "the title",
            "--text-column",
            "2",
            "--label-column",
            "0",
            "--pair",
            "--max-length",
            "64",
            "--train-rows",
            "20",
            "--test-rows",
            "10",
            "--extra-test-rows",
            "5",
            "--epochs",
            "2",
            "--batch",
            "8",
            "--lr",
            "0.0002",
            "--seed",
            "5",
            "--device",
            "cpu",
            "--settings",
            "paper",
            "--dispatch",
            "in-flight",
            "--decide",
            "at-every-exit",
            "--space",
            "examples/spaces/early_exits.toml",
        ];
        assert_eq!(flags(&[&kept[..], &["--out", "o", "--resume", "--quiet"]].concat()), kept);
        assert!(flags(&["--seed", "0", "--batch", "32", "--model", "7x12x96", "--device", "auto"]).is_empty());
        assert!(flags(&["--settings", "ours", "--dispatch", "in-flight"]).is_empty());
        assert_eq!(flags(&["--settings", "paper", "--dispatch", "queue"]), ["--settings", "paper"]);
        assert_eq!(flags(&["--dispatch", "queue"]), ["--dispatch", "queue"]);
    }

    #[test]
    fn of_private_paths_the_last_part_is_kept() {
        let typed = ["--data", "/somewhere/ag_news/", "--model", "../models/small"];
        assert_eq!(flags(&typed), ["--data", "ag_news", "--model", "small"]);
    }

    #[test]
    fn a_command_is_quoted_for_a_shell() {
        let mut record = fixture::record();
        let of = |record: &RunRecord| command_of(record, Path::new("target/record.json"));
        record.command = vec!["experiment".into()];
        assert_eq!(of(&record).unwrap(), "cargo run --release --example experiment");
        record.command.extend(["--text-column", "the 'title'", "--lr", "0.001"].map(String::from));
        let expected = r"cargo run --release --example experiment -- --text-column 'the '\''title'\''' --lr 0.001";
        assert_eq!(of(&record).unwrap(), expected);
    }

    #[test]
    fn a_record_without_its_command_is_refused_by_its_path() {
        let record = RunRecord { command: Vec::new(), ..fixture::record() };
        let error = command_of(&record, Path::new("target/record.json")).unwrap_err();
        assert!(matches!(error, Error::NoCommand { .. }));
        assert!(error.to_string().starts_with("target/record.json does not contain the command"), "{error}");
    }
}
