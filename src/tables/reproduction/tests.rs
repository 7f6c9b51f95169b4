use super::*;
use crate::fixture;
use crate::tables::reproduction_csv;

/// Cell in one row of a table, by the heading of its column.
fn cell<'a>(table: &'a Table, row: usize, heading: &str) -> &'a str {
    let column = table.headings.iter().position(|name| name == heading).expect(heading);
    &table.rows[row].cells[column]
}

fn row(record: &ReproductionRecord, group: RowGroup, method: &str, setting: &str) -> usize {
    let matches = |row: &RowRecord| (row.group, &*row.method, &*row.setting) == (group, method, setting);
    record.rows.iter().position(matches).expect(method)
}

#[test]
fn every_row_is_in_both_tables_and_in_the_csv() {
    let record = fixture::reproduction();
    let (text, markdown) = (reproduction_text(&record), reproduction_markdown(&record));
    let csv = reproduction_csv(&record);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let lines: Vec<csv::StringRecord> = reader.records().map(|line| line.unwrap()).collect();
    assert_eq!(lines.len(), record.rows.len());
    let tables = tables(&record);
    for (index, row) in record.rows.iter().enumerate() {
        for table in &tables {
            assert_eq!((cell(table, index, "method"), cell(table, index, "setting")), (&*row.method, &*row.setting));
        }
        let starts = |line: &&str| line.starts_with(&row.method) && line.contains(&row.setting);
        assert!(text.lines().filter(starts).count() >= 2, "{}", row.method);
        let starts = |line: &&str| line.starts_with(&format!("| {} | {} |", row.method, row.setting));
        assert!(markdown.lines().filter(starts).count() >= 2, "{}", row.method);
        assert_eq!((&lines[index][2], &lines[index][3]), (&*row.method, &*row.setting));
    }
    let of_rows = markdown.split("Table 3").next().unwrap();
    let cells =
        of_rows.lines().filter(|line| line.starts_with("| ")).map(|line| line.replace("\\|", "").matches('|').count());
    assert!(cells.clone().all(|count| count == 13 || count == 14), "{:?}", cells.collect::<Vec<_>>());
}

#[test]
fn numbers_of_a_row_are_in_their_columns() {
    let record = fixture::reproduction();
    let [training, inference] = tables(&record);
    let fast = row(&record, RowGroup::FastBert, "FastBERT", "speed 0.5");
    assert_eq!(cell(&inference, fast, "macro F1"), "0.912 ± 0.002");
    assert_eq!(cell(&inference, fast, "deficit (bound)"), "0.009 (0.012)");
    assert_eq!(cell(&inference, fast, "layers × heads"), "0.33");
    assert_eq!(cell(&inference, fast, "FLOPs"), "0.330");
    assert_eq!(cell(&inference, fast, "clock"), "0.36");
    assert_eq!(cell(&inference, fast, "paper F1 @ cost"), "3-FastBERT: 0.931 @ 0.10");
    assert_eq!(cell(&training, fast, "FLOPs"), "1.400");
    assert_eq!(cell(&training, fast, "paper F1 @ cost"), "–");
    let dht = row(&record, RowGroup::AsPublished, "T-DHT", "as published");
    assert_eq!(cell(&training, dht, "paper F1 @ cost"), "0.945 @ 0.42");
    assert_eq!(cell(&inference, dht, "paper F1 @ cost"), "0.945 @ 0.81");
    assert_eq!(cell(&inference, dht, "macro F1"), "0.914", "one seed has no deviation");
    assert_eq!(cell(&inference, dht, "shuffled"), "0.908");
    assert_eq!(cell(&inference, 0, "deficit (bound)"), "–");
    let ngram = row(&record, RowGroup::Ngram, "n-gram", "");
    assert_eq!((cell(&inference, ngram, "FLOPs"), cell(&inference, ngram, "clock")), ("< 0.001", "< 0.01"));
    let equal = row(&record, RowGroup::FastBert, "FastBERT", "speed 0.1");
    assert_eq!(cell(&inference, equal, "deficit (bound)"), "0.000 (0.003)", "no minus before a zero");
}

