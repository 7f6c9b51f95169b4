//! Tensors in the memory of the host.

/// Shape and values of a tensor in main memory, independent of any device.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    /// Length of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// All values in row-major order.
    pub values: Vec<f32>,
}

impl StoredTensor {
    /// Returns whether two tensors have the same shape and bitwise equal values.
    pub(crate) fn has_same_bits(&self, other: &Self) -> bool {
        let mut values = self.values.iter().zip(&other.values);
        self.shape == other.shape && values.all(|(own, other)| own.to_bits() == other.to_bits())
    }
}
