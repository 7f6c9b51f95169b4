//! Training runs that do more than train each sample on its route: full-model steps, held-out texts, soft labels.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use dht_dynamic::Error as Dynamic;
use dht_search::{
    Error, Result, SearchObjective, SearchSettings,
    settings::{Dispatch, ExitLosses, FullModelSteps, LossSource, SoftLabels, Teacher},
};
use dht_search::{
    transformer::tensors::Gradient,
    transformer::{EncodedDataset, Objective, Pooling, Progress, TextClassifier, Trainer},
};
use dht_toys::rng;

use crate::resuming;
use crate::toy::{self, CLASSES, LAYERS, Observed, Stop, bits, encoder, kinds, model, task, train_settings};

const ROWS: u64 = 37;
const FULL: SoftLabels = SoftLabels { teacher: Teacher::Full, weight: 0.5, temperature: 2.0 };
const DEEPEST: SoftLabels = SoftLabels { teacher: Teacher::Deepest, ..FULL };

/// Default settings with a warm-up that ends within the first epoch.
fn default_settings() -> SearchSettings {
    kinds()[0].1.clone()
}

fn teacher(classes: usize) -> Result<TextClassifier> {
    Ok(TextClassifier::new(encoder(2, 50), classes, Pooling::Mean, &mut rng(50))?)
}

fn build(settings: &SearchSettings, seed: u64) -> Result<SearchObjective> {
    let full = settings.soft_labels.is_some_and(|soft| soft.teacher == Teacher::Full);
    let model = model(settings.clone(), seed)?;
    if full { model.with_teacher(teacher(CLASSES)?) } else { Ok(model) }
}

fn trained(settings: &SearchSettings, data: &EncodedDataset) -> Result<SearchObjective> {
    toy::trained(build(settings, 1)?, data)
}

/// States of both routers in the state of a training run.
fn routers(state: &serde_json::Value) -> serde_json::Value {
    serde_json::json!([state["router"], state["heads"]])
}

/// Depth of each sample in the order in which samples are trained on, and the samples of each step.
fn depths_and_steps(settings: SearchSettings) -> Result<(Vec<usize>, Vec<usize>), Stop> {
    let mut observed = Observed::new(build(&settings, 1)?);
    let depths = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&depths);
    observed.model.on_route(move |depth| recorded.lock().expect("nobody panics with it").push(depth));
    Trainer::new(train_settings()).fit(&mut observed, &task(ROWS, 1), &task(9, 2), &mut ())?;
    let depths = depths.lock().expect("nobody panics with it").clone();
    Ok((depths, observed.steps.iter().map(|(samples, _)| *samples).collect()))
}

#[test]
fn each_plan_resumed_in_mid_epoch_equals_an_uninterrupted_one() -> Result<(), Stop> {
    let queue = Dispatch::Queue { size: 5 };
    let staged = FullModelSteps { first: 0.3, every: 3 };
    let held_out = LossSource::HeldOut { share: 0.2 };
    let plans = [
        SearchSettings { full_model_steps: staged, loss_source: held_out, ..default_settings() },
        SearchSettings { full_model_steps: staged, loss_source: held_out, dispatch: queue, ..default_settings() },
        SearchSettings { soft_labels: Some(FULL), loss_source: LossSource::FirstEpoch, ..default_settings() },
        SearchSettings {
            exit_losses: ExitLosses::Weighted { weight: 0.5, power: 1.0 },
            soft_labels: Some(DEEPEST),
            full_model_steps: FullModelSteps { every: 2, ..FullModelSteps::default() },
            dispatch: queue,
            ..default_settings()
        },
    ];
    for settings in plans {
        let queued = resuming::check(&format!("{settings:?}"), &|seed| build(&settings, seed))?;
        assert_eq!(queued, settings.dispatch == queue);
    }
    Ok(())
}

#[test]
fn the_first_steps_run_the_full_model_and_the_others_are_routed() -> Result<(), Stop> {
    for dispatch in [Dispatch::InFlight, Dispatch::Queue { size: 5 }] {
        let full_model_steps = FullModelSteps { first: 0.5, every: 0 };
        let (depths, _) = depths_and_steps(SearchSettings { full_model_steps, dispatch, ..default_settings() })?;
        assert_eq!(depths.len(), 2 * ROWS as usize);
        let (first, next_phase) = depths.split_at(ROWS as usize);
        assert!(first.iter().all(|depth| *depth == LAYERS), "{dispatch:?}");
        assert!(next_phase.iter().any(|depth| *depth < LAYERS), "{dispatch:?}");
    }
    Ok(())
}

