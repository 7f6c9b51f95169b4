//! From a plan to encoded texts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use dht_transformer::{
    Dataset, DatasetReader, EncodedDataset, Example, TextTokenizer, data::Split, error::DataProblem,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::plan::{DataSource, Model, RunPlan};
use crate::corpus;
use crate::corpus::Difficulty;
use crate::error::{Error, Result};
use crate::record::DataRecord;

/// Tokens of a vocabulary that is learnt from training texts.
const LEARNT_VOCABULARY: usize = 8_000;
/// Training rows of the embedded corpus unless a number is given.
const EMBEDDED_TRAIN_ROWS: usize = 16_000;
/// Test rows of the embedded corpus unless a number is given.
const EMBEDDED_TEST_ROWS: usize = 2_000;
/// The share of the training rows that epochs are chosen on.
const VALIDATION_SHARE: f64 = 0.1;
/// Keys the split, apart from all other uses of the run's seed.
const VALIDATION_STREAM: u64 = 0x5661_6c69_6461_7465;
/// The embedded corpus is one data set: its texts do not change with the run's seed.
const TRAINING_TEXTS: u64 = 1;
const TEST_TEXTS: u64 = 2;

/// All that is trained and tested on.
#[derive(Debug, Clone)]
pub struct RunData {
    /// Names, rows and sums, for the run's record.
    pub record: DataRecord,
    /// What turned texts into tokens: the model's, or one made for the training texts.
    pub tokenizer: TextTokenizer,
    /// The rows to learn from.
    pub train: EncodedDataset,
    /// A tenth of the training file, to choose epochs on.
    pub validation: EncodedDataset,
    /// The rows to report on.
    pub test: EncodedDataset,
    /// The difficulty of each test row of the embedded corpus; empty for other data.
    pub test_difficulties: Vec<Difficulty>,
    /// Wall clock of turning texts into tokens.
    pub tokenizing_seconds: f64,
}

impl RunData {
    /// Reads or generates the texts of a plan, splits off the validation rows and encodes all.
    ///
    /// # Errors
    /// [`Error::Transformer`] with the file and the line for all that is wrong with files, and for a model directory
    /// without a tokenizer; [`Error::TooLittle`] for fewer than two training rows or two classes.
    pub fn load(plan: &RunPlan) -> Result<Self> {
        let Texts { train, test, test_difficulties, words } = match &plan.data {
            DataSource::Embedded => embedded(plan)?,
            DataSource::Directory { folder, text, label, pair } => {
                let mut reader = DatasetReader::new().pair(*pair);
                if !text.is_empty() {
                    reader = reader.text_columns(text.iter().cloned());
                }
                if let Some(label) = label {
                    reader = reader.label_column(label.clone());
                }
                from_files(&reader, folder, plan)?
            }
        };
        for (what, got) in [("rows", train.len()), ("classes", train.labels.len())] {
            if got < 2 {
                return Err(Error::TooLittle { data: train.name, what, least: 2, got });
            }
        }
        let name = match plan.data {
            DataSource::Embedded => "embedded corpus".into(),
            DataSource::Directory { .. } => train.name.trim_end_matches("/train").to_owned(),
        };
        let (sha256, test_sha256) = (train.sha256.clone(), test.sha256.clone());
        let (classes, columns) = (train.labels.clone(), train.columns.clone());
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        rng.set_stream(VALIDATION_STREAM);
        let (train, validation) = train.split_validation(VALIDATION_SHARE, &mut rng)?;
        let tokenizer = tokenizer_of(&plan.model, &train, words)?;
        let start = Instant::now();
        let encode = |data: &Dataset| tokenizer.encode_all(data, plan.max_length);
        let [train, validation, test] = [encode(&train)?, encode(&validation)?, encode(&test)?];
        let tokenizing_seconds = start.elapsed().as_secs_f64();
        let record = DataRecord {
            name,
            train_rows: train.len(),
            validation_rows: validation.len(),
            test_rows: test.len(),
            truncated_rows: [&train, &validation, &test].iter().map(|data| data.truncated_rows).sum(),
            classes,
            columns,
            sha256,
            test_sha256,
        };
        Ok(Self { record, tokenizer, train, validation, test, test_difficulties, tokenizing_seconds })
    }
}

