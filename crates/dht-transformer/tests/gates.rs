//! Gates on dimensions, neurons and heads: gradients are compared with finite differences, and gates in {0, 1} with
//! pruned layers.

use candle_core::{DType, Device, Tensor, Var};
use dht_toys::{Outcome, config, rng, sample};
use dht_transformer::{
    BertConfig, Encoder, Error, ForwardContext, HeadPlan, Hidden, PackedBatch, Pooling, Result, TextClassifier,
    config::{Family, KeptDimensions},
    flops::Load,
    model::{Gate, LayerGates},
    pretrained::PretrainedWeights,
    pruning::{Importance, PrunePlan},
    tensors::{Gradient, cross_entropy},
};
use rand::RngExt;

const LAYERS: usize = 2;
const HEADS: usize = 3;
const DIM: usize = 4;
const HIDDEN: usize = HEADS * DIM;
const NEURONS: usize = 4 * HIDDEN;

fn model() -> TextClassifier {
    let config = BertConfig { family: Family::MpNet, ..config([LAYERS, HEADS, HIDDEN, 50], 0.4) };
    dht_toys::classifier(&config, 3, Pooling::Mean, &mut rng(5))
}

fn batch() -> Result<PackedBatch> {
    let mut rng = rng(6);
    let text = |id| sample(id, id as u32 % 3, (0..2 + 2 * id).map(|_| rng.random_range(0..50)).collect::<Vec<_>>());
    PackedBatch::from_samples(&(0..4).map(text).collect::<Vec<_>>())
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

fn assert_close(what: &str, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance * (1.0 + a.abs()), "{what}: {a} and {b}");
    }
}

/// Gates of a layer: the name of each, the shape of its numbers, and the width of its mixing matrix.
const GATES: [(&str, &[usize], usize); 7] = [
    ("query_inputs", &[HIDDEN], HIDDEN),
    ("key_inputs", &[HIDDEN], HIDDEN),
    ("value_inputs", &[HIDDEN], HIDDEN),
    ("query_key_outputs", &[HEADS, DIM], DIM),
    ("value_outputs", &[HEADS, DIM], DIM),
    ("heads", &[HEADS], HEADS),
    ("neurons", &[NEURONS], NEURONS),
];

fn set(gates: &mut LayerGates, name: &str, gate: Gate) {
    let slot = match name {
        "query_inputs" => &mut gates.query_inputs,
        "key_inputs" => &mut gates.key_inputs,
        "value_inputs" => &mut gates.value_inputs,
        "query_key_outputs" => &mut gates.query_key_outputs,
        "value_outputs" => &mut gates.value_outputs,
        "heads" => &mut gates.heads,
        _ => &mut gates.neurons,
    };
    *slot = Some(gate);
}

/// Creates all gates of every layer, with numbers from `number`.
fn all_gates(mut number: impl FnMut() -> f64, mix: bool) -> Result<Vec<LayerGates>> {
    let mut layers = vec![LayerGates::default(); LAYERS];
    for layer in &mut layers {
        for (name, shape, width) in GATES {
            let shape = if mix { vec![width, width] } else { shape.to_vec() };
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| number() as f32).collect();
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
            set(layer, name, if mix { Gate::Mix(tensor) } else { Gate::Scale(tensor) });
        }
    }
    Ok(layers)
}

fn run(encoder: &Encoder, gates: &[LayerGates], batch: &PackedBatch) -> Result<Vec<f64>> {
    let ctx = ForwardContext::inference();
    numbers(encoder.run_gated(0..LAYERS, &encoder.embed(batch, &ctx)?, gates, &ctx)?.tensor())
}

fn whole(encoder: &Encoder, batch: &PackedBatch) -> Result<Vec<f64>> {
    numbers(dht_toys::run(encoder, batch, &ForwardContext::inference())?.tensor())
}

#[test]
fn gates_at_one_and_identities_change_nothing() -> Outcome {
    let (model, batch) = (model(), batch()?);
    let expected = whole(model.encoder(), &batch)?;
    assert_close("ones", &run(model.encoder(), &all_gates(|| 1.0, false)?, &batch)?, &expected, 2e-5);
    let identities = |layer: &mut LayerGates| -> Result<()> {
        for (name, _, width) in GATES {
            set(layer, name, Gate::Mix(Tensor::eye(width, DType::F32, &Device::Cpu)?));
        }
        Ok(())
    };
    let mut gates = vec![LayerGates::default(); LAYERS];
    gates.iter_mut().try_for_each(identities)?;
    assert_close("identities", &run(model.encoder(), &gates, &batch)?, &expected, 2e-5);
    Ok(())
}

