//! Locked directory of a run that can be stopped and resumed, with a description of the run and the results of its
//! steps.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dht_dynamic::transformer::storage::{FileKind, read_file, write_atomically};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Name of the lock file. A resumed run must not delete it: one process could then lock the deleted file while another
/// locks a new one.
pub(super) const LOCK: &str = ".lock";
/// Key of the format name in a stored description of a run.
const FORMAT: &str = "format";

/// Locked directory of a run that can be stopped and resumed. The lock ends when the value is dropped or the process
/// ends.
///
/// # Examples
/// ```
/// use dht_cli::RunDir;
/// use serde_json::{Map, json};
///
/// # let place = tempfile::tempdir()?;
/// # let folder = place.path().join("run");
/// let run = RunDir::open(&folder)?;
/// assert_eq!(run.description("run.json", "my program 1")?, None);
///
/// let settings = Map::from_iter([("epochs".into(), json!(3))]);
/// run.describe("run.json", "my program 1", &settings)?;
/// assert_eq!(run.description("run.json", "my program 1")?, Some(settings));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RunDir {
    folder: PathBuf,
    _lock: File,
}

/// Setting that differs between the descriptions of two runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Name of the setting.
    pub name: String,
    /// Value in the stored description.
    pub there: Value,
    /// Value in the description of this run.
    pub here: Value,
}

impl RunDir {
    /// Locks a directory for this process, and creates it if it is missing.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process holds the lock; [`Error::Foreign`] if something else is at the path of the
    /// lock; [`Error::Io`] if the directory cannot be created or locked.
    ///
    /// # Examples
    /// ```
    /// use dht_cli::{Error, RunDir};
    ///
    /// # let place = tempfile::tempdir()?;
    /// # let folder = place.path();
    /// let run = RunDir::open(folder)?;
    /// assert!(matches!(RunDir::open(folder), Err(Error::InUse { .. })));
    /// drop(run);
    /// assert!(RunDir::open(folder).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })?;
        let path = folder.join(LOCK);
        // A lock file is an empty regular file; links are not followed.
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file() || metadata.len() > 0) {
            return Err(Error::Foreign { path });
        }
        let failed = |source| Error::Io { path: path.clone(), source };
        let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: folder.into() }),
            // On a file system without locks, the run continues without one.
            Err(TryLockError::Error(source)) if source.kind() != ErrorKind::Unsupported => Err(failed(source)),
            _ => Ok(Self { folder: folder.into(), _lock: file }),
        }
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Reads the description of the run to which the directory belongs; `None` for a new directory.
    ///
    /// # Errors
    /// [`Error::Foreign`] if the file is not a description of this format.
    pub fn description(&self, file: &str, format: &str) -> Result<Option<Map<String, Value>>> {
        let path = self.folder.join(file);
        match read_file(&path, FileKind::Description) {
            Ok(bytes) => {
                let mut stored: Map<String, Value> = serde_json::from_slice(&bytes).unwrap_or_default();
                if stored.remove(FORMAT).is_none_or(|value| value != format) {
                    return Err(Error::Foreign { path });
                }
                Ok(Some(stored))
            }
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    /// Writes the description of this run, `of`, to a file in the directory.
    ///
    /// # Errors
    /// [`Error::Transformer`] if the file cannot be written.
    pub fn describe(&self, file: &str, format: &str, of: &Map<String, Value>) -> Result<()> {
        let mut description = of.clone();
        description.insert(FORMAT.into(), format.into());
        self.write(&self.folder.join(file), &description)
    }

    /// Returns the stored result of a step, or runs the step and stores its result. A result that is not `valid` is
    /// computed again.
    ///
    /// # Errors
    /// Errors of `run`; [`Error::Transformer`] if the result cannot be written.
    ///
    /// # Examples
    /// ```
    /// use dht_cli::{Error, RunDir};
    ///
    /// # let place = tempfile::tempdir()?;
    /// let run = RunDir::open(place.path())?;
    /// let first = run.once("rate.json", |rate: &f64| *rate > 0.0, || Ok::<f64, Error>(0.001))?;
    /// // The second call reads the stored result.
    /// let second = run.once("rate.json", |rate: &f64| *rate > 0.0, || Ok::<f64, Error>(0.5))?;
    /// assert_eq!((first, second), (0.001, 0.001));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn once<T: Serialize + DeserializeOwned, E: From<Error>>(
        &self,
        file: impl AsRef<Path>,
        valid: impl Fn(&T) -> bool,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let path = self.folder.join(file);
        let result = read_file(&path, FileKind::Description).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match result.filter(valid) {
            Some(result) => Ok(result),
            None => {
                let result = run()?;
                self.write(&path, &result)?;
                Ok(result)
            }
        }
    }

    fn write(&self, path: &Path, value: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string_pretty(value)
            .map_err(|error| Error::Io { path: path.into(), source: std::io::Error::other(error) })?;
        Ok(write_atomically(path, |file| writeln!(file, "{json}"))?)
    }
}

impl Difference {
    /// Finds the first setting, by name, in which a stored description differs from this run's; `None` if they are
    /// equal.
    ///
    /// # Examples
    /// ```
    /// use dht_cli::Difference;
    /// use serde_json::{Map, json};
    ///
    /// let stored = Map::from_iter([("epochs".into(), json!(3)), ("seed".into(), json!(1))]);
    /// let asked = Map::from_iter([("epochs".into(), json!(4)), ("seed".into(), json!(1))]);
    /// let difference = Difference::first(&stored, &asked).expect("the epochs differ");
    /// assert_eq!(difference.name, "epochs");
    /// assert_eq!((difference.there, difference.here), (json!(3), json!(4)));
    /// assert_eq!(Difference::first(&stored, &stored), None);
    /// ```
    pub fn first(stored: &Map<String, Value>, asked: &Map<String, Value>) -> Option<Self> {
        let value = |of: &Map<String, Value>, name: &String| of.get(name).cloned().unwrap_or(Value::Null);
        let mut names: Vec<&String> = stored.keys().chain(asked.keys()).collect();
        names.sort();
        let name = names.into_iter().find(|name| value(stored, name) != value(asked, name))?;
        Some(Self { name: name.clone(), there: value(stored, name), here: value(asked, name) })
    }
}
