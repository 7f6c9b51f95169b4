//! Concatenation of several files with the same columns to one table.

use std::path::Path;

use super::header::is_header_again;
use super::lines::Problem;
use super::names::{is_called, is_known};
use super::row::{MOST_COLUMNS, Row};
use super::table::{PART, Table};
use crate::error::DataProblem;

impl Table {
    /// Appends the rows of another file with the same columns. If `may_repeat_header` is set, a repeated header in that
    /// file's first row is dropped.
    pub(super) fn append(&mut self, mut other: Self, path: &Path, may_repeat_header: bool) -> Result<(), Problem> {
        let part = (self.parts.len() as u64) << PART;
        self.parts.push(path.into());
        if part == 0 {
            let draw = self.draw.take();
            let rows = std::mem::take(&mut other.rows);
            *self = Self { parts: std::mem::take(&mut self.parts), draw, ..other };
            rows.into_iter().for_each(|row| self.add(row));
            return Ok(());
        }
        let differ = |expected: &[String], got: &[String]| {
            Err((None, DataProblem::OtherColumns { expected: expected.join(", "), got: got.join(", ") }))
        };
        match (&mut self.keys, &other.keys) {
            (Some(keys), Some(own)) if *keys == *own && self.types == other.types => {}
            (Some(keys), Some(own)) if self.is_parquet || own.len() + keys.len() > MOST_COLUMNS => {
                return differ(keys, own);
            }
            (Some(keys), Some(own)) => {
                let known = keys.len();
                keys.extend(own.iter().filter(|key| !keys.contains(key)).cloned().collect::<Vec<_>>());
                if keys.len() == known + own.len() {
                    return differ(&keys[..known], own);
                }
                let places: Vec<usize> =
                    own.iter().filter_map(|key| keys.iter().position(|known| known == key)).collect();
                self.width = keys.len();
                other.rows.iter_mut().flat_map(|row| &mut row.cells).for_each(|(place, _)| *place = places[*place]);
                other.nested = other.nested.into_iter().map(|(place, line)| (places[place], line)).collect();
                other.values = other.values.into_iter().map(|(place, values)| (places[place], values)).collect();
            }
            _ => {
                let (Some(header), Some(first)) = (self.rows.first(), other.rows.first()) else { return Ok(()) };
                let cells = |row: &Row, width| (0..width).map(|place| row.cell(place).to_owned()).collect::<Vec<_>>();
                let (expected, got) = (cells(header, self.width), cells(first, other.width));
                if expected == got && may_repeat_header {
                    other.rows.remove(0);
                } else if self.width != other.width
                    || shares_name(&expected, &got)
                    || is_header_again(first, header, self.width)
                {
                    return differ(&expected, &got);
                }
            }
        }
        for (place, line) in other.nested {
            self.nested.entry(place).or_insert(line | part);
        }
        for (place, values) in other.values {
            let own = self.values.entry(place).or_default();
            own.iter_mut().zip(values).for_each(|(own, value)| *own = own.take().or(value));
        }
        for mut row in other.rows {
            row.line |= part;
            self.add(row);
        }
        self.blank_lines += other.blank_lines;
        Ok(())
    }
}

/// Returns whether two rows have a usual column name in the same column. If they are the first rows of two files, both
/// are then headers.
fn shares_name(expected: &[String], got: &[String]) -> bool {
    expected.iter().zip(got).any(|(name, other)| is_known(name) && is_called(other, name))
}
