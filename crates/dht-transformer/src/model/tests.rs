//! Tests that compare the fused encoder with the composed one, and check invariances.

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::block::Attention;
use super::classifier::Classifier;
use super::encoder::Encoder;
use crate::backend::{DropoutSite, ForwardContext, Operations, TokenIds};
use crate::config::{BertConfig, Pooling};
use crate::data::PackedBatch;
use crate::error::{Error, Result};
use crate::tensors::{Gradient, Gradients, HeadPlan, HeadSet, Hidden, SampleGroup, Spans, cross_entropy};

const WIDTH: usize = 40;

fn model() -> (Encoder, Classifier) {
    let config = BertConfig { initializer_range: 0.2, ..BertConfig::small(3, 4, 24, 50).unwrap() };
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut encoder = Encoder::random(&config, &Device::Cpu, &mut rng).unwrap();
    let classifier = encoder.add_classifier("classifier", 3, Pooling::Mean, &mut rng).unwrap();
    (encoder, classifier)
}

fn batch() -> PackedBatch {
    let lengths = [5, 1, 9, 3];
    let ids: Vec<u32> = (0..18).map(|i| (i * 7 + 3) % 50).collect();
    let type_ids = (0..18).map(|i| u32::from(i % 5 == 4)).collect();
    let spans = Spans::from_lengths(lengths).unwrap();
    PackedBatch {
        ids,
        type_ids,
        spans,
        labels: vec![0, 2, 1, 2],
        targets: Vec::new(),
        sample_ids: vec![3, 1, 4, 15],
        rest: Vec::new(),
    }
}

fn set(heads: &[usize]) -> HeadSet {
    HeadSet::from_indices(heads.iter().copied(), 4).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(what: &str, a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs())), "{what}[{index}]: {a} and {b}");
    }
}

/// Head plans of three layers: layer 0 runs all heads, layer 1 two heads, and layer 2 a separate head set for each
/// sample.
fn plans() -> [HeadPlan; 3] {
    let per_sample = vec![set(&[0, 1]), set(&[3]), set(&[0, 1]), set(&[0, 1, 2, 3])];
    [HeadPlan::Full, HeadPlan::Same(set(&[1, 3])), HeadPlan::PerSample(per_sample)]
}

fn fused(
    encoder: &Encoder,
    batch: &PackedBatch,
    plans: &[HeadPlan],
    width: Option<usize>,
    ctx: &ForwardContext,
) -> Result<Hidden> {
    let mut hidden = encoder.embed(batch, ctx)?;
    for (layer, plan) in plans.iter().enumerate() {
        hidden = encoder.layer(layer, &hidden, plan, width, ctx)?;
    }
    Ok(hidden)
}

/// Computes the plans with candle's operations, head set by head set.
fn composed(
    encoder: &Encoder,
    batch: &PackedBatch,
    plans: &[HeadPlan],
    width: usize,
    ctx: &ForwardContext,
) -> Result<Hidden> {
    let (p_hidden, p_probability) =
        (encoder.config().hidden_dropout_prob, encoder.config().attention_probs_dropout_prob);
    let packing = encoder.embed(batch, &ForwardContext::inference())?.packing().clone();
    let ids = TokenIds {
        words: batch.ids.clone(),
        positions: packing.row_tokens().to_vec(),
        token_types: batch.type_ids.clone(),
    };
    let dropout = ctx.dropout(p_hidden, DropoutSite::Embedding);
    let operations = Operations::CANDLE;
    let mut hidden = Hidden::new(operations.embed(&ids, &packing, &encoder.embeddings, dropout)?, packing.clone())?;
    for (layer, plan) in plans.iter().enumerate() {
        let block = &encoder.blocks()[layer];
        let dropouts = (
            ctx.dropout(p_probability, DropoutSite::AttentionProbabilities { layer }),
            ctx.dropout(p_hidden, DropoutSite::AttentionOutput { layer }),
        );
        let mut parts = Vec::new();
        for sample in 0..hidden.samples() {
            let part = hidden.select(&[sample])?;
            let heads = plan.set(sample).unwrap_or(HeadSet::full(4)?);
            let (x, packing) = (part.tensor(), part.packing());
            let Attention::Whole(attention) = &block.attention else { unreachable!() };
            let y = operations.attention((layer, x, packing), attention, heads, dropouts, ctx)?;
            parts.push(Hidden::new(y, part.packing().clone())?);
        }
        let attended = Hidden::concat(&parts)?;
        let dropout = ctx.dropout(p_hidden, DropoutSite::FeedForwardOutput { layer });
        let rows = (attended.tensor(), &**attended.packing());
        let y = operations.feed_forward(rows, &block.feed_forward, width, dropout, ctx)?;
        hidden = Hidden::new(y, attended.packing().clone())?;
    }
    Ok(hidden)
}

