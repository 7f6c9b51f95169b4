//! Command `dht inspect`: prints the contents of a model directory.

mod account;

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;
use dht_dynamic::serving::{NumberLevels, ServedModel, TextModel};
use dht_dynamic::transformer::Task;
use serde_json::json;

use super::output::{print, print_text};
use crate::acceleration::curve_points;
use crate::error::Result;
use crate::progress::score_of;
use crate::results::{Table, promise};
use crate::training::{on_the_hub, saved_directory};

/// Arguments of `dht inspect`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dht inspect news
  dht inspect my-classifier

For a Hugging Face directory, every file, field and tensor is listed as obeyed, harmless, refused with a reason, or
unknown. The exit code is 1 for a directory that can neither be used as a classifier nor trained from.")]
pub struct InspectArguments {
    /// Model: a directory that dht saved, a Hugging Face directory, or hf:NAME or hf:NAME@REVISION on the hub
    #[arg(value_name = "DIR|hf:NAME")]
    model: PathBuf,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `dht inspect`: prints the contents of a model directory.
pub fn inspect(arguments: &InspectArguments) -> Result<()> {
    let folder = saved_directory(&arguments.model)?;
    if folder.is_dir() && !["dht.json", "dynamic.checkpoint"].iter().any(|file| folder.join(file).exists()) {
        return account::inspect(&folder, arguments.json);
    }
    let (model, source) = (TextModel::load(&folder, &Device::Cpu)?, on_the_hub(&folder));
    if arguments.json { print(&json_text(&model, source)) } else { print_text(&text(&model, source)) }
}

/// Size of a model: type, number of parameters, and exits.
struct Size {
    kind: &'static str,
    parameters: usize,
    exits: Vec<usize>,
}

impl Size {
    fn new(model: &ServedModel) -> Self {
        match model {
            ServedModel::Dynamic(dynamic) => Self {
                kind: "dynamic",
                parameters: dynamic.encoder().parameters().elements(),
                exits: dynamic.depths().collect(),
            },
            ServedModel::Classifier(classifier) => Self {
                kind: "full",
                parameters: classifier.encoder().parameters().elements(),
                exits: vec![model.shape().layers],
            },
            _ => Self { kind: "other", parameters: 0, exits: Vec::new() },
        }
    }
}

fn json_text(model: &TextModel, source: Option<String>) -> String {
    let (shape, config) = (model.model.shape(), model.model.config());
    let Size { kind, parameters, exits } = Size::new(&model.model);
    let task = match model.task() {
        Task::Class => "class",
        Task::Labels => "labels",
        Task::Number => "number",
    };
    let value = json!({
        "kind": kind,
        "source": source,
        "task": task,
        "layers": shape.layers,
        "heads": shape.heads,
        "hidden": config.hidden_size,
        "vocabulary": config.vocab_size,
        "parameters": parameters,
        "exits": exits,
        "labels": model.labels,
        "max_length": model.max_length,
        "prefix": model.tokenizer.prefix(),
        "speed": model.model.speed(),
        "curve": curve_points(&model.curve),
        "origin": model.origin,
        "promise": model.promise,
        "thresholds": model.thresholds,
        "levels": model.levels,
    });
    format!("{value:#}\n")
}

fn text(model: &TextModel, source: Option<String>) -> String {
    let (shape, config) = (model.model.shape(), model.model.config());
    let Size { kind, parameters, exits } = Size::new(&model.model);
    let meaning = match model.task() {
        Task::Class => "",
        Task::Labels => " (any number of them)",
        Task::Number if model.levels.as_ref().is_some_and(NumberLevels::is_rating) => " (a rating)",
        Task::Number => " (a number)",
    };
    let of_label = |(label, least): (&String, &f32)| format!("{label} {least:.2}");
    let thresholds = model.thresholds.as_ref().map(|thresholds| {
        let least: Vec<String> = model.labels.iter().zip(&thresholds.least).map(of_label).collect();
        let always = if thresholds.never_empty { "; at least one label for each text" } else { "" };
        format!("applies at  {}{always}", least.join(", "))
    });
    let mut lines = vec![
        format!("kind        {kind}"),
        format!(
            "encoder     {} layers of {} heads, width {}, {parameters} parameters",
            shape.layers, shape.heads, config.hidden_size
        ),
        format!("texts       up to {} tokens of {}", model.max_length, config.vocab_size),
        format!("labels      {}{meaning}", model.labels.join(", ")),
        format!("exits       after {} layers", exits.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    ];
    lines.extend(thresholds);
    lines.extend(model.levels.as_ref().map(|levels| format!("levels      {}", listed(levels.values()))));
    lines.extend(source.map(|source| format!("from        {source}")));
    if !model.tokenizer.prefix().is_empty() {
        lines.push(format!("prefix      {:?} before each text", model.tokenizer.prefix()));
    }
    if let Some(origin) = &model.origin {
        let columns = origin.columns.as_ref().map_or_else(String::new, |columns| format!("; {columns}"));
        let pairs = if origin.pair { ", pairs" } else { "" };
        lines.push(format!("trained on  {} rows of {}{pairs}{columns}", origin.rows, origin.data));
    }
    lines.extend(model.promise.iter().map(|limit| promise(limit, model.task())));
    if let Some(speed) = model.model.speed() {
        lines.push(format!("speed       {speed}\n\n{}", speeds(model).text()));
        return lines.join("\n") + "on held-out texts, which the speeds were chosen on\n";
    }
    lines.join("\n") + "\n"
}

fn listed(numbers: &[f32]) -> String {
    numbers.iter().map(f32::to_string).collect::<Vec<_>>().join(", ")
}

/// Table of the model's speeds at each tenth of the full model's cost.
fn speeds(model: &TextModel) -> Table {
    let score = if model.levels.is_some() { "micro F1 of levels" } else { score_of(model.task()) };
    let mut curve = Table::new(["cost up to", "speed", "FLOPs", score]);
    for tenths in 1..=10 {
        let cost = f64::from(tenths) / 10.0;
        if let Some(point) = model.speed_within(cost) {
            curve.push([
                cost.to_string(),
                format!("{:.4}", point.speed),
                format!("{:.3}", point.flops_ratio),
                format!("{:.4}", point.accuracy),
            ]);
        }
    }
    curve
}
