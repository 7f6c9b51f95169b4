//! Slates and the feedback on them: joining, refusals, rotation, torn lines, and learning.

use std::fs;
use std::path::Path;

use dht_bandits::{
    ArmId, Error, Policy, Request, Ridge, Thompson,
    evaluation::{LoggedRound, OffPolicy},
    exploration::EpsilonGreedy,
    features::Interactions,
    log::{DecisionLog, JoinedSlate, LogError, LogProblem, LogReader, LogSettings},
    policy::{
        Feedback::{self, Observed, Unobserved},
        Slate, TopK,
    },
    posterior::DiagonalLaplace,
};
use rand::RngExt;

use crate::support::{decision, read, rng};

const FIRST: &str = "00000000.jsonl";
const LEFT_OUT: LogSettings = LogSettings::new().with_horizon(Some(10.0)).with_unobserved(false);

fn open(folder: &Path, horizon: Option<f64>) -> DecisionLog {
    DecisionLog::open(folder, LogSettings::default().with_horizon(horizon))
        .unwrap_or_else(|error| unreachable!("{error}"))
}

/// Slate of two of five arms, in a context that identifies the slate.
fn slate(number: u64) -> Slate {
    let policy = TopK::<Ridge, _>::per_arm(2, 5, Ridge::default(), EpsilonGreedy::new(0.5))
        .unwrap_or_else(|error| unreachable!("{error}"));
    let context = [number as f64, 0.1 + number as f64 / 3.0];
    policy.decide_slate(2, &Request::new(&context), &mut rng(number)).unwrap_or_else(|error| unreachable!("{error}"))
}

fn slates(folder: &Path, settings: LogSettings) -> (Vec<JoinedSlate>, Vec<LogError>, LogReader<JoinedSlate>) {
    let mut reader = LogReader::open_slates(folder, settings).unwrap_or_else(|error| unreachable!("{error}"));
    let (mut joined, mut errors) = (Vec::new(), Vec::new());
    for outcome in &mut reader {
        match outcome {
            Ok(slate) => joined.push(slate),
            Err(error) => errors.push(error),
        }
    }
    (joined, errors, reader)
}

#[test]
fn feedback_that_comes_late_or_never_is_joined() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), Some(10.0));
    for number in 0..4 {
        assert_eq!(log.append_slate(&slate(number), number as f64).unwrap(), number);
    }
    assert_eq!(log.waiting(), 4);
    log.feedback(2, &[Observed(0.0), Observed(1.0)], 4.0).unwrap();
    log.feedback(0, &[Observed(1.0), Unobserved], 9.5).unwrap();
    log.append_slate(&slate(4), 12.5).unwrap();
    // Slate 1 waited 11.5 and is left out. Slate 3 has waited since 9.5 and may still get its feedback.
    let (joined, errors, reader) = slates(folder.path(), LEFT_OUT);
    assert!(errors.is_empty(), "{errors:?}");
    let outcomes: Vec<_> = joined.iter().map(|entry| (entry.id, entry.feedback.clone(), entry.defaulted)).collect();
    let (first, third) = (vec![Observed(1.0), Unobserved], vec![Observed(0.0), Observed(1.0)]);
    assert_eq!(outcomes, [(0, first.clone(), false), (2, third.clone(), false)]);
    assert_eq!((&joined[1].slate, joined[1].time), (&slate(2), 2.0));
    let counts = reader.counts();
    assert_eq!((counts.rewarded, counts.unrewarded, counts.waiting, counts.torn), (2, 1, 2, 0));
    // It counts as unobserved if the settings say so. Without a horizon, all slates wait until the end of the log.
    let nothing = vec![Unobserved; 2];
    let (joined, _, reader) = slates(folder.path(), LEFT_OUT.with_unobserved(true));
    let outcomes: Vec<_> = joined.iter().map(|entry| (entry.feedback.clone(), entry.defaulted)).collect();
    assert_eq!(outcomes, [(first.clone(), false), (nothing.clone(), true), (third.clone(), false)]);
    assert_eq!(reader.counts().defaulted, 1);
    let (joined, ..) = slates(folder.path(), LogSettings::default().with_unobserved(true));
    let outcomes: Vec<_> = joined.into_iter().map(|entry| entry.feedback).collect();
    assert_eq!(outcomes, [first, nothing.clone(), third, nothing.clone(), nothing]);
    let (joined, _, reader) = slates(folder.path(), LogSettings::default());
    assert_eq!((joined.len(), reader.counts().waiting), (2, 3));
}

