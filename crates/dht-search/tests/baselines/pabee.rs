//! PABEE: all exits are trained on all texts, and texts leave where enough exits agree.

use dht_dynamic::Error as Dynamic;
use dht_dynamic::exit::ExitKind;
use dht_dynamic::{Evaluation, SpeedCurve, evaluate};
use dht_search::baselines::Baseline;
use dht_search::baselines::pabee::{PabeeSettings, pabee};
use dht_search::dynamic::route::ModelShape;
use dht_search::evaluation::evaluate_on;
use dht_search::settings::{Dispatch, RouterKind};
use dht_search::transformer::{Pooling, Trainer};
use dht_search::{Error, Result, Route, SearchModel, SearchObjective, SearchSettings};
use dht_toys::planted::{CLASSES, HEADS, LAYERS, encoder, nothing, task};
use dht_toys::{config, refused, rng, train_settings};

use crate::toy::assert_resumes;

fn training(settings: &PabeeSettings, seed: u64) -> Result<SearchObjective> {
    pabee(encoder(LAYERS, seed), CLASSES, settings, &mut rng(seed))
}

fn full_route() -> Result<Route> {
    Ok(Route::truncated(ModelShape { layers: LAYERS, heads: HEADS }, LAYERS)?)
}

/// Model that has begun to learn the task, so that its exits disagree on some texts.
fn trained() -> Result<SearchObjective> {
    let mut search = training(&PabeeSettings { patience: 1, ..PabeeSettings::default() }, 1)?;
    Trainer::new(train_settings(1)).fit(&mut search, &task(150, 1), &nothing(), &mut ())?;
    Ok(search)
}

#[test]
fn in_training_every_text_trains_every_exit_weighted_by_depth() -> Result<()> {
    let search = trained()?;
    let routes: Vec<_> = search.accounting().routes.iter().collect();
    assert_eq!(routes, [(&full_route()?.to_string(), &150)]);
    assert_eq!(Baseline::flops(&search), search.accounting().flops);

    // Without dropout the first loss is Σ j·CEⱼ / Σ j of the untrained model.
    let (rng, mut config) = (&mut rng(1), config([LAYERS, HEADS, 16, 20], 0.5));
    (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (0.0, 0.0);
    let mut search = pabee(dht_toys::encoder(&config, rng), CLASSES, &PabeeSettings::default(), rng)?;
    let data = task(8, 1);
    let by_exit = search.model().model().exit_log_probabilities(&data, 8)?;
    let mut expected = 0.0;
    for (exit, rows) in by_exit.iter().enumerate() {
        for (row, sample) in rows.rows().zip(&data.samples) {
            expected -= (exit + 1) as f64 * row[sample.label as usize] / 8.0 / (1 + 2 + 3 + 4) as f64;
        }
    }
    let history = Trainer::new(train_settings(1)).fit(&mut search, &data, &nothing(), &mut ())?;
    assert!((history.losses[0].1 - expected).abs() < 1e-5, "{} and {expected}", history.losses[0].1);
    Ok(())
}

#[test]
fn patience_of_the_depth_or_more_equals_the_full_model() -> Result<()> {
    let (model, test) = (trained()?.into_model(), task(60, 2));
    let full = evaluate_on(&model, &test, &vec![full_route()?; test.len()], 16)?;
    for speed in [0.0, 1e-6, 0.01, 1.0 / LAYERS as f64] {
        let own = evaluate(&model.with_speed(speed)?, &test, 16)?;
        assert_eq!((own.labels, own.losses, &own.routes), (full.labels.clone(), full.losses.clone(), &full.routes));
    }
    Ok(())
}

#[test]
fn a_text_exits_where_the_agreement_count_reaches_the_patience() -> Result<()> {
    let (model, test) = (trained()?.into_model(), task(120, 2));
    let by_exit = model.model().exit_log_probabilities(&test, 16)?;
    let class = |row: &[f64]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).expect("a class");
    let mut sums = Vec::new();
    for patience in 1..=LAYERS {
        let evaluation = evaluate(&model.with_speed(1.0 / patience as f64)?, &test, 16)?;
        for (row, route) in evaluation.routes.iter().enumerate() {
            let classes: Vec<usize> = by_exit.iter().map(|rows| class(rows.row(row))).collect();
            // The first exit that agrees with each of the `patience` exits before it.
            let agrees = |exit: &usize| classes[exit - patience..=*exit].iter().all(|own| *own == classes[*exit]);
            let exit = (patience..LAYERS - 1).find(agrees).unwrap_or(LAYERS - 1);
            assert_eq!(route.depth(), exit + 1, "patience {patience}: {classes:?}");
            assert_eq!(evaluation.labels[row] as usize, classes[exit]);
        }
        sums.push(evaluation.routes.iter().map(Route::depth).sum::<usize>());
    }
    assert!(sums.is_sorted() && sums[0] > 2 * 120 && sums[0] < sums[1] && sums[3] == LAYERS * 120, "{sums:?}");
    Ok(())
}