fn dense(gradients: &Gradients, encoder: &Encoder, index: usize) -> Option<Vec<f32>> {
    let (id, _, var) = encoder.parameters().iter().nth(index).unwrap();
    gradients.get(id).map(|gradient| match gradient {
        Gradient::Dense(numbers) => numbers.clone(),
        Gradient::Rows { rows, values } => {
            let width = var.dims()[1];
            let mut all = vec![0.0; var.elem_count()];
            for (row, values) in rows.iter().zip(values.chunks(width)) {
                all[*row as usize * width..][..width].copy_from_slice(values);
            }
            all
        }
        Gradient::Device(_) => unreachable!(),
    })
}

#[test]
fn the_fused_encoder_equals_the_composed_one_in_both_directions() {
    let (encoder, classifier) = model();
    let batch = batch();
    let run = |fuse: bool| {
        let ctx = ForwardContext::training(encoder.parameters(), 11, 3).with_head_gate_gradients();
        let hidden = if fuse {
            fused(&encoder, &batch, &plans(), Some(WIDTH), &ctx).unwrap()
        } else {
            composed(&encoder, &batch, &plans(), WIDTH, &ctx).unwrap()
        };
        let logits = classifier.forward(&hidden, &ctx).unwrap();
        let loss = cross_entropy(&logits, &batch.labels).unwrap().mean_all().unwrap();
        let gradients = ctx.backward(&loss, encoder.parameters()).unwrap();
        let mut gate_gradients = ctx.head_gate_gradients();
        gate_gradients.sort_by_key(|gradient| (gradient.layer, gradient.sample, gradient.head));
        (numbers(hidden.tensor()), loss.to_scalar::<f32>().unwrap(), gradients, gate_gradients)
    };
    let (fused, composed) = (run(true), run(false));
    assert_close("hidden", &fused.0, &composed.0, 2e-5);
    assert_close("loss", &[fused.1], &[composed.1], 1e-5);
    for (index, (_, name, _)) in encoder.parameters().iter().enumerate() {
        let (a, b) = (dense(&fused.2, &encoder, index), dense(&composed.2, &encoder, index));
        assert_close(name, &a.unwrap(), &b.unwrap(), 2e-5);
    }
    // There is one gradient for each sample and each head that ran: 4 of 4 heads, 2 of 4, and the heads of the four
    // sets.
    assert_eq!(fused.3.len(), 4 * 4 + 4 * 2 + (2 + 1 + 2 + 4));
    for (a, b) in fused.3.iter().zip(&composed.3) {
        assert_eq!((a.layer, a.sample, a.head), (b.layer, b.sample, b.head));
        assert_close("gradient", &[a.gradient], &[b.gradient], 2e-5);
        assert!(a.gradient != 0.0, "{a:?}");
    }
}

