//! Atomic writes of files and directories, safe against crashes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{NamedTempFile, TempDir};

use crate::error::{Error, Result};

/// Writes a file atomically: other processes see the old or the new content, even after a crash, and never a part of
/// it.
///
/// The content is written to a temporary file next to the target, flushed to the disk, and then renamed over the
/// target. If `write` fails, an existing file keeps its content. A replaced file keeps its permissions; a file without
/// write permission is not replaced. If the path is a symbolic link, its target is written and the link remains. A
/// device or a pipe is written directly, since a rename would replace it by a file.
///
/// # Errors
/// [`Error::Io`] if the directory is missing, the target is a directory, or writing or renaming fails.
///
/// # Examples
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("result.txt");
/// dht_transformer::storage::write_atomically(&path, |file| writeln!(file, "0.94"))?;
/// assert_eq!(std::fs::read_to_string(&path)?, "0.94\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomically(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let path = path.as_ref();
    let failed = |source| Error::io(path, source);
    let mut permissions = None;
    let linked = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
        // After a rename, the process that has a file open would still have the old one.
        Ok(metadata) if !metadata.is_file() || is_open_file(path) => {
            let mut file = BufWriter::new(File::options().append(true).open(path).map_err(failed)?);
            write(&mut file).map_err(failed)?;
            return file.flush().map_err(failed);
        }
        Ok(metadata) => {
            // A file that may not be written may not be replaced.
            File::options().append(true).open(path).map_err(failed)?;
            permissions = Some(metadata.permissions());
            path.canonicalize().map_err(failed)?
        }
        Err(_) => without_link(path),
    };
    let folder = folder_of(&linked);
    let mut builder = temporary();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // For a missing folder, its own error is clearer than that of a temporary file's name.
    std::fs::metadata(folder).map_err(failed)?;
    let (_listed, mut file) = Listed::create(|| builder.tempfile_in(folder), NamedTempFile::path).map_err(failed)?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    write(&mut buffered).map_err(failed)?;
    buffered.flush().map_err(failed)?;
    drop(buffered);
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions).map_err(failed)?;
    }
    file.as_file().sync_all().map_err(failed)?;
    // Either the rename or the removal by a signal comes first.
    let held = unfinished();
    file.persist(&linked).map_err(|error| failed(error.error))?;
    drop(held);
    synchronise_folder(folder).map_err(failed)
}

/// Resolves a symbolic link to its target, even if the target does not exist. Any other path is returned unchanged.
fn without_link(path: &Path) -> PathBuf {
    let linked = path.canonicalize().ok().filter(|_| path.is_symlink());
    linked
        .unwrap_or_else(|| std::fs::read_link(path).map_or_else(|_| path.into(), |target| folder_of(path).join(target)))
}

/// Temporary files and directories that this process has not finished writing.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Guard that removes its path from the list [`UNFINISHED`] when it is dropped.
struct Listed(PathBuf);

impl Listed {
    fn create<T>(create: impl FnOnce() -> io::Result<T>, path: fn(&T) -> &Path) -> io::Result<(Self, T)> {
        let mut unfinished = unfinished();
        let created = create()?;
        unfinished.insert(path(&created).into());
        let own = Self(path(&created).into());
        Ok((own, created))
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        unfinished().remove(&self.0);
    }
}

/// Removes the temporary files and directories of all [atomic writes](write_atomically) in progress.
///
/// Threads with such a write then block forever. Call this function only when the process is about to end, such as
/// after a signal.
pub fn abandon_unfinished_files() {
    let unfinished = unfinished();
    for path in unfinished.iter() {
        let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
    std::mem::forget(unfinished);
}

/// Checks that a file can be written. Call it before a long computation whose result is saved to the file.
///
/// The file's directory must exist and be writable, and the path must not be a directory. Nothing is written. The
/// function can be used as a value parser of clap.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
///
/// # Examples
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("result.txt");
/// assert_eq!(dht_transformer::storage::writable_file(path.to_str().unwrap())?, path);
/// assert!(dht_transformer::storage::writable_file("no/such/folder/result.txt").is_err());
/// assert!(!path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn writable_file(path: &str) -> Result<PathBuf> {
    let path = PathBuf::from(path);
    let opened = match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // Opening a pipe would wait for its reader.
        Ok(metadata) if !metadata.is_file() => Ok(()),
        Ok(_) => File::options().append(true).open(&path).map(drop),
        Err(_) => std::fs::metadata(folder_of(&path))
            .and_then(|_| Listed::create(|| temporary().tempfile_in(folder_of(&path)), NamedTempFile::path))
            // Removed before it leaves the list: a signal between the two must not leave it.
            .map(|(listed, file)| {
                drop(file);
                drop(listed);
            }),
    };
    opened.map(|()| path.clone()).map_err(|source| Error::io(path, source))
}

