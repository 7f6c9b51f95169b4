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
    #[error("holds both {first} and {second}: name the file to read")]
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
    /// Bytes that are not UTF-8.
    #[error("is not UTF-8 from byte {byte} of the line on")]
    NotUtf8 {
        /// How many bytes of the line come before.
        byte: usize,
    },
    /// The compressed data end before their end.
    #[error("the gzip data are cut off here")]
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
    #[error("a quote in column {column} that neither opens nor closes a field (double it inside a quoted field)")]
    StrayQuote {
        /// The column, counted from 0.
        column: usize,
    },
    /// A row has another number of columns than the first.
    #[error("{got} columns, expected {expected}")]
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
    #[error("column {column:?} holds an array or an object, expected a string or a number")]
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
    /// No column looks like a label.
    #[error(
        "no column is called label, class or category, and none has a value in every row, each at least twice and 2 to 1000 \
         of them in all: name the label column"
    )]
    NoLabelColumn,
    /// No column looks like text.
    #[error("no column but the label's looks like text: name the text columns")]
    NoTextColumn,
    /// A column that was taken for text tells the label: a model would learn to read it and nothing else.
    #[error(
        "column {column} holds words and tells the label: in {percent} of 100 rows, the label (column {label}) is the most \
         frequent one of its cell, of which there are {values}; name the text columns, and this one only if it may be read"
    )]
    TellsLabel {
        /// The text column.
        column: String,
        /// The label's column.
        label: String,
        /// How many different cells it has.
        values: usize,
        /// In how many of a hundred different rows it tells the label.
        percent: usize,
    },
    /// Sentence pairs need two text columns.
    #[error("sentence pairs need exactly 2 text columns, got {got}: name them")]
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
    #[error("all text columns are empty")]
    NoText,
    /// There is no row (a header, at most).
    #[error("holds no rows")]
    NoRows,
}
