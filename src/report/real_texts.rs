//! Results on real texts, from the records of reproductions: a generated part of `docs/results.md`.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::docs_page::{FIGURES, folders, run_line, titles};
use crate::error::Result;
use crate::marked;
use crate::record::{AtCosts, Encoders, Interval, ReproductionRecord, RowGroup, RowRecord, unpacked};
use crate::tables::{Side, brief_scores, grid_markdown, interval, markdown_text, mean_difference, points};

/// Marker line before the generated part of the page.
pub const REAL_TEXTS_START: &str = "<!-- real texts -->";
/// Marker line after the generated part of the page.
pub const REAL_TEXTS_END: &str = "<!-- /real texts -->";

/// Caption of the table that compares the accelerated model with others.
const COMPARED: &str = "The accelerated model on all texts: its first cost of the table above at which it is as good as the full model (else its \
                        last), and points of accuracy above others at equal costs, the mean of those from 0.1 to 0.35 with its 95 % interval. \
                        Others are chosen on validation rows; after the interval stands the difference to those that are best on the test rows, \
                        which favours them. *n-gram, then all layers* is one baseline for all texts, without a choice among depths, at 0.1, 0.2 and 0.35; \
                        without an interval where the record does not have the answers text by text:";
/// Caption of the table of searches with the DHT paper's settings.
const PUBLISHED: &str = "The paper's four searches as published, beside the full model of as many epochs. *Shuffled* are the same routes dealt \
                         to the texts at random; FLOPs and clock are shares of the full model's in inference:";
/// Inference costs, as shares of the full model's FLOPs, at which the cascade from the n-gram model to the full model
/// is compared.
const FIXED_COSTS: [&str; 3] = ["0.1", "0.2", "0.35"];
/// Headings of the table columns that contain text and are aligned to the left.
const LEFT: [&str; 2] = ["texts", "search"];

/// Replaces the part of the page between the marker lines. The new part has the figure and table of the first
/// reproduction with accuracies at costs, a line for each such reproduction, and the searches with the DHT paper's
/// settings.
///
/// # Errors
/// [`Error::Markers`](crate::Error::Markers) unless each of the two lines occurs once, in this order.
pub fn with_real_texts(readme: &str, records: &[ReproductionRecord]) -> Result<String> {
    marked::replaced(readme, (REAL_TEXTS_START, REAL_TEXTS_END), &block(records))
}

