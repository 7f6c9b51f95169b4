//! Where a run writes: a directory that it has to itself, with its checkpoints until it is finished.
//!
//! ```text
//! .lock                     held while a run writes here
//! record.json, *.svg        what a finished run leaves
//! checkpoints/run.json      which run was begun: its command, its texts, the names of its checkpoints
//! checkpoints/*.checkpoint  one for each model of that run
//! ```
//!
//! Only files that `run.json` names are ever removed, and only where they are files; a link stays, and so does what it
//! leads to. A name that is taken by somebody else's file is refused before anything is written.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use dht_transformer::storage::write_atomically;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::figures::PICTURES;
use crate::record::RunRecord;

/// The file that is locked. It stays: removed, it could be locked by one run and made anew by another.
const LOCK: &str = ".lock";
const RECORD: &str = "record.json";
const CHECKPOINTS: &str = "checkpoints";
const STARTED: &str = "run.json";
const FORMAT: &str = "run";
/// Flags whose values are paths, which may be typed in several ways.
const PATHS: [&str; 3] = ["--data", "--model", "--space"];
/// Whether this process has taken a directory.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What becomes of a run that was stopped before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// There must be none.
    #[default]
    New,
    /// It is gone on with.
    Resume,
    /// Its checkpoints are removed, and a new one begins.
    Restart,
}

/// What a run says of itself before its first checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Started {
    /// Always `run`, so that no other JSON is taken for one.
    format: String,
    /// The example and its flags.
    pub(crate) command: Vec<String>,
    /// The sum of the training texts and their longest.
    pub(crate) texts: String,
    /// The names of the models, each of which has a checkpoint once it trains.
    pub(crate) models: Vec<String>,
}

impl Started {
    pub(crate) fn new(command: Vec<String>, texts: String, models: Vec<String>) -> Self {
        Self { format: FORMAT.into(), command, texts, models }
    }

    /// Whether this is the same run as another: its example, its flags, and so its models. Of paths the last part counts;
    /// the texts behind them are compared by their sum.
    fn is_like(&self, other: &Self) -> bool {
        let [own, others] = [self, other].map(|started| {
            let of_path = |at: usize| at > 0 && PATHS.contains(&&*started.command[at - 1]);
            let word = |(at, word)| match Path::new(word).file_name() {
                Some(name) if of_path(at) => name.to_string_lossy().into_owned(),
                _ => String::clone(word),
            };
            started.command.iter().enumerate().map(word).collect::<Vec<String>>()
        });
        own == others && self.models == other.models
    }

    /// The files of a run, also the one that it was writing when it was killed: `.full.checkpoint.partial`.
    fn files(&self) -> impl Iterator<Item = String> + '_ {
        self.models.iter().flat_map(|model| [file_of(model), format!(".{}.partial", file_of(model))])
    }
}

fn file_of(model: &str) -> String {
    format!("{model}.checkpoint")
}

/// The right to write into a directory, until it is dropped or the process ends, however it does.
#[derive(Debug)]
pub(crate) struct OutputDir {
    out: PathBuf,
    started: Started,
    _lock: File,
}

impl OutputDir {
    /// Takes a directory, which is made where it is not there, for a run.
    ///
    /// # Errors
    /// [`Error::InUse`] when another run has it; [`Error::Unfinished`] for a new run where checkpoints of a stopped one
    /// are; to go on, [`Error::NothingToResume`] where no run was stopped, [`Error::OtherTexts`] where it had other texts and
    /// [`Error::OtherRun`] where it had other flags; [`Error::ForeignFile`] when a file that is not a run's has the name of one that this run would write.
    pub(crate) fn take(out: &Path, start: Start, started: Started) -> Result<Self> {
        if start == Start::Resume && !out.is_dir() {
            return Err(Error::NothingToResume { out: out.into(), finished: false });
        }
        create(out)?;
        let dir = Self { out: out.into(), started, _lock: lock(out)? };
        let earlier = stored(out)?;
        match (start, &earlier) {
            (Start::New, Some(earlier)) if has_checkpoints(out, earlier) => {
                return Err(Error::Unfinished { out: out.into(), command: earlier.command.join(" ") });
            }
            (Start::Resume, None) => {
                return Err(Error::NothingToResume { out: out.into(), finished: dir.record().is_file() });
            }
            (Start::Resume, Some(earlier)) if earlier.texts != dir.started.texts => {
                let (stored, asked) = (earlier.texts.clone(), dir.started.texts.clone());
                return Err(Error::OtherTexts { path: in_checkpoints(out, STARTED), stored, asked });
            }
            (Start::Resume, Some(earlier)) if !earlier.is_like(&dir.started) => {
                let (stored, asked) = (earlier.command.join(" "), dir.started.command.join(" "));
                return Err(Error::OtherRun { out: out.into(), stored, asked });
            }
            _ => {}
        }
        dir.refuse_foreign(earlier.as_ref())?;
        if start != Start::Resume {
            // Those of an earlier run would be taken for this one's, should it be stopped and gone on with.
            earlier.iter().try_for_each(|earlier| remove(out, earlier))?;
            create(&out.join(CHECKPOINTS))?;
            let json = serde_json::to_string_pretty(&dir.started).unwrap_or_default();
            write_atomically(in_checkpoints(out, STARTED), |file| writeln!(file, "{json}"))?;
        }
        TAKEN.store(true, Ordering::Relaxed);
        Ok(dir)
    }

