/// Problem in a weight file. [`Error::Weights`](crate::Error::Weights) adds the path and the tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsProblem {
    /// The file is shorter than its header requires: it was truncated, or its header is wrong.
    #[error("needs a file of at least {expected} bytes, got {got}: it is cut off, or its header is wrong")]
    Truncated {
        /// Required size in bytes.
        expected: u64,
        /// Actual number of bytes.
        got: u64,
    },
    /// The file has bytes after its last tensor.
    #[error("has {bytes} bytes after the last tensor")]
    Trailing {
        /// Number of bytes after the last tensor.
        bytes: u64,
    },
    /// The header of the file exceeds the maximum length.
    #[error("declares a header of {bytes} bytes, expected at most {most}")]
    HeaderTooLong {
        /// Length of the header in bytes, as stated at the beginning of the file.
        bytes: u64,
        /// Maximum length of the header in bytes.
        most: u64,
    },
    /// The file is a Git LFS pointer, a small text file in place of the weights. The weights were not downloaded.
    #[error("is a Git LFS pointer and not the weights: fetch them, as by `git lfs pull`")]
    GitLfsPointer,
    /// A tensor belongs to a layer that the configuration does not have: its layer number is too large.
    #[error(
        "belongs to a layer beyond the {layers} of the configuration: set its number of layers to that of the weights \
         (`dht train --layers N` uses the first N, `Encoder::truncated` in code)"
    )]
    MoreLayers {
        /// Number of layers in the configuration.
        layers: usize,
    },
    /// The header of a safetensors file is not a JSON object of tensors.
    #[error("the header cannot be read: {message}")]
    Header {
        /// Error message of the JSON parser.
        message: String,
    },
    /// Two tensors in the file have the same name.
    #[error("comes twice")]
    Duplicate,
    /// Two tensors with different values have the same name after prefixes are removed and old names are replaced.
    #[error("is the same tensor as {other:?}, with other values: keep one of them")]
    Conflict {
        /// Name of the other tensor.
        other: String,
    },
    /// All tensor names begin with a prefix that does not belong to the model type.
    #[error(
        "the names of its tensors begin with {found:?}, where this model_type has {expected:?} or nothing: rename them, or correct \
         the model_type in config.json"
    )]
    Prefix {
        /// Prefix of the tensor names in the file.
        found: String,
        /// Prefix that belongs to the model type.
        expected: &'static str,
    },
    /// A tensor has an effect on the model that this crate does not compute.
    #[error("is {reason}")]
    Unsupported {
        /// Reason for the refusal, and how to proceed.
        reason: &'static str,
    },
    /// A tensor's end offset is smaller than its begin offset.
    #[error("lies at bytes {begin}..{end}")]
    Offsets {
        /// Offset of the tensor's first byte.
        begin: u64,
        /// Offset after the tensor's last byte.
        end: u64,
    },
    /// A tensor does not begin directly after the previous tensor.
    #[error("begins at byte {begin} of the data, expected {expected}: tensors overlap or leave a gap")]
    Gap {
        /// Offset of the tensor's first byte.
        begin: u64,
        /// Offset after the previous tensor's last byte.
        expected: u64,
    },
    /// The number of bytes of a tensor does not match its element type and shape.
    #[error("has {bytes} bytes, which does not fit the shape {shape:?}")]
    Length {
        /// Shape of the tensor, as stated in the file.
        shape: Vec<usize>,
        /// Actual number of bytes.
        bytes: u64,
    },
    /// The element type of a tensor is not supported for weights.
    #[error("has the type {dtype}, expected F16, BF16, F32 or F64")]
    Type {
        /// Element type of the tensor, as stated in the file.
        dtype: String,
    },
    /// A tensor does not have the shape that the configuration requires.
    #[error("has the shape {got:?}, expected {expected:?}")]
    Shape {
        /// Shape that the configuration requires.
        expected: Vec<usize>,
        /// Shape of the tensor in the file.
        got: Vec<usize>,
    },
    /// A tensor contains a NaN or infinite value.
    #[error("element {element} is {value}, expected finite numbers")]
    NotFinite {
        /// Index of the value in the tensor, in row-major order.
        element: usize,
        /// Refused value: `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// A shard (weight file) that the index lists cannot be read from the directory of the index.
    #[error("names the shard {shard:?}, {expected}")]
    Shard {
        /// File name of the shard.
        shard: String,
        /// Requirement that the shard does not meet, or how to proceed.
        expected: &'static str,
    },
    /// A tensor is not in the shard (weight file) that the index lists for it.
    #[error("is in the shard {shard:?} by the index, and {}", in_shard(holder.as_deref()))]
    NotInShard {
        /// File name of the shard that the index lists.
        shard: String,
        /// File name of the shard that contains the tensor; `None` if no shard does.
        holder: Option<String>,
    },
    /// Two shards (weight files) contain a tensor of the same name.
    #[error("is also in the shard {other:?}: keep one of them")]
    InTwoShards {
        /// File name of the other shard.
        other: String,
    },
    /// The file is not a valid zip archive of `torch.save`.
    #[error(
        "cannot be read as a zip archive of torch.save: {problem}; copy or download it again, or load the model in \
         transformers and save it by save_pretrained with safe_serialization=True"
    )]
    Archive {
        /// Description of the invalid part of the archive.
        problem: String,
    },
    /// The pickle in a `torch.save` archive does not describe a dictionary of tensors.
    #[error("its pickle cannot be read at byte {byte}: {problem}")]
    Pickle {
        /// Byte offset in the pickle at which reading failed.
        byte: usize,
        /// Description of the problem at this offset.
        problem: String,
    },
    /// The pickle in a `torch.save` archive calls a function or class that is not needed for a dictionary of tensors.
    /// It is never run.
    #[error(
        "its pickle calls {name}, which is never run: if you trust the file, load it in Python and save its state dict \
         alone as model.safetensors"
    )]
    PickledCode {
        /// Name of the function or class, with its module.
        name: String,
    },
    /// The tensors are in an inner dictionary of the file, not at its top level.
    #[error("has its tensors under {key:?}, as a training checkpoint has: save this dictionary alone")]
    Nested {
        /// Key of the inner dictionary.
        key: String,
    },
    /// A tensor is a view that extends beyond its storage.
    #[error(
        "is a view of shape {shape:?}, strides {strides:?} and offset {offset}, which is not inside its storage of {bytes} \
         bytes"
    )]
    View {
        /// Index of the view's first element in its storage.
        offset: i64,
        /// Shape of the view.
        shape: Vec<i64>,
        /// Distance between neighbouring elements along each axis, in elements.
        strides: Vec<i64>,
        /// Size of the storage in bytes.
        bytes: u64,
    },
    /// Tensors share storages, and would take far more memory than the size of the file.
    #[error("has {bytes} bytes of weights without shared storages, expected at most {most} for its size")]
    Shared {
        /// Size of all tensors in memory as f32, in bytes.
        bytes: u64,
        /// Maximum size in memory for files of this size, in bytes.
        most: u64,
    },
    /// The file lacks tensors that the model requires.
    #[error("lacks the tensors {names}")]
    Missing {
        /// Names of the missing tensors; only the first names if there are many.
        names: String,
    },
}

fn in_shard(holder: Option<&str>) -> String {
    holder.map_or_else(|| "in no shard".to_owned(), |holder| format!("in {holder:?}"))
}
