//! What stays of each layer.

use dht_transformer::config::KeptDimensions;
use dht_transformer::flops::{BlockShape, LayerSizes};
use dht_transformer::pruning::LayerPlan;
use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::choose::choose;
use super::cost::{NasCost, hard};
use super::space::{Group, Part};
use crate::error::Result;

/// A narrower encoder: for each layer, which units of each part stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    shape: BlockShape,
    layers: Vec<LayerUnits>,
}

/// The units of a layer that stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerUnits {
    query_inputs: Vec<bool>,
    key_inputs: Vec<bool>,
    value_inputs: Vec<bool>,
    query_key_outputs: Vec<bool>,
    value_outputs: Vec<bool>,
    heads: Vec<bool>,
    neurons: Vec<bool>,
}

impl LayerUnits {
    fn part(&self, part: Part) -> &Vec<bool> {
        match part {
            Part::QueryInputs => &self.query_inputs,
            Part::KeyInputs => &self.key_inputs,
            Part::ValueInputs => &self.value_inputs,
            Part::QueryKeyOutputs => &self.query_key_outputs,
            Part::ValueOutputs => &self.value_outputs,
            Part::Heads => &self.heads,
            Part::Neurons => &self.neurons,
        }
    }

    fn part_mut(&mut self, part: Part) -> &mut Vec<bool> {
        match part {
            Part::QueryInputs => &mut self.query_inputs,
            Part::KeyInputs => &mut self.key_inputs,
            Part::ValueInputs => &mut self.value_inputs,
            Part::QueryKeyOutputs => &mut self.query_key_outputs,
            Part::ValueOutputs => &mut self.value_outputs,
            Part::Heads => &mut self.heads,
            Part::Neurons => &mut self.neurons,
        }
    }
}

impl Architecture {
    /// The whole encoder.
    pub fn whole(shape: BlockShape, layers: usize) -> Self {
        let all = |part: Part| {
            let (blocks, width) = part.size(shape);
            vec![true; blocks * width]
        };
        let layer = LayerUnits {
            query_inputs: all(Part::QueryInputs),
            key_inputs: all(Part::KeyInputs),
            value_inputs: all(Part::ValueInputs),
            query_key_outputs: all(Part::QueryKeyOutputs),
            value_outputs: all(Part::ValueOutputs),
            heads: all(Part::Heads),
            neurons: all(Part::Neurons),
        };
        Self { shape, layers: vec![layer; layers] }
    }

    /// The whole encoder but for the units that a search did not keep; `kept` has one list for each group.
    pub(super) fn of_groups(shape: BlockShape, layers: usize, groups: &[Group], kept: &[Vec<bool>]) -> Self {
        let mut this = Self::whole(shape, layers);
        for (group, kept) in groups.iter().zip(kept) {
            for layer in &mut this.layers[group.layers.clone()] {
                layer.part_mut(group.part).clone_from(kept);
            }
        }
        this
    }

    /// The units of the highest scores, one list for each of the cost's groups, as [`choose`](super::choose()) keeps them; and their
    /// share of the whole cost.
    ///
    /// # Errors
    /// As [`choose`](super::choose()).
    pub fn chosen(cost: &NasCost, scores: &[Vec<f64>], target: f64) -> Result<(Self, f64)> {
        let kept = choose(cost, scores, target)?;
        let share = cost.share(&hard(&kept)).0;
        Ok((Self::of_groups(cost.shape(), cost.layers(), cost.groups(), &kept), share))
    }

