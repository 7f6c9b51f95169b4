//! Embedding dropout(LayerNorm(word + position + type)) as one fused CPU operation. The gradients of the tables are
//! sparse.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::apply::apply;
use super::slices::{joined, nothing_saved, rows};
use super::sublayer::keys;
use crate::backend::context::ForwardContext;
use crate::backend::cpu::kernels::{
    Dropout, Norm, embed, residual_norm, residual_norm_backward, sum_of, table_gradient, vectorised,
};
use crate::backend::parameters::{EmbeddingParameters, TokenIds};
use crate::tensors::{Gradient, Packing, RowBlock, slice, with_slices};

/// Fused operation of the embedding layer, dropout(LayerNorm(word + position + type)).
pub(crate) struct EmbeddingOp {
    parameters: EmbeddingParameters,
    packing: Arc<Packing>,
    ids: TokenIds,
    ctx: ForwardContext,
    dropout: Option<Dropout>,
    /// Input of the layer norm for each block of tokens, saved for the backward pass.
    z: Mutex<Option<Vec<Vec<f32>>>>,
}

impl EmbeddingOp {
    /// Computes the embeddings of a batch of tokens, shape (tokens, hidden). Every id must be a valid row of its table.
    pub(crate) fn run(
        ids: TokenIds,
        packing: &Arc<Packing>,
        parameters: &EmbeddingParameters,
        dropout: Option<Dropout>,
        ctx: &ForwardContext,
    ) -> crate::error::Result<Tensor> {
        let op = Self {
            parameters: parameters.clone(),
            packing: packing.clone(),
            ids,
            ctx: ctx.clone(),
            dropout,
            z: Mutex::new(None),
        };
        // candle's operation needs input rows, which an embedding does not have; the shift is a placeholder for them.
        let rows = parameters.shift.var().as_detached_tensor();
        apply(&rows, op, parameters.trains(), ctx)
    }

    fn drop(&self, numbers: &mut [f32], block: &RowBlock) {
        let Some(dropout) = self.dropout else { return };
        let (width, keys) = (self.parameters.hidden, keys(&self.packing, block));
        vectorised(
            #[inline(always)]
            move || {
                for (index, row) in numbers.chunks_exact_mut(width).enumerate() {
                    dropout.apply(keys.samples[index], keys.tokens[index] as usize, 0, row);
                }
            },
        );
    }
}

impl CustomOp2 for EmbeddingOp {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, shift: &CpuStorage, layout: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let p = &self.parameters;
        let shift = slice(shift, layout)?;
        let tables = [&p.word, &p.position, &p.scale].into_iter().chain(&p.token_type);
        let tensors: Vec<&Tensor> = tables.map(|table| table.var().as_tensor()).collect();
        let y = with_slices(&tensors, |slices| {
            let ids = &self.ids;
            let norm = Norm { scale: slices[2], shift, epsilon: p.epsilon };
            let no_bias = vec![0.0; p.hidden];
            let blocks = self.packing.blocks();
            let (y, z): (Vec<_>, Vec<_>) = blocks
                .par_iter()
                .map(|block| {
                    let _span = tracing::trace_span!("embedding").entered();
                    let [words, positions, token_types] =
                        [&ids.words, &ids.positions, &ids.token_types].map(|indices| block.rows_of(indices, 1));
                    let token_type = slices.get(3).map(|table| (*table, token_types));
                    let mut z = embed((slices[0], words), (slices[1], positions), token_type, p.hidden);
                    let mut y = vec![0.0; z.len()];
                    residual_norm(&mut z, &no_bias, None, norm, None, &mut y);
                    self.drop(&mut y, block);
                    (y, z)
                })
                .unzip();
            if let (true, Ok(mut place)) = (self.ctx.is_training(), self.z.lock()) {
                *place = Some(z);
            }
            Ok(joined(y))
        })?;
        Ok(rows(y, p.hidden))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.ctx.check_in_backward(self.name())?;
        let z = self.z.lock().ok().and_then(|mut place| place.take()).ok_or_else(|| nothing_saved(self.name()))?;
        let (p, ids) = (&self.parameters, &self.ids);
        let dy = dy.contiguous()?;
        let blocks = self.packing.blocks();
        let gradients: Vec<_> = with_slices(&[p.scale.var(), p.shift.var(), &dy], |slices| {
            let norm = Norm { scale: slices[0], shift: slices[1], epsilon: p.epsilon };
            let work = blocks.par_iter().zip(&z).map(|(block, z)| {
                let mut dy = block.rows_of(slices[2], p.hidden).to_vec();
                self.drop(&mut dy, block);
                residual_norm_backward(z, &dy, norm, None)
            });
            Ok(work.collect())
        })?;
        self.ctx.accumulate(p.scale.id(), Gradient::Dense(sum_of(gradients.iter().map(|part| &*part.dscale))));
        self.ctx.accumulate(p.shift.id(), Gradient::Dense(sum_of(gradients.iter().map(|part| &*part.dshift))));
        let dz: Vec<&[f32]> = gradients.iter().map(|part| &*part.dz).collect();
        let dz = dz.concat();
        let token_type = p.token_type.as_ref().map(|token_type| (token_type, &ids.token_types));
        let tables: Vec<_> =
            [(&p.word, &ids.words), (&p.position, &ids.positions)].into_iter().chain(token_type).collect();
        tables.into_par_iter().filter(|(table, _)| !table.is_frozen()).for_each(|(table, indices)| {
            let _span = tracing::trace_span!("embedding, backward").entered();
            let (rows, values) = table_gradient(indices, &dz, p.hidden);
            self.ctx.accumulate(table.id(), Gradient::Rows { rows, values });
        });
        Ok((None, None))
    }
}