/// Returns whether a path is an open file descriptor of a process, such as `/dev/stdout`.
fn is_open_file(path: &Path) -> bool {
    let names = ["/proc", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"];
    names.iter().any(|name| path.starts_with(name))
}

/// Writes a directory atomically: other processes see the old or the new directory, even after a crash, and never a
/// part of it.
///
/// `fill` writes the files into a temporary directory next to the target. The two directories are then exchanged, and
/// the old one is removed. Some file systems cannot exchange two directories. There, the old directory is moved aside
/// first. It is moved back if the second rename fails. If the process is killed between the renames,
/// [`restore_replaced`] moves it back. If the path is a symbolic link, its target is replaced and the link remains.
///
/// To protect unrelated files, an existing directory is replaced only in two cases: it is empty, or it contains the
/// first of `entries` and nothing that is not in `entries`.
///
/// # Errors
/// [`Error::ForeignDirectory`] if the target holds another entry, or lacks the first of `entries`. [`Error::Io`] if
/// creating or renaming fails. Errors of `fill`. After an error, the target is unchanged.
///
/// # Examples
/// ```
/// use dht_transformer::{Error, storage::{write_atomically, write_directory_atomically}};
///
/// let folder = tempfile::tempdir()?;
/// let target = folder.path().join("run");
/// write_directory_atomically(&target, &["score.txt"], |fresh| {
///     write_atomically(fresh.join("score.txt"), |file| writeln!(file, "0.94"))
/// })?;
/// assert_eq!(std::fs::read_to_string(target.join("score.txt"))?, "0.94\n");
/// let other = write_directory_atomically(&target, &["other.txt"], |_| Ok(()));
/// assert!(matches!(other, Err(Error::ForeignDirectory { entry, .. }) if entry == "score.txt"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_directory_atomically(
    target: impl AsRef<Path>,
    entries: &[&str],
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let target = &*without_link(&without_separator(target.as_ref()));
    let failed = |source| Error::io(target, source);
    restore_replaced(target)?;
    // A process was killed after the renames.
    let _ = std::fs::remove_dir_all(aside(target));
    refuse_foreign(target, entries)?;
    let parent = folder_of(target);
    std::fs::create_dir_all(parent).map_err(failed)?;
    let mut builder = temporary();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let (listed, fresh) = Listed::create(|| builder.tempdir_in(parent), TempDir::path).map_err(failed)?;
    fill(fresh.path())?;
    synchronise_folder(fresh.path()).map_err(failed)?;
    if exchange(fresh.path(), target) {
        // The old directory is removed under the name of the temporary one.
        return synchronise_folder(parent).map_err(failed);
    }
    replace_in_two_steps(fresh.path(), target).map_err(failed)?;
    // The directory is now at the target: nothing remains to be removed under the old name.
    let _ = fresh.keep();
    drop(listed);
    synchronise_folder(parent).map_err(failed)
}

/// Replaces a directory by two renames: the old directory is moved aside, and then the new one is moved to its place.
/// If the process is killed between the renames, [`restore_replaced`] moves the old directory back.
fn replace_in_two_steps(fresh: &Path, target: &Path) -> io::Result<()> {
    // Either the renames or the removal by a signal comes first.
    let _held = unfinished();
    let old = aside(target);
    loop {
        let replaces = target.symlink_metadata().is_ok();
        if replaces {
            std::fs::rename(target, &old)?;
        }
        match std::fs::rename(fresh, target) {
            Ok(()) => {
                // If the removal fails, the next replacement removes the old directory.
                let _ = if replaces { std::fs::remove_dir_all(&old) } else { Ok(()) };
                return Ok(());
            }
            // A reader has moved the old directory back.
            Err(_) if replaces && !old.exists() => {}
            Err(source) if replaces => {
                std::fs::rename(&old, target)?;
                return Err(source);
            }
            Err(source) => return Err(source),
        }
    }
}

/// Path to which an old directory is moved while [`write_directory_atomically`] replaces it.
fn aside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    folder_of(target).join(format!(".partial-{name}.replaced"))
}

