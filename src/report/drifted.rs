//! The part of the page on the recipe about texts that drift.

use crate::error::Result;
use crate::readme;
use crate::record::{DriftRecord, Interval};
use crate::tables::{Side, grid_markdown, markdown_text};

/// The line before the generated part.
pub const DRIFT_START: &str = "<!-- drift -->";
/// The line after it.
pub const DRIFT_END: &str = "<!-- /drift -->";

/// The page with its part between the two marker lines replaced by the results of a stream that drifts.
///
/// # Errors
/// [`Error::Markers`](crate::Error::Markers) unless each of the two lines is there once, in this order.
pub fn with_drift(page: &str, record: &DriftRecord) -> Result<String> {
    readme::replaced(page, (DRIFT_START, DRIFT_END), &block(record))
}

fn block(record: &DriftRecord) -> String {
    let [before, after] = record.data.each_ref().map(|name| markdown_text(name));
    let headings = [
        "way".into(),
        before.clone(),
        "FLOPs".into(),
        "learner less this, points".into(),
        after.clone(),
        "FLOPs".into(),
        "learner less this, points".into(),
    ];
    let difference = |name: &str, stretch: usize| {
        let found = record.comparisons.iter().find(|comparison| comparison.other == name);
        found.map_or("–".into(), |comparison| points(&comparison.difference[stretch]))
    };
    let lines = record.ways.iter().map(|way| {
        let mut line = vec![way.name.clone()];
        for (stretch, [accuracy, flops]) in way.stretches.iter().enumerate() {
            line.extend([format!("{accuracy:.4}"), format!("{flops:.3}"), difference(&way.name, stretch)]);
        }
        line
    });
    let lines: Vec<Vec<String>> = std::iter::once(headings.to_vec()).chain(lines).collect();
    let mut sides = [Side::Right; 7];
    sides[0] = Side::Left;
    format!(
        "{} texts of {before}, then {} of {after}; labels come {} texts late; seeds of the models {}, wanted cost {}. The first {} and {} texts of \
         a stretch are not scored. Intervals: 95 %, paired over texts and seeds.\n\n{}\n",
        record.texts[0],
        record.texts[1],
        record.late,
        record.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
        record.cost,
        record.left_out[0],
        record.left_out[1],
        grid_markdown(&lines, &sides)
    )
}

fn points(interval: &Interval) -> String {
    let Interval { mean, lower, upper } = interval;
    format!("{:+.2} [{:+.2}, {:+.2}]", 100.0 * mean, 100.0 * lower, 100.0 * upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{DriftComparison, DriftWay};

    #[test]
    fn each_way_has_a_row_with_the_learners_lead() {
        let way = |name: &str, accuracy| DriftWay {
            name: name.into(),
            stretches: [[0.9, 0.25], [accuracy, 0.26]],
            accuracy: vec![0.9, accuracy],
            flops_ratio: vec![0.25, 0.26],
        };
        let interval = |mean: f64| Interval { mean, lower: mean - 0.001, upper: mean + 0.001 };
        let record = DriftRecord {
            schema: DriftRecord::SCHEMA,
            data: ["sst2".into(), "imdb".into()],
            texts: [6_000, 12_000],
            late: 500,
            left_out: [2_000, 3_500],
            cost: 0.25,
            seeds: vec![0, 1, 2],
            block: 9_000,
            ways: vec![way("threshold", 0.82), way("learner", 0.83)],
            comparisons: vec![DriftComparison {
                other: "threshold".into(),
                difference: [interval(0.0), interval(0.01)],
            }],
        };
        let page = format!("before\n{DRIFT_START}\nold\n{DRIFT_END}\nafter\n");
        let text = with_drift(&page, &record).unwrap();
        assert!(text.starts_with("before\n") && text.ends_with("after\n") && !text.contains("\nold\n"));
        assert!(
            text.contains(
                r"| threshold | 0.9000 | 0.250 | +0.00 \[-0.10, +0.10\] | 0.8200 | 0.260 | +1.00 \[+0.90, +1.10\] |"
            ),
            "{text}"
        );
        assert!(text.contains("| learner | 0.9000 | 0.250 | – | 0.8300 | 0.260 | – |"), "{text}");
        let svg = crate::figures::drift_figure(&record).unwrap();
        assert!(svg.contains("from sst2 into imdb") && svg.contains("learner"));
        let folder = tempfile::tempdir().unwrap();
        record.save(folder.path().join("drift.json")).unwrap();
        assert_eq!(DriftRecord::load(folder.path().join("drift.json")).unwrap(), record);
    }
}
