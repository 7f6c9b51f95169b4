//! One pass of the frozen encoder: pooled states at each exit, and the classifier's log-probabilities.

use dht_transformer::{EncodedDataset, PackedBatch, Pooling, tensors::log_softmax};

use super::settings::Head;
use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;
use crate::logistic::Rows;
use crate::model::ExitModel;
use crate::training::{FrozenStates, states_at_exits};

/// Pooled hidden states and class log-probabilities of a frozen encoder.
pub(super) struct States {
    /// The pooled states at each exit that is fitted. Shape of each: (rows, hidden).
    pub(super) pooled: Vec<Rows>,
    /// The log-probabilities of the last exit, the classifier itself; `None` where that exit is to be fitted.
    pub(super) own: Option<LogProbabilities>,
}

/// Runs every text through all layers, and stores the states of the texts that fit into the cache. The pooled states are
/// in memory, or `in_file`.
pub(super) fn states(
    model: &ExitModel,
    (pooling, head): (Pooling, Head),
    data: &EncodedDataset,
    (batch_size, in_file): (usize, bool),
    kept: &mut FrozenStates,
) -> Result<States> {
    let (width, classes, exits) = (model.encoder().block_shape().hidden, model.classes(), model.exits().len());
    let last = model.settings().last_pooling.unwrap_or(pooling);
    let fitted = if head == Head::Fitted { exits } else { exits - 1 };
    let mut pooled = (0..fitted).map(|_| Rows::zeros(data.len(), width, in_file)).collect::<Result<Vec<_>>>()?;
    let mut own = vec![0.0; if head == Head::Kept { data.len() * classes } else { 0 }];
    for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
        let batch = data.batch(&rows)?;
        let hidden = match head {
            Head::Fitted => states_at_exits(model, &batch)?,
            Head::Kept => {
                let of_batch = kept.states(model, &batch, true)?;
                if let Some(logits) = &of_batch.own {
                    let logs: Vec<Vec<f32>> = log_softmax(logits)?.to_vec2()?;
                    for (row, logs) in rows.iter().zip(logs) {
                        let place = &mut own[row * classes..(row + 1) * classes];
                        place.iter_mut().zip(logs).for_each(|(own, log)| *own = f64::from(log));
                    }
                }
                of_batch.exits
            }
        };
        for (exit, ((hidden, pooled), end)) in hidden.iter().zip(&mut pooled).zip(model.depths()).enumerate() {
            let of_batch = match if exit + 1 == exits { last } else { pooling } {
                Pooling::Mean => hidden.mean_rows()?,
                Pooling::Cls | Pooling::Pooler => hidden.first_rows()?,
            };
            let of_batch: Vec<Vec<f32>> = of_batch.to_vec2()?;
            for (row, state) in rows.iter().zip(of_batch) {
                if state.iter().any(|value| !value.is_finite()) {
                    let got = format!("NaN or infinity in row {} after layer {end}", data.samples[*row].id);
                    return Err(Error::argument("pooled state", "finite numbers", got));
                }
                pooled.set(*row, &state)?;
            }
        }
    }
    let own = if head == Head::Kept { Some(LogProbabilities::new(classes, own)?) } else { None };
    Ok(States { pooled, own })
}
