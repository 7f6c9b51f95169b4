//! Tensors in the memory of the host.

/// Values and shape of a tensor, independent of any device.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    /// Length of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// All values in row-major order.
    pub values: Vec<f32>,
}

impl StoredTensor {
    /// Returns whether shape and all values are the same, bit by bit.
    pub(crate) fn has_same_bits(&self, other: &Self) -> bool {
        let mut values = self.values.iter().zip(&other.values);
        self.shape == other.shape && values.all(|(own, other)| own.to_bits() == other.to_bits())
    }
}
