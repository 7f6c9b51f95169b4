use dht_transformer::{Precision, config::ModelSize, data::Column};

use crate::experiment::plan::*;

fn plan(line: &str) -> Result<RunPlan> {
    let words = std::iter::once("t_dht").chain(line.split_whitespace());
    RunPlan::try_from(Arguments::try_parse_from(words).unwrap())
}

fn flag(line: &str) -> &'static str {
    match plan(line) {
        Err(Error::Argument { flag, .. } | Error::Needs { flag, .. }) => flag,
        other => panic!("{line} gave {other:?}"),
    }
}

#[test]
fn without_flags_a_small_model_trains_on_generated_texts() {
    let plan = plan("").unwrap();
    assert_eq!(plan.data, DataSource::Embedded);
    assert_eq!(plan.model, Model::Size(ModelSize { layers: 7, heads: 12, hidden: 96 }));
    assert_eq!((plan.train_rows, plan.test_rows), (None, None));
    assert_eq!((plan.learning_rate, plan.max_length), (SCRATCH_RATE, MAX_LENGTH));
    assert_eq!(plan.settings, SettingsChoice::Ours);
    assert_eq!(plan.epochs, EPOCHS_OF_GENERATED_TEXTS);
}

#[test]
fn every_flag_is_in_the_plan() {
    let line = "--data d --model 12x4x32 --text-column title --text-column 2 --label-column 0 --pair --max-length 64 \
                --train-rows 20 --test-rows 10 --epochs 2 --batch 8 --lr 2e-4 --seed 5 --device cpu --precision bf16 --settings paper --quiet";
    let expected = RunPlan {
        data: DataSource::Directory {
            folder: "d".into(),
            text: vec![Column::Name("title".into()), Column::Number(2)],
            label: Some(Column::Number(0)),
            pair: true,
        },
        model: Model::Size(ModelSize { layers: 12, heads: 4, hidden: 32 }),
        max_length: 64,
        train_rows: Some(20),
        test_rows: Some(10),
        extra_test_rows: 0,
        skip_rows: 0,
        epochs: 2,
        batch: 8,
        learning_rate: 2e-4,
        seed: 5,
        device: DeviceChoice::Cpu,
        precision: Precision::Bf16,
        settings: SettingsChoice::Paper,
        quiet: true,
        flags: Arguments::parse_from(std::iter::once("t_dht").chain(line.split_whitespace())).flags(),
    };
    assert_eq!(plan(line).unwrap(), expected);
    // Each value differs from the flag's default.
    let default = plan("").unwrap();
    assert_ne!((expected.device, expected.precision), (default.device, default.precision));
    assert_ne!(expected.batch, default.batch);
}

#[test]
fn impossible_values_are_refused_by_their_flag() {
    for (line, wrong) in [
        ("--epochs 0", "epochs"),
        ("--batch 0", "batch"),
        ("--train-rows 0", "train-rows"),
        ("--train-rows 1", "train-rows"),
        ("--test-rows 0", "test-rows"),
        ("--lr 0", "lr"),
        ("--lr=-1e-3", "lr"),
        ("--lr NaN", "lr"),
        ("--lr inf", "lr"),
        ("--max-length 2", "max-length"),
        ("--max-length 513", "max-length"),
        ("--data d --pair --max-length 4", "max-length"),
        ("--model no/such/directory", "model"),
        ("--model 6x12", "model"),
        ("--text-column a", "text-column"),
        ("--label-column a", "label-column"),
        ("--pair", "pair"),
        ("--data d --pair --text-column a", "pair"),
        ("--data d --text-column a --label-column a", "text-column"),
        ("--data d --text-column a --text-column a", "text-column"),
        ("--paper-lengths", "paper-lengths"),
        ("--data data/imdb --paper-lengths", "paper-lengths"),
    ] {
        assert_eq!(flag(line), wrong, "{line}");
    }
}

#[test]
fn paper_lengths_are_those_of_the_data_set() {
    for (data, tokens) in [("ag_news", 128), ("dbpedia_14", 128), ("yelp_review_polarity/", 300), ("YELP-full", 300)] {
        assert_eq!(plan(&format!("--data some/{data} --paper-lengths")).unwrap().max_length, tokens, "{data}");
    }
    let words = ["t_dht", "--data", "ag_news", "--paper-lengths", "--max-length", "64"];
    assert!(Arguments::try_parse_from(words).is_err(), "one length or the other");
}

#[test]
fn an_impossible_size_is_refused() {
    assert!(matches!(plan("--model 6x12x100"), Err(Error::Transformer(_))), "heads do not divide the width");
    assert!(matches!(plan("--model 1x12x96"), Err(Error::Search(_))), "one layer is too small for a search");
}

#[test]
fn a_model_directory_has_its_own_limits() {
    let folder = tempfile::tempdir().unwrap();
    let line = |more: &str| format!("--model {} {more}", folder.path().display());
    assert!(matches!(plan(&line("")), Err(Error::Transformer(dht_transformer::Error::Io { .. }))));
    let config = r#"{"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 6, "num_attention_heads": 12,
                     "intermediate_size": 96, "max_position_embeddings": 40}"#;
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let plan_of = |more: &str| plan(&line(more));
    assert_eq!(plan_of("").unwrap().max_length, 40);
    assert_eq!(plan_of("").unwrap().learning_rate, FINE_TUNING_RATE);
    assert!(matches!(plan_of("--max-length 41"), Err(Error::Argument { flag: "max-length", .. })));
    let beyond = plan_of("--data ag_news --paper-lengths");
    assert!(matches!(beyond, Err(Error::Argument { flag: "paper-lengths", .. })), "{beyond:?}");
    let config = config.replace("\"hidden_size\": 24", "\"hidden_size\": 25");
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    assert!(matches!(plan_of(""), Err(Error::Transformer(_))));
}

#[test]
fn unknown_flags_and_values_are_usage_errors() {
    for line in ["--no-such-flag", "--epochs many", "--device tpu", "--seed -1"] {
        let words = std::iter::once("t_dht").chain(line.split_whitespace());
        assert!(Arguments::try_parse_from(words).is_err(), "{line}");
    }
}
