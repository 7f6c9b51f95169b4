//! Command `dht inspect-data`: prints how a table of labelled texts is interpreted.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{print, print_text};
use crate::error::Result;
use crate::texts::{DataArguments, TableArguments, TextArguments, classes, label_notes};

/// Arguments of `dht inspect-data`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dht inspect-data reviews.csv
  dht inspect-data reviews.csv --text-column title --text-column body --json

For a directory, the training file is read. With the same flags, every command reads a file in the way that is printed
here.")]
pub struct InspectDataArguments {
    /// Labelled texts, as for --data of dht train
    #[arg(value_name = "DIR|FILE|NAME")]
    data: PathBuf,
    #[command(flatten)]
    table: TableArguments,
    /// Print the interpretation of the table and the labels as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `dht inspect-data`: prints how a table of labelled texts is interpreted.
pub fn inspect_data(arguments: InspectDataArguments) -> Result<()> {
    let InspectDataArguments { data, table, json } = arguments;
    let arguments = TextArguments::new(DataArguments { data, table });
    let (data, task) = (arguments.read_training()?, arguments.task());
    if json {
        let value = json!({
            "data": data.name,
            "sha256": data.sha256,
            "labels": data.labels,
            "rows_by_label": data.class_counts(),
            "reading": data.reading,
            "notes": label_notes(&data, "rows"),
        });
        return print(&format!("{value:#}\n"));
    }
    let of_labels = |line: String| match line.starts_with("label: ") {
        true => format!("{line}: {}", classes(&data, task)),
        false => line,
    };
    let lines = data.reading.iter().flat_map(|reading| reading.lines()).map(of_labels);
    let lines = lines.chain(data.reading.iter().flat_map(|reading| reading.notes())).chain(label_notes(&data, "rows"));
    print_text(&lines.map(|line| line + "\n").collect::<String>())
}
