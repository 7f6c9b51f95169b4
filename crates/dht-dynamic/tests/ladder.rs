//! Training in rungs: the selected rung, its cost, limits, resumed training runs, few rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dht_dynamic::accelerate::{AccelerateSettings, SideSettings};
use dht_dynamic::ladder::{
    Climbed, LadderEvent, LadderReport, LadderSettings, LadderTexts, Measurement, NextStep, Rung, Stop, UnlessStill,
    climb,
};
use dht_dynamic::transformer::{
    EncodedDataset, Error as TransformerError, Pooling, TextClassifier, TrainSettings, train::Event,
};
use dht_dynamic::{Error, Predictor, evaluate};
use dht_toys::{adamw, bits, numbers, planted, refused, rng};
use rand::RngExt;

/// Stopping rule that always gives the same answer and counts its calls.
#[derive(Debug)]
struct Always(bool, Vec<(Option<Rung>, Rung)>);

impl NextStep for Always {
    fn goes_on(&mut self, so_far: &[Measurement], next: Rung) -> bool {
        self.1.push((so_far.last().map(|last| last.rung), next));
        self.0
    }
}

fn settings() -> LadderSettings {
    let fine_tuning = TrainSettings { epochs: 3, batch_size: 16, optimizer: adamw(3e-3), ..TrainSettings::default() };
    let exits = AccelerateSettings { least_held_out: 20, batch_size: 32, side: None, ..AccelerateSettings::default() };
    LadderSettings { fine_tuning, exits, ..LadderSettings::default() }
}

/// Encoder that has not learned the task.
fn untrained() -> TextClassifier {
    TextClassifier::new(planted::encoder(planted::LAYERS, 1), planted::CLASSES, Pooling::Mean, &mut rng(2))
        .expect("a classifier")
}

fn texts<'a>((training, validation): &'a (EncodedDataset, EncodedDataset)) -> LadderTexts<'a> {
    LadderTexts { training, validation, joins: true }
}

fn data() -> (EncodedDataset, EncodedDataset) {
    (planted::task(300, 1), planted::task(100, 2))
}

fn climbs(settings: &LadderSettings, next: &mut dyn NextStep) -> Climbed {
    climb(&untrained(), texts(&data()), settings, next, &mut |_| {}, &mut rng(3)).expect("a model")
}

/// Bits of a model's parameters, for exact comparison.
fn parameters(climbed: &Climbed) -> Vec<(String, Vec<u32>)> {
    bits(climbed.model.encoder().parameters())
}

#[test]
fn fine_tuning_is_kept_where_it_lowers_the_loss() {
    let before = bits(untrained().encoder().parameters());
    let classifier = untrained();
    let mut rule = Always(true, Vec::new());
    let mut seen = Vec::new();
    let mut watch = |event: LadderEvent<'_>| {
        if let LadderEvent::Measured(found) = event {
            seen.push(*found);
        }
    };
    let data = data();
    let climbed = climb(&classifier, texts(&data), &settings(), &mut rule, &mut watch, &mut rng(3)).expect("a model");
    let ladder = &climbed.ladder;
    assert_eq!((ladder.rung, ladder.stop, ladder.passes), (Rung::FineTuned, Stop::Top, 3.0));
    assert_eq!(seen, ladder.measurements);
    // Rungs 0 and 1, then rung 2, which is validated four times a pass.
    assert_eq!(seen[0].rung, Rung::Ngrams);
    assert_eq!((seen[1].rung, seen[1].passes), (Rung::Frozen, 0.0));
    assert!(seen[2..].iter().all(|found| found.rung == Rung::FineTuned));
    assert!(seen.is_sorted_by(|a, b| a.flops <= b.flops && a.passes <= b.passes), "{seen:#?}");
    assert!(seen.iter().all(|found| (found.cost - found.flops as f64 / ladder.pass_flops as f64).abs() < 1e-9));
    assert_eq!(rule.1[..2], [(Some(Rung::Ngrams), Rung::Frozen), (Some(Rung::Frozen), Rung::FineTuned)]);
    assert!(ladder.flops >= 3 * ladder.pass_flops, "{ladder:#?}");
    // The input classifier is unchanged.
    assert_eq!(bits(classifier.encoder().parameters()), before);
    let others = planted::task(300, 9);
    let found = evaluate(&climbed.model, &others, 64).expect("answers").confusion.accuracy();
    assert!(found > 0.9, "{found}");
    assert_eq!(ladder.accuracy(Rung::FineTuned), climbed.exits.stages.last().map(|last| last.stacked_accuracy));
}

