//! Held-out texts: the bandits learn from their losses, and the model is never trained on them.

use std::time::Instant;

use dht_dynamic::passage::PassedExits;
use dht_transformer::{EncodedDataset, ForwardContext, PackedBatch, Progress};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::objective::{SearchObjective, stream};
use crate::error::{Error, Result};
use crate::settings::{ExitLosses, LossSource, Normalization};

/// First number of the random streams that select the held-out texts.
const HOLDING_OUT: u64 = 1 << 57;
/// First number of the random streams that draw routes of held-out texts.
const ROUTING: u64 = 1 << 58;

impl SearchObjective {
    /// Returns whether a training batch updates the routers.
    ///
    /// If the bandits learn from held-out texts, training batches update the routers only during the warm-up. Then the
    /// bandits observe contexts (inputs) and do not learn from losses.
    pub(crate) fn routers_learn(&self, progress: Progress) -> bool {
        match self.settings().loss_source {
            LossSource::AllEpochs => true,
            LossSource::FirstEpoch => progress.epoch == 0,
            LossSource::HeldOut { .. } => self.has_warm_up() && !self.dynamic.is_warm(),
        }
    }

    fn has_warm_up(&self) -> bool {
        self.settings().normalization == Normalization::FrozenAfterWarmUp
    }

    /// Rejects a training run whose first epoch ends before the warm-up, if the bandits learn from the first epoch
    /// only.
    pub(crate) fn check_first_epoch(&self, training: &EncodedDataset) -> Result<()> {
        let (needed, got) = (self.settings().warm_up_contexts, training.len());
        if self.settings().loss_source == LossSource::FirstEpoch && self.has_warm_up() && got <= needed {
            let expected = format!("below the {got} training texts, since the bandits learn in the first epoch alone");
            return Err(Error::argument("warm_up_contexts", expected, needed));
        }
        Ok(())
    }

    /// Removes the held-out texts from a batch and updates the bandits from them. Returns the other texts, for
    /// training.
    pub(crate) fn hold_out(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<PackedBatch>> {
        let LossSource::HeldOut { share } = self.settings().loss_source else { return Ok(Some(batch)) };
        // A function of seed and row, so that a resumed training run holds out the same texts.
        let held = |sample: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(progress.seed);
            rng.set_stream(HOLDING_OUT + batch.sample_ids[sample]);
            rng.random::<f64>() < share
        };
        let (out, rest): (Vec<usize>, Vec<usize>) = (0..batch.len()).partition(|sample| held(*sample));
        // During the first full-model steps the other exits are untrained.
        if !out.is_empty() && progress.share >= self.settings().full_model_steps.first {
            self.learn_from_held_out(&batch.select(&out), progress)?;
        }
        Ok(if rest.is_empty() { None } else { Some(batch.select(&rest)) })
    }

    fn learn_from_held_out(&mut self, batch: &PackedBatch, progress: Progress) -> Result<()> {
        // Without gradient the only extra cost of a passed exit is its logits.
        let own_exit_only = self.settings().exit_losses == ExitLosses::Chosen;
        let passed = if own_exit_only { PassedExits::Skip } else { PassedExits::Attached };
        let queued = self.queued.len() as u64;
        let mut rng = stream(progress, ROUTING + self.accounting.samples + self.accounting.held_out_samples + queued);
        let ctx = ForwardContext::inference();
        let walk = self.dynamic.walk(&ctx, passed);
        let trace = walk.run(batch, &mut self.mode(progress, &mut rng))?;
        let flops: u64 = walk.flops(batch, &trace, &trace.routes(self.dynamic.space.layout(), 0)?).iter().sum();
        let (_, losses) = self.label_losses(batch, &trace)?;
        let start = Instant::now();
        self.accounting.bandit_flops += self.dynamic.learn(&trace, &losses)?;
        self.accounting.add_deciding(trace.deciding, start.elapsed());
        self.accounting.flops += flops;
        self.accounting.held_out_flops += flops;
        self.accounting.held_out_samples += batch.len() as u64;
        self.record_routing(&trace);
        Ok(())
    }
}
