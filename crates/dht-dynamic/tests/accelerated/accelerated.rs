//! Accelerated classifiers: the classifier does not change, and every speed follows from the answers of the stages.

use std::sync::Arc;

use candle_core::Device;
use dht_dynamic::accelerate::{AccelerateSettings, Accelerated, ScoredOn, Targets, Texts, accelerate};
use dht_dynamic::evaluation::SpeedPoint;
use dht_dynamic::exit::ExitKind;
use dht_dynamic::router::{ExitRule, ExitView, Notes};
use dht_dynamic::transformer::data::UnknownWord;
use dht_dynamic::transformer::flops::Load;
use dht_dynamic::transformer::{EncodedDataset, ForwardContext, Pooling, Task, TextClassifier, tensors::log_softmax};
use dht_dynamic::{DynamicModel, Error, ExitModel, OwnParts, Predictor, Result, Route, Router, SeenTexts, evaluate};
use dht_dynamic::{
    evaluation::{Guarantee, Promise, Risk, Stages},
    router::LeavingRule,
};
use dht_toys::planted::{CLASSES, LAYERS, encoder, full_model, task};
use dht_toys::{bits, refused, rng, whole_batch};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

fn generator() -> ChaCha8Rng {
    rng(5)
}

/// Toy classifier, accelerated on 300 training texts and 120 held-out texts.
fn accelerated(settings: &AccelerateSettings) -> Result<Accelerated> {
    accelerate(
        full_model(Pooling::Mean),
        Texts::new(&task(300, 1)).with_held_out(&task(120, 7)),
        settings,
        &mut generator(),
    )
}

fn without_front() -> AccelerateSettings {
    AccelerateSettings { ngram: None, ..AccelerateSettings::default() }
}

#[test]
fn the_classifier_keeps_its_weights_and_its_answers_to_the_bit() -> Result<()> {
    for pooling in [Pooling::Cls, Pooling::Mean, Pooling::Pooler] {
        let (classifier, test) = (full_model(pooling), task(60, 9));
        let before = bits(classifier.encoder().parameters());
        let made = accelerate(classifier, Texts::new(&task(300, 1)), &AccelerateSettings::default(), &mut generator())?;
        assert_eq!(bits(classifier.encoder().parameters()), before);
        let own = log_softmax(&classifier.logits(&whole_batch(&test), &ForwardContext::inference())?)?;
        let own: Vec<Vec<f32>> = own.to_vec2()?;
        let last = made.model.model().exit_log_probabilities(&test, 60)?.pop().expect("an exit");
        // One batch of texts in another order: the same bits for each text.
        let own: Vec<f64> = own.into_iter().flatten().map(f64::from).collect();
        assert_eq!(last.values(), own);
    }
    Ok(())
}

#[test]
fn without_a_front_exit_speed_0_is_the_classifier() -> Result<()> {
    let (made, test) = (accelerated(&without_front())?, task(60, 9));
    let slowest = evaluate(&made.model.with_speed(0.0)?, &test, 16)?;
    let own = evaluate(full_model(Pooling::Mean), &test, 16)?;
    assert_eq!((slowest.labels, slowest.losses), (own.labels, own.losses));
    assert!(made.model.front().is_none());
    Ok(())
}

#[test]
fn full_training_costs_a_forward_and_a_backward_pass() -> Result<()> {
    for pooling in [Pooling::Mean, Pooling::Pooler] {
        let (classifier, texts) = (full_model(pooling), task(60, 9));
        let model = ExitModel::of_classifier(classifier, None, ExitKind::Linear, Pooling::Mean, &mut generator())?;
        let load = Load::of_texts(texts.lengths());
        let expected = classifier.forward_flops(load) + classifier.backward_flops(load);
        assert_eq!(model.full_training_flops(&texts), expected.0, "{pooling:?}");
    }
    Ok(())
}

