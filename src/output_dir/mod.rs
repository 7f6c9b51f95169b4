//! The output directory of a run, locked while the run writes, with checkpoints until it has finished.
//!
//! ```text
//! .lock                     locked while a run writes here
//! record.json, *.svg        the results of a finished run
//! checkpoints/run.json      the manifest of a run that has started: its command, its texts, the names of its checkpoints
//! checkpoints/*.checkpoint  one for each model of that run
//! ```
//!
//! Only files that `run.json` names are ever deleted, and only regular files; links and their targets stay. If a file that
//! no run wrote has one of these names, the run is refused before anything is written.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use dht_transformer::storage::write_atomically;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::figures::FIGURES;
use crate::record::RunRecord;

/// The lock file. It is never deleted: otherwise one run could hold the lock of the deleted file while another locks a new
/// one.
const LOCK: &str = ".lock";
const RECORD: &str = "record.json";
const CHECKPOINTS: &str = "checkpoints";
const MANIFEST: &str = "run.json";
const FORMAT: &str = "run";
/// Flags whose values are paths, which can be written in several ways.
const PATHS: [&str; 3] = ["--data", "--model", "--space"];
/// Whether this process has opened an output directory.
static OPENED: AtomicBool = AtomicBool::new(false);

/// What to do with a stopped run in the output directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// Refuse to start.
    #[default]
    New,
    /// Continue it.
    Resume,
    /// Delete its checkpoints and start a new run.
    Restart,
}

/// The manifest of a run, `run.json`, written before its first checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunManifest {
    /// Always `run`, so that no other JSON file is taken for a manifest.
    format: String,
    /// The example and its flags.
    pub(crate) command: Vec<String>,
    /// The checksum of the training texts and their maximum length.
    pub(crate) texts: String,
    /// The names of the models, each of which has a checkpoint once it has begun to train.
    pub(crate) models: Vec<String>,
}

impl RunManifest {
    pub(crate) fn new(command: Vec<String>, texts: String, models: Vec<String>) -> Self {
        Self { format: FORMAT.into(), command, texts, models }
    }

    /// Whether this is the same run as another: the same example, flags and models. Of paths the last part counts; the texts
    /// in them are compared by checksum.
    fn is_like(&self, other: &Self) -> bool {
        let [own, others] = [self, other].map(|manifest| {
            let of_path = |at: usize| at > 0 && PATHS.contains(&&*manifest.command[at - 1]);
            let word = |(at, word)| match Path::new(word).file_name() {
                Some(name) if of_path(at) => name.to_string_lossy().into_owned(),
                _ => String::clone(word),
            };
            manifest.command.iter().enumerate().map(word).collect::<Vec<String>>()
        });
        own == others && self.models == other.models
    }

    /// The checkpoints of a run, including those that it was writing when it was killed: `.full.checkpoint.partial`.
    fn files(&self) -> impl Iterator<Item = String> + '_ {
        self.models.iter().flat_map(|model| [file_of(model), format!(".{}.partial", file_of(model))])
    }
}

fn file_of(model: &str) -> String {
    format!("{model}.checkpoint")
}

/// A locked output directory. The lock ends when this is dropped or the process ends, in whatever way.
#[derive(Debug)]
pub(crate) struct OutputDir {
    out: PathBuf,
    manifest: RunManifest,
    _lock: File,
}

impl OutputDir {
    /// Locks a directory for a run, and creates it if it is missing.
    ///
    /// # Errors
    /// [`Error::InUse`] when another run holds the lock; [`Error::Unfinished`] for a new run where a stopped one left
    /// checkpoints; for a resumed run, [`Error::NothingToResume`] where no run was stopped, [`Error::OtherTexts`] where it had
    /// other texts, and [`Error::OtherRun`] where it had other flags; [`Error::ForeignFile`] when a file that no run wrote
    /// has a name that this run would write to.
    pub(crate) fn open(out: &Path, start: Start, manifest: RunManifest) -> Result<Self> {
        if start == Start::Resume && !out.is_dir() {
            return Err(Error::NothingToResume { out: out.into(), finished: false });
        }
        create(out)?;
        let dir = Self { out: out.into(), manifest, _lock: lock(out)? };
        let earlier = stored(out)?;
        match (start, &earlier) {
            (Start::New, Some(earlier)) if has_checkpoints(out, earlier) => {
                return Err(Error::Unfinished { out: out.into(), command: earlier.command.join(" ") });
            }
            (Start::Resume, None) => {
                return Err(Error::NothingToResume { out: out.into(), finished: dir.record().is_file() });
            }
            (Start::Resume, Some(earlier)) if earlier.texts != dir.manifest.texts => {
                let (stored, asked) = (earlier.texts.clone(), dir.manifest.texts.clone());
                return Err(Error::OtherTexts { path: in_checkpoints(out, MANIFEST), stored, asked });
            }
            (Start::Resume, Some(earlier)) if !earlier.is_like(&dir.manifest) => {
                let (stored, asked) = (earlier.command.join(" "), dir.manifest.command.join(" "));
                return Err(Error::OtherRun { out: out.into(), stored, asked });
            }
            _ => {}
        }
        dir.refuse_foreign(earlier.as_ref())?;
        if start != Start::Resume {
            // Otherwise a later --resume would take the checkpoints of the earlier run for this one's.
            earlier.iter().try_for_each(|earlier| remove(out, earlier))?;
            create(&out.join(CHECKPOINTS))?;
            let json = serde_json::to_string_pretty(&dir.manifest).unwrap_or_default();
            write_atomically(in_checkpoints(out, MANIFEST), |file| writeln!(file, "{json}"))?;
        }
        OPENED.store(true, Ordering::Relaxed);
        Ok(dir)
    }

