//! Sections of a model card: scores of each class with intervals, frequent errors, and how far probabilities can be
//! trusted.

use super::analysis::Analysis;
use super::calibration::{Bin, Calibration};
use super::classes::{ClassAnalysis, ClassScore};
use super::estimate::Estimate;
use super::labels::LabelAnalysis;
use super::numbers::NumberAnalysis;
use crate::results::Table;

/// Maximum number of classes in the table of a card.
const CLASSES: usize = 30;
/// Maximum number of confused pairs of classes on a card.
const CONFUSED: usize = 5;
/// Minimum share of right answers for which a card names a probability.
const TARGETS: [f64; 2] = [0.95, 0.99];

impl Analysis {
    /// Formats the analysis as sections of a model card, in Markdown.
    pub fn card(&self) -> String {
        let sections = match self {
            Self::Classes(analysis) => of_classes(analysis),
            Self::Labels(analysis) => of_labels(analysis),
            Self::Numbers(analysis) => of_numbers(analysis),
        };
        sections.join("\n\n") + "\n"
    }
}

/// Formats a score with its interval.
fn interval(estimate: &Estimate) -> String {
    format!("{:.3} ({:.3} to {:.3})", estimate.value, estimate.low, estimate.high)
}

/// Formats a name for a cell of a Markdown table, in which `|` separates cells and `<` begins a tag.
fn cell(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}

/// Table of the classes in ascending order of F1, after classes without rows.
fn class_table(what: &str, scores: &[ClassScore]) -> Vec<String> {
    let mut sorted: Vec<&ClassScore> = scores.iter().collect();
    let f1 = |score: &ClassScore| score.f1.map_or(-1.0, |f1| f1.value);
    sorted.sort_by(|a, b| f1(a).total_cmp(&f1(b)));
    let mut table = Table::new([what, "rows", "precision", "recall", "F1 (95 % interval)"]);
    let share =
        |estimate: &Option<Estimate>| estimate.map_or_else(|| "–".into(), |score| format!("{:.3}", score.value));
    for score in sorted.iter().take(CLASSES) {
        let f1 = score.f1.as_ref().map_or_else(|| "–".into(), interval);
        table.push([cell(&score.name), score.rows.to_string(), share(&score.precision), share(&score.recall), f1]);
    }
    let title = match scores.len() > CLASSES {
        true => format!("The {CLASSES} of {} with the lowest F1:", scores.len()),
        false => "In ascending order of F1:".into(),
    };
    vec![title, table.markdown().trim_end().to_owned()]
}

/// Sentence on the calibration error, with the bin whose probabilities are most wrong beyond chance.
fn of_calibration(calibration: Option<&Calibration>) -> Option<String> {
    let Calibration { error, by_chance, bins } = calibration?;
    let sentence = format!(
        "Calibration error of the probabilities: {error:.3}; a perfectly calibrated model would show {by_chance:.3} on \
         this number of rows."
    );
    // Ratio of the error rates: .03 wrong instead of .004 matters more than .84 right instead of .82.
    let ratio = |bin: &&Bin| ((1.0 - bin.right.value).max(1e-6) / (1.0 - bin.probability).max(1e-6)).ln().abs();
    let wrong = bins.iter().filter(|bin| !(bin.right.low..=bin.right.high).contains(&bin.probability));
    let worst = wrong.max_by(|a, b| ratio(a).total_cmp(&ratio(b))).map(|bin| {
        format!(
            " Worst: of the answers with probabilities around {:.3}, {} are right.",
            bin.probability,
            interval(&bin.right)
        )
    });
    Some(sentence + &worst.unwrap_or_default())
}

/// Sentences on the probabilities above which a target share of the answers is right.
fn of_targets(analysis: &ClassAnalysis) -> impl Iterator<Item = String> + '_ {
    TARGETS.into_iter().map(|target| {
        // The curve begins with all rows; the first point that meets the target covers most rows.
        match analysis.coverage.iter().find(|point| point.accuracy.low >= target) {
            Some(point) => format!(
                "Answers with a probability of at least {:.3} cover {:.0} % of the rows, and {} of them are right.",
                point.min_probability,
                100.0 * point.coverage,
                interval(&point.accuracy)
            ),
            None => format!("No probability is shown to give {:.0} % right answers on these rows.", 100.0 * target),
        }
    })
}

