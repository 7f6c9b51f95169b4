//! Architectures: the units (input and output dimensions, neurons, heads) that remain in each layer of an encoder.

use dht_transformer::config::KeptDimensions;
use dht_transformer::flops::{BlockShape, LayerSizes};
use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::choose::choose;
use crate::cost::{NasCost, hard};
use crate::error::Result;
use crate::space::{Group, Part};

/// Architecture of a narrower encoder: the units (dimensions, neurons, heads) of each [part](Part) that remain in each
/// layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    shape: BlockShape,
    layers: Vec<LayerUnits>,
}

/// Units (dimensions, neurons, heads) that remain in one layer: one flag per unit, true if the unit remains.
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
    /// Creates the architecture that keeps all units of an encoder with `layers` layers of this shape.
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

    /// Creates the architecture that a search selected. `selected` has one list for each group of units, with true for
    /// each unit that remains.
    pub(crate) fn of_groups(shape: BlockShape, layers: usize, groups: &[Group], selected: &[Vec<bool>]) -> Self {
        let mut this = Self::whole(shape, layers);
        for (group, selected) in groups.iter().zip(selected) {
            for layer in &mut this.layers[group.layers.clone()] {
                layer.part_mut(group.part).clone_from(selected);
            }
        }
        this
    }

    /// Creates an architecture from importance scores: [`choose`](crate::choose()) selects the units with the highest
    /// scores at a target cost. Also returns the cost of the architecture as a share of the whole encoder's cost.
    /// `scores` has one list for each group of units in `cost`, with one score for each unit.
    ///
    /// # Errors
    /// Fails as [`choose`](crate::choose()) does.
    pub fn chosen(cost: &NasCost, scores: &[Vec<f64>], target: f64) -> Result<(Self, f64)> {
        let selected = choose(cost, scores, target)?;
        let share = cost.share(&hard(&selected)).0;
        Ok((Self::of_groups(cost.shape(), cost.layers(), cost.groups(), &selected), share))
    }

    /// Random architecture of the same size: each part of each layer keeps the same number of units, drawn at random.
    /// It is a control experiment. Its cost is the same, so that its lower quality shows the value of selecting units.
    /// Heads are permuted together with their outputs, and all other units within their part.
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

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    pub(crate) fn shape(&self) -> BlockShape {
        self.shape
    }

    /// Units of one part of a layer: true for each unit that is marked as selected. The output dimensions of queries,
    /// keys or values are ordered head by head. Outputs of a removed head may be marked as selected, but are removed
    /// with the head; [`count`](Self::count) does not count them.
    ///
    /// # Panics
    /// If the layer does not exist.
    pub fn units(&self, layer: usize, part: Part) -> &[bool] {
        self.layers[layer].part(part)
    }

    /// Number of a part's units in the extracted (narrower) model, and number in the whole model. Output dimensions of
    /// removed heads do not count.
    ///
    /// ```
    /// use dht_nas::{Architecture, CostMeasure, NasCost, NasSpace, Part};
    /// use dht_nas::transformer::flops::BlockShape;
    ///
    /// // The first of three heads of four dimensions is removed, with its outputs.
    /// let shape = BlockShape { hidden: 12, heads: 3, head_dim: 4, ffn: 20 };
    /// let cost = NasCost::new(CostMeasure::Dimensions, shape, 1, NasSpace::heads().groups(shape, 1)?, 0.0)?;
    /// let (architecture, _) = Architecture::chosen(&cost, &[vec![0.1, 0.9, 0.8]], 0.7)?;
    /// assert_eq!(architecture.count(0, Part::Heads), (2, 3));
    /// assert_eq!(architecture.count(0, Part::ValueOutputs), (8, 12));
    /// assert_eq!(architecture.count(0, Part::Neurons), (20, 20));
    /// # Ok::<(), dht_nas::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the layer does not exist.
    pub fn count(&self, layer: usize, part: Part) -> (usize, usize) {
        let (units, heads) = (self.units(layer, part), self.units(layer, Part::Heads));
        let head_stays = |unit: usize| !part.is_by_head() || heads[unit / self.shape.head_dim.max(1)];
        let stays = units.iter().enumerate().filter(|(unit, selected)| **selected && head_stays(*unit));
        (stays.count(), units.len())
    }

    /// Indices of the units that are marked as selected in one part of a layer, ascending. Outputs of removed heads may
    /// be among them: see [`units`](Self::units).
    ///
    /// # Panics
    /// If the layer does not exist.
    pub fn kept(&self, layer: usize, part: Part) -> Vec<usize> {
        places(self.units(layer, part))
    }

    /// Sizes of a layer in the extracted (narrower) model. Output dimensions of removed heads do not count.
    ///
    /// # Panics
    /// If the layer does not exist.
    pub fn sizes(&self, layer: usize) -> LayerSizes {
        let count = |part| self.count(layer, part).0;
        LayerSizes {
            hidden: self.shape.hidden,
            query_inputs: count(Part::QueryInputs),
            key_inputs: count(Part::KeyInputs),
            value_inputs: count(Part::ValueInputs),
            query_key: count(Part::QueryKeyOutputs),
            value: count(Part::ValueOutputs),
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

    /// Dimensions and feed-forward neurons that remain in each layer, as
    /// [`Encoder::prune_dimensions`](dht_transformer::Encoder::prune_dimensions) expects them.
    pub fn plans(&self) -> Vec<(KeptDimensions, Vec<usize>)> {
        let plan = |layer| (self.dimensions(layer), self.kept(layer, Part::Neurons));
        (0..self.layers()).map(plan).collect()
    }
}

fn places(selected: &[bool]) -> Vec<usize> {
    selected.iter().enumerate().filter_map(|(place, selected)| selected.then_some(place)).collect()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use dht_transformer::flops::Load;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::cost::CostMeasure;
    use crate::cost::tests::{MEASURES, SHAPE, cost};
    use crate::space::NasSpace;

    #[test]
    fn hard_gates_cost_what_the_architecture_costs() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for tied in [false, true] {
            for measure in MEASURES {
                let cost = cost(measure, NasSpace { tied, ..NasSpace::default() });
                let selected: Vec<Vec<bool>> = cost
                    .groups()
                    .iter()
                    .map(|group| (0..group.units()).map(|_| rng.random_bool(0.6)).collect())
                    .collect();
                let architecture = Architecture::of_groups(SHAPE, 2, cost.groups(), &selected);
                let of = |architecture: &Architecture| match measure {
                    CostMeasure::Dimensions => (0..2)
                        .map(|layer| {
                            let heads = architecture.kept(layer, Part::Heads);
                            let stays = |part: Part, unit: usize| {
                                !part.is_by_head() || heads.contains(&(unit / SHAPE.head_dim))
                            };
                            let of_part = |part: Part| {
                                let selected = architecture.kept(layer, part);
                                selected.into_iter().filter(|unit| stays(part, *unit)).count()
                            };
                            Part::ALL.into_iter().map(of_part).sum::<usize>()
                        })
                        .sum::<usize>() as f64,
                    CostMeasure::Flops { tokens } => {
                        let layer = |layer| architecture.sizes(layer).forward(Load::of_text(tokens)).total().as_f64();
                        17.0 + (0..2).map(layer).sum::<f64>()
                    }
                    CostMeasure::Parameters => {
                        17.0 + (0..2).map(|layer| architecture.sizes(layer).parameters() as f64).sum::<f64>()
                    }
                    CostMeasure::Latency(latency) => {
                        latency.seconds(&(0..2).map(|layer| architecture.sizes(layer)).collect::<Vec<_>>())
                    }
                };
                let expected = of(&architecture) / of(&Architecture::whole(SHAPE, 2));
                assert_relative_eq!(cost.share(&hard(&selected)).0, expected, max_relative = 1e-14);
                assert!(expected < 0.9);
            }
        }
    }

    #[test]
    fn a_shuffled_architecture_costs_the_same_and_keeps_other_units() {
        let shape = BlockShape { hidden: 24, heads: 4, head_dim: 6, ffn: 40 };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let groups = NasSpace::default().groups(shape, 2).unwrap();
        let cost = NasCost::new(CostMeasure::Flops { tokens: 9 }, shape, 2, groups, 0.0).unwrap();
        let scores: Vec<Vec<f64>> =
            cost.groups().iter().map(|group| (0..group.units()).map(|_| rng.random()).collect()).collect();
        let (selected, _) = Architecture::chosen(&cost, &scores, 0.5).unwrap();
        let other = selected.shuffled(&mut rng);
        for layer in 0..2 {
            assert_eq!(selected.sizes(layer), other.sizes(layer));
            for part in Part::ALL {
                assert_eq!(selected.kept(layer, part).len(), other.kept(layer, part).len());
            }
            assert_ne!(selected.kept(layer, Part::Neurons), other.kept(layer, Part::Neurons));
        }
    }

    #[test]
    fn outputs_of_a_head_that_is_gone_do_not_count() {
        let shape = BlockShape { hidden: 6, heads: 3, head_dim: 2, ffn: 5 };
        let space = NasSpace { outputs: true, heads: true, ..NasSpace::NONE };
        let groups = space.groups(shape, 1).unwrap();
        // Head 1 goes, of whose outputs one and two were chosen.
        let chosen = |part: Part| match part {
            Part::QueryKeyOutputs => vec![true, false, false, true, true, false],
            Part::ValueOutputs => vec![true, true, true, true, false, true],
            _ => vec![true, false, true],
        };
        let selected: Vec<Vec<bool>> = groups.iter().map(|group| chosen(group.part)).collect();
        let architecture = Architecture::of_groups(shape, 1, &groups, &selected);
        assert_eq!(
            Part::ALL.map(|part| architecture.count(0, part)),
            [
                (6, 6), // inputs of Q, K and V
                (6, 6),
                (6, 6),
                (2, 6), // outputs of heads 0 and 2
                (3, 6),
                (2, 3),
                (5, 5),
            ]
        );
        assert_eq!(architecture.kept(0, Part::QueryKeyOutputs), [0, 3, 4], "as chosen");
        // What the extracted model has.
        let (dimensions, _) = architecture.plans().remove(0);
        let outputs = |lists: &[Vec<usize>]| lists.iter().map(Vec::len).sum::<usize>();
        assert_eq!(outputs(&dimensions.query_key_outputs), 2);
        assert_eq!(outputs(&dimensions.value_outputs), 3);
    }
}
