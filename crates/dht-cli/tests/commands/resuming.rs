//! Tests of predictions that are stopped and resumed.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{dht, printed, refused, reviews, trained};

const RESUME: [&str; 6] = ["predict", "model", "asked.jsonl", "--output", "answers.csv", "--resume"];

/// Creates JSON lines with a text and an identifier.
fn lines(count: usize, from: usize) -> Vec<String> {
    reviews(count, from)
        .iter()
        .enumerate()
        .map(|(row, (_, text))| format!("{{\"id\": {row}, \"text\": \"{text}\"}}\n"))
        .collect()
}

fn write(place: &Path, name: &str, lines: &[String]) {
    std::fs::write(place.join(name), lines.concat()).expect("a file");
}

fn read(place: &Path, name: &str) -> String {
    std::fs::read_to_string(place.join(name)).expect("a file")
}

#[test]
fn a_stopped_run_resumes_after_the_repair_of_its_row() {
    let place = trained();
    let at = place.path();
    let whole = lines(90, 2000);
    write(at, "asked.jsonl", &whole);
    printed(&dht(at, &RESUME[..5]));
    let expected = read(at, "answers.csv");
    std::fs::remove_file(at.join("answers.csv")).expect("removed");

    let mut broken = whole.clone();
    broken[60] = "{\"id\": 60, \"text\": \n".into();
    write(at, "asked.jsonl", &broken);
    assert!(refused(&dht(at, &RESUME), 1).contains("asked.jsonl:61: "));
    let (part, state) = (read(at, "answers.csv.part"), read(at, "answers.csv.part.json"));
    assert_eq!(part, expected.lines().take(61).map(|line| format!("{line}\n")).collect::<String>());

    // Another model, speed or input, and a changed or missing answered row: nothing is lost.
    let other_speed = refused(&dht(at, &[&RESUME[..], &["--speed", "0.5"]].concat()), 1);
    assert!(other_speed.contains("answers.csv.part has answers of another run (speed is "), "{other_speed}");
    write(at, "other.jsonl", &whole);
    let other_input = refused(&dht(at, &["predict", "model", "other.jsonl", "--output", "answers.csv", "--resume"]), 1);
    assert!(other_input.contains("inputs is"), "{other_input}");
    let mut changed = whole.clone();
    changed[10] = "{\"id\": 10, \"text\": \"another text\"}\n".into();
    for (lines, problem) in [
        (&changed[..], "one of the 60 answered rows"),
        (&whole[..50], "60 rows were answered, and the input has 50 now"),
    ] {
        write(at, "asked.jsonl", lines);
        let said = refused(&dht(at, &RESUME), 1);
        assert!(said.contains(problem) && said.contains("remove it to begin again"), "{said}");
        assert_eq!((read(at, "answers.csv.part"), read(at, "answers.csv.part.json")), (part.clone(), state.clone()));
    }

    // Answers that were written after the state was saved are written again.
    std::fs::write(at.join("answers.csv.part"), format!("{part}half a ro")).expect("a file");
    write(at, "asked.jsonl", &whole);
    let output = dht(at, &[&RESUME[..], &["--summary"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    printed(&output);
    assert_eq!(read(at, "answers.csv"), expected);
    assert!(said.contains("90 texts in"), "{said}");
    assert!(!at.join("answers.csv.part").exists() && !at.join("answers.csv.part.json").exists());
}

#[cfg(unix)]
#[test]
fn damaged_states_are_refused_by_name() {
    let place = trained();
    let at = place.path();
    let mut broken = lines(20, 2000);
    broken.push("{\n".into());
    write(at, "asked.jsonl", &broken);
    refused(&dht(at, &RESUME), 1);
    let (part, state) = (read(at, "answers.csv.part"), read(at, "answers.csv.part.json"));
    std::fs::write(at.join("answers.csv.part"), &part[..part.len() / 2]).expect("a file");
    let shorter = refused(&dht(at, &RESUME), 1);
    assert!(shorter.contains(&format!("it has {} bytes of {}", part.len() / 2, part.len())), "{shorter}");
    std::fs::write(at.join("answers.csv.part"), &part).expect("a file");
    std::fs::write(at.join("answers.csv.part.json"), &state[..state.len() / 2]).expect("a file");
    assert!(refused(&dht(at, &RESUME), 1).contains("answers.csv.part.json: EOF"));
    std::os::unix::fs::symlink("elsewhere.csv", at.join("link.csv")).expect("a link");
    for output in ["/dev/full", "link.csv"] {
        let said = refused(&dht(at, &["predict", "model", "asked.jsonl", "--output", output, "--resume"]), 2);
        assert!(said.contains("a regular file"), "{said}");
    }
    for arguments in
        [&["predict", "model", "asked.jsonl", "--resume"][..], &["predict", "model", "--output", "-", "--resume"]]
    {
        assert!(refused(&dht(at, arguments), 2).contains("--output"));
    }
}

#[cfg(unix)]
#[test]
fn a_killed_run_is_resumed_to_the_same_file() {
    let place = trained();
    let at = place.path();
    let rows = lines(200, 3000);
    write(at, "asked.jsonl", &rows);
    printed(&dht(at, &["predict", "model", "asked.jsonl", "--output", "whole.jsonl"]));
    let arguments = ["predict", "model", "--input-format", "jsonl", "--output", "answers.jsonl", "--resume"];
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dht"));
        command.current_dir(at).args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("dht runs");
        let input = child.stdin.take().expect("a pipe");
        (child, input)
    };
    let (mut child, mut input) = start();
    let began = Instant::now();
    // Rows arrive until the state has been saved.
    let state = at.join("answers.jsonl.part.json");
    for row in &rows {
        input.write_all(row.as_bytes()).expect("written");
        std::thread::sleep(Duration::from_millis(20));
        if state.exists() {
            break;
        }
    }
    assert!(state.exists(), "no state after {:?}", began.elapsed());
    let (second, _input) = start();
    let second = second.wait_with_output().expect("an end");
    assert!(refused(&second, 2).contains("a file that no other run writes"));
    child.kill().expect("killed");
    child.wait().expect("an end");
    assert!(!at.join("answers.jsonl").exists());
    let (child, mut input) = start();
    input.write_all(rows.concat().as_bytes()).expect("written");
    drop(input);
    printed(&child.wait_with_output().expect("an end"));
    assert_eq!(read(at, "answers.jsonl"), read(at, "whole.jsonl"));
}
