//! Steps and epochs of a training run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use dht_search::{Preset, Result, SearchModel, SearchObjective, SearchSettings, settings::Dispatch};
use dht_search::{
    transformer::tensors::Gradient,
    transformer::{Objective, Progress, TrainSettings, Trainer},
};
use dht_toys::rng;

use crate::toy::{
    CLASSES, HEADS, Observed, Stop, accounting_without_seconds, bits, encoder, evaluate, kinds, model, nothing, task,
    train_settings, without_seconds,
};

const ROWS: u64 = 37;

/// Values of a gradient, copied to the CPU.
fn values(gradient: &Gradient) -> &[f32] {
    match gradient {
        Gradient::Dense(values) | Gradient::Rows { values, .. } => values,
        Gradient::Device(_) => panic!("a gradient that is not on the CPU"),
    }
}

#[test]
fn every_parameter_soon_gets_a_finite_nonzero_gradient() -> Result<()> {
    for (name, settings) in kinds() {
        let mut model = model(settings, 1)?;
        let data = task(64, 1);
        let mut moved = vec![false; model.parameters().len()];
        let mut progress = Progress { seed: 5, step: 0, epoch: 0, share: 0.0 };
        model.prepare(&data, progress)?;
        for rows in (0..64).collect::<Vec<usize>>().chunks(16) {
            model.offer(data.batch(rows)?, progress)?;
            while let Some(step) = model.next_loss(progress, true)? {
                let gradients = step.ctx.backward(&step.loss, model.parameters())?;
                for (id, gradient) in gradients.iter() {
                    let values = values(gradient);
                    assert!(values.iter().all(|value| value.is_finite()), "{name}: {}", model.parameters().name(id));
                    moved[id.index()] |= values.iter().any(|value| *value != 0.0);
                }
                progress.step += 1;
            }
        }
        let still: Vec<&str> =
            model.parameters().iter().filter(|(id, ..)| !moved[id.index()]).map(|(_, name, _)| name).collect();
        assert_eq!(still, [""; 0], "{name}: no gradient in {} steps", progress.step);
    }
    Ok(())
}

#[test]
fn each_sample_is_trained_on_once_an_epoch_and_queues_end_empty() -> Result<(), Stop> {
    for (name, settings) in kinds() {
        let queues = settings.dispatch != Dispatch::InFlight;
        let mut observed = Observed::new(model(settings, 1)?);
        let depths = Arc::new(Mutex::new(BTreeMap::<usize, u64>::new()));
        let recorded = Arc::clone(&depths);
        observed.model.on_route(move |depth| *recorded.lock().unwrap().entry(depth).or_default() += 1);
        let history = Trainer::new(train_settings()).fit(&mut observed, &task(ROWS, 1), &task(9, 2), &mut ())?;
        assert_eq!((history.samples, observed.model.accounting().samples), (2 * ROWS, 2 * ROWS), "{name}");
        assert_eq!(observed.model.accounting().routes.values().sum::<u64>(), 2 * ROWS, "{name}");
        for epoch in observed.order.chunks(ROWS as usize) {
            let mut rows = epoch.to_vec();
            rows.sort_unstable();
            assert_eq!(rows, (0..ROWS).collect::<Vec<_>>(), "{name}");
        }
        assert_eq!(observed.steps.iter().map(|(samples, _)| samples).sum::<usize>(), 2 * ROWS as usize, "{name}");
        if queues {
            assert!(
                observed.steps.iter().all(|(samples, drained)| *samples == 5 || (*drained && *samples < 5)),
                "{name}"
            );
            assert!(
                observed.steps.iter().any(|(_, drained)| *drained),
                "{name}: no sample was queued, so none was drained"
            );
            assert!(observed.model.mean_wait().is_some_and(|wait| wait > 0.0));
        } else {
            assert_eq!(observed.model.mean_wait(), None);
        }
        let state = observed.model.state()?;
        let empty = |queue: &serde_json::Value| queue.as_array().is_some_and(Vec::is_empty);
        assert!(!queues || state["queues"]["queues"].as_array().unwrap().iter().all(empty), "{name}");

        // The observer, the route counts and the curves agree.
        let mut by_depth = BTreeMap::new();
        for (route, count) in &observed.model.accounting().routes {
            let route = observed.model.model().space().resolve(&route.parse()?)?;
            *by_depth.entry(route.depth()).or_default() += count;
        }
        assert_eq!(by_depth, *depths.lock().unwrap(), "{name}");
    }
    Ok(())
}

#[test]
fn queues_draw_different_random_routes_for_each_batch() -> Result<()> {
    // Nothing leaves a queue of 1,000, so that all batches join at step 0.
    let settings = SearchSettings { dispatch: Dispatch::Queue { size: 1_000 }, ..kinds()[1].1.clone() };
    let (mut model, data) = (model(settings, 1)?, task(64, 1));
    let progress = Progress { seed: 5, step: 0, epoch: 0, share: 0.0 };
    model.prepare(&data, progress)?;
    let mut queued_exits = Vec::new();
    for rows in (0..64).collect::<Vec<usize>>().chunks(16) {
        model.offer(data.batch(rows)?, progress)?;
        let state = model.state()?;
        let queues = state["queues"]["queues"].as_array().unwrap();
        let of_batch = |queue: &serde_json::Value| -> Vec<u64> {
            let rows_of = queue.as_array().unwrap().iter().map(|queued| queued["row"].as_u64().unwrap());
            rows_of.filter(|row| rows.contains(&(*row as usize))).map(|row| row % 16).collect()
        };
        queued_exits.push(queues.iter().map(of_batch).collect::<Vec<_>>());
    }
    assert!(queued_exits[1..].iter().all(|exits| *exits != queued_exits[0]));
    Ok(())
}

