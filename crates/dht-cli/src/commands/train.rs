//! Command `dht train`: trains a classifier with early exits and saves it.

mod arguments;
mod class_weights;
mod length;
mod number_rows;
mod run;
mod untrained;

use std::collections::BTreeSet;
use std::time::Instant;

use dht_dynamic::SeenTexts;
use dht_dynamic::ladder::OutOfFold;
use dht_dynamic::serving::{NumberLevels, ServedModel, TextModel};
use dht_dynamic::transformer::{EncodedDataset, Precision, Task};
use serde_json::{Map, Value};

pub use self::arguments::TrainArguments;
use self::length::LengthTrials;
use self::number_rows::NumberRows;
use self::run::Run;
use self::untrained::UntrainedClassifier;
use super::made::{FinishedModel, ScoredRows, check_target, finish};
use crate::error::{Error, Result};
use crate::progress::report;
use crate::results::{own_row, results};
use crate::texts::{
    EncodedSplits, TextSplits, cut_note, missing_classes_note, other_columns_note, prefix_line, report_texts,
    unknown_tokens_line, warnings,
};
use crate::training::{Interruption, Start, TrainingDir};

/// Runs `dht train`: trains a classifier, adds early exits, then scores and saves the model.
pub fn train(arguments: &TrainArguments) -> Result<()> {
    // Flags, output path and device are checked first, so that a mistake costs no reading of texts.
    let start = Start::load(&arguments.model)?;
    let arguments = &arguments.for_start(&start)?;
    arguments.check(&start)?;
    start.note().iter().for_each(|note| arguments.say(note));
    let replaced = check_target(&arguments.out)?;
    let device = arguments.device.open_in(arguments.precision)?;
    arguments.texts.notes()?.iter().for_each(|note| arguments.say(note));
    start.sentence_notes()?.iter().for_each(|note| report(note));
    let mut texts = arguments.read_texts(&start)?;
    // The rows may show that the task is another one.
    let mut max_length = arguments.check(&start)?;
    if let Some(held) = &replaced {
        held.check(&texts.train.labels, arguments.texts.task(), arguments.replace)?;
        arguments.say(&held.note());
    }
    // The rows are encoded and reported before training, since their problems are cheaper to find here.
    arguments.check_rows(&texts, &start)?;
    let tokenizer = arguments.tokenizer(&start, &texts.train)?;
    let mut encoded = texts.encode(&tokenizer, max_length)?;
    let class_weights = arguments.class_weights(&encoded.train)?;
    report_rows(arguments, &texts, &encoded, max_length);
    start.saved().into_iter().for_each(|model| report_saved(arguments, model, &texts));
    prefix_line(&tokenizer).iter().for_each(|line| arguments.say(line));
    report_unknown_tokens(arguments, tokenizer.unknown_share(&encoded.train)?);
    if arguments.makes_dynamic_at_once(&start) {
        check_unseen(&encoded.train, &encoded.validation)?;
    }

    // Exits need probabilities: numbers become labels, one for each cut between two levels.
    let levels = arguments.levels(&start, &encoded.train)?;
    // A regression is trained in standardised units, which an earlier last layer does not fit.
    let keeps_head = arguments.texts.task() != Task::Number || start.saved().is_some_and(|own| own.levels.is_some());
    let of_levels = levels.is_some().then(|| arguments.of_levels());
    let arguments = of_levels.as_ref().unwrap_or(arguments);
    if let Some(levels) = &levels {
        arguments.say(&levels_line(levels));
    }
    let numbers = levels.map(|levels| NumberRows::replace(levels, &mut texts, &mut encoded));
    // The state of a stopped run is resumed only by the same settings. An unset maximum length is chosen by trials.
    let lengths = arguments.lengths(&start, &encoded.train, start.config()?.longest_text());
    let fixed = lengths.is_none().then_some(max_length);
    let dir = open_dir(arguments, &arguments.settings(&start, &encoded, fixed)?)?;
    let folder = dir.folder().to_path_buf();
    let interruption = Interruption::watch(move || TrainingDir::message_if_stopped(&folder));
    let vocabulary = tokenizer.vocabulary_size();
    let (train, class_weights) = (&encoded.train, class_weights.as_deref());
    let untrained = UntrainedClassifier::new(arguments, &start, &device, train, vocabulary, keeps_head, class_weights);
    let begin = Instant::now();
    let trials = LengthTrials { arguments, texts: &texts, encoded: train, tokenizer: &tokenizer, class_weights };
    let choose = |lengths: &Vec<usize>| dir.length(lengths, || trials.choose(lengths, &untrained.create()?));
    let length = lengths.as_ref().map(choose).transpose()?;
    if let Some(choice) = &length {
        if choice.max_length != max_length {
            max_length = choice.max_length;
            encoded = texts.encode(&tokenizer, max_length)?;
        }
        report_cut(arguments, &encoded.train, max_length);
    }
    // From here on the token ids suffice.
    texts.forget_texts();
    let learning = match arguments.learning_curve {
        true => Some(arguments.learning_curve(&untrained, &encoded, &tokenizer)?),
        false => None,
    };
    let run = Run {
        start: &start,
        texts: &texts,
        encoded: &encoded,
        max_length,
        levels: numbers.as_ref().map(NumberRows::levels),
        length: length.as_ref(),
        time_of_trials: begin.elapsed(),
        untrained: &untrained,
        dir: &dir,
        interruption: &interruption,
    };
    let settings = arguments.train_settings(&start);
    let mut trained = match arguments.without_rungs(&start) {
        None => arguments.in_rungs(&run, tokenizer, settings)?,
        Some(_) => arguments.at_once(&run, tokenizer, settings)?,
    };
    // The model is scored by the numbers themselves.
    if let Some(numbers) = numbers {
        trained.model = numbers.restore(trained.model, &mut encoded, trained.out_of_fold.as_mut())?;
    }
    let facts = FinishedModel {
        out: &arguments.out,
        how: trained.how,
        scored: scored_rows(&encoded, trained.out_of_fold.as_ref()),
        data: &arguments.texts.source.data,
        metric: arguments.texts.metric(),
        replaced: replaced.as_ref(),
        is_given: false,
        training: trained.ladder.as_ref(),
        learning: learning.as_ref(),
        quiet: arguments.quiet,
        json: arguments.json,
    };
    finish(&trained.model, facts, &trained.misses)?;
    // Until here, the same command resumes the run. The state is deleted only now that the model is saved.
    dir.finish()?;
    start.saved().map_or(Ok(()), |before| compare(before, &trained.model, &encoded))
}

