//! Named tensors on the host.

/// Values and shape of a tensor, independent of any device.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    /// The length of each axis; empty for a single number.
    pub shape: Vec<usize>,
    /// All values, row-major.
    pub values: Vec<f32>,
}