fn block(records: &[ReproductionRecord]) -> String {
    let mut text = String::new();
    let with_costs: Vec<_> = records
        .iter()
        .zip(folders(records).into_iter().zip(titles(records)))
        .filter_map(|(record, names)| Some((record, record.at_costs.as_ref()?, names)))
        .collect();
    if let Some((record, table, (folder, _))) = with_costs.first() {
        let name = markdown_text(&record.data.name);
        text.push_str(&format!("![Accuracy on {name} at costs of inference]({FIGURES}/{folder}/at_costs.svg)\n\n"));
        text.push_str(&format!(
            "Accuracy on {name}, by the share of the full model's FLOPs that inference may take:\n\n"
        ));
        let (lines, sides) = brief_scores(table);
        text.push_str(&format!("{}\n{}\n\n", grid_markdown(&lines, &sides), run_line(record)));
    }
    let headings: Vec<&str> = with_costs.first().map_or(Vec::new(), |(_, table, _)| against(table));
    let mut compared = vec![["texts", "test texts", "seeds", "full model", "accelerated"].map(String::from).to_vec()];
    compared[0].push("above n-gram, then all layers".into());
    compared[0].extend(headings.iter().map(|against| format!("above {against}")));
    let mut published =
        vec![["texts", "search", "macro F1", "shuffled", "full model", "FLOPs", "clock"].map(String::from).to_vec()];
    for (record, table, (_, title)) in &with_costs {
        compared.extend(comparison(record, title, table, &headings));
        published.extend(as_published(record, title));
    }
    for (lines, about) in [(compared, COMPARED), (published, PUBLISHED)] {
        if lines.len() > 1 {
            let sides: Vec<Side> = lines[0]
                .iter()
                .map(|heading| if LEFT.contains(&heading.as_str()) { Side::Left } else { Side::Right })
                .collect();
            text.push_str(&format!("{about}\n\n{}\n", grid_markdown(&lines, &sides)));
        }
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn against(table: &AtCosts) -> Vec<&str> {
    table.comparisons.iter().map(|own| own.against.as_str()).collect()
}

/// Table line of one data set, which compares the accelerated model with other models.
fn comparison(record: &ReproductionRecord, title: &str, table: &AtCosts, headings: &[&str]) -> Option<Vec<String>> {
    let full = record.rows.iter().find(|row| row.group == RowGroup::Full && !row.seeds.is_empty())?.accuracy.mean;
    let ours = table.rows.iter().find(|row| row.encoders == Encoders::Accelerated)?;
    let reached = ours.cells.iter().find(|cell| cell.accuracy.mean >= full).or(ours.cells.last())?;
    let mut line = vec![
        title.to_owned(),
        record.data.test_rows.to_string(),
        ours.seeds.len().to_string(),
        format!("{full:.3}"),
        format!("{:.3} at {:.2}", reached.accuracy.mean, reached.flops_ratio),
    ];
    line.push(above_fixed(record).unwrap_or("–".into()));
    line.extend(headings.iter().map(|heading| {
        let own = table.comparisons.iter().find(|own| own.against == *heading);
        own.and_then(mean_difference).unwrap_or("–".into())
    }));
    Some(line)
}

/// Accuracy of the accelerated model minus the accuracy of a fixed baseline: the cascade from the n-gram model to the
/// full model. It is the mean over the costs that both can reach. No setting of the baseline is selected.
fn above_fixed(record: &ReproductionRecord) -> Option<String> {
    let row = |group: RowGroup, setting: String| {
        record.rows.iter().find(|row| row.group == group && row.setting == setting && !row.seeds.is_empty())
    };
    let pair = |cost: &str| {
        let ours = row(RowGroup::Accelerated, format!("at {cost}"))?;
        Some((ours, row(RowGroup::Ngram, format!("to {} layers at {cost}", record.model.layers))?))
    };
    let pairs: Vec<(&RowRecord, &RowRecord)> = FIXED_COSTS.into_iter().filter_map(pair).collect();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / pairs.len() as f64;
    if pairs.is_empty() {
        return None;
    }
    let observed = mean(&mut pairs.iter().map(|(ours, other)| ours.accuracy.mean - other.accuracy.mean));
    let texts = record.data.test_rows;
    let difference = |seed: &u64| -> Option<Vec<f64>> {
        let bits = |row: &RowRecord| unpacked(row.right.get(seed)?, texts);
        let both = pairs.iter().map(|(ours, other)| Some((bits(ours)?, bits(other)?))).collect::<Option<Vec<_>>>()?;
        let of_text =
            |text| mean(&mut both.iter().map(|(ours, other)| f64::from(i8::from(ours[text]) - i8::from(other[text]))));
        Some((0..texts).map(of_text).collect())
    };
    let by_seed: Option<Vec<Vec<f64>>> = pairs[0].0.seeds.iter().map(difference).collect();
    Some(match by_seed {
        Some(by_seed) => interval(Interval::of_paired(&by_seed, &mut ChaCha8Rng::seed_from_u64(0))),
        None => points(observed),
    })
}

/// Table lines of the searches with the DHT paper's settings on one data set.
fn as_published(record: &ReproductionRecord, title: &str) -> Vec<Vec<String>> {
    let rows = record.rows.iter().filter(|row| row.group == RowGroup::AsPublished && !row.seeds.is_empty());
    let of = |row: &RowRecord| {
        let full = record.rows.iter().find(|full| full.group == RowGroup::Full && full.epochs == row.epochs);
        let score = |score: Option<f64>| score.map_or("–".into(), |score| format!("{score:.3}"));
        vec![
            title.to_owned(),
            row.method.clone(),
            score(Some(row.macro_f1.mean)),
            score(row.random_macro_f1.map(|score| score.mean)),
            score(full.map(|full| full.macro_f1.mean)),
            format!("{:.2}", row.inference_flops_ratio),
            format!("{:.2}", row.inference_wall_ratio),
        ]
    };
    rows.map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_real_texts_section_is_complete_and_idempotent() {
        let page = format!("# Title\n\nprose\n\n{REAL_TEXTS_START}\nold\n{REAL_TEXTS_END}\n\nmore\n");
        let mut without = fixture::reproduction();
        without.at_costs = None;
        let records = [without, fixture::reproduction()];
        let once = with_real_texts(&page, &records).unwrap();
        assert!(once.starts_with("# Title\n\nprose\n") && once.ends_with("\n\nmore\n") && !once.contains("\nold\n"));
        assert_eq!(with_real_texts(&once, &records).unwrap(), once);
        assert!(once.contains("(figures/reproduction/ag_news_2/at_costs.svg)"), "{once}");
        assert!(once.contains("| accelerated | 0.907 ± 0.002 | 0.909 ± 0.001 |"), "{once}");
        assert!(once.contains("| n-gram cascade | – | 0.901 |"), "{once}");
        assert!(once.contains("| accelerated | above n-gram, then all layers | above one encoder |"), "{once}");
        assert!(once.contains("| +0.80 \\[+0.30, +1.30\\] +0.40 |"), "{once}");
        assert!(once.contains("|\n| ag\\_news | T-DHT | 0."), "{once}");
        assert!(with_real_texts("none", &records).is_err());
    }

    #[test]
    fn the_fixed_baseline_has_an_interval_where_answers_are_kept() {
        let mut record = fixture::reproduction();
        let row = |group, setting: &str, accuracy: f64, right: &[bool]| RowRecord {
            group,
            setting: setting.into(),
            seeds: vec![4],
            accuracy: crate::record::Summary { mean: accuracy, sd: 0.0 },
            right: [(4, crate::record::packed(right))].into(),
            ..RowRecord::default()
        };
        record.data.test_rows = 8;
        let layers = record.model.layers;
        record.rows = vec![row(RowGroup::Accelerated, "at 0.1", 0.75, &[true; 8])];
        assert_eq!(above_fixed(&record), None);
        let half: Vec<bool> = (0..8).map(|text| text % 2 == 0).collect();
        record.rows.push(row(RowGroup::Ngram, &format!("to {layers} layers at 0.1"), 0.5, &half));
        let with = above_fixed(&record).unwrap();
        assert!(with.starts_with("+50.00 [+") && with.ends_with(']'), "{with}");
        record.rows[0].right.clear();
        assert_eq!(above_fixed(&record).as_deref(), Some("+25.00"));
    }
}
