//! The page on searches for architectures, `docs/architecture_search.md`.

use crate::error::Result;
use crate::readme;
use crate::record::{ArchitectureSearchRecord, SearchedArchitecture};
use crate::tables::{architecture_lines, compression_sides, grid_markdown, interval, markdown_text, points};

/// What the report prints of inputs: data set, score of the unpruned student, target, reached ratio, score there.
const REPORT: [(&str, f64, f64, f64, f64); 6] = [
    ("cola", 0.426, 0.5, 0.654, 0.267),
    ("cola", 0.426, 0.75, 0.828, 0.289),
    ("rte", 0.667, 0.5, 0.663, 0.646),
    ("rte", 0.667, 0.75, 0.825, 0.646),
    ("sst2", 0.917, 0.5, 0.662, 0.905),
    ("sst2", 0.917, 0.75, 0.852, 0.906),
];
const SUMMARY: [&str; 8] =
    ["texts", "space", "target", "FLOPs", "speed", "change, points", "margin", "margin in the report"];
/// Flags with which a search is another one than the default's.
const OTHER_SEARCHES: [&str; 6] =
    ["--settings", "--relaxation", "--cost", "--alternating", "--second-order", "--carry"];

/// The line before the generated part.
pub const ARCHITECTURE_START: &str = "<!-- architecture search -->";
/// The line after it.
pub const ARCHITECTURE_END: &str = "<!-- /architecture search -->";

/// The page with its part between the two marker lines replaced: a table of what the default's searches are worth, and one for each record.
///
/// # Errors
/// [`Error::Markers`](crate::Error::Markers) unless each of the two lines is there once, in this order.
pub fn with_architecture_searches(page: &str, records: &[ArchitectureSearchRecord]) -> Result<String> {
    let mut sorted: Vec<&ArchitectureSearchRecord> = records.iter().collect();
    sorted.sort_by_key(|record| !other_flags(record).is_empty());
    let blocks = std::iter::once(summary(&sorted)).chain(sorted.iter().map(|record| block(record)));
    readme::replaced(page, (ARCHITECTURE_START, ARCHITECTURE_END), &blocks.collect::<Vec<_>>().join("\n"))
}

/// The flags by which a record's search differs from the default, with their values.
fn other_flags(record: &ArchitectureSearchRecord) -> Vec<String> {
    let mut found = Vec::new();
    for (at, word) in record.command.iter().enumerate().filter(|(_, word)| OTHER_SEARCHES.contains(&&***word)) {
        let value = record.command.get(at + 1).filter(|value| !value.starts_with("--"));
        found.push(value.map_or(word.clone(), |value| format!("{word} {value}")));
    }
    found
}

/// Each search by the default, once: where several records have it, that with an interval.
fn summary(records: &[&ArchitectureSearchRecord]) -> String {
    let of_default = records.iter().filter(|record| other_flags(record).is_empty());
    let mut rows: Vec<(&ArchitectureSearchRecord, &SearchedArchitecture)> = Vec::new();
    for (record, search) in of_default.flat_map(|record| record.searches.iter().map(move |search| (*record, search))) {
        let same = rows.iter().position(|(other, row)| {
            (&other.data.name, &row.space, row.target_ratio) == (&record.data.name, &search.space, search.target_ratio)
        });
        match same {
            Some(at) if rows[at].1.change.is_none() => rows[at] = (record, search),
            Some(_) => {}
            None => rows.push((record, search)),
        }
    }
    let key = |(record, search): &(&ArchitectureSearchRecord, &SearchedArchitecture)| {
        (record.data.name.clone(), search.space != "inputs", search.space.clone())
    };
    rows.sort_by(|a, b| key(a).cmp(&key(b)).then(a.1.target_ratio.total_cmp(&b.1.target_ratio)));
    let mut lines = vec![SUMMARY.map(String::from).to_vec()];
    for (record, search) in rows {
        let margin = match record.uninformative() {
            None => record.margin_kept(search.score).map_or_else(|| "–".into(), |margin| format!("{margin:.3}")),
            Some(_) => "not informative".into(),
        };
        lines.push(vec![
            record.data.name.clone(),
            search.space.clone(),
            search.target_ratio.to_string(),
            format!("{:.3}", search.flops_ratio),
            format!("{:.2}", 1.0 / search.wall_ratio.max(f64::MIN_POSITIVE)),
            search.change.map_or_else(|| points(search.score - record.unpruned.score), interval),
            margin,
            reported(record, search).map_or_else(|| "–".into(), |(kept, ratio)| format!("{kept:.2} at {ratio}")),
        ]);
    }
    grid_markdown(&lines, &compression_sides(SUMMARY.len(), 2))
}

