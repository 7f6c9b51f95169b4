//! Comparison of the encoder with PyTorch's results, for a small model that `scripts/golden_encoder.py` wrote, and for
//! a real model if it is available.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use dht_toys::{Outcome, batch, head_set, numbers, outside, rng};
use dht_transformer::{
    BertConfig, Encoder, ForwardContext, HeadPlan, Hidden, PackedBatch, Pooling,
    pretrained::PretrainedWeights,
    tensors::{Gradient, Gradients, Parameters, Spans, cross_entropy},
};
use serde::Deserialize;

/// Largest difference between two tensors, which must be at most `most` and not NaN.
fn deviation(what: &str, ours: &Tensor, theirs: &Tensor, most: f32) -> Outcome<f32> {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    let worst = worst(&numbers(ours), &numbers(theirs));
    assert!(worst <= most, "{what} is off by {worst}, allowed {most}");
    Ok(worst)
}

fn worst(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |worst: f32, d| if worst.is_nan() || d <= worst { worst } else { d })
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// Embedding output, and hidden states after each layer.
fn states(
    encoder: &Encoder,
    batch: &PackedBatch,
    plans: &[HeadPlan],
    widths: &[Option<usize>],
    ctx: &ForwardContext,
) -> Outcome<Vec<Hidden>> {
    let mut states = vec![encoder.embed(batch, ctx)?];
    for (layer, (plan, width)) in plans.iter().zip(widths).enumerate() {
        states.push(encoder.layer(layer, &states[layer], plan, *width, ctx)?);
    }
    Ok(states)
}

fn plans(heads_of_layers: &[Vec<usize>], heads: usize) -> Vec<HeadPlan> {
    heads_of_layers.iter().map(|indices| HeadPlan::Same(head_set(indices, heads))).collect()
}

/// Gradient of a tensor under its Hugging Face name. The gradients of Q, K and V are parts of the packed tensor's
/// gradient.
fn gradient(gradients: &Gradients, parameters: &Parameters, name: &str) -> Outcome<Vec<f32>> {
    let part = ["query", "key", "value"].iter().position(|part| name.contains(&format!("self.{part}.")));
    let packed = match part {
        Some(_) => name.replace("query", "qkv").replace("key", "qkv").replace("value", "qkv"),
        None => name.to_owned(),
    };
    let id = parameters.id(&packed)?;
    let var = parameters.var(id);
    let mut values = vec![0.0; var.elem_count()];
    match gradients.get(id) {
        None => {}
        Some(Gradient::Dense(dense)) => values.clone_from(dense),
        Some(Gradient::Rows { rows, values: some }) => {
            let width = var.dims()[1];
            for (row, from) in rows.iter().zip(some.chunks(width)) {
                values[*row as usize * width..][..width].copy_from_slice(from);
            }
        }
        Some(Gradient::Device(tensor)) => values = numbers(tensor),
    }
    let third = values.len() / 3;
    Ok(part.map_or(values.clone(), |part| values[part * third..(part + 1) * third].to_vec()))
}

mod of_our_own {
    use super::*;

    /// Tolerance for the rounding of the reference to f32, the arithmetic in f32, and the polynomial for erf.
    const TOLERANCE: f32 = 5e-6;
    const POOLINGS: [(&str, Pooling); 3] =
        [("cls", Pooling::Cls), ("pooler", Pooling::Pooler), ("mean", Pooling::Mean)];

    #[derive(Deserialize)]
    struct Description {
        config: BertConfig,
        classes: usize,
        ids: Vec<Vec<u32>>,
        type_ids: Vec<Vec<u32>>,
        labels: Vec<u32>,
        kept_heads: Vec<Vec<usize>>,
        widths: Vec<usize>,
        loss: f32,
        narrow_loss: f32,
    }

    struct Golden {
        description: Description,
        tensors: HashMap<String, Tensor>,
        batch: PackedBatch,
    }

    impl Golden {
        fn load() -> Outcome<Self> {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
            let description: Description = serde_json::from_slice(&std::fs::read(folder.join("encoder.json"))?)?;
            let tensors = candle_core::safetensors::load(folder.join("encoder.safetensors"), &Device::Cpu)?;
            let texts = batch(&description.ids, &description.labels);
            let batch = PackedBatch { type_ids: description.type_ids.concat(), ..texts };
            Ok(Self { description, tensors, batch })
        }

        fn encoder(&self) -> Outcome<Encoder> {
            let weights: BTreeMap<String, Tensor> = self
                .tensors
                .iter()
                .filter_map(|(name, tensor)| Some((name.strip_prefix("weight.")?.to_owned(), tensor.clone())))
                .collect();
            Ok(Encoder::from_tensors(&self.description.config, &weights, &Device::Cpu)?)
        }

        fn full(&self) -> (Vec<HeadPlan>, Vec<Option<usize>>) {
            let layers = self.description.config.num_hidden_layers;
            (vec![HeadPlan::Full; layers], vec![None; layers])
        }

