//! Rows in other compressions, encodings, formats and file layouts are read like rows of a plain csv file.

use std::path::Path;

use dht_transformer::data::{Column, LabelKind, TextColumns, TextEncoding, TextFormat, TextStream};
use dht_transformer::{Dataset, DatasetReader, Error, error::DataProblem};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::dataset::{gzip, problem, read, texts};

const PLAIN: &str = "text,label\nfine café – naïve,good\nno café here,bad\nquite good work,good\n";

fn plain() -> Dataset {
    read("t.csv", PLAIN).expect("rows")
}

fn same(data: &Dataset) {
    assert_eq!((&data.labels, &data.examples), (&plain().labels, &plain().examples));
}

fn read_bytes(name: &str, bytes: &[u8], encoding: Option<&str>) -> Result<Dataset, Error> {
    let encoding: Option<TextEncoding> = encoding.map(|name| name.parse().expect("an encoding"));
    DatasetReader::new().with_encoding(encoding).read_from(name, bytes)
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// Texts of a file that is read for prediction.
fn predicted(name: &str, bytes: &[u8], columns: TextColumns) -> Result<Vec<String>, Error> {
    let (format, compression) = TextFormat::of_name(name);
    let mut rows = TextStream::new(name, bytes, format, compression, columns)?;
    let mut texts = Vec::new();
    while let Some(row) = rows.next_row()? {
        texts.push(row.text);
    }
    Ok(texts)
}

#[test]
fn other_encodings_are_read_by_their_mark_or_when_named() {
    let marked = format!("\u{feff}{PLAIN}");
    for (bytes, name) in [
        (utf16(&marked, u16::to_le_bytes), None),
        (utf16(&marked, u16::to_be_bytes), None),
        (utf16(PLAIN, u16::to_le_bytes), Some("utf-16le")),
        (PLAIN.chars().map(|sign| if sign == '–' { 0x96 } else { sign as u8 }).collect(), Some("windows-1252")),
        (marked.clone().into_bytes(), Some("windows-1252")),
        (PLAIN.into(), Some("utf-8")),
    ] {
        let data = read_bytes("t.csv", &bytes, name).expect("rows");
        same(&data);
        let encoding = name.map(|name| name.parse().expect("an encoding"));
        let columns = TextColumns { encoding, ..TextColumns::default() };
        assert_eq!(predicted("t.csv", &bytes, columns).expect("texts"), texts(&data), "{name:?}");
    }
    let lines =
        read_bytes("t.csv", &utf16(&marked, u16::to_le_bytes), None).expect("rows").reading.expect("it").lines();
    assert!(lines[0].starts_with("csv in UTF-16LE, a header"), "{lines:?}");
    // Latin-1 is refused without a byte order mark or a named encoding.
    let latin: Vec<u8> = PLAIN.chars().map(|sign| sign as u8).collect();
    assert_eq!(problem(read_bytes("t.csv", &latin, None)), (Some(2), DataProblem::NotUtf8 { byte: 8 }));
    assert_eq!(problem(read_bytes("t.csv", &utf16(PLAIN, u16::to_le_bytes), None)), (Some(1), DataProblem::Binary));
    // UTF-8 of an odd length is not UTF-16, whatever its first bytes look like.
    let odd = format!("{PLAIN}x,yz");
    assert_eq!(odd.len() % 2, 1);
    let refused = problem(read_bytes("t.csv", odd.as_bytes(), Some("utf-16le"))).1;
    assert!(matches!(refused, DataProblem::OtherEncoding { .. }), "{refused:?}");
    assert!("klingon".parse::<TextEncoding>().is_err());
}

#[test]
fn lines_may_end_in_carriage_returns_alone() {
    for (name, file) in [
        ("t.csv", PLAIN.replace('\n', "\r")),
        ("t.csv", PLAIN.trim_end().replace('\n', "\r")),
        ("t.tsv", PLAIN.replace(',', "\t").replace('\n', "\r")),
    ] {
        let data = read(name, &file).expect("rows");
        same(&data);
        assert_eq!(predicted(name, file.as_bytes(), TextColumns::default()).expect("texts"), texts(&data));
    }
    assert_eq!(
        predicted("t.txt", b"fine\r\rno work\r", TextColumns::default()).expect("texts"),
        ["fine", "", "no work"]
    );
    // A quoted cell keeps its line breaks, and an error has the right line number.
    let quoted = read("t.csv", "text,label\r\"two\rlines\",a\rone line,b\r").expect("rows");
    assert_eq!(texts(&quoted), ["two\nlines", "one line"]);
    assert_eq!(problem(read("t.csv", "text,label\rfine work,\r")), (Some(2), DataProblem::EmptyLabel));
    // A file with both kinds of line ends is refused.
    assert_eq!(problem(read("t.csv", "text,label\rfine,a\nno work,b\n")).1, DataProblem::CarriageReturns);
}

#[test]
fn zstandard_is_the_same_as_plain_and_every_cut_is_noticed() {
    let bytes = compress_to_vec(PLAIN.as_bytes(), CompressionLevel::Fastest);
    same(&read_bytes("t.csv.zst", &bytes, None).expect("rows"));
    let (head, rows) = PLAIN.split_at(11);
    let frames = [head, rows].map(|part| compress_to_vec(part.as_bytes(), CompressionLevel::Fastest)).concat();
    same(&read_bytes("t.csv.zst", &frames, None).expect("rows"));
    for end in 1..bytes.len() {
        let refused = problem(read_bytes("t.csv.zst", &bytes[..end], None)).1;
        let is_named = |format: &str| format == "Zstandard";
        assert!(
            matches!(&refused, DataProblem::CutOff { format } | DataProblem::NotCompressed { format, .. } if is_named(format)),
            "cut at {end}: {refused:?}"
        );
    }
    let named = problem(read_bytes("t.csv", &bytes, None));
    assert!(matches!(&named.1, DataProblem::Encoding { found: "Zstandard data", .. }), "{named:?}");
    let other = problem(read_bytes("t.csv.zst", PLAIN.as_bytes(), None));
    assert!(matches!(&other.1, DataProblem::NotCompressed { .. }), "{other:?}");
}

#[test]
fn an_array_of_objects_is_read_as_lines_of_them() {
    let objects: Vec<String> = plain()
        .examples
        .iter()
        .map(|example| serde_json::json!({"text": example.text, "label": plain().labels[example.label]}).to_string())
        .collect();
    let (compact, lines) = (format!("[{}]", objects.join(", ")), format!("[\n  {}\n]\n", objects.join(",\n  ")));
    for (name, file) in [("t.json", &compact), ("t.json", &lines), ("t.jsonl", &lines), ("t.json", &objects.join("\n"))]
    {
        let data = read(name, file).expect("rows");
        same(&data);
        assert_eq!(data.reading.as_ref().expect("a reading").blank_lines, 0);
        assert_eq!(predicted(name, file.as_bytes(), TextColumns::default()).expect("texts"), texts(&data));
    }
    let bad = lines.replace("\"text\":\"no café here\"", "\"text\":7\"");
    assert!(matches!(problem(read("t.json", &bad)), (Some(3), DataProblem::NotJson { .. })));
    for bad in ["[{\"text\": \"a b\", \"label\": 1}", "[1, 2]", "[{\"text\": \"a b\", \"label\": 1},]", "[\"a b\"]"] {
        assert!(matches!(problem(read("t.json", bad)).1, DataProblem::NotJson { .. }), "{bad}");
    }
}

#[test]
fn labels_of_fast_text_stand_before_the_text() {
    let file = "__label__good fine café – naïve\n__label__bad no café here\n__label__good quite good work\n";
    let data = read("t.txt", file).expect("rows");
    same(&data);
    assert_eq!(data.reading.as_ref().expect("a reading").kind, LabelKind::Class);
    assert_eq!(predicted("t.txt", file.as_bytes(), TextColumns::default()).expect("texts"), texts(&data));
    for first in ["__label__a __label__b", "__label__a, __label__b,", "__label__a,__label__b", "__label__a__label__b"] {
        let several = read("t.txt", &format!("{first} one text\n__label__b other text\n")).expect("rows");
        assert_eq!((&*several.labels, &*several.examples[0].text), (&["a".into(), "b".into()][..], "one text"));
        let targets: Vec<&[f32]> = several.examples.iter().map(|example| &*example.targets).collect();
        assert_eq!(targets, [&[1.0, 1.0][..], &[0.0, 1.0]], "{first}");
    }
    assert_eq!(problem(read("t.txt", "some text\n__label__a text\n")), (Some(1), DataProblem::NoFastTextLabel));
    assert_eq!(problem(read("t.txt", "__label__a text\nsome text\n")), (Some(2), DataProblem::EmptyLabel));
    assert_eq!(problem(read("t.txt", "__label__a text\n__label__b\n")), (Some(2), DataProblem::NoText));
}

#[test]
fn labels_in_lists_are_several_labels_or_classes() {
    let several = [
        (
            "t.jsonl",
            r#"{"text": "a b", "labels": ["x", "y"]}~{"text": "c d", "labels": []}~{"text": "e f", "labels": ["y"]}"#,
        ),
        (
            "t.jsonl",
            r#"{"text": "a b", "cats": {"x": 1.0, "y": 0.7}}~{"text": "c d", "cats": {"x": 0.0, "y": 0.0}}~{"text": "e f", "cats": {"x": 0, "y": 1}}"#,
        ),
        ("t.csv", "text,labels~a b,\"['x', 'y']\"~c d,[]~e f,['y']"),
        ("t.csv", "text,labels~a b,\"[\"\"x\"\", \"\"y\"\"]\"~c d,~e f,\"[\"\"y\"\"]\""),
        ("t.csv", "text,labels~a b,['x' 'y']~c d,[]~e f,['y']"),
    ];
    for (name, file) in several {
        let asked = DatasetReader::new().with_label_kind(LabelKind::Several { separator: ';' });
        for reader in [DatasetReader::new(), asked] {
            let data = reader.read_from(name, file.replace('~', "\n").as_bytes()).expect(file);
            assert_eq!(data.labels, ["x", "y"], "{file}");
            let targets: Vec<&[f32]> = data.examples.iter().map(|example| &*example.targets).collect();
            assert_eq!(targets, [&[1.0, 1.0][..], &[0.0, 0.0], &[0.0, 1.0]], "{file}");
            let reading = data.reading.as_ref().expect("a reading");
            assert!(reading.lines().iter().any(|line| line.contains("several labels, in lists")), "{file}");
            // A test file has the same labels, in lists or not.
            let test = DatasetReader::new().like(&data).read_from(name, file.replace('~', "\n").as_bytes());
            assert_eq!(test.expect("rows").examples, data.examples);
        }
    }
    for file in [
        r#"{"text": "a b", "label": ["x"]}~{"text": "c d", "label": ["y"]}"#,
        r#"{"text": "a b", "cats": {"x": 1, "y": 0}}~{"text": "c d", "cats": {"x": false, "y": true}}"#,
    ] {
        let data = read("t.jsonl", &file.replace('~', "\n")).expect(file);
        assert_eq!((data.labels.len(), data.examples[1].label, data.examples[1].targets.len()), (2, 1, 0), "{file}");
    }
}

#[test]
fn lists_that_are_no_labels_are_refused() {
    let problem_of = |file: &str| problem(read("t.jsonl", &file.replace('~', "\n"))).1;
    let vector = problem_of(r#"{"text": "a b", "labels": [0, 1]}~{"text": "c d", "labels": [1, 0]}"#);
    assert!(matches!(vector, DataProblem::VectorCell { .. }), "{vector:?}");
    for file in [
        r#"{"text": "a b", "label": [["x"]]}~{"text": "c d", "label": ["y"]}"#,
        r#"{"text": "a b", "label": {"x": "yes"}}~{"text": "c d", "label": {"x": "no"}}"#,
    ] {
        let refused = problem_of(file);
        assert!(matches!(refused, DataProblem::NestedCell { .. }), "{refused:?}");
    }
    let asked = DatasetReader::new().with_label_kind(LabelKind::Class);
    let file = "{\"text\": \"a b\", \"label\": [\"x\", \"y\"]}\n{\"text\": \"c d\", \"label\": [\"y\"]}\n";
    let refused = problem(asked.read_from("t.jsonl", file.as_bytes()));
    assert_eq!(refused, (Some(1), DataProblem::NestedCell { cell: "[x, y]".into() }));
    // A text that is a list is still refused.
    let text = problem(read("t.jsonl", "{\"text\": [\"a\"], \"label\": 1}\n{\"text\": [\"b\"], \"label\": 2}\n"));
    assert!(matches!(text, (Some(1), DataProblem::NestedValue { column }) if column == "text"));
}

#[test]
fn a_row_without_a_label_is_no_row_of_several_labels() {
    let file = "{\"text\": \"a b\", \"label\": [\"x\"]}\n{\"text\": \"c d\", \"label\": null}\n";
    assert_eq!(problem(read("t.jsonl", file)), (Some(2), DataProblem::EmptyLabel));
    let vectors = problem(read("t.csv", "text,label\na b,\"[0, 1]\"\nc d,\"[1, 0]\"\n")).1;
    assert!(matches!(vectors, DataProblem::VectorCell { .. }), "{vectors:?}");
    let twice = DatasetReader::new().with_label_columns(["x", "x"]).read_from("t.csv", &b"text,x\na b,1\nc d,0\n"[..]);
    assert!(matches!(problem(twice).1, DataProblem::DuplicateColumn { .. }));
    let returns = problem(read("t.txt", "__label__a text\r__label__b text\n__label__b text\n"));
    assert_eq!(returns, (Some(1), DataProblem::CarriageReturns));
}

#[test]
fn columns_of_zeros_and_ones_are_labels_when_asked_for() {
    let file = "id,text,toxic,rude\n1,a b,1,0\n2,c d,0,0.0\n3,e f,true,1\n";
    let asked = DatasetReader::new().with_label_columns(["toxic", "rude"]);
    let data = asked.read_from("t.csv", file.as_bytes()).expect("rows");
    assert_eq!(data.labels, ["rude", "toxic"]);
    let targets: Vec<&[f32]> = data.examples.iter().map(|example| &*example.targets).collect();
    assert_eq!(targets, [&[0.0, 1.0][..], &[0.0, 0.0], &[1.0, 1.0]]);
    let reading = data.reading.as_ref().expect("a reading");
    assert_eq!((reading.carried.len(), reading.width()), (1, 4));
    assert!(reading.lines()[2].starts_with("labels: a column of 0 and 1 for each: \"toxic\", \"rude\""));
    // The test file has the same columns, in any order.
    let test = "rude,toxic,text\n0,1,g h\n";
    let test = DatasetReader::new().like(&data).read_from("t.csv", test.as_bytes()).expect("rows");
    assert_eq!(test.examples[0].targets, [0.0, 1.0]);
    let refused = problem(asked.read_from("t.csv", file.replace(",1,0\n", ",2,0\n").as_bytes()));
    assert_eq!(refused, (Some(2), DataProblem::NotAFlag { column: "toxic".into(), cell: "2".into() }));
    let unnamed = DatasetReader::new().with_header(false).with_label_columns([Column::Number(1), Column::Number(2)]);
    let refused = problem(unnamed.read_from("t.csv", &b"a b,1,0\nc d,0,1\n"[..]));
    assert_eq!(refused, (None, DataProblem::UnnamedLabel { column: 1 }));
}

#[test]
fn rows_are_drawn_with_the_same_probability() {
    let rows: String = (0..200).map(|row| format!("text {row},{}\n", row % 2)).collect();
    let (headed, bare) = (format!("text,label\n{rows}"), rows);
    let mut counts = [vec![0; 200], vec![0; 200]];
    for seed in 0..500 {
        for (file, header) in [(&headed, true), (&bare, false)] {
            let reader = DatasetReader::new().with_header(header).with_most_rows(40, seed);
            let data = reader.read_from("t.csv", file.as_bytes()).expect("rows");
            assert_eq!((data.len(), data.reading.as_ref().expect("it").rows), (40, 40));
            let numbers: Vec<usize> = texts(&data).iter().map(|text| text[5..].parse().expect("a number")).collect();
            assert!(numbers.is_sorted(), "{numbers:?}");
            numbers.into_iter().for_each(|number| counts[usize::from(header)][number] += 1);
        }
    }
    // With 500 draws at probability 1/5, the expected count is 100, with a standard deviation of 9.
    assert!(counts.iter().flatten().all(|count| (55..=145).contains(count)), "{counts:?}");
    let all = DatasetReader::new().with_most_rows(200, 1).read_from("t.csv", headed.as_bytes()).expect("rows");
    assert_eq!((all.len(), all.reading.expect("it").drawn_from), (200, None));
    let data = DatasetReader::new().with_most_rows(40, 7).read_from("t.csv", headed.as_bytes()).expect("rows");
    assert!(data.reading.expect("it").lines()[0].ends_with("40 rows drawn from 200"));
}

/// Writes files into a directory, and creates their parent directories.
fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }
}

