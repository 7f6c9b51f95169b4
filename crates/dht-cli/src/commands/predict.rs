//! Command `dht predict`: reads a stream of texts and writes a stream of answers in the same order, in bounded memory.

mod partial;
mod partitions;
mod rows;
mod written;

pub(super) use rows::is_named_as_lines;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use dht_dynamic::transformer::data::{Given, LabelKind, TextFormat, TextRow};
use dht_dynamic::transformer::storage::writable_file;
use dht_dynamic::transformer::{ErrorKind, Precision, Task};
use dht_dynamic::{
    Answer, Engine, Error as DynamicError, Query,
    serving::{Origin, TextModel},
};
use partial::{Output, PartialFile};
use rows::{InputRow, RowReader, Source};
use written::{AnswerWriter, ExtraColumns, Outcome, OutputFormat};

use super::loaded::{Loaded, load};
use super::target::TargetArguments;
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::explanation::explain;
use crate::partitions::{Totals, url, write_file};
use crate::progress::report;
use crate::texts::{RowArguments, check_pair, other_columns_note};
use crate::training::{Interruption, saved_directory};

/// Maximum number of texts in one batch.
const ROWS: usize = 2048;
/// Maximum size of the rows in one batch, in bytes.
const BYTES: usize = 8 << 20;
/// Time to wait for further texts before a batch is answered.
const WAIT: Duration = Duration::from_millis(2);

/// File-name endings of compressed files, which are not supported as output.
const COMPRESSED: [&str; 5] = ["gz", "bz2", "xz", "zst", "zip"];
/// File-name endings of table formats that are not supported as output.
const TABLES: [&str; 5] = ["parquet", "feather", "arrow", "xlsx", "xls"];

