//! Multi-label models: exits, rungs, speeds, promises, saving.

use dht_dynamic::accelerate::{AccelerateSettings, SideSettings, Targets, Texts, accelerate};
use dht_dynamic::evaluation::{Calibration, Guarantee, Promise, Risk, Stages};
use dht_dynamic::ladder::{LadderSettings, LadderTexts, Rung, UnlessStill, climb};
use dht_dynamic::router::LeavingRule;
use dht_dynamic::serving::NumberLevels;
use dht_dynamic::transformer::train::metrics::LabelCounts;
use dht_dynamic::transformer::{EncodedDataset, ForwardContext, Pooling, Sample, Task, TextClassifier, TrainSettings};
use dht_dynamic::{DynamicModel, LogProbabilities, Outputs, Predictor, evaluate};
use dht_toys::{adamw, planted, rng, train_settings, whole_batch};

/// Names of the labels: the planted class of a text, and whether the text is long.
const LABELS: [&str; 4] = ["one", "two", "three", "long"];

fn texts(rows: u64, seed: u64) -> EncodedDataset {
    let mut data = planted::task(rows, seed);
    for sample in &mut data.samples {
        let is_long = sample.encoding.ids.len() > 4;
        let class = std::mem::take(&mut sample.label);
        let applies = (0..3).map(|label| label == class).chain([is_long]);
        sample.targets = applies.map(|applies| f32::from(u8::from(applies))).collect();
    }
    EncodedDataset { labels: LABELS.map(String::from).to_vec(), ..data }
}

fn untrained() -> TextClassifier {
    let encoder = planted::encoder(planted::LAYERS, 1);
    TextClassifier::for_task(Task::Labels, encoder, LABELS.len(), Pooling::Mean, &mut rng(2)).expect("a classifier")
}

fn classifier() -> TextClassifier {
    let mut model = untrained();
    let settings = TrainSettings { epochs: 6, ..train_settings(6) };
    let trainer = dht_dynamic::transformer::Trainer::new(settings);
    trainer.fit(&mut model, &texts(300, 1), &texts(0, 0), &mut ()).expect("it trains");
    model
}

fn accelerated(settings: &AccelerateSettings) -> DynamicModel {
    let (training, held_out) = (texts(300, 1), texts(150, 2));
    let texts = Texts::new(&training).with_held_out(&held_out);
    accelerate(&classifier(), texts, settings, &mut rng(3)).expect("a model").model
}

fn told<T>(refused: dht_dynamic::Result<T>) -> String {
    refused.err().expect("it is refused").to_string()
}

fn targets(data: &EncodedDataset) -> Vec<Vec<f32>> {
    data.samples.iter().map(|sample| sample.targets.clone()).collect()
}

#[test]
fn the_answers_at_a_speed_are_those_of_the_stages() {
    let test = texts(120, 9);
    let side = SideSettings { width: Some(8), ..SideSettings::default() };
    for settings in [
        AccelerateSettings { side: None, ..AccelerateSettings::default() },
        AccelerateSettings { side: Some(side), rule: LeavingRule::Entropy, ..AccelerateSettings::default() },
        AccelerateSettings { side: None, rule: LeavingRule::Patience, ngram: None, ..AccelerateSettings::default() },
    ] {
        let model = accelerated(&settings);
        assert_eq!(model.model().outputs(), Outputs::Labels(4));
        let (stages, tables) = (
            Stages::of_model(&model, &test, 32).expect("stages"),
            model.stage_log_probabilities(&test, 32).expect("answers"),
        );
        let mut depths = Vec::new();
        for speed in [0.0, 0.05, 0.2, 0.5, 1.0] {
            let at = stages.at(speed);
            let found = evaluate(&model.with_speed(speed).expect("a speed"), &test, 32).expect("a pass");
            assert_eq!(found.labels, at.labels, "at {speed}, {:?}", settings.rule);
            assert_eq!(found.row_flops, stages.row_flops(speed, &at), "at {speed}, {:?}", settings.rule);
            for (row, stage) in at.stages.iter().enumerate() {
                let expected = tables[*stage].probabilities_of(row);
                let same = found.probabilities[row].iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5);
                assert!(same && expected.len() == 4, "{:?} and {expected:?}", found.probabilities[row]);
            }
            let counts = LabelCounts::from_probabilities(&targets(&test), &found.probabilities, 0.5).expect("counts");
            let micro = found.confusion.f1(1).unwrap_or(0.0);
            assert!((counts.micro_f1() - micro).abs() < 1e-12, "{micro}");
            depths.push(found.flops);
        }
        // At speed 0 no exit before the last is computed.
        assert!(depths[1..].windows(2).all(|pair| pair[0] >= pair[1]) && depths[0] > depths[4], "{depths:?}");
    }
}

