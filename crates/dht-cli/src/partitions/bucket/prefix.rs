//! Outputs of partitions below a key prefix in an object store.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutMode};
use serde_json::{Map, Value};

use super::claim::{Holder, ObjectClaim, unique};
use super::connection::{Bucket, parse};
use crate::error::{Error, Result};
use crate::partitions::outputs::{Answering, CLAIM, Claim, DESCRIPTION, FORMAT, OWN, Outputs, RECORD};
use crate::partitions::record::Record;

/// Opens the outputs of partitions below a URL in an object store.
///
/// # Errors
/// [`Error::Io`] if the client of the store cannot be set up.
pub fn outputs(url: &str, claim: Duration) -> Result<Box<dyn Outputs>> {
    let (bucket, text) = parse(url)?;
    let prefix = bucket.key(text)?;
    Ok(Box::new(Prefix { bucket, prefix, patience: claim, seen: Mutex::default() }))
}

/// Outputs of partitions below a key prefix in an object store.
pub(super) struct Prefix {
    pub(super) bucket: Bucket,
    pub(super) prefix: Key,
    /// Time after which a claim of another worker expires if it is not renewed.
    pub(super) patience: Duration,
    /// Latest ETag of each claim of another worker, and the time at which it was first seen, by partition name.
    pub(super) seen: Mutex<HashMap<String, (Option<String>, Instant)>>,
}

impl Prefix {
    /// Key of an object: the prefix and `parts`, joined by `/` without escaping.
    fn key(&self, parts: &[&str]) -> Result<Key> {
        let prefix = Some(self.prefix.as_ref()).filter(|prefix| !prefix.is_empty());
        self.bucket.key(&prefix.into_iter().chain(parts.iter().copied()).collect::<Vec<_>>().join("/"))
    }

    fn own(&self, name: &str, file: &str) -> Result<Key> {
        self.key(&[OWN, name, file])
    }

    /// Condition for writing the object of a claim: there is no such object, or its claim has expired because it was
    /// not renewed for the time [`patience`](Prefix::patience). `None` if another worker holds the claim.
    fn mode(&self, name: &str, key: &Key) -> Result<Option<PutMode>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, version)) = self.bucket.read(key)? else {
            seen.remove(name);
            return Ok(Some(PutMode::Create));
        };
        let now = Instant::now();
        let since = seen.entry(name.into()).or_insert_with(|| (version.e_tag.clone(), now));
        if since.0 != version.e_tag {
            *since = (version.e_tag.clone(), now);
        }
        Ok((now - since.1 > self.patience).then_some(PutMode::Update(version)))
    }
}

impl Outputs for Prefix {
    fn path(&self, name: &str) -> PathBuf {
        let url = self.bucket.url(&self.prefix);
        url.join(name)
    }

    fn describe(&self, run: &Map<String, Value>) -> Result<Map<String, Value>> {
        let key = self.key(&[OWN, DESCRIPTION])?;
        let (mut stored, format) = (run.clone(), || "format".to_owned());
        stored.insert(format(), FORMAT.into());
        let json = Value::from(stored).to_string().into_bytes();
        self.bucket.put_if(&key, &json, &PutMode::Create)?;
        let foreign = || Error::Foreign { path: self.bucket.url(&key) };
        let (bytes, _) = self.bucket.read(&key)?.ok_or_else(foreign)?;
        let mut stored: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|_| foreign())?;
        stored.remove(&format()).filter(|value| value == FORMAT).ok_or_else(foreign)?;
        Ok(stored)
    }

    fn record(&self, name: &str) -> Result<Option<Record>> {
        let key = self.own(name, RECORD)?;
        let parse = |(bytes, _): (Vec<u8>, _)| {
            serde_json::from_slice(&bytes).map_err(|_| Error::Foreign { path: self.bucket.url(&key) })
        };
        self.bucket.read(&key)?.map(parse).transpose()
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.bucket.head(&self.key(&[name])?)?.map(|object| object.size))
    }

    fn claim(&self, name: &str) -> Result<Option<Box<dyn Claim>>> {
        let key = self.own(name, CLAIM)?;
        let Some(mode) = self.mode(name, &key)? else { return Ok(None) };
        let holder = Holder { bucket: self.bucket.clone(), key, name: unique(), patience: self.patience };
        let Some(version) = holder.bucket.put_if(&holder.key, &holder.content(0), &mode)? else { return Ok(None) };
        Ok(Some(Box::new(ObjectClaim::start(Arc::new(holder), version))))
    }

    fn write(&self, name: &str, answer: Answering<'_>) -> Result<Record> {
        let local = |source| Error::Io { path: std::env::temp_dir(), source };
        let mut file = tempfile::tempfile().map_err(local)?;
        let mut buffered = io::BufWriter::new(&mut file);
        let record = answer(&mut buffered)?;
        buffered.flush().map_err(local)?;
        drop(buffered);
        let record = Record { output_bytes: file.metadata().map_err(local)?.len(), ..record };
        let key = self.own(name, RECORD)?;
        let failed = |error: serde_json::Error| Error::Io { path: self.bucket.url(&key), source: error.into() };
        let json = serde_json::to_vec(&record).map_err(failed)?;
        self.bucket.wait(&key, self.bucket.store.put(&key, json.into())).map_err(self.bucket.failed(&key))?;
        self.bucket.upload(&self.key(&[name])?, file, record.output_bytes)?;
        Ok(record)
    }
}
