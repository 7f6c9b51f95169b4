//! The page on searches for architectures, `docs/architecture_search.md`.

use crate::error::Result;
use crate::readme;
use crate::record::{ArchitectureSearchRecord, INFORMATIVE, SearchedArchitecture};
use crate::tables::{architecture_lines, compression_sides, grid_markdown, interval, markdown_text, points};

/// The target of the report's rows below.
const REPORT_TARGET: f64 = 0.5;
/// What the report prints of inputs: data set, score of the unpruned student, reached ratio, score there.
const REPORT: [(&str, f64, f64, f64); 3] =
    [("cola", 0.426, 0.654, 0.267), ("rte", 0.667, 0.663, 0.646), ("sst2", 0.917, 0.662, 0.905)];

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
    let machine = &record.machine;
    let found: String =
        record.searches.iter().map(|search| format!(" - {}\n", markdown_text(&found(record, search)))).collect();
    format!(
        "{}: {} training, {} validation and {} test rows. Score: {metric}, of the most frequent class {:.4}. Teacher: {teacher}. Unpruned \
         student: {student}.{note} From `{}`. {}, {} {}, {}.\n\n{}\n{found}",
        markdown_text(&record.data.name),
        record.data.train_rows,
        record.data.validation_rows,
        record.data.test_rows,
        record.majority_score,
        record.command.join(" "),
        markdown_text(&machine.cpu),
        machine.cores,
        if machine.cores == 1 { "thread" } else { "threads" },
        machine.device,
        grid_markdown(&lines, &compression_sides(lines[0].len(), 2))
    )
}

/// What a search is worth, in a sentence or two.
fn found(record: &ArchitectureSearchRecord, search: &SearchedArchitecture) -> String {
    let (space, target) = (&search.space, &search.target_ratio);
    let mut text = format!("{space} at {target}: {:.3} of the unpruned student's FLOPs", search.flops_ratio);
    let margin = record.margin_kept(search.score).filter(|_| record.is_informative());
    text += &margin.map_or(String::new(), |margin| format!(", {margin:.3} of its margin"));
    if let (Some(report), "inputs", true) = (reported(record), &**space, *target == REPORT_TARGET) {
        text += &report;
    }
    let own = |other: &&SearchedArchitecture| (&other.space, &other.target_ratio) == (space, target);
    let beside: Vec<&SearchedArchitecture> = record.beside.iter().filter(own).collect();
    let against: Vec<String> = beside
        .iter()
        .map(|other| {
            let name = match &*other.method {
                "random" => "random ones".into(),
                "random by layer" => "random ones with as many units a layer".into(),
                method => format!("that by {method}"),
            };
            let difference = other.difference.map_or_else(|| points(search.score - other.score), interval);
            format!("{name} {difference}")
        })
        .collect();
    if !against.is_empty() {
        text += &format!("; points above others of the same target: {}", against.join(", "));
    }
    text + "."
}

/// What the report keeps of the margin of its own student.
fn reported(record: &ArchitectureSearchRecord) -> Option<String> {
    let (_, unpruned, ratio, score) = REPORT.into_iter().find(|(name, ..)| *name == record.data.name)?;
    let kept = (score - record.majority_score) / (unpruned - record.majority_score);
    Some(format!(" (the report {kept:.2} at {ratio} of the inputs)"))
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
        let row = "| inputs | search | 0.500 | 0.504 | 0.8000 | -5.00 | 0.857 | 120 | 0.8150 | 0.800 | 1.25 |";
        assert!(text.contains(row) && text.contains("From `nas --data rte`"), "{text}");
        assert!(text.contains("0.857 of its margin (the report 0.87 at 0.663 of the inputs); points above others of the same target: random ones +3.00 \\[-0.10, +6.10\\]."), "{text}");
    }
}
