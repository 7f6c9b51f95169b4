//! Damaged files: policies, deltas, decisions and slates are refused with nothing changed, or work; never a panic, never
//! more memory than the file can justify.
//!
//! A few thousand of them at each run; `DHT_FUZZ_CASES=1000000 cargo test -p dht-bandits --release --test fuzz` for more.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod corpus;
mod damage;
mod uses;

use proptest::prelude::*;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::LazyLock;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// All that reading a damaged file of a few kilobytes and trying out what it holds may allocate, one after the other.
const BYTES: usize = 8 << 20;

fn cases() -> u32 {
    std::env::var("DHT_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(5000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// One test, because the count of bytes is the process's.
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
