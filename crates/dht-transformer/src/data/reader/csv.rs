//! Parser of csv rows, as in RFC 4180.

use super::lines::{LONGEST_ROW, Lines};
use super::row::{Row, next_column};
use crate::error::{DataProblem, Result};

/// Splits at commas outside of quotes, reading more lines while a quote is open; returns the number of columns.
pub(super) fn csv_row(lines: &mut Lines<'_>, first: String, row: &mut Row) -> Result<usize> {
    let mut fields = Fields { line: first, start: 0, quoted: String::new() };
    let mut column = 0;
    loop {
        let begins = lines.number();
        if fields.rest().starts_with('"') {
            fields.read_quoted(lines)?;
            row.push(column, &fields.quoted);
        } else {
            row.push(column, fields.next_plain(lines, column)?);
        }
        let width = next_column(lines, column)?;
        match fields.rest() {
            "" | "\r" => return Ok(width),
            rest if rest.starts_with(',') => fields.start += 1,
            _ => {
                let cause = fields.cause_after_quote(begins == lines.number());
                return Err(lines.error_at(begins, DataProblem::StrayQuote { column, cause }));
            }
        }
        column = width;
    }
}

/// Fields of a row that are still to be read.
struct Fields {
    line: String,
    /// Start of the next field in the line.
    start: usize,
    /// Content of the last quoted field. It is one buffer for all of them.
    quoted: String,
}

impl Fields {
    fn rest(&self) -> &str {
        &self.line[self.start..]
    }

    /// Reads a field in quotes, which may run over several lines.
    fn read_quoted(&mut self, lines: &mut Lines<'_>) -> Result<()> {
        let begins = lines.number();
        self.quoted.clear();
        self.start += 1;
        loop {
            match self.line[self.start..].find('"') {
                Some(length) => {
                    self.quoted.push_str(&self.line[self.start..self.start + length]);
                    self.start += length + 1;
                    if !self.rest().starts_with('"') {
                        return Ok(());
                    }
                    self.quoted.push('"');
                    self.start += 1;
                }
                None => {
                    self.quoted.push_str(&self.line[self.start..]);
                    self.quoted.push('\n');
                    if self.quoted.len() > LONGEST_ROW {
                        return Err(lines.error_at(begins, DataProblem::RowTooLong { most: LONGEST_ROW }));
                    }
                    self.line = lines.next_line()?.ok_or_else(|| lines.error_at(begins, DataProblem::UnclosedQuote))?;
                    self.start = 0;
                }
            }
        }
    }

    /// Field without quotes, which must not contain one.
    fn next_plain(&mut self, lines: &Lines<'_>, column: usize) -> Result<&str> {
        let length = self.rest().find(',').unwrap_or(self.line.len() - self.start);
        let end = self.start + length;
        let field = &self.line[self.start..end];
        if field.contains('"') {
            let before = field.split('"').next().and_then(|before| before.chars().last());
            let cause = match field.trim_start().starts_with('"') {
                true => "remove the space before the quote that opens the field",
                false => beside_a_quote(before).unwrap_or("put the field in quotes, and double each quote inside"),
            };
            return Err(lines.error_at(lines.number(), DataProblem::StrayQuote { column, cause }));
        }
        self.start = end;
        Ok(field.strip_suffix('\r').filter(|_| end == self.line.len()).unwrap_or(field))
    }

    /// Correction of a quoted field that text follows; `in_one_line` is false if the field has several lines.
    fn cause_after_quote(&self, in_one_line: bool) -> &'static str {
        let usual = match in_one_line {
            true => "double each quote inside a quoted field",
            // The opening quote of a later row has closed it.
            false => "the field that opens here runs over several lines; close it, or double each quote inside",
        };
        match self.quoted.ends_with('\\') {
            true => "write a quote inside a quoted field as two quotes, without a backslash",
            false => beside_a_quote(self.rest().chars().next()).unwrap_or(usual),
        }
    }
}

/// Correction for a character beside a quote that looks like the separator of the file.
fn beside_a_quote(sign: Option<char>) -> Option<&'static str> {
    match sign {
        Some(';') => Some("separate columns by commas, not by ';'"),
        Some('\t') => Some("separate columns by commas, not by tabs, or name the file .tsv"),
        Some('|') => Some("separate columns by commas, not by '|'"),
        _ => None,
    }
}
