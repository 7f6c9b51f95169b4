//! A run loses nothing when its output streams fail or when it is interrupted.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use dht_lab::record::RunRecord;
use dht_lab::{Arguments, run_example};
use dht_search::Preset;

/// The flags of a run in a process of its own.
const FLAGS: &str = "DHT_TEST_RUN_FLAGS";

/// Not a test itself: the tests start this program again with this function as the example.
#[test]
fn the_example() {
    let Ok(flags) = std::env::var(FLAGS) else { return };
    let code = run_example(Preset::TDht, Arguments::parse_from(flags.split('\n')));
    // Exits before the test harness reports a result.
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

fn start(flags: &[&str], out: &Path, stdout: Stdio, stderr: Stdio) -> Child {
    let out = out.to_string_lossy();
    let flags = [&["t_dht", "--model", "4x4x16", "--epochs", "1", "--test-rows", "20", "--out", &out], flags].concat();
    let this = std::env::current_exe().expect("a program has a path");
    let arguments = ["--exact", "the_example", "--nocapture", "--test-threads=1"];
    let mut command = Command::new(this);
    command.args(arguments).env(FLAGS, flags.join("\n")).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    command.spawn().expect("this program starts again")
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("a full device").into()
}

#[test]
fn a_stream_that_fails_ends_no_training() {
    for stream in ["full", "closed"] {
        let folder = tempfile::tempdir().unwrap();
        let stderr = if stream == "full" { full() } else { Stdio::piped() };
        let mut run = start(&["--train-rows", "400"], folder.path(), Stdio::null(), stderr);
        drop(run.stderr.take());
        assert!(run.wait().unwrap().success(), "standard error is {stream}");
        RunRecord::load(folder.path().join("record.json")).unwrap();
    }
}

#[test]
fn ctrl_c_says_how_to_resume_and_a_resumed_run_ends_like_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("stopped");
    let rows = ["--train-rows", "3000"];
    let run = start(&rows, &out, Stdio::null(), Stdio::piped());
    // The full model is trained; three others follow.
    while !out.join("checkpoints/full.checkpoint").exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    let output = run.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(
        message.contains(
            "stopped; the same command with --resume (and without --restart) continues from the last checkpoint in"
        ),
        "{message}"
    );

    let again = start(&rows, &out, Stdio::null(), Stdio::piped()).wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && message.contains("--resume continues it, --restart deletes them"), "{message}");
    let mut resumed = start(&["--train-rows", "3000", "--resume"], &out, Stdio::null(), Stdio::null());
    assert!(resumed.wait().unwrap().success());
    let whole = folder.path().join("whole");
    assert!(start(&rows, &whole, Stdio::null(), Stdio::null()).wait().unwrap().success());
    let [stopped, whole] = [out, whole].map(|out| RunRecord::load(out.join("record.json")).unwrap());
    assert_eq!((stopped.full.macro_f1, stopped.routes), (whole.full.macro_f1, whole.routes));
    assert_eq!(stopped.dynamic.result.train_flops, whole.dynamic.result.train_flops);
    assert_eq!(stopped.search.dynamic.result.train_flops, whole.search.dynamic.result.train_flops);
}
