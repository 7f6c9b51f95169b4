//! Plain text cut into blocks of equal length, for pre-training.

use std::fs::File;
use std::path::Path;

use rayon::prelude::*;

use super::encoded::{EncodedDataset, Encoding, Sample};
use super::tokenizer::TextTokenizer;
use crate::data::reader::{Compression, Lines};
use crate::error::{DataProblem, Error, Result};
use crate::storage::Hashing;

/// Limit of decompressed bytes.
const MOST_BYTES: u64 = 4 << 30;
/// Minimum length of a block, including special tokens. Fewer tokens would give no context.
const SHORTEST: usize = 8;

impl EncodedDataset {
    /// Reads a plain text file, optionally gzip-compressed (`.gz`), for pre-training. The file has one paragraph on
    /// each line, and a blank line between documents.
    ///
    /// The tokens of a document are concatenated across paragraphs and cut into blocks of `max_length` tokens,
    /// including special tokens. The remainder of a document is a shorter block, unless it has fewer than 8 tokens. The
    /// samples have no classes.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`], with the line, for bytes that are not text, an overlong line, a damaged or
    /// truncated compressed file, or a file too short for one block; [`Error::Argument`] for blocks below 8 tokens.
    pub fn from_text(path: impl AsRef<Path>, tokenizer: &TextTokenizer, max_length: usize) -> Result<Self> {
        let path = path.as_ref();
        if max_length < SHORTEST {
            return Err(Error::argument("max_length", format!("at least {SHORTEST}"), max_length.to_string()));
        }
        let documents = documents(path)?;
        let (before, after) = tokenizer.special_token_template()?;
        let capacity = max_length - before.len() - after.len();
        let blocks = documents
            .par_iter()
            .map(|paragraphs| {
                let mut tokens = Vec::new();
                for paragraph in paragraphs {
                    tokens.extend(tokenizer.subwords(paragraph)?);
                }
                Ok(tokens)
            })
            .collect::<Result<Vec<Vec<u32>>>>()?;
        let samples: Vec<Sample> = blocks
            .iter()
            .flat_map(|tokens| tokens.chunks(capacity))
            .map(|tokens| [&before, tokens, &after].concat())
            .filter(|ids| ids.len() >= SHORTEST)
            .zip(0..)
            .map(|(ids, id)| Sample {
                id,
                label: 0,
                targets: Vec::new(),
                encoding: Encoding { ids, type_ids: Vec::new(), truncated: false, rest: Default::default() },
            })
            .collect();
        if samples.is_empty() {
            return Err(Error::Data { path: path.into(), line: None, problem: DataProblem::NoText });
        }
        Ok(Self { samples, labels: Vec::new(), truncated_rows: 0 })
    }
}

impl TextTokenizer {
    /// Trains a tokenizer with [`train`](Self::train) on a file that [`EncodedDataset::from_text`] can read.
    ///
    /// # Errors
    /// As [`EncodedDataset::from_text`] for the file, and as [`train`](Self::train).
    pub fn train_from_text(path: impl AsRef<Path>, vocabulary_size: usize) -> Result<Self> {
        let documents = documents(path.as_ref())?;
        Self::train(documents.iter().flatten().map(String::as_str), vocabulary_size)
    }
}

/// The paragraphs of each document of a file.
fn documents(path: &Path) -> Result<Vec<Vec<String>>> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let name = path.to_string_lossy();
    let mut raw = Hashing::new(file);
    let documents = paragraphs(&mut Lines::new(path, &mut raw, Compression::of_name(&name).0, MOST_BYTES));
    // An empty file is not a truncated gzip file, whatever its name.
    if raw.is_unread() {
        return Err(Error::Data { path: path.into(), line: None, problem: DataProblem::Empty });
    }
    documents
}

fn paragraphs(lines: &mut Lines<'_>) -> Result<Vec<Vec<String>>> {
    let mut documents: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(line) = lines.next_line()? {
        match line.trim() {
            "" => documents.push(Vec::new()),
            paragraph => {
                if let Some(document) = documents.last_mut() {
                    document.push(paragraph.into());
                }
            }
        }
    }
    documents.retain(|paragraphs| !paragraphs.is_empty());
    Ok(documents)
}
