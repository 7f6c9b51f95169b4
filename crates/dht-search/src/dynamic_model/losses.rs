//! What a batch is trained on: the losses at the exits.

use candle_core::Tensor;
use dht_transformer::{PackedBatch, cross_entropy};

use super::DynamicModel;
use crate::executor::{ExitOutput, Passage, Shown};
use crate::strategy::Losses;
use crate::{Error, ExitLosses, Result};

impl DynamicModel {
    /// What a training batch shows.
    pub(super) fn shown(&self) -> Shown {
        match self.settings().exit_losses {
            ExitLosses::Chosen => Shown::Own,
            ExitLosses::OnTheWay { .. } => Shown::Passed,
            ExitLosses::Probed => Shown::Probed,
        }
    }

    /// The mean over samples of their weighted exit losses, and the losses as numbers.
    pub(super) fn losses(&self, batch: &PackedBatch, passage: &Passage) -> Result<(Tensor, Losses)> {
        let samples = batch.len();
        // The weight of a passed exit, and how much the exits of a sample share.
        let (passed_weight, shared) = match self.settings().exit_losses {
            ExitLosses::Chosen => (0.0, 0.0),
            ExitLosses::OnTheWay { weight } => (weight, weight),
            ExitLosses::Probed => (1.0, 0.0),
        };
        let mut by_exit = vec![vec![f64::NAN; samples]; self.space.exits().len()];
        let mut total: Option<Tensor> = None;
        for ExitOutput { exit, samples: members, logits, probe } in &passage.outputs {
            let labels: Vec<u32> = members.iter().map(|member| batch.labels[*member]).collect();
            let losses = cross_entropy(logits, &labels)?;
            let numbers: Vec<f32> = losses.to_vec1()?;
            let mut weights = Vec::with_capacity(members.len());
            for (member, loss) in members.iter().zip(numbers) {
                by_exit[*exit][*member] = f64::from(loss);
                let own = passage.depth.exits[*member];
                let weight = match (own == *exit, probe) {
                    (true, true) => 0.0,
                    (true, false) => 1.0,
                    (false, _) => passed_weight,
                };
                weights.push((weight / (1.0 + shared * own as f64) / samples as f64) as f32);
            }
            let weights = Tensor::from_vec(weights, members.len(), logits.device())?;
            let part = (losses * weights)?.sum_all()?;
            total = Some(match total {
                Some(total) => (total + part)?,
                None => part,
            });
        }
        let none = || Error::setting("batch", "at least one sample", "none");
        Ok((total.ok_or_else(none)?, Losses { by_exit }))
    }
}
