//! Tables of distilled students, and of students whose architecture was searched.

use super::at_costs::{interval, points};
use super::grid::{Side, text};
use crate::record::{ArchitectureSearchRecord, DistillationRecord, JudgedModel, SearchedArchitecture};

const MODEL: [&str; 9] = ["", "score", "macro F1", "layers", "heads", "width", "neurons", "parameters", "FLOPs"];
const ARCHITECTURE: [&str; 12] = [
    "space",
    "units by",
    "target",
    "reached",
    "score",
    "change",
    "search above",
    "margin",
    "best step",
    "validation",
    "FLOPs",
    "speed",
];

/// Tolerated difference between the target cost of a search and the cost ratio that it reached. The table notes a
/// larger difference.
const MISSED: f64 = 0.03;

/// Table of the scores and costs of a teacher and its students.
pub fn distillation_text(record: &DistillationRecord) -> String {
    let mut lines = vec![MODEL.map(String::from).to_vec()];
    lines[0].push("clock".into());
    for (name, model) in record.models() {
        let mut line = of_model(name, model, &record.teacher);
        line.push(format!("{:.3}", model.wall_ratio));
        lines.push(line);
    }
    let metric = &record.metric;
    format!(
        "Data: {}.\nScore: {metric}; the best constant answer {:.4}. FLOPs and clock: shares of the teacher's.\n\n{}",
        record.data.summary(),
        record.majority_score,
        text(&lines, &sides(lines[0].len(), 1))
    )
}

fn of_model(name: &str, model: &JudgedModel, whole: &JudgedModel) -> Vec<String> {
    let size = model.size;
    let mut line = vec![name.to_owned(), score(model.score, model.score_sd), format!("{:.4}", model.macro_f1)];
    line.extend([size.layers, size.heads, size.hidden, size.ffn, size.parameters].map(|number| number.to_string()));
    line.push(format!("{:.3}", model.flops as f64 / whole.flops.max(1) as f64));
    line
}

/// Formats a table with the cost ratios, score and costs of each searched architecture, laid out as in the report on
/// differentiable search for BERT.
pub fn architecture_search_text(record: &ArchitectureSearchRecord) -> String {
    let mut models = vec![MODEL.map(String::from).to_vec()];
    models.push(of_model("teacher", &record.teacher, &record.teacher));
    models.push(of_model("student, unpruned", &record.unpruned, &record.teacher));
    let lines = architecture_lines(record);
    let mut note = record.uninformative().map_or(String::new(), |why| format!("Not informative: {why}.\n"));
    for row in record.searches.iter().filter(|row| (row.reached_ratio - row.target_ratio).abs() > MISSED) {
        note +=
            &format!("{} at {} missed its target: it reached {:.3}.\n", row.space, row.target_ratio, row.reached_ratio);
    }
    if record.searches.iter().all(|row| row.seeds.len() < 2) {
        note += "One seed: what a change is worth is not known; more, with --seeds, give it an interval.\n";
    }
    format!(
        "Data: {}.\nTarget and reached: shares of {}. Score: {}; the best constant answer {:.4}.\nFLOPs of models: shares of the \
         teacher's; of architectures: of the unpruned student's, as are change (points), margin (kept share\nof what is above the \
         best constant answer) and speed (clock, how many times as fast). Search above: points above this row.\nIntervals: 95 %, over \
         trainings and test rows. Validation: macro F1 there, a mean.\n{note}\n{}\n{}",
        record.data.summary(),
        record.measure(),
        record.metric,
        record.majority_score,
        text(&models, &sides(models[0].len(), 1)),
        text(&lines, &sides(lines[0].len(), 2))
    )
}

/// Table lines: headings, then each searched architecture, followed by its baselines.
pub(crate) fn architecture_lines(record: &ArchitectureSearchRecord) -> Vec<Vec<String>> {
    let mut lines = vec![ARCHITECTURE.map(String::from).to_vec()];
    for search in &record.searches {
        lines.push(of_architecture(record, search, None));
        let beside = |other: &&SearchedArchitecture| {
            (&*other.space, other.target_ratio) == (&*search.space, search.target_ratio)
        };
        lines.extend(record.beside.iter().filter(beside).map(|other| of_architecture(record, other, Some(search))));
    }
    lines
}

