//! Random tables with known texts and labels are read correctly, or refused.

use dht_transformer::DatasetReader;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WORDS: [&str; 10] = ["road", "film", "map", "price", "staff", "bright", "cold", "letter", "room", "song"];

/// Column with its name, and a cell for each row.
struct Column {
    name: &'static str,
    cells: Vec<String>,
}

/// Table with its intended texts and labels.
struct Meant {
    columns: Vec<Column>,
    header: bool,
    format: &'static str,
    texts: Vec<String>,
    labels: Vec<String>,
}

fn words(rng: &mut ChaCha8Rng, count: usize) -> String {
    (0..count).map(|_| *WORDS.choose(rng).expect("words")).collect::<Vec<_>>().join(" ")
}

fn meant(rng: &mut ChaCha8Rng) -> Meant {
    let rows = rng.random_range(12..40);
    let classes: &[&str] =
        [&["good", "bad"][..], &["1", "2", "3"], &["news", "sport", "0"], &["yes", "no"]].choose(rng).expect("some");
    let labels: Vec<String> = (0..rows).map(|row| classes[row % classes.len()].to_owned()).collect();
    let texts: Vec<String> = (0..rows).map(|row| format!("{} {row}", words(rng, 4))).collect();
    let label = ["label", "class", "category", "Label", "sentiment", "stars"].choose(rng).copied().expect("names");
    let text = ["text", "review", "content", "Text", "opinion", "remark"].choose(rng).copied().expect("names");
    let mut columns = vec![Column { name: label, cells: labels.clone() }, Column { name: text, cells: texts.clone() }];
    let format = *["csv", "tsv", "jsonl"].choose(rng).expect("formats");
    let mut add =
        |chance: f64, name: &'static str, rng: &mut ChaCha8Rng, cell: &dyn Fn(usize, &mut ChaCha8Rng) -> String| {
            if rng.random_bool(chance) {
                columns.push(Column { name, cells: (0..rows).map(|row| cell(row, rng)).collect() });
            }
        };
    add(0.4, "created_at", rng, &|row, _| format!("{} May 2024 1{}:00", row % 28 + 1, row % 10));
    add(0.3, "day", rng, &|row, _| format!("2024-05-{:02}", row % 28 + 1));
    let index = if format == "jsonl" { "id" } else { *["id", "", "Unnamed: 0"].choose(rng).expect("names") };
    add(0.4, index, rng, &|row, _| row.to_string());
    add(0.2, "title", rng, &|row, rng| format!("{} {}", words(rng, 2), row));
    add(0.2, "source", rng, &|row, _| ["web", "app"][row / 2 % 2].into());
    add(0.2, "link", rng, &|row, _| format!("https://shop.example/{row}"));
    add(0.2, "score", rng, &|row, _| format!("{}.5", row));
    columns.shuffle(rng);
    let mut seen = std::collections::BTreeSet::new();
    columns.retain(|column| seen.insert(column.name));
    Meant { columns, header: format == "jsonl" || rng.random_bool(0.6), format, texts, labels }
}

fn written(table: &Meant) -> String {
    let rows = table.labels.len();
    if table.format == "jsonl" {
        let object = |row: usize| {
            let members = table.columns.iter().map(|column| (column.name.to_owned(), column.cells[row].clone().into()));
            serde_json::Value::Object(members.collect()).to_string() + "\n"
        };
        return (0..rows).map(object).collect();
    }
    let separator = if table.format == "csv" { "," } else { "\t" };
    let line = |cells: Vec<&str>| cells.join(separator) + "\n";
    let header = table.header.then(|| line(table.columns.iter().map(|column| column.name).collect()));
    let row = |row: usize| line(table.columns.iter().map(|column| column.cells[row].as_str()).collect());
    header.into_iter().chain((0..rows).map(row)).collect()
}

#[test]
fn random_tables_are_right_or_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut right, mut refused) = (0, 0);
    for _ in 0..400 {
        let table = meant(&mut rng);
        let content = written(&table);
        let data = match DatasetReader::new().read_from(format!("t.{}", table.format), content.as_bytes()) {
            Ok(data) => data,
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        let texts: Vec<&str> = data.examples.iter().map(|example| example.text.as_str()).collect();
        let labels: Vec<&str> = data.examples.iter().map(|example| data.labels[example.label].as_str()).collect();
        assert_eq!(texts, table.texts, "{content}");
        assert_eq!(labels, table.labels, "{content}");
        assert!(data.reading.expect("a reading").lines().len() <= 6);
        right += 1;
    }
    assert!(right > 200, "{right} right, {refused} refused");
}
