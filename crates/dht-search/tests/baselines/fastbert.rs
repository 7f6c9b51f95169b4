//! FastBERT: at speed 0 it is its backbone, its exits learn from it alone, and every speed follows from the exits'
//! answers.

use candle_core::Device;
use dht_dynamic::Error as Dynamic;
use dht_dynamic::evaluation::calibrate;
use dht_dynamic::exit::ExitKind;
use dht_dynamic::router::{ExitRule, ExitView, Notes};
use dht_dynamic::training::{ExitTargets, FrozenExits};
use dht_dynamic::{DynamicModel, Prediction, Predictor, SpeedCurve, evaluate};
use dht_search::baselines::fastbert::{self, FastBertSettings};
use dht_search::settings::ClassifierSharing;
use dht_search::transformer::{
    EncodedDataset, ForwardContext, HeadSet, Objective, PackedBatch, Pooling, Task, TextClassifier, Trainer,
    pruning::PrunePlan,
};
use dht_search::{Error, Result, Route, SearchSettings};
use dht_toys::planted::{CLASSES, HEADS, LAYERS, encoder, full_model, nothing, task};
use dht_toys::{bits, refused, rng, train_settings};

use crate::toy::assert_resumes;

fn fastbert(pooling: Pooling, settings: FastBertSettings, seed: u64) -> Result<FrozenExits> {
    fastbert::fastbert(full_model(pooling), &settings, &mut rng(seed))
}

/// Small exits of every kind that the source or this crate has.
fn kinds() -> [FastBertSettings; 3] {
    let side = FastBertSettings { exit_kind: ExitKind::SideLayer { width: 8 }, ..FastBertSettings::default() };
    let linear = FastBertSettings { exit_kind: ExitKind::Linear, pooling: Pooling::Pooler, ..side.clone() };
    [FastBertSettings { exits: Some(vec![1, 3, LAYERS]), pooling: Pooling::Cls, ..side.clone() }, linear, side]
}

/// Exits without dropout, so that their losses are the same in training and at inference.
fn linear() -> FastBertSettings {
    FastBertSettings { exit_kind: ExitKind::Linear, ..FastBertSettings::default() }
}

fn trained(mut training: FrozenExits, epochs: usize, data: &EncodedDataset) -> Result<FrozenExits> {
    Trainer::new(train_settings(epochs)).fit(&mut training, data, &nothing(), &mut ())?;
    Ok(training)
}

fn predictions(model: &dyn Predictor, data: &EncodedDataset) -> Result<Vec<Prediction>> {
    let ctx = ForwardContext::inference();
    let mut predictions = vec![None; data.len()];
    for rows in PackedBatch::longest_first(&data.lengths(), 16)? {
        for (row, prediction) in rows.iter().zip(model.predict(&data.batch(&rows)?, &ctx)?.predictions) {
            predictions[*row] = Some(prediction);
        }
    }
    Ok(predictions.into_iter().flatten().collect())
}

#[test]
fn at_speed_0_every_prediction_is_the_backbones_to_the_bit() -> Result<()> {
    let test = task(60, 2);
    for pooling in [Pooling::Cls, Pooling::Mean, Pooling::Pooler] {
        for settings in kinds() {
            let backbone = predictions(full_model(pooling), &test)?;
            let model = trained(fastbert(pooling, settings.clone(), 1)?, 1, &task(40, 1))?.into_model();
            assert_eq!(model.speed(), Some(settings.speed));
            let slowest = predictions(&model.with_speed(0.0)?, &test)?;
            for (own, expected) in slowest.iter().zip(&backbone) {
                let probabilities = |prediction: &Prediction| -> Vec<u32> {
                    prediction.probabilities.iter().map(|value| value.to_bits()).collect()
                };
                assert_eq!(probabilities(own), probabilities(expected), "{pooling:?}, {settings:?}");
                assert_eq!(own.label, expected.label);
                assert!(own.route.layers().eq(expected.route.layers()), "all layers, all heads");
                assert_eq!(own.flops, expected.flops, "no exit on the way is computed");
                assert_eq!(own.routing_flops, 0);
            }
        }
    }
    Ok(())
}

