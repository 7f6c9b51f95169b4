//! Kinds of errors.

use super::Error;

/// Kind of an error: what a caller can do about it.
///
/// # Examples
/// ```
/// use dht_transformer::{ErrorKind, HeadSet};
///
/// let refused = HeadSet::from_indices([12], 12).unwrap_err();
/// assert_eq!((refused.kind(), refused.to_string().as_str()), (ErrorKind::Range, "head is 12, expected below 12"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value that the caller gave is not allowed: change the call.
    Argument,
    /// Lists or tensors have sizes that do not belong together: change them, or the part that returned them.
    Shape,
    /// An index lies beyond the end of what it counts.
    Range,
    /// An object is not in the condition that the call needs, such as a state of another model, or weights that are NaN.
    State,
    /// The content of a file is invalid: mend or replace the file.
    Data,
    /// A limit of size, memory, time or a queue is exceeded: give less, or try again later.
    Limit,
    /// This release or this build does not compute it.
    Unsupported,
    /// The disk, the network or the operating system failed.
    Io,
    /// A part outside these crates failed: candle, or a part of the caller's own.
    Custom,
}

impl Error {
    /// Returns the kind of the error: what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Argument { .. } => ErrorKind::Argument,
            Self::Shape { .. } => ErrorKind::Shape,
            Self::Range { .. } => ErrorKind::Range,
            Self::Parameter { .. }
            | Self::Diverged { .. }
            | Self::NotFinite { .. }
            | Self::Stopped { .. }
            | Self::NonFiniteGradient { .. } => ErrorKind::State,
            Self::Config { .. }
            | Self::Checkpoint { .. }
            | Self::Data { .. }
            | Self::Tokenizer { .. }
            | Self::Json { .. }
            | Self::Weights { .. } => ErrorKind::Data,
            Self::DeviceMemory(_) | Self::TextTooLong { .. } => ErrorKind::Limit,
            Self::Unsupported { .. } | Self::NoHub { .. } => ErrorKind::Unsupported,
            Self::Io { .. } | Self::Hub { .. } | Self::HubFiles { .. } | Self::ForeignDirectory { .. } => ErrorKind::Io,
            Self::Candle(_) | Self::Custom(_) => ErrorKind::Custom,
        }
    }
}