#[test]
fn every_speed_is_arithmetic_on_the_answers_of_the_stages() -> Result<()> {
    let test = task(90, 9);
    for settings in [AccelerateSettings::default(), without_front()] {
        let model = accelerated(&settings)?.model;
        let stages = Stages::of_model(&model, &test, 16)?;
        let mut seen = std::collections::BTreeSet::new();
        for speed in stages.thresholds(12) {
            let (expected, actual) = (stages.at(speed), evaluate(&model.with_speed(speed)?, &test, 16)?);
            assert_eq!(actual.labels, expected.labels, "at {speed}");
            assert_eq!(actual.flops, expected.flops, "at {speed}");
            let depths: Vec<usize> = actual.routes.iter().map(Route::exit).collect();
            let front = usize::from(model.front().is_some());
            let expected: Vec<usize> = expected.stages.iter().map(|stage| stage + 1 - front).collect();
            assert_eq!(depths, expected, "at {speed}");
            seen.extend(depths);
        }
        assert!(seen.len() > 3, "texts leave at several depths: {seen:?}");
    }
    Ok(())
}

#[test]
fn batch_size_changes_no_answer_when_texts_exit_at_depth_0() -> Result<()> {
    let (made, test) = (accelerated(&AccelerateSettings::default())?, task(90, 9));
    let whole = whole_batch(&test);
    let mut in_front = 0;
    for speed in Stages::of_model(&made.model, &test, 16)?.thresholds(4) {
        let model = made.model.with_speed(speed)?;
        let expected = model.predict_batch(&whole)?;
        in_front = in_front.max(expected.iter().filter(|actual| actual.route.exit() == 0).count());
        for size in [1, 7, 64] {
            let actual = model.predict_all(&test.samples, size, &ForwardContext::inference())?;
            assert_eq!(actual.predictions, expected, "at {speed}, {size} together");
        }
    }
    assert!((10..=90).contains(&in_front), "{in_front} of 90 leave in front");
    assert!(made.model.predict_all(&test.samples, 0, &ForwardContext::inference()).is_err());
    Ok(())
}

