//! Full-model steps: training steps that run the full model and train the last exit only.

use dht_transformer::{
    ForwardContext, HeadPlan, PackedBatch, Progress, StepLoss,
    tensors::{cross_entropy, soft_cross_entropy},
};

use super::exit_losses::{rows, weighted};
use super::objective::SearchObjective;
use crate::error::Result;
use crate::settings::Teacher;

impl SearchObjective {
    /// Trains the full model, with all layers and heads, on a batch. The routers do not learn from it.
    pub(super) fn run_full_model(&mut self, batch: &PackedBatch, progress: Progress) -> Result<StepLoss> {
        let ctx = ForwardContext::training(self.dynamic.encoder().parameters(), progress.seed, progress.step as u32);
        let ctx = self.with_head_gradients(ctx);
        let model = self.exit_model();
        let (layout, last) = (model.layout(), model.exits().len() - 1);
        let route = layout.route(last, &vec![layout.shape().heads; layout.groups_before(last).len()])?;
        let mut hidden = model.encoder().embed(batch, &ctx)?;
        for group in route.groups() {
            hidden = model.encoder().run(group.layers.layers(), &hidden, &HeadPlan::Full, &ctx)?;
        }
        let logits = model.exits()[last].logits(&hidden, &ctx)?;
        let losses = cross_entropy(&logits, &batch.labels)?;
        let values: Vec<f32> = losses.to_vec1()?;
        let soft = self.settings().soft_labels.filter(|soft| soft.teacher == Teacher::Full);
        let share = soft.map_or(0.0, |soft| soft.weight);
        let each = |share: f64| vec![(share / batch.len() as f64) as f32; batch.len()];
        let mut loss = weighted(&losses, each(1.0 - share))?;
        if let Some(soft) = soft {
            let all: Vec<usize> = (0..batch.len()).collect();
            let teacher = rows(&self.full_teacher_logits(batch)?, &all, &logits)?;
            let losses = soft_cross_entropy(&logits, &teacher, soft.temperature)?;
            loss = (loss + weighted(&losses, each(share))?)?;
        }
        // The training loop stops at a loss that is not finite.
        if values.iter().all(|value| value.is_finite()) {
            let reads = self.exit_model().full_reads();
            for (tokens, loss) in batch.spans.lengths().zip(values) {
                self.record_text(&route, tokens, &reads, f64::from(loss), progress)?;
            }
            self.record_teacher(batch);
            self.await_importance(batch, &ctx);
        }
        Ok(StepLoss { loss, ctx, samples: batch.len(), terms: batch.len() })
    }
}
