//! Joining, horizons, rotation, crashes, refusals.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use dht_bandits::{
    ArmId, LinTs, Policy, Request, Ridge, Thompson,
    log::{DecisionLog, LogError, LogProblem, LogReader, LogSettings},
    policy::{ContextFree, Ucb1},
};

use crate::support::{decision, read, rng};

const CLICKS: LogSettings = LogSettings::new().with_horizon(Some(10.0)).with_default_reward(Some(0.0));

fn open(folder: &Path, horizon: Option<f64>) -> DecisionLog {
    DecisionLog::open(folder, LogSettings::default().with_horizon(horizon))
        .unwrap_or_else(|error| unreachable!("{error}"))
}

fn add_line(folder: &Path, text: &str) {
    let file = OpenOptions::new().append(true).open(folder.join("00000000.jsonl"));
    file.and_then(|mut file| file.write_all(text.as_bytes())).unwrap_or_else(|error| unreachable!("{error}"));
}

#[test]
fn rewards_that_come_late_or_never_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), Some(10.0));
    for number in 0..4 {
        assert_eq!(log.append(&decision(number), None, number as f64).unwrap(), number);
    }
    assert_eq!(log.waiting(), 4);
    log.reward(2, 0.5, 4.0).unwrap();
    log.reward(0, 1.0, 9.5).unwrap();
    log.append(&decision(4), None, 12.5).unwrap();
    // Decision 1 waited 11.5 and gets the default. Decision 3 has waited since 9.5 and may still get its reward.
    let (joined, errors, reader) = read(folder.path(), CLICKS);
    assert!(errors.is_empty());
    let outcomes: Vec<_> = joined.iter().map(|entry| (entry.id, entry.reward, entry.defaulted)).collect();
    assert_eq!(outcomes, [(0, 1.0, false), (1, 0.0, true), (2, 0.5, false)]);
    assert_eq!(joined[2].decision, decision(2));
    let counts = reader.counts();
    assert_eq!((counts.rewarded, counts.defaulted, counts.waiting, counts.torn), (2, 1, 2, 0));
    // Without a default they are left out. Without a horizon they wait until the end of the log.
    let (joined, _, reader) = read(folder.path(), CLICKS.with_default_reward(None));
    assert_eq!((joined.len(), reader.counts().unrewarded), (2, 1));
    let (joined, ..) = read(folder.path(), LogSettings::default().with_default_reward(Some(-1.0)));
    assert_eq!(joined.iter().map(|entry| entry.reward).collect::<Vec<_>>(), [1.0, -1.0, 0.5, -1.0, -1.0]);
    let row = joined[0].clone().into_row();
    assert_eq!((row.arm, row.propensity, row.reward), (decision(0).arm(), Some(1.0 / 3.0), 1.0));
    assert_eq!(row.context, decision(0).context);
}

#[test]
fn a_reward_without_its_decision_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), Some(10.0));
    let refused = |log: &mut DecisionLog, id, reward, time| match log.reward(id, reward, time) {
        Err(LogError::Reward { id: named, problem }) => {
            assert_eq!(named, id);
            Some(problem)
        }
        Err(LogError::Value { .. }) | Ok(()) => None,
        Err(other) => unreachable!("{other}"),
    };
    log.append(&decision(0), None, 0.0).unwrap();
    log.append(&decision(1), None, 1.0).unwrap();
    log.reward(0, 1.0, 2.0).unwrap();
    let before = fs::read(folder.path().join("00000000.jsonl")).unwrap();
    assert_eq!(refused(&mut log, 0, 1.0, 2.0), Some(LogProblem::Twice));
    assert_eq!(refused(&mut log, 2, 1.0, 2.0), Some(LogProblem::Unknown));
    assert_eq!(refused(&mut log, 1, 1.0, 11.5), Some(LogProblem::Late));
    assert_eq!(refused(&mut log, 1, f64::NAN, 2.0), None);
    assert!(matches!(log.reward(1, f64::NAN, 2.0), Err(LogError::Value { .. })));
    assert_eq!(fs::read(folder.path().join("00000000.jsonl")).unwrap(), before);
    // The result is the same after the log was closed and opened again.
    drop(log);
    let mut log = open(folder.path(), Some(10.0));
    assert_eq!((log.next_id(), log.waiting(), log.torn_bytes()), (2, 1, 0));
    assert_eq!(refused(&mut log, 0, 1.0, 3.0), Some(LogProblem::Twice));
    log.reward(1, 1.0, 3.0).unwrap();
    log.append(&decision(2), None, 30.0).unwrap();
    assert_eq!(refused(&mut log, 1, 1.0, 30.0), Some(LogProblem::Late));
}