/// Formats a line about the labels with which a regression model is trained: whether the target number is above each of
/// several cuts.
fn levels_line(levels: &NumberLevels) -> String {
    let cuts: Vec<String> = levels.cuts().iter().map(f32::to_string).collect();
    format!(
        "outputs: whether the number is above {}; rungs are compared by the micro F1 of these labels",
        cuts.join(", ")
    )
}

/// Opens the directory for the saved state of a training run, and reports if a stopped training run is resumed.
fn open_dir(arguments: &TrainArguments, settings: &Map<String, Value>) -> Result<TrainingDir> {
    let dir = TrainingDir::open(&arguments.out, settings, arguments.restart)?;
    match (dir.is_resumed(), arguments.finish) {
        (true, false) => arguments.say("resuming the stopped training"),
        (false, true) => return Err(Error::NothingToFinish { path: dir.folder().into() }),
        _ => {}
    }
    Ok(dir)
}

/// Reports the classes of a model that is trained further, and differences between its columns and those of the new
/// rows.
fn report_saved(arguments: &TrainArguments, model: &TextModel, texts: &TextSplits) {
    let read = texts.train.reading.as_ref().map_or(&[][..], |reading| &reading.text);
    other_columns_note(read, model.origin.as_ref()).iter().for_each(|note| report(note));
    arguments.say(&new_classes_note(model, &texts.train.labels));
}

/// Reports the texts. With `--quiet`, only warnings and the number of truncated texts are reported.
fn report_rows(arguments: &TrainArguments, texts: &TextSplits, encoded: &EncodedSplits, max_length: usize) {
    let (task, train) = (arguments.texts.task(), &encoded.train);
    report_texts(texts, task, train, max_length).iter().for_each(|line| arguments.say(line));
    let missing = missing_classes_note(&encoded.validation, task, "validation").map(|note| format!("  {note}"));
    let cut = cut_note([train], max_length).filter(|_| arguments.quiet);
    warnings(texts).iter().chain(&missing).chain(&cut).for_each(|line| report(line));
}

/// Reports the share of unknown tokens; with `--quiet`, only if it is high.
fn report_unknown_tokens(arguments: &TrainArguments, share: f64) {
    let (line, is_warning) = unknown_tokens_line(share);
    if is_warning || !arguments.quiet {
        report(&format!("  {line}"));
    }
}

