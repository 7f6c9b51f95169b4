//! One pass for many models and many states of a model.

use candle_core::{Device, Tensor};
use dht_transformer::{
    AdamWSettings, BertConfig, Encoder, ForwardContext, HeadPlan, HeadSet, PackedBatch, Result,
    tensors::{Gradient, Gradients, Spans},
    train::optim::{AdamW, ParameterGroups},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn encoder(seed: u64) -> Result<Encoder> {
    let config = BertConfig { initializer_range: 0.2, ..BertConfig::small(3, 4, 24, 50)? };
    Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(seed))
}

fn batch() -> Result<PackedBatch> {
    let spans = Spans::from_lengths([5, 1, 9, 3])?;
    Ok(PackedBatch {
        ids: (0..18).map(|i| (i * 7 + 3) % 50).collect(),
        type_ids: (0..18).map(|i| u32::from(i % 5 == 4)).collect(),
        spans,
        labels: vec![0, 2, 1, 2],
        targets: Vec::new(),
        sample_ids: vec![3, 1, 4, 15],
        rest: Vec::new(),
    })
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// Layer 0 whole, layer 1 with two heads, layer 2 with a head set a sample.
fn rows(encoder: &Encoder, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<f32>> {
    let set = |heads: &[usize]| HeadSet::from_indices(heads.iter().copied(), 4);
    let per_sample = vec![set(&[0, 1])?, set(&[3])?, set(&[0, 1])?, set(&[0, 1, 2, 3])?];
    let plans = [HeadPlan::Full, HeadPlan::Same(set(&[1, 3])?), HeadPlan::PerSample(per_sample)];
    let mut hidden = encoder.embed(batch, ctx)?;
    for (layer, plan) in plans.iter().enumerate() {
        hidden = encoder.layer(layer, &hidden, plan, None, ctx)?;
    }
    numbers(hidden.tensor())
}

#[test]
fn one_pass_runs_many_models_and_sees_what_an_optimiser_changes() -> Result<()> {
    let (encoder, other) = (encoder(5)?, encoder(6)?);
    let (batch, ctx) = (batch()?, ForwardContext::inference());
    let same = |encoder: &Encoder| -> Result<()> {
        assert_eq!(rows(encoder, &batch, &ctx)?, rows(encoder, &batch, &ForwardContext::inference())?);
        Ok(())
    };
    same(&encoder)?;
    same(&other)?;
    let mut gradients = Gradients::empty(encoder.parameters().len());
    for (id, _, var) in encoder.parameters().iter() {
        gradients.set(id, Gradient::Dense(numbers(var)?));
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
