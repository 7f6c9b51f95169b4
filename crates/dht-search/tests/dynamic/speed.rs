//! Speed of a trained model: its cost by speed, and calibration to a budget.

use std::sync::OnceLock;

use dht_dynamic::{
    DynamicModel, SpeedCurve, evaluate,
    evaluation::{Speed, calibrate},
};
use dht_search::transformer::EncodedDataset;
use dht_search::{Result, SearchModel, SearchSettings};
use dht_toys::{refused, whole_batch};

use crate::toy::{self, model, nothing, task, weights_and_state_of, without_dropout};

/// Model that has learned the task, with all heads in every group or with T-DHT's options.
pub fn trained(all_heads: bool) -> Result<SearchModel> {
    // A short training on random routes: depth still pays for some texts, so that the speed has a range.
    let defaults = SearchSettings::default();
    let settings = SearchSettings { warm_up_contexts: 64, explore_power: 1.0, explore_share: 1.0, ..defaults };
    Ok(toy::trained(without_dropout(all_heads, settings)?, &task(400, 1))?.into_model())
}

/// One model for all tests of this file that only read it.
fn shared() -> &'static SearchModel {
    static MODEL: OnceLock<SearchModel> = OnceLock::new();
    MODEL.get_or_init(|| trained(false).expect("a training run"))
}

/// Shared model in the form that a curve requires.
fn routed() -> DynamicModel {
    shared().clone().into()
}

fn ratio(model: &SearchModel, texts: &EncodedDataset, lambda: f64) -> Result<f64> {
    let evaluation = evaluate(&model.with_speed(lambda)?, texts, 16)?;
    Ok((evaluation.flops + evaluation.routing_flops) as f64 / model.full_inference_flops(texts) as f64)
}

#[test]
fn if_only_depth_is_routed_a_higher_lambda_never_costs_more() -> Result<()> {
    let (model, texts) = (trained(true)?, task(200, 2));
    let ratios = [0.0, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 1e4].map(|lambda| ratio(&model, &texts, lambda));
    let ratios = ratios.into_iter().collect::<Result<Vec<_>>>()?;
    assert!(ratios.windows(2).all(|pair| pair[1] <= pair[0]), "{ratios:?}");
    assert!(ratios[0] > ratios[9] + 0.2, "a speed that does nothing tests nothing: {ratios:?}");
    Ok(())
}

#[test]
fn with_heads_to_choose_a_dearer_model_costs_hardly_more() -> Result<()> {
    // Head counts change the states that later head counts are chosen from.
    let texts = task(200, 2);
    let ratios = [0.0, 0.01, 0.1, 1.0, 1e4].map(|lambda| ratio(shared(), &texts, lambda));
    let ratios = ratios.into_iter().collect::<Result<Vec<_>>>()?;
    assert!(ratios.windows(2).all(|pair| pair[1] <= pair[0] + 0.01), "{ratios:?}");
    Ok(())
}

#[test]
fn a_calibrated_model_costs_its_budget() -> Result<()> {
    let texts = task(300, 3);
    let model = routed();
    let mut curve = SpeedCurve::new(&model, &texts, 16)?;
    let (least, most) = curve.range();
    let mut within = 0;
    assert!(most - least > 0.2, "{least} to {most}");
    let budgets = curve.budgets(9);
    assert_eq!((budgets.len(), budgets[0], budgets[8]), (9, least, most));
    for target in budgets {
        let calibrated = curve.calibrate(target)?;
        assert_eq!(ratio(shared(), &texts, calibrated.speed)?, calibrated.flops_ratio);
        within += u32::from((calibrated.flops_ratio - target).abs() <= Speed::TOLERANCE);
        // Where it is not within the tolerance it is below, and the next lower speed is above.
        assert!(calibrated.flops_ratio <= target + Speed::TOLERANCE, "{target}: {calibrated:?}");
        if calibrated.flops_ratio < target - Speed::TOLERANCE {
            assert!(ratio(shared(), &texts, calibrated.speed / 1.002)? > target, "{target}: {calibrated:?}");
        }
    }
    assert!(within >= 7, "{within} of nine");
    let passes = curve.measured().len();
    assert!(passes <= 2 + 9 * 5, "{passes} passes for nine budgets");
    let (target, fresh) =
        ((least + most) / 2.0, SpeedCurve::new(&routed(), &texts, 16)?.calibrate((least + most) / 2.0)?);
    assert_eq!(calibrate(&routed(), &texts, target, 16)?, fresh);
    Ok(())
}

#[test]
fn a_budget_between_two_jumps_is_kept() -> Result<()> {
    // With one text the ratio has one value for each of its routes.
    let texts = task(1, 4);
    let model = routed();
    let mut curve = SpeedCurve::new(&model, &texts, 1)?;
    let (least, most) = curve.range();
    for target in [0.3 * least + 0.7 * most, 0.7 * least + 0.3 * most] {
        let speed = curve.calibrate(target)?;
        assert!(speed.flops_ratio <= target + Speed::TOLERANCE, "{target}: {speed:?}");
    }
    Ok(())
}

#[test]
fn budgets_out_of_reach_are_refused_with_what_is_in_reach() -> Result<()> {
    let texts = task(50, 5);
    let before = weights_and_state_of(shared())?;
    let (least, most) = SpeedCurve::new(&routed(), &texts, 16)?.range();
    for wrong in [0.0, least - 0.01, most + 0.01, 2.0, -1.0, f64::NAN, f64::INFINITY] {
        match calibrate(&routed(), &texts, wrong, 16) {
            Err(dht_dynamic::Error::Budget { target, least: low, most: high }) => {
                assert_eq!((target.to_bits(), low, high), (wrong.to_bits(), least, most));
            }
            other => panic!("{wrong}: {other:?}"),
        }
    }
    assert!(weights_and_state_of(shared())? == before);
    Ok(())
}

#[test]
fn what_has_no_speed_or_no_texts_is_refused_and_nothing_changes() -> Result<()> {
    let texts = task(20, 6);
    let before = (weights_and_state_of(shared())?, shared().lambda());
    assert_eq!(refused(calibrate(&routed(), &nothing(), 0.5, 8)), "texts");
    for wrong in [f64::NAN, f64::INFINITY, -0.1] {
        assert_eq!(refused(shared().with_speed(wrong)), "reward_shape.lambda");
    }
    let paper = model(SearchSettings::paper(), 1)?.into_model();
    assert_eq!(refused(paper.with_speed(0.5)), "reward_shape");
    assert_eq!(refused(calibrate(&paper.clone().into(), &texts, 0.5, 8)), "reward_shape");
    assert!(matches!(calibrate(&routed(), &texts, 0.5, 0), Err(dht_dynamic::Error::Transformer(_))));
    assert!(before == (weights_and_state_of(shared())?, shared().lambda()));
    Ok(())
}

#[test]
fn another_speed_is_the_same_model_with_another_lambda() -> Result<()> {
    let faster = shared().with_speed(5.0)?;
    assert_eq!((faster.lambda(), shared().lambda()), (Some(5.0), Some(0.25)));
    let (mine, theirs) = (weights_and_state_of(shared())?, weights_and_state_of(&faster)?);
    assert!(mine.0 == theirs.0, "weights");
    assert_eq!((&mine.1["router"], &mine.1["heads"]), (&theirs.1["router"], &theirs.1["heads"]));
    let texts = task(30, 7);
    let batch = whole_batch(&texts);
    assert_eq!(faster.with_speed(0.25)?.predict_batch(&batch)?, shared().predict_batch(&batch)?);
    Ok(())
}
