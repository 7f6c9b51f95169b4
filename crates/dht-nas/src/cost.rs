//! Cost of an encoder: exact for an architecture, and expected for gates between 0 and 1.

use dht_transformer::TextClassifier;
use dht_transformer::flops::{BlockShape, Load};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::latency::Latency;
use crate::space::{Group, NasSpace, Part};

/// Measure of an encoder's cost: number of units, FLOPs, parameters or latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostMeasure {
    /// Number of units (dimensions, neurons, heads) in the parts of the encoder that are searched, as in the tables of
    /// the report on differentiable search for BERT. Output dimensions of removed heads do not count.
    Dimensions,
    /// FLOPs of the whole model for one text with `tokens` tokens.
    Flops {
        /// Number of tokens of the text.
        tokens: usize,
    },
    /// Number of parameters of all layers.
    Parameters,
    /// Latency of the whole model in seconds, predicted from measurements.
    Latency(Latency),
}

impl CostMeasure {
    /// Checks the settings of the cost measure.
    ///
    /// # Errors
    /// * [`Error::Argument`] if the number of tokens of a text is 0.
    /// * Fails as [`Latency::check`] does.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Flops { tokens: 0 } => Err(Error::argument("measure.tokens", "at least 1", 0)),
            Self::Latency(latency) => latency.check(),
            Self::Dimensions | Self::Flops { .. } | Self::Parameters => Ok(()),
        }
    }
}

/// Cost of an encoder whose units (dimensions, neurons, heads) have gates, as a share of the whole encoder's cost. A
/// gate is a factor in [0, 1] on a unit.
///
/// Let p be the gate of a unit. e_q, e_k and e_v are Σ p over the input dimensions of Q, K and V. a_h and b_h are Σ p
/// over the query and value dimensions of head h, and g_h is the gate of the head. T is the number of tokens of all
/// texts, ℓ the number of tokens of one text, and d the hidden size. The cost C of a layer is the following sum over
/// its parts.
///
/// ```text
/// C = x·((e_q + e_k)·A + e_v·B) + α·A + β·B + φ·f + κ      A = Σ g_h·a_h,  B = Σ g_h·b_h,  f = Σ p over the neurons
/// FLOPs:      x = 2T   α = 2Σℓ²   β = 2Σℓ² + 2T·d   φ = 4T·d      κ = 0
/// parameters: x = 1    α = 2      β = 1 + d         φ = 2d + 1    κ = 6d
/// seconds:    as measured
/// dimensions: C = e_q + e_k + e_v + A + B + Σ g_h + f, over the searched parts
/// ```
///
/// At gates of 0 and 1 the cost equals that of [`LayerSizes`](dht_transformer::flops::LayerSizes) exactly. It is linear
/// in each gate. At fractional gates it is therefore the expected cost if each unit is kept independently, with its
/// gate as the probability.
///
/// In this example all neurons have gates of .5. The cost is half of the whole cost, and has the same derivative with
/// respect to each gate.
///
/// ```
/// use dht_nas::transformer::flops::BlockShape;
/// use dht_nas::{CostMeasure, NasCost, NasSpace};
///
/// let shape = BlockShape { hidden: 12, heads: 3, head_dim: 4, ffn: 20 };
/// let groups = NasSpace::neurons().groups(shape, 1)?;
/// let cost = NasCost::new(CostMeasure::Dimensions, shape, 1, groups, 0.0)?;
/// let (share, slopes) = cost.share(&[vec![0.5; 20]]);
/// assert!((share - 0.5).abs() < 1e-12);
/// assert!((slopes[0][0] - 1.0 / 20.0).abs() < 1e-12);
/// # Ok::<(), dht_nas::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NasCost {
    measure: CostMeasure,
    shape: BlockShape,
    layers: usize,
    groups: Vec<Group>,
    /// Cost outside the layers, which is the same for all architectures.
    fixed: f64,
}

/// Gates of the dimensions, neurons and heads (units) in one layer, as factors from 0 to 1. Units that are not searched
/// have the gate 1.
struct LayerGates {
    gates: [Vec<f64>; 7],
}

struct Coefficients {
    product: f64,
    compared: f64,
    value: f64,
    neuron: f64,
    constant: f64,
}

fn at(part: Part) -> usize {
    Part::ALL.iter().position(|other| *other == part).unwrap_or(0)
}