#[test]
fn the_last_exit_is_the_classifier_to_the_bit() {
    let (model, test) = (accelerated(&AccelerateSettings::default()), texts(40, 9));
    let (own, given) = (model.classifier_at(planted::LAYERS).expect("a classifier"), classifier());
    assert_eq!(own.task(), Task::Labels);
    let answers = |model: &TextClassifier| model.probabilities_of_all(&test, 16).expect("answers");
    assert_eq!(answers(&own), answers(&given));
}

#[test]
fn acceleration_keeps_the_score_for_less() {
    let (training, held_out, test) = (texts(300, 1), texts(300, 2), texts(300, 9));
    let both = Texts::new(&training).with_held_out(&held_out);
    let settings = AccelerateSettings { side: None, ..AccelerateSettings::default() };
    let made = accelerate(&classifier(), both, &settings, &mut rng(3)).expect("a model");
    let all = evaluate(&made.model.with_speed(0.0).expect("a speed"), &test, 32).expect("a pass");
    let own = evaluate(&made.model, &test, 32).expect("a pass");
    let micro = |confusion: &dht_dynamic::transformer::train::metrics::Confusion| confusion.f1(1).unwrap_or(0.0);
    assert!(micro(&all.confusion) > 0.9, "{}", micro(&all.confusion));
    assert!(micro(&own.confusion) > micro(&all.confusion) - 0.02, "{}", micro(&own.confusion));
    assert!(own.flops < all.flops, "{} of {}", own.flops, all.flops);
    // The curve has micro F1 as its score.
    let first = made.report.curve[0];
    let of_held_out = evaluate(&made.model.with_speed(first.speed).expect("a speed"), &held_out, 32).expect("a pass");
    assert!((first.accuracy - micro(&of_held_out.confusion)).abs() < 1e-12, "{first:?}");
}

#[test]
fn the_default_speed_of_numbers_keeps_r_squared() {
    let levels = NumberLevels::fit(&[0.0, 1.0, 4.0], false).expect("levels");
    let numbers = |rows, seed| {
        let mut data = planted::task(rows, seed);
        for sample in &mut data.samples {
            sample.targets = vec![[0.0, 1.0, 4.0][std::mem::take(&mut sample.label) as usize]];
        }
        data
    };
    let (training, held_out, test) = (numbers(300, 1), numbers(300, 2), numbers(300, 9));
    let encoded = [&training, &held_out, &test].map(|data| levels.encode(data));
    let encoder = planted::encoder(planted::LAYERS, 1);
    let mut model = TextClassifier::for_task(Task::Labels, encoder, 2, Pooling::Mean, &mut rng(2)).expect("a model");
    let trainer = dht_dynamic::transformer::Trainer::new(TrainSettings { epochs: 6, ..train_settings(6) });
    trainer.fit(&mut model, &encoded[0], &encoded[1], &mut ()).expect("it trains");
    let texts = Texts::new(&encoded[0]).with_held_out(&encoded[1]);
    let with = |levels| AccelerateSettings { levels, side: None, ..AccelerateSettings::default() };
    let made = accelerate(&model, texts, &with(Some(levels.clone())), &mut rng(3)).expect("a model");

    let truth = |data: &EncodedDataset| -> Vec<f64> {
        data.samples.iter().map(|sample| f64::from(sample.targets[0])).collect()
    };
    let mean_square = |errors: &[f64]| errors.iter().map(|error| error.powi(2)).sum::<f64>() / errors.len() as f64;
    let own = truth(&held_out);
    let mean = own.iter().sum::<f64>() / own.len() as f64;
    let variance = mean_square(&own.iter().map(|number| number - mean).collect::<Vec<_>>());
    let reported = made.report.number_variance.expect("a variance");
    assert!((reported - variance).abs() < 1e-9, "{reported} is not {variance}");
    let error = |speed: f64| {
        let found = evaluate(&made.model.with_speed(speed).expect("a speed"), &encoded[2], 32).expect("a pass");
        let differences = found.probabilities.iter().zip(truth(&test));
        let errors: Vec<f64> = differences.map(|(row, truth)| f64::from(levels.number(row)) - truth).collect();
        (mean_square(&errors), found.flops)
    };
    let ((fast, fast_flops), (all, all_flops)) = (error(made.report.speed), error(0.0));
    assert!(fast - all < 0.03 * variance && fast_flops <= all_flops, "{fast} and {all} of {variance}");

    // Levels that do not have a cut for each label are refused, and so are levels of classes.
    let two = NumberLevels::fit(&[1.0, 2.0], false).expect("levels");
    let said = told(accelerate(&model, texts, &with(Some(two)), &mut rng(3)));
    assert!(said.contains("levels") && said.contains("2 ascending cuts"), "{said}");
    let classes = planted::task(60, 1);
    let said = told(accelerate(&model, Texts::new(&classes), &with(Some(levels.clone())), &mut rng(3)));
    assert!(said.contains("levels is some, expected none for texts with classes"), "{said}");
}