#[test]
fn exits_and_stacking_beat_chance_in_the_report() -> Result<()> {
    let Accelerated { model, report, .. } = accelerated(&AccelerateSettings::default())?;
    assert_eq!((report.rows, report.judged_on), (300, ScoredOn::HeldOut(120)));
    assert_eq!(report.stages.iter().map(|stage| stage.depth).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let front = &report.stages[0];
    assert!(front.accuracy > 0.9, "the words alone say it: {}", front.accuracy);
    for stage in &report.stages[1..] {
        assert!(stage.accuracy > 0.5 && stage.stacked_accuracy >= stage.accuracy - 0.02, "{stage:?}");
        assert!(stage.stacker.is_some() && (0.0..0.5).contains(&stage.calibration_error), "{stage:?}");
    }
    assert_eq!(model.speed(), Some(report.speed));
    let at_speed = report.curve.iter().find(|point| point.speed == report.speed).expect("a point");
    assert!(at_speed.accuracy >= report.own_accuracy && at_speed.flops_ratio < 0.5, "{at_speed:?}");
    // The costliest speed whose cost, with half a standard error, is within the budget.
    let upper = |point: &SpeedPoint| point.flops_ratio + 0.5 * point.flops_error;
    for budget in report.curve.iter().flat_map(|point| [upper(point), upper(point) - 1e-9]).chain([0.0, 0.3, 2.0]) {
        let allowed = report.curve.iter().filter(|point| upper(point) <= budget);
        let costliest = allowed.map(|point| point.flops_ratio).max_by(f64::total_cmp);
        assert_eq!(report.within(budget).map(|point| point.flops_ratio), costliest, "{budget}");
    }
    assert!(report.flops > 0 && report.seconds >= report.seconds_of_states);
    let linear = accelerated(&AccelerateSettings { side: None, ..AccelerateSettings::default() })?.report;
    assert_eq!((report.side, linear.side), (Some(encoder(2, 1).block_shape().hidden / 6), None));
    assert!(linear.flops < report.flops);
    Ok(())
}

#[test]
fn few_texts_are_cross_fitted_and_predictions_may_be_targets() -> Result<()> {
    let classifier = full_model(Pooling::Mean);
    let settings = AccelerateSettings { targets: Targets::Predictions, ..AccelerateSettings::default() };
    let mut unlabelled = task(150, 3);
    let own = evaluate(classifier, &unlabelled, 16)?.labels;
    unlabelled.samples.iter_mut().for_each(|sample| sample.label = 0);
    let made = accelerate(classifier, Texts::new(&unlabelled), &settings, &mut generator())?;
    assert_eq!((made.report.judged_on, made.report.side), (ScoredOn::CrossFit(150), None));
    assert_eq!(made.report.own_accuracy, 1.0, "agreement with itself");
    let actual = evaluate(&made.model, &unlabelled, 16)?.labels;
    let same = actual.iter().zip(&own).filter(|(actual, own)| actual == own).count();
    assert!(same > 130, "{same} of 150 as the classifier says");

    let soft = AccelerateSettings { targets: Targets::SoftLabels, ..AccelerateSettings::default() };
    let made = accelerated(&soft)?;
    assert!(made.report.stages[2].accuracy > 0.5);
    // A share of many texts is held out.
    let many = AccelerateSettings { least_held_out: 40, ..AccelerateSettings::default() };
    let made = accelerate(classifier, Texts::new(&task(300, 1)), &many, &mut generator())?;
    // The same text occurs in several rows, all on one side.
    let ScoredOn::HeldOut(held_out) = made.report.judged_on else { panic!("{:?}", made.report.judged_on) };
    assert!((40..=45).contains(&held_out) && made.report.rows == 300 - held_out, "{held_out}");
    Ok(())
}

#[test]
fn seen_texts_are_recognised_with_and_without_unknown_words() {
    let without = task(20, 3);
    let with = |id: u32| {
        let mut texts = without.clone();
        texts.samples.iter_mut().for_each(|sample| sample.encoding.rest.words = vec![UnknownWord { token: 0, id }]);
        texts
    };
    let all: Vec<usize> = (0..20).collect();
    let (happy, angry) = (with(1 << 31), with((1 << 31) + 1));
    assert_eq!(SeenTexts::new([&happy]).rows_of(&happy), all);
    assert!(SeenTexts::new([&happy]).rows_of(&angry).is_empty());
    // Digests of earlier builds leave the words out.
    assert_eq!(SeenTexts::new([&without]).rows_of(&happy), all);
}

#[test]
fn a_save_keeps_answers_and_another_ngram_file_is_rejected() -> Result<()> {
    let (made, test) = (accelerated(&AccelerateSettings::default())?, task(60, 9));
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("model");
    made.model.save(&place, None, &task(1, 1).labels)?;
    let (model, ..) = DynamicModel::load(&place, &candle_core::Device::Cpu)?;
    let (before, after) = (evaluate(&made.model, &test, 16)?, evaluate(&model, &test, 16)?);
    assert_eq!((&before.labels, &before.losses, before.flops), (&after.labels, &after.losses, after.flops));
    assert_eq!(model.front(), made.model.front());

    let other = accelerate(
        full_model(Pooling::Mean),
        Texts::new(&task(200, 4)),
        &AccelerateSettings::default(),
        &mut generator(),
    )?;
    let file = place.join("ngram.json");
    other.model.front().expect("a front exit").ngram().save(&file)?;
    assert!(matches!(DynamicModel::load(&place, &candle_core::Device::Cpu), Err(Error::ModelFile { .. })));
    std::fs::remove_file(&file).expect("a file");
    assert!(matches!(DynamicModel::load(&place, &candle_core::Device::Cpu), Err(Error::ModelFile { got: None, .. })));
    Ok(())
}

#[test]
fn states_in_a_file_give_the_same_model() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let files = |state_bytes: usize, rows| -> Result<Vec<(std::ffi::OsString, Vec<u8>)>> {
        let settings = AccelerateSettings { state_bytes, ..AccelerateSettings::default() };
        // Held-out rows, and cross-fitted ones.
        let made = accelerate(full_model(Pooling::Mean), Texts::new(&task(rows, 1)), &settings, &mut generator())?;
        let place = folder.path().join(format!("{state_bytes}-{rows}"));
        made.model.save(&place, None, &task(1, 1).labels)?;
        let paths = std::fs::read_dir(&place).expect("files").map(|entry| entry.expect("a file").path());
        let read = |path: std::path::PathBuf| {
            (path.file_name().expect("a name").to_owned(), std::fs::read(&path).expect("bytes"))
        };
        let mut files: Vec<_> = paths.filter(|path| path.is_file()).map(read).collect();
        assert!(files.len() > 2, "{files:?}");
        files.sort();
        Ok(files)
    };
    for rows in [120, 1_500_u64] {
        assert!(files(0, rows)? == files(2 << 30, rows)?, "{rows} rows");
    }
    Ok(())
}

