//! Parquet files as data sets: supported files are read, others are refused, and damaged files cause no panic.

use std::path::Path;

use dht_transformer::data::{Column, Given, LabelKind, Split, TextColumns, TextFormat, TextStream};
use dht_transformer::error::DataProblem;
use dht_transformer::{Dataset, DatasetReader, Error};
use parquet::basic::Compression;
use rand::{RngExt, SeedableRng};

use super::parquet_writer::{Cells, class_label, parquet, reviews, texts};

fn read(bytes: &[u8]) -> Result<Dataset, Error> {
    DatasetReader::new().read_from("train.parquet", bytes)
}

fn problem(result: Result<Dataset, Error>) -> (Option<u64>, DataProblem) {
    match result {
        Err(Error::Data { line, problem, .. }) => (line, problem),
        other => panic!("{other:?}"),
    }
}

fn plain(columns: &[(&str, Cells)]) -> Vec<u8> {
    parquet(columns, 100, Compression::UNCOMPRESSED, None)
}

#[test]
fn a_parquet_file_reads_as_the_jsonl_file_of_its_rows() {
    let rows: Vec<(usize, String)> =
        (0..2500).map(|row| (row * 7 % 3, format!("text {row}, é\n\"{}\"", row % 11))).collect();
    let object = |(label, text): &(usize, String)| format!("{}\n", serde_json::json!({ "text": text, "label": label }));
    let jsonl: String = rows.iter().map(object).collect();
    let expected = DatasetReader::new().read_from("train.jsonl", jsonl.as_bytes()).unwrap();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
    ] {
        for group in [1, 1000, 1024, 9999] {
            let columns = [
                ("text", texts(rows.iter().map(|row| &row.1))),
                ("label", Cells::Integers(rows.iter().map(|row| row.0 as i64).collect())),
            ];
            let data = read(&parquet(&columns, group.max(rows.len() / 50), compression, None)).unwrap();
            assert_eq!(
                (&data.labels, &data.examples),
                (&expected.labels, &expected.examples),
                "{compression:?} {group}"
            );
            let (read, expected) = (data.reading.unwrap(), expected.reading.clone().unwrap());
            assert_eq!((read.text, read.label, read.rows), (expected.text, expected.label, expected.rows));
        }
    }
}

