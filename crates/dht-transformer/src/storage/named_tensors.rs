//! Named tensors on the host.

/// Values and shape of a tensor, independent of any device.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    /// The length of each axis; empty for a single number.
    pub shape: Vec<usize>,
    /// All values, row-major.
    pub values: Vec<f32>,
}

impl StoredTensor {
    /// Returns whether shape and all values are the same, bit by bit.
    pub(crate) fn has_same_bits(&self, other: &Self) -> bool {
        let mut values = self.values.iter().zip(&other.values);
        self.shape == other.shape && values.all(|(own, other)| own.to_bits() == other.to_bits())
    }
}
