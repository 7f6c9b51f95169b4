//! Snapshots of policies for concurrent use: one [`Publisher`] learns, and many [`SnapshotReader`]s choose from
//! immutable copies without a lock in `select`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
struct Published<T> {
    version: AtomicU64,
    latest: Mutex<Arc<T>>,
}

/// Writer of snapshots: owns a learner, such as a policy, and publishes clones of it to readers in other threads.
///
/// ```
/// use dht_bandits::{LinUcb, Policy, Request, Ridge, Ucb, policy::Publisher};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let policy = LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 })?;
/// let mut writer = Publisher::new(policy, 100);
/// let mut reader = writer.reader(); // one for each thread
/// std::thread::spawn(move || {
///     let mut rng = ChaCha8Rng::seed_from_u64(1);
///     reader.latest().decide(&Request::new(&[1.0, 0.0]), &mut rng)
/// });
/// writer.change(|policy| policy.update(dht_bandits::ArmId::new(0), &[1.0, 0.0], 1.0, 1.0))?;
/// writer.publish();
/// assert_eq!(writer.learner().version(), 1);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug)]
pub struct Publisher<T> {
    learner: T,
    every: u64,
    changes: u64,
    published: Arc<Published<T>>,
}

/// Reader of snapshots: returns the newest published copy without waiting for the learner.
///
/// ```
/// use dht_bandits::policy::Publisher;
///
/// // The learner is a counter here, published after every two changes.
/// let mut writer = Publisher::new(0, 2);
/// let mut reader = writer.reader();
/// writer.change(|count| *count += 1);
/// assert_eq!(*reader.latest(), 0);
/// writer.change(|count| *count += 1);
/// assert_eq!(*reader.latest(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct SnapshotReader<T> {
    version: u64,
    snapshot: Arc<T>,
    published: Arc<Published<T>>,
}

impl<T: Clone> Publisher<T> {
    /// Creates a publisher, and publishes `learner` at once. The learner is published again after every `every`
    /// changes. If `every` is 0, only [`publish`](Self::publish) publishes it.
    pub fn new(learner: T, every: u64) -> Self {
        let latest = Mutex::new(Arc::new(learner.clone()));
        Self { learner, every, changes: 0, published: Arc::new(Published { version: AtomicU64::new(0), latest }) }
    }

    /// Learner in its current state, which may be newer than the published snapshot.
    pub fn learner(&self) -> &T {
        &self.learner
    }

    /// Changes the learner. Publishes it if the number of calls so far is a multiple of the interval set in
    /// [`new`](Self::new).
    pub fn change<O>(&mut self, change: impl FnOnce(&mut T) -> O) -> O {
        let outcome = change(&mut self.learner);
        self.changes += 1;
        if self.every > 0 && self.changes.is_multiple_of(self.every) {
            self.publish();
        }
        outcome
    }

    /// Publishes a clone of the learner to all readers.
    pub fn publish(&mut self) {
        let next = Arc::new(self.learner.clone());
        *self.published.latest.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.published.version.fetch_add(1, Ordering::Release);
    }

    /// Creates a reader of the published snapshots. Each thread needs its own reader.
    pub fn reader(&self) -> SnapshotReader<T> {
        let version = self.published.version.load(Ordering::Acquire);
        let snapshot = self.published.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        SnapshotReader { version, snapshot, published: Arc::clone(&self.published) }
    }
}

impl<T> SnapshotReader<T> {
    /// Loads and returns the newest snapshot. The call costs one atomic load. If there is a new snapshot, it also takes
    /// a lock while one pointer is copied.
    pub fn latest(&mut self) -> &T {
        let version = self.published.version.load(Ordering::Acquire);
        if version != self.version {
            self.snapshot = Arc::clone(&self.published.latest.lock().unwrap_or_else(PoisonError::into_inner));
            self.version = version;
        }
        &self.snapshot
    }

    /// Snapshot that this reader loaded last, as a shared pointer that may outlive the reader.
    pub fn snapshot(&self) -> Arc<T> {
        Arc::clone(&self.snapshot)
    }
}