#[test]
fn feedback_without_its_slate_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), Some(10.0));
    let refused = |log: &mut DecisionLog, id, feedback: &[Feedback], time| match log.feedback(id, feedback, time) {
        Err(LogError::Reward { id: named, problem }) => {
            assert_eq!(named, id);
            problem
        }
        other => unreachable!("{other:?}"),
    };
    let seen = [Observed(1.0), Unobserved];
    log.append_slate(&slate(0), 0.0).unwrap();
    log.append_slate(&slate(1), 1.0).unwrap();
    log.append(&decision(2), None, 1.0).unwrap();
    log.feedback(0, &seen, 2.0).unwrap();
    let before = fs::read(folder.path().join(FIRST)).unwrap();
    assert_eq!(refused(&mut log, 0, &seen, 2.0), LogProblem::Twice);
    assert_eq!(refused(&mut log, 3, &seen, 2.0), LogProblem::Unknown);
    assert_eq!(refused(&mut log, 1, &seen, 11.5), LogProblem::Late);
    assert_eq!(refused(&mut log, 1, &seen[..1], 2.0), LogProblem::Count { expected: 2, got: 1 });
    assert_eq!(refused(&mut log, 2, &seen, 2.0), LogProblem::TakesReward);
    let reward = log.reward(1, 1.0, 2.0);
    assert!(matches!(reward, Err(LogError::Reward { id: 1, problem: LogProblem::TakesFeedback })), "{reward:?}");
    for bad in [f64::NAN, f64::INFINITY, 1e101] {
        assert!(matches!(log.feedback(1, &[Observed(bad), Unobserved], 2.0), Err(LogError::Value { .. })));
    }
    for time in [f64::NAN, f64::NEG_INFINITY, f64::INFINITY] {
        assert!(log.feedback(1, &seen, time).is_err());
        assert!(matches!(log.append_slate(&slate(2), time), Err(LogError::Value { .. })));
    }
    assert_eq!(fs::read(folder.path().join(FIRST)).unwrap(), before);
    assert_eq!((log.next_id(), log.waiting()), (3, 2));
    // The result is the same after the log was closed and opened again.
    drop(log);
    let mut log = open(folder.path(), Some(10.0));
    assert_eq!((log.next_id(), log.waiting(), log.torn_bytes()), (3, 2, 0));
    assert_eq!(refused(&mut log, 0, &seen, 3.0), LogProblem::Twice);
    assert_eq!(refused(&mut log, 1, &[], 3.0), LogProblem::Count { expected: 2, got: 0 });
    log.feedback(1, &seen, 3.0).unwrap();
    log.append_slate(&slate(3), 30.0).unwrap();
    assert_eq!(refused(&mut log, 1, &seen, 30.0), LogProblem::Late);
}

