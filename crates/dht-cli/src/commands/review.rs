//! Command `dht review`: lists rows of labelled texts that a person should review.

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;
use dht_dynamic::accelerate::AccelerateSettings;
use dht_dynamic::exit::NgramSettings;
use dht_dynamic::ladder::{LadderSettings, LadderTexts, Rung, UnlessStill, climb};
use dht_dynamic::transformer::storage::{writable_file, write_atomically};
use dht_dynamic::transformer::{Dataset, EncodedDataset, Example, Pooling, Task, TextClassifier, TextTokenizer};

use super::output::print;
use crate::acceleration::{BATCH, exit_generator};
use crate::error::{Error, Result};
use crate::progress::{LadderProgress, report};
use crate::review::{Finding, PAIR, Problem, doubts, duplicates, findings, spellings};
use crate::texts::TextArguments;
use crate::training::{ModelChoice, Start};

/// Default maximum length of texts in tokens, for the encoder.
const MAX_LENGTH: usize = 128;
/// Maximum number of tokens of a text that the n-gram classifier reads beyond the encoder's maximum length.
const REST: usize = 4096;
/// Minimum number of rows, since the model that answers a row is fitted on only four fifths of the rows.
const LEAST_ROWS: usize = 20;

/// Arguments of `dht review`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dht review --data topics.csv --model all-MiniLM-L6-v2 > look.csv
  dht review --data topics.csv --model hf:sentence-transformers/all-MiniLM-L6-v2 --out look.csv --most 200")]
pub struct ReviewArguments {
    #[command(flatten)]
    texts: TextArguments,
    /// Pre-trained encoder: a Hugging Face directory, or hf:NAME. Do not use a model that was trained on these labels:
    /// it would confirm them
    #[arg(long, value_name = "DIR|hf:NAME")]
    model: ModelChoice,
    /// Cut texts at N tokens
    #[arg(long, value_name = "N", default_value_t = MAX_LENGTH)]
    max_length: usize,
    /// Write at most N rows
    #[arg(long, value_name = "N")]
    most: Option<usize>,
    /// Write the rows to this csv file [default: standard output]
    #[arg(long, value_name = "FILE", value_parser = writable_file)]
    out: Option<PathBuf>,
    /// Also write the out-of-fold probabilities of all rows to this csv file, with one column for each class
    ///
    /// Other tools for wrong labels read such probabilities.
    #[arg(long, value_name = "FILE", value_parser = writable_file)]
    probabilities: Option<PathBuf>,
    /// Seed of the folds
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print no progress and no notes
    #[arg(long)]
    quiet: bool,
}

/// Runs `dht review`: lists the rows of labelled texts that a person should review, most useful first.
///
/// Each row is answered by a model that is fitted on four fifths of the rows, without this row. The model has n-grams
/// and exits on a frozen encoder (rung 1 of `dht train`).
pub fn review(arguments: &ReviewArguments) -> Result<()> {
    let say = |line: &str| {
        if !arguments.quiet {
            report(line);
        }
    };
    let start = Start::load(&arguments.model)?;
    if matches!(start, Start::Scratch(_)) {
        return Err(Error::argument("model", "a pre-trained encoder", &arguments.model));
    }
    let mut texts = arguments.texts.clone();
    texts.source.table.seed = arguments.seed;
    let data = texts.read_training()?;
    if texts.task() != Task::Class {
        let got = format!("several labels or numbers in {}", arguments.texts.source.data.display());
        return Err(Error::argument("data", "one class for each text", got));
    }
    for (what, least, got) in [("rows", LEAST_ROWS, data.len()), ("classes", 2, data.labels.len())] {
        if got < least {
            return Err(Error::TooLittle { data: data.name.clone(), what, least, got });
        }
    }
    let config = start.config()?;
    if config.num_hidden_layers < 2 {
        return Err(Error::argument("model", "an encoder of at least 2 layers", &arguments.model));
    }
    let most = config.longest_text();
    if !(3..=most).contains(&arguments.max_length) {
        return Err(Error::argument("max-length", format!("3 to {most}, the model's positions"), arguments.max_length));
    }
    for group in spellings(&data.labels) {
        let names: Vec<String> = group.iter().map(|label| format!("{label:?}")).collect();
        report(&format!("one label in {} spellings? {}", names.len(), names.join(", ")));
    }
    let tokenizer = start.tokenizer(&data)?.with_rest(REST);
    let encoded = tokenizer.encode_all(&data, arguments.max_length)?;
    say(&format!("{}: {} rows, {} classes", data.name, data.len(), data.labels.len()));
    let labels: Vec<u32> = encoded.samples.iter().map(|sample| sample.label).collect();
    let answers = out_of_fold(arguments, &start, &tokenizer, &encoded)?;
    if let Some(path) = &arguments.probabilities {
        let table = probability_table(&data, &labels, answers.rows());
        write_atomically(path, |file| std::io::Write::write_all(file, table.as_bytes()))?;
    }
    let doubts = doubts(&labels, answers.rows());
    let texts: Vec<String> = data.examples.iter().map(|row| whole_text(row, PAIR)).collect();
    let duplicates = duplicates(&texts);
    let mut findings = findings(&labels, &duplicates, &doubts);
    let count = |of: fn(&Problem) -> bool| findings.iter().filter(|finding| of(&finding.problem)).count();
    say(&format!(
        "{} rows whose text has two labels, {} rows with a doubtful label, {} repeated texts",
        count(|problem| matches!(problem, Problem::TwoLabels { .. } | Problem::NearTwoLabels { .. })),
        count(|problem| matches!(problem, Problem::Label(_))),
        count(|problem| matches!(problem, Problem::Repeated { .. })),
    ));
    findings.truncate(arguments.most.unwrap_or(usize::MAX));
    let table = table(&data, &findings);
    match &arguments.out {
        Some(path) => Ok(write_atomically(path, |file| std::io::Write::write_all(file, table.as_bytes()))?),
        None => print(&table),
    }
}

