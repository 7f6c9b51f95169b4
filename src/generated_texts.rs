//! Generated training and test files, for trying the command `dht` without other data.

use std::path::Path;

use dht_transformer::data::generated::GeneratedText;
use dht_transformer::storage::write_atomically;

use crate::error::{Error, Result};

/// Seed of the generated texts in `train.csv`.
const TRAINING: u64 = 1;
/// Seed of the generated texts in `test.csv`.
const TEST: u64 = 2;

/// Writes generated texts of four classes into a directory, as `train.csv` and `test.csv`. The directory is created if
/// it is missing.
///
/// # Errors
/// [`Error::ForeignFile`] if a file exists with other content; it is not overwritten. [`Error::Io`] if a file cannot be
/// written.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// dht_lab::write_generated_texts(folder.path(), 20, 10)?;
/// let test = std::fs::read_to_string(folder.path().join("test.csv"))?;
/// assert_eq!(test.lines().count(), 11); // a heading and ten rows
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_generated_texts(folder: &Path, train_rows: usize, test_rows: usize) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })?;
    let files = [("train.csv", train_rows, TRAINING), ("test.csv", test_rows, TEST)];
    let files = files.map(|(name, rows, seed)| (folder.join(name), content(rows, seed)));
    for (path, content) in &files {
        if path.exists() && std::fs::read(path).ok().as_deref() != Some(content.as_bytes()) {
            return Err(Error::ForeignFile { path: path.clone() });
        }
    }
    files.iter().try_for_each(|(path, content)| Ok(write_atomically(path, |file| file.write_all(content.as_bytes()))?))
}

/// Generated texts as CSV without quoting, since no text contains a quotation mark.
fn content(rows: usize, seed: u64) -> String {
    let row = |text: &GeneratedText| {
        format!("{},{:?},\"{}\"\n", GeneratedText::LABELS[text.label], text.difficulty, text.text)
    };
    let rows: String = GeneratedText::generate(rows, seed).iter().map(row).collect();
    format!("label,difficulty,text\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_other_content_is_named_and_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        write_generated_texts(folder.path(), 20, 10).expect("written");
        let train = std::fs::read(folder.path().join("train.csv")).expect("a file");
        write_generated_texts(folder.path(), 20, 10).expect("the same texts again");
        std::fs::write(folder.path().join("test.csv"), "mine").expect("a file");
        let refused = write_generated_texts(folder.path(), 30, 10).expect_err("two files").to_string();
        assert!(refused.contains("train.csv was not written by a run of this kind"), "{refused}");
        let refused = write_generated_texts(folder.path(), 20, 10).expect_err("a file").to_string();
        assert!(refused.contains("test.csv was not written by a run of this kind"), "{refused}");
        assert_eq!(std::fs::read(folder.path().join("train.csv")).expect("a file"), train);
        assert_eq!(std::fs::read_to_string(folder.path().join("test.csv")).expect("a file"), "mine");
    }
}
