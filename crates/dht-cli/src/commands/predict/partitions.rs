//! Worker of `dht predict --partitions`, which answers partitions (parts of a large input).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::Device;
use dht_dynamic::transformer::data::TextFormat;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::rows::Source;
use super::written::OutputFormat;
use super::{PredictArguments, Predictor};
use crate::commands::output::print;
use crate::error::{Error, Result};
use crate::partitions::{Claim, HashingReader, Input, Outputs, Record, Totals, inputs, outputs, worker};
use crate::progress::report;
use crate::training::Difference;

/// Pause before a worker checks again whether other workers have finished their partitions.
const PAUSE: Duration = Duration::from_millis(500);
/// Minimum time between two messages about partitions for which a worker waits.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// Partition (file or object of the input), with the name of its output.
struct Partition {
    input: Box<dyn Input>,
    output: String,
}

/// Result of one attempt to answer a partition.
enum Attempt {
    /// Partition that was answered in this attempt.
    Answered(Record),
    /// Partition that was finished before, by this worker or another.
    Finished(Record),
    /// Partition that another worker has claimed.
    Claimed,
}

/// Totals over several partitions.
#[derive(Default, Serialize)]
struct Summary {
    partitions: usize,
    totals: Totals,
}

impl Summary {
    fn add(&mut self, totals: &Totals) {
        self.partitions += 1;
        self.totals.add(totals);
    }
}

