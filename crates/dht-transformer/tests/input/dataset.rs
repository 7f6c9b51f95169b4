use std::io::{Read, Write};
use std::path::Path;

use dht_toys::outside;
use dht_transformer::{
    Dataset, DatasetReader, Error, Example,
    data::{Column, Split},
    error::DataProblem,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub(crate) fn read(name: &str, content: &str) -> Result<Dataset, Error> {
    DatasetReader::new().read_from(name, content.as_bytes())
}

/// Line and problem of a data error.
pub(crate) fn problem(result: Result<Dataset, Error>) -> (Option<u64>, DataProblem) {
    match result {
        Err(Error::Data { line, problem, .. }) => (line, problem),
        other => panic!("expected a data error, got {other:?}"),
    }
}

pub(crate) fn texts(data: &Dataset) -> Vec<&str> {
    data.examples.iter().map(|example| example.text.as_str()).collect()
}

fn classes(data: &Dataset) -> Vec<usize> {
    data.examples.iter().map(|example| example.label).collect()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

const DOUBLE: &str = "double each quote inside a quoted field";
const CLOSE: &str = "the field that opens here runs over several lines; close it, or double each quote inside";
const QUOTE: &str = "put the field in quotes, and double each quote inside";
pub(crate) const NEWS: &str = "\"2\",\"\",\"a match, won\"\n\"1\",\"Title here\",\"said \"\"no\"\" twice\"\n\"2\",\"On\",\"two\nlines\"\n\"1\",\"\",\"x\\y z\"\n";

/// Reader that joins the columns 1 and 2.
fn news() -> DatasetReader {
    DatasetReader::new().with_text_columns([Column::Number(1), Column::Number(2)])
}

#[test]
fn columns_of_a_headerless_csv_are_joined_when_asked_for() {
    let both = problem(read("news/train.csv", NEWS));
    assert_eq!(both, (None, DataProblem::TextColumns { columns: "1, 2".into() }));
    let data = news().read_from("news/train.csv", NEWS.as_bytes()).unwrap();
    assert_eq!(data.name, "news/train");
    assert_eq!(data.labels, ["1", "2"]);
    assert_eq!(classes(&data), [1, 0, 1, 0]);
    assert_eq!(texts(&data), ["a match, won", "Title here said \"no\" twice", "On two\nlines", "x\\y z"]);
}

#[test]
fn line_endings_byte_order_mark_and_blank_lines_change_no_row() {
    let odd = format!("\u{feff}\n{}\n\n", NEWS.replace("\"\n\"", "\"\r\n\r\n\""));
    let read = |content: &str| news().read_from("news/train.csv", content.as_bytes()).unwrap();
    let (data, plain) = (read(&odd), read(NEWS));
    assert_eq!(data.examples, plain.examples);
    assert_ne!(data.sha256, plain.sha256);
}

#[test]
fn a_header_names_the_label_and_the_index_is_no_text() {
    let file = "index\tsentence1\tsentence2\tlabel\n0\tA \"dog\" ran\tIt ran\tyes\n1\tNo\"ne\tIt ran\tno\n";
    assert!(matches!(problem(read("t.tsv", file)).1, DataProblem::TextColumns { .. }));
    let both = ["sentence1", "sentence2"].map(|name| Column::Name(name.into()));
    let data = DatasetReader::new().with_text_columns(both.clone()).read_from("t.tsv", file.as_bytes()).unwrap();
    assert_eq!(data.labels, ["no", "yes"]);
    assert_eq!(texts(&data), ["A \"dog\" ran It ran", "No\"ne It ran"]);
    let told = "t: 2 rows; 2 labels: no, yes; label from column \"label\" (by its name), text from columns \
                \"sentence1\", \"sentence2\" (as asked)";
    assert_eq!(data.to_string(), told);
    let reading = data.reading.unwrap();
    assert_eq!((reading.text, reading.carried), (both.to_vec(), vec![Column::Name("index".into())]));
}

#[test]
fn a_pair_keeps_its_two_sentences_apart() {
    let file = "sentence1\tsentence2\tlabel\na b\tc d\t0\ne f\tg h\t1\n";
    let data = DatasetReader::new().with_pair(true).read_from("t.tsv", file.as_bytes()).unwrap();
    assert_eq!(
        data.examples[1],
        Example { text: "e f".into(), pair: Some("g h".into()), label: 1, targets: Vec::new() }
    );
    let pair = |file: &str| problem(DatasetReader::new().with_pair(true).read_from("t.tsv", file.as_bytes()));
    let columns = "\"a\", \"b\", \"c\"".into();
    assert_eq!(pair("a\tb\tc\tlabel\nx a\ty a\tz a\t0\n"), (None, DataProblem::TextColumns { columns }));
    assert_eq!(pair("a\tn\tlabel\nx a\t1\t0\n"), (None, DataProblem::PairColumns { got: 1 }));
}

#[test]
fn a_test_file_is_read_like_its_training_set() {
    let train = read("t.csv", "text,class\nso good,b\nso bad,a\nso so,c\n").unwrap();
    let test = DatasetReader::new().like(&train).read_from("e.csv", &b"class,text\nc,well then\n"[..]).unwrap();
    assert_eq!((test.labels.as_slice(), classes(&test)), (train.labels.as_slice(), vec![2]));
    let unknown = DatasetReader::new().like(&train).read_from("e.csv", &b"class,text\nc,well\n\nd,then\n"[..]);
    assert!(matches!(problem(unknown), (Some(4), DataProblem::OtherLabels { labels, .. }) if labels.contains("\"d\"")));
}

#[test]
fn numbers_are_sorted_by_value_and_names_by_letters() {
    let data = read("t.csv", "class,text\n10,a b\n9,c d\n-1,e f\n").unwrap();
    assert_eq!(data.labels, ["-1", "9", "10"]);
    let data = read("t.csv", "class,text\n10,a b\n9,c d\nx,e f\n").unwrap();
    assert_eq!(data.labels, ["10", "9", "x"]);
}

#[test]
fn json_lines_take_strings_numbers_and_missing_keys() {
    let file = "{\"label\": 1, \"title\": \"A b\", \"text\": \"c\\nd\", \"tokens\": [\"x y\"]}\n\n{\"text\": \"e f\", \"label\": 0}\n";
    let data = read("t.jsonl", file).unwrap();
    assert_eq!(data.labels, ["0", "1"]);
    assert_eq!(texts(&data), ["c\nd", "e f"]);
    let missing = read("t.jsonl", "{\"label\": 1, \"text\": \"a b\"}\n{\"label\": 0, \"body\": \"c d\"}\n");
    assert_eq!(problem(missing), (Some(2), DataProblem::MissingKey { key: "\"text\"".into() }));
    let asked =
        DatasetReader::new().with_text_columns([Column::Name("tokens".into())]).read_from("t.jsonl", file.as_bytes());
    assert_eq!(problem(asked), (Some(1), DataProblem::NestedValue { column: "tokens".into() }));
}

#[test]
fn columns_may_be_asked_for_by_name_or_number() {
    let file = "rating,review,author\n5,fine work,Jo Do\n1,no work,Al Po\n";
    let reader = DatasetReader::new().with_label_column("rating");
    let data = reader.clone().with_text_columns(["review"]).read_from("t.csv", file.as_bytes()).unwrap();
    assert_eq!((data.labels.len(), texts(&data)), (2, vec!["fine work", "no work"]));
    let data =
        reader.with_text_columns([Column::Number(2), Column::Number(1)]).read_from("t.csv", file.as_bytes()).unwrap();
    assert_eq!(texts(&data), ["Jo Do fine work", "Al Po no work"]);
    let data = DatasetReader::new().with_header(true).with_label_column(Column::Number(2));
    assert_eq!(texts(&data.read_from("t.csv", file.as_bytes()).unwrap()), ["fine work", "no work"]);
    let missing = DatasetReader::new().with_label_column("stars").read_from("t.csv", file.as_bytes());
    assert!(matches!(problem(missing), (None, DataProblem::UnknownColumn { column, .. }) if column == "\"stars\""));
}

#[test]
fn a_label_is_not_guessed_where_no_column_looks_like_one() {
    assert_eq!(
        problem(read("t.csv", "stars,review\n5,fine work\n4,no work\n")),
        (None, DataProblem::NoLabelColumn { nested: String::new() })
    );
    assert_eq!(problem(read("t.csv", "label,n\n5,1\n5,2\n")), (None, DataProblem::NoTextColumn));
    let semicolons = problem(read("t.csv", "opinion;verdict\nfine work;5\nno work;1\n"));
    assert_eq!(semicolons, (Some(1), DataProblem::OneColumn { other: ", and most have ';'".into() }));
    assert_eq!(problem(read("t.csv", "text,label\rfine work,5\nno work,1\n")), (Some(1), DataProblem::CarriageReturns));
    let sentence = "a b c d e f,class\ng h i j k l,x\nm n o p q r,x\n";
    assert_eq!(problem(read("t.csv", sentence)), (Some(1), DataProblem::FirstRow));
}

#[test]
fn every_bad_file_gives_its_own_error_with_its_line() {
    use DataProblem as P;
    let cases: [(&str, &[u8], Option<u64>, P); 20] = [
        ("t.text", b"label,text\n", None, P::UnknownFormat),
        ("t.txt", b"label,text\n", Some(1), P::NoFastTextLabel),
        ("t.csv", b"", None, P::Empty),
        ("t.csv.gz", b"", None, P::Empty),
        ("t.csv", b"\n\n", None, P::NoRows),
        ("t.csv", b"label,text\n", None, P::NoRows),
        ("t.csv", b"label,text\n1,a b\n2,\0\n", Some(3), P::Binary),
        ("t.csv", b"label,text\n1,a b\n2,ab\xff\n", Some(3), P::NotUtf8 { byte: 4 }),
        ("t.csv", b"label,text\n1,\"a\nb\"\n2,\"a\nb\nc\n", Some(4), P::UnclosedQuote),
        ("t.csv", b"label,text\n1,\"a\"c\n", Some(2), P::StrayQuote { column: 1, cause: DOUBLE }),
        ("t.csv", b"text,label\n\"a\",1\n\"b,2\n\"c\",1\n", Some(3), P::StrayQuote { column: 0, cause: CLOSE }),
        ("t.csv", b"label,text\n1,5\" disk\n", Some(2), P::StrayQuote { column: 1, cause: QUOTE }),
        ("t.csv", b"label,text\n1,\"a\nb\"\n2,a,b\n", Some(4), P::ColumnCount { expected: 2, got: 3 }),
        ("t.tsv", b"label\ttext\n1\n", Some(2), P::ColumnCount { expected: 2, got: 1 }),
        ("t.csv", b"label,text\n,a b\n", Some(2), P::EmptyLabel),
        ("t.csv", b"label,text\n1,a b\n2, \n", Some(3), P::NoText),
        (
            "t.csv.gz",
            b"label,text\n1,a b\n",
            Some(1),
            P::NotCompressed { format: "gzip", message: "invalid gzip header".into() },
        ),
        ("t.tsv", b"label\ttext\ttext\n1\ta\tb\n", Some(1), P::DuplicateColumn { column: "text".into() }),
        ("t.csv", b"a,label,text,label\n", Some(1), P::DuplicateColumn { column: "label".into() }),
        ("t.tsv", &[b'\t'; 2000], Some(1), P::TooManyColumns { most: 1024 }),
    ];
    for (name, content, line, expected) in cases {
        let reader = DatasetReader::new().with_header(matches!(expected, P::DuplicateColumn { .. }).then_some(true));
        let got = problem(reader.read_from(name, content));
        assert_eq!(got, (line, expected), "{name} {:?}", String::from_utf8_lossy(content));
    }
}

#[test]
fn bad_json_names_its_line() {
    for bad in [
        "[1]",
        "{\"label\": 1",
        "{\"label\": 1} x",
        "nonsense",
        "{\"label\": 1, \"label\": 2}",
        "{\"label\": \"\\ud8\"}",
    ] {
        let result = read("t.jsonl", &format!("{{\"label\": 1, \"text\": \"a b\"}}\n{bad}\n"));
        assert!(matches!(problem(result), (Some(2), DataProblem::NotJson { .. })), "{bad}");
    }
}

#[test]
fn an_error_says_path_and_line() {
    let error = read("news/t.csv", "label,text\n1,a b\n2,\n").unwrap_err();
    assert_eq!(error.to_string(), "news/t.csv:3: the text is empty: leave the row out");
}

#[test]
fn a_missing_file_is_an_io_error_with_its_path() {
    let error = DatasetReader::new().read("no/such/train.csv").unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path == Path::new("no/such/train.csv")));
}