#[test]
fn one_seed_gives_one_training_and_another_seed_another() -> Result<(), Stop> {
    for (name, settings) in kinds() {
        let run = |seed| -> Result<_, Stop> {
            let mut observed = Observed::new(model(settings.clone(), 1)?);
            let settings = dht_search::transformer::TrainSettings { seed, ..train_settings() };
            let history = Trainer::new(settings).fit(&mut observed, &task(ROWS, 1), &task(9, 2), &mut ())?;
            let accounting = accounting_without_seconds(observed.model.accounting());
            Ok((observed.order, accounting, without_seconds(history), bits(observed.model.parameters())))
        };
        let (first, again, other) = (run(3)?, run(3)?, run(4)?);
        assert!(first == again, "{name}");
        assert_ne!(first.0, other.0, "{name}: the order");
        assert_ne!(first.1.routes, other.1.routes, "{name}: the routes");
        assert_ne!(first.2.losses, other.2.losses, "{name}: the losses");
        assert!(first.3 != other.3, "{name}: the weights");
    }
    Ok(())
}

#[test]
fn the_papers_preset_trains_twelve_layers_end_to_end() -> Result<()> {
    let settings = SearchSettings { warm_up_contexts: 64, ..SearchSettings::paper() };
    let space = Preset::TDht.space(12, HEADS)?;
    let mut rng = rng(2);
    let model = SearchModel::new(encoder(12, 2), space, settings, CLASSES, &mut rng)?;
    let mut model = SearchObjective::new(model)?;
    let (training, validation) = (task(150, 1), task(20, 2));
    Trainer::new(train_settings()).fit(&mut model, &training, &validation, &mut ())?;
    let accounting = model.accounting();
    assert_eq!(accounting.samples, 300);
    assert!(accounting.arm_feature_flops > 0 && accounting.arm_feature_flops < accounting.flops);
    let depths: Vec<usize> = model.model().space().exits().to_vec();
    assert_eq!(depths, [3, 6, 9, 12]);
    let evaluation = evaluate(model.model(), &validation, 8)?;
    assert!(evaluation.routes.iter().all(|route| depths.contains(&route.depth())));
    assert!((0.25..=1.0).contains(&evaluation.layer_head_ratio));
    assert!(model.model().lambda().is_none());
    Ok(())
}

#[test]
fn the_planted_task_is_learned_and_speed_lowers_depth_and_cost() -> Result<()> {
    let settings = kinds()[0].1.clone();
    let mut model = model(settings, 1)?;
    let (training, test) = (task(300, 1), task(100, 2));
    let settings = dht_search::transformer::TrainSettings { epochs: 6, ..train_settings() };
    Trainer::new(settings).fit(&mut model, &training, &task(30, 3), &mut ())?;
    let mut model = model.into_model();
    model.set_speed(0.0)?;
    let free = evaluate(&model, &test, 16)?;
    assert!(free.confusion.macro_f1() > 0.9, "{}", free.confusion.macro_f1());
    model.set_speed(1e6)?;
    let dear = evaluate(&model, &test, 16)?;
    assert!(dear.routes.iter().all(|route| route.to_string() == "1L12H"));
    assert!(dear.flops < free.flops);
    assert_eq!(dear.route_counts().values().sum::<u64>(), 100);
    Ok(())
}

#[test]
fn accumulated_batches_draw_their_own_routes() -> Result<()> {
    for (name, search) in kinds() {
        // All routes are random.
        let search = SearchSettings { explore_share: 1.0, ..search };
        let depths = |accumulate: usize| -> Result<Vec<usize>> {
            let (send, receive) = std::sync::mpsc::channel();
            let mut model = model(search.clone(), 1)?;
            let send = std::sync::Mutex::new(send);
            model.on_route(move |depth| send.lock().expect("one thread").send(depth).expect("a listener"));
            let (training, nothing) = (task(64, 1), nothing());
            let settings = TrainSettings { epochs: 1, batch_size: 16, accumulate, ..train_settings() };
            Trainer::new(settings).fit(&mut model, &training, &nothing, &mut ())?;
            drop(model);
            Ok(receive.iter().collect())
        };
        let routes = depths(4)?;
        assert_eq!(routes.len(), 64, "{name}");
        if !name.contains("queues") && name != "the paper's" {
            let batches: std::collections::BTreeSet<&[usize]> = routes.chunks(16).collect();
            assert_eq!(batches.len(), 4, "{name}: {routes:?}");
            // The first batch of a step draws the same with and without accumulation.
            assert_eq!(routes[..16], depths(1)?[..16], "{name}");
        }
    }
    Ok(())
}

#[test]
fn rows_of_one_id_are_refused_before_a_training_with_queues() -> Result<()> {
    let mut twice = task(ROWS, 1);
    twice.samples.extend(task(ROWS, 2).samples);
    for (name, settings) in kinds() {
        let queued = matches!(settings.dispatch, Dispatch::Queue { .. });
        let fitted = Trainer::new(train_settings()).fit(&mut model(settings, 1)?, &twice, &task(ROWS, 3), &mut ());
        match fitted {
            Err(error) if queued => {
                assert_eq!(error.to_string(), "id is 0 in rows 0 and 37, expected another for each row", "{name}");
            }
            fitted => assert!(fitted.is_ok() && !queued, "{name}"),
        }
    }
    Ok(())
}
