//! Permanent removal of single dimensions from layers, and folding of gates into the weights.

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde_json::json;

use super::prune::PrunePlan;
use crate::config::KeptDimensions;
use crate::error::{Error, Result};
use crate::model::{Encoder, Gate, KEPT_DIMENSIONS, LayerGates, names};
use crate::tensors::HeadSet;

impl Encoder {
    /// Creates an encoder with only the listed dimensions, whose matrices are smaller. Each layer has its own sizes:
    /// its item in `layers` has the remaining dimensions of attention, and the remaining feed-forward neurons in their
    /// new order. The outputs equal those of this encoder with zeros in place of the removed dimensions.
    ///
    /// # Files
    /// If only heads and neurons were removed, files are as for [`prune`](Self::prune). Otherwise the field
    /// `"kept_dimensions"` of `config.json` has one [`KeptDimensions`] for each layer, and `"kept_neurons"` is as for
    /// `prune`. The tensors in the file have their original sizes, with zeros in place of removed dimensions. So
    /// `transformers` loads the directory unchanged, with the same outputs. This crate loads only the remaining
    /// dimensions.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of layers differs from the encoder's; [`Error::Argument`] for dimensions or
    /// neurons that do not exist, or if dimensions were already removed from this encoder; errors of candle.
    pub fn prune_dimensions(&self, layers: &[(KeptDimensions, Vec<usize>)]) -> Result<Self> {
        if layers.len() != self.layers() {
            let (expected, got) = (vec![self.layers()], vec![layers.len()]);
            return Err(Error::Shape { what: "plans of layers".into(), expected, got });
        }
        for (layer, (dimensions, _)) in layers.iter().enumerate() {
            dimensions.check(self.config())?;
            if self.kept_dimensions(layer).is_some() {
                let got = format!("layer {layer}, which has dimensions taken out");
                return Err(Error::argument("layer", "a whole layer", got));
            }
        }
        let all = self.config().num_attention_heads;
        let mut neurons = PrunePlan {
            layers: (0..layers.len()).collect(),
            heads: vec![HeadSet::full(all)?; layers.len()],
            neurons: layers.iter().map(|(_, neurons)| neurons.clone()).collect(),
        };
        let remaining = || layers.iter().map(|(dimensions, _)| dimensions);
        if remaining().all(|dimensions| dimensions.is_heads_alone(self.config())) {
            let sets = remaining().map(|kept| HeadSet::from_indices(kept.heads(), all));
            neurons.heads = sets.collect::<Result<_>>()?;
            return self.prune(&neurons);
        }
        let narrow = self.prune(&neurons)?;
        let mut config = narrow.config().clone();
        config.other.insert(KEPT_DIMENSIONS.into(), json!(remaining().collect::<Vec<_>>()));
        self.build_like(&config, narrow.whole_tensors()?, self.parameters().device())
    }

    /// Folds gates into the weights. The new encoder has no gates, and the same outputs as this encoder with the gates.
    ///
    /// Gates on inputs multiply the columns of Q, K and V. Gates on queries and keys multiply the rows of Q, and a
    /// [`Gate::Mix`] also the rows of K. Gates on values and heads multiply the columns of the output projection. Gates
    /// on neurons multiply the columns of the second feed-forward matrix.
    ///
    /// # Errors
    /// Errors of [`run_gated`](Self::run_gated).
    pub fn fold_gates(&self, gates: &[LayerGates]) -> Result<Self> {
        let config = self.config();
        let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
        if gates.len() != self.layers() || (0..self.layers()).any(|layer| self.kept_dimensions(layer).is_some()) {
            let (expected, got) = (vec![self.layers()], vec![gates.len()]);
            return Err(Error::Shape { what: "gates of whole layers".into(), expected, got });
        }
        let mut tensors = self.whole_tensors()?;
        for (layer, gates) in gates.iter().enumerate() {
            gates.check(hidden, heads, config.intermediate_size)?;
            let compared = gates.query_key_outputs.as_ref();
            let interpolated = compared.filter(|gate| matches!(gate, Gate::Mix(_)));
            change(&mut tensors, layer, names::QKV, |qkv| {
                let part = |part: usize, inputs: &Option<Gate>, outputs: Option<&Gate>| -> Result<Tensor> {
                    rows(&columns(&qkv.narrow(0, part * hidden, hidden)?, inputs.as_ref())?, outputs, heads)
                };
                let parts = [
                    part(0, &gates.query_inputs, compared)?,
                    part(1, &gates.key_inputs, interpolated)?,
                    part(2, &gates.value_inputs, None)?,
                ];
                Ok(Tensor::cat(&parts, 0)?)
            })?;
            change(&mut tensors, layer, names::QKV_BIAS, |bias| {
                let part = |part: usize, outputs: Option<&Gate>| -> Result<Tensor> {
                    rows(&bias.narrow(0, part * hidden, hidden)?.unsqueeze(1)?, outputs, heads)
                };
                Ok(Tensor::cat(&[part(0, compared)?, part(1, interpolated)?, part(2, None)?], 0)?.squeeze(1)?)
            })?;
            change(&mut tensors, layer, names::OUTPUT, |output| {
                // o·(G_heads ∘ G_values): columns are rows of the transposed matrix.
                let by_head = of_heads(&output.t()?, gates.heads.as_ref(), heads)?;
                Ok(transposed_rows(&by_head, gates.value_outputs.as_ref(), heads)?.t()?.contiguous()?)
            })?;
            change(&mut tensors, layer, names::DOWN, |down| columns(down, gates.neurons.as_ref()))?;
        }
        self.build_like(config, tensors, self.parameters().device())
    }
}

