//! Names of columns that say what the columns hold, in any case.

/// Names of a label column. `label` goes before the others.
pub(super) const LABEL: [&str; 4] = ["label", "labels", "class", "category"];
/// Names of a text column. `text` goes before the others.
pub(super) const TEXT: [&str; 10] =
    ["text", "sentence", "review", "comment", "content", "message", "body", "document", "tweet", "utterance"];
/// Names of the two text columns of a pair.
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
/// Names of columns that number the rows.
pub(super) const INDEX: [&str; 4] = ["index", "idx", "id", "guid"];

/// Names of columns that repeat a few values and are seldom the label: one alone is not guessed to be it.
pub(super) const BESIDE: [&str; 24] = [
    "user", "user_id", "userid", "username", "author", "name", "year", "month", "day", "weekday", "hour", "date",
    "time", "country", "region", "city", "location", "lang", "language", "source", "split", "fold", "set", "version",
];

/// The column with this name: exactly, else the only one that differs in case or outer spaces alone.
pub(super) fn place_of(names: &[String], name: &str) -> Option<usize> {
    let mut called = (0..names.len()).filter(|place| is_called(&names[*place], name.trim()));
    let only = || called.next().filter(|_| called.next().is_none());
    names.iter().position(|own| own == name).or_else(only)
}

/// Whether a column is called so.
pub(super) fn is_called(column: &str, name: &str) -> bool {
    column.trim().eq_ignore_ascii_case(name)
}

/// Whether a column has one of these names.
pub(super) fn is_one_of(column: &str, names: &[&str]) -> bool {
    names.iter().any(|name| is_called(column, name))
}

/// Whether a cell of a first row is a name that says what its column holds.
pub(super) fn is_known(cell: &str) -> bool {
    is_one_of(cell, &LABEL) || is_one_of(cell, &TEXT) || PAIRS.iter().any(|pair| is_one_of(cell, pair))
}
