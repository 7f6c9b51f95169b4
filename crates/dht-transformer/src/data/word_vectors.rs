//! Word vectors, read from text files in the format of GloVe or fastText.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use rayon::prelude::*;

use super::reader::{Compression, Lines};
use crate::error::{DataProblem, Error, Result};

/// Words with their embedding vectors, scaled to Euclidean length 1.
///
/// # Examples
/// ```
/// use dht_transformer::data::WordVectors;
///
/// let file = "fine 1.0 0.1\ngood 1.0 0.2\ndreadful -1.0 0.0\n";
/// let vectors = WordVectors::read_from("vectors.txt", file.as_bytes())?;
/// assert_eq!(vectors.nearest("fine", 1), ["good"]);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct WordVectors {
    words: Vec<String>,
    places: HashMap<String, usize>,
    width: usize,
    numbers: Vec<f32>,
}

impl WordVectors {
    /// Reads a file of word vectors. Each line has a word and the numbers of its vector, separated by spaces. `.gz`
    /// files are decompressed.
    ///
    /// In fastText's format, the first line has two numbers: the number of words and the dimension. In a file without
    /// this line, the first word must not contain a space. If a word occurs several times, its first vector is used.
    ///
    /// # Errors
    /// [`Error::Io`] if the file is missing or unreadable. [`Error::Data`] with the line number in these cases:
    ///
    /// - The bytes are not text.
    /// - A line has another number of columns than the first line.
    /// - A value is not a finite number.
    /// - The file has no words.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::read_from(path, File::open(path).map_err(|source| Error::io(path, source))?)
    }

    /// Reads word vectors from any source. `path` determines the compression and appears in errors.
    ///
    /// # Errors
    /// Same errors as [`read`](Self::read).
    pub fn read_from(path: impl AsRef<Path>, input: impl Read) -> Result<Self> {
        let path = path.as_ref();
        let name = path.to_string_lossy();
        let mut lines = Lines::new(path, input, Compression::of_name(&name).0, u64::MAX);
        let mut vectors = Self { words: Vec::new(), places: HashMap::new(), width: 0, numbers: Vec::new() };
        while let Some(line) = lines.next_line()? {
            let line = line.trim_end();
            if line.is_empty() {
                continue;
            }
            if lines.number() == 1
                && let Some((words, width)) = line.split_once(' ')
                && let (Ok(_), Ok(width)) = (words.parse::<usize>(), width.parse())
            {
                vectors.width = width;
                continue;
            }
            vectors.add(line).map_err(|problem| lines.error_at(lines.number(), problem))?;
        }
        if vectors.is_empty() {
            return Err(Error::Data { path: path.into(), line: None, problem: DataProblem::NoRows });
        }
        Ok(vectors)
    }

    fn add(&mut self, line: &str) -> Result<(), DataProblem> {
        let cells = line.split(' ').count();
        if self.width == 0 {
            self.width = cells - 1;
        }
        // A word may contain spaces, so its numbers are the last cells.
        if cells < 2 || cells < self.width + 1 {
            return Err(DataProblem::ColumnCount { expected: self.width.max(1) + 1, got: cells });
        }
        let mut from_the_end = line.rsplitn(self.width + 1, ' ');
        let numbers = from_the_end.by_ref().take(self.width).map(|cell| {
            let number = cell.parse().ok().filter(|number: &f32| number.is_finite());
            number.ok_or_else(|| DataProblem::VectorNumber { cell: cell.into() })
        });
        let mut numbers = numbers.collect::<Result<Vec<f32>, _>>()?;
        let word = from_the_end.next().unwrap_or_default().to_owned();
        if self.places.contains_key(&word) {
            return Ok(());
        }
        let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
        if length > 0.0 {
            numbers.iter_mut().for_each(|number| *number /= length);
        }
        self.numbers.extend(numbers.into_iter().rev());
        self.places.insert(word.clone(), self.words.len());
        self.words.push(word);
        Ok(())
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Returns whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Dimension of the vectors.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the `count` words with the highest cosine similarity to `word`, most similar first. The word itself is
    /// excluded. Words with equal similarity keep the order of the file. The result is empty if the word is unknown.
    pub fn nearest(&self, word: &str, count: usize) -> Vec<&str> {
        let Some(&place) = self.places.get(word) else { return Vec::new() };
        let own = &self.numbers[place * self.width..][..self.width];
        let cosine = |other: &[f32]| -> f32 { own.iter().zip(other).map(|(own, other)| own * other).sum() };
        let cosines: Vec<f32> = self.numbers.par_chunks_exact(self.width).map(cosine).collect();
        let mut others: Vec<usize> = (0..self.len()).filter(|other| *other != place).collect();
        let nearer = |left: &usize, right: &usize| cosines[*right].total_cmp(&cosines[*left]).then(left.cmp(right));
        if count < others.len() {
            others.select_nth_unstable_by(count, nearer);
            others.truncate(count);
        }
        others.sort_unstable_by(nearer);
        others.into_iter().map(|other| self.words[other].as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Result<WordVectors> {
        WordVectors::read_from("vectors.txt", file.as_bytes())
    }

    #[test]
    fn the_nearest_words_are_those_of_a_full_sort() {
        let lines: Vec<String> = (0..50)
            .map(|word| format!("w{word} {} {} {}", (word * 7) % 11 - 5, (word * 3) % 7 - 2, word % 5 - 2))
            .collect();
        let vectors = read(&lines.join("\n")).unwrap();
        assert_eq!((vectors.len(), vectors.width()), (50, 3));
        let vector = |word: usize| -> Vec<f64> {
            let own: Vec<f64> = lines[word].split(' ').skip(1).map(|cell| cell.parse().unwrap()).collect();
            let length = own.iter().map(|number| number * number).sum::<f64>().sqrt().max(1e-9);
            own.into_iter().map(|number| number / length).collect()
        };
        let cosine = |other: usize| vector(4).iter().zip(vector(other)).map(|(own, other)| own * other).sum::<f64>();
        let nearest = vectors.nearest("w4", 6);
        let nearest: Vec<f64> = nearest.iter().map(|word| cosine(word[1..].parse().unwrap())).collect();
        let mut expected: Vec<f64> = (0..50).filter(|other| *other != 4).map(cosine).collect();
        expected.sort_by(|left, right| right.total_cmp(left));
        for (similarity, expected) in nearest.iter().zip(expected) {
            assert!((similarity - expected).abs() < 1e-6, "{similarity}, expected {expected}");
        }
        assert_eq!(vectors.nearest("w4", 100).len(), 49);
        assert!(vectors.nearest("w4", 0).is_empty() && vectors.nearest("other", 5).is_empty());
    }

    #[test]
    fn headers_words_with_spaces_doubles_and_zeros_are_read() {
        let vectors = read("4 2\n. . 1 0\nfine 1 0.5\nfine 9 9\nnone 0 0\n").unwrap();
        assert_eq!((vectors.len(), vectors.width()), (3, 2));
        assert_eq!(vectors.nearest("fine", 2), [". .", "none"]);
        assert_eq!(read("3 4\n").unwrap_err().to_string(), "vectors.txt: holds no rows");
    }

    #[test]
    fn what_is_no_vector_is_refused_with_its_line() {
        let refused = |file: &str| read(file).unwrap_err().to_string();
        assert!(refused("a 1 2\nb 1\n").starts_with("vectors.txt:2: 2 columns, expected 3"));
        assert!(refused("a\n").starts_with("vectors.txt:1: 1 columns, expected 2"));
        assert!(refused("a 1 x\n").starts_with("vectors.txt:1: "));
        assert!(refused("a 1 NaN\n").starts_with("vectors.txt:1: "));
        assert!(refused("\n").contains("holds no rows"));
        assert!(WordVectors::read_from("vectors.txt.gz", &b"a 1\n"[..]).is_err());
        assert!(matches!(WordVectors::read("missing.txt"), Err(Error::Io { .. })));
    }
}
