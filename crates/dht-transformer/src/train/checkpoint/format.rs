//! Constants of the checkpoint file format.

/// Format version that this release writes. It can read this version and earlier ones.
pub(super) const VERSION: u64 = 1;
/// Text with which the header of every checkpoint file begins, up to the format version.
pub(super) const PREFIX: &str = r#"{"__metadata__":{"format":"dht-checkpoint","version":""#;
/// Text between the format version and the checksum in the header.
pub(super) const BEFORE_SUM: &str = r#"","sha256":""#;
pub(super) const SUM_DIGITS: usize = 64;
/// Name of the tensor that contains the checkpoint's state as JSON text.
pub(super) const STATE: &str = "state.json";
/// Key of the header under which safetensors files store metadata.
pub(super) const METADATA: &str = "__metadata__";
/// Number of tensor values that are converted to or from bytes at once.
pub(super) const BLOCK: usize = 16_384;
