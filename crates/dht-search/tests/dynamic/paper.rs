//! The paper's settings end to end: sizes of contexts, learning from the first batch on, Algorithm 3 in training and at
//! inference, and the two phases of P-DHT.

use std::collections::BTreeMap;

use dht_search::{
    Preset, Result, SearchObjective, SearchSettings, SearchSpace, SpaceConfig,
    dynamic::route::BaseState,
    evaluation::evaluate_on,
    evaluation::evaluate_queued,
    settings::{Dispatch, HeadDraws},
    space::SevenLayerHeads,
};
use dht_search::{
    transformer::flops::Load,
    transformer::{EncodedDataset, Objective, Progress, Trainer},
};
use dht_toys::{refused, rng};
use serde_json::Value;

use crate::toy::{HEADS, LAYERS, encoder, evaluate, model_of, nothing, task, train_settings};

const ROWS: u64 = 37;
const SIZE: usize = 5;
const BATCH: usize = 8;

/// The paper's settings with small queues. A random route would nearly always be the deepest.
fn paper() -> SearchSettings {
    SearchSettings { dispatch: Dispatch::Queue { size: SIZE }, explore_power: 16.0, ..SearchSettings::paper() }
}

fn objective(preset: Preset, settings: SearchSettings) -> Result<SearchObjective> {
    model_of(preset, settings, 1)
}

fn start() -> Progress {
    Progress { seed: 5, step: 0, epoch: 0, share: 0.0 }
}

/// One epoch of a training run that does not change the weights.
fn run_epoch(model: &mut SearchObjective, data: &EncodedDataset, progress: &mut Progress) -> Result<()> {
    for rows in (0..data.len()).collect::<Vec<_>>().chunks(BATCH) {
        model.offer(data.batch(rows)?, *progress)?;
        while model.next_loss(*progress, false)?.is_some() {
            progress.step += 1;
        }
    }
    while model.next_loss(*progress, true)?.is_some() {
        progress.step += 1;
    }
    progress.epoch += 1;
    Ok(())
}

/// Number of updates for each arm of the depth or joint bandit.
fn updates(state: &Value) -> Vec<u64> {
    let arms = state["router"]["bandit"]["linear"]["policy"]["learned"].as_array().expect("the bandit's arms");
    arms.iter().map(|arm| arm["updates"].as_u64().expect("a count")).collect()
}

/// Share of the samples on routes through all layers.
fn deepest(model: &SearchObjective, routes: &BTreeMap<String, u64>) -> Result<f64> {
    let mut deep = 0;
    for (route, count) in routes {
        if model.model().space().resolve(&route.parse()?)?.depth() == LAYERS {
            deep += count;
        }
    }
    Ok(deep as f64 / routes.values().sum::<u64>() as f64)
}

