//! The features of the arms (section 4.2 of the paper): mean states of the model before it is trained.

use dht_transformer::{EncodedDataset, FlopCount, HeadPlan, HeadSet, Hidden, Pass};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::context::pooled;
use crate::executor::Executor;
use crate::{DEPTH_PYRAMID, HEADS_PYRAMID, Result};

/// Features of all arms, pooled like contexts and not yet scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArmFeatures {
    /// For each exit, the mean pooled state there in the full model: z of UCB_L's arms.
    pub(crate) depth: Vec<Vec<f64>>,
    /// For each group and number of heads, the mean pooled state behind the group with so many random heads.
    pub(crate) heads: Vec<Vec<Vec<f64>>>,
    /// For each head, the mean of its part of the embedding over all states of both passes.
    pub(crate) head_sets: Vec<f64>,
}

/// A running mean of vectors.
#[derive(Default)]
struct Mean {
    sum: Vec<f64>,
    count: f64,
}

impl Mean {
    fn add(&mut self, row: &[f64]) {
        self.sum.resize(row.len(), 0.0);
        self.sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        self.count += 1.0;
    }

    fn finish(self, width: usize) -> Vec<f64> {
        let count = self.count.max(1.0);
        let mut mean = self.sum;
        mean.resize(width, 0.0);
        mean.iter_mut().for_each(|value| *value /= count);
        mean
    }
}

impl ArmFeatures {
    /// Two passes over texts, without gradient: one through the full model, one with heads drawn at random, evenly by
    /// number. Also gives the FLOPs of the two, which are part of the training's cost.
    pub(crate) fn of_texts(
        executor: &Executor<'_>,
        options: &[usize],
        pinned: HeadSet,
        texts: &EncodedDataset,
        rows: &[usize],
        rng: &mut ChaCha8Rng,
    ) -> Result<(Self, FlopCount)> {
        let Executor { encoder, space, .. } = *executor;
        let pass = Pass::inference();
        let (pools, heads) = ([DEPTH_PYRAMID.pool()?, HEADS_PYRAMID.pool()?], space.stack().heads);
        let groups = space.groups();
        let mut depth: Vec<Mean> = space.exits().iter().map(|_| Mean::default()).collect();
        let mut by_heads: Vec<Vec<Mean>> =
            groups.iter().map(|_| options.iter().map(|_| Mean::default()).collect()).collect();
        let mut parts = Mean::default();
        let mut flops = FlopCount::ZERO;
        let block = encoder.block_shape();
        for rows in rows.chunks(32) {
            let batch = texts.batch(rows)?;
            let base = executor.base(&batch, &pass)?;
            let load = (&batch.spans).into();
            let full_layer = block.forward(load, block.full()).total();
            (0..space.base_layers()).for_each(|_| flops += full_layer);
            add(&mut depth[0], &base, &pools[0], heads, &mut parts)?;

            let mut hidden = base.clone();
            for (group, layers) in groups.iter().enumerate() {
                hidden = encoder.run(layers.layers(), hidden, &HeadPlan::Full, &pass)?;
                layers.layers().for_each(|_| flops += full_layer);
                add(&mut depth[group + 1], &hidden, &pools[0], heads, &mut parts)?;
            }

            let mut hidden = base;
            for (group, layers) in groups.iter().enumerate() {
                // Evenly: the samples are dealt to the numbers of heads in turn, from a random start.
                let first = rng.random_range(0..options.len());
                let mut dealt = Vec::new();
                for option in 0..options.len() {
                    let places: Vec<usize> =
                        (0..hidden.samples()).filter(|place| (place + first) % options.len() == option).collect();
                    if places.is_empty() {
                        continue;
                    }
                    let kept = crate::strategy::random_head_set(heads, pinned, options[option], rng)?;
                    let part = hidden.select(&places)?;
                    let layer = block.forward(part.spans().into(), block.keeping(kept.len())).total();
                    layers.layers().for_each(|_| flops += layer);
                    let part = encoder.run(layers.layers(), part, &HeadPlan::Same(kept), &pass)?;
                    add(&mut by_heads[group][option], &part, &pools[1], heads, &mut parts)?;
                    dealt.push(part);
                }
                hidden = Hidden::concat(&dealt)?;
            }
        }
        let features = Self {
            depth: depth.into_iter().map(|mean| mean.finish(DEPTH_PYRAMID.context_size())).collect(),
            heads: by_heads
                .into_iter()
                .map(|group| group.into_iter().map(|mean| mean.finish(HEADS_PYRAMID.context_size())).collect())
                .collect(),
            head_sets: parts.finish(heads),
        };
        Ok((features, flops))
    }
}

/// Adds each sample's pooled state to `mean`, and each head's part of its rows to `parts`.
fn add(mean: &mut Mean, hidden: &Hidden, pool: &dht_bandits::PyramidPool, heads: usize, parts: &mut Mean) -> Result<()> {
    let [rows] = pooled(hidden, [pool])?;
    rows.iter().for_each(|row| mean.add(row));
    let means: Vec<Vec<f32>> = hidden.mean_rows()?.to_vec2()?;
    for row in means {
        let width = row.len() / heads;
        let part = |part: &[f32]| part.iter().map(|value| f64::from(*value)).sum::<f64>() / width as f64;
        parts.add(&row.chunks_exact(width).map(part).collect::<Vec<_>>());
    }
    Ok(())
}