#[test]
fn gate_gradients_sum_to_the_weights_dot_their_gradients() {
    // The sum of ∂L/∂ξ over samples equals Σ W ⊙ ∂L/∂W over the head's columns of the output matrix.
    let (encoder, classifier) = model();
    let batch = batch();
    let ctx = ForwardContext::training(encoder.parameters(), 4, 2).with_head_gate_gradients();
    let known = ctx.clone();
    let hidden = fused(&encoder, &batch, &[HeadPlan::Full, HeadPlan::Full, HeadPlan::Full], None, &ctx).unwrap();
    let loss = cross_entropy(&classifier.forward(&hidden, &ctx).unwrap(), &batch.labels).unwrap();
    assert!(known.head_gate_gradients().is_empty());
    let gradients = ctx.backward(&loss.mean_all().unwrap(), encoder.parameters()).unwrap();
    let gate_gradients = known.head_gate_gradients();
    for (layer, block) in encoder.blocks().iter().enumerate() {
        let output = block.attention.output();
        let gradient = dense(&gradients, &encoder, output.id().index()).unwrap();
        let mut expected = [0.0; 4];
        for (place, (weight, gradient)) in numbers(output.var()).iter().zip(gradient).enumerate() {
            expected[place % 24 / 6] += weight * gradient;
        }
        for (head, expected) in expected.into_iter().enumerate() {
            let of_head = gate_gradients.iter().filter(|gradient| (gradient.layer, gradient.head) == (layer, head));
            assert_close("gate", &[of_head.map(|gradient| gradient.gradient).sum()], &[expected], 1e-5);
        }
    }
}

#[test]
fn every_parameter_has_a_finite_gradient_after_one_step() {
    let (encoder, classifier) = model();
    let batch = batch();
    let ctx = ForwardContext::training(encoder.parameters(), 1, 1);
    let hidden = fused(&encoder, &batch, &[HeadPlan::Full, HeadPlan::Full, HeadPlan::Full], None, &ctx).unwrap();
    let logits = classifier.forward(&hidden, &ctx).unwrap();
    let loss = cross_entropy(&logits, &batch.labels).unwrap().mean_all().unwrap();
    let gradients = ctx.backward(&loss, encoder.parameters()).unwrap();
    for (index, (_, name, _)) in encoder.parameters().iter().enumerate() {
        let gradient = dense(&gradients, &encoder, index).unwrap_or_else(|| panic!("{name} has no gradient"));
        assert!(gradient.iter().all(|g| g.is_finite()), "{name}");
        assert!(gradient.iter().any(|g| *g != 0.0), "{name} has gradient zero");
    }
}

#[test]
fn frozen_layers_get_no_gradient_and_let_it_pass() {
    let (encoder, classifier) = model();
    let batch = batch();
    let gradients = |frozen: bool| {
        encoder.freeze_layer(1, frozen);
        let ctx = ForwardContext::training(encoder.parameters(), 1, 1);
        let hidden = fused(&encoder, &batch, &[HeadPlan::Full, HeadPlan::Full, HeadPlan::Full], None, &ctx).unwrap();
        let loss = cross_entropy(&classifier.forward(&hidden, &ctx).unwrap(), &batch.labels).unwrap();
        ctx.backward(&loss.mean_all().unwrap(), encoder.parameters()).unwrap()
    };
    let (frozen, thawed) = (gradients(true), gradients(false));
    for (index, (_, name, _)) in encoder.parameters().iter().enumerate() {
        let (a, b) = (dense(&frozen, &encoder, index), dense(&thawed, &encoder, index));
        if name.starts_with("encoder.layer.1.") {
            assert!(a.is_none() && b.is_some(), "{name}");
        } else {
            assert_eq!(a, b, "{name}");
        }
    }
}

