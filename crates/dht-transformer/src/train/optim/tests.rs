use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use serde_json::Value;

use super::adamw::{AdamW, coefficients};
use super::clip::{clip_scale, global_norm};
use super::groups::{Multipliers, ParameterGroups};
use super::settings::AdamWSettings;
use crate::backend::{DeviceMoments, Moments};
use crate::error::Error;
use crate::storage::StoredTensor;
use crate::tensors::{Gradient, Gradients, ParameterId, Parameters};
use crate::train::checkpoint::Checkpoint;

const RATE: f64 = 1e-2;

/// Shapes of test parameters: a table with row gradients, a matrix longer than a chunk, a bias, and a single number.
const SHAPES: [(&str, &[usize]); 5] = [
    ("embeddings.table", &[40, 6]),
    ("layer.0.weight", &[150, 130]),
    ("layer.0.bias", &[9]),
    ("LayerNorm.weight", &[9]),
    ("scalar", &[]),
];

fn numbers(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|index| (((index + 1) * (seed * 2 + 7919) % 2003) as f32 - 1001.0) / 500.0).collect()
}

fn parameters() -> Parameters {
    let mut parameters = Parameters::new(&Device::Cpu);
    for (index, (name, shape)) in SHAPES.iter().enumerate() {
        let count = shape.iter().product();
        let value = Tensor::from_vec(numbers(index, count), *shape, &Device::Cpu).unwrap();
        parameters.insert(*name, &value).unwrap();
    }
    parameters
}

fn optimizer(settings: AdamWSettings, parameters: &Parameters) -> AdamW {
    AdamW::new(settings, &ParameterGroups::standard(parameters), parameters).unwrap()
}

/// Dense gradient for each parameter, different at each step.
fn gradients(parameters: &Parameters, step: usize) -> Gradients {
    let mut gradients = Gradients::empty(parameters.len());
    for (id, _, var) in parameters.iter() {
        gradients.set(id, Gradient::Dense(numbers(100 * step + id.index() + 50, var.elem_count())));
    }
    gradients
}

fn table_gradient(rows: &[u32], step: usize) -> (Gradient, Gradient) {
    let values = numbers(step + 3, rows.len() * 6);
    let mut dense = vec![0.0; 40 * 6];
    for (&row, values) in rows.iter().zip(values.chunks(6)) {
        dense[row as usize * 6..][..6].copy_from_slice(values);
    }
    (Gradient::Rows { rows: rows.to_vec(), values }, Gradient::Dense(dense))
}

fn bits(tensors: &BTreeMap<String, StoredTensor>) -> Vec<(String, Vec<u32>)> {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    tensors.iter().map(|(name, tensor)| (name.clone(), bits(&tensor.values))).collect()
}

/// Every bit of the parameters and of the optimiser state.
fn all_bits(parameters: &Parameters, optimizer: &AdamW) -> (Vec<(String, Vec<u32>)>, Value) {
    let state = optimizer.state().unwrap();
    let mut all = bits(&parameters.values().unwrap());
    all.extend(bits(&state.tensors));
    (all, state.state)
}

proptest! {
    #[test]
    fn rows_move_a_table_as_dense_zeros_do_to_the_bit(
        steps in proptest::collection::vec((proptest::collection::btree_set(0_u32..40, 0..12), 0_u32..8), 1..12),
        weight_decay in prop_oneof![Just(0.0), Just(0.1)],
        clip_norm in prop_oneof![Just(None), Just(Some(0.5))],
    ) {
        let settings = AdamWSettings { weight_decay, clip_norm, ..AdamWSettings::default() };
        let (by_rows, dense) = (parameters(), parameters());
        let id = by_rows.id("embeddings.table").unwrap();
        // A negative zero is the value that reveals a short cut first.
        for parameters in [&by_rows, &dense] {
            parameters.var(id).set(&Tensor::full(-0.0_f32, (40, 6), &Device::Cpu).unwrap()).unwrap();
        }
        let (mut rows_optimizer, mut dense_optimizer) =
            (optimizer(settings.clone(), &by_rows), optimizer(settings, &dense));
        for (step, (rows, kind)) in steps.into_iter().enumerate() {
            let rows: Vec<u32> = rows.into_iter().collect();
            let (sparse, full) = table_gradient(&rows, step);
            let mut left = Gradients::empty(by_rows.len());
            // Now and then the other side gets a dense gradient too, or the optimiser goes through a checkpoint.
            left.set(id, if kind == 0 { full.clone() } else { sparse });
            if kind == 1 {
                let state = rows_optimizer.state().unwrap();
                rows_optimizer.load_state(state).unwrap();
            }
            let mut right = Gradients::empty(dense.len());
            right.set(id, full);
            rows_optimizer.step(&by_rows, &left, RATE).unwrap();
            dense_optimizer.step(&dense, &right, RATE).unwrap();
            prop_assert_eq!(all_bits(&by_rows, &rows_optimizer), all_bits(&dense, &dense_optimizer));
        }
    }
}

