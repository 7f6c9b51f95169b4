//! Command `dht accelerate`: adds early exits to a fine-tuned classifier.

mod arguments;
mod texts;

use std::borrow::Cow;
use std::path::Path;

use dht_dynamic::accelerate::{AccelerateSettings, Targets};
use dht_dynamic::serving::TextModel;
use dht_dynamic::transformer::{EncodedDataset, Task, TextClassifier};

pub use self::arguments::AccelerateArguments;
use self::arguments::SourceClassifier;
use super::made::{FinishedModel, ScoredRows, check_target, finish};
use crate::acceleration::{BATCH, REST, exit_settings, label_thresholds, make_dynamic};
use crate::error::{Error, Result};
use crate::progress::report;
use crate::texts::{
    EncodedSplits, TextSplits, cut_note, missing_classes_note, other_columns_note, prefix_line, shared_rows,
    unknown_tokens_line,
};
use crate::training::name_of;

/// Runs `dht accelerate`: adds early exits to a fine-tuned classifier, then scores and saves the dynamic model.
pub fn accelerate(arguments: &AccelerateArguments) -> Result<()> {
    arguments.speed.check()?;
    let replaced = check_target(&arguments.out)?;
    let folder = arguments.folder()?;
    let notes = arguments.texts.notes()?;
    notes.iter().for_each(|note| arguments.say(note));
    let source = arguments.load(&folder)?;
    check_classifier(&source.classifier, &folder)?;
    let max_length = arguments.max_length(&source)?;
    let SourceClassifier { classifier, tokenizer, labels, origin: trained, thresholds, .. } = source;
    let task = classifier.task();
    let texts = arguments.texts.of_model(task, trained.as_ref())?;
    let arguments = &AccelerateArguments { texts, ..arguments.clone() };
    let tokenizer = tokenizer.with_rest(REST);
    if let Some(held) = &replaced {
        held.check(&labels, task, arguments.replace)?;
        arguments.say(&held.note());
    }
    let mut texts = arguments.read_texts(&labels, trained.as_ref())?;
    let encoded = texts.encode(&tokenizer, max_length)?;
    report_rows(arguments, task, &texts, &encoded, max_length);
    let read = texts.train.reading.as_ref().map_or(&[][..], |reading| &reading.text);
    other_columns_note(read, trained.as_ref()).iter().for_each(|note| report(note));
    prefix_line(&tokenizer).iter().for_each(|line| arguments.say(line));
    let (line, is_warning) = unknown_tokens_line(tokenizer.unknown_share(&encoded.train)?);
    if is_warning || !arguments.quiet {
        report(&format!("  {line}"));
    }
    texts.forget_texts();

    let targets = if arguments.unlabelled { Targets::Predictions } else { Targets::Labels };
    let settings = AccelerateSettings { targets, ..exit_settings(&tokenizer, &arguments.speed)? };
    let thresholds = thresholds.or_else(|| label_thresholds(task, &encoded.train));
    let (speed, seed, quiet) = (&arguments.speed, arguments.seed, arguments.quiet);
    let made = make_dynamic(&classifier, &encoded, &settings, (speed, thresholds.as_ref()), seed, quiet)?;
    let how = format!(
        "It is {} with exits fitted in {:.0} seconds; its weights are unchanged.",
        name_of(&folder),
        made.report.seconds
    );
    let origin = arguments.texts.origin(&texts.train, encoded.train.len());
    let model = TextModel::new(made.model, tokenizer, &labels, max_length)?;
    let (curve, promise) = (made.report.curve, made.promise);
    let model = TextModel { curve, promise, thresholds, origin: Some(origin), ..model };
    let facts = FinishedModel {
        out: &arguments.out,
        how,
        scored: scored_rows(arguments, &classifier, &encoded)?,
        data: &arguments.texts.source.data,
        // The literature reports this metric for true labels only.
        metric: arguments.texts.metric().filter(|_| !arguments.unlabelled),
        replaced: replaced.as_ref(),
        is_given: true,
        training: None,
        learning: None,
        quiet: arguments.quiet,
        json: arguments.json,
    };
    finish(&model, facts, &made.misses)
}