#[test]
fn rows_to_predict_are_read_one_by_one() {
    let columns = [
        ("text", texts((0..2500).map(|row| format!("text {row}, é\n\"{}\"", row % 11)))),
        ("stars", Cells::Integers((0..2500).collect())),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let bytes = parquet(&columns, 700, Compression::SNAPPY, None);
    std::fs::write(&path, &bytes).unwrap();
    let lines = TextStream::lines_of_parquet(&path).unwrap();
    let mut rows = TextStream::new(&path, lines, TextFormat::JsonLines, None, TextColumns::default()).unwrap();
    for number in 0..2500 {
        let row = rows.next_row().unwrap().expect("a row");
        assert_eq!((row.line, row.text), (number + 1, format!("text {number}, é\n\"{}\"", number % 11)));
        let Given::Members(members) = row.given else { panic!("{:?}", row.given) };
        assert_eq!(members.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["text", "stars"]);
        assert_eq!(members[1].1.get(), number.to_string());
    }
    assert!(rows.next_row().unwrap().is_none());
    for (damaged, end) in [(&bytes[..bytes.len() / 2], true), (b"text", true), (&bytes, false)] {
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(TextStream::lines_of_parquet(&path).is_err(), end);
    }
    std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n").unwrap();
    assert!(DatasetReader::new().read(&path).unwrap_err().to_string().contains("git lfs pull"));
}

#[test]
fn lists_of_labels_are_read_with_the_names_of_the_file() {
    let lists: Vec<Vec<i64>> = (0..2100).map(|row| (0..row % 4).map(|at| (row + at) % 3).collect()).collect();
    let columns = || {
        let words = texts((0..2100).map(|row| format!("text {row}")));
        [("text", words), ("labels", Cells::Lists(lists.clone())), ("other", Cells::Lists(lists.clone()))]
    };
    let features = serde_json::json!({ "info": { "features": { "labels": {
        "feature": { "names": ["food", "staff", "bill"], "_type": "ClassLabel" }, "_type": "Sequence",
    } } } });
    let cases = [(None, ["0", "1", "2"]), (Some(features.to_string()), ["food", "staff", "bill"])];
    for (features, labels) in cases {
        for group in [7, 2100] {
            let data = read(&parquet(&columns(), group, Compression::SNAPPY, features.clone())).unwrap();
            assert_eq!(data.labels, labels);
            for (example, list) in data.examples.iter().zip(&lists) {
                let mut expected = [0.0; 3];
                list.iter().for_each(|label| expected[*label as usize] = 1.0);
                assert_eq!(example.targets, expected, "{group}");
            }
            assert_eq!(data.reading.unwrap().carried, [Column::Name("other.list.element".into())]);
        }
    }
}

#[test]
fn classes_have_the_names_of_the_file_in_its_order() {
    let data = read(&reviews(10, 0)).unwrap();
    assert_eq!(data.labels, ["bad", "good"]);
    let columns = || [("text", texts(["a b", "c d", "e f"])), ("label", Cells::Integers(vec![0, 2, 0]))];
    let named = parquet(&columns(), 9, Compression::SNAPPY, Some(class_label("label", &["z", "y", "x"])));
    let data = read(&named).unwrap();
    assert_eq!(data.labels, ["z", "y", "x"], "also of a class without a row");
    assert_eq!(data.examples.iter().map(|row| row.label).collect::<Vec<_>>(), [0, 2, 0]);
    // A model with numbers as class names gets the numbers. A model that has neither the numbers nor the names refuses
    // the file.
    let known =
        |labels: &[&str]| DatasetReader::new().with_labels(labels.iter().copied()).read_from("t.parquet", &named[..]);
    assert_eq!(known(&["2", "1", "0"]).unwrap().examples[1].label, 0);
    assert_eq!(known(&["x", "y", "z"]).unwrap().examples[1].label, 0);
    let (row, refused) = problem(known(&["p", "q"]));
    assert!(matches!(refused, DataProblem::OtherLabels { labels, .. } if labels.contains("\"z\"")) && row == Some(1));
    // Invalid lists of class names are ignored.
    for names in [&["a", "a"][..], &[], &["a", " b"]] {
        let odd = parquet(&columns(), 9, Compression::SNAPPY, Some(class_label("label", names)));
        assert_eq!(read(&odd).unwrap().labels, ["0", "2"]);
    }
}

#[test]
fn secret_labels_are_refused_with_their_row() {
    let columns = [("text", texts(["a b", "c d"])), ("label", Cells::Integers(vec![0, -1]))];
    let named = parquet(&columns, 9, Compression::SNAPPY, Some(class_label("label", &["no", "yes"])));
    assert_eq!(problem(read(&named)), (Some(2), DataProblem::HiddenLabel));
    let known = DatasetReader::new().with_labels(["0", "1"]);
    assert_eq!(problem(known.read_from("t.parquet", &plain(&columns)[..])), (Some(2), DataProblem::HiddenLabel));
    // Without class names, -1 may be a class.
    assert_eq!(read(&plain(&columns)).unwrap().labels, ["-1", "0"]);
    let numbers = DatasetReader::new().with_label_kind(LabelKind::Number);
    let scored = |scores: Vec<f64>| plain(&[("text", texts(["a b", "c d"])), ("label", Cells::Numbers(scores))]);
    let data = numbers.read_from("t.parquet", &scored(vec![-1.0, 3.75])[..]).unwrap();
    assert_eq!(data.examples[1].targets, [3.75]);
    assert_eq!(problem(numbers.read_from("t.parquet", &scored(vec![-1.0; 2])[..])).1, DataProblem::HiddenLabel);
}

#[test]
fn a_split_is_read_part_by_part_and_errors_name_the_part() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.path().join(name), bytes).unwrap();
    let find = |split| DatasetReader::find_parts(folder.path(), split);
    write("train-00001-of-00002.parquet", reviews(5, 7));
    let refused = find(Split::Train).unwrap_err().to_string();
    assert!(refused.ends_with("00000-of-00002 is missing"), "{refused}");
    write("train-00000-of-00002.parquet", reviews(7, 0));
    write("validation-00000-of-00001.parquet", reviews(3, 20));
    write("test.parquet", reviews(2, 30));
    let parts = find(Split::Train).unwrap();
    let data = DatasetReader::new().read_parts(&parts).unwrap();
    let whole = read(&reviews(12, 0)).unwrap();
    assert_eq!((&data.examples, &data.labels), (&whole.examples, &whole.labels));
    assert!(matches!(DatasetReader::find(folder.path(), Split::Train), Err(Error::Data { .. })), "two files");
    assert!(DatasetReader::find(folder.path(), Split::Dev).unwrap().ends_with("validation-00000-of-00001.parquet"));
    let test = DatasetReader::new().like(&data).read(DatasetReader::find(folder.path(), Split::Test).unwrap()).unwrap();
    assert_eq!(test.len(), 2);

    let bad = [("text", texts(["a b", " "])), ("label", Cells::Integers(vec![0, 1]))];
    write("train-00001-of-00002.parquet", parquet(&bad, 9, Compression::SNAPPY, None));
    let refused = DatasetReader::new().read_parts(&parts).unwrap_err();
    let at = |path: &Path| path.ends_with("train-00001-of-00002.parquet");
    assert!(
        matches!(&refused, Error::Data { path, line: Some(2), problem: DataProblem::NoText } if at(path)),
        "{refused}"
    );
    write("train-00001-of-00002.parquet", plain(&[("title", texts(["a b"])), ("label", Cells::Integers(vec![0]))]));
    let refused = DatasetReader::new().read_parts(&parts).unwrap_err().to_string();
    assert!(
        refused.contains("00001-of-00002.parquet: its columns are title, label, expected those of the first"),
        "{refused}"
    );
    write("train.csv", b"label,text\n".to_vec());
    assert!(matches!(find(Split::Train), Err(Error::Data { problem: DataProblem::AmbiguousSplit { .. }, .. })));
}