#[test]
fn only_exits_before_the_last_learn_and_labels_do_not_matter() -> Result<()> {
    let data = task(40, 1);
    let mut other = data.clone();
    other.samples.iter_mut().for_each(|sample| sample.label = 0);
    for settings in kinds() {
        let before = bits(fastbert(Pooling::Pooler, settings.clone(), 1)?.parameters());
        let after = trained(fastbert(Pooling::Pooler, settings.clone(), 1)?, 1, &data)?;
        let last = format!("exit.{LAYERS}.");
        for ((name, old), (_, new)) in before.iter().zip(bits(after.parameters())) {
            let learns = name.starts_with("exit.") && !name.starts_with(&last);
            assert_eq!(*old != new, learns, "{name}");
        }
        let without_labels = trained(fastbert(Pooling::Pooler, settings, 1)?, 1, &other)?;
        assert!(bits(without_labels.parameters()) == bits(after.parameters()));
    }
    Ok(())
}

#[test]
fn the_first_loss_is_the_divergence_of_exits_from_the_last() -> Result<()> {
    let data = task(8, 1);
    for temperature in [1.0, 2.0] {
        let settings = FastBertSettings { temperature, ..linear() };
        let mut training = fastbert(Pooling::Mean, settings, 1)?;
        let by_exit = training.model().model().exit_log_probabilities(&data, 8)?;
        // Tempered probabilities are powers of the probabilities, rescaled.
        let tempered = |row: &[f64]| -> Vec<f64> {
            let powers: Vec<f64> = row.iter().map(|log| (log / temperature).exp()).collect();
            powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
        };
        let mut expected = 0.0;
        for row in 0..8 {
            let teacher = tempered(by_exit[LAYERS - 1].row(row));
            for student in &by_exit[..LAYERS - 1] {
                let student = tempered(student.row(row));
                let divergence: f64 = teacher.iter().zip(&student).map(|(t, s)| t * (t / s).ln()).sum();
                expected += temperature * temperature * divergence / 8.0;
            }
        }
        let history = Trainer::new(train_settings(1)).fit(&mut training, &data, &nothing(), &mut ())?;
        let loss = history.losses[0].1;
        assert!(expected > 0.1 && (loss - expected).abs() < 1e-5, "{loss} and {expected}");
    }
    Ok(())
}

#[test]
fn labels_alone_are_a_cross_entropy_and_both_are_half_of_each() -> Result<()> {
    let data = task(8, 1);
    let first_loss = |targets| -> Result<f64> {
        let model = fastbert(Pooling::Mean, linear(), 1)?.into_model();
        let mut training = FrozenExits::new(model, targets)?;
        Ok(Trainer::new(train_settings(1)).fit(&mut training, &data, &nothing(), &mut ())?.losses[0].1)
    };
    let by_exit = fastbert(Pooling::Mean, linear(), 1)?.model().model().exit_log_probabilities(&data, 8)?;
    let own: Vec<u32> = data.samples.iter().map(|text| text.label).collect();
    let expected: f64 = by_exit[..LAYERS - 1].iter().map(|exit| exit.mean_loss(&own)).sum();
    let labels = first_loss(ExitTargets::Labels)?;
    assert!((labels - expected).abs() < 1e-5, "{labels} and {expected}");
    let (soft, both) = (
        first_loss(ExitTargets::SoftLabels { temperature: 1.0 })?,
        first_loss(ExitTargets::Both { temperature: 1.0 })?,
    );
    assert!((both - f64::midpoint(labels, soft)).abs() < 1e-5, "{both} of {labels} and {soft}");
    assert_eq!(refused(first_loss(ExitTargets::Both { temperature: 0.0 })), "temperature");
    Ok(())
}