#[test]
fn unusable_slates_are_rejected_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    let problem = |outcome: Result<u64, LogError>| match outcome {
        Err(LogError::Value { problem }) => problem,
        other => unreachable!("{other:?}"),
    };
    let policy = TopK::<Ridge, _>::per_arm(1, 4, Ridge::default(), EpsilonGreedy::new(0.5)).unwrap();
    let request = Request::new(&[1.0]);
    // The slate has no chosen arm.
    let none = policy.decide_slate(0, &request, &mut rng(1)).unwrap();
    assert!(matches!(problem(log.append_slate(&none, 0.0)), LogProblem::Missing(_)));
    // The slate shows an arm that was not available; the request excludes some arms.
    let good = policy.decide_slate(2, &request, &mut rng(1)).unwrap();
    let other = [ArmId::new(9)];
    let refused = problem(log.append_slate_request(&request.only(&other), &good, 0.0));
    assert!(matches!(refused, LogProblem::Contradiction(_)), "{refused}");
    let refused = problem(log.append_slate_request(&request.except(&other), &good, 0.0));
    assert!(matches!(refused, LogProblem::Missing(_)), "{refused}");
    // Damaged slates, as states from elsewhere may be.
    let json = serde_json::to_value(&good).unwrap();
    let damaged = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = json.clone();
        change(&mut value);
        serde_json::from_value::<Slate>(value).unwrap()
    };
    let changes: [&dyn Fn(&mut serde_json::Value); 4] = [
        &|value| value["choices"][0]["propensity"] = 1.1.into(),
        &|value| value["choices"][1]["arm"] = value["choices"][0]["arm"].clone(),
        &|value| value["contexts"] = serde_json::json!([1.0, 1.0, 1.0]),
        &|value| value["choices"][0]["width"] = 1e200.into(),
    ];
    for change in changes {
        problem(log.append_slate(&damaged(change), 0.0));
    }
    assert_eq!((log.next_id(), log.waiting()), (0, 0));
    assert_eq!(fs::metadata(folder.path().join(FIRST)).unwrap().len(), 0);
    // A policy can learn from a slate without its request, but not be evaluated on it.
    log.append_slate(&good, 0.0).unwrap();
    log.feedback(0, &[Unobserved; 2], 0.0).unwrap();
    let (joined, ..) = slates(folder.path(), LogSettings::default());
    assert_eq!(joined[0].clone().into_row(), Err(Error::NoRequest { id: 0 }));
}

#[test]
fn files_of_slates_are_rotated_and_a_torn_last_line_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogSettings::default().with_rotate_bytes(1000);
    let mut log = DecisionLog::open(folder.path(), settings).unwrap();
    for number in 0..40 {
        let id = log.append_slate(&slate(number), number as f64).unwrap();
        if number >= 20 {
            log.feedback(id - 20, &[Observed(number as f64), Unobserved], number as f64).unwrap();
        }
        if number == 25 {
            drop(log);
            log = DecisionLog::open(folder.path(), settings).unwrap();
            assert_eq!(log.waiting(), 20);
        }
    }
    drop(log);
    assert!(fs::read_dir(folder.path()).unwrap().count() > 10);
    let (joined, errors, _) = slates(folder.path(), LogSettings::default());
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(joined.iter().map(|entry| entry.id).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert!(joined.iter().all(|entry| entry.feedback[0] == Observed(entry.id as f64 + 20.0)));
    // Only the last files need be read when the log is opened.
    fs::write(folder.path().join(FIRST), "not a record\n").unwrap();
    assert!(DecisionLog::open(folder.path(), settings).is_err());
    let recent = settings.with_horizon(Some(5.0));
    assert_eq!(DecisionLog::open(folder.path(), recent).unwrap().next_id(), 40);

    // If the log is cut anywhere, all complete lines are read.
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    for number in 0..2 {
        log.append_slate(&slate(number), 0.0).unwrap();
        log.feedback(number, &[Observed(1.0), Unobserved], 1.0).unwrap();
    }
    drop(log);
    let whole = fs::read(folder.path().join(FIRST)).unwrap();
    for length in 0..=whole.len() {
        fs::write(folder.path().join(FIRST), &whole[..length]).unwrap();
        let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
        // A line is complete at its last brace.
        let braced = whole.get(length) == Some(&b'\n');
        let torn = length > 0 && whole[length - 1] != b'\n' && !braced;
        let (joined, errors, reader) = slates(folder.path(), LogSettings::default());
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!((joined.len(), reader.counts().torn), ((lines + usize::from(braced)) / 2, u64::from(torn)));
        let log = open(folder.path(), None);
        assert_eq!((log.torn_bytes() > 0, log.next_id() as usize), (torn, (lines + usize::from(braced)).div_ceil(2)));
    }
}

