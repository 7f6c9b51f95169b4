//! One pass of the frozen encoder: the pooled states that exits read, and what the classifier says.

use dht_transformer::{EncodedDataset, ForwardContext, HeadPlan, Pooling, data::longest_first, tensors::log_softmax};

use crate::error::{Error, Result};
use crate::model::{ExitModel, LogProbabilities};

/// What a frozen encoder makes of some texts.
pub(super) struct States {
    /// The pooled states at each exit but the last, row after row. Shape of each: (rows, hidden).
    pub(super) pooled: Vec<Vec<f32>>,
    /// Of the last exit, the classifier itself.
    pub(super) own: LogProbabilities,
}

/// Runs every text through all layers.
pub(super) fn states(model: &ExitModel, pooling: Pooling, data: &EncodedDataset, batch_size: usize) -> Result<States> {
    let ExitModel { encoder, exits, space, .. } = model;
    let (width, classes, last) = (encoder.block_shape().hidden, model.classes(), space.exits().len() - 1);
    let mut pooled = vec![vec![0.0; data.len() * width]; last];
    let mut own = vec![0.0; data.len() * classes];
    let ctx = ForwardContext::inference();
    for rows in longest_first(&data.lengths(), batch_size)? {
        let mut hidden = encoder.embed(&data.batch(&rows)?, &ctx)?;
        let mut depth = 0;
        for (exit, &end) in space.exits().iter().enumerate() {
            hidden = encoder.run(depth..end, &hidden, &HeadPlan::Full, &ctx)?;
            depth = end;
            if exit == last {
                let logs: Vec<Vec<f32>> = log_softmax(&exits.at(exit).logits(&hidden, &ctx)?)?.to_vec2()?;
                for (row, logs) in rows.iter().zip(logs) {
                    let place = &mut own[row * classes..(row + 1) * classes];
                    place.iter_mut().zip(logs).for_each(|(own, log)| *own = f64::from(log));
                }
                continue;
            }
            let of_batch = match pooling {
                Pooling::Mean => hidden.mean_rows()?,
                Pooling::Cls | Pooling::Pooler => hidden.first_rows()?,
            };
            let of_batch: Vec<Vec<f32>> = of_batch.to_vec2()?;
            for (row, state) in rows.iter().zip(of_batch) {
                if state.iter().any(|value| !value.is_finite()) {
                    let got = format!("NaN or infinity in row {} after layer {end}", data.samples[*row].id);
                    return Err(Error::setting("pooled state", "finite numbers", got));
                }
                pooled[exit][row * width..(row + 1) * width].copy_from_slice(&state);
            }
        }
    }
    Ok(States { pooled, own: LogProbabilities::new(classes, own)? })
}