fn block(record: &ArchitectureSearchRecord) -> String {
    let lines = architecture_lines(record);
    let [teacher, student] = [&record.teacher, &record.unpruned].map(|model| {
        let size = model.size;
        format!("{} layers of {} columns and {} neurons, {:.4}", size.layers, size.hidden, size.ffn, model.score)
    });
    let metric = &record.metric;
    let note = record.uninformative().map_or(String::new(), |why| format!(" Not informative: {why}."));
    let machine = &record.machine;
    format!(
        "### {}\n\n{} training, {} validation and {} test rows. Score: {metric}, of the best constant answer {:.4}. Teacher: {teacher}. Unpruned \
         student: {student}.{note} From `{}`. {}, {} {}, {}; a search took {} s, a \
         distillation after it {} s.\n\n{}",
        title(record),
        record.data.train_rows,
        record.data.validation_rows,
        record.data.test_rows,
        record.majority_score,
        record.command.join(" "),
        markdown_text(&machine.cpu),
        machine.cores,
        if machine.cores == 1 { "thread" } else { "threads" },
        machine.device,
        seconds(record, |search| search.search_seconds),
        seconds(record, |search| search.train_seconds),
        grid_markdown(&lines, &compression_sides(lines[0].len(), 2))
    )
}

/// `sst2: inputs at 0.5 and 0.75`, with the flags that make it another search than the default's.
fn title(record: &ArchitectureSearchRecord) -> String {
    let (mut spaces, mut targets): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    for search in &record.searches {
        let target = search.target_ratio.to_string();
        if !spaces.contains(&&*search.space) {
            spaces.push(&search.space);
        }
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    let name = markdown_text(&record.data.name);
    let mut title = format!("{name}: {} at {}", spaces.join(" and "), targets.join(" and "));
    for flag in other_flags(record) {
        title += &format!(", `{flag}`");
    }
    title
}

/// `155`, or `155 to 234` of several searches.
fn seconds(record: &ArchitectureSearchRecord, of: fn(&SearchedArchitecture) -> f64) -> String {
    let all = || record.searches.iter().map(|search| of(search).round());
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    if least < most { format!("{least} to {most}") } else { most.to_string() }
}

/// What the report keeps of the margin of its own student when it searches inputs for the same target, and the ratio that it reached.
fn reported(record: &ArchitectureSearchRecord, search: &SearchedArchitecture) -> Option<(f64, f64)> {
    let (_, unpruned, _, ratio, score) = REPORT.into_iter().find(|(texts, _, target, ..)| {
        (*texts, "inputs", *target) == (&record.data.name, &search.space, search.target_ratio)
    })?;
    Some(((score - record.majority_score) / (unpruned - record.majority_score), ratio))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::searched;

    #[test]
    fn each_record_has_a_table() {
        let page = format!("before\n{ARCHITECTURE_START}\nNot measured yet.\n{ARCHITECTURE_END}\nafter\n");
        let mut other = searched();
        other.command.extend(["--relaxation", "gumbel", "--carry"].map(String::from));
        let mut without = searched();
        without.searches[0].change = None;
        let text = with_architecture_searches(&page, &[other, without, searched()]).unwrap();
        // The default's search stands in the summary once, with its interval; what differs from it is below and comes last.
        let short = "| rte | inputs | 0.5 | 0.800 | 1.25 | -5.00 \\[-8.00, -2.00\\] | 0.857 | 0.87 at 0.663 |\n\n### rte: inputs at 0.5\n";
        assert_eq!(text.matches("| rte | inputs | 0.5 |").count(), 1, "{text}");
        assert!(text.contains(short), "{text}");
        let last = text.rfind("### ").map(|at| &text[at..]).unwrap();
        assert!(last.starts_with("### rte: inputs at 0.5, `--relaxation gumbel`, `--carry`\n"), "{text}");
        assert!(text.starts_with("before\n") && text.ends_with("after\n") && !text.contains("Not measured"));
        let row = "| inputs | search | 0.500 | 0.504 | 0.8000 | -5.00 \\[-8.00, -2.00\\] | – | 0.857 | 120 | 0.8150 | 0.800 | 1.25 |";
        assert!(text.contains(row) && text.contains("From `nas --data rte`"), "{text}");
        assert!(text.contains("; a search took 20 s, a distillation after it 15 s."), "{text}");
        assert!(text.contains("| inputs | random |") && text.contains("| +3.00 \\[-0.10, +6.10\\] |"), "{text}");
    }
}