    /// Refuses files and links at the paths of this run that the `earlier` run did not write.
    fn refuse_foreign(&self, earlier: Option<&RunManifest>) -> Result<()> {
        let refuse = |path: PathBuf| Err(Error::ForeignFile { path });
        let own: Vec<String> = earlier.into_iter().flat_map(RunManifest::files).collect();
        for name in self.manifest.files().chain([MANIFEST.to_owned()]) {
            let path = in_checkpoints(&self.out, &name);
            let is_own = name == MANIFEST && earlier.is_some() || own.contains(&name);
            if let Ok(found) = path.symlink_metadata()
                && !(is_own && found.is_file())
            {
                return refuse(path);
            }
        }
        let record = self.record();
        // A run writes its record before its figures: figures without a record are foreign.
        let recorded = match record.symlink_metadata() {
            Ok(found) if !found.is_file() || RunRecord::load(&record).is_err() => return refuse(record),
            found => found.is_ok(),
        };
        let foreign = |path: &PathBuf| path.symlink_metadata().is_ok_and(|found| !recorded || !found.is_file());
        match FIGURES.map(|(name, _)| self.out.join(name)).into_iter().find(foreign) {
            Some(figure) => refuse(figure),
            None => Ok(()),
        }
    }

    /// The path of the record.
    pub(crate) fn record(&self) -> PathBuf {
        self.out.join(RECORD)
    }

    /// The path of a model's checkpoint.
    pub(crate) fn checkpoint(&self, model: &str) -> PathBuf {
        in_checkpoints(&self.out, &file_of(model))
    }

    /// Deletes the checkpoints of the run, which it does not need once it has finished, and no other files.
    pub(crate) fn remove_checkpoints(&self) -> Result<()> {
        remove(&self.out, &self.manifest)
    }
}

/// The message on interruption of a process whose run writes, or was to write, into this directory.
pub(crate) fn message_if_stopped(out: &Path) -> String {
    if !OPENED.load(Ordering::Relaxed) {
        return "stopped before anything was written".into();
    }
    match stored(out) {
        Ok(Some(manifest)) if has_checkpoints(out, &manifest) => format!(
            "stopped; the same command with --resume (and without --restart) continues from the last checkpoint in {}",
            out.join(CHECKPOINTS).display()
        ),
        _ => "stopped before the first checkpoint; the same command starts again".into(),
    }
}

/// The manifest of a run that was started here and has not finished.
fn stored(out: &Path) -> Result<Option<RunManifest>> {
    let path = in_checkpoints(out, MANIFEST);
    match std::fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice::<RunManifest>(&bytes) {
            // A name with a directory in it would lead out of the output directory.
            Ok(manifest) if manifest.format == FORMAT && manifest.models.iter().all(|model| is_name(model)) => {
                Ok(Some(manifest))
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

fn has_checkpoints(out: &Path, manifest: &RunManifest) -> bool {
    manifest.models.iter().any(|model| in_checkpoints(out, &file_of(model)).is_file())
}

/// Deletes the checkpoints and the manifest of a run, and their directory if it is empty then.
fn remove(out: &Path, manifest: &RunManifest) -> Result<()> {
    for name in manifest.files().chain([MANIFEST.to_owned()]) {
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

pub(crate) fn lock(out: &Path) -> Result<File> {
    let path = out.join(LOCK);
    let failed = |source| Error::Io { path: path.clone(), source };
    // A lock file is an empty regular file; anything else is foreign, and links are not followed.
    if path.symlink_metadata().is_ok_and(|found| !found.is_file() || found.len() > 0) {
        return Err(Error::ForeignFile { path });
    }
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::InUse { out: out.into() }),
        // On a file system without locks the run goes on unlocked.
        Err(TryLockError::Error(source)) if source.kind() != ErrorKind::Unsupported => Err(failed(source)),
        _ => Ok(file),
    }
}

#[cfg(test)]
mod tests;
