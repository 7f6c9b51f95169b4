//! Search spaces: the searched parts of an encoder, and their units.

use std::ops::Range;

use dht_transformer::flops::BlockShape;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A part of a layer that can be narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The hidden dimensions that Q reads, e_q.
    QueryInputs,
    /// The hidden dimensions that K reads, e_k.
    KeyInputs,
    /// The hidden dimensions that V reads, e_v.
    ValueInputs,
    /// The dimensions of each head's queries and keys, h_q = h_k.
    QueryKeyOutputs,
    /// The dimensions of each head's values, h_v.
    ValueOutputs,
    /// The neurons of the feed-forward.
    Neurons,
    /// The heads.
    Heads,
}

impl Part {
    /// All parts, in the order of the data.
    pub const ALL: [Self; 7] = [
        Self::QueryInputs,
        Self::KeyInputs,
        Self::ValueInputs,
        Self::QueryKeyOutputs,
        Self::ValueOutputs,
        Self::Heads,
        Self::Neurons,
    ];

    /// The name in parameters and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueryInputs => "query_inputs",
            Self::KeyInputs => "key_inputs",
            Self::ValueInputs => "value_inputs",
            Self::QueryKeyOutputs => "query_key_outputs",
            Self::ValueOutputs => "value_outputs",
            Self::Neurons => "neurons",
            Self::Heads => "heads",
        }
    }

    /// Returns whether the part's units are grouped by head.
    pub(crate) fn is_by_head(self) -> bool {
        matches!(self, Self::QueryKeyOutputs | Self::ValueOutputs)
    }

    /// The number of blocks of the part in a layer, and the number of units of a block. For outputs, each head is a
    /// block.
    pub fn size(self, shape: BlockShape) -> (usize, usize) {
        match self {
            Self::QueryInputs | Self::KeyInputs | Self::ValueInputs => (1, shape.hidden),
            Self::QueryKeyOutputs | Self::ValueOutputs => (shape.heads, shape.head_dim),
            Self::Neurons => (1, shape.ffn),
            Self::Heads => (1, shape.heads),
        }
    }
}

/// The minimum size of each part, in each layer; for outputs, in each head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Minimum {
    /// The number of inputs of each of Q, K and V.
    pub inputs: usize,
    /// The number of dimensions of a head's queries and keys, and of its values.
    pub outputs: usize,
    /// The number of neurons.
    pub neurons: usize,
    /// The number of heads.
    pub heads: usize,
}

impl Default for Minimum {
    /// One unit of each part, since a layer cannot be built without units.
    fn default() -> Self {
        Self { inputs: 1, outputs: 1, neurons: 1, heads: 1 }
    }
}

/// The search spaces of the report, in any combination. Hidden size and depth are not searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NasSpace {
    /// Inputs of Q, K and V: (e_q, e_k, e_v), independently (report, 5.4.1).
    pub inputs: bool,
    /// Outputs of Q, K and V for each head: h_q = h_k and h_v (report, 5.4.2).
    pub outputs: bool,
    /// Neurons of the feed-forward (report, 5.4.3).
    pub neurons: bool,
    /// Heads (report, 5.4.4).
    pub heads: bool,
    /// True if all layers keep the same units; otherwise each layer has a separate selection.
    pub tied: bool,
    /// The minimum sizes.
    pub minimum: Minimum,
}

impl Default for NasSpace {
    /// All four parts, independently for each layer.
    fn default() -> Self {
        Self { inputs: true, outputs: true, neurons: true, heads: true, tied: false, minimum: Minimum::default() }
    }
}

/// Units that are searched together: one part of one layer, or of all layers jointly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The part of the layers.
    pub part: Part,
    /// The layers that share the group's selection.
    pub layers: Range<usize>,
    /// The number of blocks of units: the number of heads for outputs, otherwise 1. Units are numbered block by block.
    pub blocks: usize,
    /// The number of units of a block.
    pub width: usize,
    /// The minimum number of units of a block.
    pub minimum: usize,
}

impl Group {
    /// The total number of units.
    pub fn units(&self) -> usize {
        self.blocks * self.width
    }

    /// The name of the group's parameter.
    pub fn name(&self) -> String {
        let Range { start, end } = self.layers;
        match end - start {
            1 => format!("nas.layer.{start}.{}", self.part.name()),
            _ => format!("nas.{}", self.part.name()),
        }
    }
}

impl NasSpace {
    /// A space without parts, the base for struct update syntax.
    pub const NONE: Self = Self {
        inputs: false,
        outputs: false,
        neurons: false,
        heads: false,
        tied: false,
        minimum: Minimum { inputs: 1, outputs: 1, neurons: 1, heads: 1 },
    };