impl NasCost {
    /// Creates the cost of an encoder with the groups of units that are searched. `fixed` is the cost outside the
    /// layers, in the unit of the cost measure. An example is the FLOPs of the classifier's head.
    ///
    /// # Errors
    /// * Fails as [`CostMeasure::check`] does.
    /// * [`Error::Argument`] if the fixed cost is below 0 or not finite.
    /// * [`Error::Argument`] if the cost of the whole encoder is 0 or not finite, because shares of that cost are
    ///   undefined.
    pub fn new(measure: CostMeasure, shape: BlockShape, layers: usize, groups: Vec<Group>, fixed: f64) -> Result<Self> {
        measure.check()?;
        if !(fixed >= 0.0 && fixed.is_finite()) {
            return Err(Error::argument("fixed", "a finite number, at least 0", fixed));
        }
        let this = Self { measure, shape, layers, groups, fixed };
        match this.whole() {
            whole if whole > 0.0 && whole.is_finite() => Ok(this),
            whole => Err(Error::argument("cost of the whole encoder", "a finite number above 0", whole)),
        }
    }

    /// Creates the cost for a search in a classifier's encoder. FLOPs include the parts outside the encoder.
    ///
    /// # Errors
    /// * Fails as [`new`](Self::new) and [`NasSpace::groups`] do.
    /// * [`Error::Argument`] if units of the model were already removed.
    pub fn of_model(model: &TextClassifier, measure: CostMeasure, space: &NasSpace) -> Result<Self> {
        let (shape, layers) = (model.encoder().block_shape(), model.encoder().layers());
        if let Some(layer) = (0..layers).find(|layer| model.encoder().width(*layer) != shape.full()) {
            let got = format!("layer {layer}, without some of its parts");
            return Err(Error::argument("model", "whole layers", got));
        }
        let fixed = match measure {
            CostMeasure::Flops { .. } => model.classifier().shape().forward(Load::of_text(1).samples).total().as_f64(),
            CostMeasure::Latency(latency) => latency.fixed,
            CostMeasure::Dimensions | CostMeasure::Parameters => 0.0,
        };
        Self::new(measure, shape, layers, space.groups(shape, layers)?, fixed)
    }