#[test]
fn a_speed_is_the_reciprocal_patience_and_budgets_are_met() -> Result<()> {
    let (model, test) = (trained()?.into_model(), task(60, 2));
    assert_eq!(model.speed(), Some(1.0));
    let at = |speed: f64| -> Result<(Option<f64>, RouterKind)> {
        let model: SearchModel = model.with_speed(speed)?;
        Ok((model.speed(), model.settings().router))
    };
    assert_eq!(at(0.0)?, (Some(0.0), RouterKind::Patience { patience: u32::MAX }));
    assert_eq!(at(0.3)?, (Some(1.0 / 3.0), RouterKind::Patience { patience: 3 }));
    assert_eq!(at(1e4)?, (Some(1.0), RouterKind::Patience { patience: 1 }));
    for wrong in [-1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(refused(model.with_speed(wrong)), "speed");
    }
    let model = model.into();
    let mut curve = SpeedCurve::new(&model, &test, 16)?;
    let (least, most) = curve.range();
    assert!(least < most, "{least} and {most}");
    for budget in [least, (least + most) / 2.0, most] {
        let speed = curve.calibrate(budget)?;
        assert!(speed.flops_ratio <= budget + 0.005, "{speed:?} for {budget}");
    }
    Ok(())
}

#[test]
fn a_training_stopped_and_resumed_ends_with_the_same_bits() -> Result<()> {
    let side = PabeeSettings {
        exit_kind: ExitKind::SideLayer { width: 5 },
        exits: Some(vec![2, LAYERS]),
        ..Default::default()
    };
    for settings in [PabeeSettings::default(), side] {
        assert_resumes(|seed| training(&settings, seed));
    }
    Ok(())
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() -> Result<()> {
    let defaults = PabeeSettings::default;
    let wrong = |settings: PabeeSettings| refused(training(&settings, 1));
    assert_eq!(wrong(PabeeSettings { patience: 0, ..defaults() }), "router.patience.patience");
    assert_eq!(
        wrong(PabeeSettings { exit_kind: ExitKind::SideLayer { width: 0 }, ..defaults() }),
        "exit_kind.side_layer.width"
    );
    let pooler = PabeeSettings { exit_kind: ExitKind::SideLayer { width: 4 }, pooling: Pooling::Pooler, ..defaults() };
    assert_eq!(wrong(pooler), "pooling");
    assert_eq!(wrong(PabeeSettings { exits: Some(vec![LAYERS]), ..defaults() }), "router");
    let backwards = PabeeSettings { exits: Some(vec![3, 1, LAYERS]), ..defaults() };
    assert!(matches!(training(&backwards, 1), Err(Error::Dynamic(Dynamic::Exit { index: 1, .. }))));
    let queue = SearchSettings { dispatch: Dispatch::Queue { size: 4 }, ..defaults().search() };
    let model = training(&defaults(), 1)?;
    assert_eq!(refused(queue.check_with(model.model().space())), "router");
    Ok(())
}

#[test]
fn as_a_model_of_early_exits_it_predicts_the_same() -> Result<()> {
    let (model, test) = (Baseline::into_model(trained()?), task(60, 3));
    for patience in [1.0, 2.0, 3.0] {
        let model = model.with_speed(1.0 / patience)?;
        let (own, exits) = (evaluate(&model, &test, 16)?, evaluate(&model.to_dynamic()?, &test, 16)?);
        assert_eq!((&own.labels, &own.losses, &own.row_flops), (&exits.labels, &exits.losses, &exits.row_flops));
        let depths = |evaluation: &Evaluation| evaluation.routes.iter().map(Route::depth).collect::<Vec<_>>();
        assert_eq!(depths(&own), depths(&exits), "patience {patience}");
    }
    Ok(())
}