/// Texts before they are split and encoded.
struct Texts {
    train: Dataset,
    test: Dataset,
    test_difficulties: Vec<Difficulty>,
    /// All words that there are, when they are known.
    words: Option<Vec<String>>,
}

/// Generated texts; a training text that is also a test text is passed over.
fn embedded(plan: &RunPlan) -> Result<Texts> {
    let labels = || corpus::LABELS.map(String::from).to_vec();
    let examples = |texts: Vec<corpus::GeneratedText>| {
        texts
            .into_iter()
            .map(|text| Example { text: text.text, pair: None, label: text.label, targets: Vec::new() })
            .collect()
    };
    let test = corpus::generate(plan.test_rows.unwrap_or(EMBEDDED_TEST_ROWS), TEST_TEXTS);
    let test_difficulties = test.iter().map(|text| text.difficulty).collect();
    let tested: BTreeSet<&str> = test.iter().map(|text| text.text.as_str()).collect();
    let wanted = plan.train_rows.unwrap_or(EMBEDDED_TRAIN_ROWS);
    // One in a hundred is passed over: an eighth more is more than enough.
    let mut train = corpus::generate(wanted + wanted / 8 + 64, TRAINING_TEXTS);
    train.retain(|text| !tested.contains(text.text.as_str()));
    train.truncate(wanted);
    Ok(Texts {
        train: Dataset::from_examples("embedded corpus, training part", labels(), examples(train))?,
        test: Dataset::from_examples("embedded corpus, test part", labels(), examples(test))?,
        test_difficulties,
        words: Some(corpus::vocabulary()),
    })
}

fn from_files(reader: &DatasetReader, folder: &Path, plan: &RunPlan) -> Result<Texts> {
    let train = reader.read(DatasetReader::find(folder, Split::Train)?)?;
    let test = DatasetReader::new().like(&train).read(test_file(folder)?)?;
    let first = |data: Dataset, rows: Option<usize>| data.take(rows.unwrap_or(usize::MAX));
    Ok(Texts {
        train: first(train, plan.train_rows),
        test: first(test, plan.test_rows),
        test_difficulties: Vec::new(),
        words: None,
    })
}

/// `test.*`, or else `dev.*`.
fn test_file(folder: &Path) -> Result<PathBuf> {
    let is_missing = |error: &dht_transformer::Error| {
        matches!(error, dht_transformer::Error::Data { problem: DataProblem::NoSuchSplit { .. }, .. })
    };
    match DatasetReader::find(folder, Split::Test) {
        Err(error) if is_missing(&error) => match DatasetReader::find(folder, Split::Dev) {
            Err(error) if is_missing(&error) => {
                let wanted = "test.csv, test.tsv, test.jsonl, dev.csv, dev.tsv, dev.jsonl (or with .gz)".into();
                let problem = DataProblem::NoSuchSplit { wanted };
                Err(dht_transformer::Error::Data { path: folder.into(), line: None, problem }.into())
            }
            found => Ok(found?),
        },
        found => Ok(found?),
    }
}

/// The model's tokenizer, or one of all known words, or one learnt from the training texts.
fn tokenizer_of(model: &Model, train: &Dataset, words: Option<Vec<String>>) -> Result<TextTokenizer> {
    Ok(match (model, words) {
        (Model::Directory(folder), _) => TextTokenizer::from_dir(folder)?,
        (Model::Size(_), Some(words)) => TextTokenizer::from_vocabulary(&words)?,
        (Model::Size(_), None) => {
            let texts = train.examples.iter().flat_map(|row| [Some(row.text.as_str()), row.pair.as_deref()]);
            TextTokenizer::train(texts.flatten(), LEARNT_VOCABULARY)?
        }
    })
}

#[cfg(test)]
mod tests;