#[test]
fn unusable_decisions_are_rejected_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    let good = decision(0);
    let refused = |log: &mut DecisionLog, change: &dyn Fn(&mut dht_bandits::Decision)| {
        let mut bad = good.clone();
        change(&mut bad);
        match log.append(&bad, None, 0.0) {
            Err(LogError::Value { problem }) => problem,
            other => unreachable!("{other:?}"),
        }
    };
    for propensity in [0.0, 1.5, -1.0] {
        let problem = refused(&mut log, &|bad| bad.choice.propensity = Some(propensity));
        assert_eq!(problem, LogProblem::Propensity(propensity));
    }
    assert!(matches!(refused(&mut log, &|bad| bad.choice.propensity = Some(f64::NAN)), LogProblem::Propensity(_)));
    assert!(matches!(refused(&mut log, &|bad| bad.context[1] = f64::INFINITY), LogProblem::NotFinite { .. }));
    let half = [(ArmId::new(0), 0.5)];
    assert!(matches!(log.append(&good, Some(&half), 0.0), Err(LogError::Value { .. })));
    assert_eq!((log.next_id(), log.waiting()), (0, 0));
    assert_eq!(fs::metadata(folder.path().join("00000000.jsonl")).unwrap().len(), 0);
    // A decision without a propensity takes it from the probabilities.
    let mut unknown = good.clone();
    unknown.choice.propensity = None;
    let all: Vec<_> = [0.2, 0.3, 0.5].iter().zip(0..).map(|(share, arm)| (ArmId::new(arm), *share)).collect();
    log.append(&unknown, Some(&all), 0.0).unwrap();
    log.reward(0, 1.0, 1.0).unwrap();
    let (joined, ..) = read(folder.path(), CLICKS);
    let row = joined[0].clone().into_row();
    assert_eq!(row.propensity, Some(all[unknown.arm().number() as usize].1));
    assert_eq!(row.probabilities.unwrap(), all);
}

#[test]
fn files_are_rotated_by_size_and_read_as_one_log() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogSettings::default().with_rotate_bytes(1000);
    let mut log = DecisionLog::open(folder.path(), settings).unwrap();
    for number in 0..50 {
        let id = log.append(&decision(number), None, number as f64).unwrap();
        if number >= 20 {
            log.reward(id - 20, 1.0, number as f64).unwrap();
        }
        if number == 25 {
            drop(log);
            log = DecisionLog::open(folder.path(), settings).unwrap();
        }
    }
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(files.len() > 10, "{}", files.len());
    assert!(files.iter().all(|file| file.metadata().unwrap().len() <= 1000));
    let (joined, errors, _) = read(folder.path(), LogSettings::default());
    assert!(errors.is_empty());
    assert_eq!(joined.iter().map(|entry| entry.id).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
    // With a horizon, only the last files need be read when the log is opened.
    drop(log);
    fs::write(folder.path().join("00000000.jsonl"), "not a record\n").unwrap();
    assert!(DecisionLog::open(folder.path(), settings).is_err());
    let recent = settings.with_horizon(Some(5.0));
    let log = DecisionLog::open(folder.path(), recent).unwrap();
    assert_eq!(log.next_id(), 50);
}

