//! Claims on partitions in an object store: objects that are created only if absent, and renewed regularly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use object_store::path::Path as Key;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode, UpdateVersion};
use serde_json::{Map, Value};

use super::connection::Bucket;
use crate::partitions::outputs::{Claim, worker};
use crate::training::UndoOnSignal;

/// Time limit for deleting the object of a claim when the process ends.
const RELEASE: Duration = Duration::from_secs(5);

/// Generates a unique name for a worker's claim on a partition.
pub(super) fn unique() -> String {
    static CLAIMS: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}:{}:{}", worker(), since.as_nanos(), CLAIMS.fetch_add(1, Ordering::Relaxed))
}

/// Data for renewing and releasing a claim on a partition: the key of the claim's object, and the unique name of the
/// claim.
pub(super) struct Holder {
    pub(super) bucket: Bucket,
    pub(super) key: Key,
    pub(super) name: String,
    pub(super) patience: Duration,
}

impl Holder {
    pub(super) fn content(&self, renewals: u64) -> Vec<u8> {
        serde_json::json!({ "worker": self.name, "renewals": renewals }).to_string().into_bytes()
    }

    /// Renews the claim regularly, until the sender of `stop` is dropped. If another worker may have taken over the
    /// claim, sets `lost` and returns.
    fn renew(&self, mut version: UpdateVersion, lost: &AtomicBool, stop: &Receiver<()>) {
        let mut renewed = Instant::now();
        for renewals in 1.. {
            if stop.recv_timeout(self.patience / 4) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            match self.bucket.put_if(&self.key, &self.content(renewals), &PutMode::Update(version.clone())) {
                Ok(Some(next)) => (version, renewed) = (next, Instant::now()),
                Ok(None) => break,
                // The store does not answer: by now, other workers may have seen the old claim for long enough to take
                // it over.
                Err(_) if renewed.elapsed() > self.patience => break,
                Err(_) => {}
            }
        }
        lost.store(true, Ordering::SeqCst);
    }

    /// Deletes the object of the claim, if this worker still holds it.
    fn release(&self) {
        let delete = async {
            let content = self.bucket.store.get(&self.key).await?.bytes().await?;
            let held: Map<String, Value> = serde_json::from_slice(&content).unwrap_or_default();
            if held.get("worker").is_some_and(|name| *name == *self.name) {
                self.bucket.store.delete(&self.key).await?;
            }
            Ok::<_, StoreError>(())
        };
        // If the claim cannot be deleted, another worker takes it over later.
        let _ = self.bucket.runtime.block_on(async { tokio::time::timeout(RELEASE, delete).await });
    }
}

/// Claim on a partition (right to answer it), which a background thread renews.
pub(super) struct ObjectClaim {
    holder: Arc<Holder>,
    lost: Arc<AtomicBool>,
    /// Sender that ends the background thread when it is dropped.
    stop: Option<Sender<()>>,
    _undo: UndoOnSignal,
}

impl ObjectClaim {
    pub(super) fn start(holder: Arc<Holder>, version: UpdateVersion) -> Self {
        let (lost, (stop, stopped)) = (Arc::new(AtomicBool::new(false)), channel());
        let (own, own_lost, undone) = (holder.clone(), lost.clone(), holder.clone());
        let undo = UndoOnSignal::new(move || undone.release());
        let thread = std::thread::Builder::new().name("claim".into()).spawn(move || {
            own.renew(version, &own_lost, &stopped);
        });
        // Without the thread the claim is not renewed, so that it counts as lost.
        lost.fetch_or(thread.is_err(), Ordering::SeqCst);
        Self { holder, lost, stop: Some(stop), _undo: undo }
    }
}

impl Claim for ObjectClaim {
    fn is_held(&self) -> bool {
        !self.lost.load(Ordering::SeqCst)
    }

    fn finish(self: Box<Self>) {}
}

impl Drop for ObjectClaim {
    /// Releases the claim without waiting for a renewal in progress, since the store may not respond. Such a renewal
    /// fails, since it expects the object to exist.
    fn drop(&mut self) {
        drop(self.stop.take());
        self.holder.release();
    }
}
