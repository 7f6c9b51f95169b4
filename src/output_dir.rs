//! Where a run writes: a directory that it has to itself, with its checkpoints until it is finished.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dht_transformer::write_atomically;

use crate::{Error, Result};

/// The file that is locked. It stays: removed, it could be locked by one run and made anew by another.
const LOCK: &str = ".lock";
const RECORD: &str = "record.json";
const CHECKPOINTS: &str = "checkpoints";
/// How the name of a checkpoint ends.
const CHECKPOINT: &str = ".checkpoint";
/// Among the checkpoints, which texts they were made with.
const TEXTS: &str = "texts";

/// The right to write into a directory, until it is dropped or the process ends, however it does.
#[derive(Debug)]
pub(crate) struct Place {
    out: PathBuf,
    _lock: File,
}

impl Place {
    /// Takes a directory, which is made where it is not there, for a run on these texts.
    ///
    /// # Errors
    /// [`Error::InUse`] when another run has it; to go on, [`Error::NothingToResume`] without checkpoints and
    /// [`Error::OtherTexts`] with those of other texts.
    pub(crate) fn take(out: &Path, resume: bool, texts: &str) -> Result<Self> {
        if resume && !out.is_dir() {
            return Err(Error::NothingToResume { out: out.into(), finished: false });
        }
        create(out)?;
        let place = Self { out: out.into(), _lock: lock(out)? };
        if resume {
            place.check_resumed(texts)?;
        } else {
            // Those of an earlier run would be taken for this one's, should it be stopped and gone on with.
            place.remove_checkpoints()?;
            create(&place.out.join(CHECKPOINTS))?;
            write_atomically(place.texts(), |file| file.write_all(texts.as_bytes()))?;
        }
        Ok(place)
    }

    fn check_resumed(&self, asked: &str) -> Result<()> {
        let path = self.texts();
        match std::fs::read_to_string(&path) {
            Ok(stored) if stored == asked => Ok(()),
            Ok(stored) => Err(Error::OtherTexts { path, stored, asked: asked.into() }),
            Err(source) if source.kind() == ErrorKind::NotFound => {
                Err(Error::NothingToResume { out: self.out.clone(), finished: self.record().is_file() })
            }
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    /// What a run leaves, beside its pictures.
    pub(crate) fn record(&self) -> PathBuf {
        self.out.join(RECORD)
    }

    /// Where the checkpoint of a model is.
    pub(crate) fn checkpoint(&self, model: &str) -> PathBuf {
        self.out.join(CHECKPOINTS).join(format!("{model}{CHECKPOINT}"))
    }

    fn texts(&self) -> PathBuf {
        self.out.join(CHECKPOINTS).join(TEXTS)
    }

    /// Removes what a finished run does not need any more, and leaves what is not a run's.
    pub(crate) fn remove_checkpoints(&self) -> Result<()> {
        let folder = self.out.join(CHECKPOINTS);
        let failed = |source| Error::Io { path: folder.clone(), source };
        let entries = match std::fs::read_dir(&folder) {
            Err(source) if source.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Also one that a run was writing when it was killed: `.full.checkpoint.partial`.
            if name == TEXTS || name.ends_with(CHECKPOINT) || name.ends_with(&format!("{CHECKPOINT}.partial")) {
                std::fs::remove_file(entry.path()).map_err(|source| Error::Io { path: entry.path(), source })?;
            }
        }
        match std::fs::remove_dir(&folder) {
            Err(source) if source.kind() != ErrorKind::DirectoryNotEmpty => Err(failed(source)),
            _ => Ok(()),
        }
    }
}

fn create(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })
}

fn lock(out: &Path) -> Result<File> {
    let path = out.join(LOCK);
    let failed = |source| Error::Io { path: path.clone(), source };
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::InUse { out: out.into() }),
        // A file system without locks is no reason not to run.
        Err(TryLockError::Error(source)) if source.kind() != ErrorKind::Unsupported => Err(failed(source)),
        _ => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (here, elsewhere) = (folder.path().join("a/b"), folder.path().join("c"));
        let place = Place::take(&here, false, "some").unwrap();
        for resume in [false, true] {
            let error = Place::take(&here, resume, "some").unwrap_err();
            assert!(matches!(&error, Error::InUse { out } if *out == here));
            assert!(error.to_string().contains("another run writes into"), "{error}");
        }
        Place::take(&elsewhere, false, "some").unwrap();
        drop(place);
        Place::take(&here, true, "some").unwrap();
    }

    #[test]
    fn checkpoints_are_gone_on_from_by_a_run_on_their_texts_and_removed_by_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = Place::take(folder.path(), false, "some").unwrap().checkpoint("full");
        std::fs::write(&file, "weights").unwrap();
        Place::take(folder.path(), true, "some").unwrap();
        let error = Place::take(folder.path(), true, "others").unwrap_err();
        assert!(matches!(&error, Error::OtherTexts { path, stored, asked }
            if path.ends_with("checkpoints/texts") && stored == "some" && asked == "others"));
        assert!(file.is_file());
        Place::take(folder.path(), false, "others").unwrap();
        assert!(!file.exists());
    }
    #[test]
    fn what_is_not_a_run_s_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = folder.path().join("checkpoints");
        let (theirs, below) = (checkpoints.join("weights.bin"), checkpoints.join("old/full.checkpoint"));
        std::fs::create_dir_all(checkpoints.join("old")).unwrap();
        std::fs::write(&theirs, "theirs").unwrap();
        std::fs::write(&below, "theirs").unwrap();
        let place = Place::take(folder.path(), false, "some").unwrap();
        let partial = checkpoints.join(".full.checkpoint.partial");
        std::fs::write(place.checkpoint("full"), "weights").unwrap();
        std::fs::write(&partial, "weights").unwrap();
        place.remove_checkpoints().unwrap();
        assert!(theirs.is_file() && below.is_file());
        assert!(!place.checkpoint("full").exists() && !place.texts().exists() && !partial.exists());
    }
}
