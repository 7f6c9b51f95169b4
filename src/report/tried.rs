//! The parts of the page on the recipe that say what was tried and what speeds are worth, from the record of the trials.

use super::head_choices::with_head_choices;
use super::{FITS_LEFT_OUT, FITS_NOTE};
use crate::error::Result;
use crate::readme;
use crate::record::{RecipeRecord, SpeedTrial, Trial};
use crate::tables::{Side, grid_markdown, markdown_text};

/// The line before the generated part.
pub const TRIED_START: &str = "<!-- tried -->";
/// The line after it.
pub const TRIED_END: &str = "<!-- /tried -->";

const HEADINGS: [&str; 8] =
    ["setting", "score", "to default", "at .05", "at .5", "losing nothing", "at FLOPs", "FLOPs of training"];

/// The line before the generated part on speeds.
pub const SPEEDS_START: &str = "<!-- speeds -->";
/// The line after it.
pub const SPEEDS_END: &str = "<!-- /speeds -->";

const OF_SPEEDS: [&str; 6] =
    ["texts of", "texts chosen on", "highest threshold that is", "FLOPs", "points lost", "in 95 % at most"];

/// The page with its part on speeds replaced.
fn with_speeds(page: &str, record: &RecipeRecord) -> Result<String> {
    let lines: Vec<Vec<String>> =
        std::iter::once(OF_SPEEDS.map(String::from).to_vec()).chain(record.speeds.iter().map(speed_line)).collect();
    let sides = [Side::Left, Side::Right, Side::Left, Side::Right, Side::Right, Side::Right];
    readme::replaced(page, (SPEEDS_START, SPEEDS_END), &grid_markdown(&lines, &sides))
}

fn speed_line(speed: &SpeedTrial) -> Vec<String> {
    let [drawn, all] = speed.rows;
    vec![
        format!("{} ({all})", speed.data),
        drawn.to_string(),
        speed.rule.clone(),
        format!("{:.3}", speed.flops_ratio),
        format!("{:+.2}", 100.0 * speed.lost),
        format!("{:+.2}", 100.0 * speed.lost_95),
    ]
}

/// The page with what was tried, what speeds are worth and what choosing heads is worth, each between its two marker lines.
///
/// # Errors
/// [`Error::Markers`](crate::Error::Markers) unless each of the lines is there once, in this order.
pub fn with_recipe(page: &str, record: &RecipeRecord) -> Result<String> {
    with_head_choices(&with_speeds(&with_tried(page, record)?, record)?, record)
}

/// The page with its part between the two marker lines replaced: a table for each data set.
fn with_tried(page: &str, record: &RecipeRecord) -> Result<String> {
    readme::replaced(page, (TRIED_START, TRIED_END), &block(record))
}

fn block(record: &RecipeRecord) -> String {
    let mut text = String::new();
    for trials in record.tried.chunk_by(|one, other| one.data == other.data) {
        let first = &trials[0];
        let [training, _, judged] = first.rows;
        text.push_str(&format!(
            "On {judged} rows of {}'s training file that nothing else has seen; {training} rows are fitted on. The full model has {:.4}.\n\n",
            markdown_text(&first.data),
            first.full_accuracy
        ));
        let default = trials.iter().find(|trial| trial.kept).map(|trial| trial.score);
        let lines: Vec<Vec<String>> = std::iter::once(HEADINGS.map(String::from).to_vec())
            .chain(trials.iter().map(|trial| line(trial, default)))
            .collect();
        let mut sides = [Side::Right; HEADINGS.len()];
        sides[0] = Side::Left;
        text.push_str(&grid_markdown(&lines, &sides));
        text.push('\n');
    }
    if record.tried.iter().any(|trial| !trial.fits_counted) {
        text.push_str(FITS_NOTE);
    }
    text
}

fn line(trial: &Trial, default: Option<f64>) -> Vec<String> {
    let name = match trial.rows[1] {
        0 => trial.setting.clone(),
        unlabelled => format!("{} ({unlabelled})", trial.setting),
    };
    let to_default = default.filter(|_| !trial.kept).map(|default| 100.0 * (trial.score - default));
    let at = |index: usize| trial.at_costs.get(index).map_or("–".into(), |accuracy| format!("{accuracy:.4}"));
    vec![
        name,
        format!("{:.4}", trial.score),
        to_default.map_or("–".into(), |points| format!("{points:+.2}")),
        at(0),
        at(Trial::COSTS.len() - 1),
        format!("{:.4}", trial.accuracy),
        format!("{:.3}", trial.inference_flops_ratio),
        format!("{:.2}{}", trial.train_flops_ratio, if trial.fits_counted { "" } else { FITS_LEFT_OUT }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_data_set_has_a_table_with_differences_to_the_default() {
        let trial = |setting: &str, data: &str, score| Trial {
            setting: setting.into(),
            data: data.into(),
            rows: [5400, 0, 4000],
            score,
            at_costs: vec![score; 7],
            kept: setting == "as by default",
            ..Trial::default()
        };
        let mut record = RecipeRecord::default();
        for (setting, data, score) in
            [("as by default", "ag_news", 0.9), ("linear exits", "ag_news", 0.895), ("linear exits", "sst2", 0.8)]
        {
            record.add(trial(setting, data, score));
        }
        let page = format!("before\n{TRIED_START}\nold\n{TRIED_END}\nafter\n");
        let text = with_tried(&page, &record).unwrap();
        assert!(text.starts_with("before\n") && text.ends_with("after\n") && !text.contains("\nold\n"));
        assert!(text.contains("| as by default | 0.9000 | – |"), "{text}");
        assert!(text.contains("| linear exits | 0.8950 | -0.50 |"), "{text}");
        assert!(text.contains("| linear exits | 0.8000 | – |"), "{text}");
        assert_eq!(with_tried(&text, &record).unwrap(), text);
    }

    #[test]
    fn each_rule_for_speeds_has_a_line() {
        let speed = |rule: &str, lost| SpeedTrial {
            rule: rule.into(),
            data: "ag_news".into(),
            rows: [600, 4000],
            draws: 200,
            flops_ratio: 0.12,
            lost,
            lost_95: 0.01,
        };
        let mut record = RecipeRecord::default();
        record.add_speeds(vec![speed("one", 0.005), speed("two", -0.004)]);
        let text = with_speeds(&format!("{SPEEDS_START}\nold\n{SPEEDS_END}\n"), &record).unwrap();
        assert!(text.contains("| ag\\_news (4000) | 600 | one | 0.120 | +0.50 | +1.00 |"), "{text}");
        assert!(text.contains("| two | 0.120 | -0.40 | +1.00 |") && !text.contains("\nold\n"), "{text}");
    }
}
