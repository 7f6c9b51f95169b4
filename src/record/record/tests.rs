use dht_search::training::Curves;

use super::*;
use crate::record::{Reproduction, ReproductionRecord, RouteCounts, RowRecord, Summary};

/// Test record with numeric keys and a setting that is null; all other fields have defaults.
fn record() -> ReproductionRecord {
    let row = RowRecord {
        method: "truncation".into(),
        failed: BTreeMap::from([(7, "out of memory".into())]),
        macro_f1: Summary::new(&[0.9, 0.91]),
        routes: Some(RouteCounts { test: BTreeMap::from([("3L12H".into(), 9)]), ..RouteCounts::default() }),
        curves: Some(Curves { depth_share: BTreeMap::from([(3, vec![1.0])]), ..Curves::default() }),
        ..RowRecord::default()
    };
    let results = Reproduction { rows: vec![row, RowRecord::default()], ..Reproduction::default() };
    let settings = BTreeMap::from([("limit".into(), Value::Null)]);
    Record::new(vec!["reproduce".into()], DataRecord::default(), results, settings, Machine::default())
}

fn problem(result: Result<impl Sized>) -> RecordProblem {
    match result {
        Err(Error::Record { problem, .. }) => problem,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn a_saved_record_loads_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    let record = record();
    record.save(&path).unwrap();
    assert_eq!(ReproductionRecord::load(&path).unwrap(), record);
    let first = std::fs::read(&path).unwrap();
    record.save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);
}

#[test]
fn a_non_finite_number_is_rejected_and_the_old_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    let record = record();
    record.save(&path).unwrap();
    let mut bad = record.clone();
    bad.rows[1].deficit = f64::NAN;
    assert_eq!(problem(bad.save(&path)), RecordProblem::NotFinite { field: "rows.1.deficit".into() });
    assert_eq!(ReproductionRecord::load(&path).unwrap(), record);
}

#[test]
fn foreign_torn_and_other_version_files_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        problem(ReproductionRecord::load(&path))
    };
    let json = serde_json::to_string(&record()).unwrap();
    let expected = Reproduction::SCHEMA;
    let alone = format!("{{\"schema\": {expected}}}");
    for text in ["", "[]", "{}", &alone, &json[..json.len() / 2]] {
        assert!(matches!(load(text), RecordProblem::Content { .. }), "{text}");
    }
    for found in [0, 7] {
        let problem = load(&format!("{{\"schema\": {found}}}"));
        assert_eq!(problem, RecordProblem::OtherVersion { found, expected });
    }
    let missing = ReproductionRecord::load(folder.path().join("none.json"));
    assert!(matches!(missing, Err(Error::Transformer(dht_transformer::Error::Io { .. }))));
}
