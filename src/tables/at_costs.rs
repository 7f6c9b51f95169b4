//! Tables 3 and 4 of a reproduction: accuracy of each kind of model at fixed inference costs, and comparisons at the
//! same costs.

use super::grid::Side;
use crate::record::{AtCosts, CellAtCost, Comparison, Difference, Interval, ReproductionRecord};

/// Table of text cells whose first line has the headings.
pub(crate) struct PlainTable {
    pub(crate) caption: String,
    pub(crate) lines: Vec<Vec<String>>,
    pub(crate) sides: Vec<Side>,
    pub(crate) notes: Vec<String>,
}

const NONE: &str = "–";

/// Tables 3 and 4 of a reproduction: accuracies at fixed costs, and comparisons at the same costs. Empty if the record
/// has no accelerated model.
pub(super) fn tables_at_costs(record: &ReproductionRecord) -> Vec<PlainTable> {
    let name = &record.data.name;
    record.at_costs.as_ref().map_or(Vec::new(), |table| vec![scores(table, name), comparisons(table, name)])
}

fn scores(table: &AtCosts, name: &str) -> PlainTable {
    let headings = ["kind", "seeds"].map(String::from).into_iter();
    let mut lines = vec![headings.chain(costs(table)).collect::<Vec<_>>()];
    for row in &table.rows {
        let cells = table.costs.iter().map(|cost| {
            let cell = row.cells.iter().find(|cell| cell.cost == *cost);
            cell.map_or(NONE.into(), |cell| score(cell, row.seeds.len()))
        });
        lines.push([row.kind.clone(), row.seeds.len().to_string()].into_iter().chain(cells).collect());
    }
    PlainTable {
        caption: format!("Table 3. Accuracy on {name} at given costs, as shares of the full model's FLOPs"),
        sides: sides(table, 2),
        lines,
        notes: vec![
            "Each kind of model at each cost: the depths and the threshold with the highest accuracy on validation rows among \
             those that cost at most that much there. Depths are in brackets, with the cost on the test rows where it is another. \
             ± is the sample standard deviation over seeds."
                .into(),
        ],
    }
}

/// Short form of table 3 (accuracies at fixed costs), without depths and test costs. Returns the lines of cells, of
/// which the first has the headings, and the alignment of the columns.
pub(crate) fn brief_scores(table: &AtCosts) -> (Vec<Vec<String>>, Vec<Side>) {
    let mut lines = vec![std::iter::once("kind".to_owned()).chain(costs(table)).collect::<Vec<_>>()];
    for row in &table.rows {
        let cells = table.costs.iter().map(|cost| {
            let cell = row.cells.iter().find(|cell| cell.cost == *cost);
            cell.map_or(NONE.into(), |cell| accuracy(cell, row.seeds.len()))
        });
        lines.push(std::iter::once(row.kind.clone()).chain(cells).collect());
    }
    (lines, sides(table, 1))
}

fn comparisons(table: &AtCosts, name: &str) -> PlainTable {
    let headings = ["accelerated against", "mean of 0.1 to 0.35"].map(String::from).into_iter();
    let mut lines = vec![headings.chain(costs(table)).collect::<Vec<_>>()];
    let with_rivals =
        |comparison: &Comparison| comparison.differences.iter().any(|own| own.best_on_test != own.interval.mean);
    for comparison in &table.comparisons {
        let mean = mean_difference(comparison).unwrap_or(NONE.into());
        let cells = table.costs.iter().map(|cost| {
            let own = comparison.differences.iter().find(|own| own.cost == *cost);
            own.map_or(NONE.into(), difference)
        });
        lines.push([comparison.against.clone(), mean].into_iter().chain(cells).collect());
    }
    let mut notes = vec![
        "Accuracy of the accelerated model less the other's, in points, with its 95 % interval: paired bootstrap over test texts, and \
         over seeds where there are several. Three seeds say little of how much seeds differ, so that an end near 0 is no certainty. Of \
         others the best on validation rows at that cost is taken. Budgets that are kept on validation rows come out higher or lower on \
         the test rows: both models are compared at what the other one costs there, which stands in brackets."
            .to_owned(),
    ];
    if table.comparisons.iter().any(with_rivals) {
        notes.push(
            "After the interval stands the difference to the best on the test rows, which favours that one.".into(),
        );
    }
    PlainTable {
        caption: format!("Table 4. The accelerated model beside others on {name} at the same costs"),
        sides: sides(table, 2),
        lines,
        notes,
    }
}