#[test]
fn every_other_step_runs_the_full_model() -> Result<(), Stop> {
    let full_model_steps = FullModelSteps { first: 0.0, every: 2 };
    let (depths, steps) = depths_and_steps(SearchSettings { full_model_steps, ..default_settings() })?;
    let mut rest = &depths[..];
    let mut routed = BTreeSet::<usize>::new();
    for (step, samples) in steps.into_iter().enumerate() {
        let (now, next_phase) = rest.split_at(samples);
        if step % 2 == 0 {
            assert!(now.iter().all(|depth| *depth == LAYERS), "step {step}");
        } else {
            routed.extend(now);
        }
        rest = next_phase;
    }
    assert!(rest.is_empty() && routed.len() > 1);
    Ok(())
}

#[test]
fn a_full_model_step_trains_all_layers_and_the_last_exit_alone() -> Result<()> {
    let full_model_steps = FullModelSteps { first: 0.5, every: 0 };
    let mut model = build(&SearchSettings { full_model_steps, ..default_settings() }, 1)?;
    let (data, progress) = (task(16, 1), Progress { seed: 5, step: 0, epoch: 0, share: 0.0 });
    model.prepare(&data, progress)?;
    model.offer(data.batch(&(0..16).collect::<Vec<_>>())?, progress)?;
    let step = model.next_loss(progress, false)?.expect("a batch gives a loss");
    let gradients = step.ctx.backward(&step.loss, model.parameters())?;
    let moved: BTreeSet<&str> = gradients
        .iter()
        .filter(|(_, gradient)| match gradient {
            Gradient::Dense(values) | Gradient::Rows { values, .. } => values.iter().any(|value| *value != 0.0),
            Gradient::Device(_) => true,
        })
        .map(|(id, _)| model.parameters().name(id))
        .collect();
    let still = |name: &str| ["exit.1.", "exit.2.", "exit.4."].iter().any(|exit| name.starts_with(exit));
    for (_, name, _) in model.parameters().iter() {
        assert_eq!(moved.contains(name), !still(name), "{name}");
    }
    Ok(())
}

#[test]
fn random_routes_begin_after_the_full_model() -> Result<(), Stop> {
    // Of the ten steps five run the full model and the others random routes, so that nothing depends on the bandits.
    let full_model_steps = FullModelSteps { first: 0.5, every: 0 };
    let drawn = SearchSettings { full_model_steps, explore_share: 0.5, ..default_settings() };
    let dear = SearchSettings { reward_shape: dht_search::reward::RewardShape::Gain { lambda: 1e9 }, ..drawn.clone() };
    assert_eq!(depths_and_steps(drawn.clone())?, depths_and_steps(dear.clone())?);
    let decided = |settings| SearchSettings { explore_share: 0.0, ..settings };
    assert_ne!(depths_and_steps(decided(drawn))?, depths_and_steps(decided(dear))?);
    Ok(())
}

#[test]
fn after_epoch_1_only_bandits_of_all_epochs_keep_learning() -> Result<()> {
    let data = task(ROWS, 1);
    for (source, learns_on) in [(LossSource::FirstEpoch, false), (LossSource::AllEpochs, true)] {
        let mut model = build(&SearchSettings { loss_source: source, ..default_settings() }, 1)?;
        let mut progress = Progress { seed: 5, step: 0, epoch: 0, share: 0.0 };
        model.prepare(&data, progress)?;
        let mut epoch = |model: &mut SearchObjective, epoch: usize| -> Result<serde_json::Value> {
            for rows in (0..ROWS as usize).collect::<Vec<_>>().chunks(8) {
                progress = Progress { step: progress.step + 1, epoch, ..progress };
                model.offer(data.batch(rows)?, progress)?;
                while model.next_loss(progress, false)?.is_some() {}
            }
            Ok(routers(&model.state()?))
        };
        let (first, second) = (epoch(&mut model, 0)?, epoch(&mut model, 1)?);
        assert_eq!(first != second, learns_on, "{source:?}");
    }
    Ok(())
}

