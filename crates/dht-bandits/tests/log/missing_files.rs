//! Logs in which some files are missing.

use std::fs;
use std::path::{Path, PathBuf};

use dht_bandits::log::{DecisionLog, LogError, LogReader, LogSettings};

use crate::support::{decision, read};

const READ: LogSettings = LogSettings::new().with_horizon(Some(1000.0));

/// Writes twelve decisions, two lines per file. Each gets its reward four lines later.
fn write(folder: &Path) -> Vec<PathBuf> {
    let mut log = DecisionLog::open(folder, LogSettings::default().with_rotate_bytes(500))
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

/// Ids of the decisions in a file, and ids of the rewards.
fn ids(path: &Path) -> [Vec<u64>; 2] {
    let text = fs::read_to_string(path).unwrap_or_default();
    ["decision", "reward"].map(|kind| {
        let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter_map(|line| line[kind]["id"].as_u64()).collect()
    })
}

#[test]
fn rewards_of_decisions_in_deleted_files_are_counted_as_orphans() {
    for (deleted, headless) in [(1, false), (2, false), (4, false), (2, true)] {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path());
        assert!(files.len() > 6);
        files[..deleted].iter().for_each(|path| fs::remove_file(path).unwrap());
        if headless {
            // Former files did not begin with the next id.
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
fn a_missing_file_between_others_is_named_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let files = write(folder.path());
    // Two files in a row are missing, and another one.
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
    assert!(errors[0].to_string().contains("00000002.jsonl is missing: the log continues with"), "{}", errors[0]);
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
        assert!(LogReader::open(folder.path(), READ.with_default_reward(Some(default_reward))).is_err());
    }
    assert!(LogReader::open(folder.path(), READ.with_default_reward(Some(-1e100))).is_ok());
}

/// Decisions that wait when the reader meets a gap get no default, however long the gap is.
const DEFAULTS: LogSettings = LogSettings::new().with_default_reward(Some(-1.0));

#[test]
fn a_file_deleted_while_reading_counts_as_missing_from_start() {
    // Each case: which files are missing, after how many decisions, and the number of gaps.
    for (gone, after, gaps) in [
        (vec![0], 0, 0),
        (vec![0, 1, 2], 0, 0),
        (vec![0, 2], 0, 1),
        (vec![3], 1, 1),
        (vec![3, 4], 1, 1),
        (vec![3, 5], 1, 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path());
        let mut reader = LogReader::open(folder.path(), DEFAULTS).unwrap();
        let mut outcomes: Vec<_> = (&mut reader).take(after).collect();
        gone.iter().for_each(|&file: &usize| fs::remove_file(&files[file]).unwrap());
        outcomes.extend(&mut reader);
        let (joined, errors): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        let (expected, told, fresh) = read(folder.path(), DEFAULTS);
        assert_eq!(joined.into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected, "{gone:?}");
        assert_eq!(reader.counts(), fresh.counts(), "{gone:?}");
        let errors: Vec<_> = errors.into_iter().map(|error| error.unwrap_err().to_string()).collect();
        assert_eq!(errors, told.iter().map(ToString::to_string).collect::<Vec<_>>(), "{gone:?}");
        assert!(errors.len() == gaps && errors.iter().all(|error| error.contains("is missing")), "{errors:?}");
        // All rewards that are read are true.
        assert!(expected.iter().all(|entry| entry.reward == (entry.id + 2) as f64), "{gone:?}");
    }
}

#[test]
fn what_waits_over_a_gap_gets_no_default() {
    for horizon in [None, Some(5.0)] {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path());
        let [made, rewarded] = ids(&files[3]);
        fs::remove_file(&files[3]).unwrap();
        // A decision after the gap that never gets a reward, and a decision that ends all horizons.
        let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
        log.append(&decision(12), None, 14.0).unwrap();
        log.append(&decision(13), None, 100.0).unwrap();
        drop(log);
        let (joined, errors, reader) = read(folder.path(), DEFAULTS.with_horizon(horizon));
        assert_eq!(errors.len(), 1);
        // Their rewards were in the missing file.
        let lost: Vec<_> = rewarded.iter().filter(|id| !made.contains(id)).collect();
        assert!(!lost.is_empty() && joined.iter().all(|entry| !lost.contains(&&entry.id)));
        assert_eq!(reader.counts().unrewarded as usize, lost.len());
        let defaulted: Vec<_> = joined.iter().filter(|entry| entry.defaulted).map(|entry| entry.id).collect();
        assert_eq!(defaulted, if horizon.is_some() { vec![12] } else { vec![12, 13] });
        assert_eq!(reader.counts().orphaned as usize, made.iter().filter(|id| !rewarded.contains(id)).count());
    }
}

#[test]
fn files_that_cannot_be_read_are_gaps_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let files = write(folder.path());
    let content = fs::read(&files[3]).unwrap();
    fs::remove_file(&files[3]).unwrap();
    let (missing, _, reader) = read(folder.path(), DEFAULTS);
    let counts = reader.counts();
    // A folder in the place of a file counts as a missing file.
    fs::create_dir(&files[3]).unwrap();
    let (joined, errors, reader) = read(folder.path(), DEFAULTS);
    assert!(matches!(&errors[..], [LogError::File { path, .. }] if *path == files[3]), "{errors:?}");
    assert_eq!(joined, missing);
    assert_eq!((reader.counts().unreadable, reader.counts().gaps), (1, 0));
    assert_eq!((reader.counts().orphaned, reader.counts().unrewarded), (counts.orphaned, counts.unrewarded));
    // A file that is cut off in its first line.
    fs::remove_dir(&files[3]).unwrap();
    fs::write(&files[3], &content[..10]).unwrap();
    let (joined, errors, reader) = read(folder.path(), DEFAULTS);
    assert!(matches!(&errors[..], [LogError::Line { line: 1, .. }]), "{errors:?}");
    assert_eq!(joined, missing);
    assert_eq!((reader.counts().orphaned, reader.counts().unrewarded), (counts.orphaned, counts.unrewarded));
    // The last file disappears: an error, and no defaults for waiting decisions.
    let mut reader = LogReader::open(folder.path(), DEFAULTS).unwrap();
    let last = files.len() - 1;
    fs::remove_file(&files[last]).unwrap();
    let outcomes: Vec<_> = (&mut reader).collect();
    assert!(outcomes.iter().flatten().all(|entry| !entry.defaulted));
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(LogError::Io { path, .. }) if *path == files[last])));
}