#[test]
fn a_torn_last_line_is_skipped_counted_and_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    for number in 0..3 {
        log.append(&decision(number), None, 0.0).unwrap();
        log.reward(number, 1.0, 1.0).unwrap();
    }
    drop(log);
    let whole = fs::read(folder.path().join("00000000.jsonl")).unwrap();
    let lines = whole.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 6);
    // If the log is cut anywhere, all complete lines are read.
    for length in 0..=whole.len() {
        fs::write(folder.path().join("00000000.jsonl"), &whole[..length]).unwrap();
        let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
        // A line is complete at its last brace.
        let braced = whole.get(length) == Some(&b'\n');
        let torn = length > 0 && whole[length - 1] != b'\n' && !braced;
        let whole_lines = lines + usize::from(braced);
        let (joined, errors, reader) = read(folder.path(), LogSettings::default());
        assert!(errors.is_empty());
        assert_eq!(joined.len(), whole_lines / 2);
        assert_eq!(reader.counts().torn, u64::from(torn));
        let log = open(folder.path(), None);
        assert_eq!(log.torn_bytes() > 0, torn);
        assert_eq!(log.next_id() as usize, whole_lines.div_ceil(2));
    }
}

#[test]
fn damaged_lines_are_named_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    log.append(&decision(0), None, 0.0).unwrap();
    drop(log);
    let text = fs::read_to_string(folder.path().join("00000000.jsonl")).unwrap();
    let second = text.replace("\"id\":0", "\"id\":1");
    add_line(folder.path(), &text); // line 2: again
    add_line(folder.path(), &second.replace("\"propensity\":0.3333333333333333", "\"propensity\":0.0")); // 3
    add_line(folder.path(), &second.replacen("\"propensity\":0.3333333333333333", "\"propensity\":\"half\"", 1)); // 4
    add_line(folder.path(), &format!("{}\n", &second[..second.len() / 2])); // 5: cut in the middle
    add_line(folder.path(), "\n"); // 6: blank
    add_line(folder.path(), &second); // 7
    add_line(folder.path(), "{\"reward\":{\"id\":9,\"time\":1.0,\"reward\":1.0}}\n"); // 8: no such decision
    add_line(folder.path(), "{\"reward\":{\"id\":1,\"time\":1.0,\"reward\":null}}\n"); // 9
    add_line(folder.path(), "{\"reward\":{\"id\":1,\"time\":1.0,\"reward\":2.0}}\n"); // 10
    add_line(folder.path(), "{\"reward\":{\"id\":1,\"time\":1.0,\"reward\":2.0}}\n"); // 11: twice
    add_line(folder.path(), "{\"reward\":{\"id\":0,\"time\":1.0,\"reward\":3.0,\"extra\":1}}\n"); // 12
    add_line(folder.path(), "{\"reward\":{\"id\":0,\"time\":1.0,\"reward\":3.0}}\n"); // 13
    let (joined, errors, reader) = read(folder.path(), LogSettings::default());
    assert_eq!(joined.iter().map(|entry| (entry.id, entry.reward)).collect::<Vec<_>>(), [(0, 3.0), (1, 2.0)]);
    let places: Vec<_> = errors
        .iter()
        .map(|error| match error {
            LogError::Line { line, path, .. } => (path.ends_with("00000000.jsonl"), *line),
            other => unreachable!("{other}"),
        })
        .collect();
    assert_eq!(places, [2, 3, 4, 5, 8, 9, 11, 12].map(|line| (true, line)));
    let problem = |position: usize| match &errors[position] {
        LogError::Line { problem, .. } => problem.clone(),
        other => unreachable!("{other}"),
    };
    assert_eq!(problem(0), LogProblem::Order { id: 0, last: 0 });
    assert!(matches!(problem(1), LogProblem::Propensity(0.0)));
    assert!(matches!(problem(2), LogProblem::Malformed(_)));
    assert!(matches!(problem(3), LogProblem::Malformed(_)));
    assert_eq!(problem(4), LogProblem::Reward { id: 9, problem: Box::new(LogProblem::Unknown) });
    assert_eq!(problem(6), LogProblem::Reward { id: 1, problem: Box::new(LogProblem::Twice) });
    assert_eq!(reader.counts().refused, 8);
    // A reader that stops at the first error needs one question mark.
    let strict: Result<Vec<_>, _> = LogReader::open(folder.path(), LogSettings::default()).unwrap().collect();
    assert!(strict.is_err());
    // A log with damaged lines cannot be opened for writing.
    assert!(matches!(DecisionLog::open(folder.path(), LogSettings::default()), Err(LogError::Line { line: 4, .. })));
}

