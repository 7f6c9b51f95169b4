//! Data of a run: reading or generating texts, splitting, and tokenisation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dht_transformer::{
    Dataset, DatasetReader, EncodedDataset, Example, TextTokenizer,
    data::{NamedDataset, Split, generated::GeneratedText},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::choices::{DataSource, Model};
use super::plan::RunPlan;
use crate::error::{Error, Result};
use crate::record::DataRecord;

/// Size of a vocabulary that is learned from the training texts.
const TRAINED_VOCABULARY: usize = 8_000;
const EMBEDDED_TRAIN_ROWS: usize = 16_000;
const EMBEDDED_TEST_ROWS: usize = 2_000;
/// Maximum number of tokens after the maximum text length that are stored for the n-gram model, which reads longer
/// texts than the encoder.
const MOST_REST: usize = 4_096;
const VALIDATION_SHARE: f64 = 0.1;
/// Number of the random stream that selects validation rows.
const VALIDATION_STREAM: u64 = 0x5661_6c69_6461_7465;
/// File name of a list of SHA-256 checksums.
const SUMS: &str = "SHA256SUMS";
/// Number of directories in which a list of checksums is searched: the directory of the data file and those above it.
const SUMS_ABOVE: usize = 3;
/// Seed of the generated training texts. It does not depend on the run's seed, so that the generated texts are a fixed
/// data set.
const TRAINING_TEXTS: u64 = 1;
/// Seed of the generated test texts, which does not depend on the run's seed.
const TEST_TEXTS: u64 = 2;

/// Encoded texts of a run, with their tokenizer.
#[derive(Debug, Clone)]
pub struct RunData {
    /// Description of the data for the result file: name, rows and checksums.
    pub record: DataRecord,
    /// Tokenizer of the pre-trained model or, without one, a tokenizer built for the training texts.
    pub tokenizer: TextTokenizer,
    /// Training rows.
    pub train: EncodedDataset,
    /// Validation rows, a tenth of the training rows.
    pub validation: EncodedDataset,
    /// Test rows.
    pub test: EncodedDataset,
}

