//! Reader of parquet files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use serde::Deserialize;

use super::lines::{LONGEST_ROW, Problem};
use super::request::TableRequest;
use super::row::{BETWEEN, MOST_COLUMNS, Row};
use super::table::{POINTER, Table, may_be_label, pointer};
use crate::error::{DataProblem, Error, Result};

const BATCH: usize = 1024;

impl Table {
    /// Adds the rows of a parquet file to the table. The cells may have at most `most` bytes in total. Lists are read
    /// only in columns that may be the label. `path` appears in errors.
    pub(super) fn read_parquet(&mut self, path: &Path, file: File, most: u64, request: &TableRequest) -> Result<()> {
        let at = |(line, problem)| Error::Data { path: path.into(), line, problem };
        if file.metadata().map_err(|source| Error::io(path, source))?.len() == 0 {
            return Err(at((None, DataProblem::Empty)));
        }
        let mut head = [0; POINTER.len()];
        if (&file).read_exact(&mut head).is_ok() && head == *POINTER {
            return Err(at((None, pointer())));
        }
        self.is_parquet = true;
        // The decoder panics on some damaged pages.
        let read = catch_unwind(AssertUnwindSafe(|| self.add_file(file, most, request)));
        match read {
            Ok(read) => read.map_err(at),
            Err(_) => Err(at((None, DataProblem::BadParquet { message: "damaged pages".into() }))),
        }
    }

    fn add_file(&mut self, file: File, most: u64, request: &TableRequest) -> Result<(), Problem> {
        let bytes = file.metadata().map_or(0, |facts| facts.len());
        let reader = SerializedFileReader::new(file).map_err(bad)?;
        check_places(reader.metadata(), bytes).map_err(|problem| (None, problem))?;
        let columns = self.add_columns(reader.metadata(), request)?;
        let names = class_names(reader.metadata(), self.keys.as_deref().unwrap_or_default());
        let (mut left, mut number) = (most, 0);
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(bad)?;
            let mut readers = Vec::with_capacity(columns.len());
            for &column in &columns {
                readers.push(group.get_column_reader(column).map_err(bad)?);
            }
            let rows = group.metadata().num_rows();
            let mut rows = usize::try_from(rows)
                .map_err(|_| (None, DataProblem::BadParquet { message: format!("a group of {rows} rows") }))?;
            while rows > 0 {
                let count = rows.min(BATCH);
                let mut batch: Vec<Row> = (0..count as u64).map(|row| Row::at(number + row + 1)).collect();
                for (&column, reader) in columns.iter().zip(&mut readers) {
                    let mut cells = cells(reader, group.metadata().column(column).column_descr(), count)
                        .map_err(|problem| (Some(number + 1), problem))?;
                    if let Some(names) = names.get(&column).filter(|_| self.lists.contains(&column)) {
                        cells.iter_mut().flatten().for_each(|cell| *cell = named(cell, names));
                    }
                    for (row, cell) in batch.iter_mut().zip(cells) {
                        let Some(cell) = cell else { continue };
                        if cell.len() > LONGEST_ROW {
                            return Err((Some(row.line), DataProblem::RowTooLong { most: LONGEST_ROW }));
                        }
                        left = left
                            .checked_sub(cell.len() as u64)
                            .ok_or((Some(row.line), DataProblem::TooLarge { most }))?;
                        row.push(column, &cell);
                    }
                }
                batch.into_iter().for_each(|row| self.add(row));
                number += count as u64;
                rows -= count;
            }
        }
        if number == 0 { Err((None, DataProblem::NoRows)) } else { Ok(()) }
    }

    /// Takes the column names, types and class names from the first file. Later files must have the same. Returns the
    /// indices of the columns that can be read.
    fn add_columns(&mut self, metadata: &ParquetMetaData, request: &TableRequest) -> Result<Vec<usize>, Problem> {
        let facts = metadata.file_metadata();
        let schema = facts.schema_descr();
        if schema.num_columns() > MOST_COLUMNS {
            return Err((None, DataProblem::TooManyColumns { most: MOST_COLUMNS }));
        }
        // A column of records has several leaf columns. Each becomes an unreadable column here.
        let is_list = |column: &ColumnDescriptor| {
            let parts = column.path().parts();
            (2..=3).contains(&parts.len()) && column.max_rep_level() == 1 && may_be_label(&parts[0], request)
        };
        let name = |column: &ColumnDescriptor| match is_list(column) {
            true => column.path().parts()[0].clone(),
            false => column.path().string(),
        };
        let names: Vec<String> = schema.columns().iter().map(|column| name(column)).collect();
        let mut seen = BTreeSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
            return Err((None, DataProblem::DuplicateColumn { column: name.clone() }));
        }
        let types: BTreeMap<usize, String> = (0..)
            .zip(schema.columns())
            .filter_map(|(place, column)| Some((place, unreadable(column, is_list(column))?)))
            .collect();
        let readable: Vec<usize> = (0..names.len()).filter(|place| !types.contains_key(place)).collect();
        if readable.is_empty() {
            return Err((None, DataProblem::NoTextColumn));
        }
        match &self.keys {
            Some(keys) if *keys != names || self.types != types => {
                let (expected, got) = (keys.join(", "), names.join(", "));
                return Err((None, DataProblem::OtherColumns { expected, got }));
            }
            Some(_) => {}
            None => {
                self.lists =
                    (0..).zip(schema.columns()).filter(|(_, column)| is_list(column)).map(|(place, _)| place).collect();
                self.classes = class_names(metadata, &names);
                self.nested = types.keys().map(|&place| (place, 1)).collect();
                (self.width, self.keys, self.types) = (names.len(), Some(names), types);
            }
        }
        Ok(readable)
    }
}

