/// Problem of a file of weights; [`Error::Weights`](crate::Error::Weights) has its location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsProblem {
    /// The file ends too early, or the header is wrong about its tensors.
    #[error("needs a file of at least {expected} bytes, got {got}: it is cut off, or its header is wrong")]
    Truncated {
        /// Required size in bytes.
        expected: u64,
        /// Actual size in bytes.
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
        /// Declared length.
        bytes: u64,
        /// Maximum length.
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
    /// Two tensors have one name after prefixes are dropped and old names replaced, and different values.
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
        /// Actual prefix.
        found: String,
        /// Prefix of the model type.
        expected: &'static str,
    },
    /// A tensor has an effect on the model that is not computed.
    #[error("is {reason}")]
    Unsupported {
        /// Reason, and what to do.
        reason: &'static str,
    },
    /// A tensor's end precedes its beginning.
    #[error("lies at bytes {begin}..{end}")]
    Offsets {
        /// Start offset.
        begin: u64,
        /// End offset.
        end: u64,
    },
    /// A tensor does not begin at the end of the previous one.
    #[error("begins at byte {begin} of the data, expected {expected}: tensors overlap or leave a gap")]
    Gap {
        /// Start offset.
        begin: u64,
        /// End of the previous tensor.
        expected: u64,
    },
    /// A tensor has another number of bytes than its type and shape require.
    #[error("has {bytes} bytes, which does not fit the shape {shape:?}")]
    Length {
        /// Declared shape.
        shape: Vec<usize>,
        /// Actual size in bytes.
        bytes: u64,
    },
    /// A tensor's type is not supported for weights.
    #[error("has the type {dtype}, expected F16, BF16, F32 or F64")]
    Type {
        /// Declared type.
        dtype: String,
    },
    /// A tensor has another shape than in the configuration.
    #[error("has the shape {got:?}, expected {expected:?}")]
    Shape {
        /// Shape in the configuration.
        expected: Vec<usize>,
        /// Actual shape.
        got: Vec<usize>,
    },
    /// A value is infinite or not a number.
    #[error("element {element} is {value}, expected finite numbers")]
    NotFinite {
        /// Index in row-major order.
        element: usize,
        /// Value found: `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// Required tensors are missing.
    #[error("lacks the tensors {names}")]
    Missing {
        /// Names of the tensors (the first of them, if there are many).
        names: String,
    },
}
