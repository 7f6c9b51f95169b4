//! Output files of a pre-training run: `DIRECTORY`, and beside it `.lock`, `.checkpoint` and `.history.json`.

use std::error::Error;
use std::fs::{File, Metadata, OpenOptions};
use std::path::{Path, PathBuf};

use dht_transformer::pretrained::PretrainedWeights;
use serde_json::Value;

/// Keys by which a `history.json` of this program is recognised.
const FIELDS: [&str; 5] = ["masks", "settings", "blocks", "loss_by_frequency", "history"];

/// Output directory of a run. It is locked for other runs until the value is dropped.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
    _lock: File,
}

impl Place {
    /// Locks the output directory before anything is computed. Files of other programs are not changed.
    ///
    /// # Errors
    /// An error if a file that this program did not write would be lost, or if another run writes to the directory.
    pub fn take(directory: &Path) -> Result<Self, Box<dyn Error>> {
        // A slash at the end is removed, so that the files beside the directory are not inside of it.
        let directory: PathBuf = directory.components().collect();
        let shown = directory.display();
        if directory.file_name().is_none() {
            return Err(format!("{shown:?} has no name of its own, expected that of a new directory").into());
        }
        PretrainedWeights::check_target(&directory)?;
        if directory.exists() && !directory.join("config.json").exists() {
            return Err(format!("{shown} is there and no encoder; name a new directory").into());
        }
        let history = beside(&directory, "history.json");
        if let Some(metadata) = metadata(&history)?
            && !(metadata.is_file() && is_history(&std::fs::read(&history).map_err(|error| at(&history, &error))?))
        {
            return Err(refused(&history, "no history of a pre-training"));
        }
        if let Some(folder) = directory.parent() {
            std::fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
        }
        let lock = lock(&beside(&directory, "lock"), &directory)?;
        Ok(Self { directory, _lock: lock })
    }

    /// Output directory, without a slash at its end.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Path of the file `DIRECTORY.end`, beside the directory.
    pub fn beside(&self, end: &str) -> PathBuf {
        beside(&self.directory, end)
    }
}

fn beside(directory: &Path, end: &str) -> PathBuf {
    let mut path = directory.as_os_str().to_owned();
    path.push(format!(".{end}"));
    path.into()
}

/// Creates and locks the lock file. A lock file is empty, so a file with content, or a link, belongs to another program
/// and is refused.
fn lock(path: &Path, directory: &Path) -> Result<File, Box<dyn Error>> {
    if metadata(path)?.is_some_and(|metadata| !metadata.is_file() || metadata.len() > 0) {
        return Err(refused(path, "no lock, which would be an empty file"));
    }
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    let lock = opened.map_err(|error| at(path, &error))?;
    lock.try_lock().map_err(|_| format!("another run writes to {}", directory.display()))?;
    Ok(lock)
}

/// Metadata of a path, if it exists; a link is not followed.
fn metadata(path: &Path) -> Result<Option<Metadata>, Box<dyn Error>> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path, &error)),
    }
}

fn is_history(text: &[u8]) -> bool {
    serde_json::from_slice::<Value>(text).is_ok_and(|value| FIELDS.iter().all(|field| value.get(field).is_some()))
}

fn refused(path: &Path, what: &str) -> Box<dyn Error> {
    format!("{} is there and {what}; move it away or name another directory", path.display()).into()
}

fn at(path: &Path, error: &std::io::Error) -> Box<dyn Error> {
    format!("{}: {error}", path.display()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(directory: &Path) -> String {
        Place::take(directory).expect_err("somebody's file").to_string()
    }

    #[test]
    fn a_slash_at_the_end_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["new/encoder", "new/encoder/", "new/encoder//", "new/./encoder/."] {
            let place = Place::take(&folder.path().join(name)).unwrap();
            assert_eq!(place.directory(), folder.path().join("new/encoder"));
            assert_eq!(place.beside("checkpoint"), folder.path().join("new/encoder.checkpoint"));
            assert!(folder.path().join("new/encoder.lock").is_file() && !place.directory().exists());
        }
        for nameless in ["", ".", "..", "/", "new/.."] {
            assert!(refusal(Path::new(nameless)).contains("no name of its own"), "{nameless:?}");
        }
    }

    #[test]
    fn an_encoder_may_be_replaced_and_files_of_others_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("encoder");
        std::fs::create_dir(&directory).unwrap();
        assert!(refusal(&directory).contains("no encoder"));
        std::fs::write(directory.join("config.json"), "{}").unwrap();
        Place::take(&directory).unwrap();
        std::fs::write(directory.join("notes.txt"), "mine").unwrap();
        assert!(refusal(&directory).contains("notes.txt"));
    }

    #[test]
    fn a_place_is_for_one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("encoder");
        let first = Place::take(&directory).unwrap();
        assert!(refusal(&folder.path().join("encoder/")).contains("another run"));
        drop(first);
        Place::take(&directory).unwrap();
    }

    #[test]
    fn a_lock_or_history_of_somebody_else_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for (end, content) in [("lock", "mine"), ("history.json", "mine"), ("history.json", r#"{"history": []}"#)] {
            let path = folder.path().join(format!("encoder.{end}"));
            std::fs::write(&path, content).unwrap();
            let refused = refusal(&folder.path().join("encoder"));
            assert!(refused.contains(path.to_str().unwrap()) && refused.contains("move it away"), "{refused}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
            std::fs::remove_file(path).unwrap();
        }
        let ours = r#"{"masks": {}, "settings": {}, "blocks": 9, "loss_by_frequency": 3.0, "history": {}}"#;
        std::fs::write(folder.path().join("encoder.history.json"), ours).unwrap();
        Place::take(&folder.path().join("encoder")).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn links_in_the_place_of_lock_or_history_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        for end in ["lock", "history.json"] {
            let path = folder.path().join(format!("encoder.{end}"));
            std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
            assert!(refusal(&folder.path().join("encoder")).contains("move it away"));
            assert!(!folder.path().join("elsewhere").exists());
            std::fs::remove_file(path).unwrap();
        }
    }
}
