//! Saved state of a training run, in a directory beside the output model, so that the run can be resumed after any
//! interruption.
//!
//! ```text
//! OUT.training/.lock             locked while a training runs
//! OUT.training/training.json     model, settings and texts of the training
//! OUT.training/full.checkpoint   the state of the training
//! OUT.training/fine-tuning.checkpoint  the state of fine-tuning, where training goes by rungs
//! OUT.training/fine-tuning.json  its learning rate and passes
//! OUT.training/learning_rate.json  the learning rate, if it was searched
//! OUT.training/max_length.json   the length of the texts, if it was selected by trials
//! ```
//!
//! The state is deleted once the model is written. No other file is ever deleted.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dht_dynamic::ladder::LengthChoice;
use serde_json::{Map, Value};

use super::run_dir::{Difference, LOCK, RunDir};
use crate::error::{Error, Result};

const DESCRIPTION: &str = "training.json";
const CHECKPOINT: &str = "full.checkpoint";
/// Suffix of checkpoint files.
const ENDING: &str = ".checkpoint";
/// Suffix of checkpoint files that are being written.
const PARTIAL: &str = ".checkpoint.partial";
/// Prefix of temporary files, which are renamed when they are complete.
const UNFINISHED: &str = ".partial-";
/// Name of the file with the learning rate that a search selected.
const RATE: &str = "learning_rate.json";
/// Name of the file with the maximum text length that trials selected.
const LENGTH: &str = "max_length.json";
/// Name of the file with the learning rate and the number of passes that fine-tuning uses.
const PLAN: &str = "fine-tuning.json";
const FORMAT: &str = "dht training";

/// Directory with the saved state of a training run, locked for this process.
#[derive(Debug)]
pub struct TrainingDir {
    dir: RunDir,
    resumed: bool,
    /// True if the directory has the description of this run.
    described: bool,
}

impl TrainingDir {
    /// Path of the directory for a training run whose model is written to `out`.
    pub fn beside(out: &Path) -> PathBuf {
        let mut name: OsString = out.file_name().unwrap_or_default().into();
        name.push(".training");
        out.with_file_name(name)
    }