#[test]
fn the_gradient_of_every_gate_equals_its_finite_difference() -> Outcome {
    let (model, batch) = (model(), batch()?);
    let mut rng = rng(9);
    let ctx = ForwardContext::inference();
    let embedded = model.encoder().embed(&batch, &ctx)?;
    let embedded = Hidden::new(embedded.tensor().to_dtype(DType::F64)?, embedded.packing().clone())?;
    let weights: Vec<f64> = (0..embedded.tensor().elem_count()).map(|_| rng.random_range(-1.0..1.0)).collect();
    let weights = Tensor::from_vec(weights, embedded.tensor().shape(), &Device::Cpu)?;
    let loss = |gates: &[LayerGates]| -> Result<Tensor> {
        let y = model.encoder().run_gated(0..LAYERS, &embedded, gates, &ctx)?;
        Ok((y.tensor() * &weights)?.sum_all()?)
    };
    for mix in [false, true] {
        for (name, shape, width) in GATES {
            let shape = if mix { vec![width, width] } else { shape.to_vec() };
            let start: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(0.3..1.2)).collect();
            for layer in 0..LAYERS {
                // All other gates exist, too, with random numbers.
                let mut gates = all_gates(|| rng.random_range(0.5..1.5), false)?;
                let mut at = |values: &[f64]| -> Result<(Var, Tensor)> {
                    let var = Var::from_tensor(&Tensor::from_slice(values, shape.clone(), &Device::Cpu)?)?;
                    let tensor = var.as_tensor().clone();
                    set(&mut gates[layer], name, if mix { Gate::Mix(tensor) } else { Gate::Scale(tensor) });
                    Ok((var, loss(&gates)?))
                };
                let (var, value) = at(&start)?;
                let gradients = value.backward()?;
                let gradient = numbers(gradients.get(&var).ok_or("the gate has no gradient")?)?;
                let greatest = gradient.iter().fold(0.0_f64, |greatest, slope| greatest.max(slope.abs()));
                assert!(greatest > 1e-3, "{name} has no effect");
                for place in (0..start.len()).step_by(1 + start.len() / 7) {
                    let step = 1e-5;
                    let mut moved = start.clone();
                    moved[place] = start[place] + step;
                    let above = at(&moved)?.1.to_scalar::<f64>()?;
                    moved[place] = start[place] - step;
                    let below = at(&moved)?.1.to_scalar::<f64>()?;
                    let slope = (above - below) / (2.0 * step);
                    // candle's GELU has constants with six digits.
                    let error = (slope - gradient[place]).abs() / greatest;
                    assert!(error < 1e-5, "{name} {place} of layer {layer}: {slope} and {}", gradient[place]);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn backward_through_unit_gates_gives_the_usual_gradients() -> Outcome {
    let (model, batch) = (model(), batch()?);
    let parameters = model.encoder().parameters();
    let gradients = |gated: bool| -> Result<Vec<Option<Vec<f32>>>> {
        let ctx = ForwardContext::training_without_dropout(parameters);
        let hidden = model.encoder().embed(&batch, &ctx)?;
        let hidden = match gated {
            true => model.encoder().run_gated(0..LAYERS, &hidden, &all_gates(|| 1.0, false)?, &ctx)?,
            false => model.encoder().run(0..LAYERS, &hidden, &HeadPlan::Full, &ctx)?,
        };
        let loss = cross_entropy(&model.classifier().forward(&hidden, &ctx)?, &batch.labels)?.mean_all()?;
        let gradients = ctx.backward(&loss, parameters)?;
        let dense = |gradient: &Gradient, id| -> Result<Vec<f32>> {
            Ok(gradient.to_tensor(parameters.var(id))?.flatten_all()?.to_vec1()?)
        };
        parameters.iter().map(|(id, ..)| gradients.get(id).map(|gradient| dense(gradient, id)).transpose()).collect()
    };
    for ((gated, fused), (_, name, _)) in gradients(true)?.iter().zip(gradients(false)?).zip(parameters.iter()) {
        let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
        let (gated, fused) = (gated.as_ref().ok_or(name)?, fused.ok_or(name)?);
        assert_close(name, &wide(gated), &wide(&fused), 1e-4);
    }
    Ok(())
}

#[test]
fn folded_gates_give_what_the_gates_gave() -> Outcome {
    let (model, batch) = (model(), batch()?);
    for mix in [false, true] {
        let mut rng = rng(11);
        let gates = all_gates(|| rng.random_range(-0.5..1.0), mix)?;
        let expected = run(model.encoder(), &gates, &batch)?;
        assert_close("folded", &whole(&model.encoder().fold_gates(&gates)?, &batch)?, &expected, 1e-4);
        let plain = whole(model.encoder(), &batch)?;
        assert!(plain.iter().zip(&expected).any(|(a, b)| (a - b).abs() > 0.1), "the gates had no effect");
    }
    Ok(())
}

/// Dimensions and neurons that remain in a layer.
type Plan = (KeptDimensions, Vec<usize>);

/// Plans for removing dimensions, and the equivalent gates in {0, 1}.
fn plans(heads_of_last: &[usize]) -> Result<(Vec<Plan>, Vec<LayerGates>)> {
    let config = model().encoder().config().clone();
    let mut rng = rng(13);
    let mut some = |all: usize| -> Vec<usize> {
        let list: Vec<usize> = (0..all).filter(|_| rng.random_bool(0.6)).collect();
        if list.is_empty() { vec![all / 2] } else { list }
    };
    let mut plans = Vec::new();
    for layer in 0..LAYERS {
        let dimensions = KeptDimensions {
            query_inputs: some(HIDDEN),
            key_inputs: some(HIDDEN),
            value_inputs: some(HIDDEN),
            query_key_outputs: (0..HEADS).map(|_| some(DIM)).collect(),
            value_outputs: (0..HEADS).map(|_| some(DIM)).collect(),
        };
        let dimensions = match layer + 1 == LAYERS {
            true => dimensions.without_heads(|head| heads_of_last.contains(&head)),
            false => dimensions,
        };
        dimensions.check(&config)?;
        // The neurons are in reverse order.
        plans.push((dimensions, some(NEURONS).into_iter().rev().collect::<Vec<_>>()));
    }
    let gates = plans.iter().map(|(dimensions, neurons)| {
        let mut gates = LayerGates::default();
        for (name, shape, _) in GATES {
            let list = match name {
                "query_inputs" => dimensions.query_inputs.clone(),
                "key_inputs" => dimensions.key_inputs.clone(),
                "value_inputs" => dimensions.value_inputs.clone(),
                "query_key_outputs" => dimensions.query_key_rows(&config),
                "value_outputs" => dimensions.value_rows(&config),
                "heads" => dimensions.heads(),
                _ => neurons.clone(),
            };
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|place| f32::from(u8::from(list.contains(&place)))).collect();
            set(&mut gates, name, Gate::Scale(Tensor::from_vec(values, shape, &Device::Cpu)?));
        }
        Ok(gates)
    });
    let gates = gates.collect::<Result<_>>()?;
    Ok((plans, gates))
}

fn pruned(model: &TextClassifier, plans: &[Plan]) -> Result<TextClassifier> {
    model.with_encoder(model.encoder().prune_dimensions(plans)?)
}

#[test]
fn pruned_dimensions_equal_zero_gates_and_survive_a_save() -> Outcome {
    let (model, batch) = (model(), batch()?);
    let (plans, gates) = plans(&[0, 2])?;
    let small = pruned(&model, &plans)?;
    let expected = run(model.encoder(), &gates, &batch)?;
    assert_close("pruned", &whole(small.encoder(), &batch)?, &expected, 2e-5);
    let plain = whole(model.encoder(), &batch)?;
    assert!(plain.iter().zip(&expected).any(|(a, b)| (a - b).abs() > 0.1), "nothing was taken out");
    // The layers run in candle's graph, as on other devices.
    let config =
        BertConfig { hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0, ..small.encoder().config().clone() };
    let still = Encoder::from_tensors(&config, &small.encoder().to_tensors()?, &Device::Cpu)?;
    let ctx = ForwardContext::in_candle_graph(still.parameters(), 0, 0);
    assert_close("composed", &numbers(dht_toys::run(&still, &batch, &ctx)?.tensor())?, &expected, 2e-5);

    // The matrices are small: the number of parameters is the one that the sizes imply.
    let config = small.encoder().config();
    let biases = 32 * HEADS;
    let tables = (config.vocab_size + config.max_position_embeddings + 2) * HIDDEN + biases;
    let layers: u64 = (0..LAYERS).map(|layer| small.encoder().layer_sizes(layer).parameters()).sum();
    let classifier = 3 * HIDDEN + 3;
    assert_eq!(small.encoder().parameters().elements() as u64, tables as u64 + layers + classifier as u64);
    let sizes = small.encoder().layer_sizes(1);
    assert_eq!(sizes.query_inputs, plans[1].0.query_inputs.len());
    assert_eq!(sizes.ffn, plans[1].1.len());

    let folder = tempfile::tempdir()?;
    let target = folder.path().join("small");
    let labels = ["a", "b", "c"].map(String::from);
    small.save(&target, None, &labels)?;
    let again = TextClassifier::load(&target, &Device::Cpu)?;
    assert_eq!(whole(again.encoder(), &batch)?, whole(small.encoder(), &batch)?);
    assert_eq!(again.encoder().kept_dimensions(1), Some(&plans[1].0));
    assert_eq!(again.encoder().layer_sizes(0), small.encoder().layer_sizes(0));
    // `transformers` reads a whole model with zeros. Without this crate's fields it is the same model.
    let mut plain = PretrainedWeights::read(&target)?.config;
    assert!(plain.other.remove("kept_dimensions").is_some());
    plain.other.remove("kept_neurons");
    plain.save(target.join("config.json"))?;
    let plain = TextClassifier::load(&target, &Device::Cpu)?;
    assert!(plain.encoder().kept_dimensions(0).is_none());
    assert_close("without the fields", &whole(plain.encoder(), &batch)?, &expected, 2e-5);
    Ok(())
}

#[test]
fn a_small_encoder_trains_as_the_whole_one_with_zeros_would() -> Outcome {
    let (model, batch) = (model(), batch()?);
    let (plans, gates) = plans(&[1])?;
    let small = pruned(&model, &plans)?;
    let zeros = model.with_encoder(model.encoder().fold_gates(&gates)?)?;
    let of = |model: &TextClassifier, name: &str| -> Result<Vec<f64>> {
        let parameters = model.encoder().parameters();
        let ctx = ForwardContext::training_without_dropout(parameters);
        let gradients = ctx.backward(&model.loss(&batch, &ctx)?, parameters)?;
        let id = parameters.id(name)?;
        let missing = || Error::Parameter { name: name.into(), problem: "has no gradient" };
        numbers(&gradients.get(id).ok_or_else(missing)?.to_tensor(parameters.var(id))?)
    };
    for name in ["embeddings.word_embeddings.weight", "classifier.weight", "encoder.layer.0.output.LayerNorm.weight"] {
        assert_close(name, &of(&small, name)?, &of(&zeros, name)?, 1e-4);
    }
    let whole = of(&zeros, "encoder.layer.1.attention.self.qkv.weight")?;
    let dimensions = &plans[1].0;
    let rows = dimensions.query_key_rows(model.encoder().config());
    let key = of(&small, "encoder.layer.1.attention.self.key.weight")?;
    let expected: Vec<f64> = rows
        .iter()
        .flat_map(|row| {
            dimensions.key_inputs.iter().map(|input| whole[(HIDDEN + row) * HIDDEN + input]).collect::<Vec<_>>()
        })
        .collect();
    assert_close("key", &key, &expected, 1e-4);
    assert!(key.iter().any(|slope| slope.abs() > 1e-4));
    Ok(())
}

#[test]
fn pruning_whole_heads_saves_no_field_of_dimensions() -> Outcome {
    let model = model();
    let all = KeptDimensions::all(model.encoder().config());
    let neurons: Vec<usize> = (0..7).collect();
    let heads = |list: &'static [usize]| all.clone().without_heads(|head| list.contains(&head));
    let plan = |list| (heads(list), neurons.clone());
    let small = model.encoder().prune_dimensions(&[plan(&[0, 1, 2]), plan(&[0, 1, 2])])?;
    assert!(small.config().other.is_empty(), "{:?}", small.config().other);
    assert_eq!(small.config().intermediate_size, 7);
    let small = model.encoder().prune_dimensions(&[plan(&[0, 2]), plan(&[1])])?;
    assert_eq!(small.config().other.keys().collect::<Vec<_>>(), ["kept_heads"]);
    assert_eq!(small.kept_heads(1).iter().collect::<Vec<_>>(), [1]);
    Ok(())
}

#[test]
fn layers_and_heads_can_still_be_taken_out_of_a_small_encoder() -> Outcome {
    let (model, batch) = (model(), batch()?);
    let (plans, _) = plans(&[0, 1, 2])?;
    let small = pruned(&model, &plans)?;
    let last = small.prune(&PrunePlan::whole_layers(small.encoder(), &[1])?)?;
    assert_eq!(last.encoder().kept_dimensions(0), Some(&plans[1].0));
    let ctx = ForwardContext::inference();
    let hidden = small.encoder().embed(&batch, &ctx)?;
    let expected = small.encoder().layer(1, &hidden, &HeadPlan::Full, None, &ctx)?;
    assert_close("one layer", &whole(last.encoder(), &batch)?, &numbers(expected.tensor())?, 2e-5);
    let importance = Importance::by_magnitude(small.encoder())?;
    assert_eq!(
        [importance.heads[0].len(), importance.neurons[0].len()],
        [HEADS, small.encoder().config().intermediate_size]
    );
    let data = dht_toys::data([""; 0], []);
    assert!(Importance::by_gradient(small.encoder(), &data, &[], |batch, ctx| small.loss(batch, ctx)).is_err());
    // The FLOPs of the model follow from its sizes.
    let load = Load::of_texts(batch.spans.lengths());
    let layers: u64 = (0..LAYERS).map(|layer| small.encoder().layer_sizes(layer).forward(load).total().0).sum();
    assert_eq!(small.forward_flops(load).0, layers + small.classifier().shape().forward(load.samples).total().0);
    assert!(small.forward_flops(load).0 < model.forward_flops(load).0);
    Ok(())
}

#[test]
fn gates_and_dimensions_that_do_not_fit_are_refused() -> Outcome {
    let (model, batch) = (model(), batch()?);
    let (plans, gates) = plans(&[0, 1, 2])?;
    let ctx = ForwardContext::inference();
    let hidden = model.encoder().embed(&batch, &ctx)?;
    let run = |encoder: &Encoder, gates: &[LayerGates]| {
        encoder.run_gated(0..LAYERS, &hidden, gates, &ctx).err().map_or(String::new(), |error| error.to_string())
    };
    let wrong = |gate: Gate| {
        let mut gates = gates.clone();
        gates[1].query_key_outputs = Some(gate);
        run(model.encoder(), &gates)
    };
    assert!(wrong(Gate::Scale(Tensor::ones(DIM, DType::F32, &Device::Cpu)?)).contains("query_key_outputs"));
    assert!(wrong(Gate::Mix(Tensor::ones((HIDDEN, HIDDEN), DType::F32, &Device::Cpu)?)).contains("[4, 4]"));
    assert!(run(model.encoder(), &gates[..1]).contains("gates"));
    let small = model.encoder().prune_dimensions(&plans)?;
    assert!(run(&small, &gates).contains("dimensions taken out"));
    assert!(small.prune_dimensions(&plans).is_err_and(|error| error.to_string().contains("taken out")));
    assert!(model.encoder().prune_dimensions(&plans[..1]).is_err());
    let narrower = small.layer(0, &hidden, &HeadPlan::Full, Some(1), &ctx);
    assert!(narrower.is_err_and(|error| error.to_string().contains("dimensions taken out")));
    Ok(())
}

#[test]
fn a_configuration_with_invalid_dimensions_is_rejected() -> Outcome {
    let model = model();
    let (plans, _) = plans(&[0, 1, 2])?;
    let config = model.encoder().prune_dimensions(&plans)?.config().clone();
    let tensors = model.encoder().to_tensors()?;
    let narrow: std::collections::BTreeMap<String, Tensor> = tensors;
    let refused = |change: &dyn Fn(&mut serde_json::Value)| -> Result<String> {
        let mut config = BertConfig { intermediate_size: NEURONS, ..config.clone() };
        config.other.remove("kept_neurons");
        change(&mut config.other["kept_dimensions"]);
        Ok(Encoder::from_tensors(&config, &narrow, &Device::Cpu).err().map_or(String::new(), |error| error.to_string()))
    };
    assert_eq!(refused(&|_| ())?, "");
    assert!(refused(&|value| value[0]["query_inputs"] = serde_json::json!([12]))?.contains("layer 0"));
    assert!(refused(&|value| value[1]["value_outputs"] = serde_json::json!([[], [], []]))?.contains("layer 1"));
    assert!(refused(&|value| *value = serde_json::json!("all"))?.contains("kept_dimensions"));
    assert!(refused(&|value| *value = serde_json::json!([value[0].clone()]))?.contains("2 layers"));
    Ok(())
}