/// Arguments of `dht predict`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dht predict news asked.csv --output answers.csv
  zcat asked.jsonl.gz | dht predict news --input-format jsonl | jq .predicted.label
  dht predict news 'Shares fell sharply'
  dht predict news --partitions IN/*.jsonl --output OUT/

Rows are written in their order: rows of csv and tsv files get the columns predicted, probability, route and cost; all
other rows are JSON lines with the member predicted. The cost is a share of the full model's FLOPs.")]
pub struct PredictArguments {
    /// Model: a directory that dht saved, a Hugging Face classifier's directory, hf:NAME or hf:NAME@REVISION on the
    /// hub, or s3://BUCKET/KEY/
    #[arg(value_name = "DIR|hf:NAME|s3:URL")]
    model: PathBuf,
    /// Files of texts: csv, tsv, jsonl or one text on each line, also .gz; - is standard input [default: standard
    /// input]
    ///
    /// An argument that contains a space and is not a file is itself a text.
    #[arg(value_name = "FILE|TEXT")]
    files: Vec<PathBuf>,
    /// Read the texts in this format [default: by the file's name; lines for standard input]
    #[arg(long, value_enum)]
    input_format: Option<Format>,
    /// Answer each of these files in a file of its own, together with other processes that run the same command.
    ///
    /// The paths are files, directories of files, or s3:// URLs (in a build with the feature s3). The same command may
    /// run in several processes and on several machines. Each partition is answered by one of them. Finished partitions
    /// are skipped, and the partition of a process that died is answered again. Each process waits until all partitions
    /// are answered, and then prints the totals as JSON.
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "files", requires = "output")]
    partitions: Vec<PathBuf>,
    /// Take over a partition in an object store if its worker has not renewed its claim for this number of seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "partitions",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    claim_seconds: u64,
    /// Write the answers to this file, either complete or not at all; with --partitions, to files in this directory
    /// [default: standard output, as they come]
    #[arg(long, value_name = "FILE|DIR", value_parser = output_path)]
    output: Option<PathBuf>,
    /// Continue a run that was stopped; give this flag in the first run, too.
    ///
    /// While the command runs, answers are in FILE.part and its progress in FILE.part.json; at the end FILE.part becomes
    /// FILE. The same command continues after the last saved row, and the result is the same file. Other models,
    /// settings or inputs are rejected, and so are inputs whose answered rows have changed; rows may be appended.
    #[arg(long, requires = "output", conflicts_with = "partitions")]
    resume: bool,
    /// Write the answers in this format [default: by the ending of --output, else that of the texts; jsonl for lines]
    #[arg(long, value_enum)]
    output_format: Option<OutputFormat>,
    #[command(flatten)]
    rows: RowArguments,
    /// Put this prefix before the names of the added columns, for files that already have such columns
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Limit the expected cost to this share of the full model's FLOPs.
    ///
    /// The speed is selected by its cost on held-out texts.
    #[arg(long, value_name = "SHARE", conflicts_with = "speed")]
    budget: Option<f64>,
    /// Set the speed; 0 runs all layers [default: the model's speed].
    ///
    /// At speed 0, an accelerated model still combines the answers of the original classifier and of the n-gram model.
    #[arg(long, value_name = "X")]
    speed: Option<f64>,
    /// Leave the label empty if the likeliest class has a probability below P, from 0 to 1
    ///
    /// `dht evaluate --min-probability` shows how many texts are then answered, and how many of these answers are
    /// right.
    #[arg(long, value_name = "P")]
    min_probability: Option<f32>,
    #[command(flatten)]
    target: TargetArguments,
    /// Run on this device: auto, cpu, cuda, cuda:N or metal
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Compute layers in f32, int8, bf16 or tf32.
    ///
    /// int8 requires a CPU and is faster with AVX-512 VNNI. bf16 requires CUDA or Metal, and tf32 requires CUDA.
    /// Answers change slightly.
    #[arg(long, value_name = "PRECISION", default_value_t)]
    precision: Precision,
    /// Treat rows that cannot be read, and rows without a text: stop with an error, leave them out, or write the reason.
    ///
    /// The reason is written to the column or member `error`. Stray and unclosed quotes in csv and tsv, a first row of
    /// csv, tsv or JSON lines that cannot be read, and problems of a whole file always stop the command. With fail, rows without a text are answered, and counted at the end.
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    on_error: OnError,
    /// Write the K likeliest classes: in JSON as the only probabilities; in csv and tsv as predicted_2, probability_2
    /// and so on
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Add to each answer the parts of the text that support it; requires answers as JSON lines
    ///
    /// An answer of the n-gram exit is explained exactly, as the sum of the weights of its tokens. For deeper exits,
    /// each word is left out in turn (occlusion). This costs one more answer for each word, at most 128 for a text.
    #[arg(long)]
    explain: bool,
    /// Print a summary of throughput and costs to standard error
    #[arg(long)]
    summary: bool,
    /// Print no notes about columns, texts that are cut, rows without a text, and rows with an error
    #[arg(long, conflicts_with = "summary")]
    quiet: bool,
}

/// Value of `--on-error`: treatment of rows that cannot be answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// Stop with an error at the first row that cannot be read
    #[default]
    Fail,
    /// Leave such rows out, and count them
    Skip,
    /// Write such rows with the reason, and count them
    Report,
}

/// Format of the input texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One text on each line
    Lines,
    /// Comma-separated
    Csv,
    /// Tab-separated
    Tsv,
    /// One JSON object on each line
    Jsonl,
}

impl From<Format> for TextFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Lines => Self::Lines,
            Format::Csv => Self::Csv,
            Format::Tsv => Self::Tsv,
            Format::Jsonl => Self::JsonLines,
        }
    }
}

/// Names of standard output. Opening one of them as a file would give a separate write position, so that output of
/// other programs could overwrite the answers.
const STANDARD: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Parses the output path. The name of a file must have the ending of a supported format.
fn output_path(name: &str) -> std::result::Result<PathBuf, String> {
    match name {
        _ if STANDARD.contains(&name) => Ok("-".into()),
        _ if is_directory(Path::new(name)) => Ok(name.into()),
        "csv" | "tsv" | "jsonl" => {
            Err(format!("it is a format: say `--output-format {name}`, and `--output` for a file"))
        }
        _ => writable_file(name).map_err(|error| error.to_string()),
    }
}

/// Returns whether a path can only be a directory: an object store's URL, an existing directory, or a path that ends
/// with a separator.
fn is_directory(path: &Path) -> bool {
    url(path).is_some() || path.is_dir() || path.to_string_lossy().ends_with(std::path::MAIN_SEPARATOR)
}

/// Runs `dht predict`: classifies all texts and writes the answers.
pub fn predict(arguments: &PredictArguments) -> Result<()> {
    let output = arguments.output.as_deref().unwrap_or(Path::new("-"));
    if arguments.partitions.is_empty() && is_directory(output) {
        return Err(Error::argument("output", "a file, without --partitions", output.display()));
    }
    if arguments.resume && output == Path::new("-") {
        return Err(Error::argument("resume", "a file as `--output`", "set for standard output"));
    }
    // The partial file takes the place of the output, which must not be a device, a pipe or a link.
    let is_other = |facts: std::fs::Metadata| !facts.is_file();
    if arguments.resume && output.symlink_metadata().is_ok_and(is_other) {
        return Err(Error::argument("output", "a regular file, with `--resume`", output.display()));
    }
    arguments.check_ending()?;
    arguments.check_output()?;
    let interruption = match arguments.partitions.is_empty() {
        true if arguments.resume => "the same command continues from the answers so far",
        true => "no answers are stored",
        false => "finished partitions stay",
    };
    Interruption::watch(move || interruption.into());
    let device = arguments.device.open_in(arguments.precision)?;
    let Loaded { model, sha256 } = load(&saved_directory(&arguments.model)?, &device)?;
    check_pair(arguments.rows.pair, model.origin.as_ref())?;
    arguments.check_top_k(&model)?;
    arguments.check_explain(&model)?;
    let speed = arguments.speed_of(&model)?;
    let origin = model.origin.clone();
    arguments.check_files()?;
    let model = match speed {
        Some(speed) => TextModel { model: model.model.with_speed(speed)?, ..model },
        None => model,
    };
    let target = arguments.target.select(&model, arguments.precision, &arguments.rows)?;
    target.iter().for_each(|target| report(&target.text()));
    let least = target.map(|target| target.min_probability).or(arguments.min_probability);
    let engine = Engine::from_model(model).with_precision(arguments.precision);
    let engine = match least {
        Some(least) => abstaining(engine, least)?,
        None => engine,
    };
    let kind = origin.as_ref().and_then(|origin| Some(origin.columns.as_ref()?.kind));
    let separator = if let Some(LabelKind::Several { separator }) = kind { separator } else { ',' };
    let predictor = Predictor { arguments, engine, least, origin, separator };
    if !arguments.partitions.is_empty() {
        return predictor.answer_partitions(output, sha256, &device);
    }
    let start = Instant::now();
    let totals = if output == Path::new("-") {
        predictor.answer_files(&mut std::io::BufWriter::new(std::io::stdout().lock()), output)?.1
    } else if arguments.resume {
        let partial = PartialFile::open(output, predictor.description_with_inputs(sha256, &device))?;
        let (partial, totals) = predictor.answer_files(partial, output)?;
        partial.finish(output)?;
        totals
    } else {
        write_file(output, |out: &mut dyn Write| Ok(predictor.answer_files(out, output)?.1))?
    };
    if totals.without_text > 0 && !arguments.quiet {
        let (count, all, line) = (totals.without_text, totals.rows, totals.first_without);
        report(&format!("{count} of {all} rows have no text, the first in line {line}: their answers mean nothing"));
    }
    predictor.end(&totals, start.elapsed());
    Ok(())
}

/// Configures an engine to abstain (give no answer) if the most likely class has a lower probability than `least`.
///
/// # Errors
/// [`Error::Argument`] if `least` is out of range, or the model is not for one class per text.
pub(super) fn abstaining(engine: Engine, least: f32) -> Result<Engine> {
    let refused = |expected| Error::argument("min-probability", expected, least);
    if engine.task() != Task::Class {
        return Err(refused("this flag left out: the model does not give one class for each text"));
    }
    if !(0.0..=1.0).contains(&least) {
        return Err(refused("a number from 0 to 1"));
    }
    Ok(engine.with_least_probability(least)?)
}

/// Returns the argument as a text to classify; `None` if it may be a path. A text has a space, is not an existing file,
/// and does not end like a file name.
fn text_of(path: &Path) -> Option<&str> {
    let is_text = |text: &&str| text.trim().contains(char::is_whitespace) || text.trim() != *text;
    let text = path.to_str().filter(is_text)?;
    let is_name = |text: &str| TextFormat::of_name(text).0 != TextFormat::Lines || text.ends_with(".txt");
    (!path.exists() && !is_name(text)).then_some(text)
}

/// Iterates over the rows that could be read. Their texts may be empty.
fn texts(rows: &[InputRow]) -> impl Iterator<Item = &TextRow> {
    rows.iter().filter_map(|row| match row {
        InputRow::Text(row) => Some(row),
        InputRow::Unreadable { .. } => None,
    })
}

/// Prints a summary of the predictions to standard error.
fn summarise(totals: &Totals, time: Duration) {
    let seconds = time.as_secs_f64();
    report(&format!(
        "{} texts in {seconds:.1} s, {:.0} a second; {:.3} of the full model's FLOPs",
        totals.rows,
        totals.rows as f64 / seconds.max(1e-9),
        totals.flops as f64 / totals.full_flops.max(1) as f64
    ));
}

fn query_of(row: &TextRow) -> Query<'_> {
    Query { text: &row.text, pair: row.pair.as_deref() }
}

/// Computes the answer to each row, or the reason why the row cannot be answered.
fn outcomes(engine: &Engine, rows: &[&TextRow], on_error: OnError) -> Result<Vec<std::result::Result<Answer, String>>> {
    if on_error != OnError::Fail {
        let has_text: Vec<&TextRow> = rows.iter().copied().filter(|row| !row.is_missing()).collect();
        if has_text.len() < rows.len() {
            let mut outcomes = outcomes(engine, &has_text, on_error)?.into_iter();
            let outcome = |row: &&TextRow| match row.is_missing() {
                true => Some(Err("the row has no text".to_owned())),
                false => outcomes.next(),
            };
            return Ok(rows.iter().filter_map(outcome).collect());
        }
    }
    let queries: Vec<Query<'_>> = rows.iter().map(|row| query_of(row)).collect();
    match engine.predict(&queries) {
        Ok(answers) => Ok(answers.into_iter().map(Ok).collect()),
        Err(error) if on_error == OnError::Fail || !is_of_text(&error) => Err(error.into()),
        // One text of the batch causes the error, so that each text is asked alone.
        Err(_) => {
            let alone = |query: &Query<'_>| match engine.predict(std::slice::from_ref(query)) {
                Ok(answers) => Ok(answers.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) if is_of_text(&error) => Ok(vec![Err(error.to_string())]),
                Err(error) => Err(error),
            };
            let answers = queries.iter().map(alone).collect::<dht_dynamic::Result<Vec<_>>>()?;
            Ok(answers.into_iter().flatten().collect())
        }
    }
}

/// Returns whether an error is caused by a single text and not by the model.
fn is_of_text(error: &DynamicError) -> bool {
    matches!(error.kind(), ErrorKind::Argument | ErrorKind::Data | ErrorKind::Limit)
}

pub(super) fn check_speed(speed: Option<f64>) -> Result<()> {
    match speed.filter(|speed| !(speed.is_finite() && *speed >= 0.0)) {
        Some(speed) => Err(Error::argument("speed", "a number of at least 0", speed)),
        None => Ok(()),
    }
}

/// Speed with the highest cost within a budget, a share of the full model's FLOPs.
pub(super) fn speed_within(model: &TextModel, budget: f64) -> Result<f64> {
    if model.curve.is_empty() {
        return Err(Error::argument(
            "budget",
            "this flag left out: the model runs all its layers for each text",
            budget,
        ));
    }
    if !(budget > 0.0 && budget <= 1.0) {
        return Err(Error::argument("budget", "a share of the full model's FLOPs above 0 and up to 1", budget));
    }
    let least = model.curve.iter().map(|point| point.flops_ratio).fold(f64::INFINITY, f64::min);
    let expected = || format!("a share of at least {least:.1e}, the least that this model costs");
    let point = model.speed_within(budget).ok_or_else(|| Error::argument("budget", expected(), budget))?;
    Ok(point.speed)
}

/// Model with the settings of one prediction run.
struct Predictor<'a> {
    arguments: &'a PredictArguments,
    engine: Engine,
    /// Minimum probability of an answer, below which the model gives none; `None` for no minimum.
    least: Option<f32>,
    origin: Option<Origin>,
    /// Separator between several labels in a cell.
    separator: char,
}

impl Predictor<'_> {
    /// Answers the texts of all input files in one output.
    fn answer_files<W: Output>(&self, out: W, path: &Path) -> Result<(W, Totals)> {
        let inputs = self.arguments.inputs();
        self.check_headers(&inputs, path)?;
        let mut totals = out.totals();
        let mut out = self.writer(out, path);
        for path in &inputs {
            let source = match text_of(path) {
                Some(text) => Source::of_text(text),
                None => Source::open(path, self.input_format())?,
            };
            self.answer_source(source, path, &mut out, &mut totals)?;
        }
        Ok((out.into_inner(), totals))
    }

    /// Rejects input files that cannot be read, or whose columns do not fit into one output, before any text is
    /// answered. Pipes can be read only once, and are therefore checked later.
    fn check_headers(&self, inputs: &[PathBuf], path: &Path) -> Result<()> {
        if inputs.len() < 2 {
            return Ok(());
        }
        let mut out = self.writer(std::io::sink(), path);
        let files = inputs.iter().filter(|path| text_of(path).is_none() && path.is_file());
        files
            .map(|path| self.begin(Source::open(path, self.input_format())?, path, &mut out))
            .try_for_each(|begun| begun.map(drop))
    }

    /// Starts reading an input, and begins its rows in the output.
    fn begin(&self, source: Source, path: &Path, out: &mut AnswerWriter<impl Output>) -> Result<RowReader> {
        if source.format() == TextFormat::Lines {
            let expected = "a table: csv, tsv or jsonl (`--input-format`)";
            self.arguments.rows.check_lines(&source.name(), expected)?;
        }
        let columns = self.arguments.rows.columns(source.format(), source.is_file(), self.origin.as_ref());
        let expected = columns.expected;
        let reader = RowReader::start(source, columns, self.arguments.on_error != OnError::Fail)
            .map_err(|error| if expected { error.of_other_columns("--text-column") } else { error })?;
        out.begin(path, reader.format(), reader.layout())?;
        Ok(reader)
    }

    /// Answers a batch of rows and writes the answers.
    fn answer(&self, rows: &[InputRow], out: &mut AnswerWriter<impl Output>, totals: &mut Totals) -> Result<()> {
        let on_error = self.arguments.on_error;
        let texts: Vec<&TextRow> = texts(rows).collect();
        let mut outcomes = outcomes(&self.engine, &texts, on_error)?.into_iter();
        for row in rows {
            let (line, outcome) = match row {
                InputRow::Text(row) => match outcomes.next() {
                    Some(outcome) => (row.line, outcome),
                    None => break,
                },
                InputRow::Unreadable { line, reason } => (*line, Err(reason.clone())),
            };
            totals.rows += 1;
            match (&outcome, row) {
                (Ok(answer), InputRow::Text(row)) => {
                    if row.is_missing() {
                        totals.without_text += 1;
                        totals.first_without = if totals.without_text == 1 { row.line } else { totals.first_without };
                    }
                    totals.cut += u64::from(answer.truncated);
                    totals.abstained += u64::from(answer.abstains);
                    totals.flops += u128::from(answer.flops);
                    totals.full_flops += u128::from(answer.full_flops);
                    let explanation = match self.arguments.explain {
                        true => Some(explain(&self.engine, query_of(row), answer)?),
                        false => None,
                    };
                    out.row(row, Outcome::Answer(answer, explanation.as_ref()))?;
                }
                (Err(reason), _) => {
                    totals.failed += 1;
                    totals.first_failed = if totals.failed == 1 { line } else { totals.first_failed };
                    match row {
                        _ if on_error != OnError::Report => {}
                        InputRow::Text(row) => out.row(row, Outcome::Error(reason))?,
                        InputRow::Unreadable { .. } => out.unreadable(line, reason)?,
                    }
                }
                (Ok(_), InputRow::Unreadable { .. }) => {}
            }
        }
        Ok(())
    }

    /// Prints the summary of the predictions, and the number of truncated texts.
    fn end(&self, totals: &Totals, time: Duration) {
        if self.arguments.summary {
            summarise(totals, time);
        }
        if self.least.is_some() && !self.arguments.quiet {
            report(&format!("{} of {} texts have no answer of that probability", totals.abstained, totals.rows));
        }
        // Rows that are left out are not mentioned anywhere else.
        if totals.failed > 0 && (!self.arguments.quiet || self.arguments.on_error == OnError::Skip) {
            let (count, all, line) = (totals.failed, totals.rows, totals.first_failed);
            let first = if line > 0 { format!(", the first in line {line}") } else { String::new() };
            report(&format!("{count} of {all} rows have no answer{first}"));
        }
        if totals.cut > 0 && !self.arguments.quiet {
            let most = self.engine.max_length();
            report(&format!("{} of {} texts are longer than {most} tokens and cut", totals.cut, totals.rows));
        }
    }

    fn writer<W: Output>(&self, out: W, path: &Path) -> AnswerWriter<W> {
        let extra = ExtraColumns {
            top_k: self.arguments.top_k,
            has_errors: self.arguments.on_error == OnError::Report,
            has_explanations: self.arguments.explain,
        };
        AnswerWriter::new(out, path, self.arguments.format(), (&self.arguments.prefix, extra), self.separator)
    }

    fn input_format(&self) -> Option<TextFormat> {
        self.arguments.input_format.map(TextFormat::from)
    }

    /// Warning that the first rows of a table have only numbers or class names as texts, so that the wrong column may
    /// be read; `None` for other rows.
    fn no_texts_note(&self, rows: &[&TextRow]) -> Option<String> {
        let labels = self.engine.labels();
        let is_none =
            |row: &&TextRow| row.text.parse::<f64>().is_ok() || labels.iter().any(|label| **label == *row.text);
        let is_table = rows.first().is_some_and(|row| !matches!(row.given, Given::Line(_)));
        (is_table && rows.iter().all(is_none)).then(|| {
            format!(
                "the first {} texts are numbers or names of classes, such as {:?}: is it the column of the texts (--text-column)?",
                rows.len(),
                rows[0].text
            )
        })
    }

    /// Answers the texts of one input, and writes the answers to the output.
    fn answer_source(
        &self,
        source: Source,
        path: &Path,
        out: &mut AnswerWriter<impl Output>,
        totals: &mut Totals,
    ) -> Result<()> {
        let has_own = self.arguments.rows.columns(source.format(), source.is_file(), self.origin.as_ref()).expected;
        let hint = |error: Error| if has_own { error.of_other_columns("--text-column") } else { error };
        let reader = self.begin(source, path, out)?;
        other_columns_note(reader.text(), self.origin.as_ref()).iter().for_each(|note| report(note));
        if !self.arguments.quiet {
            reader.doubt().into_iter().for_each(report);
        }
        let (mut is_first, mut is_empty) = (true, true);
        // The rows that were read before an error are answered.
        let failed = loop {
            let (rows, end) = reader.rows(ROWS, BYTES, WAIT);
            if std::mem::take(&mut is_first) {
                let texts: Vec<&TextRow> = texts(&rows).collect();
                self.no_texts_note(&texts).iter().for_each(|note| report(note));
                if !self.arguments.quiet && texts.iter().any(|row| row.has_labels()) {
                    report("note: labels in front of texts (__label__…) are left out");
                }
            }
            is_empty &= rows.is_empty();
            self.answer(&out.unanswered(rows)?, out, totals)?;
            out.flush()?;
            out.answered(totals, end.is_some())?;
            if let Some(end) = end {
                break end;
            }
        };
        if failed.is_ok() && is_empty && !self.arguments.quiet {
            report(&format!("{} has no text", path.display()));
        }
        failed.map_err(hint)
    }
}

impl PredictArguments {
    /// Rejects `--top-k` above the number of the model's classes.
    fn check_top_k(&self, model: &TextModel) -> Result<()> {
        let Some(most) = self.top_k else { return Ok(()) };
        let refused = |expected: String| Err(Error::argument("top-k", expected, most));
        match model.labels.len() {
            _ if model.task() != Task::Class => {
                refused("this flag left out: the model does not give one class for each text".into())
            }
            classes if !(1..=classes).contains(&most) => refused(format!("1 to {classes}, the classes of the model")),
            _ => Ok(()),
        }
    }

    /// Rejects `--explain` for multi-label and regression models.
    fn check_explain(&self, model: &TextModel) -> Result<()> {
        match self.explain && model.task() != Task::Class {
            true => Err(Error::argument(
                "explain",
                "this flag left out: the model does not give one class for each text",
                "set",
            )),
            false => Ok(()),
        }
    }

    fn speed_of(&self, model: &TextModel) -> Result<Option<f64>> {
        check_speed(self.speed)?;
        self.budget.map_or(Ok(self.speed), |budget| speed_within(model, budget).map(Some))
    }

    /// Output format, if a flag or the ending of the output file defines it.
    fn format(&self) -> Option<OutputFormat> {
        self.output_format.or_else(|| self.ending().and_then(OutputFormat::of_ending))
    }

    fn ending(&self) -> Option<&str> {
        let output = self.output.as_deref().filter(|_| self.partitions.is_empty())?;
        output.extension()?.to_str()
    }

    /// Rejects an output file whose ending contradicts `--output-format` or names a compression.
    fn check_ending(&self) -> Result<()> {
        let Some(ending) = self.ending() else { return Ok(()) };
        let refused =
            |expected: String| Err(Error::argument("output", expected, format!("a file that ends with .{ending}")));
        match (OutputFormat::of_ending(ending), self.output_format) {
            (Some(named), Some(asked)) if named != asked => {
                refused(format!("the ending .{} of --output-format {0}", asked.ending()))
            }
            (None, _) if COMPRESSED.iter().any(|own| ending.eq_ignore_ascii_case(own)) => refused(format!(
                "an ending without .{ending}: answers are not compressed; pipe them to a program that does"
            )),
            (None, _) if TABLES.iter().any(|own| ending.eq_ignore_ascii_case(own)) => {
                refused("csv, tsv or jsonl".into())
            }
            _ => Ok(()),
        }
    }

    /// Rejects an output path that is also an input.
    fn check_output(&self) -> Result<()> {
        let Some(output) = self.output.as_deref().and_then(|path| path.canonicalize().ok()) else { return Ok(()) };
        let is_input = |path: &PathBuf| {
            path.metadata().is_ok_and(|facts| facts.is_file()) && path.canonicalize().is_ok_and(|path| path == output)
        };
        match self.files.iter().chain(self.target.held_out()).find(|path| is_input(path)) {
            Some(path) => Err(Error::argument("output", "another file than the texts", path.display())),
            None => Ok(()),
        }
    }

    /// Paths of the inputs; `-` is standard input.
    fn inputs(&self) -> Vec<PathBuf> {
        if self.files.is_empty() { vec![PathBuf::from("-")] } else { self.files.clone() }
    }

    /// Rejects missing files before the first file is answered.
    fn check_files(&self) -> Result<()> {
        let named = self.files.iter().filter(|path| path.as_os_str() != "-" && text_of(path).is_none());
        named
            .map(|path| path.metadata().map_err(|source| Error::Io { path: path.clone(), source }))
            .try_for_each(|inputs| inputs.map(drop))
    }
}