impl RunData {
    /// Reads or generates the texts of a plan, splits off the validation rows, and encodes all texts.
    ///
    /// # Errors
    /// [`Error::Transformer`] with file and line for files that cannot be read, and for a model directory without a
    /// tokenizer; [`Error::TooLittle`] for fewer than two training rows or two classes.
    pub fn load(plan: &RunPlan) -> Result<Self> {
        let Texts { train, test, words } = match &plan.data {
            DataSource::Embedded => embedded(plan)?,
            DataSource::Directory { folder, text, label, pair } => {
                let as_asked = *pair || !text.is_empty() || label.is_some();
                let reader = if as_asked { DatasetReader::new() } else { NamedDataset::reader_of_files(folder) };
                let mut reader = reader.with_pair(*pair);
                if !text.is_empty() {
                    reader = reader.with_text_columns(text.iter().cloned());
                }
                if let Some(label) = label {
                    reader = reader.with_label_column(label.clone());
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
        let (classes, columns) = (train.labels.clone(), train.reading.clone());
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        rng.set_stream(VALIDATION_STREAM);
        let (train, validation) = train.split_validation(VALIDATION_SHARE, &mut rng)?;
        // The n-gram model also reads the tokens beyond the maximum length.
        let tokenizer = tokenizer_of(&plan.model, &train, words)?.with_rest(MOST_REST);
        let encode = |data: &Dataset| tokenizer.encode_all(data, plan.max_length);
        let [train, validation, test] = [encode(&train)?, encode(&validation)?, encode(&test)?];
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
        Ok(Self { record, tokenizer, train, validation, test })
    }

    /// Renumbers the classes in the order of `labels`, to match a classifier's. Returns `false` and changes nothing if
    /// `labels` lacks a class.
    pub fn order_classes(&mut self, labels: &[String]) -> bool {
        let own = &self.train.labels;
        let place = |label: &String| labels.iter().position(|other| other == label);
        let Some(places) = own.iter().map(place).collect::<Option<Vec<usize>>>() else { return false };
        for data in [&mut self.train, &mut self.validation, &mut self.test] {
            data.samples.iter_mut().for_each(|sample| sample.label = places[sample.label as usize] as u32);
            data.labels = labels.to_vec();
        }
        self.record.classes = labels.to_vec();
        true
    }
}

/// Texts before splitting and encoding.
struct Texts {
    train: Dataset,
    test: Dataset,
    /// Complete vocabulary of generated texts; `None` for texts from files.
    words: Option<Vec<String>>,
}

/// Generates training and test texts. Training texts that equal a test text are dropped.
fn embedded(plan: &RunPlan) -> Result<Texts> {
    let labels = || GeneratedText::LABELS.map(String::from).to_vec();
    let examples =
        |texts: Vec<GeneratedText>| texts.into_iter().map(|text| Example::new(text.text, text.label)).collect();
    let test = GeneratedText::generate(plan.test_rows.unwrap_or(EMBEDDED_TEST_ROWS), TEST_TEXTS);
    let test_texts: BTreeSet<&str> = test.iter().map(|text| text.text.as_str()).collect();
    let rows = plan.train_rows.unwrap_or(EMBEDDED_TRAIN_ROWS);
    // About one text in a hundred is dropped; an eighth more rows are enough.
    let mut train = GeneratedText::generate(rows + rows / 8 + 64, TRAINING_TEXTS);
    train.retain(|text| !test_texts.contains(text.text.as_str()));
    train.truncate(rows);
    Ok(Texts {
        train: Dataset::from_examples("embedded corpus, training part", labels(), examples(train))?,
        test: Dataset::from_examples("embedded corpus, test part", labels(), examples(test))?,
        words: Some(GeneratedText::vocabulary()),
    })
}

fn from_files(reader: &DatasetReader, folder: &Path, plan: &RunPlan) -> Result<Texts> {
    let read = |reader: &DatasetReader, file: PathBuf| -> Result<Dataset> {
        let data = reader.read(&file)?;
        check_sum(&file, &data.sha256)?;
        Ok(data)
    };
    let train = read(reader, DatasetReader::find(folder, Split::Train)?)?;
    let test = read(&DatasetReader::new().like(&train), DatasetReader::find_test(folder)?)?;
    let first = |data: Dataset, rows: Option<usize>| data.take(rows.unwrap_or(usize::MAX));
    let mut test = first(test, plan.test_rows);
    let first_later = plan.train_rows.unwrap_or(usize::MAX).saturating_add(plan.skip_rows);
    let later = train.examples.iter().skip(first_later).take(plan.extra_test_rows);
    test.examples.extend(later.cloned());
    Ok(Texts { train: first(train, plan.train_rows), test, words: None })
}

/// Rejects a file whose checksum differs from its entry in a file `SHA256SUMS`, for example after an incomplete
/// download. `SHA256SUMS` is searched in the file's directory and the directories above.
fn check_sum(file: &Path, actual: &str) -> Result<()> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.into());
    for folder in file.ancestors().skip(1).take(SUMS_ABOVE) {
        let Ok(sums) = std::fs::read_to_string(folder.join(SUMS)) else { continue };
        // A line is `<sum>  <path>`. The path is relative to the directory of the checksum file, or begins with that
        // directory's name.
        let listed = sums.lines().filter_map(|line| line.split_once(char::is_whitespace)).find(|(_, path)| {
            let path = Path::new(path.trim_start_matches([' ', '*']));
            let below = file.strip_prefix(folder).is_ok_and(|below| below == path);
            below || folder.parent().is_some_and(|above| file.strip_prefix(above).is_ok_and(|below| below == path))
        });
        if let Some((expected, _)) = listed {
            if expected.eq_ignore_ascii_case(actual) {
                return Ok(());
            }
            let sums = folder.join(SUMS);
            return Err(Error::Checksum { path: file.clone(), sums, expected: expected.into(), found: actual.into() });
        }
    }
    Ok(())
}

/// Returns the tokenizer of a pre-trained model. For a model that is trained from scratch, builds a tokenizer with the
/// vocabulary `words` or, without it, from the training texts.
fn tokenizer_of(model: &Model, train: &Dataset, words: Option<Vec<String>>) -> Result<TextTokenizer> {
    Ok(match (model, words) {
        (Model::Directory(folder), _) => TextTokenizer::from_dir(folder)?,
        (Model::Size(_), Some(words)) => TextTokenizer::from_vocabulary(&words)?,
        (Model::Size(_), None) => {
            let texts = train.examples.iter().flat_map(|row| [Some(row.text.as_str()), row.pair.as_deref()]);
            TextTokenizer::train(texts.flatten(), TRAINED_VOCABULARY)?
        }
    })
}

#[cfg(test)]
mod tests;
