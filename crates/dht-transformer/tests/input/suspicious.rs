//! Files that do not match their names or columns are refused, or a note reports them.

use dht_transformer::DatasetReader;
use dht_transformer::data::{Column, TextColumns, TextFormat, TextStream};
use dht_transformer::error::DataProblem;

use crate::dataset::{NEWS, gzip, problem, read, texts};

#[test]
fn other_encodings_and_quotes_are_named() {
    for (name, bytes, found) in [
        ("t.csv", gzip(NEWS.as_bytes()), "gzip data"),
        ("t.jsonl", b"PK\x03\x04".to_vec(), "a zip archive or a spreadsheet"),
    ] {
        let refused = problem(DatasetReader::new().read_from(name, &*bytes));
        assert!(matches!(refused, (Some(1), DataProblem::Encoding { found: is, .. }) if is == found), "{refused:?}");
    }
    let quoted = "text\tlabel\n\"he said \"\"no\"\" twice\"\tgood\nno work\tbad\n";
    assert_eq!(texts(&read("t.tsv", quoted).unwrap()), ["he said \"no\" twice", "no work"]);
    let all = "\"text\"\t\"label\"\n\"fine work\"\t\"good\"\n\"no work\"\t\"bad\"\n";
    assert_eq!(problem(read("t.tsv", all)), (Some(1), DataProblem::QuotedTsv));
    let lines = "text\tlabel\n\"\nfine \"\"work\"\"\r\nso\"\tgood\nno work\tbad\n";
    assert_eq!(texts(&read("t.tsv", lines).unwrap()), ["fine \"work\"\nso", "no work"]);
    let mut rows = TextStream::new("t.tsv", lines.as_bytes(), TextFormat::Tsv, None, TextColumns::default()).unwrap();
    assert_eq!(rows.next_row().unwrap().unwrap().text, "fine \"work\"\nso");
    assert_eq!((rows.next_row().unwrap().unwrap().line, rows.next_row().unwrap().is_none()), (5, true));
    for open in ["text\tlabel\n\"\nfine work\tgood\nno work\tbad\n", "text\tlabel\n\"fine work\n", "a\tb\n\"c\nd\te\n"]
    {
        assert_eq!(problem(read("t.tsv", open)), (Some(2), DataProblem::OpenQuote { column: 0 }), "{open}");
    }
    assert_eq!(texts(&read("t.tsv", "text\tlabel\n\"so\" \"so\"\tgood\n").unwrap()), ["\"so\" \"so\""]);
    let halves = "{\"text\": \"a b\", \"label\": \"\\ud83d\"}\n{\"text\": \"c d\", \"label\": \"\\ud83e\"}\n";
    assert!(matches!(problem(read("t.jsonl", halves)), (Some(1), DataProblem::MissingLabel { .. })));
    let spaces = read("t.jsonl", "{\"text\": \"a b\", \"label\": 0}\n  \n{\"text\": \"c d\", \"label\": 1}\n").unwrap();
    assert_eq!((spaces.len(), spaces.reading.unwrap().blank_lines), (2, 1));
}

#[test]
fn a_number_is_first_the_name_of_a_column() {
    let table = "1,0,2\nfine work,7,good\nno work,8,bad\nso fine,9,good\nso bad,7,bad\n";
    let columns = |text, label| {
        DatasetReader::new()
            .with_text_columns([Column::Number(text)])
            .with_label_column(Column::Number(label))
            .with_header(true)
    };
    let by_name = columns(1, 2).read_from("t.csv", table.as_bytes()).unwrap();
    assert_eq!((texts(&by_name)[0], &by_name.labels[..]), ("fine work", &["bad".to_owned(), "good".into()][..]));
    // No column of the other table is called 3, so 3 is a position.
    let by_place = table.replacen("1,0,2", "a,b,3", 1);
    let by_place = columns(0, 2).read_from("t.csv", by_place.as_bytes()).unwrap();
    assert_eq!(texts(&by_place), texts(&by_name));
}

#[test]
fn a_row_that_alone_has_its_class_at_an_end_is_pointed_out() {
    let rows = (0..8).map(|row| format!("fine work {row},good\nno work {row},bad\n")).collect::<String>();
    let note = |content: String| read("t.csv", &content).unwrap().reading.unwrap().notes().join("; ");
    assert_eq!(note(format!("text,label\n{rows}")), "");
    assert!(note(format!("text,label\nfirst,mean\n{rows}")).contains("line 2 alone has the class \"mean\""));
    assert!(note(format!("text,label\n{rows}All of them,16\n")).contains("line 18 alone has the class \"16\""));
}

#[test]
fn a_table_of_another_format_is_named() {
    let other = |name: &str, content: &str| match problem(read(name, content)) {
        (Some(line), DataProblem::Encoding { found, .. }) => (line, found),
        other => panic!("{other:?}"),
    };
    assert_eq!(other("t.csv", "{\"text\": \"a b\", \"label\": 1}\n"), (1, "jsonl"));
    assert_eq!(other("t.csv", "opinion;verdict\nwell, then;x\n"), (2, "cells separated by ;"));
    assert_eq!(other("t.csv", "opinion\tverdict\nfine\tx\noh, no, no\ty\n"), (3, "cells separated by tabs"));
    let quoted = "\"text\",\"label\"\r\"a, b\",1\r\"c\",2\r";
    assert_eq!(texts(&read("t.csv", quoted).unwrap()), ["a, b", "c"]);
    for (content, told) in [
        ("{\"text\": \"a\"}\n[1]\n", "an array: write one object a line"),
        ("text,label\na,1\n", "name the file after its format"),
        ("\"a\"\n", "a string: write one object a line"),
    ] {
        let (_, refused) = problem(read("t.jsonl", content));
        assert!(refused.to_string().contains(told), "{refused}");
    }
}

