//! Reader of checkpoint files, which validates every byte in one pass.

use std::io::{self, BufReader, Read};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use super::checkpoint::Checkpoint;
use super::format::{BEFORE_SUM, BLOCK, PREFIX, STATE, SUM_DIGITS, VERSION};
use crate::error::{CheckpointProblem as Problem, Error, Result};
use crate::storage::{StoredTensor, hexadecimal, open_file};

/// Maximum length in bytes of a checkpoint's header, the same as in safetensors.
const LONGEST_HEADER: u64 = 100_000_000;
const LENGTH_BYTES: u64 = size_of::<u64>() as u64;

/// Error of reading a checkpoint from a stream. The caller adds the path of the file.
#[derive(Debug)]
pub(crate) enum Failure {
    Io(io::Error),
    Problem(Problem),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Checkpoint {
    /// Reads a checkpoint that [`Checkpoint::save`] wrote.
    ///
    /// In addition to the checkpoint itself, reading takes memory for the header, the text of the state and one block
    /// of values. No allocation exceeds the length of the file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if the file is truncated, damaged, not a
    /// checkpoint, or written by a later release.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let attempt = || {
            let file = open_file(path)?;
            let length = file.metadata()?.len();
            Self::read(BufReader::new(file), length)
        };
        attempt().map_err(|failure| match failure {
            Failure::Io(source) => Error::io(path, source),
            Failure::Problem(problem) => Error::Checkpoint { path: path.into(), problem },
        })
    }

    /// Reads a checkpoint from a stream of `length` bytes.
    pub(crate) fn read(mut reader: impl Read, length: u64) -> Result<Self, Failure> {
        let (header, mut sum, expected_sum) = read_header(&mut reader, length)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| content(format!("its header: {error}")))?;
        let expected = LENGTH_BYTES + header.len() as u64 + metadata.data_len() as u64;
        if expected != length {
            return Err(Problem::Torn { expected, found: length }.into());
        }

        let mut checkpoint = Self::default();
        let mut state = None;
        // In the order of the data; Metadata has checked that there are no gaps.
        for name in metadata.offset_keys() {
            let Some(info) = metadata.info(&name) else { continue };
            match info.dtype {
                Dtype::F32 => {
                    let values = read_numbers(&mut reader, &mut sum, bytes(info) / size_of::<f32>())?;
                    checkpoint.tensors.insert(name, StoredTensor { shape: info.shape.clone(), values });
                }
                Dtype::U8 if name == STATE => {
                    let mut text = vec![0; bytes(info)];
                    reader.read_exact(&mut text)?;
                    sum.update(&text);
                    state = Some(text);
                }
                other => return Err(content(format!("its tensor {name} is of type {other:?}, expected F32")).into()),
            }
        }
        if hexadecimal(sum).as_bytes() != expected_sum {
            return Err(Problem::Checksum.into());
        }
        let state = state.ok_or_else(|| content(format!("its tensor {STATE} is missing")))?;
        checkpoint.state = serde_json::from_slice(&state).map_err(|error| content(format!("its {STATE}: {error}")))?;
        Ok(checkpoint)
    }
}

/// Reads the header of a checkpoint. Returns the header's bytes, the hash of the file up to there (with zeros in place
/// of the checksum), and the checksum that the header contains.
fn read_header(reader: &mut impl Read, length: u64) -> Result<(Vec<u8>, Sha256, [u8; SUM_DIGITS]), Failure> {
    // The length of the header is trusted only after the file is identified as a checkpoint.
    let start_length = length.min(LENGTH_BYTES + PREFIX.len() as u64) as usize;
    let mut start = vec![0; start_length];
    reader.read_exact(&mut start)?;
    let prefix = start.get(LENGTH_BYTES as usize..).unwrap_or_default();
    if !PREFIX.as_bytes().starts_with(prefix) {
        return Err(Problem::Foreign.into());
    }
    if prefix.len() < PREFIX.len() {
        return Err(Problem::Torn { expected: LENGTH_BYTES + PREFIX.len() as u64, found: length }.into());
    }
    let mut length_bytes = [0; LENGTH_BYTES as usize];
    length_bytes.copy_from_slice(&start[..LENGTH_BYTES as usize]);
    let header_length = u64::from_le_bytes(length_bytes);
    if header_length > LONGEST_HEADER {
        return Err(content(format!("its header has {header_length} bytes, expected at most {LONGEST_HEADER}")).into());
    }
    let expected = LENGTH_BYTES + header_length.max(PREFIX.len() as u64);
    if expected > length {
        return Err(Problem::Torn { expected, found: length }.into());
    }
    let mut header = start.split_off(LENGTH_BYTES as usize);
    header.resize((expected - LENGTH_BYTES) as usize, 0);
    reader.read_exact(&mut header[PREFIX.len()..])?;

    let sum_at = check_version(&header)?;
    let mut expected_sum = [b'0'; SUM_DIGITS];
    let place =
        header.get_mut(sum_at..sum_at + SUM_DIGITS).ok_or_else(|| content("its header ends within the sum".into()))?;
    place.swap_with_slice(&mut expected_sum);
    let mut sum = Sha256::new();
    sum.update(length_bytes);
    sum.update(&header);
    Ok((header, sum, expected_sum))
}

/// Checks that the checkpoint's format version is supported. Returns the position of the checksum within the header.
fn check_version(header: &[u8]) -> Result<usize, Failure> {
    let after = &header[PREFIX.len()..];
    let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let version: u64 = std::str::from_utf8(&after[..digits])
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| content("its version is no number".into()))?;
    if version > VERSION {
        return Err(Problem::Newer { found: version, supported: VERSION }.into());
    }
    if version != VERSION || !after[digits..].starts_with(BEFORE_SUM.as_bytes()) {
        return Err(content("its header does not start with format, version and sum".into()).into());
    }
    Ok(PREFIX.len() + digits + BEFORE_SUM.len())
}

fn read_numbers(reader: &mut impl Read, sum: &mut Sha256, elements: usize) -> io::Result<Vec<f32>> {
    let mut values = Vec::with_capacity(elements);
    let mut bytes = vec![0; elements.min(BLOCK) * size_of::<f32>()];
    while values.len() < elements {
        let block = (elements - values.len()).min(BLOCK);
        let bytes = &mut bytes[..block * size_of::<f32>()];
        reader.read_exact(bytes)?;
        sum.update(&*bytes);
        values.extend(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)));
    }
    Ok(values)
}

fn bytes(info: &TensorInfo) -> usize {
    info.data_offsets.1 - info.data_offsets.0
}

fn content(what: String) -> Problem {
    Problem::Content { what }
}
