//! Files that do not belong to the log, and files that a crash or a full disk left.

use std::fs;
use std::path::Path;

use dht_bandits::log::{DecisionLog, LogError, LogProblem, LogReader, LogSettings};

use crate::support::{decision, read};

const SMALL: LogSettings = LogSettings::new().with_rotate_bytes(560);

/// Writes this number of decisions, two or three per file.
fn write(folder: &Path, count: u64) -> DecisionLog {
    let mut log = DecisionLog::open(folder, SMALL).unwrap_or_else(|error| unreachable!("{error}"));
    for number in 0..count {
        assert_eq!(log.append(&decision(number), None, number as f64).ok(), Some(number));
    }
    log
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| unreachable!("{error}"));
    let mut names: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort_unstable();
    names
}

fn problem<T: std::fmt::Debug>(outcome: Result<T, LogError>) -> (String, LogProblem) {
    match outcome {
        Err(LogError::File { path, problem }) => {
            (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), problem)
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_file_is_there_with_its_first_line_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    drop(write(folder.path(), 9));
    let files = names(folder.path());
    assert!(files.len() > 4 && files.iter().all(|name| name == "lock" || name.ends_with(".jsonl")), "{files:?}");
    // A process that was killed while it began a file leaves a partial file, which the next process removes.
    fs::write(folder.path().join("next.partial"), "{\"segm").unwrap();
    let mut log = DecisionLog::open(folder.path(), SMALL).unwrap();
    assert!(!names(folder.path()).contains(&"next.partial".to_owned()));
    // The next file cannot be created: the decision is refused, and no file has its name.
    fs::create_dir(folder.path().join("next.partial")).unwrap();
    let before = names(folder.path());
    let refused = (9..12).find_map(|number| log.append(&decision(number), None, 9.0).err());
    assert!(matches!(refused, Some(LogError::Io { ref path, .. }) if path.ends_with("next.partial")), "{refused:?}");
    assert_eq!(names(folder.path()), before);
    let next = log.next_id();
    fs::remove_dir(folder.path().join("next.partial")).unwrap();
    assert_eq!(log.append(&decision(next), None, 9.0).unwrap(), next);
    drop(log);
    for name in names(folder.path()).iter().filter(|name| name.ends_with(".jsonl")).skip(1) {
        assert!(fs::read_to_string(folder.path().join(name)).unwrap().starts_with("{\"segment\":"), "{name}");
    }
}

#[test]
fn ids_never_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    drop(write(folder.path(), 2));
    let [old, new] = ["00000000.jsonl", "00000001.jsonl"].map(|name| folder.path().join(name));
    // A process was killed after it created a file, and the file before that one was deleted.
    fs::write(&new, "").unwrap();
    let content = fs::read(&old).unwrap();
    fs::remove_file(&old).unwrap();
    let refused = problem(DecisionLog::open(folder.path(), SMALL));
    assert_eq!(refused, ("00000001.jsonl".to_owned(), LogProblem::NoIds));
    // If the file before it is restored, the next id is known before anything is written.
    fs::write(&old, content).unwrap();
    assert_eq!(DecisionLog::open(folder.path(), SMALL).unwrap().next_id(), 2);
    fs::remove_file(&old).unwrap();
    assert_eq!(DecisionLog::open(folder.path(), SMALL).unwrap().next_id(), 2);
}

#[test]
fn files_of_others_are_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    drop(write(folder.path(), 1));
    let mut log = DecisionLog::open(folder.path(), SMALL).unwrap();
    let foreign = folder.path().join("00000001.jsonl");
    fs::write(&foreign, "somebody else's\n").unwrap();
    let refused = problem((1..4).try_for_each(|number| log.append(&decision(number), None, 1.0).map(|_| ())));
    assert_eq!(refused, ("00000001.jsonl".to_owned(), LogProblem::Exists));
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "somebody else's\n");
    let next = log.next_id();
    fs::remove_file(&foreign).unwrap();
    assert_eq!(log.append(&decision(next), None, 1.0).unwrap(), next);
    drop(log);
    let (joined, errors, _) = read(folder.path(), LogSettings::default().with_default_reward(Some(0.0)));
    assert_eq!((joined.len() as u64, errors.len()), (next + 1, 0));
}

#[test]
fn after_the_largest_number_the_log_does_not_begin_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(write(folder.path(), 9));
    let first = fs::read(folder.path().join("00000000.jsonl")).unwrap();
    for (number, at_once) in [(u64::MAX, true), (u64::MAX - 1, false)] {
        let name = format!("{number}.jsonl");
        fs::write(folder.path().join(&name), "").unwrap();
        let outcome = DecisionLog::open(folder.path(), SMALL).and_then(|mut log| {
            assert!(!at_once);
            (9..14).try_for_each(|number| log.append(&decision(number), None, 9.0).map(|_| ()))
        });
        assert_eq!(problem(outcome), (name.clone(), LogProblem::LastNumber));
        fs::remove_file(folder.path().join(&name)).unwrap();
    }
    assert_eq!(fs::read(folder.path().join("00000000.jsonl")).unwrap(), first);
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_and_never_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("00000000.jsonl");
    let name = "00000000.jsonl".to_owned();
    let both = |expected: &(String, LogProblem)| {
        assert_eq!(problem(DecisionLog::open(folder.path(), SMALL)), *expected);
        let mut reader = LogReader::open(folder.path(), LogSettings::default()).unwrap();
        assert_eq!(problem(reader.next().unwrap()), *expected);
        assert!(reader.next().is_none());
        assert_eq!(reader.counts().unreadable, 1);
    };
    // The device returns zeros without end.
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    both(&(name.clone(), LogProblem::NotRegular));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    both(&(name, LogProblem::NotRegular));
    fs::remove_dir(&file).unwrap();
    // A link to a missing file creates no file elsewhere. A link to a file of the log is that file.
    let elsewhere = folder.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(matches!(DecisionLog::open(folder.path(), SMALL), Err(LogError::Io { .. })));
    assert!(!elsewhere.exists());
    fs::write(&elsewhere, "").unwrap();
    assert_eq!(DecisionLog::open(folder.path(), SMALL).unwrap().append(&decision(0), None, 0.0).unwrap(), 0);
    assert!(fs::metadata(&elsewhere).unwrap().len() > 0);
}
