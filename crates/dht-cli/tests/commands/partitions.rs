//! Tests of `dht predict` as a worker: standard input and output, partitions, claims, and errors.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{dht, json, printed, refused, reviews, trained};

const PREDICT: [&str; 2] = ["predict", "model"];

fn predict(place: &Path, arguments: &[&str]) -> Output {
    dht(place, &[&PREDICT[..], arguments].concat())
}

fn spawn(place: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_dht"))
        .current_dir(place)
        .args(PREDICT)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dht runs")
}

pub(super) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

/// Writes partitions of jsonl, `in/part-K.jsonl`.
fn write_partitions(place: &Path, partitions: usize, rows: usize) {
    std::fs::create_dir(place.join("in")).expect("a folder");
    for part in 0..partitions {
        let rows: String = reviews(rows, part * rows)
            .iter()
            .map(|(_, text)| format!("{}\n", serde_json::json!({ "part": part, "text": text })))
            .collect();
        std::fs::write(place.join(format!("in/part-{part}.jsonl")), rows).expect("a file");
    }
}

/// Creates a folder with a model and partitions.
pub(super) fn partitioned(partitions: usize, rows: usize) -> TempDir {
    let place = trained();
    write_partitions(place.path(), partitions, rows);
    place
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Reads all answers, in the order of the partitions.
pub(super) fn answers(folder: &Path) -> String {
    let names = files(folder).into_iter().filter(|name| name != ".dht");
    names.map(|name| std::fs::read_to_string(folder.join(name)).expect("answers")).collect()
}

/// Returns the answers of one run over all partitions.
pub(super) fn one_run(place: &Path) -> String {
    let inputs: Vec<String> = files(&place.join("in")).iter().map(|name| format!("in/{name}")).collect();
    printed(&predict(place, &inputs.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn unfinished(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".partial-"))
            || path.is_dir() && unfinished(&path)
    })
}

/// Lists temporary files of answers that remain.
fn leftovers(out: &Path) -> Vec<PathBuf> {
    let folders = (0..2).map(|part| out.join(format!(".dht/part-{part}.jsonl")));
    let entries = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("/.partial-")).collect()
}

pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_pipe_gives_one_line_for_each_line_at_once_and_in_order() {
    let place = trained();
    let mut child = Command::new(env!("CARGO_BIN_EXE_dht"))
        .current_dir(place.path())
        .args([&PREDICT[..], &["-", "--output", "-"]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("dht runs");
    let (mut asked, mut answered) =
        (child.stdin.take().expect("a pipe"), BufReader::new(child.stdout.take().expect("a pipe")));
    for text in ["the soup was fresh", "", "   ", "the waiter was rude", "\u{1f35c}"] {
        writeln!(asked, "{text}").expect("a line is read");
        let mut line = String::new();
        answered.read_line(&mut line).expect("an answer before the next line");
        assert_eq!(json(&line)["text"], text);
    }
    drop(asked);
    assert!(child.wait().expect("an end").success());

    let out = File::create(place.path().join("all.jsonl")).expect("a file");
    // `/dev/stdout` shares the write position of the shell's standard output: later output follows.
    let script = "echo before; printf 'one\\ntwo\\n' | \"$0\" predict model --output /dev/stdout; echo after";
    let mut shell = Command::new("sh");
    shell.current_dir(place.path()).args(["-c", script, env!("CARGO_BIN_EXE_dht")]).stdout(out);
    assert!(shell.status().expect("sh runs").success());
    let all = std::fs::read_to_string(place.path().join("all.jsonl")).expect("a file");
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[3]), (4, "before", "after"), "{all}");

    // If the reader of the output ends early, the worker fails.
    let texts: String = (0..5000).map(|row| format!("the soup number {row}\n")).collect();
    std::fs::write(place.path().join("many.txt"), texts).expect("a file");
    let mut child = spawn(place.path(), &["many.txt"]);
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("an end").code(), Some(141));
}