#[test]
fn the_bits_are_the_same_for_any_number_of_threads() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let parameters = parameters();
            let mut optimizer = optimizer(AdamWSettings::default(), &parameters);
            for step in 0..4 {
                optimizer.step(&parameters, &gradients(&parameters, step), RATE).unwrap();
            }
            all_bits(&parameters, &optimizer)
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn a_run_resumed_from_its_state_equals_one_that_was_not_stopped() {
    let (straight, stopped) = (parameters(), parameters());
    let mut whole = optimizer(AdamWSettings::default(), &straight);
    let mut first = optimizer(AdamWSettings::default(), &stopped);
    for step in 0..6 {
        let mut gradients = gradients(&straight, step);
        *gradients.slot(ParameterId(2)) = None;
        if step == 2 {
            gradients.set(ParameterId(3), Gradient::Dense(vec![f32::NAN; 9]));
        }
        whole.step(&straight, &gradients, RATE).unwrap();
        first.step(&stopped, &gradients, RATE).unwrap();
        if step == 3 {
            let state = first.state().unwrap();
            assert_eq!(state.state["skipped"], 1);
            first = optimizer(AdamWSettings::default(), &stopped);
            first.load_state(state).unwrap();
            let values = stopped.values().unwrap();
            stopped.set_values(values).unwrap();
        }
    }
    assert_eq!(all_bits(&straight, &whole), all_bits(&stopped, &first));
}

#[test]
fn clipping_within_the_step_equals_clipping_before_it() {
    let (inside, before) = (parameters(), parameters());
    let mut clips = optimizer(AdamWSettings { clip_norm: Some(0.3), ..AdamWSettings::default() }, &inside);
    let mut takes = optimizer(AdamWSettings { clip_norm: None, ..AdamWSettings::default() }, &before);
    for step in 0..3 {
        let mut gradients = gradients(&inside, step);
        let report = clips.step(&inside, &gradients, RATE).unwrap();
        let norm = gradients.clip_by_global_norm(0.3).unwrap();
        takes.step(&before, &gradients, RATE).unwrap();
        assert_eq!(report, norm);
    }
    assert_eq!(all_bits(&inside, &clips), all_bits(&before, &takes));
}

#[test]
fn composed_tensor_operations_take_the_same_step() {
    let parameters = parameters();
    let mut optimizer = optimizer(AdamWSettings::default(), &parameters);
    let id = parameters.id("layer.0.weight").unwrap();
    let value = Var::from_tensor(&parameters.var(id).as_detached_tensor().copy().unwrap()).unwrap();
    let mut moments = DeviceMoments::new(None, value.dims(), &Device::Cpu).unwrap();
    for step in 0..5 {
        let mut gradients = Gradients::empty(parameters.len());
        gradients.set(id, Gradient::Dense(numbers(step, 150 * 130)));
        let scale = clip_scale(global_norm(gradients.iter()).unwrap().norm, 1.0);
        let with = coefficients(optimizer.settings(), &optimizer.slots[id.index()], RATE, scale);
        moments.step(&value, gradients.get(id).unwrap(), with).unwrap();
        optimizer.step(&parameters, &gradients, RATE).unwrap();
    }
    let state = optimizer.state().unwrap().tensors;
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let [first, second] = moments.values().unwrap();
    let pairs = [
        (flat(&value), flat(parameters.var(id))),
        (first, state["first.layer.0.weight"].values.clone()),
        (second, state["second.layer.0.weight"].values.clone()),
    ];
    for (composed, fused) in pairs {
        for (composed, fused) in composed.into_iter().zip(fused) {
            approx::assert_relative_eq!(composed, fused, max_relative = 1e-5, epsilon = 1e-8);
        }
    }
}

