//! Writer of small parquet files.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// Cells of a column.
pub enum Cells {
    Texts(Vec<Option<String>>),
    Integers(Vec<i64>),
    Numbers(Vec<f64>),
    Lists(Vec<Vec<i64>>),
}

/// Text cells without a null.
pub fn texts<T: ToString>(cells: impl IntoIterator<Item = T>) -> Cells {
    Cells::Texts(cells.into_iter().map(|cell| Some(cell.to_string())).collect())
}

/// Metadata that the library `datasets` writes for a column of classes.
pub fn class_label(column: &str, names: &[&str]) -> String {
    serde_json::json!({ "info": { "features": {
        "text": { "dtype": "string", "_type": "Value" },
        column: { "names": names, "_type": "ClassLabel" },
    } } })
    .to_string()
}

/// Writes a file of columns, in row groups of `group` rows.
pub fn parquet(columns: &[(&str, Cells)], group: usize, compression: Compression, features: Option<String>) -> Vec<u8> {
    let field = |(name, cells): &(&str, Cells)| match cells {
        Cells::Texts(_) => format!("optional binary {name} (STRING);"),
        Cells::Integers(_) => format!("optional int64 {name};"),
        Cells::Numbers(_) => format!("required double {name};"),
        Cells::Lists(_) => {
            format!("optional group {name} (LIST) {{ repeated group list {{ optional int64 element; }} }}")
        }
    };
    let fields: String = columns.iter().map(field).collect();
    let schema = Arc::new(parse_message_type(&format!("message rows {{ {fields} }}")).expect("a schema"));
    let pairs = features.map(|value| vec![KeyValue::new("huggingface".into(), value)]);
    let properties = WriterProperties::builder().set_compression(compression).set_key_value_metadata(pairs).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).expect("a writer");
    let rows = match &columns[0].1 {
        Cells::Texts(cells) => cells.len(),
        Cells::Integers(cells) => cells.len(),
        Cells::Numbers(cells) => cells.len(),
        Cells::Lists(cells) => cells.len(),
    };
    for first in (0..rows).step_by(group) {
        let last = (first + group).min(rows);
        let mut group = writer.next_row_group().expect("a group");
        for (_, cells) in columns {
            let mut column = group.next_column().expect("a column").expect("one more");
            match cells {
                Cells::Texts(cells) => {
                    let levels: Vec<i16> = cells[first..last].iter().map(|cell| i16::from(cell.is_some())).collect();
                    let filled: Vec<ByteArray> =
                        cells[first..last].iter().flatten().map(|cell| cell.as_str().into()).collect();
                    column.typed::<ByteArrayType>().write_batch(&filled, Some(&levels), None).expect("cells");
                }
                Cells::Integers(cells) => {
                    let levels = vec![1; last - first];
                    column.typed::<Int64Type>().write_batch(&cells[first..last], Some(&levels), None).expect("cells");
                }
                Cells::Lists(cells) => {
                    let (mut values, mut levels, mut places) = (Vec::new(), Vec::new(), Vec::new());
                    for list in &cells[first..last] {
                        levels.extend(if list.is_empty() { vec![1] } else { vec![3; list.len()] });
                        places.extend((0..list.len().max(1)).map(|at| i16::from(at > 0)));
                        values.extend(list);
                    }
                    column.typed::<Int64Type>().write_batch(&values, Some(&levels), Some(&places)).expect("cells");
                }
                Cells::Numbers(cells) => {
                    column.typed::<DoubleType>().write_batch(&cells[first..last], None, None).expect("cells");
                }
            }
            column.close().expect("a column");
        }
        group.close().expect("a group");
    }
    writer.close().expect("a file");
    bytes
}

/// File of reviews with the classes 0 and 1, which are named `bad` and `good`.
pub fn reviews(rows: usize, from: usize) -> Vec<u8> {
    let text = |row: usize| format!("the {} was {}", ["soup", "wine"][row / 2 % 2], ["stale", "fresh"][row % 2]);
    let columns = [
        ("text", texts((from..from + rows).map(|row| format!("{}, said guest {row}", text(row))))),
        ("label", Cells::Integers((from..from + rows).map(|row| row as i64 % 2).collect())),
    ];
    parquet(&columns, 64, Compression::SNAPPY, Some(class_label("label", &["bad", "good"])))
}
