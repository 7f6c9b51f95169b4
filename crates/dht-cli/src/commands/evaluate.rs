//! `dht evaluate`.

use std::path::PathBuf;

use clap::Args;
use dht_dynamic::serving::TextModel;
use dht_dynamic::transformer::Precision;
use serde_json::json;

use super::output::{print, print_text};
use crate::device::DeviceChoice;
use crate::error::Result;
use crate::progress::report;
use crate::results::{SureAnswers, majority_note, own_row, results, results_table};
use crate::texts::{
    TextArguments, classes_without_rows, cut_note, mapping_note, missing_classes_note, other_columns_note,
    trained_rows, trained_rows_note,
};
use crate::training::saved_directory;

/// Arguments of `dht evaluate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dht evaluate news --data ag_news
  dht evaluate news --data asked.csv --label-column topic --json
  dht evaluate linguist --data glue/cola")]
pub struct EvaluateArguments {
    /// Directory of a model of dht or of a Hugging Face classifier, or hf:NAME or hf:NAME@REVISION for a model on the hub
    #[arg(value_name = "DIR|hf:NAME")]
    model: PathBuf,
    #[command(flatten)]
    texts: TextArguments,
    /// Also score the answers whose probability is at least P, from 0 to 1: the others would be left to a person
    #[arg(long, value_name = "P")]
    min_probability: Option<f32>,
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
    /// Print no notes on the rows and on texts that are cut
    #[arg(long)]
    quiet: bool,
}

/// Scores a model on labelled texts: at its default speed (the default threshold of its exits), with all layers, and at
/// several costs.
pub fn evaluate(arguments: &EvaluateArguments) -> Result<()> {
    let model = TextModel::load(saved_directory(&arguments.model)?, &arguments.device.open_in(arguments.precision)?)?;
    arguments.texts.check_task(model.model.task())?;
    let (texts, notes) = arguments.texts.read_scored(&model.labels, model.model.task(), model.origin.as_ref())?;
    let say = |note: &str| {
        if !arguments.quiet {
            report(note);
        }
    };
    notes.iter().for_each(|note| say(note));
    let read = texts.reading.as_ref().map_or(&[][..], |reading| &reading.text);
    other_columns_note(read, model.origin.as_ref()).iter().for_each(|note| report(note));
    let encoded = model.tokenizer.encode_all(&texts, model.max_length)?;
    let trained = trained_rows(&model, &texts, &encoded);
    trained_rows_note(trained, encoded.len()).iter().for_each(|note| report(note));
    mapping_note(&texts).iter().for_each(|note| report(note));
    let rows = results(&model, arguments.precision, &encoded, arguments.texts.metric(), None)?;
    let sure = match arguments.min_probability {
        Some(least) => Some(SureAnswers::of(&model, &encoded, least)?),
        None => None,
    };
    majority_note(own_row(&rows), &encoded).iter().for_each(|note| report(note));
    missing_classes_note(&encoded, model.model.task(), "scored").iter().for_each(|note| report(note));
    cut_note([&encoded], model.max_length).iter().for_each(|note| say(note));
    if arguments.json {
        let value = json!({
            "data": {
                "path": arguments.texts.source.data,
                "name": texts.name,
                "rows": texts.len(),
                "trained_rows": trained,
                "classes_without_rows": classes_without_rows(&encoded, model.model.task()),
                "sha256": texts.sha256,
                "reading": texts.reading
            },
            "precision": arguments.precision.to_string(),
            "results": rows,
            "sure": sure
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
        results_table(&rows, model.model.task()).text()
    ))?;
    sure.map_or(Ok(()), |sure| print_text(&format!("\n{}\n", sure.text())))
}
