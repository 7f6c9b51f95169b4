use std::path::Path;

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
    assert_eq!((plan.settings, plan.dispatch), (SettingsChoice::Ours, DispatchChoice::InFlight));
    assert_eq!(plan.epochs, EPOCHS_OF_GENERATED_TEXTS);
    assert_eq!(plan.out_of(Preset::TDht), Path::new("target/dht/t_dht"));
    assert_eq!(plan.out_of(Preset::PDht), Path::new("target/dht/p_dht"));
}

#[test]
fn every_flag_is_in_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("space.toml");
    let text = "layers = 12\nheads = 4\nexits = [3, 12]\nsearch = { kind = \"tree\", heads = [[2, 4]] }\n";
    std::fs::write(&file, text).unwrap();
    let line = "--data d --model 12x4x32 --text-column title --text-column 2 --label-column 0 --pair --max-length 64 \
                --train-rows 20 --test-rows 10 --epochs 2 --batch 8 --lr 2e-4 --seed 5 --device cpu --precision bf16 --settings paper --dispatch in-flight \
                --out o --resume --quiet";
    let line = &format!("{line} --space {}", file.display());
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
        dispatch: DispatchChoice::InFlight,
        decide: Decision::AtTheBase,
        space: Some(SpaceConfig::from_toml_str(text).unwrap()),
        out: Some("o".into()),
        start: Start::Resume,
        quiet: true,
        flags: Arguments::parse_from(std::iter::once("t_dht").chain(line.split_whitespace())).flags(),
    };
    assert_eq!(plan(line).unwrap(), expected);
    // None of them equals its default.
    let default = plan("").unwrap();
    assert_ne!((expected.device, expected.precision), (default.device, default.precision));
    assert_ne!(expected.batch, default.batch);
    assert_eq!(default.space, None);
    assert_eq!((default.start, plan("--restart").unwrap().start), (Start::New, Start::Restart));
    assert!(Arguments::try_parse_from(["t_dht", "--resume", "--restart"]).is_err());
    let other_size = plan(&line.replace("12x4x32", "6x4x32"));
    assert!(matches!(other_size, Err(Error::Argument { flag: "space", .. })), "{other_size:?}");
    std::fs::write(&file, text.replace("[3, 12]", "[3, 13]")).unwrap();
    let error = plan(line).unwrap_err().to_string();
    assert!(error.contains("space.toml") && error.contains("exit 1 is at depth 13"), "{error}");
}

#[test]
fn with_the_papers_settings_samples_queue_and_p_dht_runs_two_epochs_before_the_switch_and_two_after() {
    let of = |preset, line: &str| {
        let words = std::iter::once("dht").chain(line.split_whitespace());
        RunPlan::of_preset(preset, Arguments::try_parse_from(words).unwrap()).unwrap()
    };
    for (line, epochs) in [("--settings paper", EPOCHS_OF_GENERATED_TEXTS), ("--settings paper --data d", EPOCHS)] {
        let (tree, frozen) = (of(Preset::TDht, line), of(Preset::PDht, line));
        assert_eq!(tree.dispatch, DispatchChoice::Queue);
        assert_eq!((tree.epochs, frozen.epochs), (epochs, 4));
        assert_eq!(tree, plan(line).unwrap());
    }
    assert_eq!(of(Preset::PDht, "--settings paper --epochs 7").epochs, 7);
    assert_eq!(of(Preset::PDht, "--data d").epochs, EPOCHS);
}

#[test]
fn impossible_values_are_refused_by_their_flag() {
    for (line, wrong) in [
        ("--epochs 0", "epochs"),
        ("--batch 0", "batch"),
        ("--train-rows 0", "train-rows"),
        ("--train-rows 1", "train-rows"),
        ("--test-rows 0", "test-rows"),
        ("--settings paper --decide at-every-exit", "decide"),
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
    for line in ["--no-such-flag", "--epochs many", "--device tpu", "--dispatch later", "--seed -1"] {
        let words = std::iter::once("t_dht").chain(line.split_whitespace());
        assert!(Arguments::try_parse_from(words).is_err(), "{line}");
    }
}

#[test]
fn the_example_of_a_space_is_for_the_default_model() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/spaces/early_exits.toml");
    let space = plan(&format!("--space {}", file.display())).unwrap().space.unwrap();
    assert_eq!(space.exits, [1, 2, 3, 7]);
}
