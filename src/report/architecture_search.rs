//! Report on architecture searches: the generated part of `docs/architecture_search.md`.

use crate::error::Result;
use crate::marked;
use crate::record::{ArchitectureSearchRecord, SearchedArchitecture};
use crate::tables::{architecture_lines, compression_sides, grid_markdown, interval, markdown_text, points};

/// Result of a search over input dimensions, as printed in the report on differentiable search for BERT.
struct Reported {
    texts: &'static str,
    /// Score of the unpruned student.
    unpruned: f64,
    /// Target share of the input dimensions; `None` for searches without a cost term.
    target: Option<f64>,
    reached: f64,
    score: f64,
}

/// Results of the two tables of the report on differentiable search for BERT.
static REPORT: [Reported; 12] = [
    reported("cola", 0.426, None, 0.406, 0.236),
    reported("cola", 0.426, Some(0.5), 0.654, 0.267),
    reported("cola", 0.426, Some(0.75), 0.828, 0.289),
    reported("cola", 0.426, Some(1.0), 0.974, 0.355),
    reported("rte", 0.667, None, 0.456, 0.621),
    reported("rte", 0.667, Some(0.5), 0.663, 0.646),
    reported("rte", 0.667, Some(0.75), 0.825, 0.646),
    reported("rte", 0.667, Some(1.0), 0.975, 0.653),
    reported("sst2", 0.917, None, 0.455, 0.894),
    reported("sst2", 0.917, Some(0.5), 0.662, 0.905),
    reported("sst2", 0.917, Some(0.75), 0.852, 0.906),
    reported("sst2", 0.917, Some(1.0), 0.974, 0.909),
];
/// Numbers of passes in a search stage and in a distillation stage, from the report on differentiable search for BERT.
const REPORTED_PASSES: &str = "10, 10";

const fn reported(texts: &'static str, unpruned: f64, target: Option<f64>, reached: f64, score: f64) -> Reported {
    Reported { texts, unpruned, target, reached, score }
}

const BESIDE: [&str; 9] =
    ["texts", "target", "search", "passes", "reached", "unpruned", "score", "change, points", "margin"];
const SUMMARY: [&str; 8] =
    ["texts", "space", "target", "FLOPs", "speed", "change, points", "margin", "margin in the report"];
/// Flags that change a search from its default settings.
const OTHER_SEARCHES: [&str; 14] = [
    "--settings",
    "--relaxation",
    "--lambda",
    "--tolerance",
    "--count",
    "--gate-rate",
    "--gate-loss",
    "--normal",
    "--head-weights",
    "--evaluate-every",
    "--cost",
    "--alternating",
    "--second-order",
    "--carry",
];

/// Flags of the search in the report on differentiable search for BERT. A search with other flags is not as published.
const AS_PUBLISHED: [&str; 2] = ["--settings report", "--lambda 0"];

/// Marker line before the generated part of the page.
pub const ARCHITECTURE_START: &str = "<!-- architecture search -->";
/// Marker line after the generated part of the page.
pub const ARCHITECTURE_END: &str = "<!-- /architecture search -->";

/// Replaces the part of the page between the two marker lines. The new part has a summary table of the searches with
/// default settings, and a table for each record.
///
/// # Errors
/// [`Error::Markers`](crate::Error::Markers) unless each of the two lines occurs once, in this order.
pub fn with_architecture_searches(page: &str, records: &[ArchitectureSearchRecord]) -> Result<String> {
    let mut sorted: Vec<&ArchitectureSearchRecord> = records.iter().collect();
    sorted.sort_by_key(|record| !other_flags(record).is_empty());
    let blocks = [beside_the_report(&sorted), summary(&sorted)];
    let blocks = blocks.into_iter().chain(sorted.iter().map(|record| block(record)));
    marked::replaced(page, (ARCHITECTURE_START, ARCHITECTURE_END), &blocks.collect::<Vec<_>>().join("\n"))
}

/// Flags of a record that change the search from its default settings, with their values.
fn other_flags(record: &ArchitectureSearchRecord) -> Vec<String> {
    let mut flags = Vec::new();
    for (at, word) in record.command.iter().enumerate().filter(|(_, word)| OTHER_SEARCHES.contains(&&***word)) {
        let value = record.command.get(at + 1).filter(|value| !value.starts_with("--"));
        flags.push(value.map_or(word.clone(), |value| format!("{word} {value}")));
    }
    flags
}

/// Summary table of the searches with default settings. If several records contain the same search, one with a
/// confidence interval is preferred.
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
            reported_margin(record, search)
                .map_or_else(|| "–".into(), |(margin, ratio)| format!("{margin:.2} at {ratio}")),
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