#[test]
fn compressed_is_the_same_as_plain_and_every_cut_is_noticed() {
    let bytes = gzip(NEWS.as_bytes());
    let reader = news();
    let data = reader.read_from("news/train.csv.gz", bytes.as_slice()).unwrap();
    assert_eq!(data.examples, reader.read_from("news/train.csv", NEWS.as_bytes()).unwrap().examples);
    for end in 1..bytes.len() {
        let result = reader.read_from("news/train.csv.gz", &bytes[..end]);
        assert!(matches!(problem(result), (Some(_), DataProblem::CutOff { format: "gzip" })), "cut at {end}");
    }
    let twice = [gzip(b"label,text\n1,a b\n"), gzip(b"2,c d\n")].concat();
    assert_eq!(DatasetReader::new().read_from("t.csv.gz", twice.as_slice()).unwrap().len(), 2);
}

#[test]
fn a_small_file_that_unpacks_without_end_is_stopped() {
    let one_row = gzip(&vec![b'a'; 20 << 20]);
    let result = DatasetReader::new().read_from("t.csv.gz", one_row.as_slice());
    assert!(matches!(problem(result), (Some(1), DataProblem::RowTooLong { .. })));
    let lines = gzip(&b"1,a b\n".repeat(1000));
    let result = DatasetReader::new().with_most_bytes(600).read_from("t.csv.gz", lines.as_slice());
    assert_eq!(problem(result), (Some(101), DataProblem::TooLarge { most: 600 }));
    let quote = [b"1,\"".to_vec(), b"a\n".repeat(3 << 20)].concat();
    let result = DatasetReader::new().read_from("t.csv", quote.as_slice());
    assert!(matches!(problem(result), (Some(1), DataProblem::RowTooLong { .. })));
}

