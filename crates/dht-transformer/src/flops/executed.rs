//! Count of the matrix products that this process has executed.

use std::sync::atomic::{AtomicU64, Ordering};

use super::count::FlopCount;

static FLOPS: AtomicU64 = AtomicU64::new(0);

impl FlopCount {
    /// FLOPs of all matrix products that this process has executed so far, two for each multiply-add.
    ///
    /// The difference of two calls is the exact number of FLOPs between them. It equals the prediction of
    /// [`BlockShape`](super::BlockShape). All threads of the process share one counter.
    pub fn executed() -> Self {
        Self(FLOPS.load(Ordering::Relaxed))
    }
}

pub(crate) fn add(flops: u64) {
    FLOPS.fetch_add(flops, Ordering::Relaxed);
}