#[test]
fn workers_share_partitions_and_the_output_is_that_of_one_run() {
    let place = partitioned(5, 60);
    let expected = one_run(place.path());
    let all = ["--partitions", "in", "--output", "out/"];
    let workers = [spawn(place.path(), &all), spawn(place.path(), &all)];
    let summaries = workers.map(|worker| json(&printed(&worker.wait_with_output().expect("an end"))));
    assert_eq!(answers(&place.path().join("out")), expected);
    let sum =
        |name: &str| summaries.iter().map(|summary| summary["own"][name].as_u64().expect("a number")).sum::<u64>();
    assert_eq!(sum("partitions"), 5);
    let rows =
        |of: &'static str| summaries.iter().map(move |summary| summary[of]["totals"]["rows"].as_u64().expect("rows"));
    assert_eq!((rows("own").sum::<u64>(), rows("all").collect::<Vec<_>>()), (300, vec![300, 300]));
    for part in 0..5 {
        assert_eq!(files(&place.path().join(format!("out/.dht/part-{part}.jsonl"))), ["record.json"]);
    }
    // Finished partitions are skipped, even if their files were touched.
    File::options()
        .append(true)
        .open(place.path().join("in/part-0.jsonl"))
        .expect("a file")
        .set_modified(std::time::SystemTime::now())
        .expect("a time");
    let again = json(&printed(&predict(place.path(), &all)));
    assert_eq!((&again["own"]["partitions"], &again["all"]["partitions"]), (&0.into(), &5.into()));
    // Answers only some of the partitions, and answers other formats in separate files.
    printed(&predict(
        place.path(),
        &["--partitions", "in/part-1.jsonl", "in/part-3.jsonl", "--output", "some", "--output-format", "csv"],
    ));
    assert_eq!(files(&place.path().join("some")), [".dht", "part-1.csv", "part-3.csv"]);
}

#[test]
fn the_partition_of_a_killed_worker_is_answered_again() {
    let place = partitioned(2, 20_000);
    let expected = one_run(place.path());
    let (all, out) = (["--partitions", "in", "--output", "out/"], place.path().join("out"));
    for _ in 0..2 {
        let before = leftovers(&out);
        let mut worker = spawn(place.path(), &all);
        wait_until("a worker writes", || leftovers(&out).iter().any(|file| !before.contains(file)));
        signal(&worker, "KILL");
        worker.wait().expect("an end");
    }
    assert!(unfinished(&out), "a killed worker leaves its file");
    let summary = json(&printed(&predict(place.path(), &all)));
    assert_eq!(summary["all"]["totals"]["rows"], 40_000);
    assert_eq!(answers(&out), expected);
    assert!(!unfinished(&out) && !out.join(".dht/part-0.jsonl/claim").exists());
}

#[test]
fn a_signal_leaves_no_temporary_file_and_releases_the_claim() {
    let place = partitioned(1, 20_000);
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        for arguments in
            [&["--partitions", "in", "--output", "out/"][..], &["in/part-0.jsonl", "--output", "one.jsonl"]]
        {
            let worker = spawn(place.path(), arguments);
            wait_until("a worker writes", || unfinished(place.path()));
            signal(&worker, name);
            let ended = worker.wait_with_output().expect("an end");
            assert_eq!(ended.status.code(), Some(code), "{}", String::from_utf8_lossy(&ended.stderr));
            assert!(!unfinished(place.path()), "{name}");
            assert!(!place.path().join("one.jsonl").exists());
        }
    }
    printed(&predict(place.path(), &["--partitions", "in", "--output", "out/"]));
    assert_eq!(answers(&place.path().join("out")).lines().count(), 20_000);
}

#[test]
fn a_partition_that_changes_while_it_is_read_is_refused() {
    let place = partitioned(1, 20_000);
    let all = ["--partitions", "in", "--output", "out/"];
    let worker = spawn(place.path(), &all);
    wait_until("a worker writes", || !leftovers(&place.path().join("out")).is_empty());
    let mut file = File::options().append(true).open(place.path().join("in/part-0.jsonl")).expect("a file");
    file.write_all(b"{\"text\": \"late\"}\n").expect("a line");
    let said = refused(&worker.wait_with_output().expect("an end"), 1);
    assert!(
        said.contains("in/part-0.jsonl changed while it was read (") && said.contains("1 of 1 partitions failed"),
        "{said}"
    );
    assert_eq!(files(&place.path().join("out")), [".dht"]);
    // The next run answers the whole partition, and a later change is refused.
    printed(&predict(place.path(), &all));
    file.write_all(b"{\"text\": \"later\"}\n").expect("a line");
    let said = refused(&predict(place.path(), &all), 1);
    assert!(said.contains("changed after its answers were written: remove out/part-0.jsonl"), "{said}");
}