#[test]
fn exits_fitted_on_its_own_answers_agree_with_the_classifier() {
    let (training, held_out, test) = (texts(300, 1), texts(150, 2), texts(150, 9));
    let unlabelled = {
        let mut data = texts(100, 5);
        data.samples.iter_mut().for_each(|sample| sample.targets.clear());
        data
    };
    let classifier = classifier();
    let own = LogProbabilities::of_classifier(&classifier, &test, 32).expect("answers").labels();
    for targets in [Targets::Predictions, Targets::SoftLabels] {
        let both = Texts::new(&training).with_held_out(&held_out).with_unlabelled(&unlabelled);
        let settings = AccelerateSettings { targets, side: None, ..AccelerateSettings::default() };
        let model = accelerate(&classifier, both, &settings, &mut rng(3)).expect("a model").model;
        let found = evaluate(&model, &test, 32).expect("a pass").labels;
        let same = found.iter().zip(&own).filter(|(a, b)| a == b).count() as f64 / own.len() as f64;
        assert!(same > 0.9, "{same} for {targets:?}");
    }
}

#[test]
fn a_saved_model_gives_the_same_answers() {
    let (model, test) = (accelerated(&AccelerateSettings::default()).with_speed(0.2).expect("a speed"), texts(40, 9));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    model.save(&path, None, &LABELS.map(String::from)).expect("saved");
    let (loaded, labels, _) = DynamicModel::load(&path, &candle_core::Device::Cpu).expect("loaded");
    assert_eq!((loaded.model().outputs(), labels.len()), (Outputs::Labels(4), 4));
    let batch = whole_batch(&test);
    let answers = |model: &DynamicModel| model.predict(&batch, &ForwardContext::inference()).expect("answers");
    assert_eq!(answers(&loaded).predictions, answers(&model).predictions);
}

#[test]
fn rungs_keep_what_the_validation_rows_show() {
    let (training, validation, test) = (texts(300, 1), texts(100, 2), texts(200, 9));
    let fine_tuning = TrainSettings { epochs: 6, batch_size: 16, optimizer: adamw(3e-3), ..TrainSettings::default() };
    for (joins, most) in [(false, Rung::FineTuned), (true, Rung::FineTuned), (true, Rung::Ngrams), (true, Rung::Frozen)]
    {
        // Fewer validation rows than the least are cross-fitted with the training rows.
        let least_held_out = if joins { 200 } else { 20 };
        let exits = AccelerateSettings { least_held_out, side: None, ..AccelerateSettings::default() };
        let settings = LadderSettings { most, exits, fine_tuning: fine_tuning.clone(), ..LadderSettings::default() };
        let texts = LadderTexts { training: &training, validation: &validation, joins };
        let rule = &mut UnlessStill::default();
        let climbed = climb(&untrained(), texts, &settings, rule, &mut |_| {}, &mut rng(3)).expect("a model");
        assert!(climbed.ladder.rung <= most);
        let found = evaluate(&climbed.model, &test, 32).expect("a pass");
        let least = if most == Rung::Ngrams { 0.7 } else { 0.8 };
        let micro = found.confusion.f1(1).unwrap_or(0.0);
        assert!(micro > least, "{micro} at {:?} of {most:?}", climbed.ladder.rung);
        let losses = climbed.ladder.measurements.iter().map(|found| found.loss);
        assert!(losses.clone().all(f64::is_finite) && losses.count() > usize::from(most != Rung::Ngrams));
        if let Some(answers) = climbed.out_of_fold {
            assert!(answers.stages.iter().all(|stage| stage.outputs() == Outputs::Labels(4)));
            assert_eq!(answers.alone.len(), 400);
        }
    }
}