    /// Refuses names that are taken by what neither this run nor the `earlier` one wrote.
    fn refuse_foreign(&self, earlier: Option<&Started>) -> Result<()> {
        let refuse = |path: PathBuf| Err(Error::ForeignFile { path });
        let own: Vec<String> = earlier.into_iter().flat_map(Started::files).collect();
        for name in self.started.files().chain([STARTED.to_owned()]) {
            let path = in_checkpoints(&self.out, &name);
            let is_own = name == STARTED && earlier.is_some() || own.contains(&name);
            if let Ok(found) = path.symlink_metadata()
                && !(is_own && found.is_file())
            {
                return refuse(path);
            }
        }
        let record = self.record();
        // A run writes its record before its pictures: without one they are somebody's.
        let recorded = match record.symlink_metadata() {
            Ok(found) if !found.is_file() || RunRecord::load(&record).is_err() => return refuse(record),
            found => found.is_ok(),
        };
        let foreign = |path: &PathBuf| path.symlink_metadata().is_ok_and(|found| !recorded || !found.is_file());
        match PICTURES.map(|(name, _)| self.out.join(name)).into_iter().find(foreign) {
            Some(picture) => refuse(picture),
            None => Ok(()),
        }
    }

    /// What a run leaves, beside its pictures.
    pub(crate) fn record(&self) -> PathBuf {
        self.out.join(RECORD)
    }

    /// Where the checkpoint of a model is.
    pub(crate) fn checkpoint(&self, model: &str) -> PathBuf {
        in_checkpoints(&self.out, &file_of(model))
    }

    /// Removes what a finished run does not need any more, and leaves what is not its own.
    pub(crate) fn remove_checkpoints(&self) -> Result<()> {
        remove(&self.out, &self.started)
    }
}

/// What to tell somebody who stops this process, which runs or was about to run here.
pub(crate) fn if_stopped(out: &Path) -> String {
    if !TAKEN.load(Ordering::Relaxed) {
        return "stopped before anything was written".into();
    }
    match stored(out) {
        Ok(Some(started)) if has_checkpoints(out, &started) => format!(
            "stopped; the same command with --resume (and without --restart) goes on from the last checkpoint in {}",
            out.join(CHECKPOINTS).display()
        ),
        _ => "stopped before the first checkpoint; the same command begins anew".into(),
    }
}

/// The run that was begun here and is not finished.
fn stored(out: &Path) -> Result<Option<Started>> {
    let path = in_checkpoints(out, STARTED);
    match std::fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice::<Started>(&bytes) {
            // A name with a directory in it would lead out of here.
            Ok(started) if started.format == FORMAT && started.models.iter().all(|model| is_name(model)) => {
                Ok(Some(started))
            }
            _ => Err(Error::ForeignFile { path }),
        },
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path, source }),
    }
}

fn is_name(model: &str) -> bool {
    Path::new(model).file_name().is_some_and(|name| name == model)
}

fn has_checkpoints(out: &Path, started: &Started) -> bool {
    started.models.iter().any(|model| in_checkpoints(out, &file_of(model)).is_file())
}

/// Removes the files of a run, and their directory when nothing else is there.
fn remove(out: &Path, started: &Started) -> Result<()> {
    for name in started.files().chain([STARTED.to_owned()]) {
        let path = in_checkpoints(out, &name);
        if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
            std::fs::remove_file(&path).map_err(|source| Error::Io { path, source })?;
        }
    }
    let folder = out.join(CHECKPOINTS);
    match std::fs::remove_dir(&folder) {
        Err(source) if source.kind() == ErrorKind::NotFound || source.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        // A link to a directory stays.
        Err(_) if folder.is_symlink() => Ok(()),
        Err(source) => Err(Error::Io { path: folder, source }),
        Ok(()) => Ok(()),
    }
}

fn in_checkpoints(out: &Path, name: &str) -> PathBuf {
    out.join(CHECKPOINTS).join(name)
}

fn create(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })
}

fn lock(out: &Path) -> Result<File> {
    let path = out.join(LOCK);
    let failed = |source| Error::Io { path: path.clone(), source };
    // One of ours is an empty file: anything else is somebody's, and no link is followed.
    if path.symlink_metadata().is_ok_and(|found| !found.is_file() || found.len() > 0) {
        return Err(Error::ForeignFile { path });
    }
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::InUse { out: out.into() }),
        // A file system without locks is no reason not to run.
        Err(TryLockError::Error(source)) if source.kind() != ErrorKind::Unsupported => Err(failed(source)),
        _ => Ok(file),
    }
}

#[cfg(test)]
mod tests;