#[test]
fn an_output_of_another_run_is_refused_and_stays() {
    let place = partitioned(2, 20);
    let all = ["--partitions", "in", "--output", "out/"];
    printed(&predict(place.path(), &all));
    let before = answers(&place.path().join("out"));
    let said = refused(&predict(place.path(), &[&all[..], &["--speed", "0.5"]].concat()), 1);
    assert!(said.contains("out/ has answers of another run (speed is "), "{said}");
    let said = refused(&predict(place.path(), &[&all[..], &["--prefix", "own_"]].concat()), 1);
    assert!(said.contains("(prefix is \"\" there and \"own_\" here): choose another --output"), "{said}");
    // Trains another model with the same name.
    let train = [&super::TRAIN[..], &["--seed", "7"]].concat();
    printed(&dht(place.path(), &train));
    let said = refused(&predict(place.path(), &all), 1);
    assert!(said.contains("has answers of another run (model is \""), "{said}");
    // It is also refused if only the description is missing.
    std::fs::remove_file(place.path().join("out/.dht/predictions.json")).expect("a file");
    let said = refused(&predict(place.path(), &all), 1);
    assert!(
        said.contains("part-1.jsonl has the answers of another model, other settings or another release"),
        "{said}"
    );
    assert_eq!(answers(&place.path().join("out")), before);

    // Files are refused that no worker wrote, or that were changed.
    std::fs::create_dir(place.path().join("foreign")).expect("a folder");
    std::fs::write(place.path().join("foreign/part-0.jsonl"), "mine").expect("a file");
    let said = refused(&predict(place.path(), &["--partitions", "in", "--output", "foreign"]), 1);
    assert!(said.contains("foreign/part-0.jsonl was not written by `dht predict --partitions`"), "{said}");
    assert!(said.contains("1 of 2 partitions failed"), "the other one is answered: {said}");
    assert_eq!(std::fs::read_to_string(place.path().join("foreign/part-0.jsonl")).expect("a file"), "mine");
    let said = refused(&predict(place.path(), &["--partitions", "in", "--output", "in"]), 1);
    assert!(said.contains("in/part-0.jsonl was not written by"), "{said}");
}

#[test]
fn all_files_identify_a_hugging_face_classifier() {
    let place = partitioned(2, 20);
    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    let all = ["predict", "plain", "--partitions", "in", "--output", "out/"];
    printed(&dht(place.path(), &all));
    assert_eq!(answers(&place.path().join("out")).lines().count(), 40);
    printed(&dht(place.path(), &all));
    for name in ["config.json", "tokenizer_config.json"] {
        let file = place.path().join("plain").join(name);
        let written = std::fs::read_to_string(&file).expect("a file");
        std::fs::write(&file, format!("{written}\n")).expect("a file");
        let said = refused(&dht(place.path(), &all), 1);
        assert!(said.contains("has answers of another run (model is \""), "{said}");
        std::fs::write(&file, written).expect("a file");
    }
}

