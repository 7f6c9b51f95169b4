//! Command `dht evaluate`: scores a model on labelled texts.

use std::path::{Path, PathBuf};

use clap::Args;
use dht_dynamic::serving::TextModel;
use dht_dynamic::transformer::storage::{writable_file, write_atomically};
use dht_dynamic::transformer::{Dataset, Precision};
use serde_json::json;

use super::output::{print, print_text};
use super::target::TargetArguments;
use crate::analysis::{Analysis, PageFacts, page};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::progress::report;
use crate::results::{Results, SureAnswers, majority_note, own_row, promise, results, results_table};
use crate::texts::{
    TextArguments, classes_without_rows, cut_note, left_out_note, mapping_note, missing_classes_note,
    other_columns_note, trained_rows, trained_rows_note,
};
use crate::training::saved_directory;

/// Arguments of `dht evaluate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dht evaluate news --data ag_news
  dht evaluate news --data asked.csv --label-column topic --json
  dht evaluate news --data ag_news --report news.html
  dht evaluate linguist --data glue/cola")]
pub struct EvaluateArguments {
    /// Model: a directory that dht saved, a Hugging Face classifier's directory, or hf:NAME or hf:NAME@REVISION on the
    /// hub
    #[arg(value_name = "DIR|hf:NAME")]
    model: PathBuf,
    #[command(flatten)]
    texts: TextArguments,
    /// Also score the answers whose probability is at least P, from 0 to 1; the other texts would be left to a person
    #[arg(long, value_name = "P")]
    min_probability: Option<f32>,
    #[command(flatten)]
    target: TargetArguments,
    /// Write an HTML page to FILE: scores of each class, confused classes, surest errors, coverage, calibration
    ///
    /// The page is one file that loads nothing. With --json, the same numbers are under `analysis`.
    #[arg(long, value_name = "FILE", value_parser = writable_file)]
    report: Option<PathBuf>,
    /// Run on this device: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Compute layers in f32, int8, bf16 or tf32.
    ///
    /// int8 requires a CPU and is faster with AVX-512 VNNI. bf16 requires CUDA or Metal, and tf32 requires CUDA.
    /// Answers change slightly.
    #[arg(long, value_name = "PRECISION", default_value_t)]
    precision: Precision,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// Print no notes about the rows and about texts that are cut
    #[arg(long)]
    quiet: bool,
}

