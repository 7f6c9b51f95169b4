//! A router that learns from texts on a frozen model, all of whose exits read each of them.

use candle_core::Tensor;
use dht_transformer::{EncodedDataset, ForwardContext, HeadPlan, PackedBatch, data::longest_first};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::features::{log_probabilities, signals_of};
use crate::model::DynamicModel;
use crate::routing::{Decisions, Losses, Mode, Router, StageView};

/// Lets the router of a model learn from texts with labels; encoder, exits and front exit stay as they are. Each text runs all
/// layers, so that its losses at all exits are known: of a bandit every arm learns. A router that has to see contexts first, before
/// its scaling is fixed, sees the first texts twice.
///
/// Returns FLOPs: of the passes, and of what the router learned.
///
/// # Errors
/// [`Error::Setting`] for an integrated space, and for one with a tail or without a classifier after the base layers: there the passed
/// exits of a text are unknown; for texts of other classes. What the encoder and the router report; the model is unchanged then.
pub fn fit_router(model: &mut DynamicModel, texts: &EncodedDataset, batch_size: usize) -> Result<u64> {
    model.model().check_texts(texts)?;
    let space = model.space();
    if !space.is_tree()
        || space.tail().is_some()
        || space.base().map(|base| base.end()) != space.exits().first().copied()
    {
        return Err(Error::setting(
            "space",
            "a tree search without a tail, with an exit after its base layers",
            "another",
        ));
    }
    let mut router = model.router.clone();
    let ctx = ForwardContext::inference();
    for rows in longest_first(&texts.lengths(), batch_size)? {
        let (decisions, losses) = observe(model, &*router, &texts.batch(&rows)?, &ctx)?;
        if !router.is_warm() {
            router.learn(&decisions, &losses)?;
        }
        if router.is_warm() {
            router.learn(&decisions, &losses)?;
        }
    }
    let learning = router.take_learning_flops();
    model.router = router;
    Ok(model.full_inference_flops(texts)? + learning)
}

/// The contexts of a router at all exits, and the losses there, with the front exit stacked on them.
fn observe(
    model: &DynamicModel,
    router: &dyn Router,
    batch: &PackedBatch,
    ctx: &ForwardContext,
) -> Result<(Decisions, Losses)> {
    let (parts, members) = (model.model(), (0..batch.len()).collect::<Vec<_>>());
    let last = parts.space().exits().len() - 1;
    let (mut decisions, mut losses) = (Decisions::leaving_at(vec![last; batch.len()]), Losses::new(Vec::new()));
    let of_label = |logs: &[f64], label: &u32| -logs[*label as usize];
    let mut stacking = None;
    if let Some(front) = model.front() {
        let (logs, _) = front.ngram().log_probabilities_and_flops(batch)?;
        decisions.front =
            logs.rows().zip(batch.spans.lengths()).map(|(logs, tokens)| signals_of(logs, tokens)).collect();
        losses.front = logs.rows().zip(&batch.labels).map(|(logs, label)| of_label(logs, label)).collect();
        stacking = Some(front.stacking(logs));
    }
    let (front, mut rng) = (decisions.front.clone(), ChaCha8Rng::seed_from_u64(0));
    let (mut hidden, mut depth) = (parts.encoder.embed(batch, ctx)?, 0);
    for (exit, &end) in parts.space().exits().iter().enumerate() {
        hidden = parts.encoder.run(depth..end, &hidden, &HeadPlan::Full, ctx)?;
        depth = end;
        let logits = parts.exits.at(exit).logits(&hidden, ctx)?;
        let logits = match &stacking {
            Some(stacking) => stacking.stack(exit, &logits, &members)?,
            None => logits,
        };
        let rows = log_probabilities(&logits)?;
        losses.by_exit.push(rows.iter().zip(&batch.labels).map(|(logs, label)| of_label(logs, label)).collect());
        let read: Option<&Tensor> = router.reads(exit, last).then_some(&logits);
        let view = StageView { exit, hidden: &hidden, members: &members, logits: read };
        if exit == 0 {
            // Routes at random, so that a router does not decide; the contexts are what counts.
            decisions = router.start(&view, last, Mode::Random, &mut rng)?;
            (decisions.exits, decisions.front) = (vec![last; batch.len()], front.clone());
        }
        if exit < last {
            router.at_exit(&view, &mut decisions, Mode::Random, &mut rng)?;
        }
    }
    Ok((decisions, losses))
}
