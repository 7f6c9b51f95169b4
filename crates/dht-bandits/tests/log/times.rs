//! Clock of the log: times that go backwards, and invalid times.

use dht_bandits::log::{DecisionLog, LogError, LogProblem, LogSettings};

use crate::support::{decision, read};

const READ: LogSettings = LogSettings::new().with_horizon(Some(10.0)).with_default_reward(Some(0.0));

#[test]
fn times_that_are_no_numbers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    log.append(&decision(0), None, 0.0).unwrap();
    for time in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e101] {
        assert!(matches!(log.append(&decision(1), None, time), Err(LogError::Value { .. })));
        assert!(matches!(log.reward(0, 1.0, time), Err(LogError::Value { .. })));
    }
    assert_eq!((log.next_id(), log.waiting()), (1, 1));
}

#[test]
fn writer_and_reader_agree_on_late_rewards_if_time_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogSettings::default().with_horizon(Some(10.0)).with_rotate_bytes(400);
    let mut log = DecisionLog::open(folder.path(), settings).unwrap();
    let late = |outcome: Result<(), LogError>| match outcome {
        Err(LogError::Reward { problem, .. }) => assert_eq!(problem, LogProblem::Late),
        other => panic!("{other:?}"),
    };
    log.append(&decision(0), None, 100.0).unwrap();
    log.append(&decision(1), None, 95.0).unwrap();
    log.append(&decision(2), None, 80.0).unwrap();
    // By the log's clock of 100, the age of decision 2 is 20, whatever the time of its reward.
    late(log.reward(2, 1.0, 85.0));
    log.reward(1, 1.0, 96.0).unwrap();
    // The clock does not go back when the log is opened again, although the last files hold only old times.
    for number in 3..8 {
        log.append(&decision(number), None, 91.0).unwrap();
    }
    drop(log);
    let mut log = DecisionLog::open(folder.path(), settings).unwrap();
    late(log.reward(2, 1.0, 86.0));
    log.append(&decision(8), None, 103.0).unwrap();
    late(log.reward(7, 1.0, 92.0));
    log.reward(0, 2.0, 92.0).unwrap();
    // The reader accepts every time that the writer accepts.
    let (joined, errors, reader) = read(folder.path(), READ);
    assert!(errors.is_empty(), "{errors:?}");
    let outcomes: Vec<_> = joined.iter().map(|entry| (entry.id, entry.reward, entry.defaulted)).collect();
    let lost = |id| (id, 0.0, true);
    assert_eq!(
        outcomes,
        [(0, 2.0, false), (1, 1.0, false), lost(2), lost(3), lost(4), lost(5), lost(6), lost(7)],
        "{:?}",
        reader.counts()
    );
}

#[test]
fn a_log_whose_first_files_are_gone_knows_its_clock() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogSettings::default().with_horizon(Some(10.0)).with_rotate_bytes(1);
    let mut log = DecisionLog::open(folder.path(), settings).unwrap();
    log.append(&decision(0), None, 100.0).unwrap();
    log.append(&decision(1), None, 80.0).unwrap();
    drop(log);
    std::fs::remove_file(folder.path().join("00000000.jsonl")).unwrap();
    let (joined, ..) = read(folder.path(), READ);
    assert_eq!(joined.iter().map(|entry| (entry.id, entry.defaulted)).collect::<Vec<_>>(), [(1, true)]);
    let mut log = DecisionLog::open(folder.path(), settings).unwrap();
    let refused = log.reward(1, 1.0, 85.0);
    assert!(matches!(refused, Err(LogError::Reward { id: 1, problem: LogProblem::Late })), "{refused:?}");
}
