//! Conversion of a JSON array to JSON lines, so that the parser of JSON lines can read its elements.

use std::io::{self, BufRead, BufReader, Cursor, Read};

/// Syntax error in a JSON array at the top level of a file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotAnArray(&'static str);

const MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Converts a file with one JSON array to a stream with one element on each line, and returns `true`. A file whose
/// first character is not `[` is returned unchanged, with `false`.
///
/// Line numbers in errors stay correct: each element stays on the line on which it begins in the file. If a line has
/// several elements, the second and later ones move to later lines.
pub(super) fn elements<'a>(mut raw: Box<dyn BufRead + 'a>) -> io::Result<(Box<dyn BufRead + 'a>, bool)> {
    // The head is read byte by byte: the writer of a pipe may wait for an answer.
    let (mut head, mut byte) = (Vec::new(), [0]);
    let is_mark = |head: &[u8]| !head.is_empty() && MARK.starts_with(head);
    while (is_mark(&head) || head.last().is_none_or(u8::is_ascii_whitespace)) && raw.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    if head.last() != Some(&b'[') {
        return Ok((Box::new(Cursor::new(head).chain(raw)), false));
    }
    let lines = head.iter().filter(|byte| **byte == b'\n').map(|_| b'\n').collect();
    let elements = Elements { raw, lines, at: 0, owed: 0, place: Place::First };
    Ok((Box::new(BufReader::new(elements)), true))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Parser state before the first array element.
    First,
    /// Parser state after the comma between two array elements.
    Next,
    /// Parser state inside an array element.
    Inside {
        depth: usize,
        string: bool,
        escaped: bool,
        /// Number of line ends read so far within the element.
        ends: usize,
    },
    /// Parser state after the closing bracket of the array.
    End,
}

struct Elements<'a> {
    raw: Box<dyn BufRead + 'a>,
    /// Converted bytes. The caller has already received the bytes before the index `at`.
    lines: Vec<u8>,
    at: usize,
    /// Number of line ends of the file to skip, because the same number of line ends was inserted between elements.
    owed: usize,
    place: Place,
}

impl Elements<'_> {
    fn end_line(&mut self) {
        match self.owed {
            0 => self.lines.push(b'\n'),
            _ => self.owed -= 1,
        }
    }

    fn add(&mut self, byte: u8) -> Result<(), NotAnArray> {
        self.place = match (self.place, byte) {
            (Place::Inside { depth, string: true, escaped, ends }, byte) => {
                // JSON does not allow a control character in a string. A line end would hide this error, a tab does
                // not.
                self.lines.push(if byte == b'\n' { b'\t' } else { byte });
                let string = escaped || byte != b'"';
                Place::Inside { depth, string, escaped: byte == b'\\' && !escaped, ends }
            }
            (Place::Inside { depth: 0, ends, .. }, b',' | b']') => {
                self.lines.push(b'\n');
                self.owed += 1;
                (0..ends).for_each(|_| self.end_line());
                if byte == b',' { Place::Next } else { Place::End }
            }
            (Place::Inside { depth, ends, .. }, byte) => {
                let depth = match byte {
                    b'{' | b'[' => depth + 1,
                    b'}' | b']' => depth.saturating_sub(1),
                    _ => depth,
                };
                let is_end = byte == b'\n';
                self.lines.push(if is_end { b' ' } else { byte });
                let (string, ends) = (byte == b'"', ends + usize::from(is_end));
                Place::Inside { depth, string, escaped: false, ends }
            }
            (place, byte) if byte.is_ascii_whitespace() => {
                if byte == b'\n' {
                    self.end_line();
                }
                place
            }
            (Place::First, b']') => Place::End,
            (Place::First | Place::Next, b',' | b']') => return Err(NotAnArray("an element of the array is missing")),
            (Place::First | Place::Next, byte) => {
                self.place = Place::Inside { depth: 0, string: false, escaped: false, ends: 0 };
                return self.add(byte);
            }
            (Place::End, _) => return Err(NotAnArray("more follows the end of the array")),
        };
        Ok(())
    }
}

impl Read for Elements<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let failed = |problem| io::Error::new(io::ErrorKind::InvalidData, problem);
        while self.at == self.lines.len() {
            (self.at, self.lines) = (0, Vec::new());
            let input = self.raw.fill_buf()?.to_vec();
            if input.is_empty() {
                return match self.place {
                    Place::End => Ok(0),
                    _ => Err(failed(NotAnArray("the array has no end"))),
                };
            }
            self.raw.consume(input.len());
            input.into_iter().try_for_each(|byte| self.add(byte)).map_err(failed)?;
        }
        let count = (&self.lines[self.at..]).read(bytes)?;
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str) -> Result<(Vec<(usize, String)>, bool), String> {
        let (mut reader, is_array) =
            elements(Box::new(BufReader::with_capacity(3, file.as_bytes()))).map_err(|error| error.to_string())?;
        let mut text = String::new();
        reader.read_to_string(&mut text).map_err(|error| error.to_string())?;
        let filled = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        Ok((filled.map(|(number, line)| (number, line.trim().to_owned())).collect(), is_array))
    }

    fn numbered(lines: &[(usize, &str)]) -> Result<(Vec<(usize, String)>, bool), String> {
        Ok((lines.iter().map(|(number, line)| (*number, (*line).to_owned())).collect(), true))
    }

    #[test]
    fn elements_are_lines_with_their_numbers() {
        assert_eq!(lines(r#"[{"a": 1}, {"a": "],["}]"#), numbered(&[(1, r#"{"a": 1}"#), (2, r#"{"a": "],["}"#)]));
        let pretty = "[\n  {\n    \"a\": \"\\\"}\"\n  },\n  {\n    \"a\": [1,\n 2]\n  }\n]\n";
        let expected = [(2, r#"{     "a": "\"}"   }"#), (5, r#"{     "a": [1,  2]   }"#)];
        assert_eq!(lines(pretty), numbered(&expected));
        assert_eq!(lines("\n\n[\n1,\n2]"), numbered(&[(4, "1"), (5, "2")]));
        assert_eq!(lines(" [ ]\n"), numbered(&[]));
        assert_eq!(lines("\u{feff}[1]"), numbered(&[(1, "1")]));
        assert_eq!(lines("\u{feff}{}"), Ok((vec![(1, "\u{feff}{}".into())], false)));
    }

    #[test]
    fn other_files_stay_as_they_are() {
        assert_eq!(lines("{\"a\": [1]}\n{}"), Ok((vec![(1, "{\"a\": [1]}".into()), (2, "{}".into())], false)));
        assert_eq!(lines(""), Ok((Vec::new(), false)));
    }

    #[test]
    fn what_is_no_array_is_named() {
        for (file, problem) in [
            ("[1, 2", "the array has no end"),
            ("[1,]", "an element of the array is missing"),
            ("[,1]", "an element of the array is missing"),
            ("[1] x", "more follows the end of the array"),
            ("[\"a\n", "the array has no end"),
        ] {
            assert_eq!(lines(file), Err(problem.into()), "{file}");
        }
    }
}