#[test]
fn groups_run_as_their_samples_would_alone_forward_and_backward() {
    let (encoder, classifier) = model();
    let batch = batch();
    let groups = [(1, set(&[0, 3]), 11), (2, set(&[2]), 96), (1, set(&[0, 1, 2, 3]), 40)];
    let groups = groups.map(|(samples, heads, neurons)| SampleGroup { samples, heads, neurons });
    let run = |together: bool| {
        let ctx = ForwardContext::training(encoder.parameters(), 5, 8);
        let embedded = encoder.embed(&batch, &ctx).unwrap();
        let hidden = match together {
            true => encoder.run_groups(0..3, &embedded, &groups, &ctx).unwrap(),
            false => {
                let samples = [vec![0], vec![1, 2], vec![3]];
                let parts = samples.iter().zip(groups).map(|(samples, group)| {
                    let (plan, width) = (HeadPlan::Same(group.heads), Some(group.neurons));
                    let part = embedded.select(samples).unwrap();
                    (0..3).fold(part, |part, layer| encoder.layer(layer, &part, &plan, width, &ctx).unwrap())
                });
                Hidden::concat(&parts.collect::<Vec<_>>()).unwrap()
            }
        };
        let loss = cross_entropy(&classifier.forward(&hidden, &ctx).unwrap(), &batch.labels).unwrap();
        let gradients = ctx.backward(&loss.mean_all().unwrap(), encoder.parameters()).unwrap();
        (numbers(hidden.tensor()), gradients)
    };
    let (together, apart) = (run(true), run(false));
    assert_close("hidden", &together.0, &apart.0, 1e-5);
    for (index, (_, name, _)) in encoder.parameters().iter().enumerate() {
        let (a, b) = (dense(&together.1, &encoder, index), dense(&apart.1, &encoder, index));
        assert_close(name, &a.unwrap(), &b.unwrap(), 1e-5);
    }
}

#[test]
fn groups_that_do_not_fit_are_refused() {
    let (encoder, _) = model();
    let ctx = ForwardContext::inference();
    let hidden = encoder.embed(&batch(), &ctx).unwrap();
    let run = |samples, heads, neurons| {
        let rest = SampleGroup { samples: 1, heads: set(&[0]), neurons: 96 };
        encoder.run_groups(0..3, &hidden, &[rest, SampleGroup { samples, heads, neurons }], &ctx)
    };
    assert!(run(3, set(&[1]), 96).is_ok());
    assert!(matches!(run(4, set(&[1]), 96), Err(Error::Shape { .. })));
    let fifth = HeadSet::from_indices([4], 5).unwrap();
    assert!(matches!(run(3, fifth, 96), Err(Error::Range { what: "head", got: 4, below: 4 })));
    for neurons in [0, 97] {
        assert!(matches!(run(3, set(&[1]), neurons), Err(Error::Argument { name: "feed-forward width", .. })));
    }
}

#[test]
fn a_text_in_a_batch_equals_the_text_alone() {
    let (encoder, _) = model();
    let batch = batch();
    let together = fused(&encoder, &batch, &plans(), None, &ForwardContext::inference()).unwrap();
    for sample in 0..4 {
        let range = batch.spans.range(sample);
        let alone = PackedBatch {
            ids: batch.ids[range.clone()].to_vec(),
            type_ids: batch.type_ids[range.clone()].to_vec(),
            spans: Spans::from_lengths([range.len()]).unwrap(),
            labels: vec![batch.labels[sample]],
            targets: Vec::new(),
            sample_ids: vec![batch.sample_ids[sample]],
            rest: Vec::new(),
        };
        let plans = plans().map(|plan| plan.set(sample).map_or(HeadPlan::Full, HeadPlan::Same));
        let alone = fused(&encoder, &alone, &plans, None, &ForwardContext::inference()).unwrap();
        let part = together.select(&[sample]).unwrap();
        assert_close("rows", &numbers(part.tensor()), &numbers(alone.tensor()), 1e-5);
    }
}

#[test]
fn dropout_does_not_depend_on_how_samples_are_grouped() {
    let (encoder, _) = model();
    let batch = batch();
    let ctx = ForwardContext::training(encoder.parameters(), 2, 9);
    let together = fused(&encoder, &batch, &plans(), None, &ctx).unwrap();
    let embedded = encoder.embed(&batch, &ctx).unwrap().select(&[2, 0]).unwrap();
    let plans = plans().map(|plan| match plan.set(2) {
        None => HeadPlan::Full,
        Some(_) => HeadPlan::PerSample([2, 0].map(|sample| plan.set(sample).unwrap()).to_vec()),
    });
    let mut hidden = embedded;
    for (layer, plan) in plans.iter().enumerate() {
        hidden = encoder.layer(layer, &hidden, plan, None, &ctx).unwrap();
    }
    assert_close("rows", &numbers(hidden.tensor()), &numbers(together.select(&[2, 0]).unwrap().tensor()), 1e-5);
}

