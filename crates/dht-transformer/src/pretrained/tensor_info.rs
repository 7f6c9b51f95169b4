//! Location of a tensor in a weight file, and conversion of its bytes to f32.

use std::io::{self, Read};

use candle_core::{DType, Device, Tensor};

use crate::error::WeightsProblem;

#[derive(Debug, Clone)]
pub(crate) struct TensorInfo {
    /// Element type, by its name in safetensors files, such as `F32`.
    pub(super) dtype: String,
    pub(crate) shape: Vec<usize>,
    /// Distance between neighbouring elements along each axis, in elements; `None` for row-major order without gaps.
    pub(super) strides: Option<Vec<usize>>,
    /// Offset of the tensor's first byte in the file.
    pub(super) start: u64,
    /// Number of bytes from the first to the last element.
    pub(super) bytes: u64,
    /// Index of the file that stores the tensor, among the weight files of the model.
    pub(super) file: usize,
    /// Index of the storage of the tensor in a `torch.save` archive; `None` in other files.
    pub(super) storage: Option<usize>,
    pub(super) big_endian: bool,
}

impl TensorInfo {
    pub(super) fn contiguous(dtype: String, shape: Vec<usize>, start: u64, bytes: u64) -> Self {
        Self { dtype, shape, strides: None, start, bytes, file: 0, storage: None, big_endian: false }
    }

    pub(super) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Reads the elements and converts them to f32, in row-major order. `bytes` begins at the first element. The bytes
    /// are converted in parts, so that memory does not hold a large tensor twice.
    pub(super) fn values(&self, bytes: &mut impl Read) -> io::Result<Result<Vec<f32>, WeightsProblem>> {
        let (dtype, size) = match self.dtype.as_str() {
            "F16" => (DType::F16, 2),
            "BF16" => (DType::BF16, 2),
            "F32" => (DType::F32, 4),
            "F64" => (DType::F64, 8),
            _ => return Ok(Err(WeightsProblem::Type { dtype: self.dtype.clone() })),
        };
        let mut values = Vec::with_capacity(self.bytes as usize / size);
        let mut left = self.bytes as usize;
        let mut part = vec![0; left.min(PART)];
        while left > 0 {
            let part = &mut part[..left.min(PART)];
            bytes.read_exact(part)?;
            left -= part.len();
            if self.big_endian {
                part.chunks_exact_mut(size).for_each(<[u8]>::reverse);
            }
            let part = Tensor::from_raw_buffer(part, dtype, &[part.len() / size], &Device::Cpu)
                .and_then(|part| part.to_dtype(DType::F32)?.to_vec1::<f32>())
                .map_err(io::Error::other)?;
            values.extend_from_slice(&part);
        }
        Ok(Ok(match &self.strides {
            None => values,
            Some(strides) => gather(&values, &self.shape, strides),
        }))
    }
}

/// Number of bytes that are converted at once, a multiple of all element sizes.
const PART: usize = 1 << 18;

/// Copies the elements of a strided view to row-major order.
fn gather(values: &[f32], shape: &[usize], strides: &[usize]) -> Vec<f32> {
    let elements = shape.iter().product();
    let mut gathered = Vec::with_capacity(elements);
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    while gathered.len() < elements {
        gathered.push(values[at]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= shape[axis] * strides[axis];
            index[axis] = 0;
        }
    }
    gathered
}

/// Size of an element type in bits; `None` for an unknown type.
pub(super) fn bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "U16" | "I16" | "F16" | "BF16" => 16,
        "U32" | "I32" | "F32" => 32,
        "U64" | "I64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_gathered_in_row_major_order() {
        let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
        // A transposed matrix, every second column, a repeated row, and a scalar.
        assert_eq!(gather(&values[..6], &[3, 2], &[1, 3]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(gather(&values, &[3, 2], &[4, 2]), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(gather(&values, &[2, 2], &[0, 1]), [0.0, 1.0, 0.0, 1.0]);
        assert_eq!(gather(&values, &[], &[]), [0.0]);
        assert_eq!(gather(&values, &[2, 0], &[0, 1]), [0.0; 0]);
    }
}
