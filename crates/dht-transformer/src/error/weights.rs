/// What is wrong with a file of weights; [`Error::Weights`](crate::Error::Weights) says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsProblem {
    /// The file ends too early, or the header lies about its tensors.
    #[error("needs a file of at least {expected} bytes, got {got}: it is cut off, or its header is wrong")]
    Truncated {
        /// How many bytes the file must have.
        expected: u64,
        /// How many it has.
        got: u64,
    },
    /// The file has bytes after its last tensor.
    #[error("has {bytes} bytes after the last tensor")]
    Trailing {
        /// How many.
        bytes: u64,
    },
    /// The header is longer than any real one.
    #[error("declares a header of {bytes} bytes, expected at most {most}")]
    HeaderTooLong {
        /// The declared length.
        bytes: u64,
        /// The longest that is read.
        most: u64,
    },
    /// The file stands for one that was not fetched.
    #[error("is a Git LFS pointer and not the weights: fetch them, as by `git lfs pull`")]
    GitLfsPointer,
    /// A tensor belongs to a layer beyond the configuration's.
    #[error(
        "belongs to a layer beyond the {layers} of the configuration: set its number of layers to that of the weights \
         (`dht train --layers N` uses the first N, `Encoder::truncated` in code)"
    )]
    MoreLayers {
        /// The configuration's layers.
        layers: usize,
    },
    /// The header is no JSON object of tensors.
    #[error("the header cannot be read: {message}")]
    Header {
        /// What the parser said.
        message: String,
    },
    /// Two tensors have one name.
    #[error("comes twice")]
    Duplicate,
    /// Two tensors have one name once prefixes are dropped and old names replaced, and other values.
    #[error("is the same tensor as {other:?}, with other values: keep one of them")]
    Conflict {
        /// The name of the other.
        other: String,
    },
    /// The names of all tensors begin otherwise than those of this type of model.
    #[error(
        "the names of its tensors begin with {found:?}, where this model_type has {expected:?} or nothing: rename them, or correct \
         the model_type in config.json"
    )]
    Prefix {
        /// What they begin with.
        found: String,
        /// The type's prefix.
        expected: &'static str,
    },
    /// A tensor has an effect on the model that is not computed.
    #[error("is {reason}")]
    Unsupported {
        /// The reason, and what to do.
        reason: &'static str,
    },
    /// A tensor's end lies before its beginning.
    #[error("lies at bytes {begin}..{end}")]
    Offsets {
        /// Where it begins.
        begin: u64,
        /// Where it ends.
        end: u64,
    },
    /// A tensor does not begin where the one before ends.
    #[error("begins at byte {begin} of the data, expected {expected}: tensors overlap or leave a gap")]
    Gap {
        /// Where it begins.
        begin: u64,
        /// Where the one before ends.
        expected: u64,
    },
    /// A tensor has another number of bytes than its type and shape need.
    #[error("has {bytes} bytes, which does not fit the shape {shape:?}")]
    Length {
        /// Its declared shape.
        shape: Vec<usize>,
        /// Its bytes.
        bytes: u64,
    },
    /// A tensor's type is not one that weights have.
    #[error("has the type {dtype}, expected F16, BF16, F32 or F64")]
    Type {
        /// The declared type.
        dtype: String,
    },
    /// A tensor has another shape than the configuration gives it.
    #[error("has the shape {got:?}, expected {expected:?}")]
    Shape {
        /// What the configuration says.
        expected: Vec<usize>,
        /// What it is.
        got: Vec<usize>,
    },
    /// A number is infinite or not a number.
    #[error("element {element} is {value}, expected finite numbers")]
    NotFinite {
        /// Its index in row-major order.
        element: usize,
        /// `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// Tensors that the configuration needs are not there.
    #[error("lacks the tensors {names}")]
    Missing {
        /// Their names, the first of them when there are many.
        names: String,
    },
}
