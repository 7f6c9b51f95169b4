use super::*;
use crate::error::{Error, RecordProblem};

fn record() -> RunRecord {
    let full = ModelResult { macro_f1: 0.9, train_flops: 1000, inference_flops: 100, ..seconds(8.0, 4.0) };
    let result = ModelResult { macro_f1: 0.89, train_flops: 500, inference_flops: 25, ..seconds(6.0, 1.0) };
    RunRecord {
        schema: RunRecord::SCHEMA,
        preset: "T-DHT".into(),
        seed: 3,
        command: vec!["t_dht".into(), "--seed".into(), "3".into()],
        data: DataRecord { name: "embedded".into(), train_rows: 10, test_rows: 2, ..DataRecord::default() },
        model: ModelRecord { layers: 12, heads: 12, hidden: 96, ffn: 384, parameters: 5 },
        full,
        truncated: BTreeMap::from([(3, full), (12, full)]),
        dynamic: DynamicResult { random_macro_f1: 0.8, ..DynamicResult::beside(&full, result) },
        search: SearchResult { dynamic: DynamicResult::beside(&full, result), ..SearchResult::default() },
        operating_points: vec![OperatingPoint { lambda: 0.25, macro_f1: 0.89, ..OperatingPoint::default() }],
        routes: RouteCounts { train: BTreeMap::from([("12L8H".into(), 10)]), ..RouteCounts::default() },
        curves: Curves::default(),
        difficulties: vec![],
        settings: BTreeMap::from([("limit".into(), Value::Null)]),
        machine: Machine::default(),
    }
}

fn seconds(train_seconds: f64, inference_seconds: f64) -> ModelResult {
    ModelResult { train_seconds, inference_seconds, ..ModelResult::default() }
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
    record().save(&path).unwrap();
    assert_eq!(RunRecord::load(&path).unwrap(), record());
    let first = std::fs::read(&path).unwrap();
    record().save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);
}

#[test]
fn the_fields_have_their_documented_paths() {
    let json = serde_json::to_value(record()).unwrap();
    let points = ["lambda", "inference_flops_ratio", "macro_f1", "random_macro_f1", "truncated_macro_f1"]
        .map(|field| format!("/knob/0/{field}"));
    let others = [
        "/truncated/3/macro_f1",
        "/dynamic/macro_f1",
        "/dynamic/optimizer_seconds",
        "/search/macro_f1",
        "/search/optimizer_seconds",
        "/search/regret/regret",
        "/search/oracle/macro_f1",
        "/full/train_flops",
    ];
    for path in points.iter().map(String::as_str).chain(others) {
        assert!(json.pointer(path).is_some_and(Value::is_number), "{path}");
    }
    assert_eq!(json["routes"]["train"]["12L8H"], 10);
    assert_eq!(json["data"]["truncated_rows"], 0);
}

#[test]
fn ratios_are_those_to_the_full_model() {
    let dynamic = record().dynamic;
    assert_eq!((dynamic.train_flops_ratio, dynamic.inference_flops_ratio), (0.5, 0.25));
    assert_eq!((dynamic.train_wall_ratio, dynamic.inference_wall_ratio), (0.75, 0.25));
}

#[test]
fn a_number_that_json_cannot_represent_is_refused_with_its_path_and_the_old_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    record().save(&path).unwrap();
    let mut bad = record();
    bad.truncated.get_mut(&12).unwrap().accuracy = f64::NAN;
    let field = "truncated.12.accuracy".into();
    assert_eq!(problem(bad.save(&path)), RecordProblem::NotFinite { field });
    assert_eq!(RunRecord::load(&path).unwrap(), record());
}

#[test]
fn foreign_and_torn_files_and_those_of_other_releases_are_refused_with_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        problem(RunRecord::load(&path))
    };
    let json = serde_json::to_string(&record()).unwrap();
    let expected = RunRecord::SCHEMA;
    let alone = format!("{{\"schema\": {expected}}}");
    for text in ["", "[]", "{}", &alone, &json[..json.len() / 2]] {
        assert!(matches!(load(text), RecordProblem::Content { .. }), "{text}");
    }
    for found in [1, 7] {
        let problem = load(&format!("{{\"schema\": {found}}}"));
        assert_eq!(problem, RecordProblem::OtherVersion { found, expected });
    }
    let missing = RunRecord::load(folder.path().join("none.json"));
    assert!(matches!(missing, Err(Error::Transformer(dht_transformer::Error::Io { .. }))));
}
