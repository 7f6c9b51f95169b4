//! Names of the numbered files of a data set, such as `train-00000-of-00002.parquet`.

use std::collections::BTreeSet;

/// Maximum number of files of a data set.
const MOST_PARTS: usize = 100_000;

/// Checks that the numbered files of a data set are complete, by their names. Describes the first missing or
/// inconsistent file. `None` if the files are complete, or if no name has a part number.
pub(crate) fn missing_part(names: &[String]) -> Option<String> {
    let parts: Vec<(usize, usize)> = names.iter().filter_map(|name| part_of(name)).collect();
    let &(_, count) = parts.first()?;
    if let Some((_, other)) = parts.iter().find(|(_, other)| *other != count) {
        return Some(format!("some are of {count}, some of {other}"));
    }
    let mut seen = BTreeSet::new();
    if let Some((index, _)) = parts.iter().find(|(index, _)| !seen.insert(*index)) {
        return Some(format!("there are two {index:05}-of-{count:05}"));
    }
    if let Some(name) = names.iter().find(|name| part_of(name).is_none()) {
        return Some(format!("{name} has no number"));
    }
    (0..count.min(MOST_PARTS))
        .find(|index| !seen.contains(index))
        .map(|index| format!("{index:05}-of-{count:05} is missing"))
}

/// Parses a file name such as `train-00000-of-00002.parquet`. Returns the index of the part and the number of parts.
pub(crate) fn part_of(name: &str) -> Option<(usize, usize)> {
    let words: Vec<&str> = name.split(['-', '.']).collect();
    words
        .windows(3)
        .find(|words| words[1] == "of")
        .and_then(|words| Some((words[0].parse().ok()?, words[2].parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_part_is_named() {
        let missing = |names: &[&str]| missing_part(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(missing(&["train.parquet"]), None);
        assert_eq!(missing(&["train-00000-of-00002.parquet", "train-00001-of-00002-ab12.parquet"]), None);
        assert_eq!(missing(&["train-00001-of-00003.parquet"]).as_deref(), Some("00000-of-00003 is missing"));
        assert_eq!(missing(&["0000.parquet", "0001.parquet"]), None);
        for names in [
            ["a-00000-of-00001.parquet", "a-00001-of-00002.parquet"],
            ["a-00000-of-00001.parquet", "a-00000-of-00001-b.parquet"],
            ["a-00000-of-00001.parquet", "a.parquet"],
        ] {
            assert!(missing(&names).is_some(), "{names:?}");
        }
    }
}
