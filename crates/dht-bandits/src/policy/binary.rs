//! Binary files for the saved states of policies: a header, the state, and a checksum.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::files::replace_file;

/// Magic bytes at the start of a binary state file. A transfer in text mode would change the last two bytes, a line
/// end, and so be detected.
const MAGIC: &[u8; 8] = b"bandit\r\n";

/// Version of the file header and of the encoding. The saved state has a separate format version.
const VERSION: u32 = 1;

/// Length of the file header in bytes: magic bytes, version, and length of the state.
const HEADER: usize = 8 + 4 + 8;

const CHECKSUM: usize = 32;

/// Writes a policy, a [`Checkpoint`](super::Checkpoint) or any other state to a binary file with a checksum. The file
/// is written completely or not at all. Each number takes about 9 bytes, compared with about 20 bytes in JSON.
///
/// The file consists of eight magic bytes, the version of the format (4 bytes, little-endian), the number of bytes of
/// the state (8 bytes), the state as MessagePack, and the SHA-256 of all preceding bytes. From binary files this
/// release reads only states of its own format version; from JSON it also reads all earlier versions.
///
/// ```
/// use dht_bandits::policy::{load_binary, save_binary};
/// use dht_bandits::{LinUcb, Ridge, Ucb};
///
/// # let file = std::env::temp_dir().join(format!("binary-state-{}", std::process::id()));
/// let policy = LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 })?;
/// save_binary(&file, &policy)?;
/// let loaded: LinUcb = load_binary(&file)?;
/// assert_eq!(loaded.state(), policy.state());
/// # std::fs::remove_file(&file).ok();
/// # Ok::<(), dht_bandits::Error>(())
/// ```
///
/// # Errors
/// - [`Error::File`] if the file cannot be written or is not a regular file.
/// - [`Error::Settings`] if the state cannot be encoded.
pub fn save_binary(path: impl AsRef<Path>, state: &impl Serialize) -> Result<()> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    rmp_serde::encode::write(&mut bytes, state).map_err(|error| Error::Settings { problem: error.to_string() })?;
    let length = (bytes.len() - HEADER) as u64;
    bytes[HEADER - 8..HEADER].copy_from_slice(&length.to_le_bytes());
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    replace_file(path.as_ref(), &bytes)
}

/// Reads a state from a binary file that [`save_binary`] wrote, and checks it.
///
/// # Errors
/// - [`Error::File`] if the file cannot be read.
/// - [`Error::Settings`], with the file's name, if the file is not in this format, is cut off or damaged, has a newer
///   version, or holds another kind of state.
pub fn load_binary<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|error| Error::file(path, &error))?;
    let refuse = |problem: String| Error::Settings { problem: format!("{}: {problem}", path.display()) };
    let state = state_of(&bytes).map_err(refuse)?;
    rmp_serde::from_slice(state).map_err(|error| refuse(error.to_string()))
}

/// Extracts the encoded state from the bytes of a file, after checking the header and the checksum.
fn state_of(bytes: &[u8]) -> Result<&[u8], String> {
    let start = &bytes[..bytes.len().min(MAGIC.len())];
    if start.is_empty() || !MAGIC.starts_with(start) {
        let hint = if bytes.first() == Some(&b'{') { ": it is JSON, which `load` reads" } else { "" };
        return Err(format!("this is not a binary state{hint}"));
    }
    let part = |from: usize| bytes.get(from..from + 8).and_then(|part| part.try_into().ok()).map(u64::from_le_bytes);
    let version = bytes.get(8..12).and_then(|part| part.try_into().ok()).map(u32::from_le_bytes);
    if let Some(version) = version.filter(|version| *version != VERSION) {
        return Err(format!("the binary format has version {version}, this release reads version {VERSION}"));
    }
    let expected = part(12).and_then(|length| length.checked_add((HEADER + CHECKSUM) as u64));
    if expected.is_none_or(|expected| (bytes.len() as u64) < expected) {
        let expected = expected.map_or("more".to_owned(), |expected| expected.to_string());
        return Err(format!("the file ends after {} bytes, expected {expected}: it is torn", bytes.len()));
    }
    if expected != Some(bytes.len() as u64) {
        return Err(format!("{} bytes follow the state", bytes.len() as u64 - expected.unwrap_or(0)));
    }
    let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM);
    if Sha256::digest(content)[..] != *checksum {
        return Err("the checksum does not fit: the file is damaged".to_owned());
    }
    Ok(&content[HEADER..])
}
