//! Classification of errors by what a caller can do about them.

use super::Error;

/// Category of an error, which determines what a caller can do about it.
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
    /// The caller passed an invalid value: change the call.
    Argument,
    /// The lengths or shapes of arguments do not match: change them, or the code that computed them.
    Shape,
    /// An index is not below the number of items.
    Range,
    /// An object is in a state that does not allow the call, such as a model with NaN weights.
    State,
    /// A file has invalid content: repair or replace it.
    Data,
    /// A limit of size, memory, time or queue length is exceeded: pass less, or try again later.
    Limit,
    /// This release or this build does not support the request.
    Unsupported,
    /// Failure of the disk, the network or the operating system.
    Io,
    /// Code outside this workspace failed: candle, or the caller's own code.
    Custom,
}

impl Error {
    /// Returns the category of the error, which determines what a caller can do about it.
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
