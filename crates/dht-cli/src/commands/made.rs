//! Final step of the commands that build a model: scores it, and writes model card, files and results.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use dht_dynamic::ladder::{LadderReport, LearningCurve, OutOfFold};
use dht_dynamic::serving::{ModelCard, TextModel};
use dht_dynamic::transformer::data::Metric;
use dht_dynamic::transformer::storage::{FileKind, read_file};
use dht_dynamic::transformer::{EncodedDataset, Precision, Task};
use serde_json::json;

use super::output::{print, print_text};
use crate::analysis::Analysis;
use crate::error::{Error, Result};
use crate::progress::report;
use crate::results::{
    CardFacts, Results, card, curve, majority_note, own_row, promise, results, results_table, training_curve,
};
use crate::texts::{classes_without_rows, missing_classes_note};

/// Names of files that a directory of a saved model may contain.
const OWN: [&str; 6] = ["README.md", "curve.svg", "training.json", "training.svg", "dht.json", "model"];

/// Maximum number of classes that a message lists.
const LISTED: usize = 5;

/// Names of the files that the subdirectory `model` of a saved model may contain.
const OF_MODEL: [&str; 10] = [
    "config.json",
    "model.safetensors",
    "config_sentence_transformers.json",
    "modeling_dht.py",
    "tokenizer.json",
    "tokenizer_config.json",
    "encoder",
    "dynamic.checkpoint",
    "ngram.json",
    "seen_texts.bin",
];

/// Contents of a finished model's card and of the printed results.
#[derive(Debug)]
pub struct FinishedModel<'a> {
    /// Output directory.
    pub out: &'a Path,
    /// Sentence about how the model was built.
    pub how: String,
    /// Rows on which the model is scored.
    pub scored: ScoredRows<'a>,
    /// Source of the texts, as on the command line.
    pub data: &'a Path,
    /// Metric that the literature reports for the data set; `None` if unknown.
    pub metric: Option<Metric>,
    /// Existing model in the output directory, which is replaced.
    pub replaced: Option<&'a Replaced>,
    /// True if the classifier was given by the user, so that its classes may differ from the labels of the texts.
    pub is_given: bool,
    /// Report of a training run in rungs (training stages).
    pub training: Option<&'a LadderReport>,
    /// Learning curve of rung 1, the training stage on the frozen encoder; `None` if it was not requested.
    pub learning: Option<&'a LearningCurve>,
    /// True to hide progress.
    pub quiet: bool,
    /// True to print the results as JSON.
    pub json: bool,
}

/// Rows on which a model is scored.
#[derive(Debug)]
pub struct ScoredRows<'a> {
    /// Token ids and labels of the rows.
    pub rows: Cow<'a, EncodedDataset>,
    /// Brief description of the rows, such as "the 12 test rows".
    pub description: String,
    /// Name of the split from which the rows come.
    pub split: &'static str,
    /// Out-of-fold answers to score, if the model was trained on the rows; otherwise `None`.
    pub out_of_fold: Option<&'a OutOfFold>,
}

impl<'a> ScoredRows<'a> {
    /// Creates the rows of a split, described as "the 12 test rows" with `note` appended.
    pub fn new(rows: &'a EncodedDataset, split: &'static str, note: &str) -> Self {
        let name = if rows.len() == 1 { "row" } else { "rows" };
        let description = format!("the {} {split} {name}{note}", rows.len());
        Self { rows: Cow::Borrowed(rows), description, split, out_of_fold: None }
    }
}

/// Existing model at the output path, which the new model replaces.
#[derive(Debug)]
pub struct Replaced {
    path: PathBuf,
    labels: Vec<String>,
    task: Task,
    /// Number of rows and data set with which the existing model was trained, as text; `None` if unknown.
    rows: Option<String>,
}

/// Checks the output path before training. It must not be a file, nor a directory with files that do not belong to a
/// saved model. Returns the saved model in the directory; `None` if there is none.
///
/// # Errors
/// [`Error::Foreign`] with the path of the file that would be lost.
pub fn check_target(out: &Path) -> Result<Option<Replaced>> {
    if out.is_file() {
        return Err(Error::Foreign { path: out.into() });
    }
    // A circular link can be neither read nor replaced. A link to a missing path is allowed: the model is created
    // there.
    match out.metadata() {
        Err(source) if source.kind() != ErrorKind::NotFound => return Err(Error::Io { path: out.into(), source }),
        _ => {}
    }
    let held = Replaced::find(out);
    for entry in std::fs::read_dir(out).into_iter().flatten().flatten() {
        if held.is_none() || !OWN.iter().any(|own| entry.file_name() == **own) {
            return Err(Error::Foreign { path: entry.path() });
        }
    }
    for entry in std::fs::read_dir(out.join("model")).into_iter().flatten().flatten() {
        if !OF_MODEL.iter().any(|own| entry.file_name() == **own) {
            return Err(Error::Foreign { path: entry.path() });
        }
    }
    Ok(held)
}

impl Replaced {
    /// Reads the model in a directory; `None` if there is none in the format of this version.
    fn find(out: &Path) -> Option<Self> {
        let read = |path: &str| -> Option<serde_json::Value> {
            serde_json::from_slice(&read_file(out.join(path), FileKind::Description).ok()?).ok()
        };
        let json = read("dht.json").filter(|json| json["format"] == "dht model")?;
        // A damaged model and a model of another format version may be replaced as well.
        let labels = TextModel::saved_labels(out).unwrap_or_default();
        let task = match read("model/config.json").as_ref().and_then(|config| config["problem_type"].as_str()) {
            Some("multi_label_classification") => Task::Labels,
            Some("regression") => Task::Number,
            // The encoder of a dynamic model does not state a task. Only multi-label models have thresholds.
            _ if json["thresholds"].is_object() => Task::Labels,
            _ if json["levels"].is_object() => Task::Number,
            _ => Task::Class,
        };
        let rows = || Some(format!("{} rows of {}", json["origin"]["rows"], json["origin"]["data"].as_str()?));
        Some(Self { path: out.into(), labels, task, rows: rows() })
    }

