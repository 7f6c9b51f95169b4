/// Problem in the file of a data set. [`Error::Data`](crate::Error::Data) adds the path and the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataProblem {
    /// The file name does not end in a known extension.
    #[error(
        "is none of csv, tsv, jsonl, ndjson, json (also with .gz or .zst), txt of fastText and parquet by its name: give it \
         the ending of its format, or save its table as csv"
    )]
    UnknownFormat,
    /// A directory holds no file of the requested split.
    #[error("holds none of the files {wanted}{instead}")]
    NoSuchSplit {
        /// File names that would have been accepted for the split.
        wanted: String,
        /// Suggestion that ends the message: the tables and folders in the directory, and how to use them. Begins with
        /// a colon.
        instead: String,
    },
    /// A directory holds more than one file of the requested split.
    #[error("holds both {first} and {second}: move one of them away, or give the file itself")]
    AmbiguousSplit {
        /// Name of one matching file.
        first: String,
        /// Name of another matching file.
        second: String,
    },
    /// The numbered files of a split, such as `train-00000-of-00002.parquet`, are incomplete or inconsistent.
    #[error("the parts of the split do not fit together: {problem}")]
    Parts {
        /// Description of the missing or inconsistent file.
        problem: String,
    },
    /// The file is a parquet file, which this build cannot read without the feature `parquet`.
    #[error(
        "is a parquet file, which is read with the feature `parquet`: build with it, or convert the file to csv or jsonl"
    )]
    ParquetNotBuilt,
    /// The file is not a parquet file, or is damaged.
    #[error("cannot be read as parquet: {message}")]
    BadParquet {
        /// Error message of the parquet decoder.
        message: String,
    },
    /// A data set consists of several files, and one of them has other columns than the first.
    #[error("its columns are {got}, expected those of the first part, {expected}")]
    OtherColumns {
        /// Columns of the first file.
        expected: String,
        /// Columns of the refused file.
        got: String,
    },
    /// A label or text column of a parquet file contains neither texts nor numbers.
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
    /// The file contains a NUL byte, so it is not a text file.
    #[error(
        "holds a NUL byte: remove it; in UTF-16 the encoding must be named, and other such files are not tables of text"
    )]
    Binary,
    /// The file contains bytes that are not UTF-8.
    #[error(
        "is not UTF-8 from byte {byte} of the line on: name its encoding, such as windows-1252 if a spreadsheet wrote it"
    )]
    NotUtf8 {
        /// Number of valid bytes before the error in the line.
        byte: usize,
    },
    /// The file contains bytes that are invalid in its encoding.
    #[error("has bytes that are not {encoding}: name its encoding")]
    OtherEncoding {
        /// Encoding that the caller requested, or that the byte-order mark states.
        encoding: String,
    },
    /// The compressed file ends too early.
    #[error("the {format} data are cut off here, or other bytes follow them")]
    CutOff {
        /// Compression format that the file name implies.
        format: &'static str,
    },
    /// The file name implies compression, but the content is damaged or not compressed.
    #[error("is not {format} data: {message}")]
    NotCompressed {
        /// Compression format that the file name implies.
        format: &'static str,
        /// Error message of the decoder.
        message: String,
    },
    /// A row exceeds the maximum length; an unclosed quote may be the cause.
    #[error("a row of more than {most} bytes")]
    RowTooLong {
        /// Maximum length of a row in bytes.
        most: usize,
    },
    /// The file exceeds the reader's maximum size.
    #[error("more than {most} (decompressed) bytes")]
    TooLarge {
        /// Maximum size in bytes.
        most: u64,
    },
    /// A quoted field begins on this line and is never closed.
    #[error("a quoted field that begins here is never closed")]
    UnclosedQuote,
    /// A quote occurs inside an unquoted field, or text follows the closing quote of a field.
    #[error("a quote in column {column} (counted from 0) neither opens nor closes a field: {cause}")]
    StrayQuote {
        /// Number of the column, counted from 0.
        column: usize,
        /// Suggested correction.
        cause: &'static str,
    },
    /// A row and the first row have different numbers of columns.
    #[error("{got} columns, expected {expected} as in the first row{}", column_hint(*expected, *got))]
    ColumnCount {
        /// Number of columns of the first row.
        expected: usize,
        /// Number of columns of the refused row.
        got: usize,
    },
    /// The table has more columns than a table of texts may have.
    #[error("more than {most} columns")]
    TooManyColumns {
        /// Maximum number of columns.
        most: usize,
    },
    /// Two columns have the same name.
    #[error("two columns are called {column:?}: give each a name of its own")]
    DuplicateColumn {
        /// Column name.
        column: String,
    },
    /// A line of a jsonl file is not a JSON object.
    #[error("is not a JSON object: {message}")]
    NotJson {
        /// Error message of the JSON parser.
        message: String,
    },
    /// A label or text in a jsonl row is an array or an object.
    #[error("column {column:?} holds an array or an object, expected a string or a number")]
    NestedValue {
        /// Column name (key).
        column: String,
    },
    /// The caller requested a column that does not exist.
    #[error("no column {column}; there are {known}")]
    UnknownColumn {
        /// Name or number of the requested column.
        column: String,
        /// Names or numbers of the existing columns.
        known: String,
    },
    /// Lines end in carriage returns without line feeds.
    #[error("the lines end with carriage returns alone: save the file with line feeds (\\n or \\r\\n)")]
    CarriageReturns,
    /// All cells in the first row of a tsv file are quoted, although tsv has no quotes.
    #[error(
        "all cells are in quotes, which in tsv are letters of the text: write the file without quotes around cells, or as csv"
    )]
    QuotedTsv,
    /// A labelled table has a single column; the separator may be wrong.
    #[error("each row is one column, expected a text and a label{other}: csv is separated by commas, tsv by tabs")]
    OneColumn {
        /// End of the message: a comma and a hint at another separator, which occurs in most rows. May be empty.
        other: String,
    },
    /// The first row may be a header or data. The caller must state which.
    #[error("the first row may be a header or data: state which")]
    FirstRow,
    /// The training file has a header and a later file has none, or the reverse.
    #[error("this file has {is}, the training's has {expected}: make both alike")]
    OtherHeader {
        /// Header of the later file: "a header" or "no header".
        is: &'static str,
        /// Header of the training file: "a header" or "no header".
        expected: &'static str,
    },
    /// A table without a header has another number of columns than the training file, whose columns are identified by
    /// number.
    #[error("{got} columns without names, and the training's file had {expected}: name the text column")]
    OtherWidth {
        /// Number of columns of the training file.
        expected: usize,
        /// Number of columns of the refused file.
        got: usize,
    },
    /// A cell of a tsv file opens a quote that is not closed on the same line.
    #[error(
        "column {column} opens a quote, and the row ends with its line: tsv holds no line ends, write the file as csv"
    )]
    OpenQuote {
        /// Number of the column, counted from 0.
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
    /// The header is repeated among the rows, which happens in concatenated files.
    #[error("the header of line {first} comes again: remove this line")]
    HeaderAgain {
        /// Line number of the header.
        first: u64,
    },
    /// No column could be detected as the label.
    #[error(
        "no column is called label, class or category, and none has a value in every row, each at least twice and 2 to 1000 \
         of them in all{nested}: name the label column"
    )]
    NoLabelColumn {
        /// End of the message: a semicolon, and the columns with arrays or objects. Empty if there are none.
        nested: String,
    },
    /// One column may be the label, but the evidence is weak. The caller must name the label column.
    #[error("column {column} may be the label, but {reason}: if it is, name it as the label column")]
    UncertainLabel {
        /// Name of the candidate column.
        column: String,
        /// Reason why the column may not be the label.
        reason: &'static str,
    },
    /// Several columns may be the label. The caller must name one.
    #[error("columns {columns} may all be the label: name the label column")]
    LabelColumns {
        /// Names of the candidate columns.
        columns: String,
    },
    /// Several columns contain only zeros and ones: they may be the labels of multi-label data, or one of them may be
    /// the only label.
    #[error(
        "columns {columns} hold only 0 and 1: name all of them as label columns if each stands for a label, else the one \
         that is the label"
    )]
    FlagColumns {
        /// Names of the candidate columns.
        columns: String,
    },
    /// No column could be detected as text.
    #[error("no column looks like text, besides a label's: name the text column")]
    NoTextColumn,
    /// Several columns may be the text. The caller must name the text columns.
    #[error(
        "columns {columns} may all be the text: name the text column, several to join them, or the two of sentence pairs"
    )]
    TextColumns {
        /// Names of the candidate columns.
        columns: String,
    },
    /// A jsonl row lacks the key of a text column.
    #[error("the row has no key {key}, which is the text")]
    MissingKey {
        /// Missing key.
        key: String,
    },
    /// A JSON value is written as a word that JSON does not allow, such as `NaN`.
    #[error("{word} (column {column} of the line) is not JSON, though some programs write it: write {instead}")]
    ForeignJson {
        /// Word that JSON does not allow.
        word: &'static str,
        /// Position in the line, counted from 1.
        column: usize,
        /// Equivalent that JSON allows.
        instead: &'static str,
    },
    /// Text pairs were requested, but the table does not have exactly two text columns.
    #[error("sentence pairs need 2 text columns, got {got}: name both")]
    PairColumns {
        /// Number of text columns.
        got: usize,
    },
    /// A row has no label.
    #[error("the label is empty")]
    EmptyLabel,
    /// The label is -1. By convention, it marks a row whose label is unknown or not published, as in many test sets.
    #[error(
        "the label is -1, which stands for one that is kept secret or not known: leave such rows out, or score validation rows"
    )]
    HiddenLabel,
    /// A label is a word that stands for a missing value, such as `nan`.
    #[error("the label {label:?} is a missing value or has a lost character: leave the row out, or give it a label")]
    MissingLabel {
        /// Refused label.
        label: String,
    },
    /// The labels in a file do not match the classes of the training set or the model.
    #[error("the labels {labels} do not match the classes {classes}{reason}; give each its class")]
    OtherLabels {
        /// Labels in the file that are no class, or all its labels if they may be counted from 0 or from 1.
        labels: String,
        /// Classes of the training set or the model.
        classes: String,
        /// Further reason that ends the message, after a colon. May be empty.
        reason: &'static str,
    },
    /// The label mapping of the caller names a class that does not exist.
    #[error("a label is mapped to {class}, which is not a class; the classes are {classes}")]
    NoSuchClass {
        /// Name of the unknown class.
        class: String,
        /// Names of the existing classes.
        classes: String,
    },
    /// The label mapping of the caller names a label that occurs in no row.
    #[error("{label} is mapped to a class, but no row has this label")]
    NoSuchLabel {
        /// Unknown label.
        label: String,
    },
    /// The label mapping of the caller maps a label to two classes.
    #[error("the label {label} is mapped to two classes, {classes}")]
    TwoClasses {
        /// Label that is mapped twice.
        label: String,
        /// Names of the two classes to which the label is mapped.
        classes: String,
    },
    /// Two labels are spellings of the same label: they differ only in case, spaces or the like.
    #[error("the labels {first} and {second} may be one, written in two ways: write it in one way, or give two names")]
    TwoSpellings {
        /// First spelling, escaped.
        first: String,
        /// Second spelling, escaped.
        second: String,
    },
    /// The label column mixes numbers, truth values and strings.
    #[error(
        "the labels are values such as {number} in some rows and such as {string} in others: write them in one way"
    )]
    TwoTypes {
        /// Example of a number (or truth value) in the column.
        number: String,
        /// Example of a string (or truth value) in the column, escaped.
        string: String,
    },
    /// The labels are numbers with decimals. The caller must state whether they are classes or regression targets.
    #[error("the labels are numbers such as {label}: state whether they are classes or numbers")]
    FractionLabels {
        /// Example of a label with decimals.
        label: String,
    },
    /// Nearly every row has a label of its own, so the column probably does not hold classes.
    #[error("the label column {column:?} has {labels} different labels in {rows} rows: it may be an identifier")]
    UniqueLabels {
        /// Name of the label column.
        column: String,
        /// Number of distinct labels.
        labels: usize,
        /// Number of rows.
        rows: usize,
    },
    /// No multi-label cell contains the expected separator, and most cells contain another one.
    #[error(
        "no label cell has the separator {separator:?}, and {cells} of {filled} have {other:?}: set the \
         right one"
    )]
    Separator {
        /// Expected separator between labels.
        separator: char,
        /// Separator that most cells contain.
        other: char,
        /// Number of cells that contain the separator `other`.
        cells: usize,
        /// Number of cells that are not empty.
        filled: usize,
    },
    /// A label column of zeros and ones has a cell with another value.
    #[error("column {column:?} has {cell:?}, expected 1 where the label applies, else 0")]
    NotAFlag {
        /// Name of the column, which is also the name of its label.
        column: String,
        /// Content of the refused cell.
        cell: String,
    },
    /// A label column of zeros and ones has no name, so its label has no name either.
    #[error("column {column} has no name, expected that of its label")]
    UnnamedLabel {
        /// Number of the column, counted from 0.
        column: usize,
    },
    /// A directory has fewer than two subdirectories with texts, so they are not class folders.
    #[error("is a directory without a table and without a folder of texts for each of two or more classes")]
    NoClassFolders,
    /// The first line of a text file has no fastText label (`__label__…`).
    #[error("the line has no label: expected lines such as \"__label__good fine food\", as fastText reads them")]
    NoFastTextLabel,
    /// A label cell is a list or an object where one class is expected, or its labels cannot be parsed.
    #[error("the label cell {cell:?} is a list or an object: write one class in each row")]
    NestedCell {
        /// Content of the refused cell.
        cell: String,
    },
    /// A multi-label cell is a list in brackets. Labels must be joined by a separator.
    #[error("the label cell {cell:?} is a list: write the labels with the separator {separator:?} alone")]
    ListCell {
        /// Content of the refused cell.
        cell: String,
        /// Expected separator between labels.
        separator: char,
    },
    /// Multi-label cells are vectors of zeros and ones, which do not name their labels.
    #[error(
        "the label cell {cell:?} looks like a vector with a 0 or 1 for each label: write the names of the labels that apply, \
         with the separator {separator:?}"
    )]
    VectorCell {
        /// Content of the refused cell.
        cell: String,
        /// Expected separator between labels.
        separator: char,
    },
    /// A class occurs in no training row.
    #[error("the class {class} has no training row: it needs one beside those of validation, or more training rows")]
    NoRowOfClass {
        /// Name of the class.
        class: String,
    },
    /// A label must be a number (regression) and is not.
    #[error("the label is {label:?}, expected a finite number{}", decimal_comma(label))]
    NotANumber {
        /// Refused label, as read from the file.
        label: String,
    },
    /// A component of a word vector is not a finite number.
    #[error("{cell:?} in a vector, expected a finite number")]
    VectorNumber {
        /// Refused value, as read from the file.
        cell: String,
    },
    /// A row has a label that is not a known class.
    #[error("unknown label {label:?}, expected one of {known}")]
    UnknownLabel {
        /// Unknown label, as read from the file.
        label: String,
        /// Names of the known classes; only the first names if there are many.
        known: String,
    },
    /// All text columns of a row are empty.
    #[error("the text is empty: leave the row out")]
    NoText,
    /// The file has no rows, or only a header.
    #[error("holds no rows")]
    NoRows,
}

/// Suggests the likely cause of a row with the wrong number of columns.
fn column_hint(expected: usize, got: usize) -> &'static str {
    match expected {
        1 => " (lines above the names of the columns must be removed)",
        _ if expected + 1 == got => {
            " (a text with a separator needs quotes in csv; write.table of R needs col.names = NA)"
        }
        _ => " (a text with a separator needs quotes in csv)",
    }
}

/// Advises how to write numbers, if the number in the label has a decimal comma.
fn decimal_comma(label: &str) -> &'static str {
    match label.replacen(',', ".", 1).parse::<f64>() {
        Ok(_) if label.contains(',') => " with a decimal point (in a file separated by `;`, a comma is one, too)",
        _ => "",
    }
}
