//! Damaged tables of every format are read, or refused with a typed error that names the file.

use dht_toys::{mutate, rng};
use dht_transformer::data::{TextColumns, TextEncoding, TextFormat, TextStream};
use dht_transformer::{DatasetReader, Error};
use rand::RngExt;
use rand::seq::IndexedRandom;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::dataset::gzip;

/// Table with its file name and the requested encoding.
struct Table {
    name: &'static str,
    bytes: Vec<u8>,
    encoding: Option<&'static str>,
}

fn lines(line: impl Fn(usize, &str, &str) -> String) -> String {
    let words = ["fine", "cold, \"so\"", "naïve – 日本", "no; work"];
    (0..12).map(|row| line(row, words[row % 4], ["good", "bad"][row / 2 % 2]) + "\n").collect()
}

fn tables() -> Vec<Table> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let csv =
        "text,label\n".to_owned() + &lines(|row, text, label| format!("{},{label}", quoted(&format!("{text} {row}"))));
    let json =
        |row: usize, text: &str, label: &str| serde_json::json!({"text": format!("{text} {row}"), "label": label});
    let jsonl = lines(|row, text, label| json(row, text, label).to_string());
    let array = serde_json::Value::Array((0..12).map(|row| json(row, "fine work", ["good", "bad"][row % 2])).collect());
    let lists = lines(|row, text, label| {
        serde_json::json!({"text": format!("{text} {row}"), "labels": (&[label, "new"][..1 + row % 2])}).to_string()
    });
    let cats = lines(|row, text, label| {
        serde_json::json!({"text": format!("{text} {row}"), "cats": {"good": f64::from(label == "good"), "bad": 0.2}})
            .to_string()
    });
    let python = "text,labels\n".to_owned() + &lines(|row, _, label| format!("fine {row},\"['{label}', 'new']\""));
    let semicolons = "text;label;stars\n".to_owned() + &lines(|row, _, label| format!("fine {row};{label};{row},5"));
    let tsv = "text\tlabel\n".to_owned() + &lines(|row, text, label| format!("{} {row}\t{label}", quoted(text)));
    let fast = lines(|row, text, label| format!("__label__{label} {text} {row}"));
    let wide: Vec<u8> = csv.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let table = |name, bytes: &dyn AsRef<[u8]>| Table { name, bytes: bytes.as_ref().to_vec(), encoding: None };
    vec![
        table("t.csv", &csv),
        table("t.csv", &csv.replace('\n', "\r")),
        table("t.csv", &semicolons),
        table("t.csv", &python),
        table("t.tsv", &tsv),
        table("t.jsonl", &jsonl),
        table("t.jsonl", &lists),
        table("t.jsonl", &cats),
        table("t.json", &array.to_string()),
        table("t.txt", &fast),
        table("t.csv.gz", &gzip(csv.as_bytes())),
        table("t.csv.zst", &compress_to_vec(csv.as_bytes(), CompressionLevel::Fastest)),
        table("t.csv", &[&[0xff, 0xfe][..], &wide].concat()),
        Table { encoding: Some("utf-16le"), ..table("t.csv", &wide) },
        Table { encoding: Some("windows-1252"), ..table("t.csv", &csv) },
    ]
}

/// Reads a table. Returns the number of bytes of all texts, or `None` if the table is refused.
fn read(Table { name, bytes, encoding }: &Table) -> Option<usize> {
    let encoding = encoding.map(|name| name.parse::<TextEncoding>().expect("an encoding"));
    match DatasetReader::new().with_encoding(encoding).read_from(name, &**bytes) {
        Ok(data) => {
            Some(data.examples.iter().map(|row| row.text.len() + row.pair.as_ref().map_or(0, String::len)).sum())
        }
        Err(error @ (Error::Data { .. } | Error::Io { .. })) => {
            assert!(error.to_string().contains(name), "{error}");
            None
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Reads rows for prediction, up to the first refused row.
fn predict(Table { name, bytes, .. }: &Table, format: TextFormat) {
    let Ok(mut rows) = TextStream::new(name, &**bytes, format, None, TextColumns::default()) else { return };
    while let Ok(Some(row)) = rows.next_row() {
        assert!(row.text.len() <= 3 * bytes.len(), "a text of {} bytes", row.text.len());
    }
}

/// Mutates tables `count` times. Returns the number of damaged tables that were read.
fn mutations(count: u64, seed: u64) -> u64 {
    let (whole, rng) = (tables(), &mut rng(seed));
    assert!(whole.iter().all(|table| read(table).is_some()));
    let mut read_tables = 0;
    for _ in 0..count {
        let table = whole.choose(rng).expect("tables");
        let mut bytes = table.bytes.clone();
        mutate(&mut bytes, rng);
        let plain = !table.name.ends_with('z') && !table.name.ends_with("zst");
        let changed = Table { name: table.name, bytes, encoding: table.encoding };
        if let Some(texts) = read(&changed) {
            // One byte of another encoding has at most three bytes in UTF-8.
            assert!(!plain || texts <= 3 * changed.bytes.len(), "texts of {texts} bytes");
            read_tables += 1;
        }
        if plain && rng.random_bool(0.2) {
            let format = *[TextFormat::Csv, TextFormat::Tsv, TextFormat::JsonLines, TextFormat::Lines]
                .choose(rng)
                .expect("formats");
            predict(&changed, format);
        }
    }
    read_tables
}

#[test]
fn thousands_of_changed_tables_are_read_or_refused() {
    let read = mutations(6_000, 31);
    assert!((300..5_000).contains(&read), "{read} were read");
}

/// Runs a hundred thousand mutations, or the number in the variable `DHT_MUTATIONS`.
#[test]
#[ignore = "takes minutes"]
fn many_changed_tables_are_read_or_refused() {
    let count = std::env::var("DHT_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    println!("{} of {count} changed tables were read", mutations(count, 32));
}