#[test]
fn a_rung_that_the_rule_does_not_climb_costs_nothing() {
    struct Until(Rung);
    impl std::fmt::Debug for Until {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Until")
        }
    }
    impl NextStep for Until {
        fn goes_on(&mut self, _: &[Measurement], next: Rung) -> bool {
            next <= self.0
        }
    }
    let kept = [Rung::Ngrams, Rung::Frozen].map(|rung| climbs(&settings(), &mut Until(rung)));
    for (climbed, rung) in kept.iter().zip([Rung::Ngrams, Rung::Frozen]) {
        assert_eq!((climbed.ladder.rung, climbed.ladder.stop, climbed.ladder.passes), (rung, Stop::Rule, 0.0));
        assert!(climbed.ladder.flops < climbed.ladder.pass_flops, "{:#?}", climbed.ladder);
        // The encoder is unchanged.
        let own = untrained().encoder().parameters().values().expect("numbers");
        let there = climbed.model.encoder().parameters().values().expect("numbers");
        let same = own.iter().filter(|(name, _)| !name.starts_with("classifier"));
        assert!(same.clone().count() > 10 && same.into_iter().all(|(name, value)| there[name] == *value));
    }
    // N-grams alone answer the same at every depth, and cost next to nothing at the default speed.
    let model = &kept[0].model;
    let others = planted::task(60, 5);
    let all = evaluate(&model.with_speed(0.0).expect("a speed"), &others, 32).expect("answers");
    let fast = evaluate(model, &others, 32).expect("answers");
    assert_eq!(all.confusion, fast.confusion);
    assert!(fast.flops * 20 < all.flops, "{} and {}", fast.flops, all.flops);
    assert!(fast.confusion.accuracy() > 0.9);
}

#[test]
fn the_last_exit_of_rung_1_is_the_regression_on_pooled_states() {
    let climbed = climbs(&LadderSettings { most: Rung::Frozen, ..settings() }, &mut UnlessStill::default());
    assert_eq!((climbed.ladder.rung, climbed.ladder.stop), (Rung::Frozen, Stop::Top));
    assert_eq!(climbed.exits.stages.len(), 1 + planted::LAYERS);
    // Its classifier alone answers as its report says.
    let (_, validation) = data();
    let alone = climbed.model.classifier_at(planted::LAYERS).expect("a linear exit");
    let found = evaluate(&alone, &validation, 32).expect("answers").confusion.accuracy();
    let reported = climbed.exits.stages.last().expect("a stage").accuracy;
    assert!((found - reported).abs() < 0.011, "{found}, {reported}");
    let weights = alone.classifier().to_tensors().expect("weights");
    assert!(weights.values().all(|tensor| numbers(tensor).iter().any(|weight| *weight != 0.0)));
}

#[test]
fn a_model_that_fine_tuning_worsens_is_not_replaced() {
    // The learning rate destroys the encoder.
    let fine_tuning = TrainSettings { optimizer: adamw(0.5), ..settings().fine_tuning };
    let climbed = climbs(&LadderSettings { fine_tuning, ..settings() }, &mut Always(true, Vec::new()));
    assert_eq!(climbed.ladder.rung, Rung::Frozen);
    assert!(climbed.ladder.measurements.iter().any(|found| found.rung == Rung::FineTuned), "it was tried");
    let rates = vec![0.5, 3e-3];
    let found = climbs(&LadderSettings { rates, ..settings() }, &mut Always(true, Vec::new()));
    assert_eq!((found.ladder.learning_rate, found.ladder.rung), (3e-3, Rung::FineTuned));
}