/// Title of a record, such as `sst2: inputs at 0.5 and 0.75`, with the flags that differ from the default.
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

/// Formats durations in seconds: `155`, or `155 to 234` for several searches.
fn seconds(record: &ArchitectureSearchRecord, of: fn(&SearchedArchitecture) -> f64) -> String {
    let all = || record.searches.iter().map(|search| of(search).round());
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    if least < most { format!("{least} to {most}") } else { most.to_string() }
}

/// Result of the report on differentiable search for BERT for the same texts and target; `None` if that report has no
/// such search.
fn of_report(record: &ArchitectureSearchRecord, search: &SearchedArchitecture) -> Option<&'static Reported> {
    let free = flag(record, "--lambda").is_some_and(|lambda| lambda.parse() == Ok(0.0));
    let target = (!free).then_some(search.target_ratio);
    let same = |it: &&Reported| (it.texts, it.target) == (&record.data.name, target) && search.space == "inputs";
    REPORT.iter().find(same)
}

/// Margin over the best constant answer that a search in the report on differentiable search for BERT preserves, as a
/// share of the unpruned student's margin.
fn margin_of_report(record: &ArchitectureSearchRecord, it: &Reported) -> f64 {
    (it.score - record.majority_score) / (it.unpruned - record.majority_score)
}

/// Result of the report on differentiable search for BERT for the same target as a search over inputs: the share of the
/// unpruned student's margin that was preserved, and the share of inputs that remained.
fn reported_margin(record: &ArchitectureSearchRecord, search: &SearchedArchitecture) -> Option<(f64, f64)> {
    of_report(record, search).map(|it| (margin_of_report(record, it), it.reached))
}

fn flag<'a>(record: &'a ArchitectureSearchRecord, name: &str) -> Option<&'a str> {
    let at = record.command.iter().position(|word| word == name)?;
    record.command.get(at + 1).map(String::as_str)
}

/// Table that compares searches over inputs with the report on differentiable search for BERT, for the same texts and
/// target. Searches with that report's settings come first, then those with this project's. For each search with an
/// interval, a sentence states whether it supports the report's conclusion.
fn beside_the_report(records: &[&ArchitectureSearchRecord]) -> String {
    let mut lines = vec![BESIDE.map(String::from).to_vec()];
    let mut verdicts = Vec::new();
    for it in &REPORT {
        let target = it.target.map_or_else(|| "no cost loss".into(), |target| target.to_string());
        let mut searches = Vec::new();
        for record in records {
            let flags: Vec<String> =
                other_flags(record).into_iter().filter(|flag| !flag.starts_with("--evaluate-every")).collect();
            let published = flags.iter().any(|flag| flag == AS_PUBLISHED[0])
                && flags.iter().all(|flag| AS_PUBLISHED.contains(&&**flag));
            if !published && !flags.is_empty() {
                continue;
            }
            let same =
                |search: &&SearchedArchitecture| of_report(record, search).is_some_and(|of| std::ptr::eq(of, it));
            searches.extend(record.searches.iter().filter(same).map(|search| (published, *record, search)));
        }
        // A search that several records have is listed once, with its interval if one of them has one.
        searches.sort_by_key(|(published, _, search)| (!published, search.change.is_none()));
        let mut once: Vec<(bool, &ArchitectureSearchRecord, &SearchedArchitecture)> = Vec::new();
        for (published, record, search) in searches {
            let same = |(other, of, row): &(bool, &ArchitectureSearchRecord, &SearchedArchitecture)| {
                *other == published && passes(of) == passes(record) && row.score == search.score
            };
            if !once.iter().any(same) {
                once.push((published, record, search));
            }
        }
        let same_texts = records.iter().find(|record| record.data.name == it.texts);
        let margin = same_texts.map_or_else(|| "–".into(), |record| format!("{:.2}", margin_of_report(record, it)));
        lines.push(vec![
            it.texts.into(),
            target.clone(),
            "the report".into(),
            REPORTED_PASSES.into(),
            format!("{:.3}", it.reached),
            format!("{:.3}", it.unpruned),
            format!("{:.3}", it.score),
            points(it.score - it.unpruned),
            margin,
        ]);
        for (published, record, search) in once {
            let name = if published { "its settings" } else { "ours" };
            let passes = passes(record);
            let margin = record.uninformative().is_none().then(|| record.margin_kept(search.score)).flatten();
            let change = search.change.map_or_else(|| points(search.score - record.unpruned.score), interval);
            lines.push(vec![
                it.texts.into(),
                target.clone(),
                name.into(),
                format!("{}, {}", passes[0], passes[1]),
                format!("{:.3}", search.reached_ratio),
                format!("{:.3}", record.unpruned.score),
                format!("{:.3}", search.score),
                change,
                margin.map_or_else(|| "not informative".into(), |margin| format!("{margin:.2}")),
            ]);
            verdicts.extend(verdict(record, search, it, name));
        }
    }
    let table = grid_markdown(&lines, &compression_sides(BESIDE.len(), 3));
    if verdicts.is_empty() { table } else { format!("{table}\n{}\n", verdicts.join("\n")) }
}

