//! A small run: its record is consistent, and wrong input is refused.

use std::path::Path;

use clap::Parser;
use dht_lab::record::{ModelResult, RunRecord};
use dht_lab::{Arguments, Error, FIGURES, Result, RunPlan, run, text_table};
use dht_search::Preset;

fn job(arguments: &[&str], out: &Path) -> Result<RunRecord> {
    let out = out.to_string_lossy();
    let fixed = ["t_dht", "--quiet", "--epochs", "1", "--model", "6x12x24", "--out", &*out];
    run(Preset::TDht, &RunPlan::try_from(Arguments::parse_from(fixed.iter().chain(arguments)))?)
}

/// The record without measured seconds.
fn timeless(record: &RunRecord) -> RunRecord {
    let mut record = record.clone();
    let without_seconds = |result: &mut ModelResult| {
        (result.train_seconds, result.inference_seconds, result.optimizer_seconds) = (0.0, 0.0, 0.0);
    };
    without_seconds(&mut record.full);
    record.truncated.values_mut().for_each(without_seconds);
    for dynamic in [&mut record.dynamic, &mut record.search.dynamic] {
        without_seconds(&mut dynamic.result);
        (dynamic.train_wall_ratio, dynamic.inference_wall_ratio) = (0.0, 0.0);
    }
    record.search.bandit_seconds = 0.0;
    record.settings.remove("tokenizing_seconds");
    record
}

#[test]
fn a_record_is_consistent_and_equal_to_that_of_another_run_with_its_seed() {
    for dispatch in ["in-flight", "queue"] {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["--train-rows", "640", "--test-rows", "60", "--dispatch", dispatch];
        let record = job(&arguments, folder.path()).unwrap();
        assert_eq!(RunRecord::load(folder.path().join("record.json")).unwrap(), record);
        for (name, _) in FIGURES {
            assert!(folder.path().join(name).is_file(), "{name}");
        }
        let mut command = "experiment --model 6x12x24 --train-rows 640 --test-rows 60 --epochs 1".to_owned();
        if dispatch == "queue" {
            command.push_str(" --dispatch queue");
        }
        assert_eq!(record.command.join(" "), command);
        assert_eq!(record.data.train_rows + record.data.validation_rows, 640);
        assert_eq!(record.routes.train.values().sum::<u64>(), record.data.train_rows as u64, "{dispatch}");
        assert_eq!(record.routes.test.values().sum::<u64>(), 60);
        assert_eq!(record.truncated.keys().copied().collect::<Vec<_>>(), [1, 2, 4]);
        let full = record.full.inference_flops as f64;
        for dynamic in [&record.dynamic, &record.search.dynamic] {
            assert_eq!(dynamic.inference_flops_ratio, dynamic.result.inference_flops as f64 / full);
        }
        assert!(record.dynamic.train_flops_ratio > 1.0, "the full model, and what was fitted on it");
        for points in [&record.operating_points, &record.search.operating_points] {
            assert!(points.len() >= 6);
            for point in points {
                assert_eq!(point.truncated_macro_f1, record.truncated_macro_f1_at(point.inference_flops_ratio));
            }
        }
        assert!(
            record.operating_points[0].inference_flops_ratio < 0.01,
            "at the highest speed only the n-gram model answers"
        );
        assert_eq!(record.search.regret.fixed.len(), 4);
        for (depth, result) in &record.truncated {
            let share = result.inference_flops as f64 / full;
            assert!((share - *depth as f64 / 6.0).abs() < 0.01, "{depth} layers cost {share}");
        }
        assert!(!folder.path().join("checkpoints").exists(), "a finished run leaves no checkpoints");

        let again = job(&arguments, tempfile::tempdir().unwrap().path()).unwrap();
        assert_eq!(timeless(&record), timeless(&again), "{dispatch}");
    }
}

/// Layers × heads of a route in its notation: `3L12H+2L8H` is 52.
fn layer_heads(route: &str) -> f64 {
    let segment = |segment: &str| -> Option<f64> {
        let (layers, heads) = segment.strip_suffix('H')?.split_once('L')?;
        Some(layers.parse::<f64>().ok()? * heads.parse::<f64>().ok()?)
    };
    route.split('+').map(|part| segment(part).unwrap_or_else(|| panic!("{route}"))).sum()
}