/// Texts in which tokens 1 and 2 are apart. The class is the order of the two tokens, which n-grams do not see.
fn ordered(rows: u64, seed: u64) -> EncodedDataset {
    let mut rng = rng(seed);
    let text = |id| {
        let label = rng.random_range(0..2);
        let mut ids: Vec<u32> = std::iter::repeat_with(|| rng.random_range(4..20)).take(8).collect();
        let (first, second) = (rng.random_range(1..4), rng.random_range(5..8));
        (ids[0], ids[first], ids[second]) = (0, 1 + label, 2 - label);
        dht_toys::sample(id, label, ids)
    };
    dht_toys::data(0..2, (0..rows).map(text))
}

/// Planted task in which one text in `step` has a random label.
fn chance(rows: u64, seed: u64, step: usize) -> EncodedDataset {
    let mut data = planted::task(rows, seed);
    let mut rng = rng(seed);
    let some = data.samples.iter_mut().step_by(step);
    some.for_each(|sample| sample.label = rng.random_range(0..planted::CLASSES as u32));
    data
}

#[test]
fn few_rows_are_repeated_for_three_hundred_steps() {
    // 100 steps a pass; 19 steps a pass, of which 16 passes would be 300 steps.
    for (batch_size, epochs, passes) in [(3, 7, 3.0), (16, 20, 16.0), (16, 7, 7.0), (3, 2, 2.0)] {
        let fine_tuning = TrainSettings { batch_size, epochs, optimizer: adamw(1e-3), ..settings().fine_tuning };
        let settings = LadderSettings { fine_tuning, ..settings() };
        let ladder = climbs(&settings, &mut Always(true, Vec::new())).ladder;
        assert_eq!((ladder.passes, ladder.stop), (passes, Stop::Top), "batches of {batch_size}, {epochs} at most");
        let tuned = ladder.measurements.iter().filter(|found| found.rung == Rung::FineTuned);
        assert!(tuned.clone().count() > 4 && tuned.into_iter().all(|found| found.planned_passes == passes));
    }
}

#[test]
fn a_rate_that_moves_nothing_ends_after_a_quarter() {
    // At a rate of 1e-9 the encoder stays as it is.
    let data = (ordered(400, 1), ordered(100, 2));
    let encoder = planted::encoder(planted::LAYERS, 1);
    let untrained = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng(2)).expect("a classifier");
    let climb_at = |rate: f64| {
        let fine_tuning = TrainSettings { batch_size: 4, optimizer: adamw(rate), ..settings().fine_tuning };
        let settings = LadderSettings { fine_tuning, ..settings() };
        climb(&untrained, texts(&data), &settings, &mut UnlessStill::default(), &mut |_| {}, &mut rng(3))
            .expect("a model")
            .ladder
    };
    let still = climb_at(1e-9);
    assert_eq!((still.rung, still.stop, still.passes), (Rung::Frozen, Stop::Rule, 0.75));
    let moved = climb_at(3e-3);
    assert_eq!((moved.rung, moved.stop, moved.passes), (Rung::FineTuned, Stop::Top, 3.0));
}

