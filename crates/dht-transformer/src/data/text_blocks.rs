//! Plain text cut into blocks of equal length, for pre-training.

use std::fs::File;
use std::path::Path;

use rayon::prelude::*;

use super::encoded::{EncodedDataset, Encoding, Sample};
use super::tokenizer::TextTokenizer;
use crate::data::reader::Lines;
use crate::error::{DataProblem, Error, Result};
use crate::storage::Hashing;

/// The most decompressed bytes that are read.
const MOST_BYTES: u64 = 4 << 30;
/// The shortest block that is kept, special tokens among it: fewer tokens are no context.
const SHORTEST: usize = 8;

impl EncodedDataset {
    /// Reads a plain text file, or one compressed with gzip (`.gz`), for pre-training: a paragraph a line, a blank line
    /// between documents.
    ///
    /// The tokens of a document run on from paragraph to paragraph and are cut into blocks of `max_length` tokens, the
    /// special ones among them; what is left at a document's end is a shorter block, unless it has fewer than 8 tokens.
    /// The samples have no classes.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`], with the line, for bytes that are no text, a line beyond reason, a damaged or cut
    /// off compressed file, or a file without a block's worth of text; [`Error::Setting`] for blocks below 8 tokens.
    pub fn from_text(path: impl AsRef<Path>, tokenizer: &TextTokenizer, max_length: usize) -> Result<Self> {
        let path = path.as_ref();
        if max_length < SHORTEST {
            return Err(Error::setting("max_length", format!("at least {SHORTEST}"), max_length.to_string()));
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
    /// [`train`](Self::train) on such a file, as [`EncodedDataset::from_text`] reads it.
    ///
    /// # Errors
    /// As [`EncodedDataset::from_text`] for the file and as [`train`](Self::train).
    pub fn train_from_text(path: impl AsRef<Path>, vocabulary_size: usize) -> Result<Self> {
        let documents = documents(path.as_ref())?;
        Self::train(documents.iter().flatten().map(String::as_str), vocabulary_size)
    }
}

/// The paragraphs of each document of a file.
fn documents(path: &Path) -> Result<Vec<Vec<String>>> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let compressed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    let mut raw = Hashing::new(file);
    let documents = paragraphs(&mut Lines::new(path, &mut raw, compressed, MOST_BYTES));
    // An empty file is no cut off gzip file, whatever its name.
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
