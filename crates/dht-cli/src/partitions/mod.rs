//! Prediction on partitions (parts of a large input) by any number of workers: inputs, outputs, claims and records.
//!
//! ```text
//! OUT/part-0.jsonl                    answers of part-0.jsonl, whole or absent
//! OUT/.dht/predictions.json           model and settings that all workers share
//! OUT/.dht/part-0.jsonl/record.json   input, totals and worker of these answers
//! OUT/.dht/part-0.jsonl/claim         exists while a worker answers the partition, or after it was killed
//! ```
//!
//! A claim is the right to answer a partition, so that two workers do not do the same work. Answers are correct without
//! claims: each worker writes a temporary file and renames it, and all workers give equal answers.

#[cfg_attr(not(feature = "s3"), path = "without_s3.rs")]
mod bucket;
mod folder;
mod input;
mod open;
mod outputs;
mod record;
#[cfg(feature = "s3")]
mod store_error;

pub use bucket::download;
pub use folder::write_file;
pub use input::{HashingReader, Input};
pub use open::{inputs, outputs};
pub use outputs::{Claim, Outputs, url, worker};
pub use record::{Record, Totals};
