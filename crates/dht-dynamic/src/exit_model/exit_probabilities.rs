//! The answers of all exits to all texts, in one pass.

use dht_transformer::{EncodedDataset, ForwardContext, HeadPlan, PackedBatch};

use super::exit_model::ExitModel;
use crate::error::Result;
use crate::log_probabilities::{Collected, LogProbabilities};

impl ExitModel {
    /// The log-probabilities of every row at each exit: ln softmax of the logits, and with labels ln sigmoid. Each row runs all layers once, with
    /// all heads; the layers of a [tail](crate::route::Layout::tail) run after every exit.
    /// Thresholds and patiences (numbers of exits that agree) decide from these values, so that a curve over either
    /// needs no further pass.
    ///
    /// # Errors
    /// Errors of the encoder; [`Error::Transformer`](crate::Error::Transformer) for a batch size of 0, and for answers
    /// that are not finite.
    pub fn exit_log_probabilities(&self, data: &EncodedDataset, batch_size: usize) -> Result<Vec<LogProbabilities>> {
        let outputs = self.outputs();
        let mut all: Vec<_> = self.exits().iter().map(|_| Collected::new(outputs, data.len())).collect();
        let ctx = ForwardContext::inference();
        for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            let batch = data.batch(&rows)?;
            let mut hidden = self.encoder().embed(&batch, &ctx)?;
            let mut depth = 0;
            for ((exit, &end), of_exit) in self.exits().iter().zip(self.depths()).zip(&mut all) {
                hidden = self.encoder().run(depth..end, &hidden, &HeadPlan::Full, &ctx)?;
                depth = end;
                let last = match self.layout().tail() {
                    Some(tail) => &self.encoder().run(tail.layers(), &hidden, &HeadPlan::Full, &ctx)?,
                    None => &hidden,
                };
                of_exit.set(&rows, outputs.of_logits(&exit.logits(last, &ctx)?, &batch.sample_ids)?);
            }
        }
        all.into_iter().map(Collected::table).collect()
    }
}