impl Predictor<'_> {
    /// Answers partitions until all are finished, by this worker or others. Prints the totals at the end. A failed
    /// partition does not stop the others.
    pub(super) fn answer_partitions(&self, output: &Path, model: Option<String>, device: &Device) -> Result<()> {
        let partitions = self.arguments.partitions()?;
        let outputs = outputs(output, Duration::from_secs(self.arguments.claim_seconds))?;
        let run = self.description(model, device);
        let run = Run { output, sha256: sha256(&run), description: run };
        run.check(&*outputs)?;
        let (start, mut noted) = (Instant::now(), Instant::now());
        let (mut own, mut all, mut failed) = (Summary::default(), Summary::default(), 0);
        let mut open: Vec<&Partition> = partitions.iter().collect();
        let mut store = None;
        while !open.is_empty() {
            let before = open.len();
            open.retain(|partition| {
                store.is_some()
                    || match self.look_at(partition, &*outputs, &run) {
                        Ok(Attempt::Answered(record)) => {
                            own.add(&record.totals);
                            all.add(&record.totals);
                            false
                        }
                        Ok(Attempt::Finished(record)) => {
                            all.add(&record.totals);
                            false
                        }
                        Ok(Attempt::Claimed) | Err(Error::ClaimLost { .. }) => true,
                        // Every further partition would fail for the same reason.
                        Err(error @ Error::Store { .. }) => {
                            store = Some(error);
                            true
                        }
                        Err(error) => {
                            report(&format!("failed: {error}"));
                            failed += 1;
                            false
                        }
                    }
            });
            if let Some(error) = store {
                return Err(error);
            }
            if open.len() == before {
                if noted.elapsed() > NOTE_EVERY {
                    noted = Instant::now();
                    let first = open.first().map(|partition| partition.input.path().display().to_string());
                    let first = first.unwrap_or_default();
                    report(&format!("waiting for {} partitions of other workers, such as {first}", open.len()));
                }
                std::thread::sleep(PAUSE);
            }
        }
        self.end(&own.totals, start.elapsed());
        let json = serde_json::to_string(&WorkerSummary { output, worker: worker(), own, all, failed });
        let json = json.map_err(|error| Error::Io { path: "standard output".into(), source: error.into() })?;
        print(&(json + "\n"))?;
        if failed > 0 { Err(Error::FailedPartitions { failed, all: partitions.len() }) } else { Ok(()) }
    }

    /// Answers a partition, unless it is finished or another worker has claimed it.
    fn look_at(&self, partition: &Partition, outputs: &dyn Outputs, run: &Run<'_>) -> Result<Attempt> {
        if let Some(record) = finished(partition, outputs, run)? {
            return Ok(Attempt::Finished(record));
        }
        let Some(claim) = outputs.claim(&partition.output)? else { return Ok(Attempt::Claimed) };
        // Another worker may have finished the partition just before it released the claim.
        let look = match finished(partition, outputs, run)? {
            Some(record) => Attempt::Finished(record),
            None => Attempt::Answered(self.answer_partition(partition, outputs, &*claim, run)?),
        };
        claim.finish();
        Ok(look)
    }

    fn answer_partition(
        &self,
        partition: &Partition,
        outputs: &dyn Outputs,
        claim: &dyn Claim,
        run: &Run<'_>,
    ) -> Result<Record> {
        let (name, path, start) = (&partition.output, partition.input.path(), Instant::now());
        outputs.write(name, &mut |out| {
            let facts = partition.input.facts()?;
            let (content, sums) = HashingReader::new(partition.input.open(&facts)?);
            let source = Source::of_file(path, Box::new(content), self.input_format())?;
            let (mut out, mut totals) = (self.writer(out, &outputs.path(name)), Totals::default());
            self.answer_source(source, path, &mut out, &mut totals)?;
            let ((bytes, sha256), after) = (sums.get(), partition.input.facts()?);
            let changed = |problem| Error::PartitionChanged { path: path.into(), problem };
            if after != facts {
                return Err(changed(format!("{} bytes before, {} bytes after", facts.bytes, after.bytes)));
            }
            if bytes != facts.bytes {
                return Err(changed(format!("{bytes} bytes were read of {}", facts.bytes)));
            }
            if !claim.is_held() {
                return Err(Error::ClaimLost { path: outputs.path(name) });
            }
            // Meanwhile the output may have been removed, or written by another model or program.
            run.check(outputs)?;
            if let Some(bytes) = outputs.size(name)? {
                let path = outputs.path(name);
                let is_answer = outputs.record(name)?.is_some_and(|record| record.output_bytes == bytes);
                return Err(if is_answer { Error::ClaimLost { path } } else { Error::ForeignOutput { path } });
            }
            totals.seconds = start.elapsed().as_secs_f64();
            Ok(Record { run: run.sha256.clone(), input: facts, sha256, output_bytes: 0, totals, worker: worker() })
        })
    }

    /// Description of a run: the model and the settings that affect answers. It must be equal for all workers.
    fn description(&self, model: Option<String>, device: &Device) -> Map<String, Value> {
        let arguments = self.arguments;
        let columns: Vec<String> = arguments.rows.text_column.iter().map(|column| format!("{column:?}")).collect();
        let description = json!({
            "model": model,
            "version": env!("CARGO_PKG_VERSION"),
            "speed": self.engine.speed(),
            "min_probability": self.least,
            "on_error": format!("{:?}", arguments.on_error),
            "top_k": arguments.top_k,
            "explain": arguments.explain,
            "device": format!("{:?}", device.location()).split(' ').next().map(str::to_lowercase),
            "precision": arguments.precision.to_string(),
            "input_format": arguments.input_format.map(|format| format!("{format:?}")),
            "output_format": arguments.output_format.map(OutputFormat::ending),
            "prefix": arguments.prefix,
            "text_column": columns,
            "separator": arguments.rows.separator,
            "encoding": arguments.rows.encoding.map(|encoding| format!("{encoding:?}")),
            "pair": arguments.rows.pair,
            "header": format!("{:?}", arguments.rows.header()),
        });
        description.as_object().cloned().unwrap_or_default()
    }

    /// Describes the model, the settings and the inputs of a run that can be resumed.
    pub(super) fn description_with_inputs(&self, model: Option<String>, device: &Device) -> Map<String, Value> {
        let mut description = self.description(model, device);
        description.insert("inputs".into(), json!(self.arguments.inputs()));
        description
    }
}

/// Prediction run: path of its output, and description of the model and settings that affect answers.
struct Run<'a> {
    output: &'a Path,
    description: Map<String, Value>,
    sha256: String,
}