/// Runs `dht evaluate`: scores a model on labelled texts at its default speed (exit threshold), with all layers, and at
/// several costs.
pub fn evaluate(arguments: &EvaluateArguments) -> Result<()> {
    arguments.check_report()?;
    let model = TextModel::load(saved_directory(&arguments.model)?, &arguments.device.open_in(arguments.precision)?)?;
    let task = model.task();
    arguments.texts.check_task(task)?;
    let (texts, notes) = arguments.texts.read_scored(&model.labels, task, model.origin.as_ref())?;
    let say = |note: &str| {
        if !arguments.quiet {
            report(note);
        }
    };
    notes.iter().for_each(|note| say(note));
    let read = texts.reading.as_ref().map_or(&[][..], |reading| &reading.text);
    let encoded = model.tokenizer.encode_all(&texts, model.max_length)?;
    let trained = trained_rows(&model, &texts, &encoded);
    let mut warnings: Vec<String> = other_columns_note(read, model.origin.as_ref()).into_iter().collect();
    warnings.extend(trained_rows_note(trained, encoded.len()));
    warnings.extend(left_out_note(&texts));
    warnings.extend(mapping_note(&texts));
    warnings.iter().for_each(|note| report(note));
    let target = arguments.target.select(&model, arguments.precision, &arguments.texts.source.table.rows)?;
    target.iter().for_each(|target| report(&target.text()));
    let Results { rows, answers } = results(&model, arguments.precision, &encoded, arguments.texts.metric(), None)?;
    let least = target.as_ref().map(|target| target.min_probability).or(arguments.min_probability);
    let sure = least.map(|least| SureAnswers::new(&answers, &encoded, least)).transpose()?;
    let later = [majority_note(own_row(&rows), &encoded), missing_classes_note(&encoded, task, "scored")];
    later.iter().flatten().for_each(|note| report(note));
    warnings.extend(later.into_iter().flatten());
    let cut = cut_note([&encoded], model.max_length);
    cut.iter().for_each(|note| say(note));
    let analysis = match arguments.json || arguments.report.is_some() {
        true => Some(Analysis::new(&model, Some(&texts), &encoded, &answers)?),
        false => None,
    };
    if let (Some(path), Some(analysis)) = (&arguments.report, &analysis) {
        let notes: Vec<String> = notes.iter().map(|note| note.trim().to_owned()).chain(warnings).chain(cut).collect();
        let facts = PageFacts {
            model: &arguments.model.display().to_string(),
            of_model: &model_facts(&model, arguments.precision),
            data: &texts.name,
            of_data: &data_facts(&texts),
            notes: &notes,
            rows: &rows,
            task,
        };
        let page = page(analysis, facts)?;
        write_atomically(path, |file| file.write_all(page.as_bytes()))?;
    }
    if arguments.json {
        let value = json!({
            "data": {
                "path": arguments.texts.source.data,
                "name": texts.name,
                "rows": texts.len(),
                "trained_rows": trained,
                "classes_without_rows": classes_without_rows(&encoded, task),
                "sha256": texts.sha256,
                "reading": texts.reading
            },
            "precision": arguments.precision.to_string(),
            "results": rows,
            "target": target,
            "sure": sure,
            "analysis": analysis
        });
        return print(&format!("{value:#}\n"));
    }
    let columns = texts.reading.as_ref().map_or_else(String::new, |reading| format!("; {reading}"));
    let precision = match arguments.precision {
        Precision::F32 => String::new(),
        other => format!("; layers in {other}"),
    };
    print_text(&format!(
        "{}: {} rows{columns}{precision}\n\n{}",
        texts.name,
        texts.len(),
        results_table(&rows, task).text()
    ))?;
    sure.map_or(Ok(()), |sure| print_text(&format!("\n{}\n", sure.text())))
}

impl EvaluateArguments {
    /// Rejects a path of the HTML report that would overwrite the texts.
    fn check_report(&self) -> Result<()> {
        // A report inside of a directory of texts would be read as one of the texts.
        let holds = |texts: &Path, report: &Path| texts.canonicalize().is_ok_and(|texts| report.starts_with(texts));
        let read = [Some(&self.texts.source.data), self.target.held_out()];
        let same = |report: &PathBuf| {
            report.canonicalize().is_ok_and(|report| read.iter().flatten().any(|texts| holds(texts, &report)))
        };
        match self.report.as_ref().filter(|report| same(report)) {
            Some(report) => Err(Error::argument("report", "another file than the texts", report.display())),
            None => Ok(()),
        }
    }
}

/// Properties of a model for the HTML report, as names and values.
fn model_facts(model: &TextModel, precision: Precision) -> Vec<(String, String)> {
    let shape = model.model.shape();
    let mut facts = vec![
        ("layers, heads, width", format!("{}, {}, {}", shape.layers, shape.heads, model.model.config().hidden_size)),
        ("longest text", format!("{} tokens", model.max_length)),
        ("layers computed in", precision.to_string()),
    ];
    facts.extend(model.model.speed().map(|speed| ("default speed", speed.to_string())));
    facts.extend(model.promise.iter().map(|own| ("promise", promise(own, model.task()))));
    if let Some(origin) = &model.origin {
        facts.push(("trained on", format!("{} rows of {}", origin.rows, origin.data)));
        facts.push(("SHA-256 of these texts", origin.sha256.clone()));
    }
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Properties of the scored texts for the HTML report, as names and values.
fn data_facts(texts: &Dataset) -> Vec<(String, String)> {
    let mut facts = vec![("name".to_owned(), texts.name.clone()), ("rows".to_owned(), texts.len().to_string())];
    facts.extend(texts.reading.as_ref().map(|reading| ("read as".to_owned(), reading.to_string())));
    facts.push(("SHA-256".to_owned(), texts.sha256.clone()));
    facts
}