        fn pruned(&self) -> Vec<HeadPlan> {
            plans(&self.description.kept_heads, self.description.config.num_attention_heads)
        }

        fn narrow(&self) -> Vec<Option<usize>> {
            self.description.widths.iter().copied().map(Some).collect()
        }

        fn compare_states(&self, run: &str, plans: &[HeadPlan], widths: &[Option<usize>]) -> Outcome {
            let states = states(&self.encoder()?, &self.batch, plans, widths, &ForwardContext::inference())?;
            for (layer, state) in states.iter().enumerate() {
                // All runs have the same embedding output.
                let name = if layer == 0 { "hidden.0".into() } else { format!("{run}.{layer}") };
                let worst = deviation(&name, state.tensor(), &self.tensors[&name], TOLERANCE)?;
                println!("{name}: {worst:e}");
            }
            Ok(())
        }

        /// Compares the loss and every gradient of a training step, and the logits if the reference has them.
        fn compare_training(&self, prefix: &str, loss: f32, plans: &[HeadPlan], widths: &[Option<usize>]) -> Outcome {
            let mut encoder = self.encoder()?;
            let mut rng = rng(0);
            let mut classifiers = Vec::new();
            for (name, pooling) in POOLINGS {
                classifiers.push(encoder.add_classifier(name, self.description.classes, pooling, &mut rng)?);
            }
            for (name, tensor) in &self.tensors {
                if let Some(Ok(id)) = name.strip_prefix("weight.").map(|name| encoder.parameters().id(name)) {
                    encoder.parameters().var(id).set(tensor)?;
                }
            }
            let ctx = ForwardContext::training_without_dropout(encoder.parameters());
            let last = states(&encoder, &self.batch, plans, widths, &ctx)?.pop().ok_or("no states")?;
            let mut sum = Tensor::zeros((), last.tensor().dtype(), &Device::Cpu)?;
            for (classifier, (name, _)) in classifiers.iter().zip(POOLINGS) {
                let logits = classifier.forward(&last, &ctx)?;
                if prefix == "grad" {
                    deviation(name, &logits, &self.tensors[&format!("logits.{name}")], TOLERANCE)?;
                }
                sum = (sum + cross_entropy(&logits, &self.batch.labels)?.mean_all()?)?;
            }
            let ours: f32 = sum.to_scalar()?;
            assert!((ours - loss).abs() < TOLERANCE, "the loss is {ours} instead of {loss}");

            let gradients = ctx.backward(&sum, encoder.parameters())?;
            let mut compared = 0;
            let mut overall: f32 = 0.0;
            for (name, theirs) in &self.tensors {
                let Some(name) = name.strip_prefix(&format!("{prefix}.")) else { continue };
                let (ours, theirs) = (gradient(&gradients, encoder.parameters(), name)?, numbers(theirs));
                let worst = worst(&ours, &theirs);
                let most = TOLERANCE * theirs.iter().fold(1.0, |most: f32, value| most.max(value.abs()));
                assert!(worst <= most, "the gradient of {name} is off by {worst}, allowed {most}");
                overall = overall.max(worst);
                compared += 1;
            }
            assert_eq!(compared, 5 + 16 * self.description.config.num_hidden_layers + 8);
            println!("{prefix}: loss {:e}, gradients {overall:e}", ours - loss);
            Ok(())
        }
    }

    #[test]
    fn golden_hidden_states_of_a_small_encoder() -> Outcome {
        let golden = Golden::load()?;
        let (plans, widths) = golden.full();
        golden.compare_states("hidden", &plans, &widths)
    }

    #[test]
    fn golden_hidden_states_with_pruned_heads() -> Outcome {
        let golden = Golden::load()?;
        golden.compare_states("masked", &golden.pruned(), &golden.full().1)
    }

    #[test]
    fn golden_hidden_states_hold_with_pruned_heads_and_neurons() -> Outcome {
        let golden = Golden::load()?;
        golden.compare_states("narrow", &golden.pruned(), &golden.narrow())
    }

    #[test]
    fn golden_loss_and_gradients_hold_under_three_classifiers() -> Outcome {
        let golden = Golden::load()?;
        let (plans, widths) = golden.full();
        golden.compare_training("grad", golden.description.loss, &plans, &widths)
    }

    #[test]
    fn golden_loss_and_gradients_hold_with_pruned_heads_and_neurons() -> Outcome {
        let golden = Golden::load()?;
        golden.compare_training("narrow_grad", golden.description.narrow_loss, &golden.pruned(), &golden.narrow())
    }
}

mod of_a_real_model {
    use super::*;

    const STATES: f32 = 2e-4;
    const LOSS: f32 = 1e-5;

    #[derive(Deserialize)]
    struct Description {
        kept_heads: Vec<Vec<usize>>,
        loss: f32,
        grad_norm: BTreeMap<String, f64>,
        grad_cos: BTreeMap<String, f64>,
        grad_norm_all: f64,
        full_gradients: Vec<String>,
    }

