//! Checkpoint files of training runs, with named tensors and a JSON state of any structure. File format:
//!
//! ```text
//! 8 bytes   length of the header (little endian)
//! header    {"__metadata__":{"format":"dht-checkpoint","version":"1","sha256":"…"},"name":{…},…}
//! data      the tensors in f32, then the state as JSON text
//! ```
//!
//! Any reader of safetensors can open the file; the state is stored as the byte tensor `state.json`. The checksum
//! covers the whole file, with 64 zeros in place of the checksum itself, so every bit of the file is protected.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod checkpoint;
mod format;
#[cfg(test)]
mod killed_tests;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use checkpoint::Checkpoint;