    /// Groups of units that are searched. Their gates determine the cost.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(crate) fn shape(&self) -> BlockShape {
        self.shape
    }

    pub(crate) fn layers(&self) -> usize {
        self.layers
    }

    fn coefficients(&self) -> Coefficients {
        let d = self.shape.hidden as f64;
        match self.measure {
            CostMeasure::Flops { tokens } => {
                let Load { tokens, pairs, .. } = Load::of_text(tokens);
                let (rows, pairs) = (2.0 * tokens as f64, 2.0 * pairs as f64);
                Coefficients {
                    product: rows,
                    compared: pairs,
                    value: pairs + rows * d,
                    neuron: 2.0 * rows * d,
                    constant: 0.0,
                }
            }
            CostMeasure::Latency(Latency { product, query_key, value, neuron, layer, .. }) => {
                Coefficients { product, compared: query_key, value, neuron, constant: layer }
            }
            CostMeasure::Dimensions | CostMeasure::Parameters => {
                Coefficients { product: 1.0, compared: 2.0, value: 1.0 + d, neuron: 2.0 * d + 1.0, constant: 6.0 * d }
            }
        }
    }

    /// Computes the expected cost for the gates, and its derivative with respect to each gate. The cost has the unit of
    /// the cost measure, such as FLOPs or seconds.
    fn counted(&self, gates: &[Vec<f64>]) -> (f64, Vec<Vec<f64>>) {
        match self.measure {
            CostMeasure::Dimensions => self.dimensions(gates),
            CostMeasure::Flops { .. } | CostMeasure::Parameters | CostMeasure::Latency(_) => self.cost(gates),
        }
    }

    fn whole(&self) -> f64 {
        let ones: Vec<Vec<f64>> = self.groups.iter().map(|group| vec![1.0; group.units()]).collect();
        self.counted(&ones).0
    }

    /// Cost at these gates as a share of the whole encoder's cost, and its derivative with respect to each gate. Both
    /// `gates` and the derivatives have one list for each group of units.
    ///
    /// # Panics
    /// If the length of a list differs from the number of units of its group.
    pub fn share(&self, gates: &[Vec<f64>]) -> (f64, Vec<Vec<f64>>) {
        let whole = self.whole();
        let (cost, mut gradients) = self.counted(gates);
        gradients.iter_mut().flatten().for_each(|gradient| *gradient /= whole);
        (cost / whole, gradients)
    }

    /// Computes the expected number of remaining units, and its derivative with respect to each gate. The gate of a
    /// head also multiplies its output dimensions.
    fn dimensions(&self, gates: &[Vec<f64>]) -> (f64, Vec<Vec<f64>>) {
        let dim = self.shape.head_dim.max(1);
        let mut gradients: Vec<Vec<f64>> = self.groups.iter().map(|group| vec![0.0; group.units()]).collect();
        let mut total = 0.0;
        for layer in 0..self.layers {
            let layer_gates = self.of_layer(layer, gates);
            let heads = &layer_gates.gates[at(Part::Heads)];
            let in_layer = || self.groups.iter().zip(gates).filter(|(group, _)| group.layers.contains(&layer));
            let outputs = |head: usize| -> f64 {
                let of_head = in_layer().filter(|(group, _)| group.part.is_by_head());
                of_head.map(|(_, gates)| gates[head * dim..(head + 1) * dim].iter().sum::<f64>()).sum()
            };
            for ((group, gates), gradients) in self
                .groups
                .iter()
                .zip(gates)
                .zip(&mut gradients)
                .filter(|((group, _), _)| group.layers.contains(&layer))
            {
                for (unit, (gate, gradient)) in gates.iter().zip(gradients).enumerate() {
                    let weight = if group.part.is_by_head() { heads[unit / dim] } else { 1.0 };
                    total += weight * gate;
                    *gradient += if group.part == Part::Heads { 1.0 + outputs(unit) } else { weight };
                }
            }
        }
        (total, gradients)
    }

    fn cost(&self, gates: &[Vec<f64>]) -> (f64, Vec<Vec<f64>>) {
        let (with, dim) = (self.coefficients(), self.shape.head_dim.max(1));
        let mut gradients: Vec<Vec<f64>> = self.groups.iter().map(|group| vec![0.0; group.units()]).collect();
        let mut total = self.fixed;
        for layer in 0..self.layers {
            let layer_gates = self.of_layer(layer, gates);
            let part = |part: Part| &layer_gates.gates[at(part)];
            let sum = |of: Part| part(of).iter().sum::<f64>();
            let by_head = |of: Part| part(of).chunks(dim).map(|head| head.iter().sum()).collect::<Vec<f64>>();
            let (queries, keys, values) = (sum(Part::QueryInputs), sum(Part::KeyInputs), sum(Part::ValueInputs));
            let (compared, valued) = (by_head(Part::QueryKeyOutputs), by_head(Part::ValueOutputs));
            let heads = part(Part::Heads);
            let weighed = |widths: &[f64]| heads.iter().zip(widths).map(|(gate, width)| gate * width).sum::<f64>();
            let (a, b) = (weighed(&compared), weighed(&valued));
            let neurons = sum(Part::Neurons);
            total += with.product * ((queries + keys) * a + values * b);
            total += with.compared * a + with.value * b + with.neuron * neurons + with.constant;
            let of_a = with.product * (queries + keys) + with.compared;
            let of_b = with.product * values + with.value;
            for (group, gradients) in
                self.groups.iter().zip(&mut gradients).filter(|(group, _)| group.layers.contains(&layer))
            {
                for (unit, gradient) in gradients.iter_mut().enumerate() {
                    *gradient += match group.part {
                        Part::QueryInputs | Part::KeyInputs => with.product * a,
                        Part::ValueInputs => with.product * b,
                        Part::QueryKeyOutputs => heads[unit / dim] * of_a,
                        Part::ValueOutputs => heads[unit / dim] * of_b,
                        Part::Heads => compared[unit] * of_a + valued[unit] * of_b,
                        Part::Neurons => with.neuron,
                    };
                }
            }
        }
        (total, gradients)
    }

    fn of_layer(&self, layer: usize, gates: &[Vec<f64>]) -> LayerGates {
        let whole = |part: Part| {
            let (blocks, width) = part.size(self.shape);
            vec![1.0; blocks * width]
        };
        let mut of_layer = LayerGates { gates: Part::ALL.map(whole) };
        for (group, gates) in self.groups.iter().zip(gates).filter(|(group, _)| group.layers.contains(&layer)) {
            of_layer.gates[at(group.part)].clone_from(gates);
        }
        of_layer
    }
}

/// Converts a selection of units to gates: 1 for selected units, 0 for all others.
pub(crate) fn hard(selected: &[Vec<bool>]) -> Vec<Vec<f64>> {
    selected.iter().map(|group| group.iter().map(|selected| f64::from(u8::from(*selected))).collect()).collect()
}

#[cfg(test)]
pub(crate) mod tests;
