//! Table 5 of a reproduction: how often risk guarantees held, and their costs.

use super::at_costs::PlainTable;
use super::grid::Side;
use crate::record::ReproductionRecord;

const HEADINGS: [&str; 7] = ["promise", "points", "texts", "made", "kept", "FLOPs", "points lost"];

/// Table 5 of a reproduction: how often risk guarantees held, and their costs. `None` if the record has none.
pub(crate) fn table_of_promises(record: &ReproductionRecord) -> Option<PlainTable> {
    let first = record.promises.first()?;
    let line = |trial: &crate::record::PromiseTrial| {
        vec![
            trial.risk.clone(),
            format!("{}", 100.0 * trial.most),
            trial.rows.to_string(),
            format!("{:.3}", trial.made),
            format!("{:.3}", trial.kept),
            format!("{:.3}", trial.flops_ratio),
            format!("{:+.2}", 100.0 * trial.lost),
        ]
    };
    let mut sides = vec![Side::Right; HEADINGS.len()];
    sides[0] = Side::Left;
    Some(PlainTable {
        caption: format!("Table 5. Promises about the accelerated model on {}", record.data.name),
        lines: std::iter::once(HEADINGS.map(String::from).to_vec()).chain(record.promises.iter().map(line)).collect(),
        sides,
        notes: vec![format!(
            "The cheapest threshold that keeps a limit with a confidence of {}, by Learn then Test on so many calibration texts: \
             {} draws from the test texts, which stand for all texts, so that the true risk is known. Kept: the share of draws on which \
             the limit held; where no promise could be made the full model runs, at a cost of 1. Where answers may not differ, nothing \
             is stacked on the last exit.",
            first.confidence, first.draws
        )],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::tables::{reproduction_markdown, reproduction_text};

    #[test]
    fn promises_have_a_table_where_there_are_some() {
        let mut record = fixture::reproduction();
        let table = table_of_promises(&record).unwrap();
        assert_eq!(table.lines[1], ["accuracy lost", "1", "2000", "0.995", "0.980", "0.310", "-0.12"]);
        assert!(reproduction_text(&record).contains(&table.caption));
        assert!(reproduction_markdown(&record).contains("Table 5. Promises"));
        record.promises.clear();
        assert!(table_of_promises(&record).is_none() && !reproduction_text(&record).contains("Table 5"));
    }
}