#[test]
fn held_out_texts_train_the_bandits_and_never_the_model() -> Result<()> {
    // All routes are random, so that the bandits' learned state has no effect on the model.
    let loss_source = LossSource::HeldOut { share: 0.25 };
    let settings = SearchSettings { explore_share: 1.0, loss_source, ..default_settings() };
    let data = task(ROWS, 1);
    let plain = trained(&settings, &data)?;
    let held_out = plain.accounting().held_out_samples / 2;
    assert!(held_out > 0 && held_out < ROWS / 2, "{held_out}");
    assert_eq!(plain.accounting().samples, 2 * (ROWS - held_out));
    assert_eq!(plain.accounting().routes.values().sum::<u64>(), 2 * (ROWS - held_out));
    assert!(plain.accounting().held_out_flops > 0 && plain.accounting().held_out_flops < plain.accounting().flops);
    let (weights, state) = (bits(plain.parameters()), plain.state()?);
    let mut untrained = 0;
    for row in 0..ROWS as usize {
        let mut changed = data.clone();
        changed.samples[row].label = (changed.samples[row].label + 1) % CLASSES as u32;
        let model = trained(&settings, &changed)?;
        if bits(model.parameters()) == weights {
            untrained += 1;
            assert_ne!(routers(&model.state()?), routers(&state), "nothing learns from text {row}");
        }
    }
    assert_eq!(untrained, held_out);
    // Without held-out texts the training uses every text.
    let all = trained(&SearchSettings { loss_source: LossSource::AllEpochs, ..settings }, &data)?;
    assert_eq!((all.accounting().samples, all.accounting().held_out_samples), (2 * ROWS, 0));
    assert_ne!(routers(&all.state()?), routers(&state));
    Ok(())
}

#[test]
fn soft_labels_change_training_and_count_full_teacher_flops() -> Result<()> {
    let data = task(ROWS, 1);
    let of = |soft_labels| trained(&SearchSettings { soft_labels, ..default_settings() }, &data);
    let (none, deepest, full) = (of(None)?, of(Some(DEEPEST))?, of(Some(FULL))?);
    assert!(bits(none.parameters()) != bits(deepest.parameters()));
    assert!(bits(deepest.parameters()) != bits(full.parameters()));
    assert_eq!((none.accounting().teacher_flops, deepest.accounting().teacher_flops), (0, 0));
    assert!(full.accounting().teacher_flops > 0 && full.accounting().teacher_flops < full.accounting().flops);
    Ok(())
}

#[test]
fn a_teacher_that_does_not_fit_or_is_not_asked_for_is_refused() -> Result<()> {
    let refused = |result: Result<SearchObjective>| {
        matches!(result, Err(Error::Dynamic(Dynamic::Argument { name: "teacher", .. })))
    };
    let asking = SearchSettings { soft_labels: Some(FULL), ..default_settings() };
    assert!(refused(model(default_settings(), 1)?.with_teacher(teacher(3)?)));
    assert!(refused(
        model(SearchSettings { soft_labels: Some(DEEPEST), ..default_settings() }, 1)?.with_teacher(teacher(3)?)
    ));
    assert!(refused(model(asking.clone(), 1)?.with_teacher(teacher(4)?)));
    // Without a teacher no training run can start or be resumed.
    let (data, progress) = (task(ROWS, 1), Progress { seed: 5, step: 0, epoch: 0, share: 0.0 });
    let mut alone = model(asking.clone(), 1)?;
    assert!(matches!(alone.prepare(&data, progress), Err(Error::Dynamic(Dynamic::Argument { name: "teacher", .. }))));
    let state = trained(&asking, &data)?.state()?;
    assert!(matches!(alone.restore(state, &data), Err(Error::Dynamic(Dynamic::Argument { name: "teacher", .. }))));
    // Bandits that learn from the first epoch alone must have one that is long enough.
    let short = SearchSettings { loss_source: LossSource::FirstEpoch, warm_up_contexts: 37, ..default_settings() };
    let refused = model(short, 1)?.prepare(&data, progress);
    assert!(matches!(refused, Err(Error::Dynamic(Dynamic::Argument { name: "warm_up_contexts", .. }))));
    Ok(())
}