#[test]
fn decisions_without_a_propensity_are_logged_and_learned_from() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    let mut policy = LinTs::new(2, 3, Ridge::default(), Thompson { alpha: 0.5 }).unwrap();
    let request = Request::new(&[1.0, 0.2]);
    let decision = policy.select(&request, &mut rng(3)).unwrap().with_context(&[1.0, 0.2]);
    assert_eq!(decision.choice.propensity, None);
    let id = log.append_request(&request, &decision, None, 0.0).unwrap();
    log.reward(id, 1.0, 1.0).unwrap();
    // An estimated propensity keeps its standard error.
    let mut estimated = decision.clone();
    (estimated.choice.propensity, estimated.choice.propensity_error) = (Some(0.25), 0.01);
    let id = log.append(&estimated, None, 2.0).unwrap();
    log.reward(id, 0.0, 3.0).unwrap();
    let (joined, errors, _) = read(folder.path(), LogSettings::default());
    assert!(errors.is_empty());
    assert_eq!(joined[1].decision.choice.propensity_error, 0.01);
    for joined in &joined {
        policy.learn(&joined.decision, joined.reward).unwrap();
    }
    let rows: Vec<_> = joined.into_iter().map(|joined| joined.into_row()).collect();
    assert_eq!(rows.iter().map(|row| row.propensity).collect::<Vec<_>>(), [None, Some(0.25)]);
    let targets = vec![vec![(decision.arm(), 1.0)]; 2];
    let refused = dht_bandits::evaluation::LoggedRound::from_log(&rows, &targets).unwrap();
    let refused = dht_bandits::evaluation::OffPolicy::new(&refused).unwrap().inverse_propensity().unwrap_err();
    assert_eq!(refused, dht_bandits::Error::NoPropensity { estimator: "IPS", round: 0 });
}

#[test]
fn one_writer_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), None);
    assert!(matches!(DecisionLog::open(folder.path(), LogSettings::default()), Err(LogError::InUse { .. })));
    drop(first);
    assert!(DecisionLog::open(folder.path(), LogSettings::default()).is_ok());
    let bad = LogSettings::default().with_horizon(Some(0.0));
    assert!(matches!(DecisionLog::open(folder.path(), bad), Err(LogError::Setting(_))));
    assert!(matches!(LogReader::open(folder.path().join("none"), LogSettings::default()), Err(LogError::Io { .. })));
}

#[test]
fn a_policy_learns_from_its_log_what_it_learned_in_service() {
    let folder = tempfile::tempdir().unwrap();
    let new = || LinTs::new(2, 3, Ridge::default(), Thompson { alpha: 0.5 }).unwrap();
    let (mut served, mut log) = (new(), open(folder.path(), None));
    let mut rng = rng(1);
    for number in 0..200 {
        let context = [1.0, f64::from(number % 7) - 3.0];
        let mut decision = served.decide(&Request::new(&context), &mut rng).unwrap();
        decision.choice.propensity.get_or_insert(0.5);
        let id = log.append(&decision, None, f64::from(number)).unwrap();
        let reward = context[1] * 0.1 * decision.arm().number() as f64;
        log.reward(id, reward, f64::from(number)).unwrap();
        Policy::learn(&mut served, &decision, reward).unwrap();
    }
    let mut learned = new();
    for joined in LogReader::open(folder.path(), LogSettings::default()).unwrap() {
        let joined = joined.unwrap();
        learned.learn(&joined.decision, joined.reward).unwrap();
    }
    assert_eq!(learned.state(), served.state());
}

