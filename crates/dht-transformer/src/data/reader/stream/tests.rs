use super::*;

fn read(name: &str, file: &str, columns: TextColumns) -> Result<Vec<TextRow>> {
    let (format, compressed) = TextFormat::of_name(name);
    let mut stream = TextStream::new(name, file.as_bytes(), format, compressed, columns)?;
    let mut rows = Vec::new();
    while let Some(row) = stream.next_row()? {
        rows.push(row);
    }
    Ok(rows)
}

fn texts(name: &str, file: &str, columns: TextColumns) -> Vec<String> {
    read(name, file, columns).expect("rows").into_iter().map(|row| row.text).collect()
}

fn columns(names: &[&str]) -> TextColumns {
    let text = names.iter().map(|name| name.parse().expect("a column")).collect();
    TextColumns { text, ..TextColumns::default() }
}

#[test]
fn every_format_gives_its_texts_in_order() {
    assert_eq!(texts("asked.txt", "one\n\n two\r\n", columns(&[])), ["one", "", "two"]);
    assert_eq!(texts("a.csv", "text,n\n\"a, b\",1\nc,2\n", columns(&[])), ["a, b", "c"]);
    assert_eq!(texts("a.csv", "3,a,b\n4,c,\n", columns(&["1", "2"])), ["a b", "c"]);
    assert_eq!(texts("a.tsv", "id\tq\n1\tsay \"it\"\n", columns(&["q"])), ["say \"it\""]);
    assert_eq!(texts("a.tsv", "id\tq\n1\t\"say \"\"it\"\"\"\n", columns(&["q"])), ["say \"it\""]);
    assert_eq!(texts("a.csv", "one\ntwo\n", columns(&[])), ["one", "two"]);
    assert_eq!(texts("a.jsonl", "{\"text\": \"a\", \"n\": 1}\n\n{\"text\": null}\n", columns(&[])), ["a", ""]);
    assert_eq!(texts("a.jsonl", "{\"t\": \"a\", \"u\": 2}\n", columns(&["u", "t"])), ["2 a"]);
    assert_eq!(texts("a.ndjson", "{\"t\": \"a\"}\n", columns(&[])), ["a"]);
    assert_eq!(texts("a.json", "{\"t\": \"a\"}\n", columns(&[])), ["a"]);
}

#[test]
fn columns_of_a_training_are_read_or_missed_by_name() {
    let expected = |names: &[&str], header| TextColumns { header, expected: true, ..columns(names) };
    let refused = |name: &str, file: &str, columns| read(name, file, columns).expect_err("refused").to_string();
    let two = || expected(&["title", "text"], Some(true));
    assert_eq!(texts("a.csv", "title,text\na,b\n", two()), ["a b"]);
    for file in ["review\nfine\n", "id,text\n1,fine\n", "headline,text\na,b\n", "title\na\n"] {
        assert!(refused("a.csv", file, two()).contains("no column \"t"), "{file}");
    }
    assert!(refused("a.jsonl", "{\"review\": \"fine\"}\n", two()).contains("no column \"title\""));
    let one = |header| expected(&["text"], header);
    assert_eq!(texts("a.csv", "id,Text\n1,fine\n", one(Some(true))), ["fine"]);
    assert_eq!(texts("a.csv", "fine\nbad\n", one(Some(false))), ["fine", "bad"]);
    for file in ["review\nfine\n", "id\n1\n", "body,label\nfine,1\n"] {
        assert!(refused("a.csv", file, one(Some(true))).contains("no column \"text\""), "{file}");
    }
    assert!(refused("a.jsonl", "{\"id\": 1}\n", one(None)).contains("no column \"text\""));
    let pair = TextColumns { pair: true, ..two() };
    assert!(read("a.csv", "text\nfine\n", pair).is_err());
}

#[test]
fn columns_of_a_training_without_names_fit_by_number() {
    let numbered = |names: &[&str]| TextColumns { expected: true, ..columns(names) };
    let refused = |name: &str, file: &str, columns| read(name, file, columns).expect_err("refused").to_string();
    let two = || numbered(&["1", "2"]);
    assert_eq!(texts("a.csv", "a,b,c\n1,2,3\n", two()), ["b c", "2 3"]);
    let ahead = TextColumns { look_ahead: true, ..two() };
    assert_eq!(texts("a.csv", "a,b,c\n1,2,3\n", ahead), ["2 3"]);
    for file in ["fine\nbad\n", "id,text\n1,fine\n", "a,b\n1,2\n"] {
        assert!(refused("a.csv", file, two()).contains("no column "), "{file}");
    }
    let one = || numbered(&["1"]);
    assert_eq!(texts("a.csv", "fine\nbad\n", one()), ["fine", "bad"]);
    assert_eq!(texts("a.csv", "text,label\nfine,1\n", one()), ["fine"]);
    assert_eq!(texts("a.jsonl", "{\"id\": 1, \"text\": \"fine\"}\n", one()), ["fine"]);
    assert!(refused("a.jsonl", "{\"id\": 1}\n", one()).contains("no column 1"));
}

