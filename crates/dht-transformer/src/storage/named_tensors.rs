//! Tensors as numbers under names, away from any device.

use std::collections::BTreeMap;

/// Numbers and their shape, away from any device.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    /// The length of each axis; empty for a single number.
    pub shape: Vec<usize>,
    /// All numbers, row-major.
    pub values: Vec<f32>,
}

/// Tensors under names, in the order of the names.
pub type StoredTensors = BTreeMap<String, StoredTensor>;
