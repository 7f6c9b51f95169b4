//! The README's part about real texts: accuracy at given costs, from the records of reproductions.

use super::docs_page::{FIGURES, folders, run_line, titles};
use crate::error::Result;
use crate::readme;
use crate::record::{AtCosts, Encoders, ReproductionRecord, RowGroup, RowRecord};
use crate::tables::{brief_scores, grid_markdown, interval, markdown_text};

/// The line before the generated part.
pub const REAL_TEXTS_START: &str = "<!-- real texts -->";
/// The line after it.
pub const REAL_TEXTS_END: &str = "<!-- /real texts -->";

/// The README with its part between the two marker lines replaced: the figure and the table of the first record that has accuracies
/// at costs, and what was found on each of them.
///
/// # Errors
/// [`Error::Markers`](crate::Error::Markers) unless each of the two lines is there once, in this order.
pub fn with_real_texts(readme: &str, records: &[ReproductionRecord]) -> Result<String> {
    readme::replaced(readme, (REAL_TEXTS_START, REAL_TEXTS_END), &block(records))
}

fn block(records: &[ReproductionRecord]) -> String {
    let mut text = String::new();
    let with_costs = records
        .iter()
        .zip(folders(records).into_iter().zip(titles(records)))
        .filter_map(|(record, names)| Some((record, record.at_costs.as_ref()?, names)));
    for (index, (record, table, (folder, title))) in with_costs.enumerate() {
        if index == 0 {
            let alt = format!("Accuracy on {} at costs of inference", markdown_text(&record.data.name));
            text.push_str(&format!("![{alt}](docs/{FIGURES}/{folder}/at_costs.svg)\n\n"));
            text.push_str(&format!(
                "Accuracy on {}, by the share of the full model's FLOPs that inference may take:\n\n",
                markdown_text(&record.data.name)
            ));
            let (lines, sides) = brief_scores(table);
            text.push_str(&format!("{}\n{}\n\n", grid_markdown(&lines, &sides), run_line(record)));
        }
        text.push_str(&format!(" - {}\n", markdown_text(&found(record, &title, table))));
    }
    text
}

/// What was found on one data set, in a sentence or two.
fn found(record: &ReproductionRecord, title: &str, table: &AtCosts) -> String {
    let full = record.rows.iter().find(|row| row.group == RowGroup::Full && !row.seeds.is_empty());
    let ours = table.rows.iter().find(|row| row.encoders == Encoders::Accelerated);
    let mut text = format!("{title}, {} test texts", record.data.test_rows);
    if let (Some(full), Some(ours)) = (full, ours) {
        let seeds = if ours.seeds.len() == 1 { "one seed".into() } else { format!("{} seeds", ours.seeds.len()) };
        let full = full.accuracy.mean;
        let reached = ours.cells.iter().find(|cell| cell.accuracy.mean >= full);
        text.push_str(&match reached {
            Some(cell) => format!(
                ", {seeds}: the accelerated model has {:.3} at {:.2} of the FLOPs of the full model, which has {full:.3}.",
                cell.accuracy.mean, cell.flops_ratio
            ),
            None => format!(", {seeds}: at none of these costs the accelerated model has the full model's {full:.3}."),
        });
    } else {
        text.push('.');
    }
    let means = table.comparisons.iter().filter_map(|own| Some(format!("{} {}", own.against, interval(own.mean?))));
    let means: Vec<String> = means.collect();
    if !means.is_empty() {
        text.push_str(&format!(" Points above others, mean of the costs from 0.1 to 0.35: {}.", means.join(", ")));
    }
    text + &as_published(record)
}

/// What the paper's searches have with its own settings.
fn as_published(record: &ReproductionRecord) -> String {
    let rows = record.rows.iter().filter(|row| row.group == RowGroup::AsPublished && !row.seeds.is_empty());
    let rows: Vec<&RowRecord> = rows.collect();
    let Some(first) = rows.first() else { return String::new() };
    let shown = |row: &&RowRecord| {
        let shuffled = row.random_macro_f1.map_or(String::new(), |score| format!(", shuffled {:.3}", score.mean));
        format!("{} {:.3} at {:.2}{shuffled}", row.method, row.macro_f1.mean, row.inference_flops_ratio)
    };
    let full = record.rows.iter().find(|row| row.group == RowGroup::Full && row.epochs == first.epochs);
    let full =
        full.map_or(String::new(), |full| format!("; the full model of as many epochs {:.3}", full.macro_f1.mean));
    format!(
        " As published, macro F1 at a share of FLOPs: {}{full}.",
        rows.iter().map(shown).collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_part_has_figure_table_and_what_was_found_and_writing_again_changes_nothing() {
        let page = format!("# Title\n\nprose\n\n{REAL_TEXTS_START}\nold\n{REAL_TEXTS_END}\n\nmore\n");
        let mut without = fixture::reproduction();
        without.at_costs = None;
        let records = [without, fixture::reproduction()];
        let once = with_real_texts(&page, &records).unwrap();
        assert!(once.starts_with("# Title\n\nprose\n") && once.ends_with("\n\nmore\n") && !once.contains("\nold\n"));
        assert_eq!(with_real_texts(&once, &records).unwrap(), once);
        assert!(once.contains("(docs/figures/reproduction/ag_news_2/at_costs.svg)"), "{once}");
        assert!(once.contains("| accelerated | 0.907 ± 0.002 | 0.909 ± 0.001 |"), "{once}");
        assert!(once.contains("| n-gram cascade | – | 0.901 |"), "{once}");
        assert!(once.contains("one encoder +0.80 \\[+0.30, +1.30\\]"), "{once}");
        assert!(once.contains("As published, macro F1 at a share of FLOPs: T-DHT "), "{once}");
        assert!(with_real_texts("none", &records).is_err());
    }
}