#[test]
fn a_cross_fitted_rung_1_is_expected_to_gain_from_its_rows() {
    // Rung 1 learns from all of these few rows, exits on the fine-tuned encoder from a half of them.
    let data = (chance(60, 1, 3), chance(60, 2, 3));
    let exits = AccelerateSettings { least_held_out: 1_000, ..settings().exits };
    let is_held_back = |(rate, seed)| {
        let fine_tuning = TrainSettings { epochs: 1, optimizer: adamw(rate), ..settings().fine_tuning };
        let settings = LadderSettings { fine_tuning, exits: exits.clone(), ..settings() };
        let mut rule = Always(true, Vec::new());
        let ladder = climb(&untrained(), texts(&data), &settings, &mut rule, &mut |_| {}, &mut rng(seed));
        let ladder = ladder.expect("a model").ladder;
        let ends = ladder.measurements.iter().filter(|found| found.accuracy.is_some());
        let losses: Vec<f64> = ends.map(|found| found.loss).collect();
        let [_, frozen, tuned, finished @ ..] = &*losses else { panic!("{losses:?}") };
        // The final exits of a cross-fitted rung 1 learn from one fold more.
        let by_more_texts = (1.0 - 1.0 / settings.exits.folds as f64).sqrt();
        let pays = |loss: f64| loss <= 0.99 * by_more_texts * frozen;
        let falls = pays(*tuned) && finished.iter().all(|finished| pays(*finished));
        assert_eq!(ladder.rung, if falls { Rung::FineTuned } else { Rung::Frozen }, "{losses:?}");
        !falls && *tuned <= 0.99 * frozen
    };
    assert!([6e-4, 1.6e-3].into_iter().any(|rate| (0..10).any(|seed| is_held_back((rate, seed)))), "rung 2 was kept");
}

#[test]
fn budget_and_time_limit_the_cost() {
    let exits = AccelerateSettings { side: Some(SideSettings::default()), ..settings().exits };
    let within = |budget| {
        let settings = LadderSettings { budget: Some(budget), exits: exits.clone(), ..settings() };
        let climbed = climbs(&settings, &mut Always(true, Vec::new())).ladder;
        let cost = climbed.flops as f64 / climbed.pass_flops as f64;
        (climbed.rung, climbed.stop, climbed.passes, cost)
    };
    let (rung, stop, passes, _) = within(0.05);
    assert_eq!((rung, stop, passes), (Rung::Ngrams, Stop::Budget, 0.0), "rung 1 is a third of a pass");
    let (rung, stop, passes, _) = within(0.5);
    assert_eq!((rung, stop, passes), (Rung::Frozen, Stop::Budget, 0.0), "no room for exits on a fine-tuned encoder");
    // Validations and the exits of the fine-tuned encoder are within the budget.
    for budget in [0.9, 1.2, 1.5, 1.9] {
        let (_, stop, passes, cost) = within(budget);
        assert!(stop == Stop::Budget && passes > 0.1, "{budget}: {passes}");
        // A budget of more than one pass is rounded to whole passes.
        assert!(cost <= 3.0 * budget && cost > 3.0 * budget - 1.6, "{budget}: {cost} passes");
    }
    let none = LadderSettings { time: Some(Duration::ZERO), ..settings() };
    let ladder = climbs(&none, &mut Always(true, Vec::new())).ladder;
    assert_eq!((ladder.rung, ladder.stop), (Rung::Ngrams, Stop::Time));
    let least = LadderSettings { least: Rung::FineTuned, ..settings() };
    let ladder = climbs(&least, &mut Always(false, Vec::new())).ladder;
    assert_eq!((ladder.rung, ladder.passes), (Rung::FineTuned, 3.0), "all passes, whatever the rule says");
}

