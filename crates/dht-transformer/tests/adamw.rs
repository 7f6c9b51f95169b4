//! Comparison of the optimiser and the schedule with PyTorch's results, which `scripts/golden_adamw.py` wrote.

use approx::assert_relative_eq;
use candle_core::{Device, Tensor};
use dht_transformer::{
    AdamWSettings, Result,
    tensors::{Gradient, Gradients, Parameters},
    train::optim::{AdamW, ParameterGroups, Schedule, WarmUp},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    settings: AdamWSettings,
    warm_up: u64,
    parameters: Vec<Parameter>,
    /// Gradients: (steps, parameters, elements).
    gradients: Vec<Vec<Option<Vec<f32>>>>,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    shape: Vec<usize>,
    initial: Vec<f32>,
}

#[derive(Deserialize)]
struct Run {
    clip_norm: Option<f64>,
    norms: Vec<f64>,
    /// Values by number of steps: (parameters, elements).
    values: std::collections::BTreeMap<usize, Vec<Vec<f32>>>,
    steps: Vec<u64>,
    first: Vec<Vec<f32>>,
    second: Vec<Vec<f32>>,
}

/// Form of the gradient of the embedding table.
#[derive(Clone, Copy)]
enum Table {
    Dense,
    Rows,
}

fn gradient(values: &[f32], shape: &[usize], as_rows: bool) -> Gradient {
    if !as_rows {
        return Gradient::Dense(values.to_vec());
    }
    let (rows, values): (Vec<u32>, Vec<&[f32]>) =
        (0..).zip(values.chunks(shape[1])).filter(|(_, row)| row.iter().any(|&value| value != 0.0)).unzip();
    Gradient::Rows { rows, values: values.concat() }
}

/// Asserts that values differ by at most 1e-6 times the larger of the number and `size`.
fn assert_close(what: &str, ours: &[f32], theirs: &[f32], size: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (index, (&ours, &theirs)) in ours.iter().zip(theirs).enumerate() {
        let allowed = 1e-6 * theirs.abs().max(size);
        assert!((ours - theirs).abs() <= allowed, "{what}[{index}]: {ours} instead of {theirs}");
    }
}

fn fifty_steps_equal_those_of_pytorch(table: Table) -> Result<()> {
    let golden: Golden = serde_json::from_str(include_str!("golden/adamw.json")).expect("the golden file is JSON");
    assert_eq!(golden.gradients.len(), 50);
    let schedule = Schedule::Linear { warm_up: WarmUp::Steps(golden.warm_up) };
    for run in &golden.runs {
        let mut parameters = Parameters::new(&Device::Cpu);
        for Parameter { name, shape, initial } in &golden.parameters {
            parameters.insert(name, &Tensor::from_slice(initial, shape.as_slice(), &Device::Cpu)?)?;
        }
        let settings = AdamWSettings { clip_norm: run.clip_norm, ..golden.settings.clone() };
        let mut optimizer = AdamW::new(settings, &ParameterGroups::standard(&parameters), &parameters)?;
        for (step, given) in golden.gradients.iter().enumerate() {
            let mut gradients = Gradients::empty(parameters.len());
            for ((id, name, var), values) in parameters.iter().zip(given) {
                if let Some(values) = values {
                    let as_rows = matches!(table, Table::Rows) && name.contains("embeddings");
                    gradients.set(id, gradient(values, var.dims(), as_rows));
                }
            }
            let rate = golden.settings.learning_rate * schedule.rate(step as u64, 50);
            let norm = optimizer.step(&parameters, &gradients, rate)?;
            assert_relative_eq!(norm, run.norms[step], max_relative = 1e-6);
            if let Some(expected) = run.values.get(&(step + 1)) {
                for ((_, name, var), expected) in parameters.iter().zip(expected) {
                    assert_close(&format!("{name} at {step}"), &var.flatten_all()?.to_vec1()?, expected, 0.0);
                }
            }
        }
        let state = optimizer.state()?;
        for (index, Parameter { name, .. }) in golden.parameters.iter().enumerate() {
            assert_eq!(state.state["steps"][name], run.steps[index]);
            let moment = |which: &str| &state.tensors[&format!("{which}.{name}")].values;
            // Gradients of both signs cancel in the mean, so its error is compared with the largest value of the
            // tensor.
            let size = run.first[index].iter().fold(0.0_f32, |size, value| size.max(value.abs()));
            assert_close(&format!("first moment of {name}"), moment("first"), &run.first[index], size);
            assert_close(&format!("second moment of {name}"), moment("second"), &run.second[index], 0.0);
        }
    }
    Ok(())
}

#[test]
fn fifty_steps_on_dense_gradients_equal_those_of_pytorch() -> Result<()> {
    fifty_steps_equal_those_of_pytorch(Table::Dense)
}

#[test]
fn fifty_steps_on_rows_of_a_table_equal_those_of_pytorch() -> Result<()> {
    fifty_steps_equal_those_of_pytorch(Table::Rows)
}
