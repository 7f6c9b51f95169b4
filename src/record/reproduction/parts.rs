//! Merging of result files of one reproduction that was run in parts.

use super::{ReproductionRecord, RowRecord};

impl ReproductionRecord {
    /// Merges result files of one reproduction that was run in parts. Two files are merged if they have the same texts,
    /// model, settings and machine, and if their common results show that their full models are the same. The first
    /// file gets the results that it lacks.
    ///
    /// If both files have a result, the first file's is used. Times remain ratios to the full model of the run that
    /// measured them.
    pub fn joined(records: Vec<Self>) -> Vec<Self> {
        let mut joined: Vec<Self> = Vec::new();
        for record in records {
            match joined.iter_mut().find(|earlier| earlier.is_part_with(&record)) {
                Some(earlier) => earlier.add(record),
                None => joined.push(record),
            }
        }
        joined
    }

    fn is_part_with(&self, other: &Self) -> bool {
        let about = |record: &Self| (record.schema, record.data.clone(), record.model, record.machine.clone());
        let mut common = self.rows.iter().filter_map(|row| Some((row, other.row_of(row)?))).peekable();
        about(self) == about(other)
            && self.settings == other.settings
            && common.peek().is_some()
            && common.all(|(own, others)| own.answers() == others.answers())
    }

    fn row_of(&self, row: &RowRecord) -> Option<&RowRecord> {
        self.rows.iter().find(|own| own.name() == row.name())
    }

    /// Adds the result rows that this record lacks. A new row is inserted after the last row of its group of methods
    /// or, without such a row, of an earlier group.
    fn add(&mut self, other: Self) {
        for row in other.results.rows {
            if self.row_of(&row).is_none() {
                let at = self.rows.iter().rposition(|own| own.group <= row.group).map_or(0, |last| last + 1);
                self.rows.insert(at, row);
            }
        }
        self.command.push("and".into());
        self.command.extend(other.command);
        self.at_costs = self.at_costs.take().or(other.results.at_costs);
        if self.promises.is_empty() {
            self.promises = other.results.promises;
        }
    }
}

impl RowRecord {
    fn name(&self) -> (&str, &str, usize) {
        (&self.method, &self.setting, self.epochs)
    }

    /// Numbers of a result row that are the same whenever the run is repeated, unlike times in seconds.
    fn answers(&self) -> impl PartialEq + '_ {
        (&self.seeds, &self.failed, &self.macro_f1, &self.accuracy, self.train_flops_ratio, self.inference_flops_ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{AtCosts, Record, Reproduction, RowGroup, Summary};

    /// Test record with one result row for each pair of group and method name.
    fn record(rows: &[(RowGroup, &str)]) -> ReproductionRecord {
        let row = |(group, method): &(RowGroup, &str)| RowRecord {
            group: *group,
            method: (*method).into(),
            seeds: vec![0],
            accuracy: Summary { mean: 0.88, sd: 0.0 },
            inference_wall_ratio: 1.0,
            ..RowRecord::default()
        };
        let command = std::iter::once("reproduce").chain(rows.iter().map(|(_, method)| *method));
        let results = Reproduction { rows: rows.iter().map(row).collect(), ..Reproduction::default() };
        Record { command: command.map(String::from).collect(), results, ..Record::default() }
    }

    fn first() -> ReproductionRecord {
        let rows = [
            (RowGroup::Full, "full"),
            (RowGroup::Ngram, "n-gram"),
            (RowGroup::Truncation, "truncation"),
            (RowGroup::Ngram, "n-gram cascade"),
            (RowGroup::Accelerated, "accelerated"),
        ];
        let mut first = record(&rows);
        first.at_costs = Some(AtCosts::default());
        first
    }

    fn second() -> ReproductionRecord {
        record(&[
            (RowGroup::Full, "full"),
            (RowGroup::Full, "full, longer"),
            (RowGroup::FastBert, "FastBERT"),
            (RowGroup::AsPublished, "T-DHT"),
        ])
    }

    #[test]
    fn parts_of_one_reproduction_join_in_table_order() {
        let mut later = second();
        later.at_costs = Some(AtCosts { costs: vec![0.5], ..AtCosts::default() });
        later.rows[0].inference_wall_ratio = 1.01;
        let joined = ReproductionRecord::joined(vec![first(), later]);
        let [joined] = &joined[..] else { panic!("{} records", joined.len()) };
        let methods: Vec<&str> = joined.rows.iter().map(|row| &*row.method).collect();
        let expected =
            ["full", "full, longer", "n-gram", "truncation", "FastBERT", "n-gram cascade", "accelerated", "T-DHT"];
        assert_eq!(methods, expected);
        // Rows that both records have come from the first record.
        assert_eq!((joined.rows[0].inference_wall_ratio, &joined.at_costs), (1.0, &first().at_costs));
        assert_eq!(
            joined.command.join(" "),
            format!("{} and {}", first().command.join(" "), second().command.join(" "))
        );
    }

    #[test]
    fn records_whose_full_models_or_settings_differ_stay_apart() {
        let apart = |change: &dyn Fn(&mut ReproductionRecord)| {
            let mut other = second();
            change(&mut other);
            let records = vec![first(), other];
            assert_eq!(ReproductionRecord::joined(records.clone()), records);
        };
        apart(&|other| other.rows[0].accuracy.mean += 1e-9);
        apart(&|other| other.rows[0].seeds.push(9));
        apart(&|other| _ = other.rows.remove(0));
        apart(&|other| other.data.test_sha256.push('0'));
        apart(&|other| other.machine.cores += 1);
        apart(&|other| other.model.layers += 1);
        apart(&|other| _ = other.settings.insert("epochs".into(), 99.into()));
    }
}
