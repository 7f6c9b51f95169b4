//! Computation of arm features (descriptions of the bandits' arms, DHT paper, section 4.2) by forward passes before
//! training.

use std::ops::Range;

use dht_bandits::features::PyramidPool;
use dht_dynamic::Route;
use dht_transformer::{EncodedDataset, ForwardContext, HeadSet, Hidden, flops::FlopCount};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::features::{ArmFeatures, PoolingPyramid, pooled};
use crate::model::SearchModel;
use crate::routing::random_heads;

/// Running mean of vectors, component by component.
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

/// State of the two forward passes that compute arm features: one keeps all heads, the other random heads.
struct Passes<'a> {
    model: &'a SearchModel,
    ctx: ForwardContext,
    /// Mean value of each head's columns of the hidden state, over all samples, all layers and both passes.
    head_means: Mean,
    flops: FlopCount,
}

impl Passes<'_> {
    /// Runs `layers` with the given `heads` for a batch. Also adds the hidden state after each layer to `head_means`,
    /// and counts the FLOPs.
    fn run(&mut self, layers: Range<usize>, hidden: &Hidden, heads: HeadSet) -> Result<Hidden> {
        let encoder = self.model.encoder();
        let group = [self.model.model.sample_group(hidden.samples(), heads)];
        let flops = encoder.block_shape().forward_of_groups(hidden.spans(), &group)?.total();
        let mut hidden = hidden.clone();
        for layer in layers {
            hidden = encoder.run_groups(layer..layer + 1, &hidden, &group, &self.ctx)?;
            self.flops += flops;
            self.add_head_means(&hidden)?;
        }
        Ok(hidden)
    }

    fn add_head_means(&mut self, hidden: &Hidden) -> Result<()> {
        let heads = self.model.space().model_shape().heads;
        let means: Vec<Vec<f32>> = hidden.mean_rows()?.to_vec2()?;
        for row in means {
            let width = row.len() / heads;
            let mean = |columns: &[f32]| columns.iter().map(|value| f64::from(*value)).sum::<f64>() / width as f64;
            self.head_means.add(&row.chunks_exact(width).map(mean).collect::<Vec<_>>());
        }
        Ok(())
    }

    fn run_full(&mut self, layers: Range<usize>, hidden: &Hidden) -> Result<Hidden> {
        self.run(layers, hidden, HeadSet::full(self.model.space().model_shape().heads)?)
    }

    /// Runs the base layers, which all routes share.
    fn start(&mut self, embedded: &Hidden) -> Result<Hidden> {
        let base = self.model.space().base().map_or(0, |base| base.end());
        self.run_full(0..base, embedded)
    }

    /// Last hidden state of a route whose state at the exit is `hidden`: the state after the tail (last layers that
    /// every route runs), or `hidden` itself in a space without a tail.
    fn end(&mut self, hidden: &Hidden) -> Result<Hidden> {
        match self.model.space().tail() {
            Some(tail) => self.run_full(tail.layers(), hidden),
            None => Ok(hidden.clone()),
        }
    }
}

fn add(mean: &mut Mean, hidden: &Hidden, pool: &PyramidPool) -> Result<()> {
    let [rows] = pooled(hidden, [pool])?;
    rows.iter().for_each(|row| mean.add(row));
    Ok(())
}

