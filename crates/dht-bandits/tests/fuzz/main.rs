//! Damaged files: policies, deltas, decisions and slates are refused with nothing changed, or can be used. They never
//! cause a panic, and never take more memory than the file can justify.
//!
//! Each run tests a few thousand files. For more, run `DHT_FUZZ_CASES=1000000 cargo test -p dht-bandits --release
//! --test fuzz`.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod corpus;
mod damage;
mod uses;

use std::alloc::System;
use std::sync::LazyLock;

use proptest::prelude::*;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that reading and using a damaged file of a few kilobytes may allocate in total.
const BYTES: usize = 8 << 20;

fn cases() -> u32 {
    std::env::var("DHT_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(5000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// All cases are one test, because the process has one count of bytes.
    #[test]
    fn a_damaged_file_is_refused_or_works(which in any::<usize>(), edits in prop::collection::vec(damage::edit(), 0..5)) {
        static CORPUS: LazyLock<Vec<String>> = LazyLock::new(corpus::texts);
        let corpus = &*CORPUS;
        let mut text = corpus[which % corpus.len()].clone().into_bytes();
        for edit in edits {
            damage::damage(&mut text, edit, corpus);
        }
        let region = Region::new(COUNTED);
        prop_assert!(uses::works(&text), "{}", String::from_utf8_lossy(&text));
        let bytes = region.change().bytes_allocated;
        prop_assert!(bytes < BYTES, "{bytes} bytes for {}", String::from_utf8_lossy(&text));
    }
}