#[test]
fn each_reader_names_what_the_other_reads_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    log.append(&decision(0), None, 0.0).unwrap(); // line 1
    log.append_slate(&slate(1), 1.0).unwrap(); // line 2
    log.feedback(1, &[Observed(0.5), Unobserved], 2.0).unwrap();
    log.reward(0, 1.0, 2.0).unwrap();
    log.append_slate(&slate(2), 3.0).unwrap(); // line 5
    let places = |errors: &[LogError]| -> Vec<_> {
        let place = |error: &LogError| match error {
            LogError::Line { line, problem: LogProblem::OtherReader { what, id, reader }, .. } => {
                (*line, *what, *id, *reader)
            }
            other => unreachable!("{other}"),
        };
        errors.iter().map(place).collect()
    };
    let (joined, errors, reader) = read(folder.path(), LogSettings::default());
    assert_eq!(joined.iter().map(|entry| (entry.id, entry.reward)).collect::<Vec<_>>(), [(0, 1.0)]);
    assert_eq!(places(&errors), [(2, "slate", 1, "LogReader::open_slates"), (5, "slate", 2, "LogReader::open_slates")]);
    assert!(errors[0].to_string().ends_with("line 2: slate 1 is read by LogReader::open_slates"), "{}", errors[0]);
    assert_eq!((reader.counts().refused, reader.counts().other), (0, 2));
    let (joined, errors, _) = slates(folder.path(), LogSettings::default());
    assert_eq!(joined.iter().map(|entry| entry.id).collect::<Vec<_>>(), [1]);
    assert_eq!(places(&errors), [(1, "decision", 0, "LogReader::open")]);
    // Ids ascend over decisions and slates. Either reader detects a damaged id.
    drop(log);
    let text = fs::read_to_string(folder.path().join(FIRST)).unwrap();
    fs::write(folder.path().join(FIRST), text.replace("{\"decision\":{\"id\":0", "{\"decision\":{\"id\":7")).unwrap();
    let (_, errors, _) = slates(folder.path(), LogSettings::default());
    let order = errors
        .iter()
        .filter(|error| matches!(error, LogError::Line { problem: LogProblem::Order { last: 7, .. }, .. }));
    assert_eq!(order.count(), 2, "{errors:?}");
}

#[test]
fn a_slate_that_was_not_chosen_for_the_request_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    let arms = [0, 1, 2, 3].map(ArmId::new);
    let features: Vec<f64> = (0..8).map(f64::from).collect();
    let policy = TopK::<Ridge, _>::shared(8, Ridge::default(), EpsilonGreedy::new(0.5)).unwrap();
    let policy = policy.with_interactions(Interactions::new(2, 2).unwrap()).unwrap();
    let policy = policy.with_pinned(&arms[..1]).unwrap();
    let request = Request::new(&[1.0, 2.0]).featured(&arms, &features, 2).unwrap();
    let slate = policy.decide_slate(2, &request, &mut rng(1)).unwrap();
    let mut refuse = |request: &Request<'_>, told: &str| {
        let outcome = log.append_slate_request(request, &slate, 0.0);
        let Err(LogError::Value { problem: LogProblem::Contradiction(problem) }) = outcome else {
            unreachable!("{outcome:?}")
        };
        assert!(problem.contains(told), "{problem}");
        assert_eq!((log.next_id(), log.waiting()), (0, 0));
        assert_eq!(fs::metadata(folder.path().join(FIRST)).unwrap().len(), 0);
    };
    // Another context, a context of another length, other features, features of another length, and no features.
    let (mut other, wide) = (features.clone(), vec![0.5; 12]);
    other.iter_mut().for_each(|value| *value += 1.0);
    refuse(&request.with_context(&[1.0, 3.0]), "is not the context");
    refuse(&request.with_context(&[1.0]), "has length 4, expected 3");
    refuse(&request.featured(&arms, &other, 2).unwrap(), "is not the context");
    refuse(&request.featured(&arms, &wide, 3).unwrap(), "has length 4, expected 5");
    refuse(&request.only(&arms), "has length 4, expected 2");
    // The pinned arm is not available, or fewer arms are available than were shown.
    refuse(&request.featured(&arms[1..], &features[2..], 2).unwrap(), "arm 0 is shown");
    refuse(&request.featured(&arms[..1], &features[..2], 2).unwrap(), "could be chosen");
    assert_eq!(log.append_slate_request(&request, &slate, 0.0).unwrap(), 0);
}

