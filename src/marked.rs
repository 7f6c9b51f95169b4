//! Replacement of generated text between two marker lines.

use crate::error::{Error, Result};

/// Replaces all lines between two marker lines by `block`, which must end with a line end.
///
/// # Errors
/// [`Error::Markers`] unless each marker line occurs once, in this order.
pub(crate) fn replaced(text: &str, (start, end): (&'static str, &'static str), block: &str) -> Result<String> {
    let problem = || Error::Markers { start, end };
    let once = |marker: &str| text.lines().filter(|line| line.trim() == marker).count() == 1;
    if !(once(start) && once(end)) {
        return Err(problem());
    }
    let mut replaced = String::new();
    let mut inside = false;
    for line in text.lines() {
        let line_is = |marker: &str| line.trim() == marker;
        if line_is(start) {
            inside = true;
        } else if line_is(end) {
            replaced.push_str(&format!("{start}\n{block}{end}\n"));
            inside = false;
        } else if !inside {
            replaced.push_str(line);
            replaced.push('\n');
        }
    }
    // Both marker lines exist, but the end comes first.
    if inside { Err(problem()) } else { Ok(replaced) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_replaced_whose_markers_stand_once_and_in_order() {
        let markers = ("<!-- a -->", "<!-- b -->");
        let text = replaced("1\n<!-- a -->\nold\nolder\n<!-- b -->\n2\n", markers, "new\n").unwrap();
        assert_eq!(text, "1\n<!-- a -->\nnew\n<!-- b -->\n2\n");
        for text in ["", "<!-- a -->\n", "<!-- b -->\n<!-- a -->\n", "<!-- a -->\n<!-- a -->\n<!-- b -->\n"] {
            assert!(matches!(replaced(text, markers, "new\n"), Err(Error::Markers { .. })), "{text}");
        }
    }
}
