//! Constants of the checkpoint format.

/// Version that this release writes, and the latest that it reads.
pub(super) const VERSION: u64 = 1;
/// Start of every checkpoint, after the length of its header.
pub(super) const PREFIX: &str = r#"{"__metadata__":{"format":"dht-checkpoint","version":""#;
/// Text between the version and the checksum.
pub(super) const BEFORE_SUM: &str = r#"","sha256":""#;
/// Number of hexadecimal digits of a SHA-256 sum.
pub(super) const SUM_DIGITS: usize = 64;
/// Tensor that holds the state as JSON text.
pub(super) const STATE: &str = "state.json";
/// Key of safetensors for metadata.
pub(super) const METADATA: &str = "__metadata__";
/// Number of values converted to or from bytes at once.
pub(super) const BLOCK: usize = 16_384;
