//! Controls: fixed, random and oracle routes, and the regret.

use std::collections::BTreeMap;

use dht_dynamic::Error as Dynamic;
use dht_dynamic::{Evaluation, evaluate};
use dht_search::evaluation::evaluate_on;
use dht_search::transformer::EncodedDataset;
use dht_search::{
    Error, Regret, Result, Route, SearchModel, SearchSettings, evaluation::FixedArms, reward::RewardShape,
};
use dht_toys::rng;

use crate::toy::{model, task};

fn names(routes: &[Route]) -> Vec<String> {
    routes.iter().map(ToString::to_string).collect()
}

fn dear(lambda: f64) -> Result<SearchModel> {
    Ok(model(SearchSettings { reward_shape: RewardShape::Gain { lambda }, ..SearchSettings::default() }, 4)?
        .into_model())
}

fn on_random_routes(model: &SearchModel, texts: &EncodedDataset, batch: usize, seed: u64) -> Result<Evaluation> {
    let mut rng = rng(seed);
    let routes: Vec<Route> = texts.samples.iter().map(|_| model.space().random_route(&mut rng)).collect();
    evaluate_on(model, texts, &routes, batch)
}

#[test]
fn the_fixed_arms_of_a_tree_are_its_exits_with_all_heads() -> Result<()> {
    let (model, texts) = (dear(0.2)?, task(30, 1));
    let fixed = FixedArms::new(&model, &texts, 8)?;
    let arms: Vec<String> = fixed.arms().iter().map(|(route, _)| route.to_string()).collect();
    assert_eq!(arms, ["1L12H", "2L12H", "4L12H", "6L12H"]);
    for (route, evaluation) in fixed.arms() {
        assert_eq!(evaluation.route_counts(), BTreeMap::from([(route.to_string(), 30)]));
        let again = evaluate_on(&model, &texts, &vec![route.clone(); 30], 8)?;
        assert_eq!((again.losses, again.labels), (evaluation.losses.clone(), evaluation.labels.clone()));
    }
    Ok(())
}

#[test]
fn the_losses_of_an_evaluation_are_those_of_its_predictions() -> Result<()> {
    let (model, texts) = (dear(0.2)?, task(12, 1));
    let evaluation = evaluate(&model, &texts, 12)?;
    let rows: Vec<usize> = dht_search::transformer::PackedBatch::longest_first(&texts.lengths(), 12)?.remove(0);
    for (row, prediction) in rows.iter().zip(model.predict_batch(&texts.batch(&rows)?)?) {
        let probability = prediction.probabilities[texts.samples[*row].label as usize];
        assert_eq!(evaluation.losses[*row], -f64::from(probability).ln());
    }
    Ok(())
}

#[test]
fn no_route_of_a_text_is_better_than_the_oracles() -> Result<()> {
    let (model, texts) = (dear(0.2)?, task(60, 2));
    let fixed = FixedArms::new(&model, &texts, 16)?;
    let full = model.full_inference_flops(&texts) as f64 / 60.0;
    let mut depths = Vec::new();
    for lambda in [0.0, 0.02, 1e4] {
        let routes = fixed.oracle_routes(lambda)?;
        assert_eq!(names(&routes), names(&FixedArms::new(&model, &texts, 16)?.oracle_routes(lambda)?));
        let oracle = evaluate_on(&model, &texts, &fixed.oracle_routes(lambda)?, 16)?;
        assert_eq!(names(&oracle.routes), names(&routes));
        // Its own evaluation mixes depths in a batch, which changes no text's loss beyond rounding.
        for (row, route) in routes.iter().enumerate() {
            let of_arm = |arm: &(Route, Evaluation)| arm.0 == *route;
            let arm = fixed.arms().iter().find(|arm| of_arm(arm)).expect("an arm");
            assert!((oracle.losses[row] - arm.1.losses[row]).abs() < 1e-5);
            if lambda == 0.0 {
                assert!(fixed.arms().iter().all(|(_, other)| arm.1.losses[row] <= other.losses[row]));
            }
        }
        depths.push(routes.iter().map(Route::depth).sum::<usize>());
        assert!(oracle.flops as f64 / 60.0 <= full);
    }
    assert!(depths[0] > depths[1] && depths[1] >= depths[2] && depths[2] == 60, "{depths:?}");
    for wrong in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(matches!(fixed.oracle_routes(wrong), Err(Error::Dynamic(Dynamic::Argument { name: "lambda", .. }))));
    }
    Ok(())
}

