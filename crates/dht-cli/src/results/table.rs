//! Tables in plain text and Markdown.

/// Table with column titles. The first column is left-aligned; the others are right-aligned.
#[derive(Debug, Clone)]
pub struct Table {
    titles: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new<'a>(titles: impl IntoIterator<Item = &'a str>) -> Self {
        Self { titles: titles.into_iter().map(str::to_owned).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: impl Into<Vec<String>>) {
        self.rows.push(row.into());
    }

    /// Splits the table into its column titles and rows.
    pub fn into_parts(self) -> (Vec<String>, Vec<Vec<String>>) {
        (self.titles, self.rows)
    }

    /// Formats the table as plain text, with aligned columns.
    pub fn text(&self) -> String {
        let all = || std::iter::once(&self.titles).chain(&self.rows);
        let width = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..self.titles.len()).map(|column| width(column).unwrap_or(0)).collect();
        let line = |row: &Vec<String>| {
            let cell = |(column, cell): (usize, &String)| match column {
                0 => format!("{cell:<width$}", width = widths[0]),
                _ => format!("  {cell:>width$}", width = widths[column]),
            };
            row.iter().enumerate().map(cell).collect::<String>().trim_end().to_owned() + "\n"
        };
        all().map(line).collect()
    }

    /// Formats the table in Markdown.
    pub fn markdown(&self) -> String {
        let line = |row: &Vec<String>| format!("| {} |\n", row.join(" | "));
        let rule: Vec<&str> = (0..self.titles.len()).map(|column| if column == 0 { "---" } else { "---:" }).collect();
        let rows: String = self.rows.iter().map(line).collect();
        format!("{}|{}|\n{rows}", line(&self.titles), rule.join("|"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["model", "F1"]);
        table.push(["full".into(), "0.99".into()]);
        table.push(["é".into(), "1".into()]);
        assert_eq!(table.text(), "model    F1\nfull   0.99\né         1\n");
        assert_eq!(table.markdown(), "| model | F1 |\n|---|---:|\n| full | 0.99 |\n| é | 1 |\n");
    }
}
