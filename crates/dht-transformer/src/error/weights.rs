/// Problem of a weight file; [`Error::Weights`](crate::Error::Weights) has its location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsProblem {
    /// The file ends too early, or the header is wrong about its tensors.
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
    /// The header exceeds the length limit.
    #[error("declares a header of {bytes} bytes, expected at most {most}")]
    HeaderTooLong {
        /// Length of the header in bytes, as the file declares it.
        bytes: u64,
        /// Maximum length of the header in bytes.
        most: u64,
    },
    /// The file is a Git LFS pointer to a file that was not fetched.
    #[error("is a Git LFS pointer and not the weights: fetch them, as by `git lfs pull`")]
    GitLfsPointer,
    /// A tensor belongs to a layer beyond the configuration's.
    #[error(
        "belongs to a layer beyond the {layers} of the configuration: set its number of layers to that of the weights \
         (`dht train --layers N` uses the first N, `Encoder::truncated` in code)"
    )]
    MoreLayers {
        /// Number of layers in the configuration.
        layers: usize,
    },
    /// The header is not a JSON object of tensors.
    #[error("the header cannot be read: {message}")]
    Header {
        /// Message of the parser.
        message: String,
    },
    /// Two tensors have one name.
    #[error("comes twice")]
    Duplicate,
    /// Two tensors with different values have the same name after prefixes are dropped and old names are replaced.
    #[error("is the same tensor as {other:?}, with other values: keep one of them")]
    Conflict {
        /// Name of the other tensor.
        other: String,
    },
    /// The names of all tensors have another prefix than this type of model.
    #[error(
        "the names of its tensors begin with {found:?}, where this model_type has {expected:?} or nothing: rename them, or correct \
         the model_type in config.json"
    )]
    Prefix {
        /// Prefix of the tensor names in the file.
        found: String,
        /// Prefix of the model type.
        expected: &'static str,
    },
    /// A tensor has an effect on the model that this crate does not compute.
    #[error("is {reason}")]
    Unsupported {
        /// Reason, and what to do.
        reason: &'static str,
    },
    /// A tensor's end precedes its beginning.
    #[error("lies at bytes {begin}..{end}")]
    Offsets {
        /// Offset at which the tensor begins.
        begin: u64,
        /// Offset at which the tensor ends.
        end: u64,
    },
    /// A tensor does not begin at the end of the previous tensor.
    #[error("begins at byte {begin} of the data, expected {expected}: tensors overlap or leave a gap")]
    Gap {
        /// Offset at which the tensor begins.
        begin: u64,
        /// End of the previous tensor.
        expected: u64,
    },
    /// A tensor has another number of bytes than its type and shape require.
    #[error("has {bytes} bytes, which does not fit the shape {shape:?}")]
    Length {
        /// Shape of the tensor, as the file declares it.
        shape: Vec<usize>,
        /// Actual number of bytes.
        bytes: u64,
    },
    /// A tensor's type is not supported for weights.
    #[error("has the type {dtype}, expected F16, BF16, F32 or F64")]
    Type {
        /// Type of the tensor, as the file declares it.
        dtype: String,
    },
    /// A tensor has another shape than in the configuration.
    #[error("has the shape {got:?}, expected {expected:?}")]
    Shape {
        /// Shape in the configuration.
        expected: Vec<usize>,
        /// Shape of the tensor in the file.
        got: Vec<usize>,
    },
    /// A value is infinite or not a number.
    #[error("element {element} is {value}, expected finite numbers")]
    NotFinite {
        /// Index of the value in the tensor, in row-major order.
        element: usize,
        /// Value: `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// A shard that the index names cannot be read from the directory of the index.
    #[error("names the shard {shard:?}, {expected}")]
    Shard {
        /// Name of the shard.
        shard: String,
        /// Requirement on the shard, or what to do.
        expected: &'static str,
    },
    /// A tensor is not in the shard that the index names.
    #[error("is in the shard {shard:?} by the index, and {}", in_shard(holder.as_deref()))]
    NotInShard {
        /// Shard that the index names.
        shard: String,
        /// Shard that holds the tensor; `None` if no shard does.
        holder: Option<String>,
    },
    /// Two shards hold a tensor of the same name.
    #[error("is also in the shard {other:?}: keep one of them")]
    InTwoShards {
        /// Name of the other shard.
        other: String,
    },
    /// The file is not an archive that `torch.save` writes.
    #[error(
        "cannot be read as a zip archive of torch.save: {problem}; copy or download it again, or load the model in \
         transformers and save it by save_pretrained with safe_serialization=True"
    )]
    Archive {
        /// Problem of the archive.
        problem: String,
    },
    /// The pickle in an archive does not describe a dictionary of tensors.
    #[error("its pickle cannot be read at byte {byte}: {problem}")]
    Pickle {
        /// Offset in the pickle at which reading failed, in bytes.
        byte: usize,
        /// Problem of the pickle.
        problem: String,
    },
    /// The pickle in an archive names a function or class that a dictionary of tensors does not need.
    #[error(
        "its pickle calls {name}, which is never run: if you trust the file, load it in Python and save its state dict \
         alone as model.safetensors"
    )]
    PickledCode {
        /// Function or class, with its module.
        name: String,
    },
    /// The tensors are in a dictionary inside the file's dictionary.
    #[error("has its tensors under {key:?}, as a training checkpoint has: save this dictionary alone")]
    Nested {
        /// Name of the inner dictionary.
        key: String,
    },
    /// A tensor is a view of elements beyond its storage.
    #[error(
        "is a view of shape {shape:?}, strides {strides:?} and offset {offset}, which is not inside its storage of {bytes} \
         bytes"
    )]
    View {
        /// Index of the first element of the view in its storage.
        offset: i64,
        /// Shape of the view.
        shape: Vec<i64>,
        /// Distances between neighbours along the axes, in elements.
        strides: Vec<i64>,
        /// Size of the storage in bytes.
        bytes: u64,
    },
    /// Tensors share storages, and would be far larger than the file if each had its own storage.
    #[error("has {bytes} bytes of weights without shared storages, expected at most {most} for its size")]
    Shared {
        /// Size of the weights in f32.
        bytes: u64,
        /// Maximum size for these files.
        most: u64,
    },
    /// Required tensors are missing.
    #[error("lacks the tensors {names}")]
    Missing {
        /// Names of the tensors (the first of them, if there are many).
        names: String,
    },
}

fn in_shard(holder: Option<&str>) -> String {
    holder.map_or_else(|| "in no shard".to_owned(), |holder| format!("in {holder:?}"))
}
