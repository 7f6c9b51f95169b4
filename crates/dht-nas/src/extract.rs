//! Extraction: builds a smaller model with only the units of an architecture.

use candle_core::{Device, Tensor};
use dht_transformer::flops::BlockShape;
use dht_transformer::model::{Gate, LayerGates};
use dht_transformer::{Encoder, TextClassifier};

use crate::architecture::Architecture;
use crate::error::{Error, Result};
use crate::space::{Group, Part};

/// Extracts a smaller classifier: it has only the units (dimensions, neurons, heads) of an architecture, in matrices of
/// the reduced sizes. Its weights are the model's current weights. Gates of a searched model are ignored.
///
/// # Errors
/// * [`Error::Argument`] if the sizes of the architecture differ from the encoder's sizes. The error states the first
///   layer and part that differ.
/// * Fails as [`Encoder::prune_dimensions`](dht_transformer::Encoder::prune_dimensions) does.
pub fn extract(model: &TextClassifier, architecture: &Architecture) -> Result<TextClassifier> {
    check(model.encoder(), architecture)?;
    Ok(model.with_encoder(model.encoder().prune_dimensions(&architecture.plans())?)?)
}

/// Multiplies the weights by gates (factors on units), then extracts the architecture as a smaller classifier. If the
/// gates of removed units are 0, the smaller classifier has the same output as the model with these gates.
///
/// # Errors
/// * Fails as [`extract`] does.
/// * Fails as [`Encoder::fold_gates`](dht_transformer::Encoder::fold_gates) does.
pub fn extract_folded(
    model: &TextClassifier,
    architecture: &Architecture,
    gates: &[LayerGates],
) -> Result<TextClassifier> {
    check(model.encoder(), architecture)?;
    let folded = model.encoder().fold_gates(gates)?;
    Ok(model.with_encoder(folded.prune_dimensions(&architecture.plans())?)?)
}

fn check(encoder: &Encoder, architecture: &Architecture) -> Result<()> {
    let refused = |expected: String, got: String| Err(Error::argument("architecture", expected, got));
    let (layers, got) = (encoder.layers(), architecture.layers());
    if got != layers {
        return refused(format!("{layers}, the encoder's"), format!("one of {got} layers"));
    }
    let whole = Architecture::whole(encoder.block_shape(), layers);
    for layer in 0..layers {
        for part in Part::ALL {
            let [expected, got] = [&whole, architecture].map(|it| it.units(layer, part).len());
            if got != expected {
                return refused(
                    format!("{expected}, the encoder's"),
                    format!("one of {got} {} in layer {layer}", part.name()),
                );
            }
        }
    }
    match (encoder.block_shape(), architecture.shape()) {
        (expected, got) if expected == got => Ok(()),
        (expected, got) => {
            refused(format!("one for {}, the encoder's", layer_of(expected)), format!("one for {}", layer_of(got)))
        }
    }
}

pub(crate) fn layer_of(BlockShape { hidden, heads, head_dim, ffn }: BlockShape) -> String {
    format!("{hidden} hidden dimensions, {heads} heads of {head_dim} and {ffn} neurons")
}

/// Creates the gates of each layer from one number per unit (dimension, neuron or head): the factor by which the unit's
/// output is multiplied. `numbers` has one list per group of units.
pub(crate) fn layer_gates(
    groups: &[Group],
    layers: usize,
    numbers: &[Vec<f64>],
    device: &Device,
) -> Result<Vec<LayerGates>> {
    let gates = groups.iter().zip(numbers).map(|(group, numbers)| {
        let numbers: Vec<f32> = numbers.iter().map(|number| *number as f32).collect();
        let shape = if group.part.is_by_head() { vec![group.blocks, group.width] } else { vec![group.units()] };
        Ok(Gate::Scale(Tensor::from_vec(numbers, shape, device)?))
    });
    Ok(assigned(groups, layers, gates.collect::<Result<_>>()?))
}

/// Distributes gates to layers. `gates` has one gate per group of units, which all layers of the group share.
pub(crate) fn assigned(groups: &[Group], layers: usize, gates: Vec<Gate>) -> Vec<LayerGates> {
    let mut of_layers = vec![LayerGates::default(); layers];
    for (group, gate) in groups.iter().zip(gates) {
        for layer in &mut of_layers[group.layers.clone()] {
            let slot = match group.part {
                Part::QueryInputs => &mut layer.query_inputs,
                Part::KeyInputs => &mut layer.key_inputs,
                Part::ValueInputs => &mut layer.value_inputs,
                Part::QueryKeyOutputs => &mut layer.query_key_outputs,
                Part::ValueOutputs => &mut layer.value_outputs,
                Part::Heads => &mut layer.heads,
                Part::Neurons => &mut layer.neurons,
            };
            *slot = Some(gate.clone());
        }
    }
    of_layers
}
