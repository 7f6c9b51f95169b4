//! Usual column names, from which labels and texts are detected. Case is ignored.

/// Usual names of a label column. `label` takes precedence.
pub(super) const LABEL: [&str; 4] = ["label", "labels", "class", "category"];
/// Name that spaCy gives to a column with the score of each category. The column is a label column only if its cells
/// are objects or lists.
pub(super) const CATEGORIES: &str = "cats";
/// Usual names of a text column. `text` takes precedence.
pub(super) const TEXT: [&str; 10] =
    ["text", "sentence", "review", "comment", "content", "message", "body", "document", "tweet", "utterance"];
/// Usual names of the two columns of a text pair.
pub(super) const PAIRS: [[&str; 2]; 10] = [
    ["sentence1", "sentence2"],
    ["question1", "question2"],
    ["premise", "hypothesis"],
    ["question", "sentence"],
    ["text_a", "text_b"],
    ["text1", "text2"],
    ["text", "text_pair"],
    ["text", "pair"],
    ["query", "passage"],
    ["question", "answer"],
];
/// Usual names of a column with row numbers.
pub(super) const INDEX: [&str; 4] = ["index", "idx", "id", "guid"];

/// Usual names of columns that repeat a few values but are seldom the label. A column with such a name is never
/// detected as the label, even if no other column qualifies.
pub(super) const BESIDE: [&str; 24] = [
    "user", "user_id", "userid", "username", "author", "name", "year", "month", "day", "weekday", "hour", "date",
    "time", "country", "region", "city", "location", "lang", "language", "source", "split", "fold", "set", "version",
];

/// Finds the column with a name. If no column has exactly this name, finds the only column whose name differs just in
/// case or outer spaces.
pub(super) fn place_of(names: &[String], name: &str) -> Option<usize> {
    let mut called = (0..names.len()).filter(|place| is_called(&names[*place], name.trim()));
    let only = || called.next().filter(|_| called.next().is_none());
    names.iter().position(|own| own == name).or_else(only)
}

/// Returns whether a column has a name, ignoring case and outer spaces.
pub(super) fn is_called(column: &str, name: &str) -> bool {
    column.trim().eq_ignore_ascii_case(name)
}

pub(super) fn is_one_of(column: &str, names: &[&str]) -> bool {
    names.iter().any(|name| is_called(column, name))
}

/// Returns whether a cell of the first row is a usual column name, which suggests a header.
pub(super) fn is_known(cell: &str) -> bool {
    is_one_of(cell, &LABEL) || is_one_of(cell, &TEXT) || PAIRS.iter().any(|pair| is_one_of(cell, pair))
}
