/// What is wrong with a data set's file; [`Error::Data`](crate::Error::Data) says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataProblem {
    /// The file's name does not end in a known extension.
    #[error("is none of csv, tsv, jsonl, csv.gz, tsv.gz, jsonl.gz, parquet by its name")]
    UnknownFormat,
    /// A directory holds no file of the wanted split.
    #[error("holds none of the files {wanted}")]
    NoSuchSplit {
        /// The names looked for.
        wanted: String,
    },
    /// A directory holds more than one file of the wanted split.
    #[error("holds both {first} and {second}: move one of them away, or give the file itself")]
    AmbiguousSplit {
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// The parts of a split in a directory are not all there, or do not belong together.
    #[error("the parts of the split do not fit together: {problem}")]
    Parts {
        /// What is wrong.
        problem: String,
    },
    /// Parquet files are not read by this build.
    #[error(
        "is a parquet file, which is read with the feature `hub`: build with it, or convert the file to csv or jsonl"
    )]
    ParquetNotBuilt,
    /// A file is no parquet file, or a damaged one.
    #[error("cannot be read as parquet: {message}")]
    BadParquet {
        /// What the decoder said.
        message: String,
    },
    /// A part of a data set has other columns than the first part.
    #[error("its columns are {got}, expected those of the first part, {expected}")]
    OtherColumns {
        /// The first part's.
        expected: String,
        /// This part's.
        got: String,
    },
    /// The label or a text of a parquet file is neither text nor a number.
    #[error("column {column:?} is of type {got}, expected a string or a number")]
    ColumnType {
        /// The column.
        column: String,
        /// Its type.
        got: String,
    },
    /// There are no bytes.
    #[error("is empty")]
    Empty,
    /// A NUL byte: this is no text file.
    #[error("holds a NUL byte: this is not a text file")]
    Binary,
    /// The first line tells a spreadsheet the separator, as Excel writes it.
    #[error("the first line, {line:?}, is for a spreadsheet: remove it")]
    SeparatorLine {
        /// The line's first cell.
        line: String,
    },
    /// Bytes that are not UTF-8.
    #[error(
        "is not UTF-8 from byte {byte} of the line on: convert the file, such as by `iconv -f WINDOWS-1252 -t UTF-8` if a spreadsheet \
         wrote it"
    )]
    NotUtf8 {
        /// How many bytes of the line come before.
        byte: usize,
    },
    /// The compressed data end before their end.
    #[error("the gzip data are cut off here, or other bytes follow them")]
    TruncatedGzip,
    /// The compressed data are damaged, or were never compressed.
    #[error("is not gzip data: {message}")]
    BadGzip {
        /// What the decoder said.
        message: String,
    },
    /// A row longer than any text is; an unclosed quote may be the cause.
    #[error("a row of more than {most} bytes")]
    RowTooLong {
        /// The longest row read.
        most: usize,
    },
    /// More bytes than the limit of the reader.
    #[error("more than {most} (decompressed) bytes")]
    TooLarge {
        /// The limit.
        most: u64,
    },
    /// A quote that opens here is never closed.
    #[error("a quoted field that begins here is never closed")]
    UnclosedQuote,
    /// A quote inside a field that is not quoted, or text after the closing quote.
    #[error("a quote in column {column} neither opens nor closes a field: {cause}")]
    StrayQuote {
        /// The column, counted from 0.
        column: usize,
        /// The change that is likely due.
        cause: &'static str,
    },
    /// A row has another number of columns than the first.
    #[error("{got} columns, expected {expected} as in the first row (a text with a separator needs quotes in csv)")]
    ColumnCount {
        /// The first row's number.
        expected: usize,
        /// This row's number.
        got: usize,
    },
    /// More columns than any table of texts has.
    #[error("more than {most} columns")]
    TooManyColumns {
        /// The most that are read.
        most: usize,
    },
    /// Two columns have one name.
    #[error("two columns are called {column:?}")]
    DuplicateColumn {
        /// The name.
        column: String,
    },
    /// A line of a jsonl file is no JSON object.
    #[error("is not a JSON object: {message}")]
    NotJson {
        /// What the parser said.
        message: String,
    },
    /// The label or a text of a jsonl row is an array or an object.
    #[error(
        "column {column:?} holds an array or an object, expected a string or a number (several labels: one string such as \
         \"food,staff\", with `--task labels`)"
    )]
    NestedValue {
        /// The column.
        column: String,
    },
    /// A column that was asked for is not there.
    #[error("no column {column}; there are {known}")]
    UnknownColumn {
        /// The column asked for.
        column: String,
        /// Those that are there.
        known: String,
    },
    /// The lines of a table end with carriage returns alone.
    #[error("the lines end with carriage returns alone: save the file with line feeds (\\n or \\r\\n)")]
    CarriageReturns,
    /// All cells of the first row of a tsv file are in quotes.
    #[error(
        "all cells are in quotes, which in tsv are letters of the text: write the file without quotes around cells, or as csv"
    )]
    QuotedTsv,
    /// All rows of a labelled table are one cell.
    #[error("each row is one column, expected a text and a label{other}: csv is separated by commas, tsv by tabs")]
    OneColumn {
        /// Another sign that stands in most rows, after a comma.
        other: String,
    },
    /// The first row may name the columns or be data, or is the other of what the training's was.
    #[error("the first row may be a header or data: say which with `--header` or `--no-header`")]
    FirstRow,
    /// A file with a header beside a training file without one, or the other way round.
    #[error("this file has {is}, the training's has {expected}: make both alike")]
    OtherHeader {
        /// The header of this file.
        is: &'static str,
        /// The header of the training's.
        expected: &'static str,
    },
    /// A table without a header has another number of columns than the training's, whose columns are known by their numbers.
    #[error(
        "{got} columns without names, and the training's file had {expected}: name the text column with `--text-column`"
    )]
    OtherWidth {
        /// The training's number.
        expected: usize,
        /// This file's number.
        got: usize,
    },
    /// A cell of a tsv file opens a quote that its line does not close.
    #[error(
        "column {column} opens a quote, and the row ends with its line: tsv holds no line ends, write the file as csv"
    )]
    OpenQuote {
        /// The column, counted from 0.
        column: usize,
    },
    /// The bytes of another encoding or format, or of compressed data.
    #[error("looks like {found}: {instead}")]
    Encoding {
        /// What the bytes look like.
        found: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// The header comes again among the rows, as joining files leaves it.
    #[error("the header of line {first} comes again: remove this line")]
    HeaderAgain {
        /// The line of the header.
        first: u64,
    },
    /// No column looks like a label.
    #[error(
        "no column is called label, class or category, and none has a value in every row, each at least twice and 2 to 1000 \
         of them in all: name the label column with `--label-column`"
    )]
    NoLabelColumn,
    /// One column may be the label, but something speaks against it.
    #[error("column {column} may be the label, but {reason}: if it is, say `--label-column {column}`")]
    UncertainLabel {
        /// The column.
        column: String,
        /// Reason against it.
        reason: &'static str,
    },
    /// Several columns may be the label.
    #[error("columns {columns} may all be the label: name it with `--label-column`")]
    LabelColumns {
        /// The columns.
        columns: String,
    },
    /// No column looks like text.
    #[error("no column but the label's looks like text: name the text column with `--text-column`")]
    NoTextColumn,
    /// Several columns may be the text.
    #[error(
        "columns {columns} may all be the text: name it with `--text-column`; name several to join them, or two and `--pair` \
         for sentence pairs"
    )]
    TextColumns {
        /// The columns.
        columns: String,
    },
    /// A jsonl row lacks the key of a text.
    #[error("the row has no key {key}, which is the text")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A word in the place of a JSON value that is not JSON.
    #[error("{word} (column {column} of the line) is not JSON, though some programs write it: write {instead}")]
    ForeignJson {
        /// The word.
        word: &'static str,
        /// Its place in the line, counted from 1.
        column: usize,
        /// The value to write.
        instead: &'static str,
    },
    /// Sentence pairs need two text columns.
    #[error("sentence pairs need 2 text columns, got {got}: name both with `--text-column`")]
    PairColumns {
        /// How many there are.
        got: usize,
    },
    /// A row without a label.
    #[error("the label is empty")]
    EmptyLabel,
    /// The label is -1, by which data sets say that it is kept secret (in a test set) or not known.
    #[error(
        "the label is -1, which stands for one that is kept secret or not known: leave such rows out, or score validation rows"
    )]
    HiddenLabel,
    /// A label is written as a missing value.
    #[error("the label {label:?} is a missing value or has a lost character: leave the row out, or give it a label")]
    MissingLabel {
        /// The label.
        label: String,
    },
    /// Labels that do not match the classes.
    #[error(
        "the labels {labels} do not match the classes {classes}{reason}; give them classes with `--label-map LABEL=CLASS`"
    )]
    OtherLabels {
        /// The file's labels.
        labels: String,
        /// The classes of the training set or the model.
        classes: String,
        /// A further reason, after a colon.
        reason: &'static str,
    },
    /// A class that a label is given, and that is not one.
    #[error("`--label-map`: there is no class {class}; the classes are {classes}")]
    NoSuchClass {
        /// The name.
        class: String,
        /// The classes.
        classes: String,
    },
    /// A label is given two classes.
    #[error("`--label-map`: the label {label} is given two classes, {classes}")]
    TwoClasses {
        /// The label.
        label: String,
        /// Both classes.
        classes: String,
    },
    /// One label is written in two ways.
    #[error("the labels {first} and {second} may be one, written in two ways: write it in one way, or give two names")]
    TwoSpellings {
        /// One of them, escaped.
        first: String,
        /// The other, escaped.
        second: String,
    },
    /// Labels are numbers (or truth values) in some rows and strings (or truth values) in others.
    #[error(
        "the labels are values such as {number} in some rows and such as {string} in others: write them in one way"
    )]
    TwoTypes {
        /// A number.
        number: String,
        /// A string, escaped.
        string: String,
    },
    /// Labels are numbers with decimals, and nobody says that they are classes.
    #[error("the labels are numbers such as {label}: say `--task number`, or `--task class` if each is a class")]
    FractionLabels {
        /// A label.
        label: String,
    },
    /// No cell has the separator of labels, and most have another sign.
    #[error(
        "no label cell has the separator {separator:?}, and {cells} of {filled} have {other:?}: give the right one with \
         `--label-separator`"
    )]
    Separator {
        /// The separator.
        separator: char,
        /// The other sign.
        other: char,
        /// Cells that have it.
        cells: usize,
        /// Cells that are not empty.
        filled: usize,
    },
    /// A cell of several labels is written as a list.
    #[error("the label cell {cell:?} is a list: write the labels with the separator {separator:?} alone")]
    ListCell {
        /// The cell.
        cell: String,
        /// The separator.
        separator: char,
    },
    /// A class has no row to learn from.
    #[error("the class {class} has no training row: it needs one beside those of validation, or more `--train-rows`")]
    NoRowOfClass {
        /// The class.
        class: String,
    },
    /// A label that should be a number is none.
    #[error("the label is {label:?}, expected a finite number")]
    NotANumber {
        /// The label.
        label: String,
    },
    /// A vector of a word with what is no finite number.
    #[error("{cell:?} in a vector, expected a finite number")]
    VectorNumber {
        /// The number.
        cell: String,
    },
    /// A label that the training set does not have.
    #[error("unknown label {label:?}, expected one of {known}")]
    UnknownLabel {
        /// The label.
        label: String,
        /// The known ones (the first of them, when there are many).
        known: String,
    },
    /// All text columns of a row are empty.
    #[error("the text is empty: leave the row out")]
    NoText,
    /// There is no row (a header, at most).
    #[error("holds no rows")]
    NoRows,
}