/// Checks that the pages of all columns lie inside the file, since the decoder does not check this.
fn check_places(metadata: &ParquetMetaData, bytes: u64) -> Result<(), DataProblem> {
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let end = start.checked_add(column.compressed_size()).and_then(|end| u64::try_from(end).ok());
        if start < 0 || column.compressed_size() < 0 || end.is_none_or(|end| end > bytes) {
            let message = format!("column {} lies outside of the {bytes} bytes", column.column_path().string());
            return Err(DataProblem::BadParquet { message });
        }
    }
    Ok(())
}

/// Describes the type of a column that cannot be read; `None` for texts, numbers and truth values, which can be read.
fn unreadable(column: &ColumnDescriptor, is_list: bool) -> Option<String> {
    if !is_list && (column.path().parts().len() > 1 || column.max_rep_level() > 0) {
        return Some("list or record".into());
    }
    let (logical, converted) = (column.logical_type_ref(), column.converted_type());
    let decimal = matches!(logical, Some(LogicalType::Decimal { .. })) || converted == ConvertedType::DECIMAL;
    let text = matches!(logical, Some(LogicalType::String | LogicalType::Enum | LogicalType::Json))
        || matches!(converted, ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON);
    match column.physical_type() {
        Type::BOOLEAN | Type::FLOAT | Type::DOUBLE => None,
        Type::INT32 | Type::INT64 if !decimal => None,
        Type::BYTE_ARRAY if text => None,
        _ if decimal => Some("decimal".into()),
        Type::BYTE_ARRAY => Some("bytes".into()),
        other => Some(other.to_string().to_lowercase()),
    }
}

/// Reads the cells of the next rows of a column. A null or an empty list becomes `None`. The values of a list are
/// joined by [`BETWEEN`].
fn cells(
    reader: &mut ColumnReader,
    column: &ColumnDescriptor,
    rows: usize,
) -> Result<Vec<Option<String>>, DataProblem> {
    match reader {
        ColumnReader::BoolColumnReader(reader) => decoded(reader, column, rows, cell_text),
        ColumnReader::Int32ColumnReader(reader) => decoded(reader, column, rows, cell_text),
        ColumnReader::Int64ColumnReader(reader) => decoded(reader, column, rows, cell_text),
        ColumnReader::FloatColumnReader(reader) => decoded(reader, column, rows, cell_text),
        ColumnReader::DoubleColumnReader(reader) => decoded(reader, column, rows, cell_text),
        ColumnReader::ByteArrayColumnReader(reader) => decoded(reader, column, rows, |bytes: &ByteArray| {
            let text = std::str::from_utf8(bytes.data());
            text.map(str::to_owned).map_err(|error| DataProblem::NotUtf8 { byte: error.valid_up_to() })
        }),
        // Unreadable columns have no cells.
        _ => Ok(vec![None; rows]),
    }
}

