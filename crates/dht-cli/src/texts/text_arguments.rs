//! Reading and splitting of the labelled texts that flags select.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use clap::Args;
use dht_dynamic::serving::Origin;
use dht_dynamic::transformer::data::{Column, LabelKind, Metric};
use dht_dynamic::transformer::error::DataProblem;
use dht_dynamic::transformer::{Dataset, DatasetReader, Error as TransformerError, Task};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::arguments::{DataArguments, RowArguments, TaskChoice, check_pair};
use super::report::mapping_note;
use super::source::{self, Source, SplitFiles, is_hidden, lacks_column};
use super::splits::{Classes, SplitRequest, TextSplits};
use crate::error::{Error, Result};

/// Fraction of the training rows that are split off as validation rows.
const VALIDATION_SHARE: f64 = 0.1;
/// ChaCha stream number of the random generator that splits off validation rows.
const VALIDATION_STREAM: u64 = 0x5661_6c69_6461_7465;
const CALIBRATION_STREAM: u64 = 0x4361_6c69_6272_6174;
const SAMPLE_STREAM: u64 = 0x5361_6d70_6c65_0000;

/// Flags for finding and reading labelled texts.
#[derive(Debug, Clone, Args)]
pub struct TextArguments {
    #[command(flatten)]
    pub source: DataArguments,
    /// Source that `--data` names, opened on first use.
    #[arg(skip)]
    opened: OnceCell<Source>,
    /// Cell that is set once rows were read whose labels are lists or several columns.
    #[arg(skip)]
    has_several_labels: OnceCell<()>,
}

impl TextArguments {
    /// Creates arguments for a data source that other flags name.
    pub fn new(source: DataArguments) -> Self {
        Self { source, opened: OnceCell::new(), has_several_labels: OnceCell::new() }
    }

    /// Source of the texts; it is opened on first use.
    fn source(&self) -> Result<&Source> {
        self.source.table.check()?;
        let opened = match self.opened.get() {
            Some(opened) => opened.clone(),
            None => Source::open(&self.source.data)?,
        };
        Ok(self.opened.get_or_init(|| opened))
    }

    /// Notes on the size of a data set on the hub and on its scored rows; none for local files.
    ///
    /// # Errors
    /// [`Error::UnknownData`] if the value is neither a path nor a name; [`Error::Transformer`] if the hub fails.
    pub fn notes(&self) -> Result<Vec<String>> {
        Ok(self.source()?.notes())
    }

    /// Returns whether the data set is more than one file.
    ///
    /// # Errors
    /// Errors of [`notes`](Self::notes).
    pub fn has_splits(&self) -> Result<bool> {
        Ok(self.source()?.has_splits())
    }

    /// Returns whether texts are pairs, by the flags or the known data set.
    pub fn is_pair(&self) -> bool {
        let RowArguments { pair, text_column, .. } = &self.source.table.rows;
        *pair || text_column.is_empty() && source::known(&self.source.data).is_some_and(|known| known.pair)
    }

    /// Describes the training data of a model that was trained on `rows` rows of `train`, whose texts may have been
    /// dropped.
    pub fn origin(&self, train: &Dataset, rows: usize) -> Origin {
        Origin {
            data: train.name.clone(),
            rows,
            sha256: train.sha256.clone(),
            columns: train.reading.clone(),
            pair: self.is_pair() || train.reading.as_ref().is_some_and(|reading| reading.pair),
        }
    }

    /// Metric that the literature reports for a known data set; `None` for other data.
    pub fn metric(&self) -> Option<Metric> {
        source::known(&self.source.data).map(|known| known.metric)
    }

    /// Task of the texts, by the flags or the known data set. After the rows are read, labels in lists or in several
    /// columns count too.
    pub fn task(&self) -> Task {
        match self.source.table.labels.task {
            Some(TaskChoice::Labels) => Task::Labels,
            Some(TaskChoice::Number | TaskChoice::Rating) => Task::Number,
            Some(TaskChoice::Class) => Task::Class,
            None if self.has_several_labels.get().is_some() => Task::Labels,
            None if source::known(&self.source.data).is_some_and(|known| known.has_numbers()) => Task::Number,
            None => Task::Class,
        }
    }