#[test]
fn a_promise_bounds_the_f1_that_texts_lose() {
    let model = accelerated(&AccelerateSettings { side: None, ..AccelerateSettings::default() });
    let unseen = |seed| {
        let data = texts(1200, seed);
        let seen = model.seen_texts().rows_of(&data);
        let rows: Vec<usize> = (0..data.len()).filter(|row| !seen.contains(row)).take(600).collect();
        data.select(rows).expect("rows")
    };
    let (held_out, other) = (unseen(21), unseen(22));
    let speeds: Vec<f64> = (0..40).map(|step| f64::from(step) / 40.0).collect();
    let promise = Promise { risk: Risk::AccuracyLoss, most: 0.05, guarantee: Guarantee::Confidence(0.95) };
    let (kept, shown) = model.with_promise(promise, &held_out, &speeds, 32).expect("a promise");
    assert!(shown.observed <= 0.05 && shown.threshold > 0.0, "{shown:?}");
    // F1 of each text, computed by its definition.
    let f1_by_text = |model: &DynamicModel, data: &EncodedDataset| {
        let found = evaluate(model, data, 32).expect("a pass");
        let of_text = |(row, sample): (&[u32], &Sample)| {
            let both = row.iter().zip(&sample.targets).filter(|(a, b)| **a == 1 && **b == 1.0).count();
            let given = row.iter().filter(|label| **label == 1).count();
            let there = sample.targets.iter().filter(|target| **target == 1.0).count();
            if given + there == 0 { 1.0 } else { 2.0 * both as f64 / (given + there) as f64 }
        };
        found.labels.chunks_exact(4).zip(&data.samples).map(of_text).sum::<f64>() / data.len() as f64
    };
    let alone = DynamicModel::new(model.model().clone(), LeavingRule::default()).expect("a model");
    let lost = f1_by_text(&alone, &held_out) - f1_by_text(&kept, &held_out);
    assert!((lost - shown.observed).abs() < 1e-9, "{lost} and {}", shown.observed);
    let lost = f1_by_text(&alone, &other) - f1_by_text(&kept, &other);
    assert!(lost < 0.05, "{lost}");

    // A text differs if one of its labels does.
    let stages = Stages::of_model(&model, &held_out, 32).expect("stages");
    let full = stages.at(0.0).labels;
    let calibration = Calibration { stages: &stages, full: &full, labels: None };
    let promise = Promise { risk: Risk::Disagreement, most: 0.3, guarantee: Guarantee::Expectation };
    let shown = promise.control(calibration, &speeds).expect("a promise");
    let at = stages.at(shown.threshold).labels;
    let differ = at.chunks_exact(4).zip(full.chunks_exact(4)).filter(|(a, b)| a != b).count();
    assert!((shown.observed - differ as f64 / 600.0).abs() < 1e-12);
    let short = Calibration { full: &full[..600], ..calibration };
    assert!(told(promise.control(short, &speeds)).contains("2400, one a text"));
}

#[test]
fn texts_of_another_task_are_told() {
    let (model, training) =
        (accelerated(&AccelerateSettings { side: None, ..AccelerateSettings::default() }), texts(60, 1));
    let of_classes = planted::task(60, 1);
    assert!(told(evaluate(&model, &of_classes, 8)).contains("a number from 0 to 1 for each label"));
    let mut numbers = texts(60, 1);
    numbers.samples.iter_mut().for_each(|sample| sample.targets = vec![7.5]);
    assert!(told(evaluate(&model, &numbers, 8)).contains("a number from 0 to 1 for each label"));
    let own = planted::full_model(Pooling::Mean);
    assert!(told(evaluate(own, &training, 8)).contains("none, for a model of classes"));
    let regression =
        TextClassifier::for_task(Task::Number, planted::encoder(2, 1), 1, Pooling::Mean, &mut rng(2)).expect("a model");
    let settings = AccelerateSettings::default();
    let refusal = told(accelerate(&regression, Texts::new(&numbers), &settings, &mut rng(1)));
    assert!(refusal.contains("a regression"), "{refusal}");
    // Labels that no text and that every text has.
    let mut extreme = texts(300, 1);
    for sample in &mut extreme.samples {
        (sample.targets[0], sample.targets[1]) = (0.0, 1.0);
    }
    let model = accelerate(&classifier(), Texts::new(&extreme), &settings, &mut rng(1)).expect("a model").model;
    let found = evaluate(&model.with_speed(1.0).expect("a speed"), &extreme, 32).expect("a pass");
    assert!(found.probabilities.iter().all(|p| p[0] < 0.1 && p[1] > 0.9), "{:?}", found.probabilities[0]);
}
