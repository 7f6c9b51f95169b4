//! Columns that are no labels, and labels that are no classes of the model.

use dht_transformer::error::DataProblem;
use dht_transformer::{DatasetReader, Error};

use crate::dataset::{problem, read};

/// A header and rows of a text and a value that repeats.
fn table(column: &str, value: impl Fn(usize) -> String) -> String {
    let rows = (0..40).map(|row| format!("words of row {row},{}\n", value(row)));
    format!("text,{column}\n") + &rows.collect::<String>()
}

#[test]
fn columns_beside_a_label_are_not_guessed_as_one() {
    for column in ["user", "Author", "year", "language", "source"] {
        let file = table(column, |row| format!("{}", 2015 + row % 4));
        assert_eq!(problem(read("t.csv", &file)).1, DataProblem::NoLabelColumn, "{column}");
        let named = DatasetReader::new().label_column(dht_transformer::data::Column::Name(column.into()));
        assert_eq!(named.read_from("t.csv", file.as_bytes()).unwrap().labels.len(), 4, "{column}, named");
    }
    assert_eq!(read("t.csv", &table("verdict", |row| format!("{}", row % 4))).unwrap().labels.len(), 4);
    // Beside another column that fits, they are no rivals.
    let both = "text,verdict,year\n".to_owned()
        + &(0..40).map(|row| format!("words of row {row},{},{}\n", row % 3, 2015 + row % 4)).collect::<String>();
    assert_eq!(read("t.csv", &both).unwrap().labels, ["0", "1", "2"]);
}

#[test]
fn labels_minus_one_and_one_are_both_named_in_a_refusal() {
    let names = ["neg".to_owned(), "pos".to_owned()];
    let read = |file: &str| DatasetReader::new().labels(&names).read_from("t.csv", file.as_bytes());
    let signs = problem(read(&table("label", |row| if row % 2 == 0 { "-1".into() } else { "1".into() })));
    let DataProblem::OtherLabels { labels, .. } = &signs.1 else { panic!("{signs:?}") };
    assert!(labels.contains("\"-1\"") && labels.contains("\"1\""), "{labels}");
    // Alone, or beside other numbers, -1 stands for a label that is kept secret.
    for hidden in [table("label", |_| "-1".into()), table("label", |row| format!("{}", row as i64 % 3 - 1))] {
        assert_eq!(problem(read(&hidden)).1, DataProblem::HiddenLabel);
    }
}

#[test]
fn the_first_line_of_a_spreadsheet_is_refused_as_such() {
    let file = table("label", |row| format!("{}", row % 2));
    for (first, file, line) in [("sep=,", file.clone(), "sep="), ("sep=;", file.replace(',', ";"), "sep=;")] {
        let found = problem(read("t.csv", &format!("{first}\n{file}")));
        assert_eq!(found, (Some(1), DataProblem::SeparatorLine { line: line.into() }));
    }
}

#[test]
fn bytes_of_another_encoding_come_with_the_way_to_convert_them() {
    let mut file = table("label", |row| format!("{}", row % 2)).into_bytes();
    file.extend(b"caf\xe9,1\n");
    match DatasetReader::new().read_from("t.csv", &file[..]) {
        Err(error @ Error::Data { problem: DataProblem::NotUtf8 { byte: 3 }, .. }) => {
            assert!(error.to_string().contains("iconv -f WINDOWS-1252"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