#[test]
fn a_stray_quote_is_told_with_its_cause() {
    let cause = |content: &str| match problem(read("t.csv", content)) {
        (_, DataProblem::StrayQuote { cause, .. }) => cause,
        other => panic!("{other:?}"),
    };
    assert!(cause("text,label\n\"so \\\"so\\\" then\",1\n").contains("without a backslash"));
    assert!(cause("label,text\n1, \"a, b\"\n").contains("remove the space"));
    assert!(cause("label,text\n1,a \"b\"\n").contains("put the field in quotes"));
    // Export of a spreadsheet in a region with decimal commas.
    assert!(cause("verdict;opinion\n1;\"a, b\"\n").contains("name the separator ';'"));
    assert!(cause("\"opinion\";\"verdict\"\n\"a, b\";\"1\"\n").contains("name the separator ';'"));
    assert!(cause("verdict\topinion\n1\t\"a, b\"\n").contains("name the file .tsv"));
}

#[test]
fn labels_that_no_two_rows_share_are_refused() {
    let table = |rows: usize, labels: usize| {
        let row =
            |row: usize| format!("T-{},review {row} of a fine place,{}\n", row % labels, ["good", "bad"][row % 2]);
        format!("ticket,text,label\n{}", (0..rows).map(row).collect::<String>())
    };
    let by = |table: &str| DatasetReader::new().with_label_column("ticket").read_from("t.csv", table.as_bytes());
    let refused = problem(by(&table(40, 40)));
    let expected = DataProblem::UniqueLabels { column: "ticket".into(), labels: 40, rows: 40 };
    assert_eq!(refused, (None, expected));
    assert_eq!(by(&table(40, 20)).unwrap().labels.len(), 20);
    assert_eq!(by(&table(10, 10)).unwrap().labels.len(), 10);
}

#[test]
fn a_directory_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let refused = DatasetReader::new().read(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("is a directory without a table"), "{refused}");
    let none = folder.path().join("none");
    let refused = dht_transformer::TextTokenizer::from_dir(&none).unwrap_err().to_string();
    assert!(refused.starts_with(&format!("{}: No such file", none.display())), "{refused}");
}

#[test]
fn a_column_called_text_without_words_is_no_text() {
    let ids = "text,headline,label\n17,fine work,x\n18,no work,y\n19,so so,x\n20,oh no,y\n";
    let refused = problem(read("t.csv", ids));
    assert_eq!(refused, (None, DataProblem::TextColumns { columns: "\"text\", \"headline\"".into() }));
    let numbers = read("t.csv", "text,label\n17,x\n18,y\n19,x\n20,y\n").unwrap();
    assert_eq!(texts(&numbers), ["17", "18", "19", "20"]);
}

#[test]
fn columns_are_found_in_other_letters() {
    let train = read("t.csv", "text,label\nfine work,x\nno work,y\n").unwrap();
    let test = DatasetReader::new().like(&train).read_from("e.csv", "Label, TEXT \nx,well then\n".as_bytes());
    assert_eq!(texts(&test.unwrap()), ["well then"]);
    let columns = || TextColumns { text: vec!["headline".parse().unwrap()], ..TextColumns::default() };
    let read = |file: &'static str| TextStream::new("a.csv", file.as_bytes(), TextFormat::Csv, None, columns());
    assert_eq!(read("id,Headline\n1,well\n").unwrap().next_row().unwrap().unwrap().text, "well");
    assert!(read("HEADLINE,Headline\n1,well\n").is_err());
}

#[test]
fn lines_that_are_a_table_are_recognised() {
    let format = |line: &str| {
        let mut rows = TextStream::new("-", line.as_bytes(), TextFormat::Lines, None, TextColumns::default()).unwrap();
        rows.next_row().unwrap().unwrap().is_of_table()
    };
    assert_eq!(format("{\"text\": \"a\"}\n"), Some(TextFormat::JsonLines));
    assert_eq!(format("id,text\n"), Some(TextFormat::Csv));
    assert_eq!(format("\"label\"\t\"headline\"\n"), Some(TextFormat::Tsv));
    assert_eq!((format("text\n"), format("text;id\n")), (Some(TextFormat::Csv), Some(TextFormat::Csv)));
    for line in ["a text, of two parts\n", "a text\n", "{x}\n", "\n", "so,so\n"] {
        assert_eq!(format(line), None, "{line}");
    }
}

#[test]
fn rows_without_a_text_are_known() {
    let file = "text,n\n,1\nNaN,2\nfine,3\n";
    let mut rows = TextStream::new("a.csv", file.as_bytes(), TextFormat::Csv, None, TextColumns::default()).unwrap();
    let missing: Vec<bool> = (0..3).map(|_| rows.next_row().unwrap().unwrap().is_missing()).collect();
    assert_eq!(missing, [true, true, false]);
}

#[test]
fn dates_are_no_labels_and_values_of_two_kinds_are_no_classes() {
    let dates = "date,text\n2024-01-01,fine work\n2024-01-02,no work\n2024-01-01,so so\n2024-01-02,oh no\n";
    assert_eq!(problem(read("t.csv", dates)), (None, DataProblem::NoLabelColumn { nested: String::new() }));
    let mixed = "{\"text\": \"a b\", \"label\": 1}\n{\"text\": \"c d\", \"label\": false}\n";
    let (_, refused) = problem(read("t.jsonl", mixed));
    assert_eq!(refused, DataProblem::TwoTypes { number: "1".into(), string: "\"false\"".into() });
    let twice = TextStream::new("a.csv", "text,text\na,b\n".as_bytes(), TextFormat::Csv, None, TextColumns::default());
    assert!(twice.map(drop).expect_err("two texts").to_string().contains("two columns are called \"text\""));
}