/// Out-of-fold log-probabilities of each row: from an n-gram classifier and exits on the frozen encoder that were
/// fitted without this row.
fn out_of_fold(
    arguments: &ReviewArguments,
    start: &Start,
    tokenizer: &TextTokenizer,
    encoded: &EncodedDataset,
) -> Result<dht_dynamic::LogProbabilities> {
    let mut rng = exit_generator(arguments.seed);
    let encoder = start.encoder(tokenizer.vocabulary_size(), &Device::Cpu, &mut rng)?;
    let pooling = match start.pooling()? {
        Pooling::Pooler => Pooling::Mean,
        pooling => pooling,
    };
    let classifier = TextClassifier::new(encoder, encoded.labels.len(), pooling, &mut rng)?;
    let layers = classifier.encoder().layers();
    let ngram = NgramSettings { left_out: tokenizer.tokens_around()?, ..NgramSettings::default() };
    // No rows are held out, since all rows are cross-fitted.
    let exits = AccelerateSettings {
        ngram: Some(ngram),
        batch_size: BATCH,
        exits: Some(vec![layers / 2, layers]),
        side: None,
        least_held_out: usize::MAX,
        ..AccelerateSettings::default()
    };
    let settings = LadderSettings { least: Rung::Frozen, most: Rung::Frozen, exits, ..LadderSettings::default() };
    // Joins both parts again, in the order of the rows.
    let first = encoded.len() - encoded.len() / 10 - 1;
    let (training, validation) = (encoded.select(0..first)?, encoded.select(first..encoded.len())?);
    let texts = LadderTexts { training: &training, validation: &validation, joins: true };
    let mut progress = LadderProgress::new(arguments.quiet, Task::Class);
    let mut watch = |event: dht_dynamic::ladder::LadderEvent<'_>| progress.observe(event);
    let climbed = climb(&classifier, texts, &settings, &mut UnlessStill::default(), &mut watch, &mut rng)?;
    let missing = || Error::argument("data", "rows that are cross-fitted", "none");
    climbed.out_of_fold.and_then(|mut answers| answers.stages.pop()).ok_or_else(missing)
}

/// Text of a row. The two texts of a pair are joined by `between`.
fn whole_text(row: &Example, between: char) -> String {
    row.pair.as_ref().map_or_else(|| row.text.clone(), |pair| format!("{}{between}{pair}", row.text))
}

/// Formats a csv cell in quotes.
fn quoted(cell: &str) -> String {
    format!("\"{}\"", cell.replace('"', "\"\""))
}

/// Formats log-probabilities as csv: number of the row, its label, and the probability of each class.
fn probability_table<'a>(data: &Dataset, labels: &[u32], rows: impl Iterator<Item = &'a [f64]>) -> String {
    let names: Vec<String> = data.labels.iter().map(|label| quoted(label)).collect();
    let mut table = format!("row,label,{}\n", names.join(","));
    for (row, (label, logs)) in labels.iter().zip(rows).enumerate() {
        let cells: Vec<String> = logs.iter().map(|log| format!("{:.6}", log.exp())).collect();
        table += &format!("{},{},{}\n", row + 1, names[*label as usize], cells.join(","));
    }
    table
}

/// Formats the rows to look at as csv.
fn table(data: &Dataset, findings: &[Finding]) -> String {
    let mut table = "row,problem,label,suggested,p_label,p_suggested,other_row,text\n".to_owned();
    for Finding { row, problem } in findings {
        let (suggested, p_label, p_suggested, other) = match problem {
            Problem::Label(doubt) => {
                let p = |value: f64| format!("{value:.4}");
                (data.labels[doubt.suggested].clone(), p(doubt.of_label), p(doubt.of_suggested), String::new())
            }
            Problem::TwoLabels { other } | Problem::NearTwoLabels { other } => {
                let of_other = data.labels[data.examples[*other].label].clone();
                (of_other, String::new(), String::new(), (other + 1).to_string())
            }
            Problem::Repeated { other, .. } => (String::new(), String::new(), String::new(), (other + 1).to_string()),
        };
        let example = &data.examples[*row];
        let label = quoted(&data.labels[example.label]);
        let suggested = if suggested.is_empty() { suggested } else { quoted(&suggested) };
        let cells = [
            &(row + 1).to_string(),
            problem.name(),
            &label,
            &suggested,
            &p_label,
            &p_suggested,
            &other,
            &quoted(&whole_text(example, '\n')),
        ];
        table += &(cells.join(",") + "\n");
    }
    table
}
