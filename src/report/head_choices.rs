//! The part of the page on the recipe that says what choosing heads by text is worth.

use crate::error::Result;
use crate::readme;
use crate::record::{HeadChoice, HeadChoiceWay, RecipeRecord};
use crate::tables::{Side, grid_markdown, markdown_text};

/// The line before the generated part.
pub const HEADS_START: &str = "<!-- heads -->";
/// The line after it.
pub const HEADS_END: &str = "<!-- /heads -->";

const HEADINGS: [&str; 4] = ["heads", "loss, nats", "regret, nats", "accuracy"];
const SIDES: [Side; 4] = [Side::Left, Side::Right, Side::Right, Side::Right];

/// The page with its part between the two marker lines replaced: a table for each data set.
pub(super) fn with_head_choices(page: &str, record: &RecipeRecord) -> Result<String> {
    let blocks: Vec<String> = record.head_choices.iter().map(block).collect();
    readme::replaced(page, (HEADS_START, HEADS_END), &blocks.join("\n"))
}

fn block(choice: &HeadChoice) -> String {
    let lines: Vec<Vec<String>> =
        std::iter::once(HEADINGS.map(String::from).to_vec()).chain(choice.ways.iter().map(line)).collect();
    let [kept, all] = choice.heads;
    format!(
        "{}, {} texts, {kept} of {all} heads in each layer:\n\n{}",
        markdown_text(&choice.data),
        choice.texts,
        grid_markdown(&lines, &SIDES)
    )
}

fn line(way: &HeadChoiceWay) -> Vec<String> {
    let regret =
        |regret: crate::record::Interval| format!("{:+.4} [{:+.4}, {:+.4}]", regret.mean, regret.lower, regret.upper);
    vec![
        way.way.clone(),
        format!("{:.4}", way.loss),
        way.regret.map_or("best of all".into(), regret),
        way.accuracy.map_or("–".into(), |accuracy| format!("{accuracy:.4}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Interval;

    #[test]
    fn ways_stand_beside_the_best_set_of_all() {
        let way = |way: &str, accuracy, regret| HeadChoiceWay { way: way.into(), loss: 0.25, accuracy, regret };
        let regret = Interval { mean: 0.01, lower: -0.002, upper: 0.022 };
        let ways = vec![way("most important", Some(0.9), None), way("LinUCB", None, Some(regret))];
        let mut record = RecipeRecord::default();
        record.add_head_choice(HeadChoice { data: "ag_news".into(), texts: 4000, heads: [6, 12], ways });
        let text = with_head_choices(&format!("{HEADS_START}\nold\n{HEADS_END}\n"), &record).unwrap();
        assert!(text.contains("ag\\_news, 4000 texts, 6 of 12 heads in each layer:"), "{text}");
        assert!(text.contains("| most important | 0.2500 | best of all | 0.9000 |"), "{text}");
        assert!(text.contains("| LinUCB | 0.2500 | +0.0100 \\[-0.0020, +0.0220\\] | – |"), "{text}");
        assert!(!text.contains("\nold\n"));
    }
}