#[test]
fn every_preset_runs_and_its_record_agrees_with_a_count_by_hand() {
    for preset in Preset::ALL {
        let folder = tempfile::tempdir().unwrap();
        let epochs = if preset == Preset::PDht { 3 } else { 1 };
        let record = run(preset, &plan_of(preset, epochs, folder.path())).unwrap();
        assert_eq!(record.preset, preset.name());
        let rows = record.data.train_rows as u64;
        assert_eq!(record.routes.train.values().sum::<u64>(), epochs * rows, "{preset}");
        // In the short notation, `6L8H`, the base still runs all twelve heads.
        let space = preset.space(6, 12).unwrap();
        let base = space.base().map_or(0, |base| base.len());
        let of = |route: &String| {
            let even = !route.contains('+') && base > 0;
            let heads = route.split_once('L').unwrap().1.trim_end_matches('H').parse::<f64>();
            let more = if even { base as f64 * (12.0 - heads.unwrap()) } else { 0.0 };
            layer_heads(route) + more
        };
        let sum: f64 = record.routes.test.iter().map(|(route, count)| of(route) * *count as f64).sum();
        let by_hand = sum / (72.0 * record.data.test_rows as f64);
        let recorded = record.search.dynamic.inference_layer_head_ratio;
        assert!((recorded - by_hand).abs() < 1e-9, "{preset}: {recorded}, {by_hand} by hand");
        let all: Vec<String> = match preset {
            Preset::PDht => {
                let both = [Preset::FDht, Preset::PDht].map(|preset| preset.space(6, 12).unwrap());
                both.iter().flat_map(|space| space.routes()).map(|(_, route)| route.to_string()).collect()
            }
            _ => space.routes().into_iter().map(|(_, route)| route.to_string()).collect(),
        };
        assert!(record.routes.train.keys().all(|route| all.contains(route) || *route == "6L12H"), "{preset}");
        assert!(preset != Preset::PDht || record.routes.test.keys().all(|route| route.ends_with("+2L12H")));
    }
}

fn plan_of(preset: Preset, epochs: u64, out: &Path) -> RunPlan {
    let (epochs, out) = (epochs.to_string(), out.to_string_lossy());
    let arguments = ["dht", "--quiet", "--train-rows", "640", "--test-rows", "60", "--model", "6x12x24"];
    let arguments = arguments.into_iter().chain(["--epochs", &epochs, "--out", &*out]);
    let plan = RunPlan::try_from(Arguments::parse_from(arguments)).expect("a plan of allowed flags");
    assert_eq!(plan.out_of(preset), Path::new(&*out));
    plan
}

#[test]
fn with_the_papers_settings_record_and_output_list_where_a_run_differs_from_the_print() {
    for preset in [Preset::TDht, Preset::PDht] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_string_lossy();
        let words =
            ["dht", "--quiet", "--train-rows", "200", "--test-rows", "60", "--model", "6x12x24", "--out", &*out];
        let arguments = Arguments::parse_from(words.iter().chain(&["--settings", "paper"]));
        let plan = RunPlan::of_preset(preset, arguments).unwrap();
        let record = run(preset, &plan).unwrap();
        assert_eq!(record.preset, format!("{preset}, the paper's settings"));
        assert!(record.command.join(" ").ends_with("--settings paper"), "{:?}", record.command);
        assert_eq!(record.settings["search"]["dispatch"], serde_json::json!({"queue": {"size": 32}}));
        let listed: Vec<&str> =
            record.settings["deviations"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        assert!(listed.iter().any(|line| line.contains("drained")), "{listed:?}");
        assert!(listed.contains(&"the encoder has 6 layers of 12 heads and width 24; 12 of 12 and 768 as published"));
        let text = text_table(&record);
        assert!(listed.iter().all(|line| text.contains(&format!("\n - {line}"))), "{text}");
        let (routes, epochs) = (&record.routes.train, record.settings["epochs"].as_u64().unwrap());
        let rows = record.data.train_rows as u64;
        assert_eq!(routes.values().sum::<u64>(), epochs * rows);
        if preset == Preset::PDht {
            let frozen = routes.iter().filter(|(route, _)| route.ends_with("+2L12H")).map(|(_, count)| count);
            assert_eq!((epochs, frozen.sum::<u64>()), (4, 2 * rows), "two epochs before the switch and two after");
            assert!(routes.keys().filter(|route| !route.ends_with("+2L12H")).count() > 1, "{routes:?}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = job(&["--train-rows", "40", "--test-rows", "20"], folder.path()).unwrap();
    assert!(!ours.settings.contains_key("deviations") && !text_table(&ours).contains("print"));
}

#[test]
fn p_dht_needs_an_epoch_after_those_before_its_layers_are_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let refused = run(Preset::PDht, &plan_of(Preset::PDht, 2, folder.path()));
    assert!(matches!(refused, Err(Error::Argument { flag: "epochs", .. })));
}

/// The files of a run that was stopped before its first checkpoint.
fn write_started(out: &Path, texts: &str, command: &[String]) {
    std::fs::create_dir(out.join("checkpoints")).expect("a fresh directory");
    let models = serde_json::json!(["full", "truncated.1", "truncated.2", "truncated.4", "search"]);
    let started = serde_json::json!({ "format": "run", "command": command, "texts": texts, "models": models });
    std::fs::write(out.join("checkpoints/run.json"), started.to_string()).expect("a file can be written");
}

#[test]
fn a_run_with_checkpoints_of_other_texts_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let started = folder.path().join("checkpoints/run.json");
    write_started(folder.path(), "others", &["experiment".into()]);
    let before = std::fs::read_to_string(&started).unwrap();
    let refused = job(&["--train-rows", "40", "--test-rows", "20", "--resume"], folder.path()).unwrap_err();
    let Error::OtherTexts { path, stored, asked } = refused else { panic!("{refused}") };
    assert_eq!((&path, &*stored), (&started, "others"));
    assert!(asked.ends_with(" up to 128 tokens"), "{asked}");
    assert_eq!(std::fs::read_to_string(&started).unwrap(), before);
}

#[test]
fn a_stopped_run_is_resumed_and_one_that_has_finished_or_never_started_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let few = ["--train-rows", "200", "--test-rows", "20"];
    let resumed = || job(&[&few[..], &["--resume"]].concat(), &out);
    let refused = |expected: bool| match resumed().unwrap_err() {
        Error::NothingToResume { out: named, finished } => assert_eq!((named, finished), (out.clone(), expected)),
        other => panic!("{other}"),
    };
    refused(false);
    assert!(!out.exists(), "a run that was refused left something behind");
    let record = job(&few, &out).unwrap();
    refused(true);
    assert_eq!(RunRecord::load(out.join("record.json")).unwrap(), record);

    // The state of a run that was stopped before its first checkpoint.
    write_started(&out, &format!("{} up to 128 tokens", record.data.sha256), &record.command);
    // The command in its record has no `--resume`.
    assert_eq!(timeless(&resumed().unwrap()), timeless(&record));
}

