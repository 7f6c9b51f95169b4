//! `dht accelerate`.

use std::path::PathBuf;

use clap::Args;
use dht_dynamic::accelerate::Texts;
use dht_dynamic::serving::{Origin, TextModel};
use dht_dynamic::transformer::data::{TextColumns, TextFormat, TextRow, TextStream};
use dht_dynamic::transformer::{Dataset, EncodedDataset, Example, Task, TextClassifier, TextTokenizer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::made::{MadeModel, check_target, finish, the_rows};
use super::predict::is_named_as_lines;
use crate::acceleration::{AccelerationTexts, REST, SpeedArguments, make_dynamic};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::progress::report;
use crate::texts::{SplitRequest, TextArguments, TextSplits, cut_note, shared_rows};
use crate::training::ModelChoice;

/// Maximum number of unlabelled texts that are read.
const MOST_UNLABELLED: usize = 200_000;
/// Fraction of the unlabelled texts that is held out to select settings.
const HELD_OUT_SHARE: f64 = 0.1;

/// Arguments of `dht accelerate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dht accelerate my-classifier --data reviews.csv --out fast
  dht accelerate my-classifier --data train.csv --validation dev.csv --out fast --points 1
  dht accelerate my-classifier --data reviews.txt --unlabelled --out fast --points 1

The classifier's weights do not change. Exits are best fitted on the texts that it was fine-tuned on. Settings and
promises require texts that it has not seen: give them with --validation, or use the held-out tenth of --data if
--data is new to it.")]
pub struct AccelerateArguments {
    /// Hugging Face directory of a fine-tuned classifier, or hf:NAME for a model on the hub
    classifier: ModelChoice,
    #[command(flatten)]
    texts: TextArguments,
    /// Read texts without labels, and use the classifier's own answers as labels
    #[arg(long, conflicts_with_all = ["label_column", "label_map", "task"])]
    unlabelled: bool,
    /// Select settings on the labelled texts of this file [default: a tenth of the rows of --data].
    ///
    /// The classifier must not have been fine-tuned on these texts. The file must have the columns of --data. With
    /// --points, which limits the loss of accuracy, some rows of the file verify that the limit holds.
    #[arg(long, value_name = "FILE", conflicts_with = "unlabelled")]
    validation: Option<PathBuf>,
    /// Write the model to this directory
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    speed: SpeedArguments,
    /// Cut texts at N tokens, and save this limit with the model [default: the classifier's `model_max_length`, but at
    /// most its number of positions]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Use N rows, sampled by the seed and stratified by class
    #[arg(long, value_name = "N")]
    train_rows: Option<usize>,
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Run on this device: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// Makes a fine-tuned classifier dynamic, scores it and saves it.
pub fn accelerate(arguments: &AccelerateArguments) -> Result<()> {
    arguments.speed.check()?;
    let replaced = check_target(&arguments.out)?;
    let Some(folder) = arguments.classifier.directory()? else {
        let expected = "a directory of a fine-tuned classifier";
        return Err(Error::argument("classifier", expected, &arguments.classifier));
    };
    if arguments.texts.task() != Task::Class {
        let got = arguments.texts.source.data.display();
        return Err(Error::argument(
            "data",
            "texts of one class each: labels and numbers leave no exit to choose",
            got,
        ));
    }
    let notes = arguments.texts.notes()?;
    if !arguments.quiet {
        replaced.iter().chain(&notes).for_each(|note| report(note));
    }
    let device = arguments.device.open()?;
    let classifier = TextClassifier::load(&folder, &device)?;
    let task = classifier.task();
    if task != Task::Class {
        let of = if task == Task::Number { "a number" } else { "several labels" };
        let expected =
            "a classifier of one class each: others leave no exit to choose (`dht train --kind full` fine-tunes them)";
        return Err(Error::argument("classifier", expected, format!("{}, of {of}", folder.display())));
    }
    if classifier.encoder().layers() < 2 {
        let expected = "at least 2 layers: one layer leaves nothing to choose";
        return Err(Error::argument("classifier", expected, format!("{}, of 1 layer", folder.display())));
    }
    let tokenizer = TextTokenizer::from_dir(&folder)?.with_rest(REST);
    let most = classifier.encoder().config().longest_text();
    let declared = tokenizer.model_max_length().map_or(most, |length| length.min(most));
    let max_length = arguments.max_length.unwrap_or(declared);
    if declared < 3 && arguments.max_length.is_none() {
        let expected = format!("3 to {most}: model_max_length in tokenizer_config.json is {declared}");
        return Err(Error::argument("max-length", expected, "not set"));
    }
    if !(3..=most).contains(&max_length) {
        return Err(Error::argument("max-length", format!("3 to {most}, the model's positions"), max_length));
    }
    let labels = classifier.class_names()?;
    let mut texts =
        if arguments.unlabelled { arguments.unlabelled_splits(&labels)? } else { arguments.splits(&labels)? };
    if texts.train.len() < Texts::LEAST {
        let (data, got) = (texts.train.name.clone(), texts.train.len());
        return Err(Error::TooLittle { data, what: "rows to fit exits on", least: Texts::LEAST, got });
    }
    let encode = |data: &Dataset| tokenizer.encode_all(data, max_length);
    let (train, held_out) = (encode(&texts.train)?, encode(&texts.validation)?);
    let calibration = texts.calibration.as_ref().map(encode).transpose()?;
    let test = texts.test.as_ref().map(encode).transpose()?;
    let shared = shared_rows(&texts.train, &texts.validation);
    let notes = texts.train.reading.iter().flat_map(|reading| reading.notes());
    let noted: Vec<String> = texts.warnings.iter().cloned().chain(notes).collect();
    texts.forget_texts();
    if !arguments.quiet {
        report(&format!("{}: {} texts, {} held out", texts.train.name, train.len(), held_out.len()));
        texts.notes.iter().for_each(|note| report(note));
        let reading = texts.train.reading.iter().flat_map(|reading| reading.lines());
        reading.for_each(|line| report(&format!("  {line}")));
        if shared > 0 {
            report(&format!(
                "  {shared} held-out rows have the text of a training row: speeds are chosen on what exits have seen"
            ));
        }
        if arguments.validation.is_none() && !arguments.unlabelled {
            report(
                "  held out are rows of the same texts: if the classifier was fine-tuned on them, give others with --validation",
            );
        }
    }
    let parts = [Some(&train), Some(&held_out), calibration.as_ref(), test.as_ref()];
    noted.into_iter().chain(cut_note(parts.into_iter().flatten(), max_length)).for_each(|note| report(&note));
    let given = AccelerationTexts {
        training: &train,
        held_out: Some(&held_out),
        calibration: calibration.as_ref(),
        labelled: !arguments.unlabelled,
    };
    let made = make_dynamic(&classifier, &tokenizer, given, &arguments.speed, arguments.seed)?;
    let origin = Origin {
        data: texts.train.name.clone(),
        rows: train.len(),
        sha256: texts.train.sha256.clone(),
        columns: texts.train.reading.clone(),
        pair: arguments.texts.is_pair(),
    };
    let how = format!(
        "It is {} with exits fitted in {:.0} seconds; its weights are as they were.",
        folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        made.report.seconds
    );
    let model = TextModel::new(made.model, tokenizer, &labels, max_length)?;
    let model = TextModel { curve: made.report.curve, promise: made.promise, origin: Some(origin), ..model };
    let (scored, scored_on) = match &test {
        Some(test) if !arguments.unlabelled => (test.clone(), the_rows(test.len(), "test")),
        _ if arguments.unlabelled => {
            let own = own_labels(&classifier, &held_out)?;
            (own, format!("{} held-out texts, against the classifier's own answers", held_out.len()))
        }
        _ => {
            let rows = the_rows(held_out.len(), "held-out");
            (held_out.clone(), format!("{rows}, on which all choices were made"))
        }
    };
    let metric = arguments.texts.metric().filter(|_| !arguments.unlabelled);
    let made_of = MadeModel {
        out: &arguments.out,
        how,
        scored: &scored,
        scored_on,
        out_of_fold: None,
        data: &arguments.texts.source.data,
        split: if test.is_some() && !arguments.unlabelled { "test" } else { "held-out" },
        metric,
        is_given: true,
        training: None,
        json: arguments.json,
    };
    finish(&model, made_of, &made.misses)
}

impl AccelerateArguments {
    /// Reads labelled texts and matches their labels with the classifier's classes.
    fn splits(&self, labels: &[String]) -> Result<TextSplits> {
        self.texts.read_splits(&SplitRequest {
            labels: Some(labels),
            rows: self.train_rows,
            validation: self.validation.as_deref(),
            keep: &|rows| self.speed.rows_to_keep(rows),
            keep_of_validation: &|rows| self.speed.rows_to_keep_of_validation(rows),
            seed: self.seed,
        })
    }

    /// Reads texts without labels and holds out one tenth of them.
    fn unlabelled_splits(&self, labels: &[String]) -> Result<TextSplits> {
        let most = self.train_rows.unwrap_or(MOST_UNLABELLED);
        // A data set of splits has labels, which are left aside.
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let data = &self.texts.source.data;
        let all = if self.texts.has_splits()? || data.extension().is_some_and(|name| name == "parquet") {
            let found = self.texts.read_training(None)?.sample(most, &mut rng);
            let examples = found.examples.into_iter().map(|row| Example { label: 0, targets: Vec::new(), ..row });
            let data = Dataset::from_examples(found.name, labels.to_vec(), examples.collect())?;
            Dataset { reading: found.reading, ..data }
        } else {
            self.unlabelled_file(labels, most, &mut rng)?
        };
        let keep = self.speed.rows_to_keep(all.len());
        if all.len() < 4 + keep {
            let (data, got) = (all.name.clone(), all.len());
            return Err(Error::TooLittle { data, what: "texts", least: 4 + keep, got });
        }
        let share = keep as f64 / all.len() as f64;
        let (rest, calibration) = match keep {
            0 => (all, None),
            _ => {
                let (rest, calibration) = all.split_validation(share, &mut rng)?;
                (rest, Some(calibration))
            }
        };
        let (train, validation) = rest.split_validation(HELD_OUT_SHARE, &mut rng)?;
        Ok(TextSplits {
            train,
            validation,
            is_validation_split_off: true,
            calibration,
            test: None,
            notes: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// Reads at most `most` texts of a file, sampled uniformly (reservoir sampling) and in file order.
    fn unlabelled_file(&self, labels: &[String], most: usize, rng: &mut ChaCha8Rng) -> Result<Dataset> {
        let path = &self.texts.source.data;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (format, compressed) = TextFormat::of_name(&name);
        let failed = |source| Error::Io { path: path.clone(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        let asked = &self.texts.source.table.rows;
        if format == TextFormat::Lines {
            if !is_named_as_lines(&name) {
                let expected = "a name that ends with .csv, .tsv, .jsonl, .parquet or, for one text on each line, .txt";
                return Err(Error::argument("data", expected, name));
            }
            asked.check_lines(&name, "a table: csv, tsv or jsonl")?;
        }
        let columns = TextColumns {
            text: asked.text_column.clone(),
            pair: asked.pair,
            header: asked.header(),
            look_ahead: true,
            ..TextColumns::default()
        };
        let mut rows = TextStream::new(path, file, format, compressed, columns)?;
        let mut kept: Vec<(usize, TextRow)> = Vec::new();
        let mut seen = 0;
        while let Some(row) = rows.next_row()? {
            if seen == 0 && row.is_of_table().is_some() {
                let expected = "lines of text, or a table whose name ends with .csv, .tsv or .jsonl";
                return Err(Error::argument("data", expected, format!("{name}, whose first line is one of a table")));
            }
            if row.text.is_empty() && row.pair.as_deref().is_none_or(str::is_empty) {
                continue;
            }
            if kept.len() < most {
                kept.push((seen, row));
            } else if let Some(place) = kept.get_mut(rng.random_range(0..=seen)) {
                *place = (seen, row);
            }
            seen += 1;
        }
        kept.sort_by_key(|(number, _)| *number);
        let example =
            |(_, row): (usize, TextRow)| Example { text: row.text, pair: row.pair, label: 0, targets: Vec::new() };
        let mut reading = rows.reading().cloned();
        reading.iter_mut().for_each(|reading| reading.rows = seen);
        let data = Dataset::from_examples(name, labels.to_vec(), kept.into_iter().map(example).collect())?;
        Ok(Dataset { reading, ..data })
    }
}

/// Copies the texts with the classifier's own answers as labels.
fn own_labels(classifier: &TextClassifier, texts: &EncodedDataset) -> Result<EncodedDataset> {
    let answers = classifier.probabilities_of_all(texts, crate::acceleration::BATCH)?;
    let mut texts = texts.clone();
    for (sample, answer) in texts.samples.iter_mut().zip(answers) {
        let best = |best: usize, class: usize| if answer[class] > answer[best] { class } else { best };
        sample.label = (1..answer.len()).fold(0, best) as u32;
    }
    Ok(texts)
}
