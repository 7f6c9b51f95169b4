//! Training loss of a batch: a weighted mean of the losses at its exits.

use candle_core::Tensor;
use dht_dynamic::passage::{ExitOutput, PassedExits, Trace};
use dht_transformer::{
    PackedBatch,
    tensors::{cross_entropy, soft_cross_entropy},
};

use super::objective::SearchObjective;
use crate::error::{Error, Result};
use crate::routing::Losses;
use crate::settings::{ExitLosses, SoftLabels, Teacher};

type TeacherLogits = Vec<Vec<f32>>;

impl SearchObjective {
    /// Mode of [evaluating](PassedExits) the exits that a training sample passes before it stops: not at all, with
    /// gradients to the layers below, or without such gradients.
    pub(crate) fn passed_exits(&self) -> PassedExits {
        match self.settings().exit_losses {
            ExitLosses::Chosen => PassedExits::Skip,
            ExitLosses::Weighted { .. } => PassedExits::Attached,
            ExitLosses::Detached => PassedExits::Detached,
        }
    }

    /// Computes the training loss of a batch: the mean over samples of their weighted exit losses. Also returns the
    /// losses on the labels, from which the routers learn.
    pub(crate) fn losses(&self, batch: &PackedBatch, trace: &Trace) -> Result<(Tensor, Losses)> {
        let (by_output, losses) = self.label_losses(batch, trace)?;
        let soft = self.settings().soft_labels;
        let teacher_logits = self.teacher_logits(batch, trace)?;
        let mut total: Option<Tensor> = None;
        for (output, labels) in trace.outputs.iter().zip(by_output) {
            let (mut of_labels, mut of_teacher) = (Vec::new(), Vec::new());
            for &sample in &output.samples {
                let own = trace.decisions.exits[sample];
                let weight = self.exit_weight(output, own) / batch.len() as f64;
                let share = soft.map_or(0.0, |soft| soft.share(own == output.exit));
                of_labels.push((weight * (1.0 - share)) as f32);
                of_teacher.push((weight * share) as f32);
            }
            let mut term = weighted(&labels, of_labels)?;
            if let (Some(soft), Some(teacher_logits)) = (soft, &teacher_logits) {
                let teacher = rows(teacher_logits, &output.samples, &output.logits)?;
                let losses = soft_cross_entropy(&output.logits, &teacher, soft.temperature)?;
                term = (term + weighted(&losses, of_teacher)?)?;
            }
            total = Some(match total {
                Some(total) => (total + term)?,
                None => term,
            });
        }
        let none = || Error::argument("batch", "at least one sample", "none");
        Ok((total.ok_or_else(none)?, losses))
    }

    /// Computes the cross-entropy on the labels, for each sample at each exit that was evaluated. Returns the losses as
    /// one tensor for each [`ExitOutput`] of the trace, and as plain values by exit and sample.
    pub(crate) fn label_losses(&self, batch: &PackedBatch, trace: &Trace) -> Result<(Vec<Tensor>, Losses)> {
        let mut by_exit = vec![vec![f64::NAN; batch.len()]; self.dynamic.space().exits().len()];
        let mut by_output = Vec::with_capacity(trace.outputs.len());
        for ExitOutput { exit, samples, logits, .. } in &trace.outputs {
            let labels: Vec<u32> = samples.iter().map(|sample| batch.labels[*sample]).collect();
            let losses = cross_entropy(logits, &labels)?;
            for (sample, loss) in samples.iter().zip(losses.to_vec1::<f32>()?) {
                by_exit[*exit][*sample] = f64::from(loss);
            }
            by_output.push(losses);
        }
        Ok((by_output, Losses::new(by_exit)))
    }

    /// Weight of the loss at one exit, for a sample that stops at exit `own`. Over all exits with a gradient to the
    /// layers below, the weights of a sample add up to 1. Exits without such a gradient have weight 1 or 0.
    fn exit_weight(&self, output: &ExitOutput, own: usize) -> f64 {
        match (self.settings().exit_losses, own == output.exit) {
            // The detached read of the base exit precedes the decision, so that it includes samples that leave there.
            (ExitLosses::Detached, true) if output.detached => 0.0,
            (ExitLosses::Chosen | ExitLosses::Detached, true) => 1.0,
            (ExitLosses::Chosen, false) => 0.0,
            (ExitLosses::Detached, false) => 1.0,
            (ExitLosses::Weighted { weight, power }, _) => {
                let depth = |exit| self.dynamic.space().depth(exit) as f64;
                let of_exit = |exit| if exit == own { 1.0 } else { weight * (depth(exit) / depth(own)).powf(power) };
                of_exit(output.exit) / (0..=own).map(of_exit).sum::<f64>()
            }
        }
    }

    fn teacher_logits(&self, batch: &PackedBatch, trace: &Trace) -> Result<Option<TeacherLogits>> {
        match self.settings().soft_labels.map(|soft| soft.teacher) {
            None => Ok(None),
            Some(Teacher::Full) => self.full_teacher_logits(batch).map(Some),
            Some(Teacher::Deepest) => {
                let mut teacher_logits = vec![Vec::new(); batch.len()];
                for output in trace.outputs.iter().filter(|output| !output.detached) {
                    let rows: Vec<Vec<f32>> = output.logits.to_vec2()?;
                    for (&sample, row) in output.samples.iter().zip(rows) {
                        if trace.decisions.exits[sample] == output.exit {
                            teacher_logits[sample] = row;
                        }
                    }
                }
                Ok(Some(teacher_logits))
            }
        }
    }
}

impl SoftLabels {
    /// Weight of the teacher's loss in the loss of an exit. `own` is true at the exit where the sample stops, and false
    /// at exits that it passes.
    fn share(self, own: bool) -> f64 {
        // The deepest exit is the teacher, and is not distilled from itself.
        if own && self.teacher == Teacher::Deepest { 0.0 } else { self.weight }
    }
}

/// Weighted sum of losses, Σ weight · loss.
pub(crate) fn weighted(losses: &Tensor, weights: Vec<f32>) -> Result<Tensor> {
    let count = weights.len();
    Ok((losses * Tensor::from_vec(weights, count, losses.device())?)?.sum_all()?)
}

/// Tensor of the teacher's logits for some samples, with the shape (samples, classes) of `logits`.
pub(crate) fn rows(teacher_logits: &TeacherLogits, samples: &[usize], logits: &Tensor) -> Result<Tensor> {
    let values: Vec<f32> = samples.iter().flat_map(|sample| teacher_logits[*sample].iter().copied()).collect();
    Ok(Tensor::from_vec(values, logits.dims2()?, logits.device())?)
}

#[cfg(test)]
mod tests;