#[test]
fn a_pruned_head_equals_a_head_multiplied_by_zero() {
    let (encoder, _) = model();
    let batch = batch();
    let heads = set(&[0, 2]);
    let pruned = fused(&encoder, &batch, &[HeadPlan::Same(heads)], None, &ForwardContext::inference()).unwrap();
    let mut tensors = encoder.to_tensors().unwrap();
    let name = "encoder.layer.0.attention.output.dense.weight";
    let mask: Vec<f32> = (0..24).map(|column| f32::from(u8::from(heads.contains(column / 6)))).collect();
    let masked = tensors[name].broadcast_mul(&Tensor::from_vec(mask, (1, 24), &Device::Cpu).unwrap()).unwrap();
    tensors.insert(name.into(), masked);
    let masked = Encoder::from_tensors(encoder.config(), &tensors, &Device::Cpu).unwrap();
    let masked = fused(&masked, &batch, &[HeadPlan::Full], None, &ForwardContext::inference()).unwrap();
    assert_close("rows", &numbers(pruned.tensor()), &numbers(masked.tensor()), 1e-5);
}

#[test]
fn a_single_text_has_the_same_bits_on_any_number_of_threads() {
    let (encoder, _) = model();
    let tokens = 60;
    let batch = PackedBatch {
        ids: (0..tokens as u32).map(|i| i * 7 % 50).collect(),
        type_ids: vec![0; tokens],
        spans: Spans::from_lengths([tokens]).unwrap(),
        labels: vec![0],
        targets: Vec::new(),
        sample_ids: vec![9],
        rest: Vec::new(),
    };
    let plans = [HeadPlan::Full, HeadPlan::Same(set(&[1, 3])), HeadPlan::Full];
    for ctx in [ForwardContext::inference(), ForwardContext::training(encoder.parameters(), 3, 4)] {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| numbers(fused(&encoder, &batch, &plans, None, &ctx).unwrap().tensor()))
        };
        assert_eq!(on(1), on(2));
        assert_eq!(on(1), on(7));
    }
}

#[test]
fn an_encoder_survives_hugging_faces_names() {
    let (encoder, _) = model();
    let again = Encoder::from_tensors(encoder.config(), &encoder.to_tensors().unwrap(), &Device::Cpu).unwrap();
    for (id, name, var) in again.parameters().iter() {
        assert_eq!(numbers(var), numbers(encoder.parameters().var(encoder.parameters().id(name).unwrap())), "{id:?}");
    }
}

#[test]
fn some_values_change_and_the_others_stay() {
    let (encoder, _) = model();
    let parameters = encoder.parameters();
    let before = parameters.values().unwrap();
    let mut biases = parameters.values_where(|name| name.ends_with("classifier.bias")).unwrap();
    assert_eq!(biases.keys().collect::<Vec<_>>(), ["classifier.bias"]);
    biases.get_mut("classifier.bias").unwrap().values = vec![1.0, 2.0, 3.0];
    parameters.update_values(biases.clone()).unwrap();
    let after = parameters.values().unwrap();
    assert_eq!(after["classifier.bias"].values, [1.0, 2.0, 3.0]);
    assert!(before.iter().all(|(name, old)| name == "classifier.bias" || after[name].values == old.values));

    assert!(matches!(parameters.set_values(biases.clone()), Err(Error::Parameter { problem: "is missing", .. })));
    biases.insert("other".into(), biases["classifier.bias"].clone());
    assert!(matches!(parameters.update_values(biases), Err(Error::Parameter { problem: "is not known", .. })));
    assert_eq!(parameters.values().unwrap()["classifier.bias"].values, [1.0, 2.0, 3.0]);
}