#[test]
fn a_stopped_training_resumes_to_the_same_model() {
    let place = tempfile::tempdir().expect("a folder");
    let checkpoints = |name: &str| {
        let folder = place.path().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        LadderSettings { checkpoints: Some(folder), ..settings() }
    };
    let whole = climbs(&checkpoints("whole"), &mut Always(true, Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = LadderSettings { stop: Some(stop.clone()), ..checkpoints("stopped") };
    let mut steps = 0;
    let mut after = |event: LadderEvent<'_>| {
        if let LadderEvent::Training(Event::Step { .. }) = event {
            steps += 1;
            stop.store(steps == 31, Ordering::SeqCst);
        }
    };
    let data = data();
    let found =
        climb(&untrained(), texts(&data), &stopped, &mut Always(true, Vec::new()), &mut after, &mut rng(3)).map(drop);
    assert!(matches!(found, Err(Error::Transformer(TransformerError::Stopped { .. }))), "{found:?}");
    // Resumed twice: after the stop, and once all passes are done.
    for _ in 0..2 {
        let again = climbs(&LadderSettings { stop: None, ..stopped.clone() }, &mut Always(true, Vec::new()));
        let without_seconds = |climbed: &Climbed| {
            let found = climbed.ladder.measurements.iter();
            found.map(|found| (found.rung, found.passes, found.accuracy, found.loss, found.flops)).collect::<Vec<_>>()
        };
        assert_eq!(without_seconds(&again), without_seconds(&whole));
        assert_eq!(again.ladder.flops, whole.ladder.flops);
        assert_eq!(parameters(&again), parameters(&whole));
    }
}

#[test]
fn a_stop_after_any_step_resumes_to_the_same_model() {
    let data = (planted::task(60, 1), planted::task(30, 2));
    let train = |settings: &LadderSettings, stop_after: Option<usize>| {
        let (classifier, mut events) = (untrained(), 0);
        let flag = settings.stop.clone().unwrap_or_default();
        flag.store(false, Ordering::SeqCst);
        let mut watch = |_: LadderEvent<'_>| {
            events += 1;
            if Some(events) == stop_after {
                flag.store(true, Ordering::SeqCst);
            }
        };
        let rule = &mut Always(true, Vec::new());
        let run = climb(&classifier, texts(&data), settings, rule, &mut watch, &mut rng(3));
        assert_eq!(bits(classifier.encoder().parameters()), bits(untrained().encoder().parameters()));
        (run, events)
    };
    let fine_tuning = TrainSettings { epochs: 1, ..settings().fine_tuning };
    let settings = LadderSettings { fine_tuning, stop: Some(Arc::default()), ..settings() };
    let (whole, events) = train(&settings, None);
    let whole = parameters(&whole.expect("a model"));
    let mut stopped = 0;
    // A dozen of the events: rungs, steps and validations.
    for event in (1..=events).step_by(events.div_ceil(12)) {
        let place = tempfile::tempdir().expect("a folder");
        let settings = LadderSettings { checkpoints: Some(place.path().to_path_buf()), ..settings.clone() };
        match train(&settings, Some(event)).0 {
            Err(Error::Transformer(TransformerError::Stopped { .. })) => stopped += 1,
            other => assert_eq!(parameters(&other.expect("a model")), whole, "event {event}"),
        }
        assert_eq!(parameters(&train(&settings, None).0.expect("a model")), whole, "resumed after event {event}");
    }
    assert!(stopped > 2, "{stopped} of {events}");
}

#[test]
fn fine_tuning_that_the_rule_ended_ends_there_again() {
    let place = tempfile::tempdir().expect("a folder");
    let settings = LadderSettings { checkpoints: Some(place.path().to_path_buf()), ..settings() };
    let twice = [(); 2].map(|()| climbs(&settings, &mut UnlessStill { least_change: 1e9 }));
    assert_eq!(twice[0].ladder.stop, Stop::Rule);
    assert!(twice[0].ladder.passes > 0.0 && twice[0].ladder.passes < 2.0, "{}", twice[0].ladder.passes);
    assert_eq!(twice[0].ladder.flops, twice[1].ladder.flops);
    assert_eq!(parameters(&twice[0]), parameters(&twice[1]));
}