fn change(
    tensors: &mut BTreeMap<String, Tensor>,
    layer: usize,
    tensor: &str,
    by: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<()> {
    let name = names::of_layer(layer, tensor);
    let missing = || Error::Parameter { name: name.clone(), problem: "is missing" };
    let changed = by(tensors.get(&name).ok_or_else(missing)?)?;
    tensors.insert(name, changed);
    Ok(())
}

/// Computes W·G for a gate G on the inputs of the matrix W; `None` is the identity.
fn columns(matrix: &Tensor, gate: Option<&Gate>) -> Result<Tensor> {
    Ok(match gate {
        None => matrix.clone(),
        Some(Gate::Scale(numbers)) => matrix.broadcast_mul(&numbers.unsqueeze(0)?)?,
        Some(Gate::Mix(mix)) => matrix.contiguous()?.matmul(mix)?,
    })
}

/// Computes G·W for a gate G on the outputs of a matrix W, shape (heads · head width, columns). Its rows are grouped
/// by head, and each head is multiplied separately.
fn rows(matrix: &Tensor, gate: Option<&Gate>, heads: usize) -> Result<Tensor> {
    match gate {
        Some(Gate::Mix(mix)) => by_head(matrix, heads, |matrix| Ok(mix.broadcast_matmul(matrix)?)),
        scale => transposed_rows(matrix, scale, heads),
    }
}

/// Computes Gᵀ·W for a gate G on the values V. `matrix` is W, the transposed output projection, so that each of its
/// rows belongs to a dimension of V.
fn transposed_rows(matrix: &Tensor, gate: Option<&Gate>, heads: usize) -> Result<Tensor> {
    Ok(match gate {
        None => matrix.clone(),
        Some(Gate::Scale(numbers)) => matrix.broadcast_mul(&numbers.flatten_all()?.unsqueeze(1)?)?,
        Some(Gate::Mix(mix)) => {
            let mix = mix.t()?.contiguous()?;
            by_head(matrix, heads, |matrix| Ok(mix.broadcast_matmul(matrix)?))?
        }
    })
}

/// Computes Gᵀ·W for a gate G on heads and a matrix W, shape (heads · head width, columns). Its rows are grouped by
/// head, and the rows of one head are scaled or mixed as a whole.
fn of_heads(matrix: &Tensor, gate: Option<&Gate>, heads: usize) -> Result<Tensor> {
    let (rows, width) = matrix.dims2()?;
    let flat = matrix.contiguous()?.reshape((heads, rows / heads * width))?;
    let flat = match gate {
        None => return Ok(matrix.clone()),
        Some(Gate::Scale(numbers)) => flat.broadcast_mul(&numbers.unsqueeze(1)?)?,
        Some(Gate::Mix(mix)) => mix.t()?.contiguous()?.matmul(&flat)?,
    };
    Ok(flat.reshape((rows, width))?)
}

fn by_head(matrix: &Tensor, heads: usize, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (rows, width) = matrix.dims2()?;
    let parts = matrix.contiguous()?.reshape((heads, rows / heads, width))?;
    Ok(change(&parts)?.reshape((rows, width))?)
}
