//! Forged states, which no training run wrote: they are rejected and change nothing, or do no harm.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dht_dynamic::Error as Dynamic;
use dht_search::{Error, Preset, Result, SearchObjective, SearchSettings, settings::LossSource};
use dht_search::{
    transformer::train::Predict,
    transformer::{EncodedDataset, ForwardContext, Objective, PackedBatch, Progress},
};
use dht_toys::rng;
use rand::{Rng, RngExt};
use serde_json::{Value, json};

use crate::toy::{self, HEADS, LAYERS, evaluate, kinds, model, model_of, task, weights_and_state};

fn trained(model: SearchObjective) -> Result<SearchObjective> {
    toy::trained(model, &task(37, 1))
}

fn integrated(settings: SearchSettings) -> Result<SearchObjective> {
    model_of(Preset::FDht, settings, 1)
}

/// Field that the error names when a state is rejected; the model must be unchanged.
fn refused(model: &mut SearchObjective, state: Value, training: &EncodedDataset) -> Result<&'static str> {
    let before = weights_and_state(model)?;
    let error = model.restore(state, training).expect_err("a forged state was taken");
    assert!(weights_and_state(model)? == before);
    match error {
        Error::Dynamic(Dynamic::Argument { name: field, .. }) | Error::Dynamic(Dynamic::State { what: field, .. }) => {
            Ok(field)
        }
        other => Err(other),
    }
}

#[test]
fn bandits_with_forged_references_arms_or_pins_are_rejected() -> Result<()> {
    let training = task(37, 1);
    for (name, settings) in kinds() {
        let mut model = trained(model(settings, 1)?)?;
        let state = model.state()?;
        let mut forged = |path: &str, value: Value| -> Result<&'static str> {
            let mut state = state.clone();
            *state.pointer_mut(path).unwrap_or_else(|| panic!("{name}: no {path}")) = value;
            refused(&mut model, state, &training)
        };
        // Three groups, each with a reference for every exit.
        assert_eq!(forged("/heads/references/1", json!([]))?, "reward references", "{name}");
        let negative = json!({ "mean": -1.0, "weight": 2.0 });
        assert_eq!(forged("/heads/references/1/0", negative.clone())?, "reward reference", "{name}");
        assert_eq!(forged("/router/bandit/reference", negative)?, "reward reference", "{name}");
        assert_eq!(forged("/router/bandit/linear/arms", json!([0, 1, 2, 2]))?, "depth bandit's arms", "{name}");
        assert_eq!(forged("/heads/sets/pinned", Value::Null)?, "pinned heads", "{name}");
        assert_eq!(forged("/heads/sets/pinned", json!([0, 1, 2, 3, 4]))?, "pinned heads", "{name}");
    }
    Ok(())
}

#[test]
fn queued_samples_of_unknown_arms_or_contexts_are_rejected() -> Result<()> {
    let training = task(37, 1);
    let queue = dht_search::settings::Dispatch::Queue { size: 5 };
    let settings = SearchSettings { warm_up_contexts: 16, dispatch: queue, ..SearchSettings::default() };
    let mut model = trained(integrated(settings)?)?;
    let mut stopped = model.state()?;
    let context = vec![0.5; 87];
    let sample = json!({ "row": 3, "kept": HEADS, "notes": context, "routed_at": 0 });
    stopped["queues"]["queues"][0] = json!([sample]);
    model.restore(stopped.clone(), &training)?;
    for (field, value) in [
        ("kept", json!(99)),
        ("kept", Value::Null),
        // An arm that leaves elsewhere.
        ("kept", json!(HEADS - 2)),
        ("notes", json!([0.5])),
        // The heads of an integrated search read no answers.
        ("answer", json!([-0.1, -3.0, -4.0])),
    ] {
        let mut state = stopped.clone();
        state["queues"]["queues"][0][0][field] = value.clone();
        assert_eq!(refused(&mut model, state, &training)?, "queued sample", "{field} {value}");
    }
    let mut state = stopped.clone();
    state["queues"]["queues"][0] = json!([sample, sample]);
    assert_eq!(refused(&mut model, state, &training)?, "queued sample");
    Ok(())
}