/// Restores a directory that is missing because a process was killed while it [replaced the
/// directory](write_directory_atomically).
///
/// This happens only on file systems that cannot exchange two directories. An existing directory, and a path without an
/// old directory to restore, remain unchanged.
///
/// # Errors
/// [`Error::Io`] if the old directory exists and cannot be moved.
///
/// # Examples
/// ```
/// let folder = tempfile::tempdir()?;
/// std::fs::create_dir(folder.path().join(".partial-model.replaced"))?;
/// dht_transformer::storage::restore_replaced(folder.path().join("model"))?;
/// assert!(folder.path().join("model").is_dir());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn restore_replaced(directory: impl AsRef<Path>) -> Result<()> {
    let target = &*without_link(&without_separator(directory.as_ref()));
    let old = aside(target);
    if target.symlink_metadata().is_ok() || !old.is_dir() {
        return Ok(());
    }
    match std::fs::rename(&old, target) {
        // Another process was faster.
        Err(_) if target.is_dir() => Ok(()),
        moved => moved.map_err(|source| Error::io(old, source)),
    }
}

/// Removes a trailing separator of a path. With a separator, the operating system would follow a symbolic link.
fn without_separator(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Exchanges two directories atomically. Returns `false` if the system cannot do this, or one of them is missing.
fn exchange(first: &Path, second: &Path) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        second.is_dir() && renameat_with(CWD, first, CWD, second, RenameFlags::EXCHANGE).is_ok()
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    {
        let _ = (first, second);
        false
    }
}

/// Checks that replacing a directory would lose no unrelated file. The directory must be missing or empty, or contain
/// the first of `names` and no entry that is not in `names`.
pub(crate) fn refuse_foreign(folder: &Path, names: &[&str]) -> Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::io(folder, source)),
    };
    let is_such = names.first().is_some_and(|first| folder.join(first).exists());
    let mut foreign = Vec::new();
    for entry in entries {
        let name = entry.map_err(|source| Error::io(folder, source))?.file_name().to_string_lossy().into_owned();
        if !is_such || !names.contains(&name.as_str()) {
            foreign.push(name);
        }
    }
    match foreign.into_iter().min() {
        Some(entry) => Err(Error::ForeignDirectory { path: folder.into(), entry }),
        None => Ok(()),
    }
}

/// First bytes of a Git LFS pointer, a small text file in place of a large file. Neither JSON nor weight files begin
/// with these bytes.
pub(crate) const GIT_LFS: [u8; 8] = *b"version ";

pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Builder of temporary files and directories with a name that identifies them after a crash.
fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    builder
}