#[test]
fn bad_texts_settings_and_classifiers_are_refused_by_name() -> Result<()> {
    let classifier = full_model(Pooling::Mean);
    let with = |settings: AccelerateSettings| refused(accelerated(&settings));
    let defaults = AccelerateSettings::default;
    assert_eq!(with(AccelerateSettings { pooling: Pooling::Pooler, ..defaults() }), "pooling");
    assert_eq!(with(AccelerateSettings { c: vec![], ..defaults() }), "c");
    assert_eq!(with(AccelerateSettings { c: vec![1.0, -1.0], ..defaults() }), "c");
    assert_eq!(with(AccelerateSettings { held_out_share: 1.0, ..defaults() }), "held_out_share");
    assert_eq!(with(AccelerateSettings { folds: 1, ..defaults() }), "folds");
    assert_eq!(with(AccelerateSettings { batch_size: 0, ..defaults() }), "batch_size");
    assert_eq!(with(AccelerateSettings { exits: Some(vec![1, 2]), ..defaults() }), "exits");

    let few = accelerate(classifier, Texts::new(&task(19, 1)), &defaults(), &mut generator());
    assert_eq!(refused(few), "texts");
    let mut other = task(60, 1);
    other.labels.push("another".into());
    assert_eq!(refused(accelerate(classifier, Texts::new(&other), &defaults(), &mut generator())), "labels");
    let labels = TextClassifier::for_task(Task::Labels, encoder(2, 1), CLASSES, Pooling::Mean, &mut generator())?;
    assert_eq!(refused(accelerate(&labels, Texts::new(&task(60, 1)), &defaults(), &mut generator())), "targets");
    // A class that only the held-out texts have, and one that they do not have, are no errors.
    let (mut texts, mut held_out) = (task(200, 1), task(80, 7));
    texts.samples.retain(|sample| sample.label != 0);
    held_out.samples.retain(|sample| sample.label != 1);
    let made = accelerate(classifier, Texts::new(&texts).with_held_out(&held_out), &defaults(), &mut generator())?;
    made.model.check(&texts)?;
    Ok(())
}

#[test]
fn unlabelled_texts_are_fitted_without_reading_their_labels() -> Result<()> {
    let (classifier, texts, held_out) = (full_model(Pooling::Mean), task(24, 1), task(120, 7));
    let labelled = Texts::new(&texts).with_held_out(&held_out);
    let (mut unlabelled, settings) = (task(400, 11), AccelerateSettings::default());
    let with =
        |unlabelled: &_| accelerate(classifier, labelled.with_unlabelled(unlabelled), &settings, &mut generator());
    let (few, many) = (accelerate(classifier, labelled, &settings, &mut generator())?, with(&unlabelled)?);
    assert_eq!((few.report.rows, few.report.unlabelled_rows), (24, 0));
    assert_eq!((many.report.rows, many.report.unlabelled_rows), (24, 400));
    assert!(many.report.flops > few.report.flops);
    assert_ne!(many.report.stages[0], few.report.stages[0], "exit 0 learned from them");
    unlabelled.samples.iter_mut().for_each(|sample| sample.label = 0);
    assert_eq!(with(&unlabelled)?.report.stages, many.report.stages, "labels were looked at");
    // A cross-fit would judge by them.
    let alone = accelerate(classifier, Texts::new(&texts).with_unlabelled(&unlabelled), &settings, &mut generator());
    assert_eq!(refused(alone), "unlabelled texts");
    Ok(())
}

#[test]
fn every_rule_is_arithmetic_on_the_answers_of_the_stages() -> Result<()> {
    let test = task(90, 9);
    for rule in [LeavingRule::Entropy, LeavingRule::Patience] {
        for settings in [AccelerateSettings::default(), without_front()] {
            let model = accelerated(&AccelerateSettings { rule, ..settings })?.model;
            let tables = model.stage_log_probabilities(&test, 16)?;
            let stages = Stages::of_answers(&model, &test, &tables)?;
            let thresholds = stages.thresholds(8);
            assert!(thresholds.len() > 2, "{thresholds:?}");
            for speed in thresholds.into_iter().chain([0.3, 0.51, 7.0]) {
                let (expected, actual) = (stages.at(speed), evaluate(&model.with_speed(speed)?, &test, 16)?);
                assert_eq!((actual.labels, actual.flops), (expected.labels, expected.flops), "{rule:?} at {speed}");
            }
            assert_eq!(Stages::of_model(&model, &test, 16)?, stages);
            let mut exits = model.model().exit_log_probabilities(&test, 16)?;
            exits.pop();
            assert_eq!(refused(model.stacked(&test, exits)), "exits' answers");
        }
    }
    Ok(())
}

