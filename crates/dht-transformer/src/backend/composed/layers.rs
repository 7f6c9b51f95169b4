//! Encoder layer composed of differentiable operations. Samples of a batch may run different heads and neurons.

use std::collections::BTreeMap;

use super::operations::Operations;
use crate::backend::context::ForwardContext;
use crate::backend::layer::{Layer, LayerAttention};
use crate::error::Result;
use crate::tensors::{HeadSet, Hidden, SampleGroup};

impl Operations {
    /// Runs the attention and feed-forward sublayers of a layer. Samples with the same heads and neurons run together;
    /// the result is in the original order.
    pub(crate) fn layer(self, hidden: &Hidden, layer: &Layer<'_>, ctx: &ForwardContext) -> Result<Hidden> {
        let mut alike: BTreeMap<(HeadSet, usize), Vec<usize>> = BTreeMap::new();
        let mut samples = 0..;
        for SampleGroup { samples: count, heads, neurons } in &layer.groups {
            alike.entry((*heads, *neurons)).or_default().extend(samples.by_ref().take(*count));
        }
        let run = |((heads, neurons), samples): (&(HeadSet, usize), &Vec<usize>)| {
            let part = hidden.select(samples)?;
            let (x, packing, dropouts) = (part.tensor(), part.packing(), layer.attention_dropouts);
            let x = match layer.attention {
                LayerAttention::Whole(whole) => {
                    self.attention((layer.number, x, packing), whole, *heads, dropouts, ctx)?
                }
                LayerAttention::Ragged(ragged) => {
                    let gates = ctx.gates(layer.number, packing, *heads, x.device())?;
                    self.ragged_attention(&part, ragged, dropouts, gates.as_deref())?
                }
            };
            let dropout = layer.feed_forward_dropout;
            let y = self.feed_forward((&x, packing), layer.feed_forward, *neurons, dropout, ctx)?;
            Hidden::new(y, packing.clone())
        };
        let parts = alike.iter().map(run).collect::<Result<Vec<_>>>()?;
        let mut position = vec![0; hidden.samples()];
        for (at, sample) in alike.values().flatten().enumerate() {
            position[*sample] = at;
        }
        Hidden::concat(&parts)?.select(&position)
    }
}