#[test]
fn several_files_are_one_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (header, rows) = PLAIN.split_once('\n').expect("lines");
    let lines: Vec<&str> = rows.lines().collect();
    let (first, rest) = (format!("{header}\n{}\n", lines[0]), lines[1..].join("\n"));
    let object = |text: &str, label: &str| format!("{{\"text\": \"{text}\", \"label\": \"{label}\"}}\n");
    let swapped = "{\"label\": \"bad\", \"text\": \"no café here\"}\n".to_owned() + &object("quite good work", "good");
    write(
        folder.path(),
        &[
            ("1.csv", first.as_bytes()),
            ("2.csv", format!("{header}\n{rest}\n").as_bytes()),
            ("3.csv", format!("{rest}\n").as_bytes()),
            ("4.csv", b"label,text\nbad,no work\n"),
            ("5.csv", b"id,text,label\n1,no work,bad\n"),
            ("7.csv", b"text,mood\nno work,bad\n"),
            ("6.csv", format!("{header}\n{rest}\nno label,\n").as_bytes()),
            ("1.jsonl", object("fine café – naïve", "good").as_bytes()),
            ("2.jsonl", swapped.as_bytes()),
            ("3.jsonl", b"{\"other\": 1}\n"),
            ("1.csv.gz", &gzip(first.as_bytes())),
        ],
    );
    let read =
        |names: &[&str]| DatasetReader::new().read_parts(&names.iter().map(|name| path(name)).collect::<Vec<_>>());
    for names in [&["1.csv", "2.csv"], &["1.csv", "3.csv"], &["1.jsonl", "2.jsonl"], &["1.csv.gz", "2.csv"]] {
        same(&read(names).expect("rows"));
    }
    for other in ["4.csv", "5.csv", "7.csv"] {
        let refused = read(&["1.csv", other]).expect_err("other columns");
        assert!(
            matches!(&refused, Error::Data { path: at, problem: DataProblem::OtherColumns { .. }, .. } if *at == path(other)),
            "{refused:?}"
        );
    }
    let refused = read(&["1.jsonl", "3.jsonl"]).expect_err("other keys");
    assert!(matches!(refused, Error::Data { problem: DataProblem::OtherColumns { .. }, .. }), "{refused:?}");
    assert!(matches!(read(&["1.csv", "1.jsonl"]), Err(Error::Argument { .. })));
    // An error names the file and its own line.
    let refused = read(&["1.csv", "6.csv"]).expect_err("no label");
    assert!(
        matches!(&refused, Error::Data { path: at, line: Some(4), problem: DataProblem::EmptyLabel } if *at == path("6.csv")),
        "{refused:?}"
    );
}