/// A threshold that has learned something, too.
#[derive(Debug, Clone, PartialEq)]
struct Learned {
    threshold: f64,
    texts: u64,
}

impl ExitRule for Learned {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last
    }

    fn leaves(&self, view: &ExitView<'_>, _: &mut [Notes]) -> Result<Vec<bool>> {
        let sure = |logs: &[f64]| logs.iter().any(|log| 1.0 - log.exp() < self.threshold);
        Ok(view.needed_answers()?.rows().map(sure).collect())
    }

    fn speed(&self) -> Option<f64> {
        Some(self.threshold)
    }

    fn at_speed(&self, threshold: f64) -> Result<Arc<dyn Router>> {
        Ok(Arc::new(Self { threshold, ..*self }))
    }

    fn rule(&self) -> Option<LeavingRule> {
        Some(LeavingRule::Confidence)
    }

    fn state(&self) -> Result<Value> {
        Ok(json!({ "threshold": self.threshold, "texts": self.texts }))
    }
}

#[test]
fn a_router_of_a_users_own_has_a_curve_and_keeps_its_state() -> Result<()> {
    let held_out = task(120, 8);
    let with = |held_out: &EncodedDataset, speeds: &[f64]| {
        accelerated(&without_front())?.with_router(Box::new(Learned { threshold: 0.0, texts: 7 }), held_out, speeds, 16)
    };
    let made = with(&held_out, &[0.0, 0.2, 0.6])?;
    let own = evaluate(full_model(Pooling::Mean), &held_out, 16)?.confusion.accuracy();
    let report = &made.report;
    assert_eq!(report.own_accuracy, own, "of the texts that it is judged on");
    assert_eq!(report.curve.iter().map(|point| point.speed).collect::<Vec<_>>(), [0.0, 0.2, 0.6]);
    assert!(report.curve.is_sorted_by(|before, after| before.flops_ratio > after.flops_ratio));
    assert_eq!(made.model.speed(), Some(report.speed));
    for (refused, expected) in
        [(with(&held_out, &[]), "speeds is none"), (with(&held_out.without_rows(), &[1.0]), "held-out texts is none")]
    {
        let refused = refused.expect_err("nothing to judge").to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }

    let folder = tempfile::tempdir().expect("a temporary folder");
    made.model.save(folder.path().join("model"), None, &held_out.labels)?;
    let load = |router: fn(Value) -> Result<Box<dyn Router>>| {
        DynamicModel::load_with(folder.path().join("model"), &Device::Cpu, OwnParts::new().with_router(router))
    };
    let (loaded, ..) = load(|state| {
        assert_eq!(state["texts"], 7);
        let threshold = state["threshold"].as_f64().expect("a threshold");
        Ok(Box::new(Learned { threshold, texts: 7 }))
    })?;
    assert_eq!(evaluate(&loaded, &held_out, 16)?.labels, evaluate(&made.model, &held_out, 16)?.labels);
    let alone = DynamicModel::load(folder.path().join("model"), &Device::Cpu);
    assert!(matches!(alone, Err(Error::Model { field: "router", .. })), "its state would be lost");
    Ok(())
}

#[test]
fn a_promise_is_shown_on_texts_that_the_model_has_not_seen() -> Result<()> {
    let made = accelerated(&AccelerateSettings::default())?;
    let (model, speeds) = (&made.model, made.report.curve.iter().map(|point| point.speed).collect::<Vec<_>>());
    let promise = Promise { risk: Risk::Disagreement, most: 0.2, guarantee: Guarantee::Confidence(0.9) };
    let promised = |texts: &EncodedDataset| model.with_promise(promise, texts, &speeds, 16);
    let (training, held_out, mut fresh) = (task(300, 1), task(120, 7), task(400, 11));
    let seen = model.seen_texts();
    assert!(seen.len() <= 420 && seen.rows_of(&training).len() == 300 && seen.rows_of(&held_out).len() == 120);
    for texts in [training.clone(), held_out] {
        let refused = promised(&texts);
        assert!(matches!(&refused, Err(Error::SeenTexts { first: 0, rows, of, .. }) if rows == of), "{refused:?}");
    }
    let known = seen.rows_of(&fresh);
    let mut rows = 0..;
    fresh.samples.retain(|_| rows.next().is_some_and(|row| !known.contains(&row)));

    let (kept, actual) = promised(&fresh)?;
    assert_eq!((kept.speed(), actual.rows), (Some(actual.threshold), fresh.len()));
    assert!(actual.threshold > 0.0 && actual.observed <= actual.bound && actual.bound <= 0.2, "{actual:?}");
    let own = evaluate(full_model(Pooling::Mean), &fresh, 16)?;
    let ours = evaluate(&kept, &fresh, 16)?;
    assert_eq!(ours.flops, actual.flops);
    let others = ours.labels.iter().zip(&own.labels).filter(|(ours, own)| ours != own).count();
    assert!((others as f64 / fresh.len() as f64 - actual.observed).abs() < 1e-12);

    // One of the model's own texts among the others.
    fresh.samples.insert(3, training.samples[9].clone());
    let refused = promised(&fresh).expect_err("a seen text").to_string();
    assert!(refused.contains("1 of") && refused.contains("row 3"), "{refused}");
    Ok(())
}

