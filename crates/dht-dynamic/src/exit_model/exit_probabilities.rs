//! The answers of all exits to all texts, in one pass.

use dht_transformer::{EncodedDataset, ForwardContext, HeadPlan, PackedBatch, tensors::log_softmax};

use super::exit_model::ExitModel;
use crate::error::Result;
use crate::log_probabilities::LogProbabilities;

impl ExitModel {
    /// The log-probabilities (ln softmax of the logits) of every row at each exit. Each row runs all layers once, with
    /// all heads; the layers of a [tail](crate::route::Layout::tail) run after every exit.
    /// Thresholds and patiences (numbers of exits that agree) decide from these values, so that a curve over either
    /// needs no further pass.
    ///
    /// # Errors
    /// Errors of the encoder; [`Error::Transformer`](crate::Error::Transformer) for a batch size of 0;
    /// [`Error::Argument`](crate::Error::Argument) for answers that are not finite.
    pub fn exit_log_probabilities(&self, data: &EncodedDataset, batch_size: usize) -> Result<Vec<LogProbabilities>> {
        let classes = self.classes();
        let mut all = vec![vec![0.0; data.len() * classes]; self.exits().len()];
        let ctx = ForwardContext::inference();
        for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            let mut hidden = self.encoder().embed(&data.batch(&rows)?, &ctx)?;
            let mut depth = 0;
            for ((exit, &end), of_exit) in self.exits().iter().zip(self.depths()).zip(&mut all) {
                hidden = self.encoder().run(depth..end, &hidden, &HeadPlan::Full, &ctx)?;
                depth = end;
                let last = match self.layout().tail() {
                    Some(tail) => &self.encoder().run(tail.layers(), &hidden, &HeadPlan::Full, &ctx)?,
                    None => &hidden,
                };
                let answers: Vec<Vec<f32>> = log_softmax(&exit.logits(last, &ctx)?)?.to_vec2()?;
                for (row, answer) in rows.iter().zip(answers) {
                    let own = &mut of_exit[row * classes..(row + 1) * classes];
                    own.iter_mut().zip(answer).for_each(|(value, log)| *value = f64::from(log));
                }
            }
        }
        all.into_iter().map(|values| LogProbabilities::new(classes, values)).collect()
    }
}