fn decoded<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    column: &ColumnDescriptor,
    rows: usize,
    text: impl Fn(&T::T) -> Result<String, DataProblem>,
) -> Result<Vec<Option<String>>, DataProblem> {
    let (nulls, lists) = (column.max_def_level(), column.max_rep_level() > 0);
    let (mut values, mut levels, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let (read, ..) = reader
        .read_records(rows, (nulls > 0).then_some(&mut levels), lists.then_some(&mut places), &mut values)
        .map_err(damaged)?;
    if nulls == 0 {
        levels = vec![0; values.len()];
    }
    if !lists {
        places = vec![0; levels.len()];
    }
    // A row begins where the repetition level is 0.
    let (begun, filled) = (count(&places, 0), count(&levels, nulls));
    if read != rows || places.len() != levels.len() || begun != rows || filled != values.len() {
        return Err(DataProblem::BadParquet { message: format!("a column ends after {read} of {rows} rows") });
    }
    let (mut values, mut cells) = (values.iter(), Vec::with_capacity(rows));
    for (level, place) in levels.into_iter().zip(places) {
        let value = if level == nulls { values.next().map(&text).transpose()? } else { None };
        match (cells.last_mut(), value) {
            (Some(Some(cell)), Some(value)) if place > 0 => {
                let cell: &mut String = cell;
                cell.push(BETWEEN);
                cell.push_str(&value);
            }
            (Some(cell), Some(value)) if place > 0 => *cell = Some(value),
            (Some(_), None) if place > 0 => {}
            (_, value) => cells.push(value),
        }
    }
    Ok(cells)
}

fn count(levels: &[i16], level: i16) -> usize {
    levels.iter().filter(|own| **own == level).count()
}

/// Replaces each class number in a list cell by the name of the class.
fn named(cell: &str, names: &[String]) -> String {
    let name = |label: &str| {
        label.parse().ok().and_then(|class: usize| names.get(class)).map_or(label.to_owned(), String::clone)
    };
    cell.split(BETWEEN).map(name).collect::<Vec<_>>().join(&BETWEEN.to_string())
}

fn cell_text<T: ToString>(value: &T) -> Result<String, DataProblem> {
    Ok(value.to_string())
}

/// Class names from the metadata that the `datasets` library stores in a parquet file, by column: `{"info":
/// {"features": {"label": {"_type": "ClassLabel", "names": ["bad", "good"]}}}}`. Other metadata is ignored.
fn class_names(metadata: &ParquetMetaData, columns: &[String]) -> BTreeMap<usize, Vec<String>> {
    #[derive(Deserialize)]
    struct Written {
        info: Info,
    }
    #[derive(Deserialize)]
    struct Info {
        features: BTreeMap<String, serde_json::Value>,
    }

    let pairs = metadata.file_metadata().key_value_metadata();
    let text = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_deref());
    let Some(Written { info }) = text.and_then(|text| serde_json::from_str(text).ok()) else { return BTreeMap::new() };
    let names = |column: &String| -> Option<Vec<String>> {
        let feature = info.features.get(column)?;
        // A list describes its values in an inner feature: `{"feature": …, "_type": "Sequence"}` or `[…]`.
        let feature = feature.get("feature").or_else(|| feature.get(0)).unwrap_or(feature);
        let names: Vec<String> = serde_json::from_value(feature.get("names")?.clone()).ok()?;
        let trimmed = |name: &String| !name.is_empty() && name.trim().len() == name.len();
        let different = names.iter().collect::<BTreeSet<_>>().len() == names.len();
        let class = feature.get("_type").and_then(|kind| kind.as_str()) == Some("ClassLabel");
        (class && different && !names.is_empty() && names.iter().all(trimmed)).then_some(names)
    };
    columns.iter().enumerate().filter_map(|(place, column)| Some((place, names(column)?))).collect()
}

fn damaged(error: ParquetError) -> DataProblem {
    let message = match error {
        ParquetError::General(message) if message.contains("Disabled feature") => {
            format!("{message}: its compression is not read, write it with snappy, gzip or zstd")
        }
        ParquetError::General(message) | ParquetError::EOF(message) | ParquetError::NYI(message) => message,
        other => other.to_string(),
    };
    DataProblem::BadParquet { message }
}

fn bad(error: ParquetError) -> Problem {
    (None, damaged(error))
}
