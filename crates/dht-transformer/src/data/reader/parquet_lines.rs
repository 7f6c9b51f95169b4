//! Conversion of parquet files to JSON lines, in bounded memory.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::ParquetError;
use parquet::file::reader::SerializedFileReader;
use parquet::record::{Row, reader::RowIter};
use serde::Serializer as _;
use serde::ser::SerializeMap as _;

/// Reads a parquet file as JSON lines: each row becomes a JSON object on a line.
pub(super) struct ParquetLines {
    rows: RowIter<'static>,
    line: Vec<u8>,
    at: usize,
}

impl ParquetLines {
    pub(super) fn new(file: File) -> Result<Self, ParquetError> {
        Ok(Self { rows: SerializedFileReader::new(file)?.into_iter(), line: Vec::new(), at: 0 })
    }
}

impl Read for ParquetLines {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() {
            // The decoder panics on some damaged pages.
            let next = catch_unwind(AssertUnwindSafe(|| self.rows.next()));
            let row = next.map_err(|_| io::Error::other("damaged pages"))?.transpose().map_err(io::Error::other)?;
            self.line.clear();
            self.at = 0;
            if let Some(row) = row {
                write_object(&mut self.line, &row)?;
            }
        }
        let count = (&self.line[self.at..]).read(bytes)?;
        self.at += count;
        Ok(count)
    }
}

/// Writes a parquet row as a JSON object on one line, with the columns in order.
fn write_object(line: &mut Vec<u8>, row: &Row) -> serde_json::Result<()> {
    let mut serializer = serde_json::Serializer::new(&mut *line);
    let mut object = serializer.serialize_map(Some(row.len()))?;
    for (name, field) in row.get_column_iter() {
        object.serialize_entry(name, &field.to_json_value())?;
    }
    object.end()?;
    line.push(b'\n');
    Ok(())
}