    /// Returns whether the task is a rating: each answer must be one of the numbers of the training rows.
    pub fn is_rating(&self) -> bool {
        self.source.table.labels.task == Some(TaskChoice::Rating)
    }

    /// Copies these arguments, with the task, label separator and use of pairs of a model.
    ///
    /// # Errors
    /// Errors of [`check_task`](Self::check_task) and [`check_pair`].
    pub fn of_model(&self, task: Task, origin: Option<&Origin>) -> Result<Self> {
        self.check_task(task)?;
        check_pair(self.source.table.rows.pair, origin)?;
        let mut own = self.clone();
        let labels = &mut own.source.table.labels;
        labels.label_separator = (task == Task::Labels).then(|| labels.separator(origin));
        labels.task = Some(match task {
            Task::Class => TaskChoice::Class,
            Task::Labels => TaskChoice::Labels,
            Task::Number if self.is_rating() => TaskChoice::Rating,
            Task::Number => TaskChoice::Number,
        });
        // If the model is for pairs, two named columns are one pair.
        own.source.table.rows.pair |=
            origin.is_some_and(|origin| origin.pair) && [0, 2].contains(&own.source.table.rows.text_column.len());
        Ok(own)
    }

    /// Rejects flags that select another task than the model's.
    ///
    /// # Errors
    /// [`Error::Argument`] if the tasks differ.
    pub fn check_task(&self, trained: Task) -> Result<()> {
        let name = |task| match task {
            Task::Class => "class",
            Task::Labels => "labels",
            Task::Number => "number",
        };
        let asked = self.source.table.labels.task.map(|_| self.task()).filter(|asked| *asked != trained);
        asked.map_or(Ok(()), |asked| {
            Err(Error::argument("task", format!("{}, which the model was trained for", name(trained)), name(asked)))
        })
    }

    /// Creates a reader with the columns that the flags name, or with those of a known data set (with a short name such
    /// as `ag_news`).
    fn reader(&self, source: &Source) -> DatasetReader {
        let reader = source.reader();
        if self.source.table.rows.text_column.is_empty() { reader } else { reader.with_pair(false) }
    }

    /// Reads the training file, or the only file. Labels that are numbers become class names if a directory has a
    /// `classes.txt`.
    ///
    /// # Errors
    /// Errors of [`notes`](Self::notes); [`Error::Transformer`] with file and line if a row cannot be read.
    pub fn read_training(&self) -> Result<Dataset> {
        let source = self.source()?;
        let reader = self.source.table.asked_of_training(self.reader(source));
        let files = source.training()?;
        let data = files.read(&reader)?;
        self.note_kind(&data);
        let is_numbered = self.task() == Task::Class && data.labels.iter().all(|label| label.parse::<u32>().is_ok());
        match source.class_names()?.filter(|_| is_numbered) {
            Some(names) => files.read(&reader.with_labels(names)),
            None => Ok(data),
        }
    }

    /// Records that the rows have several labels each, if they were read from lists or from several columns.
    fn note_kind(&self, data: &Dataset) {
        if data.reading.as_ref().is_some_and(|reading| matches!(reading.kind, LabelKind::Several { .. })) {
            let _ = self.has_several_labels.set(());
        }
    }

    /// Reads the training file and additional sources, whose columns must have the same names. The classes are those of
    /// a model (`known`), followed by further labels of the rows. Columns come from the flags or the known data set,
    /// otherwise from the model's training data (`origin`).
    fn read_joined(&self, known: &[String], origin: Option<&Origin>, also: &[PathBuf]) -> Result<Dataset> {
        let (source, table) = (self.source()?, &self.source.table);
        let training = source.training()?;
        let reader = || table.asked_of_training(self.of_training(self.reader(source), origin, &training));
        let own = training.read(&reader())?;
        self.note_kind(&own);
        let further = also.iter().map(|path| Source::open(path)?.training()).collect::<Result<Vec<_>>>()?;
        // Each file determines its own labels.
        let columns = own.reading.iter().fold(DatasetReader::new(), |reader, reading| reader.with_reading(reading));
        let columns = columns.with_label_mapping([]);
        let others = further.iter().map(|files| files.read(&columns)).collect::<Result<Vec<_>>>()?;
        let mut labels = known.to_vec();
        for data in std::iter::once(&own).chain(&others) {
            self.add_labels(&mut labels, known, data)?;
        }
        let mut joined = training.read(&reader().with_labels(labels))?;
        for files in &further {
            let (reading, other) = (joined.reading.clone(), files.read(&table.like(&joined))?);
            joined = Dataset { reading, ..joined.concatenate(other)? };
        }
        Ok(joined)
    }