#[test]
fn a_dozen_rows_suffice_and_odd_classes_are_no_fault() {
    let settings = settings();
    let train = |training: EncodedDataset, validation: EncodedDataset| {
        climb(
            &untrained(),
            texts(&(training, validation)),
            &settings,
            &mut UnlessStill::default(),
            &mut |_| {},
            &mut rng(3),
        )
    };
    let pick = |labels: &[u32]| {
        let all = planted::task(200, 4);
        let mut used = vec![false; all.len()];
        let rows = labels.iter().map(|label| {
            let row = (0..all.len()).find(|row| !used[*row] && all.samples[*row].label == *label).expect("a row");
            used[row] = true;
            row
        });
        all.select(rows.collect::<Vec<_>>()).expect("rows")
    };
    // 12 + 2 rows; a class with one row; a class that is missing among the held-out rows.
    for (training, validation) in [
        (pick(&[0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]), planted::task(2, 8)),
        (pick(&[0, 0, 0, 0, 1, 1, 1, 1, 1, 2]), planted::task(3, 8)),
        (planted::task(60, 6), pick(&[0, 0, 0, 1, 1])),
    ] {
        let climbed = train(training, validation).expect("a model");
        let found = evaluate(&climbed.model, &planted::task(30, 7), 32).expect("answers");
        assert!(found.losses.iter().all(|loss| loss.is_finite()));
    }
    // Few validation rows judge no fine-tuning, and rungs 0 and 1 are judged on all rows.
    let few = train(planted::task(20, 6), planted::task(3, 8)).expect("a model").ladder;
    assert_eq!((few.rung, few.stop), (Rung::Frozen, Stop::FewRows));
    let share = few.accuracy(Rung::Frozen).expect("an accuracy") * 23.0;
    assert!((share - share.round()).abs() < 1e-9, "{share} of 23 rows");
    let forced = LadderSettings { least: Rung::FineTuned, ..settings.clone() };
    let few = (planted::task(20, 6), planted::task(3, 8));
    let forced = climb(&untrained(), texts(&few), &forced, &mut UnlessStill::default(), &mut |_| {}, &mut rng(3));
    assert_eq!(forced.expect("a model").ladder.rung, Rung::FineTuned);
    // The same text everywhere: held-out rows tell nothing, which is an error where they are asked to.
    let one = planted::task(1, 6);
    let same = |rows: usize| one.select(vec![0; rows]).expect("rows");
    assert!(refused(train(same(200), same(50))).contains("held-out set"));
}

#[test]
fn the_head_and_the_scores_of_few_rows_have_not_seen_them() {
    // Labels are chance: who knows them has seen them.
    let fine_tuning = TrainSettings { epochs: 1, batch_size: 16, optimizer: adamw(1e-12), ..TrainSettings::default() };
    let exits = AccelerateSettings { least_held_out: 1_000, c: vec![1.0], ..settings().exits };
    let settings = LadderSettings { least: Rung::FineTuned, fine_tuning, exits, ..settings() };
    let data = (chance(60, 1, 1), chance(60, 2, 1));
    let climbed = climb(&untrained(), texts(&data), &settings, &mut Always(true, Vec::new()), &mut |_| {}, &mut rng(3))
        .expect("a model");
    let of_rung =
        |rung| climbed.ladder.measurements.iter().find(|found| found.rung == rung).expect("a measurement").loss;
    let (frozen, tuned) = (of_rung(Rung::Frozen), of_rung(Rung::FineTuned));
    assert!(tuned > 0.9 * frozen, "{tuned}, rung 1 {frozen}");
    assert!(climbed.out_of_fold.is_none(), "rung 2 has held validation rows out");
    // Rungs 0 and 1 have learned from all rows, and answer them out of fold, too. A half of the labels is chance.
    let data = (chance(60, 1, 2), chance(60, 2, 2));
    for most in [Rung::Ngrams, Rung::Frozen] {
        let settings = LadderSettings { least: Rung::Ngrams, most, ..settings.clone() };
        let found =
            climb(&untrained(), texts(&data), &settings, &mut Always(true, Vec::new()), &mut |_| {}, &mut rng(3))
                .expect("a model");
        let answers = found.out_of_fold.expect("answers");
        let labels: Vec<u32> = answers.texts.samples.iter().map(|sample| sample.label).collect();
        assert_eq!((labels.len(), answers.stages.len()), (120, 1 + planted::LAYERS));
        let own = found.model.stage_log_probabilities(&answers.texts, 32).expect("answers");
        assert_eq!(own.len(), answers.stages.len());
        if most == Rung::Frozen {
            let [learned, other] = [&own, &answers.stages].map(|tables| tables[planted::LAYERS].accuracy(&labels));
            assert!(learned > other + 0.05, "{learned}, {other}");
        }
        let validation = &labels[60..];
        let judged = answers.stages.last().expect("a stage").select(&(60..120).collect::<Vec<_>>());
        let measured = found.ladder.accuracy(most).expect("an accuracy");
        assert!((judged.accuracy(validation) - measured).abs() < 1e-12, "{most:?}");
    }
}