#[test]
fn a_slate_policy_learns_from_its_log_what_it_learned_online() {
    let folder = tempfile::tempdir().unwrap();
    let new = || {
        let options = DiagonalLaplace::default();
        let policy = TopK::shared(5, options, Thompson { alpha: 0.5 }).unwrap();
        let policy = policy.with_interactions(Interactions::new(1, 2).unwrap()).unwrap();
        policy.with_pinned(&[ArmId::new(5)]).unwrap()
    };
    let (mut served, mut log, mut rng) = (new(), open(folder.path(), None), rng(1));
    let mut reused = Slate::default();
    for round in 0..60_u64 {
        let items: Vec<_> = (5..11).map(|item| ArmId::new(item + 100 * (round % 3) * u64::from(item > 5))).collect();
        let features: Vec<f64> = (0..12).map(|_| rng.random::<f64>() - 0.5).collect();
        let context = [rng.random::<f64>()];
        let request = Request::new(&context).featured(&items, &features, 2).unwrap();
        // Scratch memory of a reused slate is not written.
        Policy::select_slate(&served, 2, &request, &mut rng, &mut reused).unwrap();
        let slate = served.decide_slate(2, &request, &mut rng).unwrap();
        let clicked = (rng.random::<f64>() < 0.5).then_some((round % 2) as usize);
        let feedback: Vec<_> = Feedback::cascade(2, clicked).collect();
        let id = log.append_slate_request(&request, &slate, round as f64).unwrap();
        log.feedback(id, &feedback, round as f64).unwrap();
        served.learn_slate(&slate, &feedback).unwrap();
    }
    let mut learned = new();
    for joined in LogReader::open_slates(folder.path(), LogSettings::default()).unwrap() {
        let joined = joined.unwrap();
        learned.learn_slate(&joined.slate, &joined.feedback).unwrap();
        let row = joined.clone().into_row().unwrap();
        assert_eq!((row.context.len(), row.available.unwrap().len(), row.features.unwrap().len()), (1, 6, 12));
        assert_eq!(row.shown.len(), 2);
    }
    assert_eq!(learned.state(), served.state());
    let bits = |policy: &TopK<DiagonalLaplace, Thompson>| serde_json::to_string(policy).unwrap();
    assert_eq!(bits(&learned), bits(&served));
}

#[test]
fn each_reader_refuses_the_setting_of_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let _log = open(folder.path(), None);
    let refused = LogReader::open(folder.path(), LogSettings::default().with_unobserved(true)).unwrap_err();
    assert!(refused.to_string().contains("unobserved: expected false for decisions"), "{refused}");
    let refused = LogReader::open_slates(folder.path(), LogSettings::default().with_default_reward(Some(0.0)));
    let refused = refused.unwrap_err();
    assert!(refused.to_string().contains("default_reward: expected none for slates"), "{refused}");
}

#[test]
fn slates_without_propensities_are_learned_but_not_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), None);
    let mut policy = TopK::<Ridge, _>::per_arm(2, 5, Ridge::default(), EpsilonGreedy::new(0.5)).unwrap();
    let request = Request::new(&[1.0, 0.5]);
    let undrawn = policy.select_slate(2, &request, &mut rng(1)).unwrap();
    assert!(undrawn.choices().iter().all(|choice| choice.propensity.is_none()));
    let drawn = policy.decide_slate(2, &request, &mut rng(2)).unwrap();
    for slate in [&drawn, &undrawn] {
        let id = log.append_slate_request(&request, slate, 0.0).unwrap();
        log.feedback(id, &[Observed(1.0), Observed(0.0)], 0.0).unwrap();
    }
    log.append_slate(&undrawn, 0.0).unwrap();
    let (mut joined, errors, _) = slates(folder.path(), LogSettings::default());
    assert!(errors.is_empty(), "{errors:?}");
    joined.iter().for_each(|joined| policy.learn_slate(&joined.slate, &joined.feedback).unwrap());
    let rows: Vec<_> = joined.drain(..).map(|joined| joined.into_row().unwrap()).collect();
    let rounds = LoggedRound::from_slates(&rows, &policy).unwrap();
    let refused = OffPolicy::from_slates(&rounds).unwrap_err();
    assert_eq!(refused, Error::NoPropensity { estimator: "an estimate of slates", round: 1 });
}