/// Formats the table line of an architecture. For a baseline, `search` is the search with which it is compared.
fn of_architecture(
    record: &ArchitectureSearchRecord,
    row: &SearchedArchitecture,
    search: Option<&SearchedArchitecture>,
) -> Vec<String> {
    let margin = match (record.uninformative(), record.margin_kept(row.score)) {
        (None, Some(margin)) => format!("{margin:.3}"),
        _ => "not informative".into(),
    };
    let steps: Vec<String> = row.best_steps.iter().map(u64::to_string).collect();
    vec![
        row.space.clone(),
        row.method.clone(),
        format!("{:.3}", row.target_ratio),
        format!("{:.3}", row.reached_ratio),
        score(row.score, row.score_sd),
        row.change.map_or_else(|| points(row.score - record.unpruned.score), interval),
        search.map_or_else(
            || "–".into(),
            |search| row.difference.map_or_else(|| points(search.score - row.score), interval),
        ),
        margin,
        steps.join(" "),
        mean(&row.validation_scores).map_or_else(|| "–".into(), |mean| format!("{mean:.4}")),
        format!("{:.3}", row.flops_ratio),
        format!("{:.2}", 1.0 / row.wall_ratio.max(f64::MIN_POSITIVE)),
    ]
}

fn mean(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

fn score(mean: f64, sd: f64) -> String {
    if sd > 0.0 { format!("{mean:.4} ±{sd:.4}") } else { format!("{mean:.4}") }
}

/// Alignment of a table's columns: the first `texts` columns contain text, the others numbers.
pub(crate) fn sides(columns: usize, texts: usize) -> Vec<Side> {
    (0..columns).map(|column| if column < texts { Side::Left } else { Side::Right }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::searched;

    #[test]
    fn a_row_says_what_is_lost_against_the_unpruned_student() {
        let record = searched();
        let lines = architecture_lines(&record);
        assert_eq!(lines.len(), 3);
        // A score of .80, where the unpruned student has .85 and the best constant answer .5.
        let expected = [
            "inputs",
            "search",
            "0.500",
            "0.504",
            "0.8000",
            "-5.00 [-8.00, -2.00]",
            "–",
            "0.857",
            "120",
            "0.8150",
            "0.800",
            "1.25",
        ];
        assert_eq!(lines[1], expected);
        assert_eq!((&*lines[2][1], &*lines[2][4], &*lines[2][9]), ("random", "0.7700 ±0.0100", "–"));
        assert_eq!(lines[2][6], "+3.00 [-0.10, +6.10]");
        let text = architecture_search_text(&record);
        assert!(text.contains("the best constant answer 0.5000") && !text.contains("Not informative"), "{text}");
    }

    #[test]
    fn a_missed_target_and_a_single_seed_are_told() {
        let mut record = searched();
        record.searches[0].seeds = vec![0, 1, 2];
        let text = architecture_search_text(&record);
        assert!(
            text.contains("shares of the searched units") && !text.contains("missed") && !text.contains("One seed")
        );
        (record.searches[0].reached_ratio, record.searches[0].seeds) = (0.535, vec![0]);
        record.command.extend(["--cost", "flops"].map(String::from));
        let text = architecture_search_text(&record);
        for part in ["inputs at 0.5 missed its target: it reached 0.535", "One seed", "shares of the student's FLOPs"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_student_far_below_its_teacher_makes_a_table_uninformative() {
        let mut record = searched();
        // The unpruned student is .2 above the best constant answer, the teacher .4.
        record.unpruned.score = 0.7;
        assert!(record.uninformative().unwrap().contains("less than 0.8"));
        assert!(architecture_search_text(&record).contains("Not informative"));
        assert_eq!(architecture_lines(&record)[1][7], "not informative");
        // The metric is a Matthews correlation, whose best constant answer scores 0.
        (record.majority_score, record.unpruned.score, record.teacher.score) = (0.0, 0.4, 0.45);
        assert_eq!(record.margin_kept(0.1), Some(0.25));
        assert_eq!(record.uninformative(), None);
        // With 277 rows, .12 exceeds 1.96 standard deviations of an uninformed model, and .11 does not.
        (record.metric, record.unpruned.score) = ("Matthews correlation".into(), 0.12);
        record.teacher.score = 0.12;
        assert_eq!(record.uninformative(), None);
        record.teacher.score = 0.11;
        assert!(record.uninformative().unwrap().contains("chance"));
        // For an accuracy, .06 is .06 · √(277 / .25) = 2.0 standard deviations.
        record.metric = "accuracy".into();
        (record.majority_score, record.unpruned.score, record.teacher.score) = (0.5, 0.56, 0.56);
        assert_eq!(record.uninformative(), None);
        (record.unpruned.score, record.teacher.score) = (0.55, 0.55);
        assert!(record.uninformative().unwrap().contains("chance"));
        // For an F1 whose class has two of three rows, a constant answer scores .8. The slope is 2/(1 + p)² = .72, so
        // the standard deviation is .72 · √(2/9 / 277) = .0204.
        record.metric = "F1".into();
        (record.majority_score, record.unpruned.score, record.teacher.score) = (0.8, 0.845, 0.845);
        assert_eq!(record.uninformative(), None);
        (record.unpruned.score, record.teacher.score) = (0.835, 0.835);
        assert!(record.uninformative().unwrap().contains("chance"));
    }
}
