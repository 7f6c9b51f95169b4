//! Inventory of a Hugging Face directory: its items, and the reasons why the directory cannot be loaded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use candle_core::Device;
use dht_dynamic::transformer::account::{Account, Entry, Treatment};
use dht_dynamic::transformer::{Encoder, Error as TransformerError, Task, TextClassifier};
use serde_json::json;

use crate::commands::output::{print, print_text};
use crate::error::{Error, Result};
use crate::training::on_the_hub;

/// Maximum number of names on a printed line.
const MOST_NAMES: usize = 12;

/// Prints the inventory of a Hugging Face directory.
///
/// # Errors
/// [`Error::Unusable`], after the inventory is printed, if the directory can be used neither as a classifier nor as the
/// encoder to start a training run from.
pub fn inspect(folder: &Path, as_json: bool) -> Result<()> {
    let mut account = Account::inspect(folder)?;
    // Values that are not finite are only detected when the weights are read.
    let mut accelerates = false;
    let read = match (account.is_classifier(), account.is_start()) {
        (true, _) => TextClassifier::load(folder, &Device::Cpu).map(|classifier| {
            accelerates = classifier.task() != Task::Number && classifier.encoder().layers() > 1;
        }),
        (false, true) => Encoder::from_pretrained(folder, &Device::Cpu).map(drop),
        (false, false) => Ok(()),
    };
    account.problems.extend(read.err());
    if as_json {
        print(&json_text(folder, &account))?;
    } else {
        print_text(&text(folder, &account, accelerates))?;
    }
    if account.is_start() {
        return Ok(());
    }
    Err(Error::Unusable { path: folder.into(), reasons: problems(&account).count() })
}

fn kind(account: &Account) -> &'static str {
    match (account.is_classifier(), account.is_start()) {
        (true, _) => "classifier",
        (false, true) => "encoder",
        (false, false) => "unusable",
    }
}

/// Problems of a directory. The Boolean is true if a problem affects the classifier only, not its encoder.
fn problems(account: &Account) -> impl Iterator<Item = (&TransformerError, bool)> {
    let any_use = account.problems.iter().map(|problem| (problem, false));
    any_use.chain(account.classifier_problems.iter().map(|problem| (problem, true)))
}

fn json_text(folder: &Path, account: &Account) -> String {
    let problems =
        problems(account).map(|(problem, alone)| json!({ "message": problem.to_string(), "classifier_alone": alone }));
    let value = json!({
        "kind": kind(account),
        "format": "hugging face",
        "source": on_the_hub(folder),
        "labels": account.labels,
        "max_length": account.max_length,
        "problems": problems.collect::<Vec<_>>(),
        "entries": account.entries,
    });
    format!("{value:#}\n")
}

fn text(folder: &Path, account: &Account, accelerates: bool) -> String {
    let mut text = format!("kind        {}, a Hugging Face directory\n", kind(account));
    let mut line = |name: &str, value: &str| _ = writeln!(text, "{name:<11} {value}");
    if let Some(labels) = &account.labels {
        let placeholders = if account.has_placeholder_names() { " (placeholders, not names)" } else { "" };
        line("labels", &(labels.join(", ") + placeholders));
    }
    if let Some(length) = account.max_length {
        line("texts", &format!("up to {length} tokens"));
    }
    let folder = on_the_hub(folder).unwrap_or_else(|| folder.display().to_string());
    match kind(account) {
        "classifier" if accelerates => line("use", &format!("`dht accelerate {folder}`, `dht train --model {folder}`")),
        "classifier" => line(
            "use",
            &format!(
                "`dht train --model {folder}`; `dht accelerate` is for one class of a text and at least two layers"
            ),
        ),
        "encoder" => line("use", &format!("`dht train --model {folder}`, not `dht accelerate`")),
        _ => line("use", "none"),
    }
    text += "\nItems by treatment, and why\n";
    for treatment in [Treatment::Refused, Treatment::Unknown, Treatment::Obeyed, Treatment::Harmless] {
        let mut groups: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for Entry { file, item, reason, .. } in account.entries.iter().filter(|entry| entry.treatment == treatment) {
            let (place, name) = item.as_ref().map_or(("files", file.as_str()), |item| (file.as_str(), item.as_str()));
            groups.entry((place, reason)).or_default().push(name);
        }
        for ((place, reason), names) in groups {
            let more = names.len().saturating_sub(MOST_NAMES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let names = names[..names.len().min(MOST_NAMES)].join(", ");
            _ = writeln!(text, "{treatment:<9} {place}: {names}{more} ({reason})");
        }
    }
    for (problem, alone) in problems(account) {
        let scope = if alone { "not a classifier" } else { "not loaded" };
        _ = write!(text, "\n{scope}: {problem}");
    }
    if !account.is_classifier() {
        text.push('\n');
    }
    text
}