/// Sentences that sum up an analysis: the most frequent error, sure answers, and the calibration.
pub fn conclusions(analysis: &ClassAnalysis) -> Vec<String> {
    let error = analysis.confusion.first().filter(|of| of.label != of.predicted).map(|of| {
        let rows = if of.rows == 1 { "row" } else { "rows" };
        format!("Most frequent error: {} answered as {}, {} {rows}.", of.label, of.predicted, of.rows)
    });
    error.into_iter().chain(of_targets(analysis)).chain(of_calibration(analysis.calibration.as_ref())).collect()
}

fn of_classes(analysis: &ClassAnalysis) -> Vec<String> {
    let mut sections = vec!["## Classes".to_owned()];
    sections.extend(analysis.accuracy.as_ref().map(|accuracy| {
        let macro_f1 = interval(&analysis.macro_f1);
        format!("Accuracy {}, macro F1 {macro_f1}; intervals are of 95 %.", interval(accuracy))
    }));
    sections.extend(class_table("class", &analysis.classes));
    let confused = analysis.confusion.iter().take_while(|cell| cell.label != cell.predicted).take(CONFUSED);
    let pairs: Vec<String> = confused
        .map(|of| {
            let rows = if of.rows == 1 { "row" } else { "rows" };
            format!("- {} answered as {}: {} {rows}", cell(&of.label), cell(&of.predicted), of.rows)
        })
        .collect();
    if !pairs.is_empty() {
        sections.extend(["Most frequent errors:".to_owned(), pairs.join("\n")]);
    }
    sections.push("## Probabilities".into());
    sections.extend(of_calibration(analysis.calibration.as_ref()));
    sections.extend(of_targets(analysis));
    sections
}

fn of_labels(analysis: &LabelAnalysis) -> Vec<String> {
    let mut sections = vec!["## Labels".to_owned()];
    let micro = analysis.micro_f1.as_ref().map_or_else(String::new, |micro| format!("micro F1 {}, ", interval(micro)));
    let exact = analysis.subset_accuracy.as_ref().map_or_else(String::new, |exact| {
        format!("; all labels of a text are right in {} of the rows", interval(exact))
    });
    sections.push(format!("{micro}macro F1 {}{exact}; intervals are of 95 %.", interval(&analysis.macro_f1)));
    sections.extend(class_table("label", &analysis.labels));
    sections.extend(of_calibration(analysis.calibration.as_ref()));
    sections
}

fn of_numbers(analysis: &NumberAnalysis) -> Vec<String> {
    let scores = [
        ("Pearson correlation", Some(&analysis.pearson)),
        ("mean absolute error", analysis.mean_absolute_error.as_ref()),
        ("root mean squared error", analysis.root_mean_squared_error.as_ref()),
        ("mean of answer − number", analysis.bias.as_ref()),
    ];
    let lines: Vec<String> = scores
        .into_iter()
        .filter_map(|(name, score)| score.map(|score| format!("- {name}: {}", interval(score))))
        .collect();
    vec!["## Errors".to_owned(), "Values with intervals of 95 %:".into(), lines.join("\n")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_class_comes_first_and_names_are_escaped() {
        let score = |name: &str, right: usize| ClassScore {
            name: name.into(),
            rows: 10,
            predicted: 10,
            precision: Estimate::share(right, 10),
            recall: Estimate::share(right, 10),
            f1: Estimate::share(right, 10),
        };
        let table = class_table("class", &[score("a|b", 9), score("<b>c", 2)]);
        let lines: Vec<&str> = table[1].lines().collect();
        assert_eq!(table[0], "In ascending order of F1:");
        assert!(lines[2].starts_with("| &lt;b>c | 10 | 0.200 | 0.200 | 0.200 ("), "{lines:?}");
        assert!(lines[3].starts_with("| a\\|b | 10 | 0.900"), "{lines:?}");
        let many: Vec<ClassScore> = (0..40).map(|class| score(&format!("class {class}"), class % 11)).collect();
        let table = class_table("class", &many);
        assert_eq!((&*table[0], table[1].lines().count()), ("The 30 of 40 with the lowest F1:", 32));
    }
}
