//! Tables that databases, spreadsheets and annotation tools write.

use dht_transformer::data::{LabelKind, Split, TextColumns, TextFormat, TextStream};
use dht_transformer::{DatasetReader, error::DataProblem};

use crate::dataset::{problem, read, texts};

#[test]
fn missing_labels_of_databases_are_no_classes() {
    let table = |missing: &str| format!("text,label\nfine food,good\nbad food,{missing}\nso so,good\nok bad,bad\n");
    let refused = problem(read("t.csv", &table("\\N")));
    assert_eq!(refused, (Some(3), DataProblem::MissingLabel { label: "\\N".into() }));
    // Words such as NULL may be classes; a note says that they often mean a missing value.
    for (word, noted) in [("NULL", true), ("NA", true), ("#N/A", true), ("None", true), ("none", false), ("no", false)]
    {
        let reading = read("t.csv", &table(word)).unwrap().reading.unwrap();
        assert_eq!(reading.missing_labels, noted.then(|| (1, word.to_owned())));
        assert_eq!(reading.notes().iter().any(|note| note.contains("stands for a missing label")), noted, "{word}");
    }
}

#[test]
fn a_few_labels_joined_by_another_separator_are_refused() {
    let several = |cells: [&str; 6]| {
        let rows: String = cells.iter().enumerate().map(|(row, cell)| format!("fine food {row},{cell}\n")).collect();
        let reader = DatasetReader::new().with_label_kind(LabelKind::Several { separator: ',' });
        reader.read_from("t.csv", ("text,label\n".to_owned() + &rows).as_bytes())
    };
    let refused = problem(several(["x|y", "x", "y", "x", "x", "y"])).1;
    assert!(matches!(refused, DataProblem::Separator { other: '|', cells: 1, filled: 6, .. }), "{refused:?}");
    // A separator inside of a label is not split if the parts are not labels themselves.
    assert_eq!(several(["R&B", "rock", "rock", "pop", "pop", "R&B"]).unwrap().labels.len(), 3);
}

#[test]
fn quoted_cells_of_tsv_may_have_quotes_and_line_ends() {
    let data = read("t.tsv", "text\tlabel\n\"say \"\"hi\"\"\nbye\"\tx\nc d\ty\n").unwrap();
    assert_eq!(texts(&data), ["say \"hi\"\nbye", "c d"]);
    // A cell with closed quotes is read as quoted.
    let data = read("t.tsv", "text\tlabel\n\"so \"\"hi\"\"\"\tx\nc d\ty\n").unwrap();
    assert_eq!(texts(&data), ["so \"hi\"", "c d"]);
    assert!(matches!(problem(read("t.tsv", "text\tlabel\n\"a \"\"b\"\"\nc d\ty\n")).1, DataProblem::OpenQuote { .. }));
}

#[test]
fn a_byte_order_mark_before_an_array_is_left_out() {
    let file = "\u{feff}[{\"text\": \"a b\", \"label\": \"x\"}, {\"text\": \"c d\", \"label\": \"y\"}]";
    assert_eq!(texts(&read("t.json", file).unwrap()), ["a b", "c d"]);
    let mut rows = TextStream::new("t", file.as_bytes(), TextFormat::JsonLines, None, TextColumns::default()).unwrap();
    assert_eq!(rows.next_row().unwrap().unwrap().text, "a b");
}

#[test]
fn a_named_separator_counts_for_every_table() {
    let table = "text,label\na b,x\n\"c, d\",y\n";
    let data = DatasetReader::new().with_separator(',').read_from("t.tsv", table.as_bytes()).unwrap();
    assert_eq!(texts(&data), ["a b", "c, d"]);
    let tabs = DatasetReader::new().with_separator('\t').read_from("t.tsv", &b"text\tlabel\n\"a\" b\tx\nc d\ty\n"[..]);
    assert_eq!(texts(&tabs.unwrap()), ["\"a\" b", "c d"]);
}

#[test]
fn lines_of_white_space_are_no_rows() {
    let table = "text,label\na b,x\n\t  \n,,,\nc d,y\n";
    let data = read("t.csv", table).unwrap();
    assert_eq!((texts(&data), data.reading.as_ref().unwrap().blank_lines), (vec!["a b", "c d"], 2));
    let stream = |format, separator| {
        let columns = TextColumns { separator, ..TextColumns::default() };
        let mut rows = TextStream::new("t", table.as_bytes(), format, None, columns).unwrap();
        std::iter::from_fn(|| rows.next_row().unwrap().map(|row| row.text)).collect::<Vec<_>>()
    };
    assert_eq!(stream(TextFormat::Csv, None), ["a b", "c d"]);
    assert_eq!(stream(TextFormat::Tsv, Some(',')), ["a b", "c d"]);
}

#[test]
fn columns_of_zeros_and_ones_may_be_labels_together() {
    let table = "text,World,Sport\na b,1,0\nc d,0,1\ne f,1,0\ng h,0,1\n";
    let refused = problem(read("t.csv", table)).1;
    assert_eq!(refused, DataProblem::FlagColumns { columns: "\"World\", \"Sport\"".into() });
    let data = DatasetReader::new()
        .with_label_columns(["World", "Sport"].map(String::from).map(dht_transformer::data::Column::Name));
    assert_eq!(data.read_from("t.csv", table.as_bytes()).unwrap().labels, ["Sport", "World"]);
}

#[test]
fn refusals_are_short_and_name_what_is_there() {
    let column: String = (0..20_000).map(|row| format!("\"{row}\":\"x\",")).collect();
    let oriented = format!("{{\"text\":{{{0}}},\"label\":{{{0}}}}}", column.trim_end_matches(','));
    let refused = read("t.json", &oriented).unwrap_err().to_string();
    assert!(refused.len() < 400, "{} bytes", refused.len());

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let message = || DatasetReader::find_parts(folder.path(), Split::Train).unwrap_err().to_string();
    assert!(message().ends_with("train.parquet"), "{}", message());
    std::fs::create_dir(folder.path().join("data")).unwrap();
    write("data/train.csv", "text,label\n");
    assert!(message().contains(": name its folder") && message().ends_with("data"), "{}", message());
    write("state.arrow", "");
    assert!(message().contains("to_parquet"), "{}", message());
    write("reviews.csv", "text,label\n");
    assert!(message().ends_with("reviews.csv") && message().contains("name its table"), "{}", message());
    write("part-1.csv", "text,label\n");
    assert!(message().contains("or several by a pattern in quotes"), "{}", message());

    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    assert!(read("t.csv", pointer).unwrap_err().to_string().contains("git lfs pull"));
    let of_r = "text\tlabel\n1\ta b\tx\n2\tc d\ty\n";
    assert!(read("t.tsv", of_r).unwrap_err().to_string().contains("col.names = NA"));
    let titled = "Report\n\ntext,label\na b,x\nc d,y\n";
    assert!(read("t.csv", titled).unwrap_err().to_string().contains("lines above the names"));
    let two = "{\"text\": \"a b\", \"label\": \"x\"} {\"text\": \"c d\", \"label\": \"y\"}\n";
    let refused = read("t.jsonl", two).unwrap_err().to_string();
    assert!(refused.contains("one object on each line") && !refused.contains("line 1"), "{refused}");
}