    struct Golden {
        description: Description,
        tensors: HashMap<String, Tensor>,
        encoder: Encoder,
        batch: PackedBatch,
    }

    impl Golden {
        /// Loads the reference. `None`, with a line of output, if the model is not available.
        fn load() -> Outcome<Option<Self>> {
            let at_hand = (outside("DHT_MODELS", "minilm-l6"), outside("DHT_GOLDEN", "minilm.json"));
            let (Some(model), Some(golden)) = at_hand else { return Ok(None) };
            let description: Description = serde_json::from_slice(&std::fs::read(&golden)?)?;
            let tensors = candle_core::safetensors::load(golden.with_extension("safetensors"), &Device::Cpu)?;
            let integers = |name: &str| -> Outcome<Vec<u32>> {
                Ok(tensors[name].to_vec1::<i64>()?.into_iter().map(u32::try_from).collect::<Result<_, _>>()?)
            };
            let offsets = integers("offsets")?;
            let batch = PackedBatch {
                ids: integers("ids")?,
                type_ids: integers("type_ids")?,
                spans: Spans::from_lengths(offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize))?,
                labels: integers("labels")?,
                targets: Vec::new(),
                sample_ids: (1..offsets.len() as u64).collect(),
                rest: Vec::new(),
            };
            let weights = PretrainedWeights::read(&model)?;
            let encoder = Encoder::from_tensors(&weights.config, &weights.tensors, &Device::Cpu)?;
            Ok(Some(Self { description, tensors, encoder, batch }))
        }

        fn compare_states(&self, run: &str, plans: &[HeadPlan]) -> Outcome {
            let states = states(&self.encoder, &self.batch, plans, &[None; 6], &ForwardContext::inference())?;
            for (layer, state) in states.iter().enumerate() {
                let name = if layer == 0 { "hidden.0".into() } else { format!("{run}.{layer}") };
                println!("{name}: {:e}", deviation(&name, state.tensor(), &self.tensors[&name], STATES)?);
            }
            Ok(())
        }
    }

    #[test]
    fn golden_hidden_states_of_a_real_model() -> Outcome {
        let Some(golden) = Golden::load()? else { return Ok(()) };
        golden.compare_states("hidden", &vec![HeadPlan::Full; golden.encoder.layers()])
    }

    #[test]
    fn golden_hidden_states_of_a_real_model_with_pruned_heads() -> Outcome {
        let Some(golden) = Golden::load()? else { return Ok(()) };
        let plans = plans(&golden.description.kept_heads, golden.encoder.config().num_attention_heads);
        golden.compare_states("masked", &plans)
    }

    #[test]
    fn golden_loss_and_gradients_of_a_real_model() -> Outcome {
        let Some(Golden { description, tensors, encoder, batch }) = Golden::load()? else { return Ok(()) };
        let ctx = ForwardContext::training_without_dropout(encoder.parameters());
        let plans = vec![HeadPlan::Full; encoder.layers()];
        let last = states(&encoder, &batch, &plans, &[None; 6], &ctx)?.pop().ok_or("no states")?;
        let logits = last.first_rows()?.matmul(&tensors["classifier"].t()?)?;
        deviation("logits", &logits, &tensors["logits"], STATES)?;
        let loss = cross_entropy(&logits, &batch.labels)?.mean_all()?;
        let difference = loss.to_scalar::<f32>()? - description.loss;
        assert!(difference.abs() <= LOSS, "the loss is off by {difference}");

        let gradients = ctx.backward(&loss, encoder.parameters())?;
        let all = description.grad_norm_all;
        let (mut squares, mut largest) = (0.0, [0f64; 3]);
        for (name, &theirs) in &description.grad_norm {
            let ours = gradient(&gradients, encoder.parameters(), name)?;
            // The tolerance is a fraction of the tensor's own norm, and a small fraction of the norm over all tensors.
            let allowed = 1e-3 * theirs + 1e-6 * all;
            let projected: f64 = ours.iter().enumerate().map(|(i, g)| f64::from(*g) * (i as f64).cos()).sum();
            let whole = match description.full_gradients.contains(name) {
                true => f64::from(worst(&ours, &numbers(&tensors[&format!("grad.{name}")]))),
                false => 0.0,
            };
            squares += norm(&ours).powi(2);
            let differences = [(norm(&ours) - theirs).abs(), (projected - description.grad_cos[name]).abs(), whole];
            for (kind, (difference, largest)) in
                ["norm", "projection", "whole gradient"].iter().zip(differences.iter().zip(&mut largest))
            {
                assert!(*difference <= allowed, "{name}: the {kind} is off by {difference:e}, allowed {allowed:e}");
                *largest = largest.max(difference / allowed);
            }
        }
        let overall = squares.sqrt() - all;
        assert!(overall.abs() <= 1e-3 * all, "the norm over all is off by {overall}");
        println!("loss {difference:e}, norm over all {overall:e}, of what is allowed {largest:.4?}");
        Ok(())
    }
}
