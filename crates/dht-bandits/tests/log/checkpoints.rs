//! Policies that are saved with their position in the log: restored exactly, torn, and from another log.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::fs;
use std::path::PathBuf;

use dht_bandits::{
    Error, LinTs, LinUcb, Policy, Request, Ridge, Thompson, Ucb,
    exploration::EpsilonGreedy,
    log::{DecisionLog, LogError, LogProblem, LogSettings, RewardRule},
    policy::{Checkpoint, Feedback, TopK},
};

use crate::support::{decision, rng};

type Slates = TopK<Ridge, EpsilonGreedy>;

fn uniform_slates() -> Slates {
    TopK::per_arm(2, 5, Ridge::default(), EpsilonGreedy::new(1.0)).unwrap()
}

#[test]
fn a_restored_policy_catches_up_to_the_bit_and_only_once() {
    let settings = LogSettings::default().with_horizon(Some(50.0)).with_rotate_bytes(2000);
    for saved_after in [0u32, 1, 57, 120, 199] {
        let folder = tempfile::tempdir().unwrap();
        let (rewards, file) = (folder.path().join("log"), folder.path().join("policy.json"));
        let mut served = LinTs::new(2, 3, Ridge::default(), Thompson { alpha: 0.5 }).unwrap();
        let mut log = DecisionLog::open(&rewards, settings).unwrap();
        let mut rng = rng(3);
        for round in 0..200u32 {
            if round == saved_after {
                Checkpoint::new(&served, &log).save(&file).unwrap();
            }
            let context = [1.0, f64::from(round % 7) - 3.0];
            let made = served.decide(&Request::new(&context), &mut rng).unwrap();
            let id = log.append(&made, None, f64::from(round)).unwrap();
            log.reward(id, context[1] * 0.1, f64::from(round)).unwrap();
            served.learn(&made, context[1] * 0.1).unwrap();
        }
        drop(log);
        let mut restored = Checkpoint::<LinTs>::load(&file).unwrap();
        let caught_up = restored.catch_up(&rewards, settings).unwrap();
        assert_eq!((caught_up.learned, caught_up.refused), (200 - saved_after as usize, vec![]));
        assert_eq!(restored.policy.state(), served.state(), "saved after {saved_after}");
        assert_eq!(restored.catch_up(&rewards, settings).unwrap().learned, 0);
        // The policy is saved again, and nothing is learned twice.
        restored.save(&file).unwrap();
        let mut again = Checkpoint::<LinTs>::load(&file).unwrap();
        assert_eq!(again.catch_up(&rewards, settings).unwrap().learned, 0);
        assert_eq!((again.policy.state(), again.position), (restored.policy.state(), restored.position));
    }
}

#[test]
fn feedback_on_slates_is_caught_up_beside_decisions() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = uniform_slates();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    let before = Checkpoint::new(served.clone(), &log);
    for number in 0..40u32 {
        let request = [1.0, f64::from(number)];
        let slate = served.decide_slate(2, &Request::new(&request), &mut rng(u64::from(number))).unwrap();
        let slate = slate.with_examination(&[0.9, 0.3]).unwrap();
        let id = log.append_slate(&slate, 0.0).unwrap();
        // A decision of another policy in the same folder, without a reward.
        log.append(&decision(1), None, 0.0).unwrap();
        let feedback = [Feedback::from(number % 3 == 0), Feedback::from(number % 5 == 0)];
        log.feedback(id, &feedback, 0.0).unwrap();
        served.learn_slate(&slate, &feedback).unwrap();
    }
    let mut restored = before;
    assert_eq!(restored.catch_up(folder.path(), LogSettings::default()).unwrap().learned, 40);
    assert_eq!(restored.policy.state(), served.state());
}

#[test]
fn rewards_that_the_policy_refuses_are_reported_by_id() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    let mut policy = LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    let made: Vec<_> = (0..10).map(decision).collect();
    policy.remove_arm(made[0].arm()).unwrap();
    let mut checkpoint = Checkpoint::new(policy, &log);
    for made in &made {
        let id = log.append(made, None, 0.0).unwrap();
        log.reward(id, 1.0, 0.0).unwrap();
    }
    let caught_up = checkpoint.catch_up(folder.path(), LogSettings::default()).unwrap();
    let removed: Vec<_> = (0..10).filter(|id| made[*id as usize].arm() == made[0].arm()).collect();
    assert_eq!(caught_up.refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), removed);
    assert!(caught_up.refused.iter().all(|(_, error)| matches!(error, Error::RemovedArm { .. })));
    assert_eq!(caught_up.learned + removed.len(), 10);
}

/// Saved policy, and the log in the same folder.
fn saved() -> (tempfile::TempDir, PathBuf, PathBuf, LinUcb) {
    let folder = tempfile::tempdir().unwrap();
    let (rewards, file) = (folder.path().join("log"), folder.path().join("policy.json"));
    let mut log = DecisionLog::open(&rewards, LogSettings::default()).unwrap();
    let mut policy = LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    for number in 0..3 {
        let id = log.append(&decision(number), None, 0.0).unwrap();
        log.reward(id, 1.0, 0.0).unwrap();
        policy.learn(&decision(number), 1.0).unwrap();
    }
    Checkpoint::new(&policy, &log).save(&file).unwrap();
    (folder, rewards, file, policy)
}