#[test]
fn what_is_no_table_of_texts_is_refused() {
    assert_eq!(problem(read(b"")).1, DataProblem::Empty);
    for bytes in [&b"PAR1"[..], b"label,text\n1,a b\n", &reviews(9, 0)[..200], b"PAR1\0\0\0\0PAR1"] {
        assert!(matches!(problem(read(bytes)).1, DataProblem::BadParquet { .. }), "{bytes:?}");
    }
    let label = || ("label", Cells::Integers(vec![0, 1]));
    assert_eq!(problem(read(&plain(&[("n", Cells::Integers(vec![3, 4])), label()]))).1, DataProblem::NoTextColumn);
    let empty = plain(&[("text", texts([] as [&str; 0])), ("label", Cells::Integers(Vec::new()))]);
    assert_eq!(problem(read(&empty)).1, DataProblem::NoRows);
    let missing = [("text", Cells::Texts(vec![Some("a b".into()), None])), label()];
    assert_eq!(problem(read(&plain(&missing))), (Some(2), DataProblem::NoText));
    let asked = DatasetReader::new().with_text_columns(["review"]);
    let refused = problem(asked.read_from("t.parquet", &reviews(4, 0)[..])).1;
    assert!(matches!(refused, DataProblem::UnknownColumn { known, .. } if known.starts_with("\"text\", \"label\"")));
    let little = DatasetReader::new().with_most_bytes(50).read_from("t.parquet", &reviews(9, 0)[..]);
    assert!(matches!(problem(little).1, DataProblem::TooLarge { most: 50 }));
}

/// Reads a damaged file. Returns whether it still has the same rows.
fn survives(bytes: &[u8], whole: &Dataset) -> bool {
    match read(bytes) {
        Ok(data) => data.examples == whole.examples,
        Err(Error::Data { .. }) => false,
        Err(other) => panic!("an error of another kind: {other}"),
    }
}

#[test]
fn damaged_files_are_refused_or_read_and_nothing_panics() {
    let file = reviews(150, 0);
    let whole = read(&file).unwrap();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    let (mut same, mut damaged) = (0, 0);
    for round in 0..4000 {
        let mut bytes = file.clone();
        match round % 4 {
            0 => bytes.truncate(rng.random_range(0..file.len())),
            1 => {
                let at = rng.random_range(0..file.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            2 => (0..rng.random_range(1..20)).for_each(|_| bytes[rng.random_range(0..file.len())] = rng.random()),
            // The end of the file has most of its structure.
            _ => {
                let at = file.len() - 1 - rng.random_range(0..file.len().min(900));
                bytes[at] = rng.random();
            }
        }
        *(if survives(&bytes, &whole) { &mut same } else { &mut damaged }) += 1;
    }
    assert!(damaged > 2000 && same > 0, "{damaged} damaged, {same} unharmed");
}