/// Number of passes over the data in each search stage, and in each stage of the distillation after it.
fn passes(record: &ArchitectureSearchRecord) -> [u64; 2] {
    ["search_epochs", "distillation_epochs"]
        .map(|of| record.settings.get(of).and_then(serde_json::Value::as_u64).unwrap_or_default())
}

/// Sentence that states whether a search supports a conclusion of the report on differentiable search for BERT: that
/// input dimensions have no redundancy. The score is compared with the unpruned student's, and with the share of the
/// student's margin that the report loses.
fn verdict(
    record: &ArchitectureSearchRecord,
    search: &SearchedArchitecture,
    it: &Reported,
    name: &str,
) -> Option<String> {
    let change = search.change?;
    let margin = record.unpruned.score - record.majority_score;
    if record.uninformative().is_some() || margin <= 0.0 {
        return None;
    }
    let lost = margin_of_report(record, it) - 1.0;
    let against = if change.upper < 0.0 {
        "bears the conclusion out: its interval lies below 0"
    } else if change.lower / margin > lost {
        "does not bear it out: no loss shows, and one as large a share of the margin as the report's is outside the interval"
    } else {
        "is open: no loss shows, but the interval has room for one as large as the report's"
    };
    let (texts, reached) = (markdown_text(&record.data.name), 100.0 * search.reached_ratio);
    let change = markdown_text(&interval(change));
    Some(format!(" - {texts}, {name}, {reached:.1} % of the inputs: {change} points; {against}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::searched;
    use crate::record::Interval;

    #[test]
    fn each_record_has_a_table() {
        let page = format!("before\n{ARCHITECTURE_START}\nNot measured yet.\n{ARCHITECTURE_END}\nafter\n");
        let mut other = searched();
        other.command.extend(["--relaxation", "gumbel", "--carry"].map(String::from));
        let mut without = searched();
        without.searches[0].change = None;
        let text = with_architecture_searches(&page, &[other, without, searched()]).unwrap();
        // The search with default settings is in the summary once, with its interval. Searches with other settings come
        // after it.
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

    #[test]
    fn the_reports_numbers_stand_beside_ours() {
        let mut published = searched();
        published.command.extend(["--settings", "report", "--lambda", "0", "--evaluate-every", "50"].map(String::from));
        published.settings.insert("distillation_epochs".into(), 3.into());
        published.searches[0].target_ratio = 1.0;
        published.searches[0].change = None;
        let mut other = published.clone();
        other.command.extend(["--gate-loss", "task"].map(String::from));
        let mut without = searched();
        without.searches[0].change = None;
        let text = beside_the_report(&[&without, &searched(), &published, &other]);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| rte |")).collect();
        // The table has the report's four rows, and one of this project's below each of the first two. A search with
        // other flags is not listed.
        assert_eq!(rows.len(), 6, "{text}");
        assert_eq!(rows[0], "| rte | no cost loss | the report | 10, 10 | 0.456 | 0.667 | 0.621 | -4.60 | 0.72 |");
        assert_eq!(rows[1], "| rte | no cost loss | its settings | 3, 3 | 0.504 | 0.850 | 0.800 | -5.00 | 0.86 |");
        assert_eq!(rows[2], "| rte | 0.5 | the report | 10, 10 | 0.663 | 0.667 | 0.646 | -2.10 | 0.87 |");
        let ours = "| rte | 0.5 | ours | 3, 0 | 0.504 | 0.850 | 0.800 | -5.00 \\[-8.00, -2.00\\] | 0.86 |";
        assert_eq!(rows[3], ours);
        // Records without an interval have no sentence.
        let verdicts: Vec<&str> = text.lines().filter(|line| line.starts_with(" - ")).collect();
        assert_eq!(verdicts.len(), 1, "{text}");
        assert!(
            verdicts[0].starts_with(" - rte, ours, 50.4 % of the inputs: -5.00 \\[-8.00, -2.00\\] points; bears"),
            "{text}"
        );
        // The report loses .126 of its margin, which is 4.4 points of this record's margin.
        for (lower, expected) in [(-0.043, "does not bear it out"), (-0.045, "is open")] {
            let mut record = searched();
            record.searches[0].change = Some(Interval { mean: 0.0, lower, upper: 0.05 });
            assert!(beside_the_report(&[&record]).contains(expected), "{lower}");
        }
    }
}
