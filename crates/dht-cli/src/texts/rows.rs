//! Texts of the rows of a data set.

use std::collections::BTreeSet;

use dht_dynamic::transformer::Dataset;

/// Iterates over the texts of a data set; pairs give two texts each.
pub fn all_texts(data: &Dataset) -> impl Iterator<Item = &str> {
    data.examples.iter().flat_map(|row| [Some(row.text.as_str()), row.pair.as_deref()]).flatten()
}

/// Number of rows of `other` whose text is also in `data`.
pub fn shared_rows(data: &Dataset, other: &Dataset) -> usize {
    let seen: BTreeSet<(&str, Option<&str>)> =
        data.examples.iter().map(|row| (row.text.as_str(), row.pair.as_deref())).collect();
    other.examples.iter().filter(|row| seen.contains(&(row.text.as_str(), row.pair.as_deref()))).count()
}
