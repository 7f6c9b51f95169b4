//! Methods that run an encoder with differentiable gates (trainable factors) on its dimensions, and queries about
//! pruned dimensions.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Tensor;

use super::block::{Attention, LayerRecord};
use super::encoder::Encoder;
use super::names;
use crate::backend::{ForwardContext, LayerGates};
use crate::config::KeptDimensions;
use crate::data::PackedBatch;
use crate::error::{Error, Result};
use crate::flops::LayerSizes;
use crate::tensors::Hidden;

impl Encoder {
    /// Runs consecutive layers, each with differentiable gates (trainable factors) on its dimensions.
    ///
    /// The layers are composed of candle's operations on every device. [`ForwardContext::grad_store`] returns the
    /// gradients of the variables from which gates are computed. If the variables are [parameters](Self::add_parameter)
    /// of the encoder, [`ForwardContext::backward`] returns their gradients, too. Hidden states in f64 are processed in
    /// f64.
    ///
    /// # Errors
    /// [`Error::Argument`] for a layer that does not exist or has pruned dimensions; [`Error::Shape`] for a gate whose
    /// shape does not fit the layer, or if the number of [`LayerGates`] differs from the number of layers.
    pub fn run_gated(
        &self,
        layers: Range<usize>,
        hidden: &Hidden,
        gates: &[LayerGates],
        ctx: &ForwardContext,
    ) -> Result<Hidden> {
        let records = self.record_gated(layers, hidden, gates, ctx)?;
        Ok(records.into_iter().next_back().map_or_else(|| hidden.clone(), |record| record.hidden))
    }

    /// Runs consecutive layers with gates on their dimensions, as [`run_gated`](Self::run_gated) does. Returns the
    /// output and the attention scores of each layer.
    ///
    /// # Errors
    /// Errors of [`run_gated`](Self::run_gated).
    pub fn record_gated(
        &self,
        layers: Range<usize>,
        hidden: &Hidden,
        gates: &[LayerGates],
        ctx: &ForwardContext,
    ) -> Result<Vec<LayerRecord>> {
        let blocks = self.blocks().get(layers.clone()).ok_or_else(|| {
            Error::argument("layers", format!("ascending, up to {}", self.layers()), format!("{layers:?}"))
        })?;
        if gates.len() != blocks.len() {
            let (expected, got) = (vec![blocks.len()], vec![gates.len()]);
            return Err(Error::Shape { what: "gates".into(), expected, got });
        }
        let (mut hidden, mut records) = (hidden.clone(), Vec::with_capacity(blocks.len()));
        for (block, gates) in blocks.iter().zip(gates) {
            let record = block.gated(&hidden, gates, ctx)?;
            hidden = record.hidden.clone();
            records.push(record);
        }
        Ok(records)
    }

    /// Runs all layers for a batch. Returns the embedding output, and the output and attention scores of each layer. To
    /// return the scores, each layer multiplies queries and keys once more.
    ///
    /// # Errors
    /// Errors of [`embed`](Self::embed).
    pub fn run_recorded(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<(Hidden, Vec<LayerRecord>)> {
        let embedded = self.embed(batch, ctx)?;
        let (mut hidden, mut records) = (embedded.clone(), Vec::new());
        for block in self.blocks() {
            let record = block.recorded(&hidden, ctx)?;
            hidden = record.hidden.clone();
            records.push(record);
        }
        Ok((embedded, records))
    }

    /// Current sizes of a layer, from which its FLOPs are computed.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn layer_sizes(&self, layer: usize) -> LayerSizes {
        self.blocks()[layer].sizes(self.block_shape())
    }

    /// Dimensions of a layer that remain after [`prune_dimensions`](Self::prune_dimensions), also if the pruned model
    /// was loaded from files. `None` if no single dimensions were pruned.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn kept_dimensions(&self, layer: usize) -> Option<&KeptDimensions> {
        match &self.blocks()[layer].attention {
            Attention::Whole(_) => None,
            Attention::Ragged(ragged) => Some(ragged.kept()),
        }
    }

    /// Copies all tensors of the encoder under this crate's names. They have the shapes before pruning
    /// ([`names::shape`]), with zeros for pruned dimensions.
    pub(crate) fn whole_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let whole = |name: String| {
            let ragged = names::in_layer(&name).and_then(|(layer, tensor)| match &self.blocks()[layer].attention {
                Attention::Ragged(ragged) => Some((ragged, tensor)),
                Attention::Whole(_) => None,
            });
            let expanded = ragged.map(|(ragged, tensor)| ragged.whole_tensor(self.config(), tensor)).transpose()?;
            if let Some(tensor) = expanded.flatten() {
                return Ok((name, tensor));
            }
            let mut tensor = self.parameters().var(self.parameters().id(&name)?).as_detached_tensor();
            // Layers with removed dimensions have individual numbers of neurons.
            for (axis, size) in names::shape(self.config(), &name).into_iter().enumerate() {
                if tensor.dims()[axis] < size {
                    tensor = tensor.pad_with_zeros(axis, 0, size - tensor.dims()[axis])?;
                }
            }
            Ok((name, tensor))
        };
        names::all(self.config()).into_iter().map(whole).collect()
    }
}
