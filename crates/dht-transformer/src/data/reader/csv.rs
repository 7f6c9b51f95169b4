//! Parser of csv rows (RFC 4180) with any separator.

use super::lines::{LONGEST_ROW, Lines};
use super::names::is_known;
use super::row::{Row, next_column};
use crate::error::{DataProblem, Result};

/// Column separators that are detected, the most common first.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// Parses a first line such as `sep=;`, in which spreadsheets declare the separator.
pub(super) fn declared_separator(line: &str) -> Option<char> {
    let mut signs = line.trim_end_matches('\r').trim_matches('"').strip_prefix("sep=")?.chars();
    let sign = signs.next()?;
    // The rest of the line may be the separators of empty cells.
    signs.all(|rest| rest == ',').then_some(sign)
}

/// Detects the column separator from the header line.
///
/// Splits the line at each possible separator and counts the fields that are known column names or are in `names`. The
/// separator with the largest count is returned. In a tie, the comma loses, since a name may contain a comma. If no
/// field is a name, the separator is the comma.
pub(super) fn separator_of(line: &str, names: &[&str]) -> char {
    let is_name = |cell: &&str| {
        let cell = cell.trim().trim_matches('"');
        is_known(cell) || names.contains(&cell)
    };
    let count = |sign: char| if line.contains(sign) { line.split(sign).filter(is_name).count() } else { 0 };
    let [comma, others @ ..] = SEPARATORS;
    // Of separators with equal counts, the first is selected.
    let best = others.into_iter().rev().max_by_key(|sign| count(*sign)).filter(|sign| count(*sign) > 0);
    best.filter(|sign| count(*sign) >= count(comma)).unwrap_or(comma)
}

/// Splits a csv row into cells, and returns the number of columns. `first` is the first line of the row; further lines
/// are read while a quoted field is open.
pub(super) fn csv_row(lines: &mut Lines<'_>, first: String, row: &mut Row, separator: char) -> Result<usize> {
    let mut fields = Fields { line: first, start: 0, quoted: String::new(), separator };
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
            rest if rest.starts_with(separator) => fields.start += separator.len_utf8(),
            _ => {
                let cause = fields.cause_after_quote(begins == lines.number());
                return Err(lines.error_at(begins, DataProblem::StrayQuote { column, cause }));
            }
        }
        column = width;
    }
}

/// Current line of a csv row, with the position of the next field to parse.
struct Fields {
    line: String,
    /// Byte offset in `line` at which the next field starts.
    start: usize,
    /// Content of the last quoted field. All fields share this buffer.
    quoted: String,
    separator: char,
}

impl Fields {
    fn rest(&self) -> &str {
        &self.line[self.start..]
    }

    /// Reads a quoted field, which may span several lines.
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

    /// Reads an unquoted field, which must not contain a quote.
    fn next_plain(&mut self, lines: &Lines<'_>, column: usize) -> Result<&str> {
        let length = self.rest().find(self.separator).unwrap_or(self.line.len() - self.start);
        let end = self.start + length;
        let field = &self.line[self.start..end];
        if field.contains('"') {
            let before = field.split('"').next().and_then(|before| before.chars().last());
            let cause = match field.trim_start().starts_with('"') {
                true => "remove the space before the quote that opens the field",
                false => self.beside_a_quote(before).unwrap_or("put the field in quotes, and double each quote inside"),
            };
            return Err(lines.error_at(lines.number(), DataProblem::StrayQuote { column, cause }));
        }
        self.start = end;
        Ok(field.strip_suffix('\r').filter(|_| end == self.line.len()).unwrap_or(field))
    }

    /// Suggests a correction for a quoted field with text after its closing quote. `in_one_line` is false if the field
    /// spans several lines.
    fn cause_after_quote(&self, in_one_line: bool) -> &'static str {
        let usual = match in_one_line {
            true => "double each quote inside a quoted field",
            // The opening quote of a later row closed the field.
            false => "the field that opens here runs over several lines; close it, or double each quote inside",
        };
        match self.quoted.ends_with('\\') {
            true => "write a quote inside a quoted field as two quotes, without a backslash",
            false => self.beside_a_quote(self.rest().chars().next()).unwrap_or(usual),
        }
    }

    /// Suggests another separator or file extension, if the character next to a quote is a usual separator.
    fn beside_a_quote(&self, sign: Option<char>) -> Option<&'static str> {
        match sign.filter(|sign| *sign != self.separator)? {
            ';' => Some("name the separator ';', or separate columns by commas"),
            '\t' => Some("name the file .tsv, or separate columns by commas"),
            '|' => Some("name the separator '|', or separate columns by commas"),
            _ => None,
        }
    }
}