#[test]
fn the_hash_is_that_of_the_bytes_on_disk() {
    // printf 'label,text\n1,a b\n' | sha256sum
    let data = read("t.csv", "label,text\n1,a b\n").unwrap();
    assert_eq!(data.sha256, "eb7e38c59222fa2d8507e66b06a3e1c0a723ed2a2e839280be1bdeb2ec208b80");
    let rows = DatasetReader::new().read_from("t.csv.gz", gzip(b"label,text\n1,a b\n").as_slice()).unwrap();
    assert_ne!(rows.sha256, data.sha256);
}

#[test]
fn a_split_is_found_by_its_name_and_only_when_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["train.csv.gz", "dev.tsv", "dev.jsonl", "test.txt", "training.csv"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let find = |split| DatasetReader::find(folder.path(), split);
    assert_eq!(find(Split::Train).unwrap(), folder.path().join("train.csv.gz"));
    let (first, second) = ("dev.jsonl".into(), "dev.tsv".into());
    assert!(
        matches!(find(Split::Dev), Err(Error::Data { problem, .. }) if problem == DataProblem::AmbiguousSplit { first, second })
    );
    assert!(matches!(find(Split::Test), Err(Error::Data { problem: DataProblem::NoSuchSplit { .. }, .. })));
}

fn generated(rows: usize) -> Dataset {
    let examples = (0..rows)
        .map(|row| Example { text: format!("row {row}"), pair: None, label: row % 2, targets: Vec::new() })
        .collect();
    Dataset::from_examples("generated", vec!["even".into(), "odd".into()], examples).expect("they are right")
}