#[test]
fn a_model_remembers_its_texts_in_its_files() -> Result<()> {
    let (made, folder) = (accelerated(&AccelerateSettings::default())?, tempfile::tempdir().expect("a folder"));
    let labels: Vec<String> = (0..CLASSES).map(|class| class.to_string()).collect();
    let path = folder.path().join("model");
    made.model.save(&path, None, &labels)?;
    let load = || DynamicModel::load(&path, &candle_core::Device::Cpu);
    assert_eq!(load()?.0.seen_texts(), made.model.seen_texts());
    let file = path.join("seen_texts.bin");
    let mut bytes = std::fs::read(&file).expect("digests");
    assert_eq!(bytes.len(), 8 * made.model.seen_texts().len());
    bytes.pop();
    std::fs::write(&file, bytes).expect("written");
    assert!(matches!(load(), Err(Error::ModelFile { path, .. }) if path == file));
    Ok(())
}

#[test]
fn an_exit_is_a_classifier_of_its_own_with_the_same_bits() -> Result<()> {
    let test = task(60, 9);
    for pooling in [Pooling::Cls, Pooling::Mean, Pooling::Pooler] {
        let settings = AccelerateSettings { side: None, ..AccelerateSettings::default() };
        let made = accelerate(full_model(pooling), Texts::new(&task(300, 1)), &settings, &mut generator())?;
        let exits = made.model.model().exit_log_probabilities(&test, 60)?;
        for (depth, exit) in (1..=LAYERS).zip(exits) {
            let classifier = made.model.classifier_at(depth)?;
            let logits = classifier.logits(&whole_batch(&test), &ForwardContext::inference())?;
            let own = log_softmax(&logits)?.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from);
            assert_eq!(exit.values(), own.collect::<Vec<_>>(), "depth {depth}, {pooling:?}");
        }
    }
    let model = accelerated(&AccelerateSettings::default())?.model;
    let refused = |depth| model.classifier_at(depth).expect_err("an error").to_string();
    let linear = format!("expected a depth with a linear exit: [{LAYERS}]");
    assert!(refused(1).contains(&format!("layers is 1, {linear}")), "{}", refused(1));
    assert!(refused(LAYERS + 1).contains(&linear), "{}", refused(LAYERS + 1));
    assert!(model.classifier_at(LAYERS).is_ok());
    Ok(())
}

#[test]
fn held_out_texts_that_were_trained_on_are_refused() -> Result<()> {
    let training = task(300, 1);
    let part =
        |rows: std::ops::Range<usize>| EncodedDataset { samples: training.samples[rows].to_vec(), ..training.clone() };
    let refused = |held_out: &EncodedDataset| {
        let texts = Texts::new(&training).with_held_out(held_out);
        let made = accelerate(full_model(Pooling::Mean), texts, &without_front(), &mut generator());
        made.map(drop).expect_err("it says nothing").to_string()
    };
    assert!(
        refused(&part(0..60))
            .starts_with("held-out set is 60 training texts among 60, expected texts that the model has not")
    );
    assert!(refused(&part(0..0)).starts_with("held-out texts is none, expected at least one"));
    let mut mixed = task(120, 7);
    mixed.samples.truncate(100);
    mixed.samples.extend(part(0..20).samples);
    let texts = Texts::new(&training).with_held_out(&mixed);
    accelerate(full_model(Pooling::Mean), texts, &without_front(), &mut generator()).map(drop)
}
