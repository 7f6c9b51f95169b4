//! LayerNorm(word + position + type), then dropout, as one operation whose word gradient stays rows and values.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::slices::{nothing_saved, rows, slice, with_slices};
use crate::kernels::dropout::Dropout;
use crate::kernels::embedding::{embed, table_gradient};
use crate::kernels::norm::{Norm, residual_norm, residual_norm_backward};
use crate::kernels::rows::vectorised;
use crate::parameters::{Gradient, Parameter};
use crate::{Packing, Pass};

/// The three tables and the norm.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddingParameters {
    pub(crate) word: Parameter,
    pub(crate) position: Parameter,
    /// DistilBERT has none.
    pub(crate) kind: Option<Parameter>,
    pub(crate) scale: Parameter,
    pub(crate) shift: Parameter,
    pub(crate) epsilon: f64,
    pub(crate) hidden: usize,
}

impl EmbeddingParameters {
    /// Whether any of them is trained.
    pub(crate) fn trains(&self) -> bool {
        let all = [&self.word, &self.position, &self.scale, &self.shift].into_iter().chain(&self.kind);
        !all.into_iter().all(|p| p.is_frozen())
    }
}

/// The tokens of a batch: ids into the three tables, one of each for a row.
#[derive(Debug, Clone)]
pub(crate) struct TokenIds {
    pub(crate) words: Vec<u32>,
    pub(crate) positions: Vec<u32>,
    pub(crate) kinds: Vec<u32>,
}

/// The embedding layer.
pub(crate) struct EmbeddingOp {
    parameters: EmbeddingParameters,
    packing: Arc<Packing>,
    ids: Arc<TokenIds>,
    pass: Pass,
    dropout: Option<Dropout>,
    z: Mutex<Option<Vec<f32>>>,
}

impl EmbeddingOp {
    /// (tokens, hidden) of the tokens with these ids, which must lie inside the tables.
    pub(crate) fn run(
        ids: Arc<TokenIds>,
        packing: &Arc<Packing>,
        parameters: &EmbeddingParameters,
        dropout: Option<Dropout>,
        pass: &Pass,
    ) -> crate::Result<Tensor> {
        let op = Self {
            parameters: parameters.clone(),
            packing: packing.clone(),
            ids,
            pass: pass.clone(),
            dropout,
            z: Mutex::new(None),
        };
        // The shift stands in for the rows that this operation does not have.
        let rows = parameters.shift.var().as_detached_tensor();
        super::apply(&rows, &parameters.scale, op, parameters.trains(), pass)
    }

    fn drop(&self, numbers: &mut [f32]) {
        let Some(dropout) = self.dropout else { return };
        let width = self.parameters.hidden;
        let keys = self.packing.row_samples().par_iter().zip(self.packing.row_tokens());
        numbers.par_chunks_exact_mut(width).zip(keys).for_each(|(row, (sample, token))| {
            vectorised(
                #[inline(always)]
                || dropout.apply(*sample, *token as usize, 0, row),
            );
        });
    }
}

impl CustomOp2 for EmbeddingOp {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, shift: &CpuStorage, layout: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let p = &self.parameters;
        let shift = slice(shift, layout)?;
        let tables = [&p.word, &p.position, &p.scale].into_iter().chain(&p.kind);
        let tensors: Vec<&Tensor> = tables.map(|table| table.var().as_tensor()).collect();
        let y = with_slices(&tensors, |slices| {
            let ids = &*self.ids;
            let (word, position) = ((slices[0], &*ids.words), (slices[1], &*ids.positions));
            let kind = slices.get(3).map(|table| (*table, &*ids.kinds));
            let mut z = embed(word, position, kind, p.hidden);
            let norm = Norm { scale: slices[2], shift, epsilon: p.epsilon };
            let mut y = residual_norm(&mut z, &vec![0.0; p.hidden], None, norm, None);
            self.drop(&mut y);
            if let (true, Ok(mut place)) = (self.pass.is_training(), self.z.lock()) {
                *place = Some(z);
            }
            Ok(y)
        })?;
        Ok(rows(y, p.hidden))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let z = self.z.lock().ok().and_then(|mut place| place.take()).ok_or_else(|| nothing_saved(self.name()))?;
        let (p, ids) = (&self.parameters, &*self.ids);
        let mut dy: Vec<f32> = dy.flatten_all()?.to_vec1()?;
        self.drop(&mut dy);
        let gradients = with_slices(&[p.scale.var(), p.shift.var()], |slices| {
            let norm = Norm { scale: slices[0], shift: slices[1], epsilon: p.epsilon };
            Ok(residual_norm_backward(&z, &dy, norm, None))
        })?;
        self.pass.accumulate(p.scale.id(), Gradient::Dense(gradients.dscale));
        self.pass.accumulate(p.shift.id(), Gradient::Dense(gradients.dshift));
        let kind = p.kind.as_ref().map(|kind| (kind, &ids.kinds));
        for (table, indices) in [(&p.word, &ids.words), (&p.position, &ids.positions)].into_iter().chain(kind) {
            if !table.is_frozen() {
                let (rows, values) = table_gradient(indices, &gradients.dz, p.hidden);
                self.pass.accumulate(table.id(), Gradient::Rows { rows, values });
            }
        }
        Ok((None, None))
    }
}
