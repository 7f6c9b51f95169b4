//! The learner in service: before the first label it is a threshold, it follows texts that drift, and bad labels change nothing.

use candle_core::Device;
use dht_search::accelerate::{AccelerateSettings, Texts, accelerate};
use dht_search::baselines::{LogProbabilities, NgramSettings};
use dht_search::error::LabelProblem;
use dht_search::evaluation::{LeavingRule, Stages};
use dht_search::serving::{ClassScaling, Learner, LearnerSettings, LearningEngine};
use dht_search::transformer::{
    BertConfig, Dataset, Encoder, Example, Pooling, TextClassifier, TextTokenizer, TrainSettings, Trainer,
};
use dht_search::{Engine, Error, Result};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const STAGES: usize = 4;

fn generator(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A text of one of two classes: the ln p of its stages, each surer and less noisy than the one before, and its label. `bias` is added to
/// the log-odds of class 1 at all stages: what a world that drifts does.
fn text(rng: &mut impl Rng, bias: f64) -> (Vec<Vec<f64>>, u32) {
    let label = u32::from(rng.random_bool(0.5));
    let truth = f64::from(label) * 2.0 - 1.0;
    let logs = |stage: usize| {
        let noise = rng.random_range(-4.0..4.0) / (1.0 + stage as f64);
        let odds: f64 = 2.0 * truth + noise + bias;
        vec![-odds.exp().ln_1p(), -(-odds).exp().ln_1p()]
    };
    ((0..STAGES).map(logs).collect(), label)
}

/// The shares of the full model's FLOPs of a text that leaves at each stage.
const COSTS: [f64; STAGES] = [0.02, 0.3, 0.6, 1.0];

fn learner(settings: LearnerSettings) -> Result<Learner> {
    Learner::new(STAGES, 2, settings)
}

/// Decides about a text and records it; the class that it is answered, and the stage.
fn serve(learner: &mut Learner, stages: &[Vec<f64>]) -> Result<(u64, u32, usize)> {
    let id = learner.take_ids(1);
    let policy = learner.policy().clone();
    let explores = policy.explores(id);
    let leaves = |stage: &usize| !explores && policy.leaves(*stage, &stages[*stage]);
    let stage = (0..STAGES - 1).find(leaves).unwrap_or(STAGES - 1);
    learner.record(id, stages[..=stage].to_vec(), COSTS[stage])?;
    let answer = policy.answer(stage, &stages[stage]);
    Ok((id, u32::from(answer[1] > answer[0]), stage))
}

#[test]
fn a_scaling_is_found_that_was_planted() -> Result<()> {
    let planted = ClassScaling { scale: 0.6, biases: vec![0.7, -0.4, -0.3] };
    let mut rng = generator(1);
    let mut row = || -> (Vec<f64>, u32) {
        let scores: Vec<f64> = (0..3).map(|_| rng.random_range(-3.0..0.0)).collect();
        let sum = scores.iter().map(|score| score.exp()).sum::<f64>().ln();
        let logs: Vec<f64> = scores.iter().map(|score| score - sum).collect();
        let (mut left, mut label) = (rng.random::<f64>(), 0);
        for log in planted.apply(&logs) {
            left -= log.exp();
            if left > 0.0 && label < 2 {
                label += 1;
            }
        }
        (logs, label)
    };
    let rows: Vec<(Vec<f64>, u32)> = (0..40_000).map(|_| row()).collect();
    let rows: Vec<(&[f64], u32)> = rows.iter().map(|(logs, label)| (&**logs, *label)).collect();
    let found = ClassScaling::fit(3, &rows, [1e-3, 1e-3])?;
    assert!((found.scale - planted.scale).abs() < 0.03, "{found:?}");
    for (found, planted) in found.biases.iter().zip(&planted.biases) {
        assert!((found - planted).abs() < 0.04, "{found} and {planted}");
    }
    let few = ClassScaling::fit(3, &rows[..20], [200.0, 20.0])?;
    assert!((few.scale - 1.0).abs() < 0.1 && few.biases.iter().all(|bias| bias.abs() < 0.5), "{few:?}");
    assert_eq!(ClassScaling::fit(3, &[], [1.0, 1.0])?, ClassScaling::identity(3));
    let field = |result: Result<ClassScaling>| match result {
        Err(Error::Setting { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(ClassScaling::fit(2, &rows, [1.0, 1.0])), "classes of a row");
    assert_eq!(field(ClassScaling::fit(3, &rows, [0.0, 1.0])), "precision");
    Ok(())
}

#[test]
fn before_the_first_label_it_is_a_threshold() -> Result<()> {
    let mut rng = generator(2);
    let texts: Vec<(Vec<Vec<f64>>, u32)> = (0..500).map(|_| text(&mut rng, 0.0)).collect();
    let table =
        |stage: usize| LogProbabilities::new(2, texts.iter().flat_map(|(stages, _)| stages[stage].clone()).collect());
    let tables = (0..STAGES).map(table).collect::<Result<Vec<_>>>()?;
    let stages = Stages::new(&tables, vec![vec![1; 500]; STAGES], LeavingRule::Confidence)?;
    for threshold in [0.0, 0.03, 0.2, 1.0] {
        let mut learner = learner(LearnerSettings { threshold, exploration: 0.0, ..LearnerSettings::default() })?;
        let expected = stages.at(threshold);
        for (row, (stages, _)) in texts.iter().enumerate() {
            let (_, class, stage) = serve(&mut learner, stages)?;
            assert_eq!((class, stage), (expected.labels[row], expected.stages[row]), "row {row} at {threshold}");
        }
    }
    Ok(())
}

/// Accuracy and mean cost of the last half of texts that drift after the first third, with labels of `share` of them, 50 texts late.
fn through_a_drift(settings: LearnerSettings, share: f64, bias: f64) -> Result<(f64, f64)> {
    const TEXTS: usize = 6_000;
    let (mut rng, mut learner) = (generator(3), learner(settings)?);
    let (mut late, mut right, mut cost) = (std::collections::VecDeque::new(), 0, 0.0);
    for at in 0..TEXTS {
        let (stages, label) = text(&mut rng, if at < TEXTS / 3 { 0.0 } else { bias });
        let (id, class, stage) = serve(&mut learner, &stages)?;
        if at >= TEXTS / 2 {
            right += usize::from(class == label);
            cost += COSTS[stage];
        }
        late.push_back((id, label));
        if late.len() > 50
            && let Some((id, label)) = late.pop_front()
            && rng.random_bool(share)
        {
            learner.label(id, label)?;
        }
    }
    let rows = (TEXTS - TEXTS / 2) as f64;
    Ok((right as f64 / rows, cost / rows))
}

#[test]
fn labels_that_come_late_mend_what_a_drift_broke_at_the_cost_that_was_asked_for() -> Result<()> {
    let settings = LearnerSettings { cost: Some(0.3), refit_every: 50, window: 1_500, ..LearnerSettings::default() };
    let (frozen, _) = through_a_drift(settings.clone(), 0.0, 3.0)?;
    for share in [1.0, 0.3] {
        let (accuracy, cost) = through_a_drift(settings.clone(), share, 3.0)?;
        assert!(accuracy > frozen + 0.05, "{accuracy} with labels of {share}, {frozen} without");
        assert!((cost - 0.3).abs() < 0.03, "{cost}");
    }
    // Where nothing drifts, nothing is lost.
    let (still, _) = through_a_drift(settings.clone(), 0.0, 0.0)?;
    let (learned, _) = through_a_drift(settings, 1.0, 0.0)?;
    assert!(learned > still - 0.003, "{learned} and {still}");
    Ok(())
}

#[test]
fn exploration_is_as_often_as_its_propensity_says() -> Result<()> {
    let settings = LearnerSettings { threshold: 0.2, exploration: 0.1, ..LearnerSettings::default() };
    let (mut rng, mut learner) = (generator(4), learner(settings)?);
    let (mut explored, mut could, mut weights, mut texts) = (0, 0, 0.0, 0.0);
    for _ in 0..20_000 {
        let (stages, _) = text(&mut rng, 0.0);
        let (id, _, stage) = serve(&mut learner, &stages)?;
        let decision = learner.policy().decision(id, &stages[..=stage])?;
        assert_eq!((decision.id, decision.stage), (id, stage));
        let greedy = (0..STAGES - 1).find(|at| learner.policy().leaves(*at, &stages[*at])).unwrap_or(STAGES - 1);
        assert_eq!(decision.greedy, greedy);
        if greedy < STAGES - 1 {
            could += 1;
            explored += usize::from(stage == STAGES - 1);
            assert!((decision.propensity - if stage == greedy { 0.9 } else { 0.1 }).abs() < 1e-12);
        } else {
            assert!((decision.propensity - 1.0).abs() < 1e-12);
        }
        // Inverse propensities of the last stage count all texts that could have reached it: all.
        weights += if stage == STAGES - 1 { 1.0 / decision.propensity } else { 0.0 };
        texts += 1.0;
    }
    let share = explored as f64 / could as f64;
    assert!((share - 0.1).abs() < 4.0 * (0.09 / could as f64).sqrt(), "{share} of {could}");
    assert!((weights / texts - 1.0).abs() < 0.1, "{}", weights / texts);
    Ok(())
}

#[test]
fn labels_that_nothing_waits_for_change_nothing() -> Result<()> {
    let settings = LearnerSettings { refit_every: 1, most_waiting: 3, ..LearnerSettings::default() };
    let (mut rng, mut learner) = (generator(5), learner(settings)?);
    let ids: Vec<u64> = (0..5).map(|_| Ok(serve(&mut learner, &text(&mut rng, 0.0).0)?.0)).collect::<Result<_>>()?;
    assert_eq!((learner.waiting(), learner.without_label()), (3, 2));
    assert!(learner.label(ids[3], 1)?);
    let state = |learner: &Learner| serde_json::to_value(learner).expect("json");
    let before = state(&learner);
    let mut problem = |id, class| match learner.label(id, class) {
        Err(Error::Label { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    assert_eq!(problem(ids[3], 0), LabelProblem::Twice);
    assert_eq!(problem(ids[0], 0), LabelProblem::Unknown, "it was given up");
    assert_eq!(problem(77, 0), LabelProblem::Unknown);
    assert_eq!(problem(ids[4], 2), LabelProblem::Class { class: 2, classes: 2 });
    for (stages, cost) in [
        (vec![], 0.1),
        (vec![vec![-0.1, -0.2]; 5], 0.1),
        (vec![vec![-0.1; 3]], 0.1),
        (vec![vec![-0.1, f64::NEG_INFINITY]], 0.1),
        (vec![vec![-0.1, -0.2]], f64::NAN),
    ] {
        assert!(matches!(learner.record(99, stages, cost), Err(Error::Setting { .. })));
    }
    assert!(learner.record(ids[4], vec![vec![-0.1, -0.2]], 0.1).is_err(), "it waits already");
    assert_eq!(state(&learner), before);
    for settings in [
        LearnerSettings { exploration: 1.1, ..LearnerSettings::default() },
        LearnerSettings { cost: Some(f64::NAN), ..LearnerSettings::default() },
        LearnerSettings { window: 0, ..LearnerSettings::default() },
    ] {
        assert!(matches!(Learner::new(STAGES, 2, settings), Err(Error::Setting { .. })));
    }
    Ok(())
}

#[test]
fn a_text_without_a_label_keeps_nothing_of_those_after_it() -> Result<()> {
    let mut learner = learner(LearnerSettings { window: 10, ..LearnerSettings::default() })?;
    let mut rng = generator(4);
    let (stages, _) = text(&mut rng, 0.0);
    serve(&mut learner, &stages)?;
    let bytes = |learner: &Learner| serde_json::to_string(learner).unwrap().len();
    let mut after_some = 0;
    for labelled in 0..5_000 {
        let (stages, label) = text(&mut rng, 0.0);
        let (id, ..) = serve(&mut learner, &stages)?;
        learner.label(id, label)?;
        if labelled == 500 {
            after_some = bytes(&learner);
        }
    }
    assert_eq!(learner.waiting(), 1);
    assert!(bytes(&learner) < after_some + 1_000, "{} after {after_some}", bytes(&learner));
    Ok(())
}

const WORDS: [&str; 8] = ["fine", "good", "bad", "awful", "the", "day", "food", "was"];

/// Texts of one to nine words, and a class: whether good words outnumber bad ones.
fn texts(count: usize, seed: u64) -> Vec<(String, usize)> {
    let mut rng = generator(seed);
    let text = |_| {
        let words: Vec<usize> = (0..rng.random_range(1..10)).map(|_| rng.random_range(0..WORDS.len())).collect();
        let score: i32 = words.iter().map(|word| [1, 1, -1, -1, 0, 0, 0, 0][*word]).sum();
        (words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" "), usize::from(score > 0))
    };
    (0..count).map(text).collect()
}

/// An accelerated model of these texts.
fn engine() -> Result<Engine> {
    let tokenizer = TextTokenizer::from_vocabulary(&WORDS.map(String::from))?;
    let labels: Vec<String> = ["other", "good"].map(String::from).into();
    let encode = |count, seed| -> Result<_> {
        let example = |(text, label)| Example { text, pair: None, label, targets: Vec::new() };
        let examples = texts(count, seed).into_iter().map(example).collect();
        Ok(tokenizer.encode_all(&Dataset::from_examples("reviews", labels.clone(), examples)?, 16)?)
    };
    let (data, held_out) = (encode(300, 1)?, encode(100, 2)?);
    let config = BertConfig::small(3, 2, 12, tokenizer.vocabulary_size())?;
    let encoder = Encoder::random(&config, &Device::Cpu, &mut generator(1))?;
    let mut classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut generator(1))?;
    let train = TrainSettings { epochs: 3, batch_size: 8, ..TrainSettings::default() };
    Trainer::new(train).fit(&mut classifier, &data, &held_out, &mut ())?;
    let settings = AccelerateSettings {
        ngram: Some(NgramSettings { min_rows: 1, ..NgramSettings::default() }),
        ..AccelerateSettings::default()
    };
    let made = accelerate(&classifier, Texts::new(&data).with_held_out(&held_out), &settings, &mut generator(1))?;
    Engine::new(made.model, tokenizer, &labels)
}

#[test]
fn an_engine_answers_as_before_until_it_learns_and_goes_on_where_it_was() -> Result<()> {
    let engine = engine()?.with_speed(0.2)?;
    let settings =
        LearnerSettings { exploration: 0.0, refit_every: 40, ..LearnerSettings::of(engine.model().dynamic()?) };
    assert_eq!(settings.threshold, 0.2);
    let service = LearningEngine::new(engine.clone(), settings)?;
    let texts = texts(120, 9);
    let queries: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    let (own, answers) = (engine.predict(&queries)?, service.predict(&queries)?);
    let mut stages = std::collections::BTreeSet::new();
    for (own, found) in own.iter().zip(&answers) {
        assert_eq!((&own.label, &own.route, own.flops), (&found.answer.label, &found.answer.route, found.answer.flops));
        assert_eq!(found.decision.stage, found.answer.route.exit(), "the front exit is stage 0");
        for (own, found) in own.probabilities.iter().zip(&found.answer.probabilities) {
            assert!((own - found).abs() < 1e-6);
        }
        stages.insert(found.decision.stage);
    }
    assert!(stages.len() > 1, "{stages:?}");
    // All labels say the same class: the world has changed.
    std::thread::scope(|scope| {
        for part in answers.chunks(40) {
            let service = &service;
            scope.spawn(move || {
                for found in part {
                    service.label(found.decision.id, "good").expect("a text that waits");
                }
            });
        }
    });
    let count = |answers: &[dht_search::serving::LearnedAnswer]| {
        answers.iter().filter(|found| &*found.answer.label == "good").count()
    };
    let after = service.predict(&queries)?;
    assert!(count(&after) > count(&answers) + 10, "{} and {}", count(&after), count(&answers));

    let stored = serde_json::to_string(&*service.learner()).expect("json");
    let resumed = LearningEngine::resumed(engine.clone(), serde_json::from_str(&stored).expect("a learner"))?;
    let (expected, found) = (service.predict(&queries)?, resumed.predict(&queries)?);
    assert_eq!(expected, found);
    assert!(resumed.label(after[0].decision.id, "good").is_ok(), "it waited");
    assert!(matches!(resumed.label(found[1].decision.id, "sports"), Err(Error::Setting { field: "label", .. })));
    // A file that was changed is refused and does not panic later.
    for (path, value) in [
        ("/policy/scalings", serde_json::json!([])),
        ("/policy/scalings/1/biases", serde_json::json!([0.0])),
        ("/policy/exploration", serde_json::json!(2.0)),
        ("/settings/window", serde_json::json!(0)),
    ] {
        let mut changed: serde_json::Value = serde_json::from_str(&stored).expect("json");
        *changed.pointer_mut(path).expect("a field") = value;
        let changed = serde_json::from_value(changed).expect("a learner");
        let refused = LearningEngine::resumed(engine.clone(), changed);
        assert!(matches!(refused, Err(Error::Setting { .. })), "{path}");
    }
    let other = Learner::new(2, 2, LearnerSettings::default())?;
    assert!(LearningEngine::resumed(engine, other).is_err());
    Ok(())
}
