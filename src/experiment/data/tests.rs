use std::fs;

use clap::Parser;
use dht_toys::outside;
use dht_transformer::error::DataProblem;
use tempfile::TempDir;

use crate::experiment::data::*;
use crate::experiment::plan::Arguments;

const ROWS: &str = "text,label\na good film,yes\na bad film,no\na good meal,yes\na bad meal,no\n";

/// Creates a temporary directory with `files`, pairs of file name and content.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn plan(data: Option<&Path>, more: &str) -> RunPlan {
    let data = data.map(|data| vec!["--data".to_owned(), data.display().to_string()]).unwrap_or_default();
    let words = more.split_whitespace().map(str::to_owned);
    let words = std::iter::once("t_dht".to_owned()).chain(data).chain(words);
    RunPlan::try_from(Arguments::try_parse_from(words).unwrap()).unwrap()
}

fn load(files: &[(&str, &str)], more: &str) -> Result<RunData> {
    let folder = folder(files);
    RunData::load(&plan(Some(folder.path()), more))
}

fn problem(files: &[(&str, &str)]) -> (Option<u64>, DataProblem) {
    match load(files, "") {
        Err(Error::Transformer(dht_transformer::Error::Data { line, problem, .. })) => (line, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn generated_texts_are_split_and_have_no_unknown_words() {
    let data = RunData::load(&plan(None, "--train-rows 200 --test-rows 50")).unwrap();
    assert_eq!((data.train.len(), data.validation.len(), data.test.len()), (180, 20, 50));
    assert_eq!(data.record.train_rows, 180);
    assert_eq!(data.record.truncated_rows, 0);
    let unknown = data.tokenizer.token_id("[UNK]").unwrap();
    let parts = [&data.train, &data.validation, &data.test];
    let mut samples = parts.iter().flat_map(|part| &part.samples);
    assert!(samples.all(|sample| !sample.encoding.ids.contains(&unknown)));
}

#[test]
fn no_generated_test_text_is_trained_on() {
    let data = RunData::load(&plan(None, "--train-rows 3000 --test-rows 1000")).unwrap();
    let test_ids: BTreeSet<&[u32]> = data.test.samples.iter().map(|sample| sample.encoding.ids.as_slice()).collect();
    let trained = data.train.samples.iter().chain(&data.validation.samples);
    assert!(trained.clone().all(|sample| !test_ids.contains(sample.encoding.ids.as_slice())));
    assert_eq!(trained.count(), 3000);
}

#[test]
fn the_seed_changes_the_split_and_not_the_data() {
    let load =
        |seed: u64| RunData::load(&plan(None, &format!("--train-rows 100 --test-rows 9 --seed {seed}"))).unwrap();
    let (first, again, other) = (load(1), load(1), load(2));
    assert_eq!(first.validation, again.validation);
    assert_ne!(first.validation, other.validation);
    assert_eq!(first.record, other.record);
    assert_eq!(first.test, other.test);
}

#[test]
fn files_are_read_with_their_labels_up_to_the_given_rows() {
    let data = load(&[("train.csv", ROWS), ("test.csv", ROWS)], "--train-rows 3 --test-rows 2").unwrap();
    assert_eq!((data.train.len(), data.validation.len(), data.test.len()), (2, 1, 2));
    assert_eq!(data.train.labels, ["no", "yes"]);
    assert_eq!(data.record.sha256.len(), 64);
}

#[test]
fn the_dev_file_replaces_only_a_missing_test_file() {
    let dev = "text,label\none row,yes\n";
    assert_eq!(load(&[("train.csv", ROWS), ("dev.csv", dev)], "").unwrap().test.len(), 1);
    assert_eq!(load(&[("train.csv", ROWS), ("dev.csv", dev), ("test.csv", ROWS)], "").unwrap().test.len(), 4);
}

#[test]
fn long_texts_are_truncated_and_counted() {
    let data = load(&[("train.csv", ROWS), ("test.csv", ROWS)], "--max-length 3").unwrap();
    assert_eq!(data.record.truncated_rows, 8);
    assert!(data.test.lengths().iter().all(|&length| length == 3));
}

#[test]
fn the_two_texts_of_a_pair_have_different_token_types() {
    let rows =
        "a,b,label\nis it so,it is so,yes\nis it so,it is not,no\nwas it so,it was so,yes\nwas it so,it was not,no\n";
    let more = "--pair --text-column a --text-column b";
    let data = load(&[("train.csv", rows), ("test.csv", rows)], more).unwrap();
    assert!(data.test.samples.iter().all(|sample| sample.encoding.type_ids.contains(&1)));
}

#[test]
fn a_missing_directory_or_a_missing_file_is_named() {
    let error = RunData::load(&plan(Some(Path::new("no/such/folder")), "")).unwrap_err();
    assert!(matches!(&error, Error::Transformer(dht_transformer::Error::Io { path, .. }) if path.ends_with("folder")));
    assert!(
        matches!(problem(&[("test.csv", ROWS)]).1, DataProblem::NoSuchSplit { wanted, .. } if wanted.contains("train.csv"))
    );
    let (_, DataProblem::NoSuchSplit { wanted, .. }) = problem(&[("train.csv", ROWS)]) else {
        panic!("another problem")
    };
    assert!(wanted.contains("test.csv") && wanted.contains("dev.csv"));
}

#[test]
fn bad_files_are_refused_with_their_line() {
    let train = ("train.csv", ROWS);
    assert_eq!(problem(&[train, ("test.csv", "")]).1, DataProblem::Empty);
    assert_eq!(problem(&[train, ("test.csv", "text,label\n")]).1, DataProblem::NoRows);
    assert_eq!(problem(&[train, ("test.csv", "text,label\nok,yes\n\0,no\n")]), (Some(3), DataProblem::Binary));
    assert_eq!(problem(&[train, ("test.csv", "text,label\n ,yes\n")]), (Some(2), DataProblem::NoText));
    let (line, problem) = problem(&[train, ("test.csv", "text,label\nfine,yes\nfine,maybe\n")]);
    assert_eq!(line, Some(3));
    assert!(matches!(problem, DataProblem::OtherLabels { labels, .. } if labels.contains("maybe")));
}

#[test]
fn too_few_rows_or_classes_are_rejected_with_the_data_name() {
    let one_row = "text,label\na good film,yes\n";
    for (rows, wrong) in [(one_row, "rows"), ("text,label\na good film,yes\na fine film,yes\n", "classes")] {
        match load(&[("train.csv", rows), ("test.csv", one_row)], "") {
            Err(Error::TooLittle { data, what, least: 2, got: 1 }) => {
                assert_eq!(what, wrong);
                assert!(data.ends_with("/train"), "{data}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_model_directory_without_a_tokenizer_is_refused() {
    let model = folder(&[(
        "config.json",
        r#"{"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 6, "num_attention_heads": 12,
            "intermediate_size": 96}"#,
    )]);
    let files = folder(&[("train.csv", ROWS), ("test.csv", ROWS)]);
    let more = format!("--model {}", model.path().display());
    let error = RunData::load(&plan(Some(files.path()), &more)).unwrap_err();
    assert!(
        matches!(&error, Error::Transformer(dht_transformer::Error::Io { path, .. }) if path.ends_with("vocab.txt"))
    );
}

#[test]
fn news_come_with_four_classes_and_keep_their_first_rows() {
    let Some(folder) = outside("DHT_DATA", "ag_news") else { return };
    let data = RunData::load(&plan(Some(&folder), "--train-rows 400 --test-rows 100")).unwrap();
    assert_eq!((data.train.len(), data.validation.len(), data.test.len()), (360, 40, 100));
    assert_eq!(data.train.labels, ["1", "2", "3", "4"]);
    assert_eq!(data.record.name, "ag_news");
}

#[test]
fn sentence_pairs_are_read_from_a_tsv_with_its_dev_file_as_test() {
    let Some(folder) = outside("DHT_DATA", "glue/rte") else { return };
    let more = "--pair --text-column sentence1 --text-column sentence2 --train-rows 100";
    let data = RunData::load(&plan(Some(&folder), more)).unwrap();
    assert_eq!(data.test.len(), 277);
    assert_eq!(data.test.labels, ["entailment", "not_entailment"]);
    assert!(data.test.samples.iter().all(|sample| sample.encoding.type_ids.contains(&1)));
}

#[test]
fn a_file_that_its_checksum_does_not_fit_is_refused() {
    let files = [("train.csv", ROWS), ("test.csv", ROWS)];
    let whole = load(&files, "").unwrap().record;
    let sums = |train: &str| format!("{train}  ./train.csv\n{train}  train.csv\n{}  test.csv\n", whole.test_sha256);
    load(&[files[0], files[1], ("SHA256SUMS", &sums(&whole.sha256))], "").unwrap();
    let error = load(&[files[0], files[1], ("SHA256SUMS", &sums(&"0".repeat(64)))], "").unwrap_err();
    assert!(
        matches!(error, Error::Checksum { .. }) && error.to_string().contains("not completely downloaded"),
        "{error}"
    );
}

#[test]
fn extra_test_rows_are_the_training_rows_after_those_trained_on() {
    let more =
        "text,label\na good film,yes\na bad film,no\na good meal,yes\na bad meal,no\na good dog,yes\na bad dog,no\n";
    let data = load(&[("train.csv", more), ("test.csv", ROWS)], "--train-rows 4 --extra-test-rows 5").unwrap();
    assert_eq!((data.record.train_rows + data.record.validation_rows, data.record.test_rows), (4, 4 + 2));
    let labels: Vec<u32> = data.test.samples[4..].iter().map(|sample| sample.label).collect();
    assert_eq!(labels, [1, 0]);
    let flags = "--train-rows 4 --extra-test-rows 5 --skip-rows 1";
    let data = load(&[("train.csv", more), ("test.csv", ROWS)], flags).unwrap();
    let labels: Vec<u32> = data.test.samples[4..].iter().map(|sample| sample.label).collect();
    assert_eq!((data.record.train_rows + data.record.validation_rows, labels), (4, vec![0]));
}