    /// Rejects the replacement by a model with other classes or another task, unless `--replace` is set.
    ///
    /// # Errors
    /// [`Error::OtherModel`] if the models have different labels or tasks.
    pub fn check(&self, labels: &[String], task: Task, is_allowed: bool) -> Result<()> {
        let differs = if self.task != task {
            format!("{} in the saved model, {} in the new one", name(self.task), name(task))
        } else {
            let list = |own: &[String], other: &[String]| {
                let lacking: Vec<&String> = own.iter().filter(|label| !other.contains(label)).collect();
                let listed: Vec<String> = lacking.iter().take(LISTED).map(|label| format!("{label:?}")).collect();
                let more = if lacking.len() > LISTED { ", …" } else { "" };
                format!("{}{more}", listed.join(", "))
            };
            match (&*list(&self.labels, labels), &*list(labels, &self.labels)) {
                ("", "") => return Ok(()),
                (there, "") => format!("only the saved model has {there}"),
                ("", here) => format!("only the new model has {here}"),
                (there, here) => format!("only the saved model has {there}, only the new one {here}"),
            }
        };
        if is_allowed { Ok(()) } else { Err(Error::OtherModel { path: self.path.clone(), differs }) }
    }

    /// Note that an existing model will be replaced, printed before training.
    pub fn note(&self) -> String {
        format!("{} holds {}, which will be replaced at the end", self.path.display(), self.description())
    }

    fn description(&self) -> String {
        self.rows.as_ref().map_or_else(|| "a model".into(), |rows| format!("a model of {rows}"))
    }
}

/// Description of the possible answers of a task, for messages.
fn name(task: Task) -> &'static str {
    match task {
        Task::Class => "one class for each text",
        Task::Labels => "several labels for each text",
        Task::Number => "numbers",
    }
}

/// Scores a model, saves it with its model card, and prints the results. `misses` has one sentence for each requested
/// limit, such as a budget, that the model does not keep.
///
/// # Errors
/// [`Error::Transformer`] or [`Error::Dynamic`] if the model fails; [`Error::Io`] if a file or standard output cannot
/// be written.
pub fn finish(model: &TextModel, made: FinishedModel<'_>, misses: &[String]) -> Result<()> {
    // Another command may have written to the directory meanwhile.
    if let Some(held) = check_target(made.out)?
        && made.replaced.is_none_or(|before| before.labels != held.labels || before.task != held.task)
    {
        held.check(&model.labels, model.task(), false)?;
    }
    let ScoredRows { rows: scored, description, split, out_of_fold } = &made.scored;
    let say = |line: &str| {
        if !made.quiet {
            report(line);
        }
    };
    say(&format!("scoring {description}"));
    let start = Instant::now();
    let Results { rows, answers } = results(model, Precision::F32, scored, made.metric, *out_of_fold)?;
    say(&format!("scored in {:.0} s", start.elapsed().as_secs_f64()));
    // Exits and word counts were fitted to the labels as they are mapped. A classifier that the user provided was not,
    // so that its own row shows a wrong mapping.
    let judged = if made.is_given { rows.first() } else { own_row(&rows) };
    majority_note(judged, scored).iter().for_each(|note| report(note));
    let missing = missing_classes_note(scored, model.task(), split);
    let analysis = Analysis::new(model, None, scored, &answers)?.card();
    let name = made.out.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    let curve = curve(&rows)?;
    let facts = CardFacts {
        name: &name,
        made: &made.how,
        scored_on: description,
        note: missing.as_deref(),
        rows: &rows,
        analysis: &analysis,
        curve: curve.is_some().then_some("curve.svg"),
    };
    let training = made.training.map(|ladder| -> Result<_> {
        let json =
            serde_json::to_string_pretty(ladder).map_err(|source| Error::Curve { message: source.to_string() })?;
        Ok((json + "\n", training_curve(ladder, model.task())?))
    });
    let training = training.transpose()?;
    let training = training.as_ref().map(|(json, svg)| (json.as_str(), svg.as_str()));
    model.save(made.out, ModelCard { text: &card(model, facts), curve: curve.as_deref(), training })?;
    misses.iter().for_each(|miss| report(&format!("not kept: {miss}")));
    if made.json {
        let lacking = classes_without_rows(scored, model.task());
        let value = json!({
            "model": made.out.display().to_string(),
            "replaced": made.replaced.map(Replaced::description),
            "data": { "path": made.data, "split": split, "rows": scored.len(), "classes_without_rows": lacking },
            "results": rows,
            "promise": model.promise,
            "not_kept": misses,
            "training": made.training,
            "learning_curve": made.learning,
        });
        return print(&format!("{value:#}\n"));
    }
    let promises = model.promise.as_ref().map_or_else(String::new, |limit| promise(limit, model.task()) + "\n");
    let table = results_table(&rows, model.task()).text();
    let missing = missing.map_or_else(String::new, |note| note + "\n");
    let replaced = made.replaced.map_or_else(String::new, |held| format!(", in place of {}", held.description()));
    let out = made.out.display();
    print_text(&format!("On {description}:\n\n{table}\n{missing}{promises}written to {out}{replaced}\n"))
}