#[test]
fn a_training_that_diverges_leaves_its_manifest_and_a_foreign_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    std::fs::create_dir(&checkpoints).unwrap();
    let stale = checkpoints.join("search.checkpoint");
    std::fs::write(&stale, "stale").unwrap();
    let wild = ["--train-rows", "200", "--test-rows", "20", "--lr", "1e30"];
    let refused = job(&wild, folder.path()).unwrap_err();
    assert!(matches!(&refused, Error::ForeignFile { path } if *path == stale), "{refused}");
    std::fs::remove_file(&stale).unwrap();
    job(&wild, folder.path()).expect_err("a training that diverges");
    assert!(checkpoints.join("run.json").is_file());
}

#[test]
fn the_classes_and_columns_that_were_read_are_recorded_and_displayed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("stars");
    std::fs::create_dir(&data).unwrap();
    let rows = |rows: usize| -> String {
        (0..rows)
            .map(|row| format!("{},{},text {row} of some\n", row % 4, if row % 3 == 0 { "yes" } else { "no" }))
            .collect()
    };
    std::fs::write(data.join("train.csv"), rows(60)).unwrap();
    std::fs::write(data.join("test.csv"), rows(12)).unwrap();
    let out = folder.path().join("out");
    let record = job(&["--data", &data.to_string_lossy(), "--label-column", "1"], &out).unwrap();
    assert_eq!(record.data.classes, ["no", "yes"]);
    let summary = "stars: 54 training, 6 validation and 12 test rows; 2 classes: no, yes; label from column 1 (as asked), \
                   text from column 2 (the only one that holds words), no row of names";
    assert_eq!(record.data.summary(), summary);
    assert!(text_table(&record).starts_with(&format!("Data: {summary}.\n\nmodel")));
    assert_eq!(RunRecord::load(out.join("record.json")).unwrap().data, record.data);
}

#[test]
fn a_directory_that_another_run_writes_into_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lock = std::fs::File::create(folder.path().join(".lock")).unwrap();
    lock.lock().unwrap();
    let few = ["--train-rows", "200", "--test-rows", "20"];
    let refused = job(&few, folder.path()).unwrap_err();
    assert!(matches!(&refused, Error::InUse { out } if out == folder.path()), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    drop(lock);
    job(&few, folder.path()).unwrap();
}

#[test]
fn wrong_input_is_refused_with_its_file_and_line_and_leaves_nothing_behind() {
    const GOOD: &str = "label,text\na,one two\nb,three four\na,five six\nb,seven\n";
    type Bytes = Option<&'static [u8]>;
    let good = Some(GOOD.as_bytes());
    let cases: [(&str, Bytes, Bytes, &str); 8] = [
        ("missing", None, None, "train"),
        ("no test file", good, None, "test"),
        ("empty", Some(b""), good, "train.csv"),
        ("binary", Some(b"label,text\na,\0\0\n"), good, "train.csv:2"),
        ("bad quotes", Some(b"label,text\na,\"open\nb,x\n"), good, "train.csv:2"),
        ("not UTF-8", Some(b"label,text\na,x\nb,\xff\xfe\n"), good, "train.csv:3"),
        ("unknown label", good, Some(b"label,text\nc,x\n"), "test.csv:2"),
        ("no text", Some(b"label,text\na,x\nb,\n"), good, "train.csv:3"),
    ];
    for (name, train, test, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        for (file, bytes) in [("train.csv", train), ("test.csv", test)] {
            if let Some(bytes) = bytes {
                std::fs::write(data.join(file), bytes).unwrap();
            }
        }
        let out = folder.path().join("out");
        let error = job(&["--data", &data.to_string_lossy()], &out).expect_err(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(!out.exists(), "{name} left something behind");
    }
}