    /// As many units of each part and layer, but others: heads change places with their outputs, and all else within its part. It costs
    /// the same, so that what is lost is what the choice of units is worth.
    #[must_use]
    pub fn shuffled<R: Rng + ?Sized>(&self, rng: &mut R) -> Self {
        let mut this = self.clone();
        for layer in &mut this.layers {
            for part in [Part::QueryInputs, Part::KeyInputs, Part::ValueInputs, Part::Neurons] {
                layer.part_mut(part).shuffle(rng);
            }
            let mut order: Vec<usize> = (0..layer.heads.len()).collect();
            order.shuffle(rng);
            layer.heads = order.iter().map(|head| layer.heads[*head]).collect();
            for part in [Part::QueryKeyOutputs, Part::ValueOutputs] {
                let dim = self.shape.head_dim.max(1);
                let mut heads: Vec<Vec<bool>> = layer.part(part).chunks(dim).map(<[bool]>::to_vec).collect();
                heads.iter_mut().for_each(|head| head.shuffle(rng));
                *layer.part_mut(part) = order.iter().flat_map(|head| heads[*head].clone()).collect();
            }
        }
        this
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Which units of a part stay; outputs head by head.
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn units(&self, layer: usize, part: Part) -> &[bool] {
        self.layers[layer].part(part)
    }

    /// The kept units of a part, ascending.
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn kept(&self, layer: usize, part: Part) -> Vec<usize> {
        places(self.units(layer, part))
    }

    /// The sizes of a layer; outputs of heads that are gone do not count.
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn sizes(&self, layer: usize) -> LayerSizes {
        let count = |part| self.units(layer, part).iter().filter(|kept| **kept).count();
        let dimensions = self.dimensions(layer);
        let outputs = |lists: &[Vec<usize>]| lists.iter().map(Vec::len).sum();
        LayerSizes {
            hidden: self.shape.hidden,
            query_inputs: count(Part::QueryInputs),
            key_inputs: count(Part::KeyInputs),
            value_inputs: count(Part::ValueInputs),
            query_key: outputs(&dimensions.query_key_outputs),
            value: outputs(&dimensions.value_outputs),
            ffn: count(Part::Neurons),
        }
    }

    fn dimensions(&self, layer: usize) -> KeptDimensions {
        let heads = self.units(layer, Part::Heads);
        let by_head = |part| self.units(layer, part).chunks(self.shape.head_dim.max(1)).map(places).collect();
        KeptDimensions {
            query_inputs: self.kept(layer, Part::QueryInputs),
            key_inputs: self.kept(layer, Part::KeyInputs),
            value_inputs: self.kept(layer, Part::ValueInputs),
            query_key_outputs: by_head(Part::QueryKeyOutputs),
            value_outputs: by_head(Part::ValueOutputs),
        }
        .without_heads(|head| heads[head])
    }

    /// What [`Encoder::prune_dimensions`](dht_transformer::Encoder::prune_dimensions) takes.
    pub fn plans(&self) -> Vec<LayerPlan> {
        let plan = |layer| LayerPlan { dimensions: self.dimensions(layer), neurons: self.kept(layer, Part::Neurons) };
        (0..self.layers()).map(plan).collect()
    }
}

fn places(kept: &[bool]) -> Vec<usize> {
    kept.iter().enumerate().filter_map(|(place, kept)| kept.then_some(place)).collect()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::nas::cost::CostMeasure;
    use crate::nas::space::NasSpace;

    #[test]
    fn a_shuffled_architecture_costs_the_same_and_keeps_other_units() {
        let shape = BlockShape { hidden: 24, heads: 4, head_dim: 6, ffn: 40 };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let groups = NasSpace::default().groups(shape, 2).unwrap();
        let cost = NasCost::new(CostMeasure::Flops { tokens: 9 }, shape, 2, groups, 0.0).unwrap();
        let scores: Vec<Vec<f64>> =
            cost.groups().iter().map(|group| (0..group.units()).map(|_| rng.random()).collect()).collect();
        let (found, _) = Architecture::chosen(&cost, &scores, 0.5).unwrap();
        let other = found.shuffled(&mut rng);
        for layer in 0..2 {
            assert_eq!(found.sizes(layer), other.sizes(layer));
            for part in Part::ALL {
                assert_eq!(found.kept(layer, part).len(), other.kept(layer, part).len());
            }
            assert_ne!(found.kept(layer, Part::Neurons), other.kept(layer, Part::Neurons));
        }
    }
}