    /// Adds the labels of a file that are not known yet. A label that differs from a known class only in case or outer
    /// spaces is not added, nor is a number if classes have names. Such labels are matched with the known classes as in
    /// `dht evaluate`, or rejected.
    fn add_labels(&self, labels: &mut Vec<String>, known: &[String], data: &Dataset) -> Result<()> {
        let is_number = |label: &String| {
            let digits = label.strip_prefix("LABEL_").unwrap_or(label);
            digits.parse::<f64>().is_ok()
        };
        if !known.is_empty() && self.task() == Task::Number {
            return Ok(());
        }
        // If all classes are numbers, further numbers become classes.
        let takes_numbers = known.iter().all(|label| label.parse::<f64>().is_ok());
        for label in data.labels.iter().filter(|label| takes_numbers || !is_number(label)) {
            // Also `1.0` and `1` are one label.
            let value = |label: &str| label.trim().parse::<f64>().ok();
            let is_spelled_so = |known: &&String| {
                known.trim().to_lowercase() == label.trim().to_lowercase()
                    || value(known).is_some_and(|known| value(label) == Some(known))
            };
            match labels.iter().find(is_spelled_so) {
                Some(own) if own != label && !known.contains(own) => {
                    let (first, second) = (format!("{own:?}"), format!("{label:?}"));
                    return Err(self.refuse(DataProblem::TwoSpellings { first, second }));
                }
                Some(_) => {}
                None => labels.push(label.clone()),
            }
        }
        Ok(())
    }

    /// Reads the training file with the classes of a model. Columns are those of the model's training data, unless a
    /// flag names others.
    fn read_of_model(&self, labels: &[String], origin: Option<&Origin>) -> Result<Dataset> {
        let source = self.source()?;
        let files = source.training()?;
        let reader = self.of_training(self.reader(source).with_labels(labels.iter().cloned()), origin, &files);
        files.read(&self.source.table.asked_of_training(reader))
    }

    /// Creates a reader with the columns of a model's training data. A known data set (with a short name such as
    /// `ag_news`) keeps its own columns.
    fn of_training(&self, reader: DatasetReader, origin: Option<&Origin>, files: &SplitFiles) -> DatasetReader {
        match origin.and_then(|origin| origin.columns.as_ref()) {
            // Numbers of columns only apply to files without names.
            Some(reading) if source::known(&self.source.data).is_none() && (reading.header || !files.is_parquet()) => {
                reader.with_reading(reading)
            }
            _ => reader,
        }
    }

    /// Reads texts on which a model is scored: the test rows of a directory or a data set, otherwise its validation
    /// rows, or the only file. Columns come from the flags or the known data set, otherwise from the model's training
    /// data. Rows without a label of the model are omitted. Also returns notes, for example that the rows are not the
    /// test rows.
    ///
    /// # Errors
    /// Errors of [`read_training`](Self::read_training); [`Error::Transformer`] if the model lacks most of the labels;
    /// [`Error::PairOfSingle`] if the texts are pairs and the model was trained on single texts.
    pub fn read_scored(
        &self,
        labels: &[String],
        task: Task,
        origin: Option<&Origin>,
    ) -> Result<(Dataset, Vec<String>)> {
        check_pair(self.source.table.rows.pair, origin)?;
        let source = self.source()?;
        let mut notes = source.notes();
        let result = scored(source, None, &mut notes, |files| {
            let reader = self.reader(source).with_labels(labels.iter().cloned()).skip_unlabelled();
            let reader = self.source.table.asked(self.of_training(reader, origin, files));
            files.read(&match task {
                Task::Labels => {
                    reader.with_label_kind(LabelKind::Several { separator: self.source.table.labels.separator(origin) })
                }
                Task::Number => reader.with_label_kind(LabelKind::Number),
                Task::Class => reader.with_label_kind(LabelKind::Class),
            })
        });
        let result = result.map_err(|error| error.of_other_columns("--text-column or --label-column"))?;
        Ok((result.ok_or_else(|| source.nothing_scored())?.1, notes))
    }