#[test]
fn rung_2_of_few_rows_starts_without_another_encoder_pass() {
    let fine_tuning = TrainSettings { epochs: 1, ..settings().fine_tuning };
    let exits = AccelerateSettings { least_held_out: 1_000, ..settings().exits };
    let settings = LadderSettings { least: Rung::FineTuned, fine_tuning, exits, ..settings() };
    let (data, classifier) = (data(), untrained());
    let rule = &mut Always(true, Vec::new());
    let climbed = climb(&classifier, texts(&data), &settings, rule, &mut |_| {}, &mut rng(3)).expect("a model");
    let LadderReport { measurements, pass_flops, .. } = &climbed.ladder;
    let [rung_1, first] = [1, 2].map(|at| &measurements[at]);
    assert_eq!((rung_1.rung, first.rung), (Rung::Frozen, Rung::FineTuned));
    // The first validation of rung 2 comes after a part of a pass.
    let (steps, forward) = ((first.passes * *pass_flops as f64) as u64, |texts| classifier.full_flops_of(texts));
    let head = first.flops - rung_1.flops - steps - forward(&data.1);
    assert!(head > 0 && head < forward(&data.0) / 4, "{head} of {}", forward(&data.0));
}

#[test]
fn chance_is_not_taken_for_knowledge() {
    // One text with three labels by turns, out of fold: a class that is missing from a fold is frequent in the others.
    let one = planted::task(1, 6);
    let rows = |rows: usize| {
        let mut data = one.select(vec![0; rows]).expect("rows");
        data.samples.iter_mut().zip((0..planted::CLASSES as u32).cycle()).for_each(|(row, label)| row.label = label);
        data
    };
    let exits = AccelerateSettings { least_held_out: 1_000, ..settings().exits };
    let settings = LadderSettings { most: Rung::Frozen, exits, ..settings() };
    let data = (rows(36), rows(4));
    let climbed = climb(&untrained(), texts(&data), &settings, &mut UnlessStill::default(), &mut |_| {}, &mut rng(3))
        .expect("a model");
    let chance = 1.0 / planted::CLASSES as f64;
    for found in &climbed.ladder.measurements {
        assert!(found.accuracy.is_some_and(|accuracy| accuracy <= chance + 0.1), "{found:?}");
        assert!(found.loss >= -chance.ln() - 0.02, "{found:?}");
    }
}

/// Texts of which 3.6 % have class 0. A text with the token of class 0 has class 0 with a probability of one fourth,
/// and class 1 otherwise.
fn imbalanced(rows: u64, seed: u64) -> EncodedDataset {
    let mut data = planted::task(rows, seed);
    let mut count = 0;
    data.samples.retain_mut(|sample| {
        if sample.label > 0 {
            return true;
        }
        count += 1;
        sample.label = if count % 12 == 0 { 0 } else { 1 };
        count % 3 == 0
    });
    data
}

