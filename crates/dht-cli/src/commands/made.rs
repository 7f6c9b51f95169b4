//! Last step of the commands that build a model: scores the model, and writes its card, its files and the table of
//! results.

use std::borrow::Cow;
use std::path::Path;
use std::time::Instant;

use dht_dynamic::ladder::{LadderReport, OutOfFold};
use dht_dynamic::serving::{ModelCard, TextModel};
use dht_dynamic::transformer::data::Metric;
use dht_dynamic::transformer::{EncodedDataset, Precision};
use serde_json::json;

use super::output::print;
use crate::error::{Error, Result};
use crate::progress::report;
use crate::results::{CardFacts, card, curve, majority_note, own_row, promise, results, results_table, training_curve};
use crate::texts::{classes_without_rows, missing_classes_note};

/// Files of a saved model.
const OWN: [&str; 6] = ["README.md", "curve.svg", "training.json", "training.svg", "dht.json", "model"];

/// Files of its directory `model`: of a classifier, and of a dynamic model.
const OF_MODEL: [&str; 9] = [
    "config.json",
    "model.safetensors",
    "modeling_dht.py",
    "tokenizer.json",
    "tokenizer_config.json",
    "encoder",
    "dynamic.checkpoint",
    "ngram.json",
    "seen_texts.bin",
];

/// Finished model and its evaluation, for the card and the output.
#[derive(Debug)]
pub struct MadeModel<'a> {
    /// Output directory.
    pub out: &'a Path,
    /// Sentence that says how the model was built.
    pub how: String,
    /// Rows that the model is scored on.
    pub scored: ScoredRows<'a>,
    /// Source of the texts, as it was given.
    pub data: &'a Path,
    /// Metric that the literature reports for the data set, if known.
    pub metric: Option<Metric>,
    /// True if the user provided the classifier, so that its classes may differ from the labels of the texts.
    pub is_given: bool,
    /// Report of a training in rungs.
    pub training: Option<&'a LadderReport>,
    /// True to report no progress.
    pub quiet: bool,
    /// True to print the results as JSON.
    pub json: bool,
}

/// Rows that a model is scored on.
#[derive(Debug)]
pub struct ScoredRows<'a> {
    /// Token ids.
    pub rows: Cow<'a, EncodedDataset>,
    /// Description in a few words.
    pub description: String,
    /// Split of these rows.
    pub split: &'static str,
    /// Answers to score; `None` for those of the model itself.
    pub out_of_fold: Option<&'a OutOfFold>,
}

impl<'a> ScoredRows<'a> {
    /// Rows of a split, described as "the 12 test rows" with a note after them.
    pub fn new(rows: &'a EncodedDataset, split: &'static str, note: &str) -> Self {
        let name = if rows.len() == 1 { "row" } else { "rows" };
        let description = format!("the {} {split} {name}{note}", rows.len());
        Self { rows: Cow::Borrowed(rows), description, split, out_of_fold: None }
    }
}

/// Rejects an output path before anything is trained, if it is a file, or a directory with files that are not parts of
/// a saved model, which has a `dht.json`. Returns a note if the directory holds a model that will be replaced.
///
/// # Errors
/// [`Error::Foreign`] with the path of the file that would be lost.
pub fn check_target(out: &Path) -> Result<Option<String>> {
    if out.is_file() {
        return Err(Error::Foreign { path: out.into() });
    }
    let held = is_model(&out.join("dht.json"));
    for entry in std::fs::read_dir(out).into_iter().flatten().flatten() {
        if !held || !OWN.iter().any(|own| entry.file_name() == **own) {
            return Err(Error::Foreign { path: entry.path() });
        }
    }
    for entry in std::fs::read_dir(out.join("model")).into_iter().flatten().flatten() {
        if !OF_MODEL.iter().any(|own| entry.file_name() == **own) {
            return Err(Error::Foreign { path: entry.path() });
        }
    }
    Ok(held.then(|| format!("{} holds a model, which will be replaced at the end", out.display())))
}

/// Returns whether a file describes a saved model of this version.
fn is_model(path: &Path) -> bool {
    let json = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    json.is_some_and(|json| json["format"] == "dht model" && json["version"] == 1)
}

/// Scores the model, saves it with its card, and prints the results.
///
/// # Errors
/// Errors of the model, the files or standard output.
pub fn finish(model: &TextModel, made: MadeModel<'_>, misses: &[String]) -> Result<()> {
    let ScoredRows { rows: scored, description, split, out_of_fold } = &made.scored;
    let say = |line: &str| {
        if !made.quiet {
            report(line);
        }
    };
    say(&format!("scoring {description}"));
    let start = Instant::now();
    let rows = results(model, Precision::F32, scored, made.metric, *out_of_fold)?;
    say(&format!("scored in {:.0} s", start.elapsed().as_secs_f64()));
    // Exits and word counts have learned from the labels as they are mapped; a given classifier has not.
    let judged = if made.is_given { rows.first() } else { own_row(&rows) };
    majority_note(judged, scored).iter().for_each(|note| report(note));
    let missing = missing_classes_note(scored, model.model.task(), split);
    let name = made.out.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    let curve = curve(&rows)?;
    let facts = CardFacts {
        name: &name,
        made: &made.how,
        scored_on: description,
        note: missing.as_deref(),
        rows: &rows,
        curve: curve.is_some().then_some("curve.svg"),
    };
    let training = made.training.map(|ladder| -> Result<_> {
        let json =
            serde_json::to_string_pretty(ladder).map_err(|source| Error::Curve { message: source.to_string() })?;
        Ok((json + "\n", training_curve(ladder)?))
    });
    let training = training.transpose()?;
    let training = training.as_ref().map(|(json, svg)| (json.as_str(), svg.as_str()));
    model.save(made.out, ModelCard { text: &card(model, facts), curve: curve.as_deref(), training })?;
    misses.iter().for_each(|miss| report(&format!("not kept: {miss}")));
    if made.json {
        let lacking = classes_without_rows(scored, model.model.task());
        let value = json!({
            "model": made.out.display().to_string(),
            "data": { "path": made.data, "split": split, "rows": scored.len(), "classes_without_rows": lacking },
            "results": rows,
            "promise": model.promise,
            "not_kept": misses,
            "training": made.training,
        });
        return print(&format!("{value:#}\n"));
    }
    let promises = model.promise.as_ref().map_or_else(String::new, |kept| promise(kept) + "\n");
    let table = results_table(&rows, model.model.task()).text();
    let missing = missing.map_or_else(String::new, |note| note + "\n");
    print(&format!("On {}:\n\n{table}\n{missing}{promises}written to {}\n", description, made.out.display()))
}