#[test]
fn a_gradient_is_the_same_as_rows_dense_or_device_tensor() {
    let parameters = parameters();
    let table = parameters.var(parameters.id("embeddings.table").unwrap());
    let (rows, dense) = table_gradient(&[0, 7, 39], 1);
    let as_tensor = |gradient| Gradient::to_tensor(gradient, table).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(as_tensor(&rows), as_tensor(&dense));
    let tensor = Gradient::Device(dense.to_tensor(table).unwrap().to_dtype(DType::F64).unwrap());
    assert_eq!(as_tensor(&tensor), as_tensor(&dense));

    let run = |gradient: Gradient| {
        let parameters = self::parameters();
        let mut optimizer = optimizer(AdamWSettings { clip_norm: None, ..AdamWSettings::default() }, &parameters);
        let mut gradients = Gradients::empty(parameters.len());
        gradients.set(parameters.id("embeddings.table").unwrap(), gradient);
        optimizer.step(&parameters, &gradients, RATE).unwrap();
        all_bits(&parameters, &optimizer)
    };
    assert_eq!(run(tensor), run(dense));
}

#[test]
fn parameters_that_are_frozen_or_lack_gradients_take_no_step() {
    let parameters = parameters();
    let mut optimizer = optimizer(AdamWSettings::default(), &parameters);
    optimizer.step(&parameters, &gradients(&parameters, 0), RATE).unwrap();
    let (before, _) = all_bits(&parameters, &optimizer);
    let (absent, frozen) = (parameters.id("layer.0.bias").unwrap(), parameters.id("scalar").unwrap());
    parameters.set_frozen(frozen, true);
    let mut gradients = gradients(&parameters, 1);
    *gradients.slot(absent) = None;
    let with_frozen = optimizer.clone().step(&parameters, &gradients, RATE).unwrap();
    gradients.set(frozen, Gradient::Dense(vec![f32::NAN]));
    let report = optimizer.step(&parameters, &gradients, RATE).unwrap();
    assert_eq!(report, with_frozen, "a frozen parameter has no part in the norm");
    let (after, counters) = all_bits(&parameters, &optimizer);
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        let stays = name.ends_with("layer.0.bias") || name.ends_with("scalar");
        assert_eq!(before == after, stays, "{name}");
    }
    for (name, steps) in counters["steps"].as_object().unwrap() {
        assert_eq!(*steps, if ["layer.0.bias", "scalar"].contains(&name.as_str()) { 1 } else { 2 }, "{name}");
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_skipped_until_patience_ends() {
    let parameters = parameters();
    let mut optimizer = optimizer(AdamWSettings { patience: 3, ..AdamWSettings::default() }, &parameters);
    optimizer.step(&parameters, &gradients(&parameters, 0), RATE).unwrap();
    let (before, _) = all_bits(&parameters, &optimizer);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut gradients = gradients(&parameters, 1);
        gradients.set(ParameterId(2), Gradient::Dense(vec![bad; 9]));
        for _ in 0..2 {
            let report = optimizer.step(&parameters, &gradients, RATE).unwrap();
            assert!(!report.is_finite());
        }
        let error = optimizer.step(&parameters, &gradients, RATE).unwrap_err();
        assert!(
            matches!(&error, Error::NonFiniteGradient { steps: 3, parameter } if parameter == "layer.0.bias"),
            "{error}"
        );
        assert_eq!(all_bits(&parameters, &optimizer).0, before);
        optimizer.clone().step(&parameters, &self::gradients(&parameters, 1), RATE).unwrap();
        parameters.set_values(self::parameters().values().unwrap()).unwrap();
        optimizer = self::optimizer(AdamWSettings { patience: 3, ..AdamWSettings::default() }, &parameters);
        optimizer.step(&parameters, &self::gradients(&parameters, 0), RATE).unwrap();
    }
}

#[test]
fn a_good_step_starts_the_count_anew() {
    let parameters = parameters();
    let mut optimizer = optimizer(AdamWSettings { patience: 2, ..AdamWSettings::default() }, &parameters);
    let good = gradients(&parameters, 0);
    let mut bad = gradients(&parameters, 0);
    bad.set(ParameterId(0), Gradient::Rows { rows: vec![3], values: vec![f32::NAN; 6] });
    for _ in 0..4 {
        assert!(!optimizer.step(&parameters, &bad, RATE).unwrap().is_finite());
        assert!(optimizer.step(&parameters, &good, RATE).unwrap().is_finite());
    }
    assert_eq!(optimizer.skipped(), 4);
}

