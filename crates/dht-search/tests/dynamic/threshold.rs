//! Entropy threshold: its effect at both ends and between, and its calibration to a budget of FLOPs.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use dht_dynamic::evaluation::{Speed, calibrate};
use dht_dynamic::{Evaluation, Predictor, SpeedCurve, evaluate};
use dht_search::reward::RewardShape;
use dht_search::settings::{ContextDesign, Dispatch, ExitLosses, RouterKind};
use dht_search::transformer::{EncodedDataset, ForwardContext, PackedBatch, TrainSettings, Trainer};
use dht_search::{Preset, Result, SearchModel, SearchSettings};
use dht_toys::{adamw, refused};

use crate::toy::{model, nothing, task, train_settings, without_dropout};

fn settings(threshold: f64) -> SearchSettings {
    let router = RouterKind::EntropyThreshold { threshold };
    SearchSettings { router, warm_up_contexts: 64, explore_power: 1.0, explore_share: 1.0, ..SearchSettings::default() }
}

/// Model with all heads in every group, without dropout, that has begun to learn the task.
fn trained() -> Result<SearchModel> {
    let mut search = without_dropout(true, settings(0.5))?;
    let settings = TrainSettings { optimizer: adamw(1e-2), ..train_settings() };
    Trainer::new(settings).fit(&mut search, &task(400, 1), &nothing(), &mut ())?;
    Ok(search.into_model())
}

fn shared() -> &'static SearchModel {
    static MODEL: OnceLock<SearchModel> = OnceLock::new();
    MODEL.get_or_init(|| trained().expect("a training run"))
}

/// Depth at which each text leaves.
fn depths(model: &SearchModel, threshold: f64, texts: &EncodedDataset) -> Result<Vec<usize>> {
    let evaluation = evaluate(&model.with_speed(threshold)?, texts, 16)?;
    Ok(evaluation.routes.iter().map(|route| route.depth()).collect())
}

#[test]
fn threshold_0_exits_at_the_last_exit_and_above_1_at_the_first() -> Result<()> {
    let texts = task(60, 2);
    assert!(depths(shared(), 0.0, &texts)?.iter().all(|depth| *depth == 6));
    for threshold in [1.001, 2.0, 1e4] {
        assert!(depths(shared(), threshold, &texts)?.iter().all(|depth| *depth == 1), "{threshold}");
    }
    // Random routes draw every exit, whatever the threshold.
    let mut search = model(SearchSettings { warm_up_contexts: 16, ..settings(0.0) }, 1)?;
    Trainer::new(train_settings()).fit(&mut search, &task(40, 3), &task(5, 4), &mut ())?;
    for depth in ["1L", "2L", "4L", "6L"] {
        assert!(search.accounting().routes.keys().any(|route| route.starts_with(depth)), "{depth}");
    }
    Ok(())
}

#[test]
fn raising_the_threshold_never_raises_the_depth_of_a_text() -> Result<()> {
    let texts = task(200, 2);
    let model = shared().clone().into();
    let mut curve = SpeedCurve::new(&model, &texts, 16)?;
    curve.budgets(5).into_iter().try_for_each(|target| curve.calibrate(target).map(drop))?;
    let thresholds: Vec<f64> = curve.measured().iter().map(|point| point.speed).collect();
    let by_threshold = thresholds.iter().map(|threshold| depths(shared(), *threshold, &texts));
    let by_threshold = by_threshold.collect::<Result<Vec<_>>>()?;
    for pair in by_threshold.windows(2) {
        assert!(pair[0].iter().zip(&pair[1]).all(|(before, after)| after <= before));
    }
    let mean = |depths: &Vec<usize>| depths.iter().sum::<usize>() as f64 / depths.len() as f64;
    let means: Vec<f64> = by_threshold.iter().map(mean).collect();
    let between = means.iter().filter(|mean| (1.05..5.95).contains(*mean)).count();
    assert!(between >= 2, "a threshold that splits no texts tests nothing: {means:?}");
    Ok(())
}

