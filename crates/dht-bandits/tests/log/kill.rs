//! A process that is killed while it logs loses at most the line that it was writing.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use dht_bandits::log::{DecisionLog, LogSettings};

use crate::support::{decision, read};

const FOLDER: &str = "DHT_BANDITS_KILLED_LOG";

/// Part of the other test, run by the killed process. It prints each decision and each reward after it is logged.
#[test]
#[ignore = "run by the test below in a process of its own"]
fn a_process_that_logs_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let settings = LogSettings::default().with_rotate_bytes(50_000);
    let mut log = DecisionLog::open(folder, settings).unwrap();
    let mut out = std::io::stdout();
    let decision = decision(1);
    loop {
        let id = log.append(&decision, None, 0.0).unwrap();
        writeln!(out, "decision {id}").unwrap();
        log.reward(id, id as f64, 0.0).unwrap();
        writeln!(out, "reward {id}").unwrap();
    }
}

#[test]
fn fifty_kills_lose_no_line_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (mut decisions, mut rewards) = (0, 0);
    for round in 0..50 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::a_process_that_logs_until_it_is_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Its output is read while it runs, so that it never waits for the pipe.
        let out = BufReader::new(child.stdout.take().unwrap());
        let told = std::thread::spawn(move || {
            let mut told = (0u64, 0u64);
            for line in out.lines().map_while(Result::ok) {
                let number = |kind: &str| line.strip_prefix(kind).and_then(|text| text.trim().parse::<u64>().ok());
                told.0 = told.0.max(number("decision").map_or(0, |id| id + 1));
                told.1 = told.1.max(number("reward").map_or(0, |id| id + 1));
            }
            told
        });
        std::thread::sleep(Duration::from_millis(40 + 7 * (round % 13)));
        child.kill().unwrap();
        child.wait().unwrap();
        let told = told.join().unwrap();
        decisions = decisions.max(told.0);
        rewards = rewards.max(told.1);
        let (joined, errors, reader) = read(folder.path(), LogSettings::default());
        assert!(errors.is_empty(), "{errors:?}");
        let counts = reader.counts();
        let held = counts.rewarded + counts.waiting;
        // The log holds every line that was printed, and at most one more.
        assert!(held >= decisions && held <= decisions + 1, "{held} of {decisions}");
        assert!(joined.iter().enumerate().all(|(id, entry)| entry.reward == entry.id as f64 && entry.id >= id as u64));
        // Each kill can leave one decision without its reward, if the reward was about to be written.
        assert!(counts.waiting <= round + 1 && counts.torn <= 1, "{counts:?}");
        decisions = held;
    }
    assert!(decisions > 1000 && rewards > 1000, "{decisions} {rewards}");
}
