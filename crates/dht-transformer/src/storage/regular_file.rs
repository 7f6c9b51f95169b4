//! Reading of whole files, such as models and saved states, with a maximum size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// Kind of file that is read as a whole. It determines the maximum size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// JSON description, such as a configuration, model or state; at most 64 MiB.
    Description,
    /// Tokenizer file; at most 512 MiB.
    Tokenizer,
    /// Weights or another large file of numbers; at most 4 GiB.
    Weights,
}

impl FileKind {
    /// Checks the size of a file against the maximum for its kind, without reading it.
    ///
    /// # Errors
    /// Errors of the operating system, and an error if the file exceeds the maximum size of its kind.
    pub fn check(self, path: impl AsRef<Path>) -> io::Result<()> {
        let (length, most) = (path.as_ref().metadata()?.len(), self.most_bytes());
        if length > most { Err(too_long(length, most)) } else { Ok(()) }
    }

    fn most_bytes(self) -> u64 {
        match self {
            Self::Description => 64 << 20,
            Self::Tokenizer => 512 << 20,
            Self::Weights => 4 << 30,
        }
    }
}

/// Opens a regular file for reading. A pipe or a device is refused, since reading it might never end.
///
/// # Errors
/// Errors of the operating system; [`io::ErrorKind::IsADirectory`] for a directory.
pub(crate) fn open_file(path: impl AsRef<Path>) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // To open a pipe would wait for a writer.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    let facts = file.metadata()?;
    match (facts.is_file(), facts.is_dir()) {
        (true, _) => Ok(file),
        (_, true) => Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory, expected a file")),
        _ => Err(io::Error::other("is a pipe, a socket or a device, expected a file")),
    }
}

/// Reads a whole regular file, up to the maximum size for its kind. A pipe or a device is refused, since reading it
/// might never end.
///
/// # Errors
/// Errors of the operating system, and an error if the path is not a regular file or the file exceeds the maximum size.
///
/// # Examples
/// ```
/// use dht_transformer::storage::{FileKind, read_file};
///
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("a.json"), "{}")?;
/// assert_eq!(read_file(folder.path().join("a.json"), FileKind::Description)?, b"{}");
/// assert!(read_file(folder.path(), FileKind::Description).is_err());
/// # std::io::Result::Ok(())
/// ```
pub fn read_file(path: impl AsRef<Path>, kind: FileKind) -> io::Result<Vec<u8>> {
    let most = kind.most_bytes();
    let file = open_file(path)?;
    let length = file.metadata()?.len();
    if length > most {
        return Err(too_long(length, most));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    // The file may grow.
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_long(bytes.len() as u64, most)) } else { Ok(bytes) }
}

pub(crate) fn entry_names(folder: &Path) -> Result<Vec<String>> {
    let failed = |source| Error::io(folder, source);
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let name = |entry: std::io::Result<std::fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.map(name).collect::<std::io::Result<_>>().map_err(failed)?;
    names.sort();
    Ok(names)
}

fn too_long(length: u64, most: u64) -> io::Error {
    io::Error::other(format!("has {length} bytes, expected at most {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_holes_is_refused_without_being_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("holes.json");
        File::create(&path).and_then(|file| file.set_len(10 << 30)).expect("a sparse file");
        let refused = read_file(&path, FileKind::Description).expect_err("too long").to_string();
        assert_eq!(refused, "has 10737418240 bytes, expected at most 67108864");
        std::fs::write(&path, "{}").expect("a file");
        assert_eq!(read_file(&path, FileKind::Description).expect("a file"), b"{}");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_devices_and_directories_are_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).expect("a link");
        let circle = folder.path().join("circle");
        std::os::unix::fs::symlink(&circle, &circle).expect("a link");
        for path in [pipe.as_path(), link.as_path(), circle.as_path(), folder.path()] {
            assert!(read_file(path, FileKind::Description).is_err(), "{}", path.display());
        }
    }
}