#[test]
fn regret_is_the_mean_price_less_that_of_the_best_fixed_arm() -> Result<()> {
    let (lambda, rows) = (0.03, 50);
    let (model, texts) = (dear(lambda)?, task(rows, 3));
    let fixed = FixedArms::new(&model, &texts, 16)?;
    let full = model.full_inference_flops(&task(rows, 3));
    assert!(full > 0);
    let price = |evaluation: &Evaluation| -> f64 {
        // Every text alone: its FLOPs over those of the full model on it.
        let of_row = |row: usize| {
            let mut alone = texts.clone();
            alone.samples = vec![texts.samples[row].clone()];
            let flops = evaluate_on(&model, &alone, &evaluation.routes[row..=row], 1).expect("a route").flops;
            let share = flops as f64 / model.full_inference_flops(&alone) as f64;
            evaluation.losses[row] + lambda * share
        };
        (0..rows as usize).map(of_row).sum::<f64>() / rows as f64
    };
    let expected: BTreeMap<String, f64> =
        fixed.arms().iter().map(|(route, evaluation)| (route.to_string(), price(evaluation))).collect();
    let least = expected.values().copied().fold(f64::INFINITY, f64::min);
    let random = on_random_routes(&model, &texts, 16, 1)?;
    let regret = Regret::new(&model, &texts, &random, &fixed)?;
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(regret.fixed.iter().all(|(route, mean)| close(*mean, expected[route])), "{regret:?}, {expected:?}");
    assert!(close(regret.chosen, price(&random)) && close(regret.regret, regret.chosen - least), "{regret:?}");
    assert!(close(expected[&regret.best_arm], least) && regret.oracle < least, "{regret:?}");
    let of_best = fixed.arms().iter().find(|(route, _)| route.to_string() == regret.best_arm).expect("an arm");
    assert!(close(Regret::new(&model, &texts, &of_best.1, &fixed)?.regret, 0.0));
    let oracle = evaluate_on(&model, &texts, &fixed.oracle_routes(lambda)?, 16)?;
    assert!((Regret::new(&model, &texts, &oracle, &fixed)?.chosen - regret.oracle).abs() < 1e-5);
    let fewer = task(rows - 1, 3);
    assert!(matches!(
        Regret::new(&model, &fewer, &random, &fixed),
        Err(Error::Dynamic(Dynamic::Shape { what: "evaluation", .. }))
    ));
    Ok(())
}

#[test]
fn random_routes_draw_exits_and_head_counts_uniformly() -> Result<()> {
    let (model, texts) = (dear(0.2)?, task(4_000, 5));
    let random = on_random_routes(&model, &texts, 256, 2)?;
    // Four standard errors of a quarter in 4,000 draws are .027; of a third in about 3,000, .034.
    for exit in [1, 2, 4, 6] {
        let share = random.routes.iter().filter(|route| route.depth() == exit).count() as f64 / 4_000.0;
        assert!((share - 0.25).abs() < 0.027, "exit {exit}: {share}");
    }
    let first: Vec<usize> =
        random.routes.iter().filter_map(|route| route.dynamic_groups().next()).map(|g| g.heads).collect();
    for heads in [8, 10, 12] {
        let share = first.iter().filter(|kept| **kept == heads).count() as f64 / first.len() as f64;
        assert!((share - 1.0 / 3.0).abs() < 0.034, "{heads} heads: {share}");
    }
    Ok(())
}
