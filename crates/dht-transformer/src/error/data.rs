/// Problem of a data set's file; [`Error::Data`](crate::Error::Data) has its location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataProblem {
    /// The file's name does not end in a known extension.
    #[error(
        "is none of csv, tsv, jsonl, ndjson, json (also with .gz or .zst), txt of fastText and parquet by its name: give it \
         the ending of its format, or save its table as csv"
    )]
    UnknownFormat,
    /// A directory holds no file of the requested split.
    #[error("holds none of the files {wanted}{instead}")]
    NoSuchSplit {
        /// Possible names of the split's file.
        wanted: String,
        /// Part of the message: a colon, the tables and folders in the directory, and what to do.
        instead: String,
    },
    /// A directory holds more than one file of the requested split.
    #[error("holds both {first} and {second}: move one of them away, or give the file itself")]
    AmbiguousSplit {
        /// Name of the first file.
        first: String,
        /// Name of the second file.
        second: String,
    },
    /// The parts of a split in a directory are incomplete or do not belong together.
    #[error("the parts of the split do not fit together: {problem}")]
    Parts {
        /// Problem of the parts.
        problem: String,
    },
    /// Parquet files are not supported by this build.
    #[error(
        "is a parquet file, which is read with the feature `parquet`: build with it, or convert the file to csv or jsonl"
    )]
    ParquetNotBuilt,
    /// A file is not a parquet file, or a damaged one.
    #[error("cannot be read as parquet: {message}")]
    BadParquet {
        /// Message of the decoder about the damaged data.
        message: String,
    },
    /// A part of a data set has other columns than the first part.
    #[error("its columns are {got}, expected those of the first part, {expected}")]
    OtherColumns {
        /// Columns of the first part.
        expected: String,
        /// Columns of this part.
        got: String,
    },
    /// A label or text column of a parquet file holds neither text nor numbers.
    #[error("column {column:?} is of type {got}, expected a string or a number")]
    ColumnType {
        /// Column name.
        column: String,
        /// Type of the column.
        got: String,
    },
    /// The file is empty.
    #[error("is empty")]
    Empty,
    /// The file holds a NUL byte, and is thus not a text file.
    #[error(
        "holds a NUL byte: remove it; in UTF-16 the encoding must be named, and other such files are not tables of text"
    )]
    Binary,
    /// The file holds bytes that are not UTF-8.
    #[error(
        "is not UTF-8 from byte {byte} of the line on: name its encoding, such as windows-1252 if a spreadsheet wrote it"
    )]
    NotUtf8 {
        /// Number of preceding bytes in the line.
        byte: usize,
    },
    /// The file holds bytes that its encoding does not have.
    #[error("has bytes that are not {encoding}: name its encoding")]
    OtherEncoding {
        /// Encoding that the caller or the byte-order mark states.
        encoding: String,
    },
    /// The compressed data are truncated.
    #[error("the {format} data are cut off here, or other bytes follow them")]
    CutOff {
        /// The compression that the file's name states.
        format: &'static str,
    },
    /// The compressed data are damaged, or were never compressed.
    #[error("is not {format} data: {message}")]
    NotCompressed {
        /// The compression that the file's name states.
        format: &'static str,
        /// Message of the decoder about the damaged data.
        message: String,
    },
    /// A row is too long for a text; an unclosed quote may be the cause.
    #[error("a row of more than {most} bytes")]
    RowTooLong {
        /// Maximum number of bytes.
        most: usize,
    },
    /// The file exceeds the byte limit of the reader.
    #[error("more than {most} (decompressed) bytes")]
    TooLarge {
        /// Maximum number of bytes.
        most: u64,
    },
    /// A quote that opens on the line of the error is never closed.
    #[error("a quoted field that begins here is never closed")]
    UnclosedQuote,
    /// A field that is not quoted holds a quote, or text follows a closing quote.
    #[error("a quote in column {column} (counted from 0) neither opens nor closes a field: {cause}")]
    StrayQuote {
        /// Column, counted from 0.
        column: usize,
        /// Likely correction.
        cause: &'static str,
    },
    /// A row has another number of columns than the first.
    #[error("{got} columns, expected {expected} as in the first row{}", column_hint(*expected, *got))]
    ColumnCount {
        /// Number of columns of the first row.
        expected: usize,
        /// Number of columns of this row.
        got: usize,
    },
    /// The table has too many columns for texts.
    #[error("more than {most} columns")]
    TooManyColumns {
        /// Maximum number of columns.
        most: usize,
    },
    /// Two columns have one name.
    #[error("two columns are called {column:?}: give each a name of its own")]
    DuplicateColumn {
        /// Column name.
        column: String,
    },
    /// A line of a jsonl file is not a JSON object.
    #[error("is not a JSON object: {message}")]
    NotJson {
        /// Message of the parser.
        message: String,
    },
    /// The label or a text of a jsonl row is an array or an object.
    #[error("column {column:?} holds an array or an object, expected a string or a number")]
    NestedValue {
        /// Column name.
        column: String,
    },
    /// A requested column does not exist.
    #[error("no column {column}; there are {known}")]
    UnknownColumn {
        /// Requested column.
        column: String,
        /// Existing columns.
        known: String,
    },
    /// Lines of a table end with only carriage returns.
    #[error("the lines end with carriage returns alone: save the file with line feeds (\\n or \\r\\n)")]
    CarriageReturns,
    /// All cells of the first row of a tsv file are in quotes.
    #[error(
        "all cells are in quotes, which in tsv are letters of the text: write the file without quotes around cells, or as csv"
    )]
    QuotedTsv,
    /// All rows of a labelled table have one cell.
    #[error("each row is one column, expected a text and a label{other}: csv is separated by commas, tsv by tabs")]
    OneColumn {
        /// Part of the message: a comma, and another separator that occurs in most rows.
        other: String,
    },
    /// The first row may be a header or data, or contradicts the training set's header.
    #[error("the first row may be a header or data: state which")]
    FirstRow,
    /// Of the training file and a later file, one has a header and the other has none.
    #[error("this file has {is}, the training's has {expected}: make both alike")]
    OtherHeader {
        /// Presence of a header in the later file, in words.
        is: &'static str,
        /// Presence of a header in the training file, in words.
        expected: &'static str,
    },
    /// A table without a header has another number of columns than the training file, whose columns are known by
    /// number.
    #[error("{got} columns without names, and the training's file had {expected}: name the text column")]
    OtherWidth {
        /// Number of columns of the training file.
        expected: usize,
        /// Number of columns of this file.
        got: usize,
    },
    /// A cell of a tsv file opens a quote that its line does not close.
    #[error(
        "column {column} opens a quote, and the row ends with its line: tsv holds no line ends, write the file as csv"
    )]
    OpenQuote {
        /// Column, counted from 0.
        column: usize,
    },
    /// The file has another encoding or format than expected, or is compressed.
    #[error("looks like {found}: {instead}")]
    Encoding {
        /// Detected encoding or format.
        found: &'static str,
        /// Suggested action.
        instead: &'static str,
    },
    /// The header is repeated among the rows, as in concatenated files.
    #[error("the header of line {first} comes again: remove this line")]
    HeaderAgain {
        /// Line of the header.
        first: u64,
    },
    /// No column looks like a label.
    #[error(
        "no column is called label, class or category, and none has a value in every row, each at least twice and 2 to 1000 \
         of them in all{nested}: name the label column"
    )]
    NoLabelColumn {
        /// Part of the message: a semicolon, and the columns with arrays or objects.
        nested: String,
    },
    /// One column may be the label, but the choice is uncertain.
    #[error("column {column} may be the label, but {reason}: if it is, name it as the label column")]
    UncertainLabel {
        /// Column name.
        column: String,
        /// Reason why the column may not be the label.
        reason: &'static str,
    },
    /// Several columns may be the label.
    #[error("columns {columns} may all be the label: name the label column")]
    LabelColumns {
        /// Column names.
        columns: String,
    },
    /// Several columns hold zeros and ones.
    #[error(
        "columns {columns} hold only 0 and 1: name all of them as label columns if each stands for a label, else the one \
         that is the label"
    )]
    FlagColumns {
        /// Column names.
        columns: String,
    },
    /// No column looks like text.
    #[error("no column looks like text, besides a label's: name the text column")]
    NoTextColumn,
    /// Several columns may be the text.
    #[error(
        "columns {columns} may all be the text: name the text column, several to join them, or the two of sentence pairs"
    )]
    TextColumns {
        /// Column names.
        columns: String,
    },
    /// A jsonl row lacks the key of a text.
    #[error("the row has no key {key}, which is the text")]
    MissingKey {
        /// Key of the text.
        key: String,
    },
    /// A JSON value is written as a word that JSON does not have, such as `NaN`.
    #[error("{word} (column {column} of the line) is not JSON, though some programs write it: write {instead}")]
    ForeignJson {
        /// Word that JSON does not have.
        word: &'static str,
        /// Place in the line, counted from 1.
        column: usize,
        /// JSON value to write instead of the word.
        instead: &'static str,
    },
    /// Pairs of texts need two text columns, and the table has another number of them.
    #[error("sentence pairs need 2 text columns, got {got}: name both")]
    PairColumns {
        /// Number of text columns.
        got: usize,
    },
    /// A row has no label.
    #[error("the label is empty")]
    EmptyLabel,
    /// The label is -1, which marks a secret (in a test set) or unknown label.
    #[error(
        "the label is -1, which stands for one that is kept secret or not known: leave such rows out, or score validation rows"
    )]
    HiddenLabel,
    /// A label is written as a missing value.
    #[error("the label {label:?} is a missing value or has a lost character: leave the row out, or give it a label")]
    MissingLabel {
        /// Label of the row.
        label: String,
    },
    /// The labels of a file do not match the classes of the training set or the model.
    #[error("the labels {labels} do not match the classes {classes}{reason}; give each its class")]
    OtherLabels {
        /// Labels of the file.
        labels: String,
        /// Classes of the training set or the model.
        classes: String,
        /// Part of the message: a colon, and a further reason.
        reason: &'static str,
    },
    /// A label is mapped to a class that does not exist.
    #[error("a label is mapped to {class}, which is not a class; the classes are {classes}")]
    NoSuchClass {
        /// Name of the class.
        class: String,
        /// Existing classes.
        classes: String,
    },
    /// The mapping of labels to classes names a label that no row has.
    #[error("{label} is mapped to a class, but no row has this label")]
    NoSuchLabel {
        /// Label without rows.
        label: String,
    },
    /// A label is mapped to two classes.
    #[error("the label {label} is mapped to two classes, {classes}")]
    TwoClasses {
        /// Label with two classes.
        label: String,
        /// Both classes.
        classes: String,
    },
    /// One label has two spellings.
    #[error("the labels {first} and {second} may be one, written in two ways: write it in one way, or give two names")]
    TwoSpellings {
        /// First spelling, escaped.
        first: String,
        /// Second spelling, escaped.
        second: String,
    },
    /// Labels are numbers (or truth values) in some rows and strings (or truth values) in others.
    #[error(
        "the labels are values such as {number} in some rows and such as {string} in others: write them in one way"
    )]
    TwoTypes {
        /// Example of a number.
        number: String,
        /// Example of a string, escaped.
        string: String,
    },
    /// Labels are numbers with decimals, and were not declared as classes.
    #[error("the labels are numbers such as {label}: state whether they are classes or numbers")]
    FractionLabels {
        /// Example of a label.
        label: String,
    },
    /// Nearly every row has a label that no other row has.
    #[error("the label column {column:?} has {labels} different labels in {rows} rows: it may be an identifier")]
    UniqueLabels {
        /// Label column.
        column: String,
        /// Number of different labels.
        labels: usize,
        /// Number of rows.
        rows: usize,
    },
    /// No cell has the expected separator of labels, and most cells have another separator.
    #[error(
        "no label cell has the separator {separator:?}, and {cells} of {filled} have {other:?}: set the \
         right one"
    )]
    Separator {
        /// Character that is expected between labels.
        separator: char,
        /// Character that most cells have between labels.
        other: char,
        /// Number of cells with the other separator.
        cells: usize,
        /// Number of cells that are not empty.
        filled: usize,
    },
    /// A column that stands for one label has a cell other than 0 or 1.
    #[error("column {column:?} has {cell:?}, expected 1 where the label applies, else 0")]
    NotAFlag {
        /// Column, which has the name of its label.
        column: String,
        /// Content of the refused cell.
        cell: String,
    },
    /// A column for a label has no name.
    #[error("column {column} has no name, expected that of its label")]
    UnnamedLabel {
        /// Number of the column, from 0.
        column: usize,
    },
    /// A directory has fewer than two folders with texts.
    #[error("is a directory without a table and without a folder of texts for each of two or more classes")]
    NoClassFolders,
    /// The first line of a text file has no label.
    #[error("the line has no label: expected lines such as \"__label__good fine food\", as fastText reads them")]
    NoFastTextLabel,
    /// A class is written as a list or as an object.
    #[error("the label cell {cell:?} is a list or an object: write one class in each row")]
    NestedCell {
        /// Content of the refused cell.
        cell: String,
    },
    /// A multi-label cell is written as a list.
    #[error("the label cell {cell:?} is a list: write the labels with the separator {separator:?} alone")]
    ListCell {
        /// Content of the refused cell.
        cell: String,
        /// Character that is expected between labels.
        separator: char,
    },
    /// Multi-label cells are vectors with a 0 or 1 for each label.
    #[error(
        "the label cell {cell:?} looks like a vector with a 0 or 1 for each label: write the names of the labels that apply, \
         with the separator {separator:?}"
    )]
    VectorCell {
        /// Content of the refused cell.
        cell: String,
        /// Character that is expected between labels.
        separator: char,
    },
    /// A class has no training row.
    #[error("the class {class} has no training row: it needs one beside those of validation, or more training rows")]
    NoRowOfClass {
        /// Class without rows.
        class: String,
    },
    /// A numeric label is not a number.
    #[error("the label is {label:?}, expected a finite number{}", decimal_comma(label))]
    NotANumber {
        /// Label that was read from the file.
        label: String,
    },
    /// A word vector has a value that is not a finite number.
    #[error("{cell:?} in a vector, expected a finite number")]
    VectorNumber {
        /// Value that was read from the file.
        cell: String,
    },
    /// A row has a label that does not occur in the training set.
    #[error("unknown label {label:?}, expected one of {known}")]
    UnknownLabel {
        /// Label that was read from the file.
        label: String,
        /// Known labels (the first of them, if there are many).
        known: String,
    },
    /// All text columns of a row are empty.
    #[error("the text is empty: leave the row out")]
    NoText,
    /// The file has no rows, apart from a header.
    #[error("holds no rows")]
    NoRows,
}

/// Likely cause of a row with the wrong number of columns, for the message.
fn column_hint(expected: usize, got: usize) -> &'static str {
    match expected {
        1 => " (lines above the names of the columns must be removed)",
        _ if expected + 1 == got => {
            " (a text with a separator needs quotes in csv; write.table of R needs col.names = NA)"
        }
        _ => " (a text with a separator needs quotes in csv)",
    }
}

/// Advice for the message if a number has a decimal comma.
fn decimal_comma(label: &str) -> &'static str {
    match label.replacen(',', ".", 1).parse::<f64>() {
        Ok(_) if label.contains(',') => " with a decimal point (in a file separated by `;`, a comma is one, too)",
        _ => "",
    }
}
