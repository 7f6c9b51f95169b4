//! The part of the page on the recipe about models that train less.

use super::{FITS_LEFT_OUT, FITS_NOTE};
use crate::error::Result;
use crate::readme;
use crate::record::{LessTrainingRecord, TrainedOn, TrainedWay};
use crate::tables::{Side, grid_markdown, interval, markdown_text};

/// The line before the generated part.
pub const LESS_TRAINING_START: &str = "<!-- less training -->";
/// The line after it.
pub const LESS_TRAINING_END: &str = "<!-- /less training -->";

const HEADINGS: [&str; 10] = [
    "way",
    "answers",
    "accuracy",
    "macro F1",
    "to the full model, points",
    "lost at most",
    "cheap model above it",
    "FLOPs of training",
    "its clock",
    "FLOPs of inference",
];
const SIDES: [Side; 10] = {
    let mut sides = [Side::Right; 10];
    (sides[0], sides[1]) = (Side::Left, Side::Left);
    sides
};

/// The page with its part between the two marker lines replaced: a table for each data set.
///
/// # Errors
/// [`Error::Markers`](crate::Error::Markers) unless each of the two lines is there once, in this order.
pub fn with_less_training(page: &str, record: &LessTrainingRecord) -> Result<String> {
    let mut blocks: Vec<String> = record.data.iter().map(block).collect();
    if record.data.iter().flat_map(|data| &data.ways).any(|way| !way.fits_counted) {
        blocks.push(FITS_NOTE.into());
    }
    readme::replaced(page, (LESS_TRAINING_START, LESS_TRAINING_END), &blocks.join("\n"))
}

fn block(trained: &TrainedOn) -> String {
    let lines: Vec<Vec<String>> =
        std::iter::once(HEADINGS.map(String::from).to_vec()).chain(trained.ways.iter().map(line)).collect();
    let [training, validation, judged] = trained.rows;
    let seeds = match trained.seeds.len() {
        1 => "one seed".to_owned(),
        count => format!("{count} seeds"),
    };
    let of = if trained.test { "test texts" } else { "texts of the training file that nothing else has seen" };
    format!(
        "{}, {training} training and {validation} validation rows, {seeds}, {judged} {of}:\n\n{}",
        markdown_text(&trained.data),
        grid_markdown(&lines, &SIDES)
    )
}

fn line(way: &TrainedWay) -> Vec<String> {
    let name = match way {
        way if way.reference => format!("{}: the full model", way.description),
        way if way.cheap => format!("{}: the cheap model", way.description),
        way => way.description.clone(),
    };
    vec![
        name,
        way.answer.clone(),
        format!("{:.4}", way.accuracy.mean),
        format!("{:.4}", way.macro_f1.mean),
        if way.reference { "–".into() } else { interval(way.to_reference) },
        if way.reference { "–".into() } else { format!("{:+.2}", 100.0 * way.deficit_upper95) },
        way.cheap_above.map_or("–".into(), interval),
        format!(
            "{:.3}{}",
            way.train_flops_ratio,
            if way.fits_counted || way.answer == "alone" { "" } else { FITS_LEFT_OUT }
        ),
        format!("{:.2}", way.train_wall_ratio),
        format!("{:.3}", way.inference_flops_ratio),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Interval, Summary};

    #[test]
    fn each_data_set_has_a_table_beside_its_full_model() {
        let way = |name: &str, answer: &str, reference, accuracy| TrainedWay {
            way: name.into(),
            description: format!("{name} in words"),
            answer: answer.into(),
            reference,
            cheap: false,
            cheap_above: None,
            accuracy: Summary { mean: accuracy, sd: 0.0 },
            macro_f1: Summary { mean: accuracy, sd: 0.0 },
            to_reference: Interval { mean: accuracy - 0.9, lower: -0.02, upper: 0.001 },
            deficit_upper95: 0.018,
            right: Default::default(),
            train_flops_ratio: 0.35,
            fits_counted: reference,
            train_wall_ratio: 0.36,
            inference_flops_ratio: 0.25,
        };
        let ways = vec![way("random:1x2", "alone", true, 0.9), way("weighted:0.35x2", "n-gram stacked", false, 0.895)];
        let trained = TrainedOn { data: "ag_news".into(), rows: [5400, 600, 4000], test: false, seeds: vec![0], ways };
        let record = LessTrainingRecord { data: vec![trained], ..LessTrainingRecord::default() };
        let page = format!("before\n{LESS_TRAINING_START}\nold\n{LESS_TRAINING_END}\nafter\n");
        let text = with_less_training(&page, &record).unwrap();
        assert!(text.starts_with("before\n") && text.ends_with("after\n") && !text.contains("\nold\n"));
        assert!(
            text.contains(
                "| random:1x2 in words: the full model | alone | 0.9000 | 0.9000 | – | – | – | 0.350 | 0.36 | 0.250 |"
            ),
            "{text}"
        );
        assert!(
            text.contains("| weighted:0.35x2 in words | n-gram stacked | 0.8950 | 0.8950 | -0.50 \\[-2.00, +0.10\\] | +1.80 | – | 0.350 † | 0.36 | 0.250 |"),
            "{text}"
        );
    }
}