#[test]
fn what_lies_outside_the_model_is_an_error() {
    let (encoder, _) = model();
    let ctx = ForwardContext::inference();
    let mut wrong = batch();
    wrong.ids[3] = 50;
    assert!(encoder.embed(&wrong, &ctx).is_err());
    let hidden = encoder.embed(&batch(), &ctx).unwrap();
    assert!(encoder.layer(3, &hidden, &HeadPlan::Full, None, &ctx).is_err());
    assert!(encoder.layer(0, &hidden, &HeadPlan::Full, Some(97), &ctx).is_err());
    assert!(encoder.layer(0, &hidden, &HeadPlan::Full, Some(0), &ctx).is_err());
    let too_wide = HeadPlan::Same(HeadSet::from_indices([4], 5).unwrap());
    assert!(encoder.layer(0, &hidden, &too_wide, None, &ctx).is_err());
    assert!(encoder.truncated(0).is_err() && encoder.truncated(4).is_err());
    assert_eq!(encoder.truncated(2).unwrap().layers(), 2);
}

#[test]
fn head_magnitude_is_that_of_value_rows_and_output_columns() {
    let (encoder, _) = model();
    let tensors = encoder.to_tensors().unwrap();
    for layer in 0..3 {
        let matrix = |name: &str| -> Vec<Vec<f32>> {
            tensors[&format!("encoder.layer.{layer}.attention.{name}.weight")].to_vec2().unwrap()
        };
        let (value, output) = (matrix("self.value"), matrix("output.dense"));
        let magnitudes = encoder.head_magnitudes(layer).unwrap();
        assert_eq!(magnitudes.len(), 4);
        for (head, magnitude) in magnitudes.into_iter().enumerate() {
            let (mut of_value, mut of_output) = (0.0, 0.0);
            for inner in 6 * head..6 * (head + 1) {
                for outer in 0..24 {
                    of_value += f64::from(value[inner][outer]).powi(2);
                    of_output += f64::from(output[outer][inner]).powi(2);
                }
            }
            approx::assert_relative_eq!(magnitude, f64::sqrt(of_value * of_output), max_relative = 1e-12);
        }
    }
    assert!(encoder.head_magnitudes(3).is_err());
}

#[test]
fn a_truncated_copy_learns_without_the_original() {
    let (encoder, _) = model();
    let before: Vec<Vec<f32>> = encoder.parameters().iter().map(|(_, _, var)| numbers(var)).collect();
    for copy in [
        encoder.truncated(3).unwrap(),
        Encoder::from_tensors(encoder.config(), &encoder.to_tensors().unwrap(), &candle_core::Device::Cpu).unwrap(),
    ] {
        for (_, _, var) in copy.parameters().iter() {
            var.set(&var.as_tensor().zeros_like().unwrap()).unwrap();
        }
        let after: Vec<Vec<f32>> = encoder.parameters().iter().map(|(_, _, var)| numbers(var)).collect();
        assert_eq!(after, before);
    }
}

/// Change of a text's rows after the first layer if the word at `place` is replaced and only one head runs, for 20
/// texts.
fn moved(encoder: &Encoder, place: usize, head: usize) -> Vec<f32> {
    let states = |text: u32, word: u32| {
        let mut ids: Vec<u32> = (0..16).map(|i| (i * 7 + text) % 50).collect();
        ids[place] = word;
        let spans = Spans::from_lengths([16]).unwrap();
        let batch = PackedBatch {
            ids,
            type_ids: vec![0; 16],
            spans,
            labels: vec![0],
            targets: Vec::new(),
            sample_ids: vec![0],
            rest: Vec::new(),
        };
        let plan = HeadPlan::Same(set(&[head]));
        numbers(fused(encoder, &batch, &[plan], None, &ForwardContext::inference()).unwrap().tensor())
    };
    let mut moved = vec![0.0; 16];
    for text in 0..20 {
        let (one, other) = (states(text, text), states(text, text + 25));
        for (moved, (a, b)) in moved.iter_mut().zip(one.chunks_exact(64).zip(other.chunks_exact(64))) {
            *moved += a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        }
    }
    moved
}

