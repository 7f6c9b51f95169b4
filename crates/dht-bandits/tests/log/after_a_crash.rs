//! Recovery after a crash: rewards since the last save are learned again from the log.

use std::collections::VecDeque;

use dht_bandits::{
    LinTs, Policy, Request, Ridge, Thompson,
    exploration::EpsilonGreedy,
    log::{DecisionLog, LogReader, LogSettings},
    policy::{Feedback, TopK},
};

use crate::support::{decision, read, rng};

#[test]
fn a_policy_goes_on_from_its_last_save_to_the_bit() {
    let settings = LogSettings::default().with_horizon(Some(50.0)).with_rotate_bytes(2000);
    for saved_after in [0u32, 1, 57, 120, 199, 200] {
        let folder = tempfile::tempdir().unwrap();
        let mut served = LinTs::new(2, 3, Ridge::default(), Thompson { alpha: 0.5 }).unwrap();
        let mut log = DecisionLog::open(folder.path(), settings).unwrap();
        let (mut rng, mut saved, mut in_flight) = (rng(3), String::new(), VecDeque::new());
        for round in 0..200u32 {
            if round == saved_after {
                saved = serde_json::to_string(&(&served, log.position())).unwrap();
            }
            let time = f64::from(round);
            let context = [1.0, f64::from(round % 7) - 3.0];
            let made = served.decide(&Request::new(&context), &mut rng).unwrap();
            in_flight.push_back((log.append(&made, None, time).unwrap(), made));
            // Rewards arrive late, out of order, and for two of three decisions.
            if in_flight.len() > 9 {
                let (id, made) = in_flight.remove(round as usize % 9).unwrap();
                if round % 3 != 0 {
                    log.reward(id, context[1] * 0.1, time).unwrap();
                    served.learn(&made, context[1] * 0.1).unwrap();
                }
            }
        }
        if saved.is_empty() {
            saved = serde_json::to_string(&(&served, log.position())).unwrap();
        }
        let end = log.position();
        drop(log);
        assert_eq!(DecisionLog::open(folder.path(), settings).unwrap().position(), end);
        assert!(end.0 > 5);
        // The next process continues here.
        let (mut policy, position): (LinTs, (u64, u64)) = serde_json::from_str(&saved).unwrap();
        let reader = LogReader::open(folder.path(), LogSettings::default().with_horizon(Some(50.0))).unwrap();
        let mut missed: Vec<_> =
            reader.map(Result::unwrap).filter(|entry| entry.answered_at >= Some(position)).collect();
        missed.sort_by_key(|entry| entry.answered_at);
        missed.iter().for_each(|entry| policy.learn(&entry.decision, entry.reward).unwrap());
        assert_eq!(policy.state(), served.state(), "saved after {saved_after}");
        assert!(if saved_after == 200 { missed.is_empty() } else { missed.len() > 20 || saved_after == 199 });
    }
}

#[test]
fn each_reward_tells_where_it_stands_and_defaults_stand_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default().with_rotate_bytes(1)).unwrap();
    let first = log.append(&decision(0), None, 0.0).unwrap();
    log.append(&decision(1), None, 0.0).unwrap();
    let before = log.position();
    log.reward(first, 1.0, 1.0).unwrap();
    let after = log.position();
    let policy = TopK::<Ridge, _>::per_arm(1, 3, Ridge::default(), EpsilonGreedy::new(0.5)).unwrap();
    let slate = policy.decide_slate(1, &Request::new(&[1.0]), &mut rng(1)).unwrap();
    let shown = log.append_slate(&slate, 1.0).unwrap();
    log.feedback(shown, &[Feedback::Observed(1.0)], 1.0).unwrap();
    drop(log);
    let (joined, ..) = read(folder.path(), LogSettings::default().with_default_reward(Some(0.0)));
    let at = joined[0].answered_at.unwrap();
    assert!(before <= at && at < after, "{before:?} {at:?} {after:?}");
    assert_eq!((joined[1].answered_at, joined[1].defaulted), (None, true));
    // The line is the same, to the byte.
    let text = std::fs::read(folder.path().join(format!("{:08}.jsonl", at.0))).unwrap();
    assert!(text[at.1 as usize..].starts_with(b"{\"reward\":{\"id\":0,"));
    let mut slates = LogReader::open_slates(folder.path(), LogSettings::default()).unwrap();
    let slate = slates.find_map(Result::ok).unwrap();
    assert!(slate.answered_at.unwrap() > at);
}