#[test]
fn a_validation_split_partitions_rows_by_the_seed_alone() {
    let split = |seed| generated(100).split_validation(0.2, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
    let (rest, validation) = split(1);
    assert_eq!((rest.len(), validation.len()), (80, 20));
    let mut all = [texts(&rest), texts(&validation)].concat();
    let whole = generated(100);
    all.sort_by_key(|text| text[4..].parse::<usize>().unwrap());
    assert_eq!(all, texts(&whole));
    assert_eq!(split(1), (rest.clone(), validation));
    assert_ne!(split(2).0, rest);
    assert!(generated(1).split_validation(0.5, &mut ChaCha8Rng::seed_from_u64(0)).is_err());
    assert!(generated(9).split_validation(f64::NAN, &mut ChaCha8Rng::seed_from_u64(0)).is_err());
    assert_eq!(generated(9).take(3).len(), 3);
}

#[test]
fn generated_examples_are_checked_and_hashed_by_content() {
    let labels = vec!["a".to_owned(), "b".to_owned()];
    let example = |text: &str, label| Example { text: text.into(), pair: None, label, targets: Vec::new() };
    let build = |examples| Dataset::from_examples("g", labels.clone(), examples);
    assert!(build(vec![example("x", 2)]).is_err());
    assert!(build(vec![example(" ", 0)]).is_err());
    assert!(build(vec![]).is_err());
    assert!(Dataset::from_examples("g", vec!["a".into(), "a".into()], vec![example("x", 0)]).is_err());
    let hash = |examples| build(examples).unwrap().sha256;
    assert_ne!(hash(vec![example("x", 0)]), hash(vec![example("x", 1)]));
    let paired = Example { text: "x".into(), pair: Some(String::new()), label: 0, targets: Vec::new() };
    assert_ne!(hash(vec![paired]), hash(vec![example("x", 0)]));
}

proptest! {
    #[test]
    fn no_soup_of_bytes_makes_the_reader_panic(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(b"\"\n\r,\t{}[]:01ab \0".to_vec())], 0..200),
    ) {
        for name in ["t.csv", "t.tsv", "t.jsonl", "t.csv.gz"] {
            for header in [None, Some(true), Some(false)] {
                // The result does not matter, as long as the call returns.
                let _ = DatasetReader::new().with_header(header).read_from(name, bytes.as_slice());
            }
        }
        let _ = DatasetReader::new().read_from("t.csv.gz", gzip(&bytes).as_slice());
    }

    #[test]
    fn what_the_csv_crate_writes_is_read_back(
        rows in proptest::collection::vec(("[a-c]", "[ -~\n\"',é]{0,12}[a-z]", "[ -~\n\"',]{0,12}"), 1..12),
        quote_all in any::<bool>(),
    ) {
        let style = if quote_all { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        writer.write_record(["label", "one", "two"]).unwrap();
        for (label, one, two) in &rows {
            writer.write_record([label, one, two]).unwrap();
        }
        let file = writer.into_inner().unwrap();
        let columns = ["one", "two"].map(|name| Column::Name(name.into()));
        let data = DatasetReader::new().with_text_columns(columns).with_pair(true).read_from("t.csv", file.as_slice()).unwrap();
        for (example, (label, one, two)) in data.examples.iter().zip(&rows) {
            prop_assert_eq!(&data.labels[example.label], label);
            prop_assert_eq!(&example.text, one.trim());
            prop_assert_eq!(example.pair.as_deref(), Some(two.trim()));
        }
        prop_assert_eq!(data.len(), rows.len());
    }
}

