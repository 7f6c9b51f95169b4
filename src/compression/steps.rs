//! Steps of a compression run, such as training the teacher. Each step runs once and stores its result on disk, so that
//! the same command resumes after an interruption.
//!
//! ```text
//! OUT/.lock                         locked while a run writes here
//! OUT/run.json                      the run's command, texts and files
//! OUT/record.json, kept.*.svg       the results
//! OUT/steps/NAME/result.json        the result of a step; written last
//! OUT/steps/NAME/model/             its model, if later steps read it
//! OUT/steps/NAME/STAGE.checkpoint   checkpoint of a training run, while the step runs
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dht_cli::{Difference, RunDir, report};
use dht_transformer::CheckpointSettings;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::limits::{real, refused};
use crate::error::{Error, Result};

const RUN: &str = "run.json";
const RECORD: &str = "record.json";
const STEPS: &str = "steps";
const RESULT: &str = "result.json";
const MODEL: &str = "model";
const CHECKPOINT: &str = "checkpoint";
/// Number of optimiser steps between two checkpoints of a training run.
const EVERY_STEPS: u64 = 200;
/// Version of the layout of the output directory.
const FORMAT: &str = "compression 4";

/// Output directory of a run, locked for this process.
#[derive(Debug)]
pub(super) struct Steps {
    dir: RunDir,
    quiet: bool,
}

/// Step that is running now, with the directory of its files.
#[derive(Debug)]
pub(super) struct Step {
    folder: PathBuf,
}

/// Output paths of a run, to check whether the run may replace existing files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output<'a> {
    pub(super) out: &'a Path,
    /// Additional path of the result file.
    pub(super) record: Option<&'a Path>,
    /// Function that returns whether a file is a result file of this program.
    pub(super) is_record: fn(&Path) -> bool,
    /// File names of the run's figures.
    pub(super) figures: &'a [String],
}

impl Output<'_> {
    /// Rejects existing files that this program did not write, before the run starts. Figures are accepted if
    /// `run.json` exists.
    ///
    /// # Errors
    /// [`Error::ForeignFile`]; [`Error::Argument`] for a record whose directory does not exist.
    pub(super) fn check(&self) -> Result<()> {
        let run = self.out.join(RUN).exists();
        let records = std::iter::once(self.out.join(RECORD)).chain(self.record.map(Path::to_path_buf));
        let foreign = records.filter(|path| there(path) && !(path.is_file() && (self.is_record)(path)));
        let figures = self.figures.iter().map(|name| self.out.join(name)).filter(|path| there(path));
        let figures = figures.filter(|path| !run || !path.is_file());
        if let Some(path) = foreign.chain(figures).next() {
            return Err(Error::ForeignFile { path });
        }
        match self.record.and_then(Path::parent) {
            Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
                Err(refused("record", "a file in a directory that is there", folder.display()))
            }
            _ => Ok(()),
        }
    }
}

fn there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

impl Step {
    /// Checkpoint settings of a training run in this step. An existing checkpoint is resumed from.
    pub(super) fn checkpoint(&self, stage: &str) -> CheckpointSettings {
        let path = self.folder.join(format!("{stage}.{CHECKPOINT}"));
        CheckpointSettings { path, every_steps: EVERY_STEPS, resume: true }
    }

    pub(super) fn model(&self) -> PathBuf {
        self.folder.join(MODEL)
    }
}

impl Steps {
    /// Locks an output directory for a run, and creates it if it is missing. An earlier run that has not stored
    /// anything is replaced.
    ///
    /// # Errors
    /// [`Error::Command`] if another run holds the lock. [`Error::OtherSteps`] if the stored results belong to another
    /// run; [`Error::UnknownSteps`] if `run.json`, which identifies that run, is missing. [`Error::ForeignFile`] if
    /// `run.json` exists and was not written by a run.
    pub(super) fn open(out: &Path, run: &Map<String, Value>, quiet: bool) -> Result<Self> {
        let dir = RunDir::open(out)?;
        let begun = begun(&out.join(STEPS))?;
        match dir.description(RUN, FORMAT)? {
            Some(stored) => match Difference::first(&stored, run) {
                None => return Ok(Self { dir, quiet }),
                Some(Difference { name, there, here }) if begun => {
                    let [stored, asked] = [there, here].map(|value| value.as_str().unwrap_or("missing").to_owned());
                    return Err(Error::OtherSteps { out: out.into(), what: name, stored, asked });
                }
                Some(_) => {}
            },
            None if begun => return Err(Error::UnknownSteps { steps: out.join(STEPS), file: RUN }),
            None => {}
        }
        dir.describe(RUN, FORMAT, run)?;
        Ok(Self { dir, quiet })
    }

    pub(super) fn record(&self) -> PathBuf {
        self.dir.path().join(RECORD)
    }

    /// Returns whether `path` is inside the `steps` directory of an output directory. It need not exist.
    pub(super) fn hold(out: &Path, path: &Path) -> bool {
        real(path).starts_with(real(&out.join(STEPS)))
    }

    pub(super) fn out(&self) -> &Path {
        self.dir.path()
    }

    /// Returns whether a step has a stored result.
    pub(super) fn is_done(&self, name: &str) -> bool {
        self.step(name).folder.join(RESULT).is_file()
    }

    /// Directory of the model that a finished step stored.
    pub(super) fn model(&self, name: &str) -> PathBuf {
        self.step(name).model()
    }

    fn step(&self, name: &str) -> Step {
        Step { folder: self.dir.path().join(STEPS).join(name) }
    }