#[test]
fn failed_rows_stay_with_their_reason_and_without_numbers() {
    let record = fixture::reproduction();
    let [training, inference] = tables(&record);
    let all = row(&record, RowGroup::Ours, "P-DHT", "ours");
    for table in [&training, &inference] {
        assert!(table.rows[all].failed);
        for heading in ["macro F1", "accuracy", "deficit (bound)", "layers × heads", "FLOPs", "clock"] {
            assert_eq!(cell(table, all, heading), "–");
        }
        assert_eq!(cell(table, all, "seeds"), "0 of 3");
        assert_eq!(cell(table, all, "failed"), "seeds 0, 1, 2: out of memory");
    }
    let some = row(&record, RowGroup::AsPublished, "P-DHT", "as published");
    assert_eq!(cell(&inference, some, "seeds"), "2 of 3");
    assert!(!inference.rows[some].failed && cell(&inference, some, "failed").starts_with("seed 2: the loss"));
    let csv = reproduction_csv(&record);
    let line = csv.lines().nth(all + 1).unwrap();
    assert!(line.starts_with("ag_news,ours,P-DHT,ours,3,,\"seeds 0, 1, 2: out of memory\",,,,,"), "{line}");
}

#[test]
fn the_csv_has_every_number_at_full_precision() {
    let record = fixture::reproduction();
    let csv = reproduction_csv(&record);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let headings = reader.headers().unwrap().clone();
    let lines: Vec<csv::StringRecord> = reader.records().map(|line| line.unwrap()).collect();
    let value = |row: usize, heading: &str| {
        let column = headings.iter().position(|name| name == heading).expect(heading);
        lines[row][column].to_owned()
    };
    let fast = row(&record, RowGroup::FastBert, "FastBERT", "speed 0.5");
    let expected = &record.rows[fast];
    for (heading, number) in [
        ("macro_f1_mean", expected.macro_f1.mean),
        ("macro_f1_sd", expected.macro_f1.sd),
        ("accuracy_mean", expected.accuracy.mean),
        ("deficit", expected.deficit),
        ("deficit_upper95", expected.deficit_upper95),
        ("train_layer_head_ratio", expected.train_layer_head_ratio),
        ("train_flops_ratio", expected.train_flops_ratio),
        ("train_wall_ratio", expected.train_wall_ratio),
        ("inference_layer_head_ratio", expected.inference_layer_head_ratio),
        ("inference_flops_ratio", expected.inference_flops_ratio),
        ("inference_wall_ratio", expected.inference_wall_ratio),
        ("paper_f1", 0.931),
        ("paper_inference_cost", 0.10),
    ] {
        assert_eq!(value(fast, heading).parse::<f64>().unwrap(), number, "{heading}");
    }
    let dht = row(&record, RowGroup::AsPublished, "T-DHT", "as published");
    assert_eq!((value(dht, "seeds"), value(dht, "macro_f1_sd")), ("0".into(), String::new()));
    assert_eq!((value(dht, "paper_train_cost"), value(dht, "paper_inference_cost")), ("0.42".into(), "0.81".into()));
    assert_eq!(value(dht, "random_macro_f1_mean"), record.rows[dht].random_macro_f1.unwrap().mean.to_string());
}

#[test]
fn paper_figures_appear_beside_their_data_only_with_their_note() {
    let record = |name: &str| {
        let mut record = fixture::reproduction();
        record.data.name = name.into();
        record
    };
    let imdb = reproduction_markdown(&record("imdb"));
    assert!(imdb.contains("0.958 @ 0.83") && imdb.contains("those of Yelp P. stand beside"), "{imdb}");
    for text in [&imdb, &reproduction_text(&record("ag_news"))] {
        assert!(text.contains("withdrawn by an author in January 2024"), "{text}");
    }
    let other = record("sst2");
    for text in [reproduction_text(&other), reproduction_markdown(&other), reproduction_csv(&other)] {
        assert!(!text.contains("paper F1") && !text.contains("0.945"), "{text}");
    }
}

#[test]
fn a_record_without_rows_has_tables_of_headings() {
    let record = ReproductionRecord::default();
    assert!(reproduction_text(&record).contains("macro F1"));
    assert_eq!(reproduction_csv(&record).lines().count(), 1);
}

#[test]
fn numbers_that_are_not_finite_are_shown_as_missing() {
    let mut record = fixture::reproduction();
    record.rows.iter_mut().for_each(|row| row.failed.clear());
    record.rows[1].macro_f1 = Summary { mean: f64::NAN, sd: f64::INFINITY };
    record.rows[1].inference_wall_ratio = f64::INFINITY;
    for text in [reproduction_text(&record), reproduction_markdown(&record), reproduction_csv(&record)] {
        assert!(!text.contains("NaN") && !text.contains("inf,") && !text.contains(" inf"), "{text}");
    }
}
