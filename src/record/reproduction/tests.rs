use super::*;
use crate::error::Error;
use crate::fixture;

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
    fixture::reproduction().save(&path).unwrap();
    assert_eq!(ReproductionRecord::load(&path).unwrap(), fixture::reproduction());
}

#[test]
fn a_number_that_is_not_finite_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    let mut record = fixture::reproduction();
    record.rows[2].macro_f1.sd = f64::INFINITY;
    assert_eq!(problem(record.save(&path)), RecordProblem::NotFinite { field: "rows.2.macro_f1.sd".into() });
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
    let run = serde_json::to_string(&fixture::record()).unwrap();
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