    /// Opens and locks the directory for a training run with these settings, and creates it if it is missing. With
    /// `restart`, existing state is deleted.
    ///
    /// # Errors
    /// * [`Error::InUse`] if another process uses the directory.
    /// * [`Error::OtherTraining`] if the existing state has other settings.
    /// * [`Error::UndescribedState`] if the settings of the existing state cannot be read.
    /// * [`Error::Foreign`] if there are files that no training run wrote.
    pub fn open(out: &Path, settings: &Map<String, Value>, restart: bool) -> Result<Self> {
        let folder = Self::beside(out);
        if folder.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(Error::Foreign { path: folder });
        }
        let failed = |source| Error::Io { path: folder.clone(), source };
        let mut unfinished = Vec::new();
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let own = [LOCK, DESCRIPTION, RATE, LENGTH, PLAN].contains(&&*name) || is_state(&name);
            if name.starts_with(UNFINISHED) {
                unfinished.push(name.clone());
            }
            if !(own || name.starts_with(UNFINISHED)) || !entry.file_type().map_err(failed)?.is_file() {
                return Err(Error::Foreign { path: entry.path() });
            }
        }
        let mut own = Self { dir: RunDir::open(&folder)?, resumed: false, described: false };
        // Deletes files that a killed run was still writing.
        own.delete(&unfinished.iter().map(String::as_str).collect::<Vec<_>>())?;
        if restart {
            own.delete_states()?;
            own.delete(&[RATE, LENGTH, PLAN, DESCRIPTION])?;
        }
        let undescribed = || Error::UndescribedState { path: own.folder().join(DESCRIPTION) };
        let stored = own.dir.description(DESCRIPTION, FORMAT).map_err(|error| match error {
            Error::Foreign { .. } => undescribed(),
            other => other,
        });
        match stored?.filter(|_| has_results(own.folder())) {
            Some(stored) => {
                if let Some(Difference { name, there, here }) = Difference::first(&stored, settings) {
                    let differs = format!("{name} is {there} there and {here} here");
                    return Err(Error::OtherTraining { path: folder, differs });
                }
                own.resumed = has_state(own.folder());
            }
            None if has_state(own.folder()) => {
                return Err(undescribed());
            }
            None => {
                // Without a state, there is nothing to resume from the description.
                own.delete_states()?;
                own.delete(&[RATE, LENGTH, PLAN])?;
                own.dir.describe(DESCRIPTION, FORMAT, settings)?;
            }
        }
        own.described = true;
        Ok(own)
    }

    /// Path of the training run's checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.dir.path().join(CHECKPOINT)
    }

    /// Path of the directory.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Message about how to resume the training run of this directory.
    pub fn message_if_stopped(folder: &Path) -> String {
        match has_state(folder) {
            true => format!(
                "the state is saved in {}; the same command resumes the run, and with --finish makes a model of the state",
                folder.display()
            ),
            false => "no state is saved yet; the same command starts again".into(),
        }
    }

    /// Returns whether the training run resumes from saved state.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Returns the stored learning rate, or searches with `find` and stores the result.
    ///
    /// # Errors
    /// Errors of `find`; [`Error::Transformer`] if the file cannot be written.
    pub fn learning_rate(&self, find: impl FnOnce() -> Result<f64>) -> Result<f64> {
        self.dir.once(RATE, |rate| *rate > 0.0, find)
    }

    /// Returns the stored maximum length if `lengths` contains it; otherwise selects a maximum length with `find` and
    /// stores it.
    ///
    /// # Errors
    /// Errors of `find`; [`Error::Transformer`] if the file cannot be written.
    pub fn length(&self, lengths: &[usize], find: impl FnOnce() -> Result<LengthChoice>) -> Result<LengthChoice> {
        self.dir.once(LENGTH, |choice: &LengthChoice| lengths.contains(&choice.max_length), find)
    }

    /// Deletes the training run's own files, and the directory if no other file is left.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be deleted.
    pub fn finish(self) -> Result<()> {
        self.delete_states()?;
        self.delete(&[RATE, LENGTH, PLAN, DESCRIPTION, LOCK])
    }

    fn delete_states(&self) -> Result<()> {
        let states = states(self.folder());
        self.delete(&states.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn delete(&self, names: &[&str]) -> Result<()> {
        for name in names {
            let path = self.dir.path().join(name);
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != ErrorKind::NotFound => return Err(Error::Io { path, source }),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for TrainingDir {
    /// Deletes the directory's files if there is nothing to resume.
    fn drop(&mut self) {
        if self.described && !has_results(self.folder()) && self.delete(&[PLAN, DESCRIPTION, LOCK]).is_ok() {
            // The directory stays if it has foreign files.
            let _ = std::fs::remove_dir(self.folder());
        }
    }
}

/// Returns whether a file is a checkpoint, complete or partially written.
fn is_state(name: &str) -> bool {
    let stem = match name.strip_prefix('.') {
        Some(name) => name.strip_suffix(PARTIAL),
        None => name.strip_suffix(ENDING),
    };
    stem.is_some_and(|stem| ["full", "fine-tuning"].contains(&stem))
}

fn states(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| is_state(name)).collect()
}

/// Returns whether a directory has a checkpoint, or the results of trials of learning rates or maximum lengths.
fn has_results(folder: &Path) -> bool {
    has_state(folder) || [RATE, LENGTH].iter().any(|name| folder.join(name).exists())
}

fn has_state(folder: &Path) -> bool {
    states(folder).iter().any(|name| !name.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(rate: f64) -> Map<String, Value> {
        Map::from_iter([("lr".into(), rate.into()), ("model".into(), "6x12x96".into())])
    }

    #[test]
    fn a_stopped_training_goes_on_with_the_same_settings_alone() {
        let place = tempfile::tempdir().expect("a folder");
        let out = place.path().join("model");
        let first = TrainingDir::open(&out, &settings(1.0), false).expect("new");
        assert!(!first.is_resumed());
        assert!(matches!(TrainingDir::open(&out, &settings(1.0), false), Err(Error::InUse { .. })));
        std::fs::write(first.checkpoint(), b"state").expect("a state");
        std::fs::write(TrainingDir::beside(&out).join(".partial-x1"), b"{").expect("half a file");
        drop(first);
        assert!(TrainingDir::open(&out, &settings(1.0), false).expect("again").is_resumed());
        assert!(!TrainingDir::beside(&out).join(".partial-x1").exists());
        let other = TrainingDir::open(&out, &settings(2.0), false).expect_err("another").to_string();
        assert!(other.contains("(lr is 1.0 there and 2.0 here)"), "{other}");
        let fresh = TrainingDir::open(&out, &settings(2.0), true).expect("restarted");
        assert!(!fresh.is_resumed() && !fresh.checkpoint().exists());
        fresh.finish().expect("an end");
        assert!(!TrainingDir::beside(&out).exists());
    }

    #[test]
    fn a_learning_rate_is_looked_for_once() {
        let place = tempfile::tempdir().expect("a folder");
        let out = place.path().join("model");
        let first = TrainingDir::open(&out, &settings(1.0), false).expect("new");
        assert_eq!(first.learning_rate(|| Ok(3e-4)).expect("a rate"), 3e-4);
        drop(first);
        let again = TrainingDir::open(&out, &settings(1.0), false).expect("again");
        assert_eq!(again.learning_rate(|| Ok(1.0)).expect("a rate"), 3e-4);
        for nonsense in ["fast", "-1", "null"] {
            std::fs::write(TrainingDir::beside(&out).join(RATE), nonsense).expect("a file");
            assert_eq!(again.learning_rate(|| Ok(1.0)).expect("a rate"), 1.0, "{nonsense}");
        }
    }

    #[test]
    fn a_length_is_selected_once() {
        let place = tempfile::tempdir().expect("a folder");
        let out = place.path().join("model");
        let choice = |length: usize| -> LengthChoice {
            serde_json::from_value(serde_json::json!({ "max_length": length, "trials": [] })).expect("a choice")
        };
        let first = TrainingDir::open(&out, &settings(1.0), false).expect("new");
        assert_eq!(first.length(&[128, 256], || Ok(choice(256))).expect("a length"), choice(256));
        drop(first);
        let again = TrainingDir::open(&out, &settings(1.0), false).expect("again");
        assert_eq!(again.length(&[128, 256], || Ok(choice(128))).expect("a length"), choice(256));
        std::fs::write(TrainingDir::beside(&out).join(LENGTH), "{\"max_length\": 7, \"trials\": []}").expect("a file");
        assert_eq!(again.length(&[128, 256], || Ok(choice(128))).expect("a length"), choice(128), "not one of them");
        again.finish().expect("an end");
        assert!(!TrainingDir::beside(&out).exists());
    }

    #[test]
    fn a_training_without_a_state_leaves_nothing_and_blocks_nothing() {
        let place = tempfile::tempdir().expect("a folder");
        let out = place.path().join("model");
        drop(TrainingDir::open(&out, &settings(1.0), false).expect("new"));
        assert!(!TrainingDir::beside(&out).exists());
        // A killed process leaves the description behind.
        let killed = TrainingDir::open(&out, &settings(1.0), false).expect("new");
        std::mem::forget(killed);
        let folder = TrainingDir::beside(&out);
        std::fs::remove_file(folder.join(LOCK)).expect("the lock of a process that is gone");
        assert!(!TrainingDir::open(&out, &settings(2.0), false).expect("other settings").is_resumed());
        assert!(!folder.exists());
    }

    #[test]
    fn files_of_others_are_never_touched() {
        let place = tempfile::tempdir().expect("a folder");
        let out = place.path().join("model");
        let folder = TrainingDir::beside(&out);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("notes.checkpoint"), b"mine").expect("a file");
        for restart in [false, true] {
            let refused = TrainingDir::open(&out, &settings(1.0), restart);
            assert!(matches!(refused, Err(Error::Foreign { path }) if path.ends_with("notes.checkpoint")));
        }
        std::fs::remove_file(folder.join("notes.checkpoint")).expect("removed");
        std::fs::write(folder.join(DESCRIPTION), b"{}").expect("a file");
        assert!(TrainingDir::open(&out, &settings(1.0), true).is_ok());
    }
}
