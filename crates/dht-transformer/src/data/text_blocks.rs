//! Conversion of plain text files to blocks of tokens for pre-training.

use std::fs::File;
use std::path::Path;

use rayon::prelude::*;

use super::encoded::{EncodedDataset, Encoding, Sample};
use super::tokenizer::TextTokenizer;
use crate::data::reader::{Compression, Lines};
use crate::error::{DataProblem, Error, Result};
use crate::storage::Hashing;

/// Maximum size of a text file in bytes, after decompression.
const MOST_BYTES: u64 = 4 << 30;
/// Minimum number of tokens of a block, including special tokens. A shorter block would not give enough context.
const SHORTEST: usize = 8;

impl EncodedDataset {
    /// Reads a plain text file as blocks of tokens for pre-training. The file has one paragraph on each line, and a
    /// blank line between documents. `.gz` files are decompressed.
    ///
    /// The paragraphs of a document are joined and tokenised. The tokens are divided into blocks of `max_length`
    /// tokens, including special tokens. The last block of a document may be shorter; it is dropped if it has fewer
    /// than 8 tokens. The samples have no classes.
    ///
    /// # Errors
    /// [`Error::Io`] if the file is missing or unreadable. [`Error::Argument`] if blocks have fewer than 8 tokens.
    /// [`Error::Data`] with the line in these cases:
    ///
    /// - The bytes are not text, or a line is too long.
    /// - A compressed file is damaged or truncated.
    /// - The file is too short for one block.
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
    /// Trains a tokenizer on a plain text file, in the same way as [`train`](Self::train).
    /// [`EncodedDataset::from_text`] documents the file format.
    ///
    /// # Errors
    /// Errors of [`EncodedDataset::from_text`] for the file, and of [`train`](Self::train).
    pub fn train_from_text(path: impl AsRef<Path>, vocabulary_size: usize) -> Result<Self> {
        let documents = documents(path.as_ref())?;
        Self::train(documents.iter().flatten().map(String::as_str), vocabulary_size)
    }
}

/// Reads a text file into a list of documents, each a list of paragraphs.
fn documents(path: &Path) -> Result<Vec<Vec<String>>> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let name = path.to_string_lossy();
    let mut raw = Hashing::new(file);
    let documents = paragraphs(&mut Lines::new(path, &mut raw, Compression::of_name(&name).0, MOST_BYTES));
    // An empty file is reported as empty, even if its name is that of a gzip file.
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