impl Run<'_> {
    /// Rejects an output with answers of another model or other settings.
    fn check(&self, outputs: &dyn Outputs) -> Result<()> {
        let Some(difference) = Difference::first(&outputs.describe(&self.description)?, &self.description) else {
            return Ok(());
        };
        Err(self.other(format!("{} is {} there and {} here", difference.name, difference.there, difference.here)))
    }

    fn other(&self, differs: String) -> Error {
        Error::OtherRun { path: self.output.into(), differs }
    }
}

fn sha256(description: &Map<String, Value>) -> String {
    let (mut hashing, sums) = HashingReader::new(std::io::Cursor::new(json!(description).to_string()));
    // Copying bytes in memory cannot fail.
    let _ = std::io::copy(&mut hashing, &mut std::io::sink());
    sums.get().1
}

/// Summary that a worker prints at its end.
#[derive(Serialize)]
struct WorkerSummary<'a> {
    output: &'a Path,
    worker: String,
    /// Totals of the partitions that this worker answered. The sum over all workers is `all`, unless a worker died
    /// after finishing a partition.
    own: Summary,
    /// Totals of all finished partitions.
    all: Summary,
    failed: usize,
}

/// Reads and checks the record of a finished partition; `None` if it is not finished.
///
/// # Errors
/// [`Error::ForeignOutput`] if the output has no record, or not the recorded size; [`Error::OtherRun`] if it was
/// written with another model or other settings; [`Error::AnsweredBefore`] if the input has changed since.
fn finished(partition: &Partition, outputs: &dyn Outputs, run: &Run<'_>) -> Result<Option<Record>> {
    let Some(bytes) = outputs.size(&partition.output)? else { return Ok(None) };
    let (path, output) = (partition.input.path(), || outputs.path(&partition.output));
    let Some(record) = outputs.record(&partition.output)?.filter(|record| record.output_bytes == bytes) else {
        return Err(Error::ForeignOutput { path: output() });
    };
    if record.run != run.sha256 {
        let name = &partition.output;
        return Err(run.other(format!("{name} has the answers of another model, other settings or another release")));
    }
    let facts = partition.input.facts()?;
    if facts == record.input {
        return Ok(Some(record));
    }
    // A file with the same content may have been copied or touched, which changes its time and inode.
    let changed = || Error::AnsweredBefore { path: path.into(), output: output() };
    if facts.bytes != record.input.bytes {
        return Err(changed());
    }
    let (mut content, sums) = HashingReader::new(partition.input.open(&facts)?);
    std::io::copy(&mut content, &mut std::io::sink()).map_err(|source| Error::Io { path: path.into(), source })?;
    if sums.get().1 == record.sha256 { Ok(Some(record)) } else { Err(changed()) }
}

impl PredictArguments {
    /// Lists the partitions of the input with the names of their outputs.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no partition; [`Error::OneOutput`] if two outputs would have the same name.
    fn partitions(&self) -> Result<Vec<Partition>> {
        let mut answered: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut partitions = Vec::new();
        for path in &self.partitions {
            for input in inputs(path)? {
                let output = self.output_name(input.path());
                if let Some(first) = answered.insert(output.clone(), input.path().into()) {
                    let output = self.output.clone().unwrap_or_default().join(output);
                    return Err(Error::OneOutput { first, second: input.path().into(), output });
                }
                partitions.push(Partition { input, output });
            }
        }
        if partitions.is_empty() {
            let got = format!("{}, without files", self.partitions[0].display());
            return Err(Error::argument("partitions", "at least one file", got));
        }
        Ok(partitions)
    }

    /// Name of a partition's output: the partition's name with the file ending of the output format.
    fn output_name(&self, path: &Path) -> String {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let texts = self.input_format.map_or_else(|| TextFormat::of_name(&name).0, TextFormat::from);
        let format = self.output_format.unwrap_or_else(|| OutputFormat::of_texts(texts));
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        format!("{stem}.{}", format.ending())
    }
}