#[test]
fn local_heads_attend_to_one_and_two_tokens_before_and_after() {
    let config = BertConfig::small(1, 4, 64, 50).unwrap();
    let encoder = |neighbours: bool| {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        match neighbours {
            true => Encoder::random_with_local_attention(&config, &Device::Cpu, &mut rng).unwrap(),
            false => Encoder::random(&config, &Device::Cpu, &mut rng).unwrap(),
        }
    };
    // Number of pairs of a head and a replaced word for which the row that changes most is the row that attends to the
    // word. The word's own row is not counted.
    let matches = |encoder: &Encoder| -> usize {
        let right = |head: usize, offset: isize, place: usize| {
            let moved = moved(encoder, place, head);
            let others = (0..moved.len()).filter(|row| *row != place);
            let most = others.max_by(|a, b| moved[*a].total_cmp(&moved[*b])).unwrap();
            most as isize + offset == place as isize
        };
        let heads = [-1, 1, -2, 2].into_iter().enumerate();
        heads.map(|(head, offset)| (3..13).filter(|place| right(head, offset, *place)).count()).sum()
    };
    assert!(matches(&encoder(true)) > 35);
    assert!(matches(&encoder(false)) < 15);
}

#[test]
fn heads_of_one_column_cannot_look_at_neighbours() {
    let config = BertConfig::small(1, 4, 4, 50).unwrap();
    let refused = Encoder::random_with_local_attention(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(5));
    assert!(matches!(refused, Err(Error::Argument { name: "hidden_size / num_attention_heads", .. })));
}

#[test]
fn a_users_linear_layer_has_gradients_flops_and_a_unique_name() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let config = BertConfig::small(1, 2, 8, 10).unwrap();
    let mut encoder = Encoder::random(&config, &Device::Cpu, &mut rng).unwrap();
    let layer = encoder.add_linear("side", 3, 2, &mut rng).unwrap();
    assert!(matches!(encoder.add_linear("side", 3, 2, &mut rng), Err(Error::Parameter { .. })));
    assert!(matches!(encoder.add_linear("other", 0, 2, &mut rng), Err(Error::Argument { name: "linear", .. })));

    let x = Tensor::from_slice(&[1f32, 2.0, -1.0, 0.5, 0.0, 3.0], (2, 3), &Device::Cpu).unwrap();
    let values = encoder.parameters().values().unwrap();
    let weight = &values["side.weight"].values;
    let ctx = ForwardContext::training(encoder.parameters(), 1, 1);
    let y = layer.forward(&x, &ctx).unwrap();
    let rows: Vec<Vec<f32>> = y.to_vec2().unwrap();
    let product = |row: &[f32], output: usize| -> f32 { (0..3).map(|i| row[i] * weight[3 * output + i]).sum() };
    for (row, x) in rows.iter().zip(x.to_vec2::<f32>().unwrap()) {
        (0..2).for_each(|output| assert!((row[output] - product(&x, output)).abs() < 1e-6));
    }
    // The loss is a sum, so the gradient of a weight is the sum of its input, and that of a bias the number of rows.
    let gradients = ctx.backward(&y.sum_all().unwrap(), encoder.parameters()).unwrap();
    let of = |name: &str| {
        let id = encoder.parameters().id(name).unwrap();
        gradients.iter().find(|(other, _)| *other == id).map(|(_, gradient)| format!("{gradient:?}")).unwrap()
    };
    assert!(of("side.weight").contains("[1.5, 2.0, 2.0, 1.5, 2.0, 2.0]"), "{}", of("side.weight"));
    assert!(of("side.bias").contains("[2.0, 2.0]"), "{}", of("side.bias"));
    assert_eq!(layer.shape().forward(2).total().0, 2 * 2 * 3 * 2);
}
