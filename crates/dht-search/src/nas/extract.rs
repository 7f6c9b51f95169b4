//! From an architecture to a model.

use candle_core::{Device, Tensor};
use dht_transformer::model::{Gate, LayerGates};
use dht_transformer::{Encoder, TextClassifier};

use super::architecture::Architecture;
use super::space::{Group, Part};
use crate::error::{Error, Result};

/// A classifier with the units of an architecture alone, in matrices of their sizes, and the weights that it has now: a general
/// student's, or a searched one's whose gates do not matter any more.
///
/// # Errors
/// [`Error::Setting`] for an architecture of another size; as
/// [`Encoder::prune_dimensions`](dht_transformer::Encoder::prune_dimensions).
pub fn extract(model: &TextClassifier, architecture: &Architecture) -> Result<TextClassifier> {
    check(model.encoder(), architecture)?;
    Ok(model.with_encoder(model.encoder().prune_dimensions(&architecture.plans())?)?)
}

/// The same after the gates were multiplied into the weights: it gives what the model gives through these gates, where those of
/// units that are not kept are 0.
///
/// # Errors
/// As [`extract`], and as [`Encoder::fold_gates`](dht_transformer::Encoder::fold_gates).
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
    let expected = Architecture::whole(encoder.block_shape(), encoder.layers());
    let sizes = |it: &Architecture| -> Vec<usize> {
        let units = |layer| Part::ALL.map(|part| it.units(layer, part).len());
        (0..it.layers()).flat_map(units).collect()
    };
    match sizes(&expected) == sizes(architecture) {
        true => Ok(()),
        false => {
            let (layers, got) = (encoder.layers(), architecture.layers());
            Err(Error::setting(
                "architecture",
                format!("{layers} layers of the encoder's sizes"),
                format!("{got} layers"),
            ))
        }
    }
}

/// One number for each unit of each group, as gates of the layers.
pub(super) fn layer_gates(
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

/// One gate for each group, given to the group's layers.
pub(super) fn assigned(groups: &[Group], layers: usize, gates: Vec<Gate>) -> Vec<LayerGates> {
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
