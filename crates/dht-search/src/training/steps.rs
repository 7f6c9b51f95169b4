//! Training steps: forward pass of a batch, learning of encoder and routers, and recording of the cost.

use std::time::{Duration, Instant};

use dht_dynamic::passage::{PassedExits, Trace};
use dht_transformer::{Encoding, ForwardContext, PackedBatch, Progress, Sample, StepLoss};
use rand_chacha::ChaCha8Rng;

use super::objective::{SearchObjective, Step, stream};
use crate::error::{Error, Result};
use crate::settings::LossSource;

/// First number of the random streams that draw routes, one stream for each step.
const ROUTING: u64 = 1 << 32;
/// First number of the random streams that draw routes of queued batches, one stream for each batch.
const QUEUEING: u64 = 1 << 48;

impl SearchObjective {
    pub(super) fn run(&mut self, step: Step, progress: Progress) -> Result<StepLoss> {
        let (batch, decisions) = match step {
            Step::FullModel(batch) => return self.run_full_model(&batch, progress),
            Step::Route(batch) => (batch, None),
            Step::Decided(batch, decisions) => (batch, Some(decisions)),
        };
        let mut rng = self.routing(progress);
        let ctx = ForwardContext::training(self.dynamic.encoder().parameters(), progress.seed, progress.step as u32);
        let ctx = self.with_head_gradients(ctx);
        let walk = self.dynamic.walk(&ctx, self.passed_exits());
        let mut mode = self.mode(progress, &mut rng);
        let (trace, pre_pass) = match decisions {
            None => {
                let trace = walk.run(&batch, &mut mode)?;
                let pre_pass = if trace.pre_pass { self.pre_pass_flops(&batch) } else { 0 };
                (trace, pre_pass)
            }
            // The pre-pass was counted when the batch was queued.
            Some(decisions) => (walk.run_decided(&batch, decisions, &mut mode)?, 0),
        };
        self.accounting.flops += pre_pass;
        self.routing = Some((progress.step, rng));
        self.finish(&batch, trace, ctx, progress)
    }

    fn pre_pass_flops(&self, batch: &PackedBatch) -> u64 {
        let model = self.exit_model();
        batch.spans.lengths().map(|tokens| model.pre_pass_flops(tokens)).sum()
    }

    /// Random generator that draws the routes of a step. All batches that are accumulated into one optimiser step share
    /// it, so that each draws different numbers.
    fn routing(&mut self, progress: Progress) -> ChaCha8Rng {
        match self.routing.take() {
            Some((step, rng)) if step == progress.step => rng,
            _ => stream(progress, ROUTING + progress.step),
        }
    }

    /// Completes a batch after its forward pass: computes its loss, updates the routers and records its cost.
    fn finish(
        &mut self,
        batch: &PackedBatch,
        trace: Trace,
        ctx: ForwardContext,
        progress: Progress,
    ) -> Result<StepLoss> {
        let (loss, losses) = self.losses(batch, &trace)?;
        let start = Instant::now();
        let mut awaited = None;
        let known = losses.by_exit.iter().flatten().all(|loss| loss.is_nan() || loss.is_finite());
        let own = |sample: usize| losses.by_exit[trace.decisions.exits[sample]][sample];
        if known && (0..batch.len()).all(|sample| own(sample).is_finite()) {
            if self.routers_learn(progress) {
                self.accounting.bandit_flops += self.dynamic.learn(&trace, &losses)?;
            }
            self.record_trace(batch, &trace, &own, progress)?;
            // Head gradients exist only for texts that are trained on.
            awaited = Some(self.settings().loss_source != LossSource::FirstEpoch || progress.epoch == 0);
        }
        // The training loop stops at a loss that is not finite.
        self.accounting.add_deciding(trace.deciding, start.elapsed());
        match awaited {
            Some(true) => self.await_head_gradients(batch, trace, &losses, &ctx),
            Some(false) => self.await_importance(batch, &ctx),
            None => {}
        }
        Ok(StepLoss { loss, ctx, samples: batch.len(), terms: batch.len() })
    }

    /// Routes a batch with the current weights, without gradient, and adds its samples to the queues of their exits.
    pub(super) fn queue(&mut self, batch: &PackedBatch, progress: Progress) -> Result<()> {
        let ctx = ForwardContext::inference();
        // Several batches may join the queues between two steps: the number of earlier samples distinguishes them.
        let mut rng = stream(progress, QUEUEING + self.accounting.samples + self.queued.len() as u64);
        let (decisions, deciding) =
            self.dynamic.walk(&ctx, PassedExits::Skip).decide(batch, &mut self.mode(progress, &mut rng))?;
        self.accounting.add_deciding(deciding, Duration::ZERO);
        let (model, last) = (self.exit_model(), self.exit_model().exits().len() - 1);
        let read = self.dynamic.router.reads(0, last) || self.dynamic.heads.reads_answers();
        let read = read && model.layout().base().is_some();
        let of_text = |tokens| {
            let exit = if read { model.exits()[0].flops(tokens).forward.0 } else { 0 };
            model.layer_flops(model.layout().base_layers(), tokens) + exit
        };
        let flops: u64 = batch.spans.lengths().map(of_text).sum();
        self.accounting.flops += flops;
        for sample in samples_of(batch) {
            self.queued.insert(sample.id as usize, sample);
        }
        if let Some(queues) = &mut self.queues {
            queues.join(&batch.sample_ids, decisions, progress.step);
        }
        Ok(())
    }

    /// Removes the next batch from the queues, if there is one.
    pub(super) fn leave_queue(&mut self, drain: bool, progress: Progress) -> Result<Option<Step>> {
        let Some(queues) = &mut self.queues else { return Ok(None) };
        let Some((rows, decisions)) = queues.leave(drain, progress.step) else { return Ok(None) };
        let mut samples = Vec::with_capacity(rows.len());
        for row in rows {
            let missing = || Error::state("queued sample", "one that joined a queue", row);
            samples.push(self.queued.remove(&row).ok_or_else(missing)?);
        }
        Ok(Some(Step::Decided(PackedBatch::from_samples(&samples)?, decisions)))
    }
}

/// Splits a batch into its samples.
fn samples_of(batch: &PackedBatch) -> impl Iterator<Item = Sample> + '_ {
    (0..batch.len()).map(|sample| {
        let rows = batch.spans.range(sample);
        Sample {
            id: batch.sample_ids[sample],
            label: batch.labels[sample],
            targets: Vec::new(),
            encoding: Encoding {
                ids: batch.ids[rows.clone()].to_vec(),
                type_ids: batch.type_ids[rows].to_vec(),
                truncated: false,
                rest: batch.rest.get(sample).cloned().unwrap_or_default(),
            },
        }
    })
}
