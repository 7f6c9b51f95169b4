//! One pass of the frozen encoder: pooled states at each exit, and the classifier's log-probabilities.

use dht_transformer::{EncodedDataset, Pooling, data::longest_first, tensors::log_softmax};

use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;
use crate::model::ExitModel;
use crate::training::FrozenStates;

/// Pooled hidden states and class log-probabilities of a frozen encoder.
pub(super) struct States {
    /// The pooled states at each exit before the last, row after row. Shape of each: (rows, hidden).
    pub(super) pooled: Vec<Vec<f32>>,
    /// The log-probabilities of the last exit, the classifier itself.
    pub(super) own: LogProbabilities,
}

/// Runs every text through all layers, and stores the states of the texts that fit into the cache.
pub(super) fn states(
    model: &ExitModel,
    pooling: Pooling,
    data: &EncodedDataset,
    batch_size: usize,
    kept: &mut FrozenStates,
) -> Result<States> {
    let (width, classes) = (model.encoder().block_shape().hidden, model.classes());
    let mut pooled = vec![vec![0.0; data.len() * width]; model.exits().len() - 1];
    let mut own = vec![0.0; data.len() * classes];
    for rows in longest_first(&data.lengths(), batch_size)? {
        let of_batch = kept.states(model, &data.batch(&rows)?, true)?;
        if let Some(logits) = &of_batch.own {
            let logs: Vec<Vec<f32>> = log_softmax(logits)?.to_vec2()?;
            for (row, logs) in rows.iter().zip(logs) {
                let place = &mut own[row * classes..(row + 1) * classes];
                place.iter_mut().zip(logs).for_each(|(own, log)| *own = f64::from(log));
            }
        }
        for ((hidden, pooled), end) in of_batch.exits.iter().zip(&mut pooled).zip(model.depths()) {
            let of_batch = match pooling {
                Pooling::Mean => hidden.mean_rows()?,
                Pooling::Cls | Pooling::Pooler => hidden.first_rows()?,
            };
            let of_batch: Vec<Vec<f32>> = of_batch.to_vec2()?;
            for (row, state) in rows.iter().zip(of_batch) {
                if state.iter().any(|value| !value.is_finite()) {
                    let got = format!("NaN or infinity in row {} after layer {end}", data.samples[*row].id);
                    return Err(Error::argument("pooled state", "finite numbers", got));
                }
                pooled[row * width..(row + 1) * width].copy_from_slice(&state);
            }
        }
    }
    Ok(States { pooled, own: LogProbabilities::new(classes, own)? })
}