    /// The input dimensions alone, the only search that the report finished.
    pub fn inputs() -> Self {
        Self { inputs: true, ..Self::NONE }
    }

    /// The output dimensions alone.
    pub fn outputs() -> Self {
        Self { outputs: true, ..Self::NONE }
    }

    /// The neurons alone.
    pub fn neurons() -> Self {
        Self { neurons: true, ..Self::NONE }
    }

    /// The heads alone.
    pub fn heads() -> Self {
        Self { heads: true, ..Self::NONE }
    }

    /// The minimum of a part; `None` if the part is not searched.
    fn searched(&self, part: Part) -> Option<usize> {
        let (searched, minimum) = match part {
            Part::QueryInputs | Part::KeyInputs | Part::ValueInputs => (self.inputs, self.minimum.inputs),
            Part::QueryKeyOutputs | Part::ValueOutputs => (self.outputs, self.minimum.outputs),
            Part::Neurons => (self.neurons, self.minimum.neurons),
            Part::Heads => (self.heads, self.minimum.heads),
        };
        searched.then_some(minimum)
    }

    /// The groups of units of an encoder, layer by layer.
    ///
    /// # Errors
    /// [`Error::Argument`] for a space without parts, or for a minimum of 0 or above the size of a layer.
    pub fn groups(&self, shape: BlockShape, layers: usize) -> Result<Vec<Group>> {
        let ranges: Vec<Range<usize>> = match self.tied {
            true => std::iter::once(0..layers).collect(),
            false => (0..layers).map(|layer| layer..layer + 1).collect(),
        };
        let mut groups = Vec::new();
        for layers in ranges {
            for part in Part::ALL {
                let Some(minimum) = self.searched(part) else { continue };
                let (blocks, width) = part.size(shape);
                if !(1..=width).contains(&minimum) {
                    let field = match part {
                        Part::Neurons => "minimum.neurons",
                        Part::Heads => "minimum.heads",
                        Part::QueryKeyOutputs | Part::ValueOutputs => "minimum.outputs",
                        _ => "minimum.inputs",
                    };
                    return Err(Error::argument(field, format!("1 to {width}"), minimum));
                }
                groups.push(Group { part, layers: layers.clone(), blocks, width, minimum });
            }
        }
        match groups.is_empty() {
            true => Err(Error::argument("space", "at least one of inputs, outputs, neurons and heads", "none")),
            false => Ok(groups),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: BlockShape = BlockShape { hidden: 12, heads: 3, head_dim: 4, ffn: 20 };

    #[test]
    fn groups_are_the_parts_of_each_layer_or_of_all_alike() {
        let units =
            |space: NasSpace| -> Vec<usize> { space.groups(SHAPE, 2).unwrap().iter().map(Group::units).collect() };
        assert_eq!(units(NasSpace::inputs()), [12; 6]);
        assert_eq!(units(NasSpace::outputs()), [12; 4]);
        assert_eq!(units(NasSpace::heads()), [3; 2]);
        assert_eq!(units(NasSpace { tied: true, ..NasSpace::default() }), [12, 12, 12, 12, 12, 3, 20]);
        let names: Vec<String> = NasSpace::neurons().groups(SHAPE, 2).unwrap().iter().map(Group::name).collect();
        assert_eq!(names, ["nas.layer.0.neurons", "nas.layer.1.neurons"]);
        let outputs = &NasSpace::outputs().groups(SHAPE, 1).unwrap()[0];
        assert_eq!((outputs.blocks, outputs.width, outputs.minimum), (3, 4, 1));
    }

    #[test]
    fn an_empty_space_and_minimums_beyond_a_layer_are_rejected() {
        assert!(matches!(NasSpace::NONE.groups(SHAPE, 2), Err(Error::Argument { name: "space", .. })));
        for (minimum, field) in [
            (Minimum { heads: 4, ..Minimum::default() }, "minimum.heads"),
            (Minimum { outputs: 0, ..Minimum::default() }, "minimum.outputs"),
            (Minimum { inputs: 13, ..Minimum::default() }, "minimum.inputs"),
            (Minimum { neurons: 21, ..Minimum::default() }, "minimum.neurons"),
        ] {
            let error = NasSpace { minimum, ..NasSpace::default() }.groups(SHAPE, 2).unwrap_err();
            assert!(matches!(&error, Error::Argument { name: found, .. } if *found == field), "{error}");
        }
    }
}