#[test]
fn a_rejected_state_of_the_next_space_keeps_the_first_space() -> Result<()> {
    let build = || {
        let settings = SearchSettings { warm_up_contexts: 16, ..SearchSettings::for_preset(Preset::PDht) };
        let mut rng = rng(2);
        integrated(settings)?.with_next_phase(Preset::PDht.space(LAYERS, HEADS)?, 1, &mut rng)
    };
    let training = task(37, 1);
    let gone_on = trained(build()?)?;
    assert!(gone_on.next_phase().is_none());
    let mut state = gone_on.state()?;
    let mut fresh = build()?;
    let before = weights_and_state(&fresh)?;
    state["heads"]["references"] = json!([]);
    assert_eq!(refused(&mut fresh, state, &training)?, "reward references");
    assert!(fresh.next_phase().is_some_and(|(epoch, _)| epoch == 1));
    // It trains from the start as if no state had been restored.
    assert!(weights_and_state(&fresh)? == before);
    let fresh = trained(fresh)?;
    assert!(weights_and_state(&fresh)? == weights_and_state(&gone_on)?);
    Ok(())
}

/// Paths of all values in a state. A large array has only the paths of its first and last values.
fn paths(value: &Value, path: String, list: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            let ends = [0, 1, items.len().saturating_sub(1)];
            items.iter().enumerate().filter(|(index, _)| ends.contains(index)).for_each(|(index, item)| {
                paths(item, format!("{path}/{index}"), list);
            });
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, item)| paths(item, format!("{path}/{}", key.replace('/', "~1")), list));
        }
        _ => {}
    }
    list.push(path);
}

/// Different value that replaces a value.
fn other<R: Rng>(value: &Value, rng: &mut R) -> Value {
    let mut others = vec![Value::Null, json!(0), json!(-1), json!(1e308), json!(u64::MAX), json!([])];
    if let Value::Array(items) = value {
        let mut longer = items.clone();
        longer.extend(items.last().cloned());
        others = vec![Value::Array(longer), Value::Array(items.iter().skip(1).cloned().collect()), json!([])];
    }
    others.swap_remove(rng.random_range(0..others.len()))
}

/// Trains some more steps, and predicts.
fn trains_on_and_predicts(model: &mut SearchObjective, training: &EncodedDataset) -> Result<()> {
    let share = |step: u64| Progress { seed: 3, step, epoch: 1, share: 0.9 };
    for (step, rows) in [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]].iter().enumerate() {
        let progress = share(100 + step as u64);
        model.offer(training.batch(rows)?, progress)?;
        while model.next_loss(progress, step == 1)?.is_some() {}
    }
    let batch: PackedBatch = training.batch(&[0, 5, 9])?;
    model.predict(&batch, &ForwardContext::inference())?;
    evaluate(model.model(), training, 4)?;
    model.accounting().curves.curves(3);
    model.state()?;
    Ok(())
}

#[test]
fn whatever_is_changed_in_a_state_nothing_panics() -> Result<()> {
    let training = task(37, 1);
    let mut rng = rng(11);
    let kinds = kinds();
    let held_out = SearchSettings { loss_source: LossSource::HeldOut { share: 0.3 }, ..kinds[0].1.clone() };
    let mut models = vec![
        ("held out", trained(model(held_out, 1)?)?),
        ("F-DHT with queues", trained(integrated(kinds[1].1.clone())?)?),
    ];
    for (name, settings) in kinds {
        models.push((name, trained(model(settings, 1)?)?));
    }
    let mut panics = Vec::new();
    std::panic::set_hook(Box::new(|_| {}));
    for (name, model) in &mut models {
        let mut state = model.state()?;
        if state["queues"].is_object() {
            // Some samples are queued.
            model.offer(training.batch(&[20, 21, 22, 23])?, Progress { seed: 3, step: 50, epoch: 1, share: 0.9 })?;
            state = model.state()?;
        }
        let mut list = Vec::new();
        paths(&state, String::new(), &mut list);
        // Grouped by field, so that the many values of a factor do not hide the rest.
        let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in list {
            let kind = path.split('/').map(|part| part.parse::<usize>().map_or(part, |_| "#")).collect::<Vec<_>>();
            kinds.entry(kind.join("/")).or_default().push(path);
        }
        for (turn, paths) in kinds.values().cycle().take(4 * kinds.len()).enumerate() {
            let path = &paths[(turn / kinds.len() + rng.random_range(0..paths.len())) % paths.len()];
            let mut forged = state.clone();
            let target = forged.pointer_mut(path).expect("a path of the state");
            *target = other(target, &mut rng);
            let what = format!("{name}: {path} = {:.60}", target.to_string());
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                if model.restore(forged, &training).is_ok() {
                    // Errors are allowed; panics are not.
                    let _ = trains_on_and_predicts(model, &training);
                }
            }));
            if outcome.is_err() {
                panics.push(what);
            }
            model.restore(state.clone(), &training)?;
        }
    }
    let _ = std::panic::take_hook();
    assert!(panics.is_empty(), "{} panics:\n{}", panics.len(), panics.join("\n"));
    Ok(())
}