#[test]
fn torn_and_foreign_checkpoints_are_refused() {
    let (folder, _, file, policy) = saved();
    let whole = fs::read(&file).unwrap();
    assert_eq!(Checkpoint::<LinUcb>::load(&file).unwrap().policy.state(), policy.state());
    for length in (0..whole.len()).step_by(7) {
        fs::write(&file, &whole[..length]).unwrap();
        let refused = Checkpoint::<LinUcb>::load(&file).unwrap_err().to_string();
        assert!(refused.contains("policy.json"), "{refused}");
    }
    // Damaged files: the end of another file, zeros after a power failure, another type of policy, and a policy without
    // a position.
    let mut longer = whole.clone();
    longer.extend_from_slice(b"}");
    let zeros = vec![0; whole.len()];
    let bare = serde_json::to_vec(&policy).unwrap();
    for text in [longer, zeros, bare] {
        fs::write(&file, text).unwrap();
        assert!(matches!(Checkpoint::<LinUcb>::load(&file), Err(Error::Settings { .. })));
    }
    fs::write(&file, &whole).unwrap();
    assert!(matches!(Checkpoint::<LinTs>::load(&file), Err(Error::Settings { .. })));
    let missing = Checkpoint::<LinUcb>::load(folder.path().join("none.json")).unwrap_err();
    assert!(matches!(missing, Error::File { kind: std::io::ErrorKind::NotFound, .. }), "{missing}");
    // If the path cannot be written, the former file stays, and no partial file remains.
    let log = DecisionLog::open(folder.path().join("log"), LogSettings::default()).unwrap();
    assert!(Checkpoint::new(&policy, &log).save(folder.path()).is_err());
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn another_log_and_replaced_lines_are_refused() {
    let (_folder, rewards, file, policy) = saved();
    let mut checkpoint = Checkpoint::<LinUcb>::load(&file).unwrap();
    let before = checkpoint.clone();
    let foreign = |checkpoint: &mut Checkpoint<LinUcb>, log: &std::path::Path| {
        let refused = checkpoint.catch_up(log, LogSettings::default()).unwrap_err();
        assert!(matches!(refused, LogError::File { problem: LogProblem::OtherBytes { .. }, .. }), "{refused}");
        assert_eq!((checkpoint.policy.state(), checkpoint.position), (before.policy.state(), before.position));
    };
    // A longer log of other decisions.
    let other = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(other.path(), LogSettings::default()).unwrap();
    for number in 10..40 {
        let id = log.append(&decision(number), None, 0.0).unwrap();
        log.reward(id, 0.5, 0.0).unwrap();
    }
    foreign(&mut checkpoint, other.path());
    // The last line before the position was lost, and other lines were written in its place.
    let path = rewards.join("00000000.jsonl");
    let whole = fs::read(&path).unwrap();
    let cut = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&path, &whole[..cut]).unwrap();
    let mut log = DecisionLog::open(&rewards, LogSettings::default()).unwrap();
    for number in 20..25 {
        log.append(&decision(number), None, 0.0).unwrap();
    }
    drop(log);
    foreign(&mut checkpoint, &rewards);
    // The position is inside a line.
    fs::write(&path, &whole).unwrap();
    let mut inside = before.clone();
    inside.position.1 -= 1;
    assert!(inside.catch_up(&rewards, LogSettings::default()).is_err());
    assert_eq!(checkpoint.catch_up(&rewards, LogSettings::default()).unwrap().learned, 0);
    assert_eq!(checkpoint.policy.state(), policy.state());
}

#[test]
fn a_log_that_ends_before_the_position_is_refused() {
    let (_folder, rewards, file, policy) = saved();
    let path = rewards.join("00000000.jsonl");
    let whole = fs::read(&path).unwrap();
    let mut restored = Checkpoint::<LinUcb>::load(&file).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let refused = restored.catch_up(&rewards, LogSettings::default()).unwrap_err();
    assert!(matches!(refused, LogError::File { problem: LogProblem::EndsBefore { .. }, .. }), "{refused}");
    let (length, byte) = (whole.len() - 1, whole.len());
    assert!(refused.to_string().contains(&format!("the file has {length} bytes, the policy was saved at byte {byte}")));
    fs::remove_file(&path).unwrap();
    assert!(restored.catch_up(&rewards, LogSettings::default()).is_err());
    // A line after the position that is cut off is ignored. A damaged line is refused, and nothing is learned.
    let reward = "{\"decision\":{\"id\":3,";
    fs::write(&path, [&whole[..], reward.as_bytes()].concat()).unwrap();
    assert_eq!(restored.catch_up(&rewards, LogSettings::default()).unwrap().learned, 0);
    fs::write(&path, [&whole[..], reward.as_bytes(), b"\n"].concat()).unwrap();
    let refused = restored.catch_up(&rewards, LogSettings::default()).unwrap_err();
    assert!(matches!(refused, LogError::Line { line: 7, .. }), "{refused}");
    assert_eq!(restored.policy.state(), policy.state());
    let sums = LogSettings::default().with_reward_rule(RewardRule::Sum);
    let refused = restored.catch_up(&rewards, sums).unwrap_err();
    assert!(refused.to_string().contains("reward_rule"), "{refused}");
}