#[test]
fn cached_states_give_the_same_losses_for_fewer_flops() -> Result<()> {
    let data = task(60, 1);
    let fit = |targets, bytes| -> Result<(Vec<f64>, u64)> {
        let model = fastbert(Pooling::Mean, kinds()[2].clone(), 1)?.into_model();
        let mut training = FrozenExits::new(model, targets)?.with_cache(bytes);
        let history = Trainer::new(train_settings(3)).fit(&mut training, &data, &nothing(), &mut ())?;
        Ok((history.losses.into_iter().map(|(_, loss)| loss).collect(), training.flops()))
    };
    for targets in [ExitTargets::Labels, ExitTargets::Both { temperature: 1.0 }] {
        let (losses, flops) = fit(targets, 0)?;
        let mut before = flops;
        for bytes in [8_000, 1 << 24] {
            let (kept, flops) = fit(targets, bytes)?;
            for (step, (kept, loss)) in kept.iter().zip(&losses).enumerate() {
                assert!((kept - loss).abs() < 2e-3, "step {step}: {kept} and {loss}");
            }
            // In half precision.
            assert!(kept != losses && flops < before, "{flops} of {before}");
            before = flops;
        }
        assert_eq!(fit(targets, 7)?, (losses, flops), "there is no room for any text");
    }
    Ok(())
}

/// Rule by which every text leaves at one exit. An exit is then read only for the texts that leave there.
#[derive(Debug)]
struct LeaveAt(usize);

impl ExitRule for LeaveAt {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn leaves(&self, view: &ExitView<'_>, _: &mut [Notes]) -> dht_dynamic::Result<Vec<bool>> {
        Ok(vec![view.exit == self.0; view.members.len()])
    }
}

/// FastBERT whose exits have learned.
fn learned() -> Result<DynamicModel> {
    Ok(trained(fastbert(Pooling::Mean, kinds()[2].clone(), 1)?, 6, &task(300, 1))?.into_model())
}

#[test]
fn exits_learn_to_predict_unseen_texts_like_the_backbone() -> Result<()> {
    let test = task(100, 4);
    let fresh = fastbert(Pooling::Mean, kinds()[2].clone(), 1)?;
    let before = fresh.score(&test, 16)?;
    let after = trained(fresh, 6, &task(300, 1))?.score(&test, 16)?;
    let backbone = evaluate(full_model(Pooling::Mean), &test, 16)?.confusion.macro_f1();
    assert!(before < 0.5 && after > before + 0.15 && after <= backbone + 0.05, "{before}, {after}, {backbone}");
    Ok(())
}

#[test]
fn one_pass_gives_the_answers_of_every_exit_and_speed() -> Result<()> {
    let (model, test) = (learned()?, task(80, 4));
    let by_exit = model.model().exit_log_probabilities(&test, 16)?;
    for (exit, rows) in by_exit.iter().enumerate() {
        let fixed = evaluate(&model.clone().with_router(Box::new(LeaveAt(exit))), &test, 16)?;
        assert!(fixed.routes.iter().all(|route| route.depth() == exit + 1));
        for (row, loss) in fixed.losses.iter().enumerate() {
            let own = -rows.row(row)[test.samples[row].label as usize];
            assert!((own - loss).abs() < 1e-6, "exit {exit}, row {row}: {own} and {loss}");
        }
    }
    let entropy = |row: &[f64]| -> f64 { row.iter().map(|log| -log.exp() * log).sum::<f64>() / (CLASSES as f64).ln() };
    let mut depths = Vec::new();
    for speed in [0.0, 0.2, 0.4, 0.6, 0.8, 2.0] {
        let evaluation = evaluate(&model.with_speed(speed)?, &test, 16)?;
        for (row, route) in evaluation.routes.iter().enumerate() {
            let leaves = (0..LAYERS - 1).find(|exit| entropy(by_exit[*exit].row(row)) < speed);
            assert_eq!(route.depth(), leaves.unwrap_or(LAYERS - 1) + 1, "speed {speed}, row {row}");
        }
        depths.push(evaluation.routes.iter().map(Route::depth).sum::<usize>());
    }
    assert!(depths.is_sorted_by(|slow, fast| slow >= fast), "{depths:?}");
    assert!(
        depths[1..5].iter().any(|depth| (81..80 * LAYERS).contains(depth)),
        "no speed splits the texts: {depths:?}"
    );
    Ok(())
}