#[test]
fn a_text_has_the_same_bits_for_every_batch_size() -> Result<()> {
    let (texts, ctx) = (task(150, 7), ForwardContext::inference());
    let model = (1..100)
        .map(|percent| shared().with_speed(f64::from(percent) / 100.0))
        .find(|model| model.as_ref().is_ok_and(|model| leave_everywhere(model, &texts)))
        .expect("a threshold at which texts leave at every exit")?;
    let alone = model.predict_all(&texts.samples, 1, &ctx)?.predictions;
    for size in [3, 8, 64, 150, usize::MAX] {
        assert_eq!(model.predict_all(&texts.samples, size, &ctx)?.predictions, alone, "batches of {size}");
    }
    for (sample, alone) in texts.samples.iter().zip(&alone) {
        assert_eq!(&model.predict_batch(&PackedBatch::from_samples([sample])?)?[0], alone);
    }
    Ok(())
}

/// Checks that some texts leave at each exit.
fn leave_everywhere(model: &SearchModel, texts: &EncodedDataset) -> bool {
    let depths = |evaluation: Evaluation| evaluation.routes.iter().map(|route| route.depth()).collect::<BTreeSet<_>>();
    evaluate(model, texts, 16).is_ok_and(|evaluation| depths(evaluation).len() == model.space().exits().len())
}

#[test]
fn a_budget_of_flops_finds_its_threshold() -> Result<()> {
    let texts = task(300, 3);
    let model = shared().clone().into();
    let mut curve = SpeedCurve::new(&model, &texts, 16)?;
    let (least, most) = curve.range();
    assert!(most - least > 0.5, "{least} to {most}");
    let mut within = 0;
    for target in curve.budgets(9) {
        let speed = curve.calibrate(target)?;
        assert!(speed.flops_ratio <= target + Speed::TOLERANCE, "{target}: {speed:?}");
        within += u32::from((speed.flops_ratio - target).abs() <= Speed::TOLERANCE);
    }
    assert!(within >= 7, "{within} of nine");
    let calibrated = calibrate(&model, &texts, (least + most) / 2.0, 16)?;
    assert_eq!(shared().with_speed(calibrated.speed)?.speed(), Some(calibrated.speed));
    Ok(())
}

#[test]
fn the_speed_is_the_threshold_and_leaves_lambda_unchanged() -> Result<()> {
    let faster = shared().with_speed(0.75)?;
    assert_eq!((faster.speed(), faster.lambda()), (Some(0.75), shared().lambda()));
    // Rewards in which the cost is learned have no λ, but the threshold can still be set.
    let settings = SearchSettings { reward_shape: RewardShape::Log, ..settings(0.5) };
    assert_eq!(model(settings, 1)?.into_model().with_speed(0.1)?.speed(), Some(0.1));
    Ok(())
}

#[test]
fn thresholds_that_make_no_sense_are_refused() -> Result<()> {
    for wrong in [f64::NAN, f64::INFINITY, -0.1] {
        assert_eq!(refused(settings(wrong).check()), "router.entropy_threshold.threshold");
        assert_eq!(refused(shared().with_speed(wrong)), "router.entropy_threshold.threshold");
    }
    let queue = SearchSettings { dispatch: Dispatch::Queue { size: 4 }, ..settings(0.5) };
    let context = ContextDesign::State;
    let (nested_feedback, reward_shape) = (false, RewardShape::Log);
    let exit_losses = ExitLosses::Chosen;
    let untrained = SearchSettings { exit_losses, nested_feedback, reward_shape, context, ..settings(0.5) };
    for wrong in [queue, untrained] {
        assert_eq!(refused(model(wrong, 1)), "router");
    }
    let integrated = Preset::FDht.space(6, 12)?;
    assert_eq!(refused(settings(0.5).check_with(&integrated)), "router");
    Ok(())
}