    /// Returns the stored result of a step, or runs the step. It also runs if the stored result cannot be read.
    ///
    /// # Errors
    /// Returns the error of `run`. The next attempt starts from the step's last checkpoint.
    pub(super) fn once<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        run: impl FnOnce(&Step) -> Result<T>,
    ) -> Result<T> {
        self.once_valid(name, |_| true, run)
    }

    /// Returns the stored result of a step if it is `valid`, or runs the step; see [`once`](Self::once).
    pub(super) fn once_valid<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        valid: impl Fn(&T) -> bool,
        run: impl FnOnce(&Step) -> Result<T>,
    ) -> Result<T> {
        let step = self.step(name);
        let failed = |source| Error::Io { path: step.folder.clone(), source };
        let result = self.dir.once(step.folder.join(RESULT), valid, || {
            if !self.quiet {
                report(name);
            }
            std::fs::create_dir_all(&step.folder).map_err(failed)?;
            run(&step)
        })?;
        // A finished step does not resume, so its checkpoints are removed.
        for entry in std::fs::read_dir(&step.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == CHECKPOINT) {
                std::fs::remove_file(&path).map_err(|source| Error::Io { path, source })?;
            }
        }
        Ok(result)
    }
}

/// Returns whether the directory of stored results has files of any step.
fn begun(steps: &Path) -> Result<bool> {
    let entries = match std::fs::read_dir(steps) {
        Ok(entries) => entries,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(Error::Io { path: steps.into(), source }),
    };
    for entry in entries {
        let path = entry.map_err(|source| Error::Io { path: steps.into(), source })?.path();
        if !path.is_dir() || std::fs::read_dir(&path).map_err(|source| Error::Io { path, source })?.next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(command: &str) -> Map<String, Value> {
        Map::from_iter([("command".into(), format!("nas {command}").into()), ("texts".into(), "texts".into())])
    }

    #[test]
    fn a_step_runs_once_and_one_that_fails_runs_again() {
        let folder = tempfile::tempdir().unwrap();
        let steps = Steps::open(folder.path(), &identity("--seed 1"), true).unwrap();
        let failed = || Error::FailedRows { count: 1 };
        assert!(steps.once::<u32>("a", |_| Err(failed())).is_err());
        let mut checkpoint = PathBuf::new();
        let first = steps.once("a", |step| {
            checkpoint = step.checkpoint("stage").path;
            std::fs::write(&checkpoint, "state").unwrap();
            Ok(1_u32)
        });
        assert_eq!((first.unwrap(), checkpoint.exists()), (1, false));
        drop(steps);
        let steps = Steps::open(folder.path(), &identity("--seed 1"), true).unwrap();
        assert_eq!(steps.once("a", |_| Ok(2_u32)).unwrap(), 1);
        assert_eq!(steps.once("b", |_| Ok(2_u32)).unwrap(), 2);
        // A stored result that is not valid is computed again.
        assert_eq!(steps.once_valid("a", |result| *result > 1, |_| Ok(3_u32)).unwrap(), 3);
    }

    #[test]
    fn steps_are_those_of_one_run_from_the_first_that_has_written() {
        let folder = tempfile::tempdir().unwrap();
        let open = |command: &str| Steps::open(folder.path(), &identity(command), true);
        let failed = || Error::FailedRows { count: 1 };
        // A step that fails at once leaves no files of its run behind.
        assert!(open("--seed 1").unwrap().once::<u32>("a", |_| Err(failed())).is_err());
        open("--seed 2").unwrap().once("a", |_| Ok(2_u32)).unwrap();
        assert!(matches!(open("--seed 1").unwrap_err(), Error::OtherSteps { .. }));
        std::fs::remove_file(folder.path().join(RUN)).unwrap();
        let error = open("--seed 2").unwrap_err();
        assert!(matches!(error, Error::UnknownSteps { .. }), "{error}");
        assert!(!folder.path().join(RUN).exists());
    }

    #[test]
    fn files_of_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let is_record = |path: &Path| std::fs::read(path).is_ok_and(|bytes| bytes == b"record");
        let figures = ["kept.svg".to_owned()];
        let record = file("copy.json");
        let output = Output { out: folder.path(), record: Some(&record), is_record, figures: &figures };
        output.check().unwrap();
        for name in ["record.json", "copy.json", "kept.svg"] {
            std::fs::write(file(name), "notes").unwrap();
            let error = output.check().unwrap_err();
            assert!(matches!(&error, Error::ForeignFile { path } if *path == file(name)), "{name}: {error}");
            std::fs::remove_file(file(name)).unwrap();
        }
        for (name, text) in [("record.json", "record"), ("copy.json", "record"), ("kept.svg", "<svg"), (RUN, "{}")] {
            std::fs::write(file(name), text).unwrap();
        }
        output.check().unwrap();
        let record = file("missing/copy.json");
        let error = Output { record: Some(&record), ..output }.check().unwrap_err();
        assert!(matches!(error, Error::Argument { flag: "record", .. }), "{error}");
    }

    #[test]
    fn another_command_a_second_run_and_a_foreign_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let steps = Steps::open(folder.path(), &identity("--seed 1"), true).unwrap();
        let again = |command: &str| Steps::open(folder.path(), &identity(command), true).unwrap_err();
        assert!(again("--seed 1").to_string().contains("another run"), "{}", again("--seed 1"));
        steps.once("a", |_| Ok(1_u32)).unwrap();
        drop(steps);
        let error = again("--seed 2");
        assert!(matches!(&error, Error::OtherSteps { what, .. } if what == "command"), "{error}");
        assert!(error.to_string().contains("nas --seed 1") && error.to_string().contains("nas --seed 2"), "{error}");
        std::fs::write(folder.path().join(RUN), "{}").unwrap();
        assert!(matches!(again("--seed 1"), Error::ForeignFile { .. }));
    }
}