#[test]
fn a_bad_partition_fails_alone_and_lists_are_checked_first() {
    let place = partitioned(3, 20);
    std::fs::write(place.path().join("in/part-1.jsonl"), "{\"text\": \"fine\"}\n{\"text\"").expect("a file");
    let output = predict(place.path(), &["--partitions", "in", "--output", "out/"]);
    let summary: Value = serde_json::from_slice(&output.stdout).expect("a summary");
    let said = refused(&output, 1);
    assert!(said.contains("in/part-1.jsonl:2: ") && said.contains("1 of 3 partitions failed"), "{said}");
    assert_eq!((&summary["failed"], &summary["own"]["partitions"]), (&1.into(), &2.into()));
    assert_eq!(files(&place.path().join("out")), [".dht", "part-0.jsonl", "part-2.jsonl"]);
    assert!(!unfinished(&place.path().join("out")));

    let said = refused(&predict(place.path(), &["--partitions", "in", "nowhere.jsonl", "--output", "none/"]), 1);
    assert!(said.contains("nowhere.jsonl: No such file") && !place.path().join("none").exists(), "{said}");
    std::fs::create_dir(place.path().join("more")).expect("a folder");
    std::fs::write(place.path().join("more/part-2.jsonl.gz"), "").expect("a file");
    let said = refused(&predict(place.path(), &["--partitions", "in", "more", "--output", "none/"]), 1);
    let both = "in/part-2.jsonl and more/part-2.jsonl.gz would both be answered in none/part-2.jsonl";
    assert!(said.contains(both) && !place.path().join("none").exists(), "{said}");
    std::fs::create_dir(place.path().join("empty")).expect("a folder");
    std::fs::write(place.path().join("empty/_SUCCESS"), "").expect("a file");
    let said = refused(&predict(place.path(), &["--partitions", "empty", "--output", "none/"]), 2);
    assert!(said.contains("--partitions is empty, without files, expected at least one file"), "{said}");
    let said = refused(&predict(place.path(), &["in/part-0.jsonl", "--output", "out/"]), 2);
    assert!(said.contains("--output is out/, expected a file, without --partitions"), "{said}");
    refused(&predict(place.path(), &["--partitions", "in"]), 2);
    #[cfg(not(feature = "s3"))]
    for arguments in
        [["--partitions", "s3://bucket/in/", "--output", "none/"], ["--partitions", "in", "--output", "s3://b/o"]]
    {
        let said = refused(&predict(place.path(), &arguments), 2);
        assert!(said.contains("this build does not support object stores; build with `--features s3`"), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn links_to_nowhere_are_neither_skipped_nor_replaced() {
    let place = partitioned(2, 20);
    std::os::unix::fs::symlink("/nowhere/at/all", place.path().join("in/part-2.jsonl")).expect("a link");
    std::fs::create_dir(place.path().join("out")).expect("a folder");
    std::os::unix::fs::symlink("/nowhere/at/all", place.path().join("out/part-1.jsonl")).expect("a link");
    let said = refused(&predict(place.path(), &["--partitions", "in", "--output", "out/"]), 1);
    assert!(said.contains("in/part-2.jsonl: No such file"), "{said}");
    assert!(said.contains("out/part-1.jsonl was not written by"), "{said}");
    assert!(said.contains("2 of 3 partitions failed"), "{said}");
    assert!(place.path().join("out/part-1.jsonl").is_symlink());
}

#[test]
fn empty_partitions_have_empty_outputs() {
    let place = trained();
    std::fs::create_dir(place.path().join("in")).expect("a folder");
    for name in ["a.jsonl", "b.txt"] {
        std::fs::write(place.path().join("in").join(name), "").expect("a file");
    }
    let summary = json(&printed(&predict(place.path(), &["--partitions", "in", "--output", "out"])));
    assert_eq!((&summary["own"]["partitions"], &summary["all"]["totals"]["rows"]), (&2.into(), &0.into()));
    assert_eq!(answers(&place.path().join("out")), "");
}

#[test]
fn a_full_disk_fails_with_the_output_and_leaves_nothing() {
    let place = partitioned(1, 20_000);
    // A limit on the size of files stands for a full disk: a write beyond it fails.
    let limited = Command::new("sh")
        .current_dir(place.path())
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_dht")])
        .args([&PREDICT[..], &["--partitions", "in", "--output", "out"]].concat())
        .output()
        .expect("sh runs");
    let said = refused(&limited, 1);
    assert!(said.contains("failed: out/part-0.jsonl: File too large"), "{said}");
    assert!(!unfinished(&place.path().join("out")) && files(&place.path().join("out")) == [".dht"]);
}
