//! Everything that comes from files: texts, vocabularies, configurations, weights.

mod batch;
mod config;
mod dataset;
mod files;
mod tokenizer;
mod weights;

use std::path::PathBuf;

/// A file of the real data, or `None`, with a word about it, where they are not at hand.
fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("DHT_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let file = root.join(path);
    if file.exists() {
        return Some(file);
    }
    eprintln!("skipped: {} is not there", file.display());
    None
}