    /// Reads the texts and splits them into training, validation, calibration and test rows.
    ///
    /// Training rows are sampled with the seed, stratified by class. Validation rows come from a separate file, from
    /// the validation file of a directory that also has a test file, or from a tenth of the training rows. This tenth
    /// is stratified by class, and equal texts stay on one side of the split.
    ///
    /// # Errors
    /// Errors of [`read_training`](Self::read_training); [`Error::TooLittle`] if there are fewer than 4 rows, only one
    /// class, or fewer rows than requested; [`DataProblem::NoRowOfClass`] if a class has no training row.
    pub fn read_splits(&self, request: &SplitRequest<'_>) -> Result<TextSplits> {
        let all = match request.classes {
            Classes::Of(labels, origin) => self.read_of_model(labels, origin)?,
            Classes::OfRows if request.also.is_empty() => self.read_training()?,
            Classes::OfRows => self.read_joined(&[], None, request.also)?,
            Classes::Extended(labels, origin) => self.read_joined(labels, origin, request.also)?,
        };
        let all = match request.rows {
            Some(rows) => all.sample(rows, &mut generator(request.seed, SAMPLE_STREAM)),
            None => all,
        };
        // Splitting leaves at least one row of each class, so that each must have one before.
        if let Some(class) = all.class_without_rows() {
            let (data, lost) = (self.source.data.clone(), class.into());
            return Err(match request.classes {
                Classes::Extended(labels, _) if labels.iter().any(|label| label == class) => {
                    Error::ClassLost { data, class: lost }
                }
                Classes::Of(..) if request.rows.is_none() => Error::ClassMissing { data, class: lost },
                _ => self.refuse(DataProblem::NoRowOfClass { class: format!("{class:?}") }),
            });
        }
        let mut notes = self.source()?.unread()?;
        let SeparateRows { test, validation } = self.read_separate(&all, request.validation, &mut notes)?;
        let is_validation_split_off = validation.is_none();
        let (train, validation, calibration) = match validation {
            Some(rows) => {
                let (validation, calibration) = self.split_validation(&all, rows, request)?;
                notes.push(format!("  settings are selected on the rows of {}", validation.name));
                (all, validation, calibration)
            }
            None => self.split_training(all, request)?,
        };
        let warnings = Vec::new();
        let texts = TextSplits { train, validation, is_validation_split_off, calibration, test, notes, warnings };
        self.check_labels(&texts)?;
        let mut files: Vec<&Dataset> = read_files(&texts).collect();
        // All rows of one file were read in the same way.
        files.dedup_by_key(|data| &data.sha256);
        let warnings = files.into_iter().filter_map(mapping_note).collect();
        Ok(TextSplits { warnings, ..texts })
    }

    /// Reads test rows, and separate validation rows from a file or from a directory that also has a test file. Adds
    /// notes on the files.
    fn read_separate(&self, train: &Dataset, file: Option<&Path>, notes: &mut Vec<String>) -> Result<SeparateRows> {
        let source = self.source()?;
        let like = self.source.table.like(train);
        let test = match source.has_splits() {
            true => {
                let label = train.reading.as_ref().and_then(|reading| reading.label.as_ref());
                scored(source, label, notes, |files| files.read(&like))?
            }
            false => None,
        };
        // Without a test file, the validation file is scored.
        let of_tests = test.as_ref().is_some_and(|(split, _)| *split == source::TEST);
        let validation = match file {
            Some(file) => Some(like.read(file)?),
            None if of_tests => source.validation()?.map(|files: SplitFiles| files.read(&like)).transpose()?,
            None => None,
        };
        if file.is_some() && of_tests {
            notes.extend(source.validation()?.map(|files| format!("  not read: {}", files.name())));
        }
        Ok(SeparateRows { test: test.map(|(_, test)| test), validation })
    }

    /// Splits rows of a separate validation file into validation and calibration rows.
    fn split_validation(
        &self,
        train: &Dataset,
        validation: Dataset,
        request: &SplitRequest<'_>,
    ) -> Result<(Dataset, Option<Dataset>)> {
        self.check_size(train, 4)?;
        let rows = (request.keep_of_validation)(validation.len());
        self.check_size(&validation, 4 + rows)?;
        without_calibration(validation, rows, request.seed)
    }