#[test]
fn a_budget_of_flops_finds_a_speed() -> Result<()> {
    let (model, test) = (learned()?, task(120, 4));
    let (least, most) = SpeedCurve::new(&model, &test, 16)?.range();
    assert!(most == 1.0 && least < 0.5, "all layers cost what the backbone costs: {least} to {most}");
    let budget = (least + most) / 2.0;
    let speed = calibrate(&model, &test, budget, 16)?;
    assert!(speed.flops_ratio <= budget + 0.005 && speed.flops_ratio > budget - 0.2, "{speed:?} for {budget}");
    Ok(())
}

#[test]
fn it_is_saved_and_loaded_with_its_last_exit() -> Result<()> {
    let (test, labels) = (task(40, 2), ["0", "1", "2"].map(String::from));
    for settings in kinds() {
        let model = trained(fastbert(Pooling::Pooler, settings, 1)?, 1, &task(40, 1))?.into_model().with_speed(0.9)?;
        let folder = tempfile::tempdir().expect("a folder");
        model.save(folder.path().join("fastbert"), None, &labels)?;
        let (loaded, ..) = DynamicModel::load(folder.path().join("fastbert"), &Device::Cpu)?;
        assert_eq!(predictions(&loaded, &test)?, predictions(&model, &test)?);
        assert_eq!(predictions(&loaded.with_speed(0.0)?, &test)?, predictions(&model.with_speed(0.0)?, &test)?);
    }
    Ok(())
}

#[test]
fn a_training_stopped_and_resumed_ends_with_the_same_bits() {
    for settings in kinds() {
        assert_resumes(|seed| fastbert(Pooling::Pooler, settings.clone(), seed));
    }
}

#[test]
fn invalid_backbones_and_settings_are_rejected_by_name() -> Result<()> {
    let defaults = FastBertSettings::default;
    let wrong = |settings| refused(fastbert(Pooling::Mean, settings, 1));
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(wrong(FastBertSettings { temperature, ..defaults() }), "temperature");
    }
    for exits in [vec![1, 2], vec![]] {
        assert_eq!(wrong(FastBertSettings { exits: Some(exits), ..defaults() }), "exits");
    }
    for exits in [vec![2, 2, LAYERS], vec![1, LAYERS + 1]] {
        let settings = FastBertSettings { exits: Some(exits), ..defaults() };
        assert!(matches!(fastbert(Pooling::Mean, settings, 1), Err(Error::Dynamic(Dynamic::Exit { index: 1, .. }))));
    }
    assert_eq!(wrong(FastBertSettings { speed: -0.1, ..defaults() }), "speed");
    let exit_kind = ExitKind::SideLayer { width: 0 };
    assert_eq!(wrong(FastBertSettings { exit_kind, ..defaults() }), "exit_kind.side_layer.width");

    let mut rng = rng(1);
    let shallow = TextClassifier::new(encoder(1, 1), CLASSES, Pooling::Mean, &mut rng)?;
    assert_eq!(refused(fastbert::fastbert(&shallow, &defaults(), &mut rng)), "exits");
    let numbers = TextClassifier::for_task(Task::Number, encoder(2, 1), 1, Pooling::Mean, &mut rng)?;
    assert_eq!(refused(fastbert::fastbert(&numbers, &defaults(), &mut rng)), "classifier");
    let whole = full_model(Pooling::Mean);
    let mut plan = PrunePlan::first_layers(whole.encoder(), LAYERS)?;
    plan.heads[1] = HeadSet::from_indices([0], HEADS)?;
    assert_eq!(refused(fastbert::fastbert(&whole.prune(&plan)?, &defaults(), &mut rng)), "classifier");

    let mut data = task(8, 1);
    data.labels.pop();
    let mut training = fastbert(Pooling::Mean, defaults(), 1)?;
    let fitted = Trainer::new(train_settings(1)).fit(&mut training, &data, &nothing(), &mut ());
    assert_eq!(refused(fitted.map_err(Error::from)), "labels");
    let classifier_sharing = ClassifierSharing::Shared;
    let shared = SearchSettings { classifier_sharing, last_exit_pooling: Some(Pooling::Cls), ..Default::default() };
    assert_eq!(refused(shared.check()), "last_exit_pooling");
    Ok(())
}
