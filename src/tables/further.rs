//! Tables 3 to 5 of a reproduction, which follow the two tables of the DHT paper.

use super::at_costs::{PlainTable, tables_at_costs};
use super::promises::table_of_promises;
use crate::record::ReproductionRecord;

/// Tables 3 to 5 of a reproduction (accuracies at costs, comparisons, risk guarantees), as far as the record has their
/// data.
pub(crate) fn further_tables(record: &ReproductionRecord) -> Vec<PlainTable> {
    tables_at_costs(record).into_iter().chain(table_of_promises(record)).collect()
}
