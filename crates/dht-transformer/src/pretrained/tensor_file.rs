//! Streaming writer of safetensors files. The `safetensors` crate is not used for writing: it either builds the whole
//! file in memory, or writes a file that only its owner can read.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use candle_core::Tensor;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::tensors::with_slices;

/// Alignment of the tensor data in bytes. The header is padded to a multiple of it.
const ALIGNMENT: usize = 8;

/// Writes f32 tensors as a safetensors file, sorted by name.
pub(crate) fn write_tensors(file: &mut dyn Write, tensors: &BTreeMap<String, Tensor>) -> io::Result<()> {
    let mut end = 0;
    let infos = tensors.iter().map(|(name, tensor)| {
        let start = end;
        end += tensor.elem_count() * size_of::<f32>();
        (name.clone(), TensorInfo { dtype: Dtype::F32, shape: tensor.dims().to_vec(), data_offsets: (start, end) })
    });
    // `transformers` requires metadata with PyTorch's layout.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), infos.collect()).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');

    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for tensor in tensors.values() {
        let mut written = Ok(());
        let write = |values: &[&[f32]]| {
            written = values[0].iter().try_for_each(|value| file.write_all(&value.to_le_bytes()));
            Ok(())
        };
        with_slices(&[tensor], write).map_err(io::Error::other)?;
        written?;
    }
    Ok(())
}