/// Numbers of rows and classes.
fn summary(data: &Dataset) -> (usize, usize) {
    (data.len(), data.labels.len())
}

#[test]
fn the_real_files_are_read_or_name_the_flag_that_decides() {
    for (folder, split, rows, labels, text_columns) in [
        ("ag_news", Split::Train, 30_254, 4, 2),
        ("ag_news", Split::Test, 7_600, 4, 2),
        ("sst2_sentences", Split::Test, 1_821, 2, 1),
        ("stackoverflow20", Split::Dev, 2_000, 20, 1),
        ("glue/sst2", Split::Dev, 872, 2, 1),
        ("glue/sst2", Split::Train, 67_349, 2, 1),
        ("glue/rte", Split::Train, 2_490, 2, 2),
        ("glue/rte", Split::Dev, 277, 2, 2),
        ("glue/cola", Split::Train, 8_551, 2, 1),
        ("glue/cola", Split::Dev, 1_043, 2, 1),
        ("imdb", Split::Test, 25_000, 2, 1),
    ] {
        let Some(folder) = outside("DHT_DATA", folder) else { continue };
        let path = DatasetReader::find(&folder, split).unwrap();
        let several: Option<(&[&str], Option<&str>)> = match folder.file_name().and_then(|name| name.to_str()) {
            Some("ag_news") => Some((&["1", "2"], None)),
            Some("rte") => Some((&["sentence1", "sentence2"], None)),
            Some("cola") => Some((&["3"], Some("1"))),
            _ => None,
        };
        let mut reader = DatasetReader::new();
        if let Some((texts, label)) = several {
            let refused = problem(reader.read(&path)).1;
            assert!(matches!(refused, DataProblem::TextColumns { .. } | DataProblem::LabelColumns { .. }), "{refused}");
            reader = reader.with_text_columns(texts.iter().copied());
            if let Some(label) = label {
                reader = reader.with_label_column(label);
            }
        }
        let data = reader.read(&path).unwrap();
        assert_eq!(summary(&data), (rows, labels), "{}", path.display());
        let reading = data.reading.as_ref().unwrap();
        assert_eq!(reading.text.len(), text_columns, "{}: {reading:?}", path.display());
        assert!(data.examples.iter().all(|example| example.text.trim() == example.text && !example.text.is_empty()));

        let mut sums = String::new();
        let Some(file) = outside("DHT_DATA", "SHA256SUMS") else { continue };
        std::fs::File::open(file).unwrap().read_to_string(&mut sums).unwrap();
        assert!(sums.contains(&data.sha256), "{}", path.display());
    }
}

