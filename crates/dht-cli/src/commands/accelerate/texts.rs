//! Reading of labelled and unlabelled texts for `dht accelerate`.

use std::fs::File;

use dht_dynamic::accelerate::Texts;
use dht_dynamic::serving::Origin;
use dht_dynamic::transformer::data::{TextFormat, TextRow, TextStream};
use dht_dynamic::transformer::{Dataset, Example, Task};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::arguments::AccelerateArguments;
use crate::commands::predict::is_named_as_lines;
use crate::error::{Error, Result};
use crate::texts::{Classes, SplitRequest, TextSplits};

/// Maximum number of unlabelled texts that are used.
const MOST_UNLABELLED: usize = 200_000;
/// Fraction of the unlabelled texts that is held out, to select the speed (exit threshold) on it.
const HELD_OUT_SHARE: f64 = 0.1;

impl AccelerateArguments {
    /// Reads the texts and splits them into training, validation, calibration and test rows. `labels` are the
    /// classifier's classes.
    pub(super) fn read_texts(&self, labels: &[String], origin: Option<&Origin>) -> Result<TextSplits> {
        let texts = match self.unlabelled {
            true => self.unlabelled_splits(labels, origin)?,
            false => self.labelled_splits(labels, origin)?,
        };
        if texts.train.len() < Texts::LEAST {
            let (data, got) = (texts.train.name.clone(), texts.train.len());
            return Err(Error::TooLittle { data, what: "rows to fit exits on", least: Texts::LEAST, got });
        }
        Ok(texts)
    }

    /// Reads labelled texts and matches their labels with the classifier's classes.
    fn labelled_splits(&self, labels: &[String], origin: Option<&Origin>) -> Result<TextSplits> {
        self.texts.read_splits(&SplitRequest {
            classes: Classes::Of(labels, origin),
            also: &[],
            rows: self.train_rows,
            validation: self.validation.as_deref(),
            keep: &|rows| self.speed.rows_to_keep(rows),
            keep_of_validation: &|rows| self.speed.rows_to_keep_of_validation(rows),
            seed: self.seed,
        })
    }

    /// Reads texts without labels, and holds out a tenth of them.
    fn unlabelled_splits(&self, labels: &[String], origin: Option<&Origin>) -> Result<TextSplits> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let all = self.read_unlabelled(labels, origin, &mut rng)?;
        let keep = self.speed.rows_to_keep(all.len());
        if all.len() < 4 + keep {
            let (data, got) = (all.name.clone(), all.len());
            return Err(Error::TooLittle { data, what: "texts", least: 4 + keep, got });
        }
        let share = keep as f64 / all.len() as f64;
        let (rest, calibration) = match keep {
            0 => (all, None),
            _ => {
                let (rest, calibration) = all.split_calibration(share, &mut rng)?;
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

    /// Reads texts from a file or a data set, without their labels. Each text gets the first class, or no label in a
    /// multi-label model.
    fn read_unlabelled(&self, labels: &[String], origin: Option<&Origin>, rng: &mut ChaCha8Rng) -> Result<Dataset> {
        let most = self.train_rows.unwrap_or(MOST_UNLABELLED);
        let targets = vec![0.0; if self.texts.task() == Task::Labels { labels.len() } else { 0 }];
        let is_parquet = self.texts.source.data.extension().is_some_and(|name| name == "parquet");
        let (name, examples, reading) = if self.texts.has_splits()? || is_parquet {
            let data = self.texts.read_training()?.sample(most, rng);
            let unlabelled = |row| Example { label: 0, targets: targets.clone(), ..row };
            (data.name, data.examples.into_iter().map(unlabelled).collect(), data.reading)
        } else {
            let (name, mut stream) = self.open_lines_or_table(origin)?;
            let (rows, read) = sample_rows(&mut stream, &name, most, rng)?;
            let example =
                |row: TextRow| Example { pair: row.pair, targets: targets.clone(), ..Example::new(row.text, 0) };
            let mut reading = stream.reading().cloned();
            reading.iter_mut().for_each(|reading| reading.rows = read);
            (name, rows.into_iter().map(example).collect(), reading)
        };
        let data = Dataset::from_examples(name, labels.to_vec(), examples)?;
        Ok(Dataset { reading, ..data })
    }

    /// Opens a file of texts, as lines or as a table. Also returns its name.
    fn open_lines_or_table(&self, origin: Option<&Origin>) -> Result<(String, TextStream<'static>)> {
        let path = &self.texts.source.data;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (format, compression) = TextFormat::of_name(&name);
        let file = File::open(path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let asked = &self.texts.source.table.rows;
        if format == TextFormat::Lines {
            if !is_named_as_lines(&name) {
                let expected = "a name that ends with .csv, .tsv, .jsonl, .parquet or, for one text on each line, .txt";
                return Err(Error::argument("data", expected, name));
            }
            asked.check_lines(&name, "a table: csv, tsv or jsonl")?;
        }
        let columns = asked.columns(format, true, origin);
        Ok((name, TextStream::new(path, file, format, compression, columns)?))
    }
}

/// Samples at most `most` rows with a text, uniformly (reservoir sampling) and in file order. Also counts all rows with
/// a text. `name` is the file's name.
fn sample_rows(
    rows: &mut TextStream<'_>,
    name: &str,
    most: usize,
    rng: &mut ChaCha8Rng,
) -> Result<(Vec<TextRow>, usize)> {
    let mut sample: Vec<(usize, TextRow)> = Vec::new();
    let mut seen = 0;
    while let Some(row) = rows.next_row()? {
        if seen == 0 && row.is_of_table().is_some() {
            let expected = "lines of text, or a table whose name ends with .csv, .tsv or .jsonl";
            return Err(Error::argument("data", expected, format!("{name}, whose first line is one of a table")));
        }
        if row.text.is_empty() && row.pair.as_deref().is_none_or(str::is_empty) {
            continue;
        }
        if sample.len() < most {
            sample.push((seen, row));
        } else if let Some(place) = sample.get_mut(rng.random_range(0..=seen)) {
            *place = (seen, row);
        }
        seen += 1;
    }
    sample.sort_by_key(|(number, _)| *number);
    Ok((sample.into_iter().map(|(_, row)| row).collect(), seen))
}
