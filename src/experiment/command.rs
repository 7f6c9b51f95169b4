//! Command line of a run, as its result file stores it.

use std::path::{Component, Path};

use clap::{Parser, ValueEnum};
use dht_transformer::data::Column;

use super::choices::Model;
use super::data_arguments::DataArguments;
use super::plan::Arguments;

impl Arguments {
    /// Command-line flags that differ from their defaults, in the order of `--help`. `--quiet` is omitted, since it
    /// does not affect results. Of absolute paths and paths with `..`, only the last component is included.
    pub(crate) fn flags(&self) -> Vec<String> {
        // The pattern names every field, so that a new field cannot be forgotten.
        let Self { source, model, epochs, batch, lr, seed, device, precision, settings, quiet: _ } = self;
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
        flags.0
    }
}

#[derive(Default)]
struct Flags(Vec<String>);

impl Flags {
    fn add(&mut self, flag: &str, value: Option<String>) {
        self.0.extend(value.into_iter().flat_map(|value| [format!("--{flag}"), value]));
    }

    fn switch(&mut self, flag: &str, set: bool) {
        self.0.extend(set.then(|| format!("--{flag}")));
    }
}

/// Returns a path in the form in which result files store it, without directories that are specific to this machine.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(words: &[&str]) -> Vec<String> {
        Arguments::parse_from(std::iter::once(&"t_dht").chain(words)).flags()
    }

    #[test]
    fn every_flag_that_may_change_a_result_is_kept_as_typed() {
        let recorded = [
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
        ];
        assert_eq!(flags(&[&recorded[..], &["--quiet"]].concat()), recorded);
        assert!(flags(&["--seed", "0", "--batch", "32", "--model", "7x12x96", "--device", "auto"]).is_empty());
        assert!(flags(&["--settings", "ours"]).is_empty());
    }

    #[test]
    fn of_private_paths_the_last_part_is_kept() {
        let typed = ["--data", "/somewhere/ag_news/", "--model", "../models/small"];
        assert_eq!(flags(&typed), ["--data", "ag_news", "--model", "small"]);
    }
}
