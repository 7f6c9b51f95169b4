//! Refusal of columns that are not labels, and of labels that are not classes of the model.

use dht_transformer::data::Column;
use dht_transformer::error::DataProblem;
use dht_transformer::{Dataset, DatasetReader, Error};

use crate::dataset::{problem, read};

/// Table with a text column and a column whose values repeat.
fn table(column: &str, value: impl Fn(usize) -> String) -> String {
    let rows = (0..40).map(|row| format!("words of row {row},{}\n", value(row)));
    format!("text,{column}\n") + &rows.collect::<String>()
}

#[test]
fn columns_beside_a_label_are_not_guessed_as_one() {
    for column in ["user", "Author", "year", "language", "source"] {
        let file = table(column, |row| format!("{}", 2015 + row % 4));
        let reading = problem(read("t.csv", &file)).1;
        assert!(
            matches!(&reading, DataProblem::UncertainLabel { column: own, .. } if own.contains(column)),
            "{reading:?}"
        );
        let named = DatasetReader::new().with_label_column(Column::Name(column.into()));
        assert_eq!(named.read_from("t.csv", file.as_bytes()).unwrap().labels.len(), 4, "{column}, named");
    }
    assert_eq!(read("t.csv", &table("verdict", |row| format!("{}", row % 4))).unwrap().labels.len(), 4);
}

/// Reads a table with a text column and two other columns.
fn two(names: &str, values: impl Fn(usize) -> String) -> Result<Dataset, Error> {
    let rows = (0..40).map(|row| format!("words of row {row},{}\n", values(row)));
    read("t.csv", &(format!("text,{names}\n") + &rows.collect::<String>()))
}

#[test]
fn a_complete_column_does_not_take_the_place_of_another_label() {
    let both = |result: Result<Dataset, Error>, names: [&str; 2]| match problem(result).1 {
        DataProblem::LabelColumns { columns } => names.iter().all(|name| columns.contains(name)),
        other => panic!("{other:?}"),
    };
    let sentiment = |row: usize| ["pos", "neg"][row % 2];
    // The cases are a missing label, a class that occurs once, whole numbers as floats, and a column name that often
    // occurs beside a label.
    let gap = two("sentiment,device", |row| format!("{},{}", if row == 7 { "" } else { sentiment(row) }, row % 3));
    assert!(both(gap, ["sentiment", "device"]));
    let rare = two("intent,channel", |row| format!("{},{}", if row == 7 { "refund" } else { sentiment(row) }, row % 3));
    assert!(both(rare, ["intent", "channel"]));
    let floats = two("rating,verified", |row| format!("{}.0,{}", 1 + row % 5, row % 2));
    assert!(both(floats, ["rating", "verified"]));
    let language = two("language,verified", |row| format!("{},{}", ["en", "de"][row % 2], row % 3));
    assert!(both(language, ["language", "verified"]));
    let alone = problem(two("sentiment,note", |row| {
        format!("{},note of row {row}", if row == 7 { "" } else { sentiment(row) })
    }));
    assert!(
        matches!(&alone.1, DataProblem::UncertainLabel { column, .. } if column.contains("sentiment")),
        "{alone:?}"
    );
    assert_eq!(read("t.csv", &table("rating", |row| format!("{}.0", 1 + row % 5))).unwrap().labels.len(), 5);
}

#[test]
fn labels_minus_one_and_one_are_both_named_in_a_refusal() {
    let names = ["neg".to_owned(), "pos".to_owned()];
    let read = |file: &str| DatasetReader::new().with_labels(&names).read_from("t.csv", file.as_bytes());
    let signs = problem(read(&table("label", |row| if row % 2 == 0 { "-1".into() } else { "1".into() })));
    let DataProblem::OtherLabels { labels, .. } = &signs.1 else { panic!("{signs:?}") };
    assert!(labels.contains("\"-1\"") && labels.contains("\"1\""), "{labels}");
    // A label of -1, alone or beside other numbers, means that the label is hidden.
    for hidden in [table("label", |_| "-1".into()), table("label", |row| format!("{}", row as i64 % 3 - 1))] {
        assert_eq!(problem(read(&hidden)).1, DataProblem::HiddenLabel);
    }
}

