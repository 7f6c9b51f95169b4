//! Search spaces: the parts of an encoder that a search may reduce, and their units.

use std::ops::Range;

use dht_transformer::flops::BlockShape;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Part of a transformer layer that a search can reduce. Its units are dimensions, neurons or heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Hidden dimensions that the query projection Q reads; their number is e_q.
    QueryInputs,
    /// Hidden dimensions that the key projection K reads; their number is e_k.
    KeyInputs,
    /// Hidden dimensions that the value projection V reads; their number is e_v.
    ValueInputs,
    /// Output dimensions of each head's queries and keys; their number is h_q = h_k.
    QueryKeyOutputs,
    /// Output dimensions of each head's values; their number is h_v.
    ValueOutputs,
    /// Neurons of the feed-forward network.
    Neurons,
    /// Attention heads.
    Heads,
}

impl Part {
    /// All parts, in the order in which a layer computes them.
    pub const ALL: [Self; 7] = [
        Self::QueryInputs,
        Self::KeyInputs,
        Self::ValueInputs,
        Self::QueryKeyOutputs,
        Self::ValueOutputs,
        Self::Heads,
        Self::Neurons,
    ];

    /// Short name of the part, as in parameter names.
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

    /// Returns whether each attention head has its own units in this part, as for output dimensions of heads.
    pub(crate) fn is_by_head(self) -> bool {
        matches!(self, Self::QueryKeyOutputs | Self::ValueOutputs)
    }

    /// Number of blocks in a layer, and number of units in a block. For the output dimensions of queries, keys or
    /// values, each head is a block. Other parts have one block.
    pub fn size(self, shape: BlockShape) -> (usize, usize) {
        match self {
            Self::QueryInputs | Self::KeyInputs | Self::ValueInputs => (1, shape.hidden),
            Self::QueryKeyOutputs | Self::ValueOutputs => (shape.heads, shape.head_dim),
            Self::Neurons => (1, shape.ffn),
            Self::Heads => (1, shape.heads),
        }
    }
}

/// Minimum size of each part in each layer. For the output dimensions of Q, K and V it is the minimum per head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Minimum {
    /// Minimum number of input dimensions that Q, K and V each keep.
    pub inputs: usize,
    /// Minimum number of output dimensions of a head, for queries and keys and for values.
    pub outputs: usize,
    /// Minimum number of feed-forward neurons.
    pub neurons: usize,
    /// Minimum number of attention heads.
    pub heads: usize,
}

impl Default for Minimum {
    /// One unit of each part, because a layer needs at least one.
    fn default() -> Self {
        Self { inputs: 1, outputs: 1, neurons: 1, heads: 1 }
    }
}

/// Search space: the parts of an encoder that a search may reduce. Any combination of the spaces in the report on
/// differentiable search for BERT is possible. Hidden size and number of layers are not searched.
///
/// ```
/// use dht_nas::transformer::flops::BlockShape;
/// use dht_nas::{Minimum, NasSpace, Part};
///
/// let shape = BlockShape { hidden: 12, heads: 3, head_dim: 4, ffn: 20 };
/// let minimum = Minimum { neurons: 5, ..Minimum::default() };
/// let groups = NasSpace { minimum, ..NasSpace::neurons() }.groups(shape, 2)?;
/// assert_eq!(groups.len(), 2); // one for each layer
/// assert_eq!((groups[0].part, groups[0].units(), groups[0].minimum), (Part::Neurons, 20, 5));
/// # Ok::<(), dht_nas::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NasSpace {
    /// True if the input dimensions of Q, K and V are searched independently: e_q, e_k and e_v (report on
    /// differentiable search for BERT, 5.4.1).
    pub inputs: bool,
    /// True if the output dimensions of Q, K and V are searched in each head: h_q = h_k and h_v (report on
    /// differentiable search for BERT, 5.4.2).
    pub outputs: bool,
    /// True if the feed-forward neurons are searched (report on differentiable search for BERT, 5.4.3).
    pub neurons: bool,
    /// True if the attention heads are searched (report on differentiable search for BERT, 5.4.4).
    pub heads: bool,
    /// True if all layers keep the same units. Otherwise the units of each layer are selected separately.
    pub tied: bool,
    /// Minimum sizes of the searched parts.
    pub minimum: Minimum,
}

impl Default for NasSpace {
    /// Search of all parts (inputs, outputs, neurons, heads), separately for each layer.
    fn default() -> Self {
        Self { inputs: true, outputs: true, neurons: true, heads: true, tied: false, minimum: Minimum::default() }
    }
}

/// Group of units that are selected together: one part of one layer, or of all layers if layers are tied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Part of the layers to which the units belong.
    pub part: Part,
    /// Layers that keep the same units of this group.
    pub layers: Range<usize>,
    /// Number of blocks of units: the number of heads for output dimensions, otherwise 1. Units are numbered block by
    /// block.
    pub blocks: usize,
    /// Number of units in a block.
    pub width: usize,
    /// Minimum number of units that each block keeps.
    pub minimum: usize,
}

impl Group {
    /// Total number of units in the group.
    pub fn units(&self) -> usize {
        self.blocks * self.width
    }

    /// Name of the encoder parameter that holds the group's architecture variables α.
    pub fn name(&self) -> String {
        let Range { start, end } = self.layers;
        match end - start {
            1 => format!("nas.layer.{start}.{}", self.part.name()),
            _ => format!("nas.{}", self.part.name()),
        }
    }
}

impl NasSpace {
    /// Search space without any parts, for struct update syntax.
    pub const NONE: Self = Self {
        inputs: false,
        outputs: false,
        neurons: false,
        heads: false,
        tied: false,
        minimum: Minimum { inputs: 1, outputs: 1, neurons: 1, heads: 1 },
    };

    /// Search space with the input dimensions of Q, K and V only. The report on differentiable search for BERT finished
    /// only this search.
    pub fn inputs() -> Self {
        Self { inputs: true, ..Self::NONE }
    }

    /// Search space with the output dimensions of queries, keys and values only.
    pub fn outputs() -> Self {
        Self { outputs: true, ..Self::NONE }
    }

    /// Search space with the feed-forward neurons only.
    pub fn neurons() -> Self {
        Self { neurons: true, ..Self::NONE }
    }

    /// Search space with the attention heads only.
    pub fn heads() -> Self {
        Self { heads: true, ..Self::NONE }
    }

    /// Minimum size of a part; `None` if the part is not searched.
    fn searched(&self, part: Part) -> Option<usize> {
        let (searched, minimum) = match part {
            Part::QueryInputs | Part::KeyInputs | Part::ValueInputs => (self.inputs, self.minimum.inputs),
            Part::QueryKeyOutputs | Part::ValueOutputs => (self.outputs, self.minimum.outputs),
            Part::Neurons => (self.neurons, self.minimum.neurons),
            Part::Heads => (self.heads, self.minimum.heads),
        };
        searched.then_some(minimum)
    }

    /// Groups of units that are searched in an encoder with `layers` layers of this shape, layer by layer.
    ///
    /// # Errors
    /// [`Error::Argument`] if no part is searched, or if a minimum is 0 or above the size of its part.
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
            assert!(matches!(&error, Error::Argument { name: rejected, .. } if *rejected == field), "{error}");
        }
    }
}