#[test]
fn class_weights_find_a_rare_class_in_each_rung() {
    let data = (imbalanced(600, 1), imbalanced(400, 2));
    let test = imbalanced(1_200, 9);
    let rare = test.samples.iter().filter(|sample| sample.label == 0).count();
    for rung in Rung::ALL {
        let recall = |class_weights: Option<Vec<f32>>| {
            let exits = AccelerateSettings { class_weights, ..settings().exits };
            let settings = LadderSettings { least: rung, most: rung, exits, ..settings() };
            let climbed = climbs_on(&data, &settings);
            assert_eq!(climbed.ladder.rung, rung);
            let answers = evaluate(&climbed.model, &test, 64).expect("answers").labels;
            let found = test.samples.iter().zip(&answers).filter(|(sample, answer)| sample.label == 0 && **answer == 0);
            found.count() as f64 / rare as f64
        };
        let (plain, weighted) = (recall(None), recall(Some(vec![20.0, 1.0, 1.0])));
        assert!(weighted >= plain + 0.3, "{rung:?}: {plain} and {weighted}");
    }
}

fn climbs_on(data: &(EncodedDataset, EncodedDataset), settings: &LadderSettings) -> Climbed {
    climb(&untrained(), texts(data), settings, &mut Always(true, Vec::new()), &mut |_| {}, &mut rng(3))
        .expect("a model")
}

#[test]
fn class_weights_of_1_change_no_bit_up_to_rung_1() {
    let with = |class_weights, least_held_out| {
        let exits = AccelerateSettings { class_weights, least_held_out, ..settings().exits };
        climbs(&LadderSettings { most: Rung::Frozen, exits, ..settings() }, &mut Always(true, Vec::new()))
    };
    for least_held_out in [20, 1_000] {
        let (plain, ones) = (with(None, least_held_out), with(Some(vec![1.0; planted::CLASSES]), least_held_out));
        assert_eq!(parameters(&plain), parameters(&ones));
        assert_eq!(plain.model.front(), ones.model.front());
        let losses = |climbed: &Climbed| -> Vec<u64> {
            climbed.ladder.measurements.iter().map(|found| found.loss.to_bits()).collect()
        };
        assert_eq!(losses(&plain), losses(&ones));
    }
}

#[test]
fn what_cannot_be_climbed_is_refused() {
    let data = data();
    let refuse = |settings: &LadderSettings, texts: LadderTexts<'_>, pooling: Pooling| {
        let classifier = TextClassifier::new(planted::encoder(2, 1), planted::CLASSES, pooling, &mut rng(2)).unwrap();
        refused(climb(&classifier, texts, settings, &mut UnlessStill::default(), &mut |_| {}, &mut rng(3)))
    };
    let weighted = |class_weights| {
        let exits = AccelerateSettings { class_weights: Some(class_weights), ..settings().exits };
        LadderSettings { exits, ..settings() }
    };
    let nothing = planted::nothing();
    assert!(refuse(&settings(), texts(&data), Pooling::Pooler).contains("pooling"));
    let none = LadderTexts { training: &nothing, ..texts(&data) };
    assert!(refuse(&settings(), none, Pooling::Mean).contains("training texts"));
    for (settings, name) in [
        (LadderSettings { budget: Some(f64::NAN), ..settings() }, "budget"),
        (LadderSettings { least: Rung::FineTuned, most: Rung::Frozen, ..settings() }, "least rung"),
        (LadderSettings { rates: vec![1e-4, -1.0], ..settings() }, "rates"),
        (LadderSettings { exits: AccelerateSettings { ngram: None, ..settings().exits }, ..settings() }, "ngram"),
        (weighted(vec![1.0, 0.0, 1.0]), "class_weights"),
        (weighted(vec![1.0, f32::NAN, 1.0]), "class_weights"),
        (weighted(vec![1.0, 1.0]), "class_weights"),
    ] {
        assert!(refuse(&settings, texts(&data), Pooling::Mean).contains(name), "{name}");
    }
}
