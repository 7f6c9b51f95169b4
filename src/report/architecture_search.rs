//! The page on searches for architectures, `docs/architecture_search.md`.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::error::Result;
use crate::readme;
use crate::record::{ArchitectureSearchRecord, INFORMATIVE, SearchedArchitecture};
use crate::tables::{architecture_lines, compression_sides, grid_markdown, markdown_text};

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
         student: {student}.{note} From `{}`. {}, {} threads, {}.\n\n{}\n{found}",
        markdown_text(&record.data.name),
        record.data.train_rows,
        record.data.validation_rows,
        record.data.test_rows,
        record.majority_score,
        record.command.join(" "),
        markdown_text(&machine.cpu),
        machine.cores,
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
    let random = beside.iter().find(|other| other.method == "random");
    let best = beside.iter().filter(|other| other.method != "random").max_by(|a, b| a.score.total_cmp(&b.score));
    let against: Vec<String> = random
        .into_iter()
        .chain(best)
        .map(|other| {
            let name =
                if other.method == "random" { "random ones".into() } else { format!("that by {}", other.method) };
            format!("{name} {}", difference(search, other))
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

/// The difference of mean scores in points, with its 95 % interval by Welch's t-test where both have several runs.
fn difference(search: &SearchedArchitecture, other: &SearchedArchitecture) -> String {
    let mean = 100.0 * (search.score - other.score);
    let [own, others] = [search, other].map(|side| (side.score_sd.powi(2) / side.seeds.len() as f64, side.seeds.len()));
    let variance = own.0 + others.0;
    let parts: f64 = [own, others].iter().map(|(part, runs)| part.powi(2) / (*runs as f64 - 1.0)).sum();
    let quantile = StudentsT::new(0.0, 1.0, variance.powi(2) / parts).map(|t| t.inverse_cdf(0.975));
    match quantile {
        Ok(quantile) if variance > 0.0 => {
            let half = 100.0 * quantile * variance.sqrt();
            format!("{mean:+.2} [{:+.2}, {:+.2}]", mean - half, mean + half)
        }
        _ => format!("{mean:+.2}"),
    }
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
        // One run has no variance.
        assert!(text.contains("0.857 of its margin (the report 0.87 at 0.663 of the inputs); points above others of the same target: random ones +3.00."), "{text}");
    }

    #[test]
    fn a_difference_has_the_interval_of_welchs_test() {
        let of = |score: f64, score_sd: f64, runs: u64| SearchedArchitecture {
            score,
            score_sd,
            seeds: (0..runs).collect(),
            ..searched().searches.remove(0)
        };
        // By hand: .03 ± t·√(.01²/3 + .02²/4), with t = 2.645 at 4.571 degrees of freedom.
        assert_eq!(difference(&of(0.83, 0.01, 3), &of(0.80, 0.02, 4)), "+3.00 [-0.05, +6.05]");
        assert_eq!(difference(&of(0.83, 0.0, 3), &of(0.80, 0.0, 5)), "+3.00");
    }
}
