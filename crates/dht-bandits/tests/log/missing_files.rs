//! Logs some of whose files are gone.

use crate::support::{decision, read};
use dht_bandits::log::{DecisionLog, LogError, LogReader, LogSettings, ReadSettings};
use std::fs;
use std::path::{Path, PathBuf};

const READ: ReadSettings = ReadSettings { horizon: Some(1000.0), default_reward: None };

/// Twelve decisions, two lines a file, each rewarded four lines later.
fn write(folder: &Path) -> Vec<PathBuf> {
    let mut log = DecisionLog::open(folder, LogSettings { rotate_bytes: 500, ..LogSettings::default() })
        .unwrap_or_else(|error| unreachable!("{error}"));
    for number in 0..14u64 {
        let time = number as f64;
        if number < 12 {
            assert_eq!(log.append(&decision(number), None, time).ok(), Some(number));
        }
        if number >= 2 {
            assert!(log.reward(number - 2, time, time).is_ok());
        }
    }
    drop(log);
    let names = fs::read_dir(folder).unwrap_or_else(|error| unreachable!("{error}"));
    let mut files: Vec<_> = names.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    files.sort_unstable();
    files
}

/// The ids of the decisions in a file, and of the rewards.
fn ids(path: &Path) -> [Vec<u64>; 2] {
    let text = fs::read_to_string(path).unwrap_or_default();
    ["decision", "reward"].map(|kind| {
        let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter_map(|line| line[kind]["id"].as_u64()).collect()
    })
}

#[test]
fn rewards_of_decisions_in_deleted_files_are_counted_and_no_error() {
    for (deleted, headless) in [(1, false), (2, false), (4, false), (2, true)] {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path());
        assert!(files.len() > 6);
        files[..deleted].iter().for_each(|path| fs::remove_file(path).unwrap());
        if headless {
            // As files were before each began with where ids go on.
            let text = fs::read_to_string(&files[deleted]).unwrap();
            let (first, rest) = text.split_once('\n').unwrap();
            assert!(first.contains("segment"));
            fs::write(&files[deleted], rest).unwrap();
        }
        let left: Vec<_> = files[deleted..].iter().map(|path| ids(path)).collect();
        let made: Vec<u64> = left.iter().flat_map(|[made, _]| made.clone()).collect();
        let orphans = left.iter().flat_map(|[_, rewards]| rewards).filter(|id| !made.contains(id)).count();
        assert!(orphans > 0);
        let (joined, errors, reader) = read(folder.path(), READ);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(joined.iter().map(|entry| entry.id).collect::<Vec<_>>(), made);
        assert!(joined.iter().all(|entry| entry.reward == (entry.id + 2) as f64));
        let counts = reader.counts();
        assert_eq!((counts.orphaned as usize, counts.refused, counts.gaps), (orphans, 0, 0));
    }
}

#[test]
fn a_file_that_is_missing_between_others_is_named_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let files = write(folder.path());
    // Two in a row, and another one.
    let gone = [2, 3, 5];
    let lost: Vec<_> = gone.iter().map(|&file| ids(&files[file])).collect();
    gone.iter().for_each(|&file| fs::remove_file(&files[file]).unwrap());
    let (joined, errors, reader) = read(folder.path(), READ);
    let named: Vec<_> = errors
        .iter()
        .map(|error| match error {
            LogError::MissingFile { path, next } => (path.clone(), next.clone()),
            other => unreachable!("{other}"),
        })
        .collect();
    assert_eq!(named, [(files[2].clone(), files[4].clone()), (files[5].clone(), files[6].clone())]);
    assert!(errors[0].to_string().contains("00000002.jsonl is missing: the log goes on with"), "{}", errors[0]);
    let made: Vec<u64> = lost.iter().flat_map(|[made, _]| made.clone()).collect();
    let rewarded: Vec<u64> = lost.iter().flat_map(|[_, rewards]| rewards.clone()).collect();
    let expected = (0..12u64).filter(|id| !made.contains(id) && !rewarded.contains(id)).collect::<Vec<_>>();
    assert_eq!(joined.iter().map(|entry| entry.id).collect::<Vec<_>>(), expected);
    let counts = reader.counts();
    let orphans = made.iter().filter(|id| !rewarded.contains(id)).count();
    assert_eq!((counts.gaps, counts.orphaned as usize, counts.refused), (2, orphans, 0));
    assert_eq!(counts.waiting as usize, rewarded.iter().filter(|id| !made.contains(id)).count());
}

#[test]
fn rewards_of_decisions_that_never_were_are_errors_still() {
    let folder = tempfile::tempdir().unwrap();
    let files = write(folder.path());
    fs::remove_file(&files[0]).unwrap();
    let last = &files[files.len() - 1];
    let text = fs::read_to_string(last).unwrap();
    fs::write(last, format!("{text}{{\"reward\":{{\"id\":99,\"time\":20.0,\"reward\":1.0}}}}\n")).unwrap();
    let (_, errors, reader) = read(folder.path(), READ);
    assert_eq!((errors.len(), reader.counts().refused), (1, 1));
    let told = errors[0].to_string();
    assert!(told.ends_with("reward or feedback for id 99: the log holds no decision or slate of this id"), "{told}");
}

#[test]
fn a_default_that_no_log_could_hold_as_a_reward_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    for default_reward in [1e200, -1e101, f64::NAN] {
        assert!(LogReader::open(folder.path(), ReadSettings { default_reward: Some(default_reward), ..READ }).is_err());
    }
    assert!(LogReader::open(folder.path(), ReadSettings { default_reward: Some(-1e100), ..READ }).is_ok());
}
