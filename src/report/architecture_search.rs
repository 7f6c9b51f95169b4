//! The page on searches for architectures, `docs/architecture_search.md`.

use crate::error::Result;
use crate::readme;
use crate::record::{ArchitectureSearchRecord, INFORMATIVE};
use crate::tables::{architecture_lines, compression_sides, grid_markdown, markdown_text};

/// The line before the generated part.
pub const ARCHITECTURE_START: &str = "<!-- architecture search -->";
/// The line after it.
pub const ARCHITECTURE_END: &str = "<!-- /architecture search -->";

/// The page with its part between the two marker lines replaced: a table for each record.
///
/// # Errors
/// [`Error::Markers`](crate::Error::Markers) unless each of the two lines is there once, in this order.
pub fn with_architecture_searches(page: &str, records: &[ArchitectureSearchRecord]) -> Result<String> {
    let blocks: Vec<String> = records.iter().map(block).collect();
    readme::replaced(page, (ARCHITECTURE_START, ARCHITECTURE_END), &blocks.join("\n"))
}

fn block(record: &ArchitectureSearchRecord) -> String {
    let lines = architecture_lines(record);
    let [teacher, student] = [&record.teacher, &record.unpruned].map(|model| {
        let size = model.size;
        format!("{} layers of {} columns and {} neurons, {:.4}", size.layers, size.hidden, size.ffn, model.score)
    });
    let metric = &record.metric;
    let note = match record.is_informative() {
        true => String::new(),
        false => format!(
            " Not informative: the unpruned student keeps less than {INFORMATIVE} of the teacher's margin over the most frequent class."
        ),
    };
    format!(
        "{}: {} training, {} validation and {} test rows. Score: {metric}, of the most frequent class {:.4}. Teacher: {teacher}. Unpruned \
         student: {student}.{note} From `{}`.\n\n{}",
        markdown_text(&record.data.name),
        record.data.train_rows,
        record.data.validation_rows,
        record.data.test_rows,
        record.majority_score,
        record.command.join(" "),
        grid_markdown(&lines, &compression_sides(lines[0].len(), 2))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::searched;

    #[test]
    fn each_record_has_a_table() {
        let page = format!("before\n{ARCHITECTURE_START}\nNot measured yet.\n{ARCHITECTURE_END}\nafter\n");
        let text = with_architecture_searches(&page, &[searched()]).unwrap();
        assert!(text.starts_with("before\n") && text.ends_with("after\n") && !text.contains("Not measured"));
        let row = "| inputs | search | 0.500 | 0.504 | 0.8000 | -5.00 | 0.857 | 120 | 0.800 | 1.25 |";
        assert!(text.contains(row) && text.contains("From `nas --data rte`"), "{text}");
    }
}
