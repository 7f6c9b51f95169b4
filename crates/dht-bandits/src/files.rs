//! Atomic replacement of files.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Replaces a file atomically: readers see the old or the new content, never a part. The content is first written to a
/// temporary file in the same folder, which is then renamed.
///
/// # Errors
/// [`Error::File`] if a file cannot be written, or if the path is not a regular file.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<()> {
    let target = target_of(path).map_err(|error| Error::file(path, &error))?;
    let written = create_beside(&target).and_then(|(partial, mut file)| {
        let written = file.write_all(content).and_then(|()| file.sync_all());
        written.and_then(|()| std::fs::rename(&partial, &target)).inspect_err(|_| {
            // A failure to remove the second file is not reported in place of the first failure.
            let _ = std::fs::remove_file(&partial);
        })
    });
    written.map_err(|error| Error::file(path, &error))
}

/// Creates a temporary file in the folder of `target`. Its name is unique, so that concurrent saves to one path do not
/// write to the same file. Temporary files of interrupted saves stay, because another process may still be writing to
/// them.
///
/// # Errors
/// Fails if the file cannot be created.
fn create_beside(target: &Path) -> std::io::Result<(PathBuf, std::fs::File)> {
    static SAVES: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = SAVES.fetch_add(1, Ordering::Relaxed);
        let mut partial = target.as_os_str().to_owned();
        partial.push(format!(".{}-{number}.partial", std::process::id()));
        let partial = PathBuf::from(partial);
        match std::fs::File::create_new(&partial) {
            // Another save with the same process id left this file, perhaps in another container.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (partial, file)),
        }
    }
}

/// Follows symbolic links to the file that a path refers to. The file need not exist.
///
/// # Errors
/// Fails if the path exists and is not a regular file, or if links form a cycle.
fn target_of(path: &Path) -> std::io::Result<PathBuf> {
    let mut target = path.to_owned();
    // Linux follows the same number of links.
    for _ in 0..40 {
        match std::fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_symlink() => {
                let next = std::fs::read_link(&target)?;
                target = target.parent().unwrap_or(Path::new("")).join(next);
            }
            Ok(metadata) if metadata.is_file() => return Ok(target),
            Ok(metadata) if metadata.is_dir() => return Err(ErrorKind::IsADirectory.into()),
            Ok(_) => return Err(std::io::Error::new(ErrorKind::InvalidInput, "this is not a regular file")),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(target),
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::other("too many symbolic links"))
}
