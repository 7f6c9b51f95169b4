//! Formatting of table cells as text and as Markdown.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Formats lines of cells as text with padded columns. Every line has a cell for each element of `sides`.
pub(crate) fn text(lines: &[Vec<String>], sides: &[Side]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..sides.len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let padded = line.iter().zip(&widths).zip(sides).map(|((cell, &width), side)| match side {
            Side::Left => format!("{cell:<width$}"),
            Side::Right => format!("{cell:>width$}"),
        });
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Formats lines of cells as a Markdown table whose first line has the headings.
pub(crate) fn markdown(lines: &[Vec<String>], sides: &[Side]) -> String {
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line.iter().map(|cell| markdown_text(cell)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
        if index == 0 {
            let rules = sides.iter().map(|side| if *side == Side::Left { "---|" } else { "---:|" });
            text.push_str(&format!("|{}\n", rules.collect::<String>()));
        }
    }
    text
}

/// Escapes a text for Markdown, as one line that is also valid in a table cell.
pub(crate) fn markdown_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_to_their_sides() {
        let lines = [["a", "1", "x"], ["long", "20", "yy"]].map(|line| line.map(String::from).to_vec());
        assert_eq!(text(&lines, &[Side::Left, Side::Right, Side::Left]), "a      1  x\nlong  20  yy\n");
        let table = markdown(&lines, &[Side::Left, Side::Right, Side::Left]);
        assert_eq!(table, "| a | 1 | x |\n|---|---:|---|\n| long | 20 | yy |\n");
    }

    #[test]
    fn markdown_from_outside_is_shown_as_text() {
        assert_eq!(markdown_text("a|b\n<i> *c* [d](e)"), "a\\|b &lt;i&gt; \\*c\\* \\[d\\](e)");
    }
}
