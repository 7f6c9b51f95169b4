//! Several rewards of one decision: the first, the last, or their sum.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use dht_bandits::log::{DecisionLog, LogError, LogProblem, LogReader, LogSettings, RewardRule};

use crate::support::{decision, read};

fn settings(rule: RewardRule) -> LogSettings {
    LogSettings::default().with_horizon(Some(100.0)).with_reward_rule(rule)
}

/// A click at 5, a purchase at 60, and another decision after the horizon has passed.
fn click_and_purchase(rule: RewardRule, folder: &std::path::Path) -> Result<(), LogError> {
    let mut log = DecisionLog::open(folder, settings(rule)).unwrap();
    let id = log.append(&decision(0), None, 0.0).unwrap();
    log.append(&decision(1), None, 1.0).unwrap();
    log.reward(id, 1.0, 5.0).unwrap();
    // The log is opened again, as after a crash.
    drop(log);
    let mut log = DecisionLog::open(folder, settings(rule)).unwrap();
    assert_eq!(log.waiting(), 1);
    let second = log.reward(id, 10.0, 60.0);
    let late = log.reward(id, 100.0, 101.0).unwrap_err();
    assert!(matches!(late, LogError::Reward { .. }), "{late}");
    log.append(&decision(2), None, 150.0).unwrap();
    second
}

#[test]
fn the_rule_says_which_of_two_rewards_counts() {
    for (rule, expected) in [(RewardRule::First, 1.0), (RewardRule::Last, 10.0), (RewardRule::Sum, 11.0)] {
        let folder = tempfile::tempdir().unwrap();
        let second = click_and_purchase(rule, folder.path());
        assert_eq!(second.is_err(), rule == RewardRule::First);
        if let Err(error) = second {
            assert!(matches!(error, LogError::Reward { id: 0, problem: LogProblem::Twice }), "{error}");
        }
        let (joined, errors, reader) = read(folder.path(), settings(rule).with_default_reward(Some(0.0)));
        assert!(errors.is_empty(), "{errors:?}");
        let rewards: Vec<_> = joined.iter().map(|joined| (joined.id, joined.reward, joined.defaulted)).collect();
        assert_eq!(rewards, [(0, expected, false), (1, 0.0, true)], "{rule:?}");
        let counts = reader.counts();
        assert_eq!((counts.rewarded, counts.defaulted, counts.waiting), (1, 1, 1));
    }
}

#[test]
fn a_reader_of_first_rewards_refuses_lines_of_another_rule() {
    let folder = tempfile::tempdir().unwrap();
    click_and_purchase(RewardRule::Sum, folder.path()).unwrap();
    let (joined, errors, _) = read(folder.path(), settings(RewardRule::First));
    assert_eq!(joined[0].reward, 1.0);
    assert_eq!(errors.len(), 1);
    // The decision was joined with its first reward, and no longer waits.
    assert!(errors[0].to_string().contains("line 4: reward or feedback for id 0"), "{}", errors[0]);
}

#[test]
fn sums_wait_for_their_horizon_or_for_the_end_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), settings(RewardRule::Sum)).unwrap();
    let id = log.append(&decision(0), None, 0.0).unwrap();
    for (reward, time) in [(1.0, 1.0), (-3.0, 2.0), (0.5, 90.0)] {
        log.reward(id, reward, time).unwrap();
    }
    // More rewards may follow.
    let (joined, _, reader) = read(folder.path(), settings(RewardRule::Sum));
    assert_eq!((joined.len(), reader.counts().waiting), (0, 1));
    let for_ever = settings(RewardRule::Sum).with_horizon(None);
    let (joined, _, reader) = read(folder.path(), for_ever);
    assert_eq!((joined[0].reward, reader.counts().waiting), (-1.5, 0));
    let (joined, ..) = read(folder.path(), for_ever.with_reward_rule(RewardRule::Last));
    assert_eq!(joined[0].reward, 0.5);
    log.append(&decision(1), None, 100.5).unwrap();
    let (joined, ..) = read(folder.path(), settings(RewardRule::Sum));
    assert_eq!((joined.len(), joined[0].reward), (1, -1.5));
    // The position is that of the last line that counts.
    let last = joined[0].answered_at.unwrap();
    let text = std::fs::read(folder.path().join("00000000.jsonl")).unwrap();
    assert!(text[last.1 as usize..].starts_with(b"{\"reward\":{\"id\":0,\"time\":90"));
}

#[test]
fn a_sum_beyond_the_limit_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogSettings::default().with_reward_rule(RewardRule::Sum);
    let mut log = DecisionLog::open(folder.path(), settings).unwrap();
    let id = log.append(&decision(0), None, 0.0).unwrap();
    log.reward(id, 9e99, 1.0).unwrap();
    log.reward(id, 9e99, 2.0).unwrap();
    assert!(log.reward(id, f64::NAN, 3.0).is_err() && log.reward(7, 1.0, 3.0).is_err());
    let mut reader = LogReader::open(folder.path(), settings).unwrap();
    let refused = reader.next().unwrap().unwrap_err();
    assert!(refused.to_string().contains("line 3") && refused.to_string().contains("sum of rewards"), "{refused}");
    assert_eq!(reader.next().unwrap().unwrap().reward, 9e99);
}
