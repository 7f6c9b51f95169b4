//! Models as `candle_nn` modules.

use std::sync::atomic::{AtomicU32, Ordering};

use candle_core::Tensor;
use candle_nn::ModuleT;

use crate::backend::ForwardContext;
use crate::data::PackedBatch;
use crate::error::Error;
use crate::model::Encoder;
use crate::tasks::TextClassifier;
use crate::tensors::{HeadPlan, Parameters};

/// Adapter that makes a model a `candle_nn::ModuleT`, so that a candle program can train it. It reads token ids of
/// shape (samples, length) in u32, without padding. For padded batches see [`PackedBatch::from_padded`].
///
/// | model | output |
/// |---|---|
/// | [`Encoder`] | hidden states (samples, length, hidden) |
/// | [`TextClassifier`] | logits (samples, outputs) |
///
/// If `train` is `true`, all operations are in candle's graph, so that `loss.backward()` obtains the gradients of all
/// weights. The dropout masks depend on the seed and on the number of earlier calls with `train`. If `train` is
/// `false`, fused operations run and no gradients are available.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_nn::ModuleT;
/// use dht_transformer::{BertConfig, Encoder, candle::GraphModule};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let encoder = Encoder::random(&BertConfig::small(2, 4, 16, 20)?, &Device::Cpu, &mut rng)?;
/// let module = GraphModule::new(encoder, 0);
/// let ids = Tensor::new(&[[4_u32, 9, 2], [7, 8, 3]], &Device::Cpu)?;
/// assert_eq!(module.forward_t(&ids, false)?.dims(), [2, 3, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GraphModule<M> {
    model: M,
    seed: u64,
    calls: AtomicU32,
}

impl<M> GraphModule<M> {
    /// Wraps a model. `seed` determines the dropout masks.
    pub fn new(model: M, seed: u64) -> Self {
        Self { model, seed, calls: AtomicU32::new(0) }
    }

    /// Model that this module wraps.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Returns the wrapped model.
    pub fn into_inner(self) -> M {
        self.model
    }

    fn context(&self, parameters: &Parameters, train: bool) -> ForwardContext {
        match train {
            true => ForwardContext::in_candle_graph(parameters, self.seed, self.calls.fetch_add(1, Ordering::Relaxed)),
            false => ForwardContext::inference(),
        }
    }
}

pub(super) fn to_candle(error: Error) -> candle_core::Error {
    match error {
        Error::Candle(error) => error,
        other => candle_core::Error::wrap(other),
    }
}

impl ModuleT for GraphModule<Encoder> {
    fn forward_t(&self, ids: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let encoder = &self.model;
        let ctx = self.context(encoder.parameters(), train);
        let run = || {
            let hidden = encoder.embed(&PackedBatch::from_padded(ids, None, None)?, &ctx)?;
            encoder.run(0..encoder.layers(), &hidden, &HeadPlan::Full, &ctx)?.to_padded()
        };
        run().map_err(to_candle)
    }
}

impl ModuleT for GraphModule<TextClassifier> {
    fn forward_t(&self, ids: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let ctx = self.context(self.model.encoder().parameters(), train);
        PackedBatch::from_padded(ids, None, None).and_then(|batch| self.model.logits(&batch, &ctx)).map_err(to_candle)
    }
}