/// Rejects a classifier that cannot have early exits: a regression model, or a classifier with one layer.
fn check_classifier(classifier: &TextClassifier, folder: &Path) -> Result<()> {
    let refuse = |expected| Err(Error::NoModel { path: folder.into(), expected });
    match (classifier.task(), classifier.encoder().layers()) {
        (Task::Number, _) => refuse("one class or several labels for each text: models of numbers have no early exits"),
        (Task::Class | Task::Labels, 2..) => Ok(()),
        (Task::Class | Task::Labels, _) => refuse("at least 2 layers: one layer leaves nothing to choose"),
    }
}

/// Reports the texts. With `--quiet`, only warnings and the number of truncated texts are reported.
fn report_rows(
    arguments: &AccelerateArguments,
    task: Task,
    texts: &TextSplits,
    encoded: &EncodedSplits,
    max_length: usize,
) {
    let EncodedSplits { train, validation, calibration, test } = encoded;
    arguments.say(&format!("{}: {} texts, {} held out", texts.train.name, train.len(), validation.len()));
    texts.notes.iter().for_each(|note| arguments.say(note));
    let reading = texts.train.reading.iter();
    reading.clone().flat_map(|reading| reading.lines()).for_each(|line| arguments.say(&format!("  {line}")));
    let shared = shared_rows(&texts.train, &texts.validation);
    if shared > 0 {
        arguments.say(&format!(
            "  {shared} held-out rows have the text of a training row: speeds are chosen on what exits have seen"
        ));
    }
    if arguments.validation.is_none() && !arguments.unlabelled {
        arguments.say(
            "  held out are rows of the same texts: if the classifier was fine-tuned on them, give others with --validation",
        );
    }
    let parts = [Some(train), Some(validation), calibration.as_ref(), test.as_ref()];
    let missing = missing_classes_note(validation, task, "held-out").filter(|_| !arguments.unlabelled);
    let warnings = texts.warnings.iter().cloned().chain(reading.flat_map(|reading| reading.notes())).chain(missing);
    warnings.chain(cut_note(parts.into_iter().flatten(), max_length)).for_each(|line| report(&line));
}

/// Rows on which the model is scored: the test rows, or else the held-out rows on which the speed (exit threshold) was
/// selected. Without labels, the classifier's own answers serve as labels.
fn scored_rows<'a>(
    arguments: &AccelerateArguments,
    classifier: &TextClassifier,
    texts: &'a EncodedSplits,
) -> Result<ScoredRows<'a>> {
    if arguments.unlabelled {
        let rows = own_labels(classifier, &texts.validation)?;
        let description = format!("{} held-out texts, against the classifier's own answers", rows.len());
        return Ok(ScoredRows { rows: Cow::Owned(rows), description, split: "held-out", out_of_fold: None });
    }
    Ok(match &texts.test {
        Some(test) => ScoredRows::new(test, "test", ""),
        None => ScoredRows::new(&texts.validation, "held-out", ", on which all choices were made"),
    })
}

/// Copies texts, with the classifier's own answers as labels.
fn own_labels(classifier: &TextClassifier, texts: &EncodedDataset) -> Result<EncodedDataset> {
    let answers = classifier.probabilities_of_all(texts, BATCH)?;
    let mut texts = texts.clone();
    for (sample, answer) in texts.samples.iter_mut().zip(answers) {
        match classifier.task() {
            Task::Labels => sample.targets = answer.iter().map(|p| if *p >= 0.5 { 1.0 } else { 0.0 }).collect(),
            Task::Class | Task::Number => sample.label = Task::most_probable(&answer),
        }
    }
    Ok(texts)
}