fn costs(table: &AtCosts) -> impl Iterator<Item = String> {
    table.costs.iter().map(f64::to_string)
}

fn sides(table: &AtCosts, names: usize) -> Vec<Side> {
    let columns = names + table.costs.len();
    (0..columns).map(|column| if column == 0 { Side::Left } else { Side::Right }).collect()
}

/// Formats an accuracy with the setting of the model that has it, such as `.907 ± .002 (to 1 layer)`.
fn score(cell: &CellAtCost, seeds: usize) -> String {
    let setting = if cell.setting.is_empty() { String::new() } else { format!("{}, ", cell.setting) };
    format!("{} ({setting}{:.2})", accuracy(cell, seeds), cell.flops_ratio)
}

fn accuracy(cell: &CellAtCost, seeds: usize) -> String {
    let spread = if seeds > 1 { format!(" ± {:.3}", cell.accuracy.sd) } else { String::new() };
    format!("{:.3}{spread}", cell.accuracy.mean)
}

fn difference(difference: &Difference) -> String {
    let favoured = difference.best_on_test;
    let mut own = interval(difference.interval);
    if favoured != difference.interval.mean {
        own += &format!(" {}", points(favoured));
    }
    difference.flops_ratio.map_or(own.clone(), |ratio| format!("{own} ({ratio:.2})"))
}

/// Formats the mean accuracy difference over several costs, such as `+0.80 [+0.30, +1.30] +0.40`: the mean with its
/// interval, then the mean difference from the model that is best on the test rows.
pub(crate) fn mean_difference(comparison: &Comparison) -> Option<String> {
    let favoured = comparison.mean_against_best_on_test().map_or(String::new(), |mean| format!(" {}", points(mean)));
    Some(interval(comparison.mean?) + &favoured)
}

/// Formats a mean with its confidence interval in points (hundredths), such as `+0.80 [+0.30, +1.30]`.
pub(crate) fn interval(interval: Interval) -> String {
    format!("{} [{}, {}]", points(interval.mean), points(interval.lower), points(interval.upper))
}

/// Formats a score difference in points (hundredths), with a sign.
pub(crate) fn points(value: f64) -> String {
    let text = format!("{:+.2}", 100.0 * value);
    if text == "-0.00" { "+0.00".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::tables::{reproduction_markdown, reproduction_text};

    #[test]
    fn scores_and_differences_are_in_their_columns() {
        let record = fixture::reproduction();
        let [scores, comparisons] = &tables_at_costs(&record)[..] else { panic!("two tables") };
        assert_eq!(scores.lines[0], ["kind", "seeds", "0.1", "0.35"]);
        assert_eq!(scores.lines[1], ["n-gram cascade", "1", "–", "0.901 (to 1 layer, 0.34)"]);
        assert_eq!(scores.lines[2], ["accelerated", "3", "0.907 ± 0.002 (0.10)", "0.909 ± 0.001 (0.35)"]);
        assert_eq!(
            comparisons.lines[1],
            ["one encoder", "+0.80 [+0.30, +1.30] +0.40", "–", "+0.80 [-0.10, +1.30] +0.40 (0.36)"]
        );
        for table in [scores, comparisons] {
            assert!(table.lines.iter().all(|line| line.len() == table.sides.len()));
            assert!(reproduction_text(&record).contains(&table.caption));
            assert!(reproduction_markdown(&record).contains("Table 3. Accuracy"));
        }
    }
}