    /// Splits the training rows into training, validation and calibration rows.
    fn split_training(&self, all: Dataset, request: &SplitRequest<'_>) -> Result<(Dataset, Dataset, Option<Dataset>)> {
        let rows = (request.keep)(all.len());
        self.check_size(&all, 4 + rows)?;
        let (rest, calibration) = without_calibration(all, rows, request.seed)?;
        let mut rng = generator(request.seed, VALIDATION_STREAM);
        let (train, validation) = rest.split_validation(VALIDATION_SHARE, &mut rng)?;
        Ok((train, validation, calibration))
    }

    fn refuse(&self, problem: DataProblem) -> Error {
        TransformerError::Data { path: self.source.data.clone(), line: None, problem }.into()
    }

    /// Rejects a label of `--label-map` that does not occur in any file.
    fn check_labels(&self, texts: &TextSplits) -> Result<()> {
        let occurs = |label: &String| {
            let mut pairs =
                read_files(texts).flat_map(|data| data.reading.iter().flat_map(|reading| reading.label_pairs()));
            pairs.any(|(own, _)| own == label) || texts.train.labels.contains(label)
        };
        match self.source.table.label_map().find(|(label, _)| !occurs(label)) {
            Some((label, _)) => Err(self.refuse(DataProblem::NoSuchLabel { label: format!("{label:?}") })),
            None => Ok(()),
        }
    }

    fn check_size(&self, data: &Dataset, rows: usize) -> Result<()> {
        let classes = if self.task() == Task::Class { 2 } else { 1 };
        for (what, least, got) in [("rows", rows, data.len()), ("classes", classes, data.labels.len())] {
            if got < least {
                return Err(Error::TooLittle { data: data.name.clone(), what, least, got });
            }
        }
        Ok(())
    }
}

/// Test and validation rows that are read from other files than the training rows.
struct SeparateRows {
    test: Option<Dataset>,
    validation: Option<Dataset>,
}

/// Iterates over the training, validation and test rows that were read from files.
fn read_files(texts: &TextSplits) -> impl Iterator<Item = &Dataset> {
    [Some(&texts.train), Some(&texts.validation), texts.test.as_ref()].into_iter().flatten()
}

fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Splits off `rows` calibration rows, on which a promise (limit on the loss of accuracy) is verified. The first data
/// set that is returned has all other rows.
fn without_calibration(all: Dataset, rows: usize, seed: u64) -> Result<(Dataset, Option<Dataset>)> {
    if rows == 0 {
        return Ok((all, None));
    }
    let share = rows as f64 / all.len() as f64;
    let (rest, calibration) = all.split_calibration(share, &mut generator(seed, CALIBRATION_STREAM))?;
    Ok((rest, Some(calibration)))
}

/// Reads the first split with public labels; `None` if there is none. Adds a note if it is not the test split. Files of
/// a directory that lack the column `label` are skipped, since the test files of competitions often lack it.
fn scored<'a>(
    source: &'a Source,
    label: Option<&Column>,
    notes: &mut Vec<String>,
    read: impl Fn(&SplitFiles) -> Result<Dataset>,
) -> Result<Option<(&'a str, Dataset)>> {
    let mut hidden: Option<(&str, Error)> = None;
    for (name, rows) in source.scored() {
        let Some(files) = rows.files()? else { continue };
        match read(&files) {
            Err(error) if source.is_folder() && label.is_some_and(|label| lacks_column(&error, label)) => {
                let column = label.map(Column::to_string).unwrap_or_default();
                notes.push(format!("  not scored: {} has no column {column}", files.name()));
            }
            Err(error) if is_hidden(&error) => hidden = hidden.or(Some((name, error))),
            Err(error) => return Err(error),
            Ok(data) => {
                match hidden {
                    Some((secret, _)) => notes.push(format!(
                        "  scored on the split {name}: the labels of the {secret} split are kept secret"
                    )),
                    None if name != source::TEST && source.is_folder() => {
                        notes.push(format!("  no test file: {} is scored", files.name()));
                    }
                    None => {}
                }
                return Ok(Some((name, data)));
            }
        }
    }
    hidden.map_or(Ok(None), |(_, error)| Err(error))
}