#[test]
fn real_sentence_pairs_are_pairs() {
    let Some(folder) = outside("DHT_DATA", "glue/rte") else { return };
    let train = DatasetReader::new().with_pair(true).read(folder.join("train.tsv")).unwrap();
    let dev = DatasetReader::new().like(&train).read(folder.join("dev.tsv")).unwrap();
    assert_eq!(dev.labels, ["entailment", "not_entailment"]);
    assert_eq!(dev.examples[0].pair.as_deref(), Some("Christopher Reeve had an accident."));
    assert_eq!(dev.examples[0].label, 1);
}

const WORDS: [&str; 5] = ["very negative", "negative", "neutral", "positive", "very positive"];

/// Random texts with random labels, so that nothing can be learned from the texts.
fn random_rows(rows: usize, line: impl Fn(&str, usize) -> String) -> String {
    use rand::RngExt;
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut word = || ["film", "meal", "trip", "plot", "song", "town", "idea"][rng.random_range(0..7)];
    let texts: Vec<String> = (0..rows).map(|row| format!("{} {} {} {row}", word(), word(), word())).collect();
    texts.iter().map(|text| line(text, rng.random_range(0..5))).collect()
}

#[test]
fn a_column_that_tells_the_label_is_read_when_asked_and_noted() {
    let json = |text: &str, label: usize| {
        format!("{{\"text\": {text:?}, \"label\": {label}, \"label_text\": {:?}}}\n", WORDS[label])
    };
    let rows = random_rows(60, json);
    let alone = read("t.jsonl", &rows).unwrap().reading.unwrap();
    assert_eq!((alone.notes(), alone.text), (vec![], vec![Column::Name("text".into())]));
    let both = ["text", "label_text"].map(|name| Column::Name(name.into()));
    let data = DatasetReader::new().with_text_columns(both).read_from("t.jsonl", rows.as_bytes()).unwrap();
    let beware = "; beware: column \"label_text\" predicts the label in 100 of 100 rows by 5 values";
    assert!(data.reading.as_ref().unwrap().to_string().ends_with(beware), "{:?}", data.reading);
}

/// Reader that joins the columns 1 and 2, with the label in column 0.
fn joined() -> DatasetReader {
    news().with_label_column(Column::Number(0))
}

/// Rows with a label and its written-out name; in `wrong` rows the name belongs to another label.
fn noisy(rows: usize, wrong: usize) -> String {
    random_rows(rows, |text, label| {
        let row: usize = text.rsplit(' ').next().and_then(|row| row.parse().ok()).expect("texts end in their row");
        let word = WORDS[if row < wrong { (label + 1) % 5 } else { label }];
        format!("{label},{text},{word}\n")
    })
}

#[test]
fn a_column_that_nearly_tells_the_label_is_noted() {
    for (wrong, noted) in [(1, true), (6, true), (15, true), (60, false)] {
        let data = joined().read_from("t.csv", noisy(200, wrong).as_bytes()).unwrap();
        let reading = data.reading.unwrap();
        assert_eq!(reading.notes().len(), usize::from(noted), "{reading}");
        assert_eq!(reading.to_string().contains("; beware: column 2 predicts the label in 9"), noted, "{reading}");
    }
}