#[test]
fn subnormal_moments_become_zero() {
    let parameters = parameters();
    let mut optimizer = optimizer(AdamWSettings { clip_norm: None, ..AdamWSettings::default() }, &parameters);
    let mut gradients = Gradients::empty(parameters.len());
    let id = ParameterId(3);
    gradients.set(id, Gradient::Dense(vec![1e-30; 9]));
    optimizer.step(&parameters, &gradients, RATE).unwrap();
    gradients.set(id, Gradient::Dense(vec![0.0; 9]));
    for _ in 0..400 {
        optimizer.step(&parameters, &gradients, RATE).unwrap();
    }
    assert!(optimizer.state().unwrap().tensors.values().all(|tensor| tensor.values.iter().all(|&value| value == 0.0)));
}

#[test]
fn every_setting_has_an_effect() {
    let run = |settings: AdamWSettings, rate| {
        let parameters = parameters();
        let mut optimizer = optimizer(settings, &parameters);
        for step in 0..3 {
            optimizer.step(&parameters, &gradients(&parameters, step), rate).unwrap();
        }
        bits(&parameters.values().unwrap())
    };
    let base = AdamWSettings::default();
    let plain = run(base.clone(), RATE);
    let changed = [
        AdamWSettings { beta1: 0.8, ..base.clone() },
        AdamWSettings { beta2: 0.9, ..base.clone() },
        AdamWSettings { epsilon: 1e-3, ..base.clone() },
        AdamWSettings { weight_decay: 0.5, ..base.clone() },
        AdamWSettings { clip_norm: Some(1e-6), ..base.clone() },
    ];
    for settings in changed {
        assert_ne!(run(settings.clone(), RATE), plain, "{settings:?}");
    }
    assert_ne!(run(base, 2.0 * RATE), plain);
}

#[test]
fn a_rate_multiplier_is_another_learning_rate() {
    let (halved, plain) = (parameters(), parameters());
    let groups = ParameterGroups::by_name(&halved, |_| Multipliers { rate: 0.5, ..Multipliers::ONE });
    let all = ParameterGroups::by_name(&plain, |_| Multipliers::ONE);
    let mut left = AdamW::new(AdamWSettings::default(), &groups, &halved).unwrap();
    let mut right = AdamW::new(AdamWSettings::default(), &all, &plain).unwrap();
    left.step(&halved, &gradients(&halved, 0), RATE).unwrap();
    right.step(&plain, &gradients(&plain, 0), RATE / 2.0).unwrap();
    assert_eq!(all_bits(&halved, &left), all_bits(&plain, &right));
}

#[test]
fn an_unclipped_gradient_takes_no_part_in_the_norm() {
    let settings = AdamWSettings { clip_norm: Some(1e-3), ..AdamWSettings::default() };
    let run = |of_first: f32, clipped: bool| {
        let parameters = parameters();
        let own = |name: &str| name.contains("embeddings.table");
        let groups = ParameterGroups::by_name(&parameters, |name| Multipliers {
            clipped: clipped || !own(name),
            ..Multipliers::ONE
        });
        let mut optimizer = AdamW::new(settings.clone(), &groups, &parameters).unwrap();
        let mut gradients = gradients(&parameters, 0);
        let (_, gradient) = gradients.iter_mut().next().unwrap();
        let Gradient::Dense(values) = gradient else { panic!("on the CPU") };
        values.iter_mut().for_each(|value| *value = of_first);
        let norm = optimizer.step(&parameters, &gradients, RATE).unwrap();
        let (own, others): (Vec<_>, Vec<_>) =
            all_bits(&parameters, &optimizer).0.into_iter().partition(|(name, _)| own(name));
        (own, others, norm)
    };
    let ((own, others, small), (other_own, same, large)) = (run(1.0, false), run(50.0, false));
    assert!(others == same && own != other_own && small < large);
    assert_eq!(own.len(), 3, "the table and its moments");
    assert_ne!(run(1.0, true).1, run(50.0, true).1, "clipped, it moves the others");
}