#[test]
fn a_number_of_the_row_is_no_text() {
    for file in ["{\"id\": 1}\n", "{\"label\": \"a\"}\n"] {
        let refused = read("a.jsonl", file, columns(&[])).expect_err("no text").to_string();
        assert!(refused.contains("name the text column"), "{refused}");
    }
}

#[test]
fn columns_are_separated_as_the_header_says() {
    assert_eq!(texts("a.csv", "id;text\n1;fine, work\n", columns(&[])), ["fine, work"]);
    assert_eq!(texts("a.csv", "sep=;\nid;text\n1;fine\n", columns(&[])), ["fine"]);
    assert_eq!(texts("a.csv", "id|opinion\n1|fine\n", columns(&["opinion"])), ["fine"]);
    // A line of words is one text, whatever signs it has.
    assert_eq!(texts("a.csv", "fine; work\nno; work\n", columns(&["0"])), ["fine; work", "no; work"]);
    let asked = TextColumns { separator: Some(';'), ..columns(&["1"]) };
    assert_eq!(texts("a.csv", "fine; work\nno; rest\n", asked), [" work", " rest"].map(str::trim));
}

#[test]
fn pairs_cells_and_members_are_kept() {
    let pair = TextColumns { pair: true, ..columns(&["b", "a"]) };
    let rows = read("a.csv", "a,b,c\n1,,3\n", pair).expect("rows");
    assert_eq!((rows[0].text.as_str(), rows[0].pair.as_deref()), ("", Some("1")));
    let Given::Cells(cells) = &rows[0].given else { panic!("{:?}", rows[0]) };
    assert_eq!((rows[0].line, cells), (2, &["1", "", "3"].map(String::from).to_vec()));
    let cells = read("a.csv", "text,n\r\n\" a\r\nb \", 7 \r\n", columns(&[])).expect("rows").remove(0);
    assert_eq!(cells.text, "a\nb");
    let Given::Cells(cells) = cells.given else { panic!("other rows") };
    assert_eq!(cells, [" a\r\nb ", " 7 "]);
    let rows = read("a.jsonl", "{\"z\": [1e3], \"text\": \" a\"}\n", columns(&[])).expect("rows");
    let Given::Members(members) = &rows[0].given else { panic!("{:?}", rows[0]) };
    assert_eq!((rows[0].text.as_str(), members[0].0.as_str(), members[0].1.get()), ("a", "z", "[1e3]"));
    assert_eq!(members[1].1.get(), "\" a\"");
}

#[test]
fn what_cannot_be_read_is_named_with_its_line() {
    let refused = |name: &str, file: &str, columns| read(name, file, columns).expect_err("an error").to_string();
    assert_eq!(refused("a.csv", "a,b\n1,2\n", columns(&["c"])), "a.csv:1: no column \"c\"; there are \"a\", \"b\"");
    assert_eq!(refused("a.csv", "1,2\n", columns(&["2"])), "a.csv:1: no column 2; there are columns 0 to 1");
    assert!(refused("a.csv", "a,b\n1,2\n", columns(&[])).contains("name the text column"));
    assert!(refused("a.csv", "text,b\n1\n", columns(&[])).starts_with("a.csv:2: 1 columns, expected 2"));
    assert!(refused("a.jsonl", "{\"text\": [1]}\n", columns(&[])).contains("an array or an object"));
    assert!(refused("a.jsonl", "{\"text\": \"a\"}\n{}\n", columns(&[])).starts_with("a.jsonl:2: "));
    assert!(refused("a.jsonl", "no\n", columns(&[])).contains("is not a JSON object"));
    let pair = TextColumns { pair: true, ..columns(&["a"]) };
    assert!(refused("a.csv", "a\n1\n", pair).contains("2 text columns, got 1"));
}

#[test]
fn a_header_is_decided_by_rows_that_are_read_ahead() {
    let ahead = |names: &[&str]| TextColumns { look_ahead: true, ..columns(names) };
    assert_eq!(texts("a.csv", "n,opinion\n1,fine\n2,bad\n", ahead(&["1"])), ["fine", "bad"]);
    assert_eq!(texts("a.csv", "1,fine\n2,bad\n", ahead(&["1"])), ["fine", "bad"]);
    assert_eq!(texts("a.csv", "fine\nbad\nfine\n", ahead(&[])), ["fine", "bad", "fine"]);
    let expected = || TextColumns { expected: true, ..ahead(&["text"]) };
    let refused = read("a.csv", "opinion\nfine\nbad\n", expected()).expect_err("either").to_string();
    assert_eq!(refused, "a.csv:1: the first row may be a header or data: state which");
    assert_eq!(texts("a.csv", "fine\nbad\n", TextColumns { header: Some(false), ..expected() }), ["fine", "bad"]);
    let broken = read("a.csv", "text,n\na,1\nb\n", ahead(&[])).expect_err("a short row").to_string();
    assert!(broken.starts_with("a.csv:3: 1 columns"), "{broken}");
    let again = read("a.csv", "text,n\na,1\ntext,n\n", ahead(&[])).expect_err("two headers").to_string();
    assert_eq!(again, "a.csv:3: the header of line 1 comes again: remove this line");
}
