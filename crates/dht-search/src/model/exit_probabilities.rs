//! The answers of all exits to all texts, in one pass, and their cost.

use dht_transformer::{EncodedDataset, ForwardContext, HeadPlan, PackedBatch, tensors::log_softmax};

use super::routed_encoder::RoutedEncoder;
use crate::error::Result;
use crate::routing::ExitReads;
use dht_dynamic::Route;

impl RoutedEncoder {
    /// The log-probabilities (ln softmax of the logits) of every exit on the full route, by exit, row and class. Thresholds
    /// and patiences (numbers of exits that agree) decide from these values, so that a curve over either needs no further
    /// pass.
    ///
    /// Each row runs all layers once, with all heads. If the search space has a tail (last layers that every route runs),
    /// these layers run after every exit. The values equal those of a [fixed
    /// route](crate::evaluation::evaluate_on) to that exit with all heads.
    ///
    /// # Errors
    /// Errors of the encoder, including the error for a batch size of 0.
    pub fn exit_log_probabilities(&self, data: &EncodedDataset, batch_size: usize) -> Result<Vec<Vec<Vec<f32>>>> {
        let Self { encoder, exits, space, .. } = self;
        let mut all = vec![vec![Vec::new(); data.len()]; space.exits().len()];
        let ctx = ForwardContext::inference();
        for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            let mut hidden = encoder.embed(&data.batch(&rows)?, &ctx)?;
            let mut depth = 0;
            for (exit, (&end, of_exit)) in space.exits().iter().zip(&mut all).enumerate() {
                hidden = encoder.run(depth..end, &hidden, &HeadPlan::Full, &ctx)?;
                depth = end;
                let last = match space.tail() {
                    Some(tail) => encoder.run(tail.layers(), &hidden, &HeadPlan::Full, &ctx)?,
                    None => hidden.clone(),
                };
                let answers: Vec<Vec<f32>> = log_softmax(&exits.at(exit).logits(&last, &ctx)?)?.to_vec2()?;
                for (row, answer) in rows.iter().zip(answers) {
                    of_exit[*row] = answer;
                }
            }
        }
        Ok(all)
    }

    /// FLOPs of a text that keeps all heads, by the exit where it leaves and by row: the layers of its route, and every
    /// exit up to and including that exit.
    ///
    /// # Errors
    /// None for texts that the model can predict.
    pub fn exit_flops(&self, data: &EncodedDataset) -> Result<Vec<Vec<u64>>> {
        let exits = self.space().exits();
        let mut reads = vec![ExitReads::default(); exits.len()];
        let of_exit = |(exit, depth): (usize, &usize)| -> Result<Vec<u64>> {
            let route = Route::truncated(self.space().model_shape(), *depth)?;
            reads[exit].attached = 1;
            Ok(data.lengths().into_iter().map(|tokens| self.forward_flops(&route, tokens, &reads)).collect())
        };
        exits.iter().enumerate().map(of_exit).collect()
    }
}