/// Computes arm features (mean pooled states that describe the bandits' arms) by two passes over texts, without
/// gradient. Also returns the FLOPs of both passes, which are part of the training cost.
///
/// One pass runs the full model. The other pass keeps random heads, with a random number of heads: each allowed number
/// is equally probable. In a [tree search](crate::space::Search::Tree) the number is drawn for each group of layers.
pub(super) fn arm_features(
    model: &SearchModel,
    pinned: Option<HeadSet>,
    texts: &EncodedDataset,
    rows: &[usize],
    rng: &mut ChaCha8Rng,
) -> Result<(ArmFeatures, FlopCount)> {
    let (encoder, space) = (model.encoder(), model.space());
    let options = space.distinct_head_options();
    let (depth_pool, heads_pool, heads) =
        (PoolingPyramid::DEPTH.pool()?, PoolingPyramid::HEADS.pool()?, space.model_shape().heads);
    let means = |count: usize| -> Vec<Mean> { (0..count).map(|_| Mean::default()).collect() };
    let mut depth = means(space.exits().len());
    let mut by_heads: Vec<Vec<Mean>> = space.groups().iter().map(|_| means(options.len())).collect();
    // Indexed by exit and number of heads; an arm without dynamic groups ends in the full model's state.
    let mut by_arm: Vec<Vec<Mean>> = space.exits().iter().map(|_| means(options.len())).collect();
    let mut passes =
        Passes { model, ctx: ForwardContext::inference(), head_means: Mean::default(), flops: FlopCount::ZERO };
    for rows in rows.chunks(32) {
        let batch = texts.batch(rows)?;
        let base = passes.start(&encoder.embed(&batch, &ForwardContext::inference())?)?;
        let (mut hidden, mut group) = (base.clone(), 0);
        for (exit, depth) in depth.iter_mut().enumerate() {
            while group < space.groups_before(exit).len() {
                hidden = passes.run_full(space.groups()[group].layers(), &hidden)?;
                group += 1;
            }
            let end = passes.end(&hidden)?;
            add(depth, &end, &depth_pool)?;
        }
        // Equal frequencies: the head counts take samples in turn, from a random start.
        let by_option = |samples: usize, rng: &mut ChaCha8Rng| -> Vec<Vec<usize>> {
            let first = rng.random_range(0..options.len().max(1));
            let of = |option| (0..samples).filter(|index| (index + first) % options.len() == option).collect();
            (0..options.len()).map(of).collect()
        };
        if space.is_tree() {
            let mut hidden = base;
            for (layers, means) in space.groups().iter().zip(&mut by_heads) {
                let mut states = Vec::new();
                for (option, indices) in by_option(hidden.samples(), rng).into_iter().enumerate() {
                    if !indices.is_empty() {
                        let set = random_heads(heads, pinned, options[option], rng)?;
                        let state = passes.run(layers.layers(), &hidden.select(&indices)?, set)?;
                        add(&mut means[option], &state, &heads_pool)?;
                        states.push(state);
                    }
                }
                hidden = Hidden::concat(&states)?;
            }
        } else {
            for (option, indices) in by_option(base.samples(), rng).into_iter().enumerate() {
                if indices.is_empty() {
                    continue;
                }
                let (mut hidden, mut group) = (base.select(&indices)?, 0);
                for (exit, means) in by_arm.iter_mut().enumerate() {
                    while group < space.groups_before(exit).len() {
                        let set = random_heads(heads, pinned, options[option], rng)?;
                        let layers = space.groups()[group].layers();
                        hidden = passes.run(layers, &hidden, set)?;
                        group += 1;
                    }
                    let end = passes.end(&hidden)?;
                    add(&mut means[option], &end, &depth_pool)?;
                }
            }
        }
    }
    let (depth_size, heads_size) = (PoolingPyramid::DEPTH.context_size(), PoolingPyramid::HEADS.context_size());
    let finish =
        |means: Vec<Mean>, size: usize| -> Vec<Vec<f64>> { means.into_iter().map(|mean| mean.finish(size)).collect() };
    let depth = finish(depth, depth_size);
    let by_arm: Vec<Vec<Vec<f64>>> = by_arm.into_iter().map(|means| finish(means, depth_size)).collect();
    let of_arm = |arm: &Route| {
        let exit = space.exits().iter().position(|exit| *exit == arm.exit()).unwrap_or_default();
        let option = arm.dynamic_groups().next().and_then(|group| options.iter().position(|o| *o == group.heads));
        option.map_or_else(|| depth[exit].clone(), |option| by_arm[exit][option].clone())
    };
    let features = ArmFeatures {
        arms: space.integrated_arms().iter().map(of_arm).collect(),
        heads: by_heads.into_iter().map(|means| finish(means, heads_size)).collect(),
        depth,
        head_sets: passes.head_means.finish(heads),
    };
    let features = match space.is_tree() {
        true => features,
        false => ArmFeatures { depth: Vec::new(), heads: Vec::new(), ..features },
    };
    Ok((features, passes.flops))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use dht_transformer::{BertConfig, Encoder, Encoding, HeadPlan, Sample};
    use rand::SeedableRng;

    use super::*;
    use crate::model::SearchModel;
    use crate::settings::SearchSettings;
    use crate::space::{SearchSpace, SpaceConfig};

    #[test]
    fn features_are_means_of_pooled_states() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let encoder = Encoder::random(&BertConfig::small(6, 4, 16, 50).unwrap(), &Device::Cpu, &mut rng).unwrap();
        // Exits at 2 and 6 layers: the states after layers 1, 3, 4 and 5 are those of no exit.
        let space = SearchSpace::new(SpaceConfig::of_full_heads(6, 4, vec![2, 6])).unwrap();
        let model = SearchModel::new(encoder, space, SearchSettings::paper(), 3, &mut rng).unwrap();
        let samples = (0..5).map(|id| {
            let ids: Vec<u32> = (0..2 + id as u32).map(|token| 7 * token + id as u32).collect();
            let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
            Sample { id, label: 0, targets: Vec::new(), encoding }
        });
        let labels = (0..3).map(|class| class.to_string()).collect();
        let texts = EncodedDataset { samples: samples.collect(), labels, truncated_rows: 0 };
        let (features, _) = arm_features(&model, None, &texts, &[0, 1, 2, 3, 4], &mut rng).unwrap();

        // Both passes keep all heads; the second begins after the base layers.
        let ctx = ForwardContext::inference();
        let mut hidden = model.encoder().embed(&texts.batch(&[0, 1, 2, 3, 4]).unwrap(), &ctx).unwrap();
        let (mut sums, mut count) = ([0.0; 4], 0.0);
        // Of the depth and head-count bandits: at the ends of groups. Of the head sets: after every layer.
        let check = |feature: &[f64], hidden: &Hidden, pool: PyramidPool| {
            let [rows] = pooled(hidden, [&pool]).unwrap();
            for (column, value) in feature.iter().enumerate() {
                let expected = rows.iter().map(|row| row[column]).sum::<f64>() / rows.len() as f64;
                assert!((value - expected).abs() < 1e-6, "{value}, {expected} by hand");
            }
        };
        for layer in 0..6 {
            hidden = model.encoder().run(layer..layer + 1, &hidden, &HeadPlan::Full, &ctx).unwrap();
            match layer {
                1 => check(&features.depth[0], &hidden, PoolingPyramid::DEPTH.pool().unwrap()),
                5 => {
                    check(&features.depth[1], &hidden, PoolingPyramid::DEPTH.pool().unwrap());
                    check(&features.heads[0][0], &hidden, PoolingPyramid::HEADS.pool().unwrap());
                }
                _ => {}
            }
            let passes = if layer < 2 { 1.0 } else { 2.0 };
            for row in hidden.mean_rows().unwrap().to_vec2::<f32>().unwrap() {
                count += passes;
                for (sum, part) in sums.iter_mut().zip(row.chunks_exact(4)) {
                    *sum += passes * part.iter().map(|value| f64::from(*value)).sum::<f64>() / 4.0;
                }
            }
        }
        for (value, sum) in features.head_sets.iter().zip(sums) {
            assert!((value - sum / count).abs() < 1e-6, "{value}, {} by hand", sum / count);
        }
    }
}