#[test]
fn a_folder_for_each_class_is_a_data_set() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[
            ("train/good/1.txt", "fine café – naïve\n".as_bytes()),
            ("train/good/3.txt", b"quite good\nwork"),
            ("train/bad/49960", "no café here".as_bytes()),
            ("train/bad/.hidden", b"\0"),
            ("train/bad/empty.txt", b" \n"),
            ("train/notes.txt", b"not a text"),
            ("test/good/1.txt", b"good work"),
        ],
    );
    let find = |split| DatasetReader::find_parts(folder.path(), split).expect("texts");
    use dht_transformer::data::Split::{Dev, Test, Train};
    assert_eq!(find(Train), [folder.path().join("train")]);
    let data = DatasetReader::new().read_parts(&find(Train)).expect("rows");
    assert_eq!(data.labels, ["bad", "good"]);
    assert_eq!(texts(&data), ["no café here", "fine café – naïve", "quite good\nwork"]);
    let reading = data.reading.as_ref().expect("a reading");
    assert_eq!((reading.label.clone(), reading.blank_lines), (Some(Column::Name("label".into())), 1));
    // A test set with one class is refused, and so is a missing set.
    for (split, at) in [(Test, folder.path()), (Dev, folder.path())] {
        assert!(DatasetReader::find_parts(at, split).is_err(), "{split:?}");
    }
    let alone = DatasetReader::find_parts(folder.path().join("train"), Train).expect("texts");
    assert_eq!(DatasetReader::new().read_parts(&alone).expect("rows").examples, data.examples);
    write(folder.path(), &[("train/good/4.txt", b"caf\xe9")]);
    let refused = DatasetReader::new().read_parts(&find(Train)).expect_err("no UTF-8");
    let named = folder.path().join("train/good/4.txt");
    assert!(matches!(&refused, Error::Data { path, problem: DataProblem::NotUtf8 { byte: 3 }, .. } if *path == named));
    let latin = DatasetReader::new().with_encoding("latin1".parse::<TextEncoding>().expect("it"));
    assert_eq!(latin.read_parts(&find(Train)).expect("rows").len(), 4);
}

proptest! {
    /// Any bytes are read or refused in any format, without a panic.
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"[]{}\",:'\n\r _labet1"[..])], 0..200),
        name in proptest::sample::select(&["t.csv", "t.tsv", "t.json", "t.txt", "t.csv.zst", "t.json.gz"][..]),
    ) {
        for encoding in [None, Some("utf-16le"), Some("shift_jis")] {
            let _ = read_bytes(name, &bytes, encoding);
        }
        let _ = predicted(name, &bytes, TextColumns::default());
    }
}
