//! Tests of the example `reproduce`: its rows, reused units and failures.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};

use clap::Parser;
use dht_cli::exit_code;
use dht_lab::record::ReproductionRecord;
use dht_lab::{ReproductionArguments, reproduce};

/// Environment variable with the flags of a reproduction in a separate process.
const FLAGS: &str = "DHT_TEST_REPRODUCTION_FLAGS";

/// Entry point of the child process, not a test. The tests start this program again with this function as the example.
#[test]
fn the_example() {
    let Ok(flags) = std::env::var(FLAGS) else { return };
    let code = exit_code(reproduce(&ReproductionArguments::parse_from(flags.split('\n'))));
    // The process exits before the test harness reports a result.
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

/// Runs a reproduction on few generated texts, in a separate process.
fn reproduced(flags: &[&str], out: &Path) -> Output {
    let out = out.to_string_lossy();
    let few =
        ["reproduce", "--model", "4x4x16", "--epochs", "1", "--train-rows", "300", "--test-rows", "40", "--out", &out];
    let flags = [&few[..], flags].concat();
    let this = std::env::current_exe().expect("a program has a path");
    let arguments = ["--exact", "the_example", "--nocapture", "--test-threads=1"];
    let mut command = Command::new(this);
    command.args(arguments).env(FLAGS, flags.join("\n")).stdin(Stdio::null());
    command.output().expect("this program starts again")
}

fn record(out: &Path) -> ReproductionRecord {
    ReproductionRecord::load(out.join("record.json")).expect("a record of this version")
}

fn names(record: &ReproductionRecord) -> Vec<String> {
    record.rows.iter().map(|row| format!("{} {}", row.method, row.setting)).collect()
}

#[test]
fn rows_are_means_over_seeds_and_finished_ones_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--rows", "truncation-2,published-t-dht", "--seeds", "2"];
    assert!(reproduced(&flags, folder.path()).status.success());
    let first = record(folder.path());
    assert_eq!(names(&first), ["full 4 layers", "full 4 layers", "truncation 2 layers", "T-DHT as published"]);
    for row in &first.rows {
        assert_eq!((row.seeds.as_slice(), row.failed.len()), (&[0, 1][..], 0));
        assert!(row.macro_f1.mean > 0.0 && row.inference_flops_ratio > 0.0 && row.inference_wall_ratio > 0.0);
        assert!(row.deficit_upper95 >= row.deficit);
    }
    let [full, long, truncated, published] = &first.rows[..] else { panic!("{}", first.rows.len()) };
    assert_eq!((full.epochs, long.epochs, published.epochs), (1, 2, 2));
    // A single text does not fill the paper's queues.
    assert_eq!((full.single_text_wall_ratio, published.single_text_wall_ratio), (Some(1.0), None));
    assert!(truncated.single_text_wall_ratio.is_some_and(|ratio| ratio > 0.0));
    assert_eq!((full.train_flops_ratio, full.deficit, full.deficit_upper95), (1.0, 0.0, 0.0));
    assert!((truncated.inference_flops_ratio - 0.5).abs() < 0.01 && (truncated.train_flops_ratio - 0.5).abs() < 0.01);
    assert!(published.random_macro_f1.is_some() && published.curves.is_some() && published.routes.is_some());

    // A second run trains only units whose results are missing or have other settings.
    let units = folder.path().join("units");
    let result = |unit: &str| units.join(unit).join("result.json");
    let written = std::fs::metadata(result("full.seed-0")).unwrap().modified().unwrap();
    std::fs::remove_file(result("truncation-2.seed-1")).unwrap();
    let old = std::fs::read_to_string(result("truncation-2.seed-0")).unwrap();
    std::fs::write(result("truncation-2.seed-0"), old.replacen("\"hash\": \"", "\"hash\": \"0", 1)).unwrap();
    let output = reproduced(&flags, folder.path());
    assert!(output.status.success());
    let (said, shown) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    for seed in [0, 1] {
        assert!(said.contains(&format!("truncation-2, seed {seed}\n")), "trained again: {said}");
    }
    assert!(!said.contains("full, seed 0") && shown.contains("Table 1") && shown.contains("Table 2"), "{said}{shown}");
    assert_eq!(std::fs::metadata(result("full.seed-0")).unwrap().modified().unwrap(), written);
    let timeless = |record: &ReproductionRecord| {
        let mut record = record.clone();
        for row in &mut record.rows {
            (row.train_wall_ratio, row.inference_wall_ratio, row.single_text_wall_ratio) = (0.0, 0.0, None);
        }
        record
    };
    assert_eq!(timeless(&record(folder.path())), timeless(&first));
}

#[test]
fn a_part_that_fails_is_reported_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    // One epoch is too few for the two phases of P-DHT.
    let output = reproduced(&["--rows", "ours-p-dht,truncation-1"], folder.path());
    assert!(!output.status.success());
    let record = record(folder.path());
    let failed = record.rows.iter().find(|row| row.method == "ours-p-dht").expect("the failed row");
    assert!(failed.failed[&0].contains("epochs"), "{:?}", failed.failed);
    assert!(record.rows.iter().any(|row| row.method == "truncation" && row.failed.is_empty()));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("1 parts failed"), "{errors}");
}

#[test]
fn a_training_that_diverges_fails_with_all_that_need_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = reproduced(&["--rows", "truncation-1", "--lr", "1e30"], folder.path());
    assert!(!output.status.success());
    let record = record(folder.path());
    let reasons: Vec<&str> = record.rows.iter().map(|row| row.failed[&0].as_str()).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].contains("loss") && reasons[1] == "full failed", "{reasons:?}");
}

#[test]
fn unknown_rows_are_refused_with_the_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let output = reproduced(&["--rows", "fastbret"], folder.path());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("fastbret") && errors.contains("distilbert-"), "{errors}");
    assert!(!folder.path().join("record.json").exists());
}
