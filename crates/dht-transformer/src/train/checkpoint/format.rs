//! Constants of the checkpoint format.

/// The version this release writes, and the latest it reads.
pub(super) const VERSION: u64 = 1;
/// What every checkpoint starts with after the length of its header.
pub(super) const PREFIX: &str = r#"{"__metadata__":{"format":"dht-checkpoint","version":""#;
/// What stands between the version and the sum.
pub(super) const BEFORE_SUM: &str = r#"","sha256":""#;
/// How many hexadecimal digits a SHA-256 sum has.
pub(super) const SUM_DIGITS: usize = 64;
/// The tensor that holds the state as JSON text.
pub(super) const STATE: &str = "state.json";
/// The key of safetensors for what is no tensor.
pub(super) const METADATA: &str = "__metadata__";
/// How many numbers are converted to or from bytes at once.
pub(super) const BLOCK: usize = 16_384;