#[test]
fn honest_columns_are_no_leak() {
    let fine = |name: &str, rows: &str| {
        let wide = rows.lines().all(|row| row.split(',').count() == 3);
        let reader = if wide { joined() } else { DatasetReader::new() };
        let data = reader.read_from("t.csv", rows.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(data.reading.unwrap().notes(), Vec::<String>::new(), "{name}");
    };
    // Newspaper sections occur with several labels, empty cells are ignored, and all texts differ.
    fine(
        "sections",
        &random_rows(100, |text, label| {
            let section = ["On Sports", "On Business", ""][text.len() % 3];
            format!("{label},{section},{text}\n")
        }),
    );
    let one = |rows: usize| random_rows(rows, |text, label| format!("{label},{text}\n"));
    fine("each row twice", &one(200).repeat(2));
    fine("a few rows again", &(one(40) + &one(10)));
    // Nearly all rows have one class, so a source column that is constant or random does not predict the label.
    let rare = |source: fn(usize) -> &'static str| -> String {
        let row = |row: usize| format!("{},{},text {row} of many\n", u8::from(row % 200 == 7), source(row));
        (0..800).map(row).collect()
    };
    fine("one source", &rare(|_| "our shop"));
    fine("three sources", &rare(|row| ["our shop", "the street", "an agent"][row % 3]));
    // If only one column has words, repeated phrases are accepted as texts.
    let phrases: String = (0..200).map(|row| format!("{},{}\n", row % 5, WORDS[row % 5])).collect();
    fine("phrases", &phrases);
    fine("few rows", "label,text\na,one two\na,one two\nb,no one\nb,no one\n");
}

#[test]
fn a_label_column_with_rivals_is_asked_for() {
    let rows = "5,yes,fine work\n1,no,no work\n5,yes,good day\n1,yes,bad day\n3,no,so so\n3,yes,well well\n";
    assert_eq!(problem(read("t.csv", rows)), (None, DataProblem::LabelColumns { columns: "0, 1".into() }));
    let named = read("t.csv", "class,label,text\na,x,fine work\nb,y,no work\n").unwrap().reading.unwrap();
    assert_eq!(named.label_rivals, [Column::Name("class".into())]);
    assert!(named.to_string().starts_with("label from column \"label\" (by its name; column"), "{named}");
    let two = problem(read("t.csv", "class,category,text\na,x,fine work\nb,y,no work\n"));
    assert_eq!(two, (None, DataProblem::LabelColumns { columns: "\"class\", \"category\"".into() }));
    let asked = DatasetReader::new().with_label_column(Column::Number(0));
    let reading = asked.read_from("t.csv", rows.as_bytes()).unwrap().reading.unwrap();
    assert_eq!(
        reading.lines(),
        [
            "csv, no header (the first cell of column 0 is like others below); 6 rows",
            "text: column 2 (the only one that holds words)",
            "label: column 0, a class (as asked)",
            "not read: column 1",
        ]
    );
    // Both spellings match the labels of the training set.
    let known = DatasetReader::new().with_labels(["yes", "no"]);
    let marks = "yes,no,fine work\nno,no,no work\n";
    assert_eq!(
        problem(known.read_from("t.csv", marks.as_bytes())).1,
        DataProblem::LabelColumns { columns: "0, 1".into() }
    );
}

#[test]
fn headers_of_numbers_are_headers_above_words_alone() {
    let named = read("t.csv", ",0,1\n0,fine work,0\n1,no work,1\n2,so so,0\n3,well well,1\n").unwrap();
    assert_eq!((texts(&named)[0], named.len(), named.labels.len()), ("fine work", 4, 2));
    assert_eq!(problem(read("t.csv", "0,1\n3,0\n4,1\n5,0\n6,1\n")), (Some(1), DataProblem::FirstRow));
}

#[test]
fn files_beside_the_training_file_are_read_by_its_reading() {
    let train = read("t.csv", "7,fine work,good\n8,no work,bad\n9,so so,good\n10,oh no,bad\n").unwrap();
    let like = |file: &str| DatasetReader::new().like(&train).read_from("e.csv", file.as_bytes());
    let test = like("3,well then,good\n").unwrap();
    assert_eq!((texts(&test), classes(&test)), (vec!["well then"], vec![1]));
    assert!(test.reading.unwrap().lines()[1].ends_with("(as in training)"));
    assert_eq!(problem(like("well then,good\n")), (Some(1), DataProblem::OtherWidth { expected: 3, got: 2 }));
    let is = problem(like("id,text,label\n3,well then,good\n4,oh well,bad\n"));
    assert_eq!(is, (Some(1), DataProblem::OtherHeader { is: "a header", expected: "no header" }));
}
