//! What stays of each layer.

use dht_transformer::config::KeptDimensions;
use dht_transformer::flops::{BlockShape, LayerSizes};
use dht_transformer::pruning::LayerPlan;
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