#[test]
fn gradients_that_do_not_fit_are_refused_and_change_nothing() {
    let parameters = parameters();
    let mut optimizer = optimizer(AdamWSettings::default(), &parameters);
    optimizer.step(&parameters, &gradients(&parameters, 0), RATE).unwrap();
    let before = all_bits(&parameters, &optimizer);
    let rows = |rows: &[u32], count| Gradient::Rows { rows: rows.to_vec(), values: vec![1.0; count] };
    let wrong = [
        Gradient::Dense(vec![1.0; 239]),
        rows(&[1, 1], 12),
        rows(&[2, 1], 12),
        rows(&[40], 6),
        rows(&[1], 7),
        Gradient::Device(Tensor::zeros((6, 40), DType::F32, &Device::Cpu).unwrap()),
    ];
    for wrong in wrong {
        let mut gradients = gradients(&parameters, 1);
        gradients.set(ParameterId(0), wrong.clone());
        let error = optimizer.step(&parameters, &gradients, RATE).unwrap_err();
        assert!(matches!(error, Error::Shape { .. } | Error::Parameter { .. }), "{wrong:?}: {error}");
    }
    let mut too_many = Gradients::empty(6);
    too_many.set(ParameterId(5), Gradient::Dense(vec![1.0]));
    assert!(optimizer.step(&parameters, &too_many, RATE).is_err());
    for rate in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(optimizer.step(&parameters, &gradients(&parameters, 1), rate).is_err());
    }
    assert!(optimizer.step(&Parameters::new(&Device::Cpu), &Gradients::empty(0), RATE).is_err());
    assert_eq!(all_bits(&parameters, &optimizer), before);
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_changes_nothing() {
    let parameters = parameters();
    let mut optimizer = optimizer(AdamWSettings::default(), &parameters);
    optimizer.step(&parameters, &gradients(&parameters, 0), RATE).unwrap();
    let before = all_bits(&parameters, &optimizer);
    fn steps(state: &mut Checkpoint) -> &mut serde_json::Map<String, Value> {
        state.state["steps"].as_object_mut().unwrap()
    }
    let damage: [fn(&mut Checkpoint); 7] = [
        |state| drop(state.tensors.remove("first.scalar")),
        |state| drop(steps(state).remove("scalar")),
        |state| drop(steps(state).insert("scalar".into(), 0.into())),
        |state| drop(steps(state).insert("other".into(), 1.into())),
        |state| state.tensors.get_mut("second.scalar").unwrap().values[0] = -1.0,
        |state| state.tensors.get_mut("first.scalar").unwrap().values[0] = f32::NAN,
        |state| state.tensors.get_mut("first.layer.0.bias").unwrap().shape = vec![3, 3],
    ];
    for (index, damage) in damage.into_iter().enumerate() {
        let mut state = optimizer.state().unwrap();
        damage(&mut state);
        assert!(optimizer.load_state(state).is_err(), "damage {index}");
        assert_eq!(all_bits(&parameters, &optimizer), before);
    }
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let base = AdamWSettings::default();
    let wrong = [
        ("learning_rate", AdamWSettings { learning_rate: -1.0, ..base.clone() }),
        ("beta1", AdamWSettings { beta1: 1.0, ..base.clone() }),
        ("beta2", AdamWSettings { beta2: f64::NAN, ..base.clone() }),
        ("epsilon", AdamWSettings { epsilon: 0.0, ..base.clone() }),
        ("epsilon", AdamWSettings { epsilon: 1e-60, ..base.clone() }),
        ("weight_decay", AdamWSettings { weight_decay: f64::INFINITY, ..base.clone() }),
        ("clip_norm", AdamWSettings { clip_norm: Some(0.0), ..base.clone() }),
        ("patience", AdamWSettings { patience: 0, ..base.clone() }),
    ];
    for (name, settings) in wrong {
        assert!(matches!(settings.check(), Err(Error::Argument { name: field, .. }) if field == name), "{settings:?}");
    }
    base.check().unwrap();
    let parameters = parameters();
    let groups = ParameterGroups::by_name(&parameters, |_| Multipliers { rate: f64::NAN, ..Multipliers::ONE });
    assert!(AdamW::new(base.clone(), &groups, &parameters).is_err());
    let none = ParameterGroups::standard(&Parameters::new(&Device::Cpu));
    assert!(matches!(AdamW::new(base, &none, &parameters), Err(Error::Shape { .. })));
}

#[test]
fn values_of_another_model_are_refused_and_change_nothing() {
    let parameters = parameters();
    let before = parameters.values().unwrap();
    let damage: [fn(&mut BTreeMap<String, StoredTensor>); 4] = [
        |values| drop(values.remove("scalar")),
        |values| drop(values.insert("other".into(), values["scalar"].clone())),
        |values| values.get_mut("layer.0.bias").unwrap().shape = vec![3, 3],
        |values| values.get_mut("scalar").unwrap().values[0] = f32::NAN,
    ];
    for damage in damage {
        let mut values: BTreeMap<String, StoredTensor> = before.clone();
        values.get_mut("layer.0.bias").unwrap().values[0] = 77.0;
        damage(&mut values);
        assert!(parameters.set_values(values).is_err());
        assert_eq!(bits(&parameters.values().unwrap()), bits(&before));
    }
}
