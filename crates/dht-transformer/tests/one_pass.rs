//! One forward pass that serves many models, and many states of a model.

use dht_toys::{config, head_set, numbers, rng, sample};
use dht_transformer::{
    AdamWSettings, Encoder, ForwardContext, HeadPlan, PackedBatch, Result,
    tensors::{Gradient, Gradients},
    train::optim::{AdamW, ParameterGroups},
};

fn encoder(seed: u64) -> Encoder {
    dht_toys::encoder(&config([3, 4, 24, 50], 0.2), &mut rng(seed))
}

fn batch() -> Result<PackedBatch> {
    let text = |(from, tokens, label): (u32, u32, u32)| {
        sample(from.into(), label, (from..from + tokens).map(|token| (token * 7 + 3) % 50))
    };
    let batch = PackedBatch::from_samples(&[(0, 5, 0), (5, 1, 2), (6, 9, 1), (15, 3, 2)].map(text))?;
    Ok(PackedBatch { type_ids: (0..18).map(|token| u32::from(token % 5 == 4)).collect(), ..batch })
}

/// Runs layer 0 with all heads, layer 1 with two heads, and layer 2 with a separate head set for each sample.
fn rows(encoder: &Encoder, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<f32>> {
    let set = |heads: &[usize]| head_set(heads, 4);
    let per_sample = vec![set(&[0, 1]), set(&[3]), set(&[0, 1]), set(&[0, 1, 2, 3])];
    let plans = [HeadPlan::Full, HeadPlan::Same(set(&[1, 3])), HeadPlan::PerSample(per_sample)];
    let mut hidden = encoder.embed(batch, ctx)?;
    for (layer, plan) in plans.iter().enumerate() {
        hidden = encoder.layer(layer, &hidden, plan, None, ctx)?;
    }
    Ok(numbers(hidden.tensor()))
}

#[test]
fn one_pass_runs_many_models_and_sees_what_an_optimiser_changes() -> Result<()> {
    let (encoder, other) = (encoder(5), encoder(6));
    let (batch, ctx) = (batch()?, ForwardContext::inference());
    let same = |encoder: &Encoder| -> Result<()> {
        assert_eq!(rows(encoder, &batch, &ctx)?, rows(encoder, &batch, &ForwardContext::inference())?);
        Ok(())
    };
    same(&encoder)?;
    same(&other)?;
    let mut gradients = Gradients::empty(encoder.parameters().len());
    for (id, _, var) in encoder.parameters().iter() {
        gradients.set(id, Gradient::Dense(numbers(var)));
    }
    let groups = ParameterGroups::standard(encoder.parameters());
    let mut optimizer = AdamW::new(AdamWSettings::default(), &groups, encoder.parameters())?;
    let before = rows(&encoder, &batch, &ctx)?;
    optimizer.step(encoder.parameters(), &gradients, 0.1)?;
    assert_ne!(rows(&encoder, &batch, &ctx)?, before);
    same(&encoder)?;
    let mut values = encoder.parameters().values()?;
    values.extend(other.parameters().values()?);
    encoder.parameters().set_values(values)?;
    assert_eq!(rows(&encoder, &batch, &ctx)?, rows(&other, &batch, &ctx)?);
    Ok(())
}