/// Reports the selected maximum length, and how many texts are truncated to it.
fn report_cut(arguments: &TrainArguments, train: &EncodedDataset, max_length: usize) {
    let cut = cut_note([train], max_length).unwrap_or_else(|| "no text is longer".into());
    arguments.say(&format!("texts are cut at {max_length} tokens: {cut}"));
}

/// Rows on which the model is scored: the test rows, else the training rows with their out-of-fold answers, else the
/// validation rows.
fn scored_rows<'a>(texts: &'a EncodedSplits, out_of_fold: Option<&'a OutOfFold>) -> ScoredRows<'a> {
    match (&texts.test, out_of_fold) {
        (Some(test), _) => ScoredRows::new(test, "test", ""),
        (None, Some(answers)) => {
            let note = ", out of fold; all choices were made on them";
            let rows = ScoredRows::new(&answers.texts, "training and validation", note);
            ScoredRows { split: "out of fold", out_of_fold, ..rows }
        }
        (None, None) => ScoredRows::new(&texts.validation, "validation", ", on which all choices were made"),
    }
}

/// Note on the classes or labels that training adds to a model.
fn new_classes_note(model: &TextModel, classes: &[String]) -> String {
    let (known, what) = match model.task() {
        Task::Class => (model.labels.len(), "classes"),
        Task::Labels => (model.labels.len(), "labels"),
        Task::Number => return format!("the model keeps the unit of its numbers, {}", classes.join(", ")),
    };
    match &classes[known..] {
        [] => format!("the model keeps its {known} {what}"),
        new => format!("the model keeps its {known} {what} and gets {}: {}", new.len(), new.join(", ")),
    }
}

/// Reports the scores of a model before and after further training, on rows of the original classes from which the
/// model has not learned.
fn compare(before: &TextModel, after: &TextModel, texts: &EncodedSplits) -> Result<()> {
    let (task, rows) = (before.task(), texts.test.as_ref().unwrap_or(&texts.validation));
    let seen: BTreeSet<usize> = match &before.model {
        ServedModel::Dynamic(model) => model.seen_texts().rows_of(rows).into_iter().collect(),
        _ => BTreeSet::new(),
    };
    let is_own = |row: &usize| {
        let sample = &rows.samples[*row];
        match task {
            Task::Class => (sample.label as usize) < before.labels.len(),
            // Scores over different sets of labels cannot be compared.
            Task::Labels => before.labels.len() == after.labels.len(),
            Task::Number => true,
        }
    };
    let own: Vec<usize> = (0..rows.len()).filter(|row| is_own(row) && !seen.contains(row)).collect();
    if own.is_empty() {
        report("no held-out row is unseen by the model and has only its labels: forgetting is not measured");
        return Ok(());
    }
    let rows = rows.select(own)?;
    let score = |model: &TextModel| -> Result<f64> {
        let rows = EncodedDataset { labels: model.labels.clone(), ..rows.clone() };
        let scored = results(model, Precision::F32, &rows, None, None)?.rows;
        Ok(own_row(&scored).map_or(f64::NAN, |row| row.accuracy.unwrap_or(row.score)))
    };
    let (was, is) = (score(before)?, score(after)?);
    let split = if texts.test.is_some() { "test" } else { "validation" };
    // A model without exits does not record its training texts.
    let unseen = match before.model {
        ServedModel::Dynamic(_) => ", without rows of its training",
        _ => ", some of which it may have learned from",
    };
    let (of, metric) = match task {
        Task::Class => (" of the classes that the model had", "accuracy"),
        Task::Labels => ("", "macro F1"),
        Task::Number => ("", "Pearson's correlation"),
    };
    report(&format!("on the {} {split} rows{of}{unseen}: {metric} {was:.4} before, {is:.4} now", rows.len()));
    Ok(())
}

/// Rejects validation rows if most of them repeat a training text, since no speed (exit threshold) can be selected on
/// them.
fn check_unseen(train: &EncodedDataset, validation: &EncodedDataset) -> Result<()> {
    let (seen, all) = (SeenTexts::new([train]).rows_of(validation).len(), validation.len());
    if 2 * seen <= all {
        return Ok(());
    }
    let got = format!("a source where {seen} of {all} validation rows have the text of a training row");
    Err(Error::argument("data", "texts that repeat less, or `--kind full`", got))
}