/// Difference between two sets of counts.
fn since(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let added = |(route, count): (&String, &u64)| (route.clone(), count - before.get(route).unwrap_or(&0));
    after.iter().map(added).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn presets_have_printed_contexts_and_learn_from_every_sample() -> Result<()> {
    for preset in Preset::ALL {
        let mut model = objective(preset, paper())?;
        Trainer::new(train_settings()).fit(&mut model, &task(ROWS, 1), &nothing(), &mut ())?;
        let state = model.state()?;
        let dimension = |path: &str| state.pointer(path).and_then(Value::as_u64);
        assert_eq!(dimension("/router/bandit/linear/policy/dimension"), Some(168), "{preset}");
        let counts = dimension("/heads/counts/linear/policy/dimension");
        assert_eq!(counts, if preset == Preset::TDht { Some(87) } else { None }, "{preset}");
        assert_eq!(dimension("/heads/sets/heads/dimension"), Some(13), "{preset}");
        // Two epochs. The statistics of the scaling hold every sample, and they still move.
        assert_eq!(updates(&state).iter().sum::<u64>(), 2 * ROWS, "{preset}");
        let norm = &state["router"]["bandit"]["linear"]["norm"];
        assert_eq!((norm["weight"].as_f64(), norm["frozen"].as_bool()), (Some(2.0 * ROWS as f64), Some(false)));
        let share = deepest(&model, &model.accounting().routes)?;
        assert!(share < 0.8, "{preset}: {share} of the routes are the deepest, as if they were random");
        // A model that has seen a batch chooses at inference too.
        let evaluation = evaluate(model.model(), &task(20, 2), BATCH)?;
        assert!(evaluation.routes.iter().any(|route| route.depth() < LAYERS), "{preset}");
    }
    Ok(())
}

#[test]
fn the_features_of_the_arms_come_from_all_training_texts() -> Result<()> {
    let data = task(600, 1);
    let cost = |texts| -> Result<u64> {
        let mut model = objective(Preset::TDht, SearchSettings { arm_feature_texts: texts, ..paper() })?;
        model.prepare(&data, start())?;
        Ok(model.accounting().arm_feature_flops)
    };
    let (all, by_number, fewer) = (cost(None)?, cost(Some(600))?, cost(Some(512))?);
    assert_eq!(all, by_number);
    assert!(all > fewer, "{all} and {fewer}");
    Ok(())
}

#[test]
fn the_first_batch_is_chosen_for_and_learned_from() -> Result<()> {
    let data = task(32, 1);
    for preset in [Preset::TDht, Preset::FDht] {
        let routes = |change: fn(&mut SearchSettings)| -> Result<BTreeMap<String, u64>> {
            let mut settings = SearchSettings { dispatch: Dispatch::InFlight, ..paper() };
            change(&mut settings);
            let mut model = objective(preset, settings)?;
            model.prepare(&data, start())?;
            model.offer(data.batch(&(0..32).collect::<Vec<_>>())?, start())?;
            assert!(model.next_loss(start(), false)?.is_some());
            assert_eq!(updates(&model.state()?).iter().sum::<u64>(), 32);
            Ok(model.accounting().routes.clone())
        };
        // No route is random, so that the probabilities of random routes change nothing.
        let (chosen, again) = (routes(|_| ())?, routes(|settings| settings.explore_power = 0.0)?);
        assert_eq!(chosen, again, "{preset}");
        let random = routes(|settings| settings.explore_share = 1.0)?;
        let other = routes(|settings| (settings.explore_share, settings.explore_power) = (1.0, 0.0))?;
        assert_ne!(random, other, "{preset}: random routes depend on them");
    }
    Ok(())
}

/// Rows in each queue, in their order.
fn queued(model: &SearchObjective) -> Result<Vec<Vec<u64>>> {
    let state = model.state()?;
    let queues = state["queues"]["queues"].as_array().expect("queues").clone();
    let row = |sample: &Value| sample["row"].as_u64().expect("a row");
    Ok(queues.iter().map(|queue| queue.as_array().expect("a queue").iter().map(row).collect()).collect())
}

#[test]
fn a_full_queue_is_one_batch_and_the_rest_drains_at_epoch_end() -> Result<()> {
    let (mut model, data) = (objective(Preset::TDht, paper())?, task(ROWS, 1));
    let (mut progress, mut by_hand) = (start(), vec![Vec::<u64>::new(); 4]);
    model.prepare(&data, progress)?;
    let block = model.model().encoder().block_shape();
    let mut steps = 0;
    for rows in (0..data.len()).collect::<Vec<_>>().chunks(BATCH) {
        let before = model.accounting().flops;
        model.offer(data.batch(rows)?, progress)?;
        // To reach S1 each sample runs the base layers, here one, without gradient.
        let base = |row: &usize| block.forward(Load::of_text(data.samples[*row].encoding.ids.len()), block.full());
        let expected: u64 = rows.iter().map(|row| base(row).total().0).sum();
        assert_eq!(model.accounting().flops - before, expected);
        // Each sample joins the queue of its depth, in the order of arrival.
        let by_queue = queued(&model)?;
        for row in rows.iter().map(|row| *row as u64) {
            let exits: Vec<usize> = (0..4).filter(|exit| by_queue[*exit].contains(&row)).collect();
            assert_eq!(exits.len(), 1, "row {row} waits in one queue");
            by_hand[exits[0]].push(row);
        }
        assert_eq!(by_queue, by_hand);
        // While a queue is full, its first five samples leave as one batch; the others wait.
        while let Some(exit) = by_hand.iter().position(|queue| queue.len() >= SIZE) {
            let (trained, before) = (model.accounting().clone(), model.accounting().flops);
            assert_eq!(model.next_loss(progress, false)?.map(|step| step.samples), Some(SIZE));
            let left: Vec<u64> = by_hand[exit].drain(..SIZE).collect();
            assert_eq!(queued(&model)?, by_hand);
            let routes = since(&trained.routes, &model.accounting().routes);
            assert_eq!(routes.values().sum::<u64>(), SIZE as u64);
            for route in routes.keys() {
                assert_eq!(model.model().space().resolve(&route.parse()?)?.depth(), [1, 2, 4, 6][exit], "{route}");
            }
            // The base layers run again, with a backward: more than twice their forward.
            let again: u64 = left.iter().map(|row| base(&(*row as usize)).total().0).sum();
            assert!(model.accounting().flops - before > 2 * again);
            (progress.step, steps) = (progress.step + 1, steps + 1);
        }
        assert!(model.next_loss(progress, false)?.is_none(), "no queue is full");
    }
    assert!(steps > 2, "queues were full {steps} times");
    // At the end of the epoch the remaining samples leave too, the shallowest queue first.
    let waiting: Vec<usize> = by_hand.iter().map(Vec::len).filter(|count| *count > 0).collect();
    assert!(!waiting.is_empty(), "nothing is left to be drained");
    for count in waiting {
        assert_eq!(model.next_loss(progress, true)?.map(|step| step.samples), Some(count));
        progress.step += 1;
    }
    assert!(model.next_loss(progress, true)?.is_none());
    assert_eq!(model.accounting().samples, ROWS);
    Ok(())
}

#[test]
fn p_dht_learns_two_epochs_as_f_dht_and_two_with_frozen_layers() -> Result<()> {
    let mut rng = rng(2);
    let frozen = Preset::PDht.space(LAYERS, HEADS)?;
    let mut model = objective(Preset::FDht, paper())?.with_next_phase(frozen.clone(), 2, &mut rng)?;
    let (data, mut progress) = (task(200, 1), start());
    model.prepare(&data, progress)?;
    run_epoch(&mut model, &data, &mut progress)?;
    run_epoch(&mut model, &data, &mut progress)?;
    // The first phase: F-DHT's arms, each learned from once for each sample on its route.
    let first = model.accounting().routes.clone();
    let arms = Preset::FDht.space(LAYERS, HEADS)?;
    let counts: Vec<u64> =
        arms.integrated_arms().iter().map(|arm| first.get(&arm.to_string()).copied().unwrap_or(0)).collect();
    assert_eq!((counts.iter().sum::<u64>(), updates(&model.state()?)), (400, counts.clone()));
    assert!(counts.iter().filter(|count| **count > 0).count() > 1, "{first:?}");
    assert!(deepest(&model, &first)? < 0.8, "{first:?}");

    // The second phase: only arms that end in the frozen layers.
    run_epoch(&mut model, &data, &mut progress)?;
    assert_eq!(model.model().space(), &frozen);
    let learned = updates(&model.state()?);
    run_epoch(&mut model, &data, &mut progress)?;
    let second = since(&first, &model.accounting().routes);
    assert_eq!(second.values().sum::<u64>(), 400);
    let names: Vec<String> = frozen.integrated_arms().iter().map(ToString::to_string).collect();
    assert!(second.keys().all(|route| names.contains(route) && route.ends_with("+2L12H")), "{second:?}");
    assert!(second.len() > 1, "{second:?}");
    assert!(deepest(&model, &second)? < 0.8, "{second:?}");
    let more = updates(&model.state()?);
    assert_eq!(more.len(), names.len());
    assert_eq!(more.iter().sum::<u64>() - learned.iter().sum::<u64>(), 200, "every sample of the last epoch");
    Ok(())
}

#[test]
fn all_depths_share_one_pooler_and_one_classifier() -> Result<()> {
    for preset in Preset::ALL {
        let model = objective(preset, paper())?.into_model();
        let own = encoder(LAYERS, 1);
        let names = model.encoder().parameters().iter().map(|(_, name, _)| name.to_owned());
        let added: Vec<String> = names.filter(|name| own.parameters().id(name).is_err()).collect();
        let expected = ["pooler.weight", "pooler.bias", "weight", "bias"].map(|part| format!("classifier.{part}"));
        assert_eq!(added, expected, "{preset}");
    }
    Ok(())
}

/// P-DHT whose second phase takes its contexts from the embeddings.
fn embedding_space() -> Result<SearchSpace> {
    let config = Preset::PDht.config(LAYERS, HEADS, SevenLayerHeads::Standard)?;
    SearchSpace::new(SpaceConfig { base_state: BaseState::Embedding, ..config })
}

#[test]
fn the_second_phase_of_p_dht_runs_on_the_embedding_state() -> Result<()> {
    let mut flops = Vec::new();
    for space in [embedding_space()?, Preset::PDht.space(LAYERS, HEADS)?] {
        let mut rng = rng(2);
        let embedding = space.config().base_state == BaseState::Embedding;
        let mut model = objective(Preset::FDht, paper())?.with_next_phase(space.clone(), 1, &mut rng)?;
        let (data, mut progress) = (task(100, 1), start());
        model.prepare(&data, progress)?;
        run_epoch(&mut model, &data, &mut progress)?;
        run_epoch(&mut model, &data, &mut progress)?;
        assert_eq!(model.model().space(), &space);
        // Contexts of another meaning: nothing of the first phase's joint bandit stays. Otherwise arms start from old
        // ones.
        let learned: u64 = updates(&model.state()?).iter().sum();
        assert_eq!(learned == 100, embedding, "{learned}");
        let trained = model.into_model();
        let evaluation = evaluate(&trained, &task(33, 4), BATCH)?;
        let block = trained.encoder().block_shape();
        let routes: u64 = evaluation.route_counts().values().sum();
        assert_eq!(routes, 33);
        // The pre-pass through the one base layer is saved.
        let base: u64 = task(33, 4)
            .lengths()
            .iter()
            .map(|tokens| block.forward(Load::of_text(*tokens), block.full()).total().0)
            .sum();
        let on_routes = evaluate_on(&trained, &task(33, 4), &evaluation.routes, BATCH)?;
        flops.push((evaluation.flops - on_routes.flops, base));
    }
    let ((embedding, _), (pre_pass, base)) = (flops[0], flops[1]);
    assert_eq!((embedding, pre_pass), (0, base));
    Ok(())
}

#[test]
fn inference_queues_keep_predictions_and_rerun_the_base_layers() -> Result<()> {
    let test = task(33, 4);
    for preset in Preset::ALL {
        let mut model = objective(preset, paper())?;
        let (data, mut progress) = (task(100, 1), start());
        model.prepare(&data, progress)?;
        run_epoch(&mut model, &data, &mut progress)?;
        let model = model.into_model();
        let in_flight = evaluate(&model, &test, BATCH)?;
        assert!(in_flight.route_counts().len() > 1, "{preset}: {:?}", in_flight.route_counts());
        for batch_size in [1, BATCH, 100] {
            let queued = evaluate_queued(&model, &test, batch_size)?;
            assert_eq!((&queued.labels, &queued.routes), (&in_flight.labels, &in_flight.routes), "{preset}");
            let differs = queued.losses.iter().zip(&in_flight.losses).find(|(a, b)| (*a - *b).abs() > 1e-5);
            assert_eq!(differs, None, "{preset}");
            assert_eq!(queued.routing_flops, in_flight.routing_flops);
            // P-DHT's base layers are a pre-pass in flight too.
            let block = model.encoder().block_shape();
            let base = |tokens| block.forward(Load::of_text(tokens), block.full()).total().0;
            let again: u64 = if preset == Preset::PDht { 0 } else { test.lengths().into_iter().map(base).sum() };
            assert_eq!(queued.flops, in_flight.flops + again, "{preset}");
        }
    }
    Ok(())
}

#[test]
fn an_evaluation_with_queues_needs_them_in_the_settings() -> Result<()> {
    let in_flight = objective(Preset::TDht, SearchSettings { dispatch: Dispatch::InFlight, ..paper() })?.into_model();
    assert_eq!(refused(evaluate_queued(&in_flight, &task(9, 4), 4)), "dispatch");
    let model = objective(Preset::TDht, SearchSettings { head_draws: HeadDraws::PerGroup, ..paper() })?.into_model();
    assert!(evaluate_queued(&model, &task(9, 4), 0).is_err());
    assert_eq!(evaluate_queued(&model, &task(9, 4), 4)?.labels.len(), 9);
    Ok(())
}
