//! Files of a decision log (segments): numbered files of JSON lines in one folder.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{LogError, LogProblem};
use super::lines::{LONGEST_LINE, Lines, is_whole};

pub(super) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.jsonl"))
}

pub(super) fn segments(folder: &Path) -> Result<Vec<u64>, LogError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(|source| LogError::io(folder, source))? {
        let name = entry.map_err(|source| LogError::io(folder, source))?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(".jsonl")).and_then(|stem| stem.parse().ok());
        // Files with other names do not belong to the log.
        numbers.extend(number.filter(|number| path_of(folder, *number).file_name() == Some(&name)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes an incomplete last line of a log file, or adds the missing newline to a complete one, and seeks to the end.
/// Returns the new length and the number of removed bytes.
pub(super) fn cut_torn_line(file: &mut File) -> std::io::Result<(u64, u64)> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = [0u8; 4096];
    while end > 0 {
        let size = end.min(block.len() as u64);
        file.seek(SeekFrom::Start(end - size))?;
        let bytes = &mut block[..size as usize];
        file.read_exact(bytes)?;
        if let Some(newline) = bytes.iter().rposition(|byte| *byte == b'\n') {
            end = end - size + newline as u64 + 1;
            break;
        }
        end -= size;
    }
    if end < length && length - end <= LONGEST_LINE {
        let mut line = Vec::new();
        file.seek(SeekFrom::Start(end))?;
        file.read_to_end(&mut line)?;
        if is_whole(&line) {
            file.write_all(b"\n")?;
            return Ok((length + 1, 0));
        }
    }
    if end < length {
        file.set_len(end)?;
    }
    file.seek(SeekFrom::Start(end))?;
    Ok((end, length - end))
}

/// Locks a folder for one writer. A child process that another thread is starting may briefly hold this process's
/// locks. The function waits until it releases them.
pub(super) fn lock_folder(lock: &File, folder: &Path) -> Result<(), LogError> {
    for _ in 0..20 {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::Error(source)) => return Err(LogError::io(folder, source)),
        }
    }
    Err(LogError::InUse { path: folder.to_owned() })
}

/// Returns an error if the path exists and is not a regular file. Reading a device might never end, and opening a pipe
/// might block.
pub(super) fn check_regular(path: &Path) -> Result<(), LogError> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            Err(LogError::File { path: path.to_owned(), problem: LogProblem::NotRegular })
        }
        _ => Ok(()),
    }
}

pub(super) fn read_segment(folder: &Path, number: u64) -> Result<Lines<BufReader<File>>, LogError> {
    let path = path_of(folder, number);
    check_regular(&path)?;
    let file = File::open(&path).map_err(|source| LogError::io(&path, source))?;
    Ok(Lines::new(BufReader::with_capacity(1 << 16, file), &path))
}

/// Opens the log file with this number. `None` if the file was deleted since the folder was listed.
pub(super) fn read_if_there(folder: &Path, number: u64) -> Result<Option<Lines<BufReader<File>>>, LogError> {
    match read_segment(folder, number) {
        Err(error) if error.is_not_found() => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// Number of bytes before a log position whose hash identifies the position.
pub(super) const TAIL: usize = 256;

/// Reads up to [`TAIL`] bytes before a position of a file, and leaves the file at the position.
pub(super) fn bytes_before(file: &mut File, byte: u64) -> std::io::Result<Vec<u8>> {
    let length = byte.min(TAIL as u64);
    file.seek(SeekFrom::Start(byte - length))?;
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// FNV-1a hash, of which the upper 63 of 64 bits are used, because formats such as TOML have signed integers.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let fnv = |digest: u64, byte: &u8| (digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv) >> 1
}

/// Position after the log line that begins at `byte`, with the hash of the bytes before that position.
pub(crate) fn after_line(folder: &Path, (number, byte): (u64, u64)) -> Result<((u64, u64), u64), LogError> {
    let path = path_of(folder, number);
    let end = || -> std::io::Result<((u64, u64), u64)> {
        let mut lines = BufReader::new(File::open(&path)?);
        lines.seek(SeekFrom::Start(byte))?;
        let byte = byte + lines.read_until(b'\n', &mut Vec::new())? as u64;
        Ok(((number, byte), digest(&bytes_before(lines.get_mut(), byte)?)))
    };
    end().map_err(|source| LogError::io(&path, source))
}

/// Checks that a saved position belongs to the log in a folder. The log must reach the position, and the bytes before
/// the position must have the hash `expected`.
pub(crate) fn check_position(folder: &Path, (file, byte): (u64, u64), expected: u64) -> Result<(), LogError> {
    let path = path_of(folder, file);
    let length = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(source) => return Err(LogError::io(&path, source)),
    };
    if length < byte {
        return Err(LogError::File { path, problem: LogProblem::EndsBefore { length, byte } });
    }
    if byte == 0 {
        return Ok(());
    }
    check_regular(&path)?;
    let before = File::open(&path).and_then(|mut file| bytes_before(&mut file, byte));
    match before.map_err(|source| LogError::io(&path, source))? {
        bytes if digest(&bytes) == expected => Ok(()),
        _ => Err(LogError::File { path, problem: LogProblem::OtherBytes { byte } }),
    }
}
