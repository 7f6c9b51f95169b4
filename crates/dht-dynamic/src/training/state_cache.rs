//! Cache of a frozen model's hidden states. Training runs the layers once for each text, and later epochs read the
//! cache.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use dht_transformer::{ForwardContext, HeadPlan, Hidden, PackedBatch, tensors::Packing};

use crate::error::Result;
use crate::exit_model::ExitModel;

/// Largest finite value in half precision (f16). Texts with larger hidden states are not cached.
const F16_MAX: f32 = 65_504.0;

/// Hidden states and logits of a frozen model for one batch.
pub(crate) struct BatchStates {
    /// Hidden states that each exit except the last one reads.
    pub(crate) exits: Vec<Hidden>,
    /// Logits of the last exit, shape (texts, classes); `None` if they were not requested.
    pub(crate) own: Option<Tensor>,
    /// Indices of the texts for which the layers ran, because their states were not cached.
    pub(crate) ran: Vec<usize>,
}

/// Cache of a frozen model's hidden states at each exit. The key is the text's tokens. States are stored in half
/// precision: two bytes for each token, exit and hidden unit. When the cache reaches its limit in bytes, further texts
/// are not cached. States that have just been computed are returned without rounding.
#[derive(Debug, Default)]
pub(crate) struct FrozenStates {
    most_bytes: usize,
    bytes: usize,
    texts: HashMap<Key, CachedStates>,
}

/// Cache key of a text: its token ids and token types.
type Key = (Vec<u32>, Vec<u32>);

#[derive(Debug)]
struct CachedStates {
    /// Hidden states that each exit except the last one reads, shape (tokens, hidden), in half precision.
    exits: Vec<Tensor>,
    /// Logits of the last exit, shape (1, classes); `None` if they were not requested.
    own: Option<Tensor>,
}

impl FrozenStates {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, ..Self::default() }
    }

    /// Returns the hidden states of a batch, and the logits of the last exit if `with_own` is true. The model's layers
    /// run only for texts that are not cached.
    pub(crate) fn states(&mut self, model: &ExitModel, batch: &PackedBatch, with_own: bool) -> Result<BatchStates> {
        let keys: Vec<Key> = (0..batch.len()).map(|sample| key(batch, sample)).collect();
        let is_cached = |at: &usize| self.texts.get(&keys[*at]).is_some_and(|states| states.own.is_some() || !with_own);
        let (known, missing): (Vec<usize>, Vec<usize>) = (0..batch.len()).partition(is_cached);
        if known.is_empty() {
            let (exits, own) = run(model, batch, with_own)?;
            for (sample, key) in keys.into_iter().enumerate() {
                self.keep(key, sample, &exits, own.as_ref())?;
            }
            return Ok(BatchStates { exits, own, ran: missing });
        }
        let fresh = if missing.is_empty() { None } else { Some(run(model, &batch.select(&missing), with_own)?) };
        let mut states = vec![Vec::with_capacity(batch.len()); model.exits().len() - 1];
        let mut own = Vec::new();
        let mut of_fresh = 0..missing.len();
        for (at, key) in keys.iter().enumerate() {
            if let (Some((exits, logits)), true) = (&fresh, missing.binary_search(&at).is_ok()) {
                let sample = of_fresh.next().unwrap_or_default();
                for (states, exit) in states.iter_mut().zip(exits) {
                    states.push(rows_of(exit, sample)?);
                }
                own.extend(logits.as_ref().map(|logits| logits.narrow(0, sample, 1)).transpose()?);
            } else if let Some(cached) = self.texts.get(key) {
                for (states, exit) in states.iter_mut().zip(&cached.exits) {
                    states.push(exit.to_dtype(DType::F32)?);
                }
                own.extend(cached.own.clone().filter(|_| with_own));
            }
        }
        if let Some((exits, logits)) = &fresh {
            for (sample, at) in missing.iter().enumerate() {
                self.keep(keys[*at].clone(), sample, exits, logits.as_ref())?;
            }
        }
        let packing = Arc::new(Packing::new(batch.spans.clone(), batch.sample_ids.clone())?);
        let concatenate = |texts: &Vec<Tensor>| Ok(Hidden::new(Tensor::cat(texts, 0)?, packing.clone())?);
        let exits = states.iter().map(concatenate).collect::<Result<_>>()?;
        let own = if with_own { Some(Tensor::cat(&own, 0)?) } else { None };
        Ok(BatchStates { exits, own, ran: missing })
    }

    /// Caches the hidden states of one text, unless the cache is full or a value is too large for half precision.
    fn keep(&mut self, key: Key, sample: usize, exits: &[Hidden], own: Option<&Tensor>) -> Result<()> {
        let width = exits.first().map_or(0, |exit| exit.tensor().dims()[1]);
        let bytes = size_of::<u16>() * key.0.len() * width * exits.len();
        if self.bytes + bytes > self.most_bytes {
            return Ok(());
        }
        let mut halves = Vec::with_capacity(exits.len());
        for exit in exits {
            let rows = rows_of(exit, sample)?;
            if rows.abs()?.max_all()?.to_scalar::<f32>()? > F16_MAX {
                return Ok(());
            }
            halves.push(rows.to_dtype(DType::F16)?);
        }
        let own = own.map(|own| own.narrow(0, sample, 1)?.copy()).transpose()?;
        if self.texts.insert(key, CachedStates { exits: halves, own }).is_none() {
            self.bytes += bytes;
        }
        Ok(())
    }
}

fn key(batch: &PackedBatch, sample: usize) -> Key {
    let rows = batch.spans.range(sample);
    (batch.ids[rows.clone()].to_vec(), batch.type_ids[rows].to_vec())
}

/// Hidden states of one text in a packed batch, without a copy.
fn rows_of(hidden: &Hidden, sample: usize) -> Result<Tensor> {
    let rows = hidden.spans().range(sample);
    Ok(hidden.tensor().narrow(0, rows.start, rows.len())?.to_dtype(DType::F32)?)
}

/// Computes the hidden states of a batch at every exit, including the last.
pub(crate) fn states_at_exits(model: &ExitModel, batch: &PackedBatch) -> Result<Vec<Hidden>> {
    let ctx = ForwardContext::inference();
    let (mut hidden, mut depth) = (model.encoder().embed(batch, &ctx)?, 0);
    let at = |end: &usize| -> Result<Hidden> {
        hidden = model.encoder().run(depth..*end, &hidden, &HeadPlan::Full, &ctx)?.detach();
        depth = *end;
        Ok(hidden.clone())
    };
    model.depths().iter().map(at).collect()
}

/// Computes the hidden states of a batch at every exit except the last one, without dropout and gradients. Also
/// computes the logits of the last exit if `with_own` is true.
fn run(model: &ExitModel, batch: &PackedBatch, with_own: bool) -> Result<(Vec<Hidden>, Option<Tensor>)> {
    let ctx = ForwardContext::inference();
    let (mut hidden, mut depth) = (model.encoder().embed(batch, &ctx)?, 0);
    let (mut exits, last) = (Vec::new(), model.exits().len() - 1);
    for (exit, &end) in model.depths().iter().enumerate().take(last + usize::from(with_own)) {
        hidden = model.encoder().run(depth..end, &hidden, &HeadPlan::Full, &ctx)?.detach();
        depth = end;
        if exit < last {
            exits.push(hidden.clone());
        }
    }
    let own = if with_own { Some(model.exits()[last].logits(&hidden, &ctx)?.detach()) } else { None };
    Ok((exits, own))
}