#[test]
fn ids_go_on_where_files_hold_rewards_alone_or_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogSettings::default().with_rotate_bytes(200).with_horizon(Some(1000.0));
    let mut log = DecisionLog::open(folder.path(), settings).unwrap();
    for number in 0..5 {
        log.append(&decision(number), None, number as f64).unwrap();
    }
    for (id, time) in [(0, 100.0), (1, 150.0), (2, 200.0), (3, 250.0)] {
        log.reward(id, 1.0, time).unwrap();
    }
    drop(log);
    // The files that a horizon of 20 reaches hold only rewards.
    let late = settings.with_horizon(Some(20.0));
    let log = DecisionLog::open(folder.path(), late).unwrap();
    assert_eq!(log.next_id(), 5);
    drop(log);
    // All files except the last are deleted.
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    files.sort_unstable();
    files[..files.len() - 1].iter().for_each(|path| fs::remove_file(path).unwrap());
    let mut log = DecisionLog::open(folder.path(), settings).unwrap();
    assert_eq!(log.append(&decision(9), None, 300.0).unwrap(), 5);
    assert!(matches!(log.reward(4, 1.0, 301.0), Err(LogError::Reward { id: 4, .. })));
    let (_, errors, _) = read(folder.path(), CLICKS);
    // Only the reward of the missing decision causes an error.
    assert!(errors.iter().all(|error| matches!(error, LogError::Line { problem: LogProblem::Reward { .. }, .. })));
}

#[test]
fn a_complete_last_line_without_newline_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    log.append(&decision(0), None, 0.0).unwrap();
    drop(log);
    add_line(folder.path(), r#"{"reward":{"id":0,"time":1.0,"reward":0.5}}"#);
    let (joined, errors, reader) = read(folder.path(), LogSettings::default());
    assert!(errors.is_empty() && joined[0].reward == 0.5 && reader.counts().torn == 0, "{errors:?}");
    let mut log = open(folder.path(), None);
    assert_eq!((log.torn_bytes(), log.waiting()), (0, 0));
    log.append(&decision(1), None, 2.0).unwrap();
    drop(log);
    let (joined, errors, _) = read(folder.path(), LogSettings::default().with_default_reward(Some(0.0)));
    assert!(errors.is_empty() && joined.len() == 2, "{errors:?}");
    add_line(folder.path(), "{\"reward\":{\"id\":18446744073709551615,\"time\":1.0,\"reward\":0.5}}\n");
    let (_, errors, _) = read(folder.path(), LogSettings::default());
    assert_eq!(errors.len(), 1);
    // Files with other names do not belong to the log.
    fs::write(folder.path().join("7.jsonl"), "notes").unwrap();
    assert_eq!(read(folder.path(), LogSettings::default()).1.len(), 1);
}

#[test]
fn a_file_that_a_crash_left_empty_still_tells_where_ids_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), Some(10.0));
    for number in 0..4 {
        log.append(&decision(number), None, number as f64).unwrap();
    }
    drop(log);
    // The next file was created without a line, or with a torn first line.
    for (segment, torn) in [(1, ""), (2, "{\"segm")] {
        let path = folder.path().join(format!("{segment:08}.jsonl"));
        fs::write(&path, torn).unwrap();
        let mut log = open(folder.path(), Some(10.0));
        let number = log.next_id();
        log.reward(number - 1, 1.0, number as f64).unwrap();
        drop(log);
        assert!(fs::read_to_string(&path).unwrap().starts_with("{\"segment\":"), "{segment}");
        fs::remove_file(folder.path().join(format!("{:08}.jsonl", segment - 1))).unwrap();
        let mut log = open(folder.path(), Some(10.0));
        assert_eq!(log.append(&decision(number), None, number as f64).unwrap(), number);
    }
}

#[test]
fn a_line_that_is_too_long_to_be_read_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    let mut long = decision(0);
    long.context = vec![1.0 / 3.0; 4_000_000];
    let refused = log.append(&long, None, 0.0).unwrap_err().to_string();
    assert!(refused.contains("longer than 64 MiB"), "{refused}");
    assert_eq!(log.append(&decision(1), None, 1.0).unwrap(), 0);
    drop(log);
    assert_eq!(open(folder.path(), None).waiting(), 1);
}

#[test]
fn decisions_on_arms_that_nothing_is_known_of_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    let policy = ContextFree::new(3, Ucb1::default()).unwrap();
    let made = policy.decide(&Request::new(&[]), &mut rng(1)).unwrap();
    let id = log.append(&made, None, 0.0).unwrap();
    log.reward(id, 1.0, 1.0).unwrap();
    drop(log);
    let (joined, errors, _) = read(folder.path(), CLICKS);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(joined[0].decision, made);
}