#[test]
fn columns_are_separated_as_the_header_or_a_spreadsheet_says() {
    let plain = table("label", |row| format!("{}", row % 2));
    let expected = read("t.csv", &plain).unwrap();
    let rows = |file: &str| read("t.csv", file).unwrap().examples;
    for sign in [';', '\t', '|'] {
        let file = plain.replace(',', &sign.to_string());
        let data = read("t.csv", &file).unwrap();
        assert_eq!(data.examples, expected.examples, "{sign:?}");
        assert_eq!(data.reading.unwrap().separator, Some(sign));
        assert_eq!(rows(&format!("sep={sign}\r\n{file}")), expected.examples);
        // With another separator, a comma is a part of a text, or the decimal separator of a number.
        let scores = format!("text{sign}score\nfine, work{sign}3,5\nno work{sign}1\n");
        let reader =
            DatasetReader::new().with_label_column("score").with_label_kind(dht_transformer::data::LabelKind::Number);
        let numbers = reader.read_from("t.csv", scores.as_bytes()).unwrap();
        assert_eq!((&*numbers.examples[0].text, &*numbers.examples[0].targets), ("fine, work", &[3.5][..]));
    }
    assert_eq!(rows(&format!("sep=,\n{plain}")), expected.examples);
    // Without a known column name, the label column must be named.
    let unknown = "opinion;verdict\nfine work;a\nno work;b\nfine;a\nno;b\n";
    assert!(matches!(problem(read("t.csv", unknown)).1, DataProblem::OneColumn { .. }));
    let reader = DatasetReader::new().with_separator(';').with_header(true).with_label_column("verdict");
    assert_eq!(reader.read_from("t.csv", unknown.as_bytes()).unwrap().labels, ["a", "b"]);
    let named = DatasetReader::new().with_label_column("verdict");
    assert_eq!(named.read_from("t.csv", unknown.as_bytes()).unwrap().labels, ["a", "b"]);
}

#[test]
fn bytes_of_another_encoding_come_with_the_way_to_read_them() {
    let mut file = table("label", |row| format!("{}", row % 2)).into_bytes();
    file.extend(b"caf\xe9,1\n");
    match DatasetReader::new().read_from("t.csv", &file[..]) {
        Err(error @ Error::Data { problem: DataProblem::NotUtf8 { byte: 3 }, .. }) => {
            assert!(
                error.to_string().ends_with("name its encoding, such as windows-1252 if a spreadsheet wrote it"),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn labels_of_a_training_file_are_mapped_to_its_classes() {
    let pairs = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(label, class)| ((*label).to_owned(), (*class).to_owned())).collect();
        DatasetReader::new().with_label_mapping(pairs)
    };
    let file = "text,label\nfine food,positive\ncold soup,negative\nit was food,neutral\nwarm wine,Neutral\n";
    let map = [("neutral", "negative"), ("Neutral", "negative")];
    let train = pairs(&map).read_from("t.csv", file.as_bytes()).unwrap();
    assert_eq!(train.labels, ["negative", "positive"]);
    assert_eq!(train.examples.iter().map(|row| row.label).collect::<Vec<_>>(), [1, 0, 0, 0]);
    let further =
        DatasetReader::new().like(&train).read_from("u.csv", "text,label\nfood,neutral\n".as_bytes()).unwrap();
    assert_eq!(further.examples[0].label, 0);
    let numbers = "text,label\nfine food,1\ncold soup,0\n";
    let named = pairs(&[("0", "bad"), ("1", "good")]).read_from("n.csv", numbers.as_bytes()).unwrap();
    assert_eq!((&*named.labels, named.examples[0].label), (&["bad".to_owned(), "good".into()][..], 1));
    // The errors are a spelling that is not mapped, a class without a label, and a label with two classes.
    let problem_of_classes = problem(pairs(&[("positive", "good")]).read_from("t.csv", file.as_bytes())).1;
    assert!(matches!(problem_of_classes, DataProblem::TwoSpellings { .. }), "{problem_of_classes:?}");
    let problem_of_classes = problem(pairs(&[("2", "good")]).read_from("n.csv", numbers.as_bytes())).1;
    assert!(matches!(problem_of_classes, DataProblem::NoSuchClass { .. }), "{problem_of_classes:?}");
    // A mapping may name a label that only another file has.
    assert_eq!(pairs(&[("2", "1")]).read_from("n.csv", numbers.as_bytes()).unwrap().labels, ["0", "1"]);
    let problem_of_classes = problem(pairs(&[("0", "bad"), ("0", "good")]).read_from("n.csv", numbers.as_bytes())).1;
    assert!(matches!(problem_of_classes, DataProblem::TwoClasses { .. }), "{problem_of_classes:?}");
}
