//! Search spaces: the parts of an encoder that are searched, and their units.

use std::ops::Range;

use dht_transformer::flops::BlockShape;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Part of a layer that can become narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Hidden dimensions that Q reads; their number is e_q.
    QueryInputs,
    /// Hidden dimensions that K reads; their number is e_k.
    KeyInputs,
    /// Hidden dimensions that V reads; their number is e_v.
    ValueInputs,
    /// Dimensions of each head's queries and keys; their number is h_q = h_k.
    QueryKeyOutputs,
    /// Dimensions of each head's values; their number is h_v.
    ValueOutputs,
    /// Neurons of the feed-forward network.
    Neurons,
    /// Attention heads.
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

    /// Name of the part in parameter names and reports.
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

    /// Number of blocks in a layer, and number of units in a block. For the output dimensions of queries, keys or
    /// values, each head is a block; other parts are one block.
    pub fn size(self, shape: BlockShape) -> (usize, usize) {
        match self {
            Self::QueryInputs | Self::KeyInputs | Self::ValueInputs => (1, shape.hidden),
            Self::QueryKeyOutputs | Self::ValueOutputs => (shape.heads, shape.head_dim),
            Self::Neurons => (1, shape.ffn),
            Self::Heads => (1, shape.heads),
        }
    }
}

/// Minimum size of each part of an encoder in each layer; for outputs of Q, K and V, in each head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Minimum {
    /// Minimum number of inputs that Q, K and V each have.
    pub inputs: usize,
    /// Minimum number of dimensions that a head's queries and keys have, and of its values.
    pub outputs: usize,
    /// Minimum number of neurons.
    pub neurons: usize,
    /// Minimum number of heads.
    pub heads: usize,
}

impl Default for Minimum {
    /// One unit of each part, since a layer cannot be built without units.
    fn default() -> Self {
        Self { inputs: 1, outputs: 1, neurons: 1, heads: 1 }
    }
}

/// Search space: any combination of the spaces in the report on differentiable search for BERT. Hidden size and depth
/// are not searched.
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
    /// True if the inputs of Q, K and V are searched: (e_q, e_k, e_v), independently (report on differentiable search
    /// for BERT, 5.4.1).
    pub inputs: bool,
    /// True if the outputs of Q, K and V are searched for each head: h_q = h_k and h_v (report on differentiable search
    /// for BERT, 5.4.2).
    pub outputs: bool,
    /// True if the neurons of the feed-forward network are searched (report on differentiable search for BERT, 5.4.3).
    pub neurons: bool,
    /// True if the heads are searched (report on differentiable search for BERT, 5.4.4).
    pub heads: bool,
    /// True if all layers keep the same units; otherwise each layer has a separate selection.
    pub tied: bool,
    /// Minimum sizes of the searched parts.
    pub minimum: Minimum,
}

impl Default for NasSpace {
    /// Search of all four parts, independently for each layer.
    fn default() -> Self {
        Self { inputs: true, outputs: true, neurons: true, heads: true, tied: false, minimum: Minimum::default() }
    }
}

/// Units that are searched together: one part of one layer, or of all layers jointly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Part of the layers to which the units belong.
    pub part: Part,
    /// Layers that share the group's selection.
    pub layers: Range<usize>,
    /// Number of blocks of units: the number of heads for outputs, otherwise 1. Units are numbered block by block.
    pub blocks: usize,
    /// Number of units in a block.
    pub width: usize,
    /// Minimum number of units in a block.
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
    /// Search space without parts, the base for struct update syntax.
    pub const NONE: Self = Self {
        inputs: false,
        outputs: false,
        neurons: false,
        heads: false,
        tied: false,
        minimum: Minimum { inputs: 1, outputs: 1, neurons: 1, heads: 1 },
    };

    /// Search space of the input dimensions alone, the only search that the report on differentiable search for BERT
    /// finished.
    pub fn inputs() -> Self {
        Self { inputs: true, ..Self::NONE }
    }

    /// Search space of the output dimensions of queries, keys and values alone.
    pub fn outputs() -> Self {
        Self { outputs: true, ..Self::NONE }
    }

    /// Search space of the feed-forward neurons alone.
    pub fn neurons() -> Self {
        Self { neurons: true, ..Self::NONE }
    }

    /// Search space of the attention heads alone.
    pub fn heads() -> Self {
        Self { heads: true, ..Self::NONE }
    }

    /// Minimum number of units of a part; `None` if the part is not searched.
    fn searched(&self, part: Part) -> Option<usize> {
        let (searched, minimum) = match part {
            Part::QueryInputs | Part::KeyInputs | Part::ValueInputs => (self.inputs, self.minimum.inputs),
            Part::QueryKeyOutputs | Part::ValueOutputs => (self.outputs, self.minimum.outputs),
            Part::Neurons => (self.neurons, self.minimum.neurons),
            Part::Heads => (self.heads, self.minimum.heads),
        };
        searched.then_some(minimum)
    }

    /// Groups of units of an encoder, layer by layer.
    ///
    /// # Errors
    /// [`Error::Argument`] if no part of the encoder is searched, or if a minimum is 0 or above the size of a layer.
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