/// Flushes a directory to the disk, so that a rename in it survives a power failure. Has no effect except on Unix.
pub(crate) fn synchronise_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{FileTypeExt, symlink};

    use super::*;

    #[test]
    fn a_link_stays_and_its_file_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        std::fs::write(&file, "old").expect("a file");
        symlink(&file, &link).expect("a link");
        write_atomically(&link, |out| out.write_all(b"new")).expect("written");
        assert!(link.symlink_metadata().expect("a link").is_symlink());
        assert_eq!(std::fs::read_to_string(&file).expect("a file"), "new");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2);
        std::fs::remove_file(&file).expect("removed");
        write_atomically(&link, |out| out.write_all(b"again")).expect("written");
        assert!(link.symlink_metadata().expect("a link").is_symlink());
        assert_eq!(std::fs::read_to_string(&file).expect("a file"), "again");
    }

    #[test]
    fn a_directory_without_its_first_entry_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("mine");
        let write = || {
            write_directory_atomically(&target, &["run.json", "README.md"], |fresh| {
                write_atomically(fresh.join("run.json"), |file| file.write_all(b"{}"))
            })
        };
        write().expect("written");
        write().expect("replaced");
        std::fs::remove_file(target.join("run.json")).expect("removed");
        std::fs::write(target.join("README.md"), "mine").expect("a file");
        assert!(matches!(write(), Err(Error::ForeignDirectory { entry, .. }) if entry == "README.md"));
        assert_eq!(std::fs::read_to_string(target.join("README.md")).expect("a file"), "mine");
    }

    #[test]
    fn a_link_to_a_directory_stays_and_its_directory_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let [store, link] = ["store", "current"].map(|name| folder.path().join(name));
        symlink("store", &link).expect("a link");
        let write = |target: &Path, text: &'static str| {
            write_directory_atomically(target, &["run.json"], |fresh| {
                write_atomically(fresh.join("run.json"), |file| file.write_all(text.as_bytes()))
            })
        };
        for (target, text) in [(link.clone(), "first"), (link.clone(), "second"), (link.join(""), "third")] {
            write(&target, text).expect("written");
            assert!(link.symlink_metadata().expect("a link").is_symlink());
            assert_eq!(std::fs::read_to_string(store.join("run.json")).expect("a file"), text);
        }
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 2, "no temporary directory is left");
    }

    #[test]
    fn without_an_exchange_a_kill_leaves_the_old_directory() {
        let folder = tempfile::tempdir().expect("a folder");
        let [fresh, target] = ["fresh", "model"].map(|name| folder.path().join(name));
        let make = |path: &Path, text: &str| {
            std::fs::create_dir(path).expect("a folder");
            std::fs::write(path.join("run.json"), text).expect("a file");
        };
        let content = || std::fs::read_to_string(target.join("run.json")).expect("a file");
        let entries = || std::fs::read_dir(folder.path()).expect("a folder").count();
        for text in ["first", "second"] {
            make(&fresh, text);
            replace_in_two_steps(&fresh, &target).expect("replaced");
            assert_eq!((content().as_str(), entries()), (text, 1));
        }
        // A kill between the two renames.
        std::fs::rename(&target, aside(&target)).expect("moved aside");
        restore_replaced(target.join("")).expect("restored");
        assert_eq!((content().as_str(), entries()), ("second", 1));
        // A kill before the old directory is removed: it must not come back, nor stay.
        make(&aside(&target), "first");
        restore_replaced(&target).expect("nothing to do");
        assert_eq!((content().as_str(), entries()), ("second", 2));
        write_directory_atomically(&target, &["run.json"], |fresh| {
            write_atomically(fresh.join("run.json"), |file| file.write_all(b"third"))
        })
        .expect("written");
        assert_eq!((content().as_str(), entries()), ("third", 1));
        // A new directory that is missing: the old one stays.
        assert!(replace_in_two_steps(&fresh, &target).is_err());
        assert_eq!((content().as_str(), entries()), ("third", 1));
    }

    #[test]
    fn a_regular_file_is_replaced_whole_wherever_it_lies() {
        for folder in ["/dev/shm", "/tmp"].map(Path::new).into_iter().filter(|folder| folder.is_dir()) {
            let Ok(folder) = tempfile::tempdir_in(folder) else { continue };
            let path = folder.path().join("file");
            std::fs::write(&path, "a long old text").expect("a file");
            write_atomically(&path, |out| out.write_all(b"new")).expect("written");
            assert_eq!(std::fs::read_to_string(&path).expect("a file"), "new");
        }
    }

    #[test]
    fn an_open_file_is_appended_to_by_its_descriptor() {
        use std::os::fd::AsRawFd;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut open = File::create(&path).expect("a file");
        open.write_all(b"before ").expect("written");
        let name = format!("/dev/fd/{}", open.as_raw_fd());
        if Path::new(&name).exists() {
            write_atomically(&name, |out| out.write_all(b"after")).expect("written");
            assert_eq!(std::fs::read_to_string(&path).expect("a file"), "before after");
        }
    }

    #[test]
    fn devices_stay_what_they_are_and_directories_are_refused() {
        // A copy of the device, if this process may create one; else the system's own, which it then cannot replace
        // either.
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("full");
        let made = std::process::Command::new("mknod").arg(&own).args(["c", "1", "7"]).status();
        let device = if made.is_ok_and(|status| status.success()) { own } else { "/dev/full".into() };
        if !device.exists() {
            // Tests that pass keep what they print to themselves.
            let _ = writeln!(std::io::stderr(), "skipped: this system has no full device");
            return;
        }
        let full = write_atomically(&device, |out| out.write_all(b"text"));
        assert!(matches!(full, Err(Error::Io { .. })), "{full:?}");
        assert!(device.metadata().expect("a device").file_type().is_char_device());
        let refused = write_atomically(folder.path(), |out| out.write_all(b"text"));
        assert!(
            matches!(&refused, Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::IsADirectory),
            "{refused:?}"
        );
        let missing = write_atomically(folder.path().join("none/file"), |out| out.write_all(b"text"));
        assert!(!missing.expect_err("no folder").to_string().contains("partial"));
    }
}
