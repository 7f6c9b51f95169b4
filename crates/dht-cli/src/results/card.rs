//! Model card: description of a model, its training data, and measured scores and costs.

use dht_dynamic::serving::{KeptPromise, ServedModel, TextModel};
use dht_dynamic::transformer::Task;

use super::rows::{ResultRow, results_table};

/// Contents of a model card in addition to the model's own description.
#[derive(Debug, Clone, Copy)]
pub struct CardFacts<'a> {
    /// Name of the model: the last component of its path.
    pub name: &'a str,
    /// Sentence about how the model was built.
    pub made: &'a str,
    /// Brief description of the scored rows.
    pub scored_on: &'a str,
    /// Note on limitations of the scores, if there is one.
    pub note: Option<&'a str>,
    /// Scores and costs at several speeds (exit thresholds).
    pub rows: &'a [ResultRow],
    /// Sections about the scores of each class, in Markdown.
    pub analysis: &'a str,
    /// File name of the scores' diagram, in the directory of the card; `None` if there is no diagram.
    pub curve: Option<&'a str>,
}

/// Formats the model card in Markdown.
pub fn card(model: &TextModel, facts: CardFacts<'_>) -> String {
    let CardFacts { name, made, scored_on, note, rows, analysis, curve } = facts;
    let shape = model.model.shape();
    let kind = match &model.model {
        ServedModel::Dynamic(_) => "a text classifier that runs as many layers as a text needs",
        _ => "a text classifier",
    };
    let mut lines = vec![format!("# {name}"), String::new(), format!("{}. {made}", capital(kind))];
    lines.push(String::new());
    lines.push(format!(
        "{} layers of {} heads, width {}; texts of up to {} tokens; {}: {}.",
        shape.layers,
        shape.heads,
        model.model.config().hidden_size,
        model.max_length,
        if model.labels.len() == 1 { "value" } else { "classes" },
        model.labels.join(", ")
    ));
    if !model.tokenizer.prefix().is_empty() {
        lines.push(String::new());
        lines.push(format!(
            "`dht` puts {:?} before each text; with `transformers` alone, put it there yourself.",
            model.tokenizer.prefix()
        ));
    }
    if let Some(origin) = &model.origin {
        let columns = origin.columns.as_ref().map_or_else(String::new, |columns| format!("; {columns}"));
        lines.push(String::new());
        lines.push(format!(
            "Trained on {} rows of {}{columns}. SHA-256 of the file: `{}`.",
            origin.rows, origin.data, origin.sha256
        ));
        let mapping = origin.columns.as_ref().and_then(|reading| reading.label_mapping());
        lines.extend(mapping.map(|mapping| format!("Labels of these texts: {mapping}.")));
    }
    lines.push(String::new());
    lines.push(format!(
        "Scores on {scored_on}; FLOPs are shares of the full model's; texts/s are of tokenised texts in batches of 64."
    ));
    lines.push(String::new());
    lines.push(results_table(rows, model.task()).markdown());
    if let Some(note) = note {
        lines.push(format!("{}.", capital(note)));
        lines.push(String::new());
    }
    if let Some(curve) = curve {
        lines.push(format!("![Score against FLOPs of inference]({curve})"));
        lines.push(String::new());
    }
    lines.extend(model.promise.iter().map(|limit| promise(limit, model.task()) + "\n"));
    lines.push(analysis.to_owned());
    lines.push("## Limits".into());
    lines.push(String::new());
    lines.extend(limits(model));
    lines.push(String::new());
    lines.push("```sh".into());
    lines.push(format!("dht predict {name} texts.csv      # or: dht serve {name}"));
    lines.push("```".into());
    lines.join("\n") + "\n"
}

/// Limits of a model's answers as list items in Markdown.
fn limits(model: &TextModel) -> Vec<String> {
    let mut limits = vec![
        "- The scores hold for texts like the scored rows. For other texts, measure them: `dht evaluate`.".to_owned(),
        match model.tokenizer.rest() {
            0 => format!("- The model reads the first {} tokens of a text.", model.max_length),
            rest => format!(
                "- The encoder reads the first {} tokens of a text, and the n-gram exit up to {rest} more.",
                model.max_length
            ),
        },
    ];
    limits.extend((model.task() == Task::Class).then(|| {
        "- Each text gets one of the classes, even a text about something else. `--min-probability` leaves texts \
         without a sure answer to a person."
            .to_owned()
    }));
    limits
}

/// Formats a promise, the verified limit on a risk, as a sentence.
pub fn promise(promise: &KeptPromise, task: Task) -> String {
    let of = match task {
        _ if promise.disagreement => "answers that differ from the full model's",
        Task::Labels => "the mean F1 of a text's labels lost against the full model",
        Task::Class | Task::Number => "accuracy lost against the full model",
    };
    let observed = match promise.observed < 0.0 {
        true => format!("none, {:.2} points gained", -100.0 * promise.observed),
        false => format!("{:.2} points", 100.0 * promise.observed),
    };
    format!(
        "Promise: at most {:.2} points of {of}, with a probability of {}; on the {} texts that show it: {observed}.",
        100.0 * promise.most,
        promise.confidence,
        promise.rows
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
