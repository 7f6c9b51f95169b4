use super::*;
use crate::error::{Error, RecordProblem};

fn record() -> ReproductionRecord {
    let scores = |macro_f1: &[f64]| RowRecord {
        method: "truncation".into(),
        setting: "3 layers".into(),
        group: RowGroup::Truncation,
        seeds: (0..macro_f1.len() as u64).collect(),
        failed: BTreeMap::from([(7, "out of memory".into())]),
        macro_f1: Summary::of(macro_f1),
        routes: Some(RouteCounts { test: BTreeMap::from([("3L12H".into(), 9)]), ..RouteCounts::default() }),
        curves: Some(Curves::default()),
        deviations: vec!["fewer epochs".into()],
        ..RowRecord::default()
    };
    ReproductionRecord {
        schema: ReproductionRecord::SCHEMA,
        settings: BTreeMap::from([("limit".into(), Value::Null)]),
        rows: vec![scores(&[0.9]), scores(&[0.9, 0.91]), scores(&[])],
        ..ReproductionRecord::default()
    }
}

fn problem(result: Result<impl Sized>) -> RecordProblem {
    match result {
        Err(Error::Record { problem, .. }) => problem,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn a_saved_reproduction_loads_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    record().save(&path).unwrap();
    assert_eq!(ReproductionRecord::load(&path).unwrap(), record());
}

#[test]
fn a_number_that_is_not_finite_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    let mut bad = record();
    bad.rows[2].macro_f1.sd = f64::INFINITY;
    assert_eq!(problem(bad.save(&path)), RecordProblem::NotFinite { field: "rows.2.macro_f1.sd".into() });
    assert!(!path.exists());
}

#[test]
fn earlier_later_and_foreign_records_are_refused_with_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        problem(ReproductionRecord::load(&path))
    };
    let expected = ReproductionRecord::SCHEMA;
    for found in [0, u64::from(expected) + 1] {
        let problem = load(&format!("{{\"schema\": {found}}}"));
        assert_eq!(problem, RecordProblem::OtherVersion { found, expected });
        assert!(problem.to_string().contains(&format!("schema {found}, expected {expected}")));
    }
    let run = format!("{{\"schema\": {expected}, \"preset\": \"T-DHT\"}}");
    for text in ["", "{}", "{\"schema\": 1}", &run] {
        assert!(matches!(load(text), RecordProblem::Content { .. }), "{text}");
    }
    let missing = ReproductionRecord::load(folder.path().join("none.json"));
    assert!(matches!(missing, Err(Error::Transformer(dht_transformer::Error::Io { .. }))));
}

#[test]
fn a_summary_is_the_mean_and_the_sample_deviation() {
    let summary = Summary::of(&[0.90, 0.92, 0.94]);
    assert!((summary.mean - 0.92).abs() < 1e-12 && (summary.sd - 0.02).abs() < 1e-12, "{summary:?}");
    assert_eq!(Summary::of(&[0.9]), Summary { mean: 0.9, sd: 0.0 });
}
