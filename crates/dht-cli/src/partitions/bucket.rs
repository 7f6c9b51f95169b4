//! Inputs, outputs and models in an object store (`s3://BUCKET/KEY`).
//!
//! Address and credentials are those of the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`,
//! `AWS_ENDPOINT_URL`, …). Requests are retried by `object_store`. Objects are read in parts, each by a request of its
//! own, so that no request lasts as long as the predictions. A claim is an object that is put only if it is
//! absent, and renewed by its ETag. A worker takes over a claim whose ETag it has seen unchanged for the claim's time,
//! by its own clock: the clocks of hosts are not compared.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{
    Error as StoreError, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig, UpdateVersion, WriteMultipart,
};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use super::input::{Input, is_hidden};
use super::outputs::{Answering, CLAIM, Claim, DESCRIPTION, FORMAT, OWN, Outputs, RECORD, worker};
use super::record::{Facts, Record};
use super::store_error::{explain, innermost, is_without_reason, names_bucket, of_variable, without_credentials};
use crate::error::{Error, Result};
use crate::progress::report;
use crate::training::UndoOnSignal;

/// Size of the parts of an upload, and of the largest output that is one request.
const PART: usize = 16 << 20;
/// Number of parts in flight.
const PARTS: usize = 2;
/// Size of the parts of a download.
const READ: u64 = 8 << 20;
/// Time after which a request is not retried again.
const RETRYING: Duration = Duration::from_secs(60);
/// Time without an answer of the store after which a line says so.
const SILENCE: Duration = Duration::from_secs(10);
/// Longest time to find credentials.
const CREDENTIALS: Duration = Duration::from_secs(15);
/// Attempts of a conditional put whose result is unknown.
const ATTEMPTS: usize = 5;
/// Longest time to release a claim when the process ends.
const RELEASE: Duration = Duration::from_secs(5);

static RUNTIME: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build());

fn runtime(url: &str) -> Result<&'static Runtime> {
    let failed = |error: &io::Error| Error::Io { path: url.into(), source: io::Error::other(error.to_string()) };
    RUNTIME.as_ref().map_err(failed)
}

/// Bucket of a store, with the runtime of its requests.
#[derive(Clone)]
struct Bucket {
    store: Arc<dyn ObjectStore>,
    runtime: &'static Runtime,
    /// `s3://BUCKET`.
    root: Arc<str>,
    /// Time after which a request is not repeated.
    retrying: Duration,
}

/// Splits a URL into the bucket and the key.
fn parse(url: &str) -> Result<(Bucket, &str)> {
    let rest = url.strip_prefix("s3://").unwrap_or_default();
    let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
        let expected = "expected s3://BUCKET/KEY, with a bucket of letters, digits, dots and dashes";
        return Err(Error::Io { path: url.into(), source: io::Error::other(expected) });
    }
    Ok((connect(url, name, environment(url)?, RETRYING, CREDENTIALS)?, key))
}

/// Settings of the variables `AWS_…`. An empty one is not set.
///
/// # Errors
/// [`Error::Store`] for values that no request can hold, such as a line end after a key.
fn environment(url: &str) -> Result<AmazonS3Builder> {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("AWS_") && !value.is_empty()) else { continue };
        let Ok(key) = name.to_ascii_lowercase().parse() else { continue };
        let plain = value.to_str().filter(|value| value.bytes().all(|byte| byte.is_ascii_graphic()));
        let value = plain.ok_or_else(|| of_variable(url, name, "set it to one word without spaces and line ends"))?;
        let is_endpoint = matches!(key, AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint);
        if is_endpoint && !is_address(value) {
            return Err(of_variable(url, name, "set it to https://HOST or http://HOST, with :PORT if needed"));
        }
        builder = builder.with_config(key, value);
    }
    Ok(builder)
}

/// Returns whether a value is the address of a server.
fn is_address(value: &str) -> bool {
    let Some(rest) = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://")) else { return false };
    let host = rest.split('/').next().unwrap_or_default();
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host, None),
    };
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_name = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    in_brackets.map_or(is_name, |host| host.parse::<std::net::Ipv6Addr>().is_ok())
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Bucket with the settings of a builder. Credentials are found within `patience`.
fn connect(url: &str, name: &str, builder: AmazonS3Builder, retrying: Duration, patience: Duration) -> Result<Bucket> {
    let setting = |key| builder.get_config_value(&key);
    let endpoint = setting(AmazonS3ConfigKey::S3Endpoint).or_else(|| setting(AmazonS3ConfigKey::Endpoint));
    let is_public = setting(AmazonS3ConfigKey::SkipSignature).is_some_and(|value| value == "true");
    let retry = RetryConfig { retry_timeout: retrying, ..RetryConfig::default() };
    let builder = match endpoint {
        Some(endpoint) if endpoint.starts_with("http://") => builder.with_allow_http(true),
        _ => builder,
    };
    let failed = |error: StoreError| without_credentials(url, &innermost(&error));
    let store = builder.with_bucket_name(name).with_retry(retry).build().map_err(|error| {
        let cause = innermost(&error);
        match cause.starts_with("Missing") {
            true => without_credentials(url, &cause),
            false => Error::Io { path: url.into(), source: error.into() },
        }
    })?;
    let runtime = runtime(url)?;
    if !is_public {
        // Without settings, the credentials are those of the machine: elsewhere, nobody answers.
        let found =
            runtime.block_on(async { tokio::time::timeout(patience, store.credentials().get_credential()).await });
        let silent = || without_credentials(url, &format!("none within {} s", patience.as_secs()));
        found.map_err(|_| silent())?.map_err(failed)?;
    }
    Ok(Bucket { store: Arc::new(store), runtime, root: format!("s3://{name}").into(), retrying })
}

/// Reports that the store has not answered for some time, unless another request has just said so.
fn say_silence(url: &Path, time: Duration) {
    static SAID: Mutex<Option<Instant>> = Mutex::new(None);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.is_none_or(|said| said.elapsed() > SILENCE / 2) {
        *said = Some(Instant::now());
        report(&format!("{}: waiting for the store for {} s", url.display(), time.as_secs()));
    }
}

impl Bucket {
    fn url(&self, key: &Key) -> PathBuf {
        format!("{}/{key}", self.root).into()
    }

    fn failed(&self, key: &Key) -> impl Fn(StoreError) -> Error {
        let path = self.url(key);
        move |error| explain(&path, error)
    }

    /// Runs a request, and reports if it takes long.
    fn wait<T>(&self, key: &Key, request: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            let (mut request, start) = (pin!(request), Instant::now());
            loop {
                match tokio::time::timeout(SILENCE, &mut request).await {
                    Ok(done) => return done,
                    Err(_) => say_silence(&self.url(key), start.elapsed()),
                }
            }
        })
    }

    fn key(&self, text: &str) -> Result<Key> {
        Key::parse(text.trim_end_matches('/')).map_err(|error| Error::Io {
            path: format!("{}/{text}", self.root).into(),
            source: io::Error::other(error),
        })
    }

    fn list(&self, prefix: &Key) -> Result<Vec<ObjectMeta>> {
        let listed = self.wait(prefix, self.store.list(Some(prefix)).try_collect::<Vec<_>>());
        let mut found = listed.map_err(self.failed(prefix))?;
        found.sort_by(|one, other| one.location.cmp(&other.location));
        Ok(found)
    }

    /// Facts of an object; `None` if it is missing.
    fn head(&self, key: &Key) -> Result<Option<ObjectMeta>> {
        match self.wait(key, self.store.head(key)) {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) if is_without_reason(&error) => {
                let with_reason = self.wait(key, self.store.get(key)).err();
                Err(self.failed(key)(with_reason.unwrap_or(error)))
            }
            Err(error) => Err(self.failed(key)(error)),
        }
    }

    /// Error of a missing object. The answer to HEAD does not say whether the bucket is missing.
    fn missing(&self, key: &Key) -> Error {
        match self.wait(key, self.store.get(key)) {
            Err(error) if !matches!(error, StoreError::NotFound { .. }) || names_bucket(&error) => {
                self.failed(key)(error)
            }
            _ => Error::Io { path: self.url(key), source: io::Error::other("there is no such object") },
        }
    }

    /// Returns whether a listed object marks a directory: its key ends with `/`, which the list does not show.
    fn is_marker(&self, found: &ObjectMeta) -> Result<bool> {
        Ok(found.size == 0 && self.head(&found.location)?.is_none())
    }

    /// Content of a small object, with its version.
    fn read(&self, key: &Key) -> Result<Option<(Vec<u8>, UpdateVersion)>> {
        let read = async {
            let got = self.store.get(key).await?;
            let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
            Ok::<_, StoreError>((got.bytes().await?.to_vec(), version))
        };
        match self.wait(key, read) {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(key)(error)),
        }
    }

    /// Puts a small object if a condition holds. `None` if it does not.
    ///
    /// A request that failed may have been carried out, and its repetition then finds its own object. The object is
    /// therefore read again: `bytes` must differ from those of every other worker.
    fn put_if(&self, key: &Key, bytes: &[u8], mode: &PutMode) -> Result<Option<UpdateVersion>> {
        let (mut failed, start) = (None, Instant::now());
        for attempt in 0..ATTEMPTS {
            if attempt > 0 && start.elapsed() > self.retrying {
                break;
            }
            let options = PutOptions::from(mode.clone());
            let put = self.store.put_opts(key, PutPayload::from(bytes.to_vec()), options);
            match self.wait(key, put) {
                Ok(done) => return Ok(Some(UpdateVersion { e_tag: done.e_tag, version: done.version })),
                Err(error) => {
                    if let Ok(Some((found, version))) = self.read(key)
                        && found == bytes
                    {
                        return Ok(Some(version));
                    }
                    if matches!(error, StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) {
                        return Ok(None);
                    }
                    let is_final = matches!(
                        error,
                        StoreError::NotFound { .. }
                            | StoreError::PermissionDenied { .. }
                            | StoreError::Unauthenticated { .. }
                    );
                    failed = Some(self.failed(key)(error));
                    if is_final {
                        break;
                    }
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Uploads a file. The object appears when all parts are there.
    fn upload(&self, key: &Key, mut file: std::fs::File, bytes: u64) -> Result<()> {
        let local = |source| Error::Io { path: self.url(key), source };
        file.seek(SeekFrom::Start(0)).map_err(local)?;
        if bytes <= PART as u64 {
            let mut all = Vec::new();
            file.read_to_end(&mut all).map_err(local)?;
            return self.wait(key, self.store.put(key, all.into())).map(drop).map_err(self.failed(key));
        }
        let upload = self.wait(key, self.store.put_multipart(key)).map_err(self.failed(key))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut part = vec![0; PART];
        let sent = self.wait(key, async {
            loop {
                let count = file.read(&mut part).map_err(local)?;
                if count == 0 {
                    return Ok(());
                }
                upload.write(&part[..count]);
                upload.wait_for_capacity(PARTS).await.map_err(self.failed(key))?;
            }
        });
        match sent {
            Ok(()) => self.wait(key, upload.finish()).map(drop).map_err(self.failed(key)),
            Err(error) => {
                let _ = self.wait(key, upload.abort());
                Err(error)
            }
        }
    }
}

/// Object, or the objects below a URL that ends with `/`.
///
/// # Errors
/// [`Error::Io`] for a missing object, and errors of the store.
pub fn inputs(url: &str) -> Result<Vec<Box<dyn Input>>> {
    let (bucket, text) = parse(url)?;
    if text.is_empty() && !url.ends_with('/') {
        let expected = format!("expected {url}/ for the objects of the bucket, or {url}/KEY");
        return Err(Error::Io { path: url.into(), source: io::Error::other(expected) });
    }
    let key = bucket.key(text)?;
    let object = |key: Key| {
        let path = bucket.url(&key);
        Box::new(Object { bucket: bucket.clone(), key, path }) as Box<dyn Input>
    };
    if !url.ends_with('/') {
        return match bucket.head(&key)? {
            Some(_) => Ok(vec![object(key)]),
            None => Err(bucket.missing(&key)),
        };
    }
    let direct = |found: &ObjectMeta| {
        let mut parts = found.location.prefix_match(&key).into_iter().flatten();
        parts.next().is_some_and(|name| !is_hidden(name.as_ref())) && parts.next().is_none()
    };
    let mut objects = Vec::new();
    for found in bucket.list(&key)?.into_iter().filter(direct) {
        if !bucket.is_marker(&found)? {
            objects.push(object(found.location));
        }
    }
    Ok(objects)
}

/// Object as an input.
struct Object {
    bucket: Bucket,
    key: Key,
    path: PathBuf,
}

fn facts_of(meta: &ObjectMeta) -> Facts {
    let version = meta.e_tag.clone().unwrap_or_else(|| meta.last_modified.to_string());
    Facts { bytes: meta.size, version }
}

impl Input for Object {
    fn path(&self) -> &Path {
        &self.path
    }

    fn facts(&self) -> Result<Facts> {
        self.bucket.head(&self.key)?.as_ref().map(facts_of).ok_or_else(|| self.bucket.missing(&self.key))
    }

    fn open(&self, facts: &Facts) -> Result<Box<dyn Read + Send>> {
        let mut parts = Parts {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            facts: facts.clone(),
            next: 0,
            part: io::Cursor::default(),
        };
        parts.fetch()?;
        Ok(Box::new(parts))
    }
}

/// Reader of an object in parts. A stream would have to last as long as the predictions: stores and time limits of
/// requests end it earlier.
struct Parts {
    bucket: Bucket,
    key: Key,
    facts: Facts,
    /// Position of the next part.
    next: u64,
    part: io::Cursor<Vec<u8>>,
}

impl Parts {
    /// Fetches the next part, which is empty at the end.
    fn fetch(&mut self) -> Result<()> {
        let end = self.facts.bytes.min(self.next + READ);
        if self.next == end {
            self.part = io::Cursor::default();
            return Ok(());
        }
        let (if_match, range) = (Some(self.facts.version.clone()), Some((self.next..end).into()));
        let options = GetOptions { if_match, range, ..GetOptions::default() };
        let get = async {
            let got = self.bucket.store.get_opts(&self.key, options).await?;
            Ok((got.meta.size, got.bytes().await?.to_vec()))
        };
        let changed = |problem: String| Error::PartitionChanged { path: self.bucket.url(&self.key), problem };
        let (size, part) = match self.bucket.wait(&self.key, get) {
            Ok(got) => got,
            Err(StoreError::Precondition { .. }) => return Err(changed("another object was put".into())),
            Err(StoreError::NotFound { .. }) => return Err(changed("the object was deleted".into())),
            Err(error) => return Err(self.bucket.failed(&self.key)(error)),
        };
        if size != self.facts.bytes {
            return Err(changed(format!("{size} bytes are offered of {}", self.facts.bytes)));
        }
        self.next += part.len() as u64;
        self.part = io::Cursor::new(part);
        Ok(())
    }
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.part.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        self.fetch().map_err(io::Error::other)?;
        self.part.read(buffer)
    }
}

/// Opens the output below a URL.
///
/// # Errors
/// [`Error::Io`] for a store that cannot be set up.
pub fn outputs(url: &str, claim: Duration) -> Result<Box<dyn Outputs>> {
    let (bucket, text) = parse(url)?;
    let prefix = bucket.key(text)?;
    Ok(Box::new(Prefix { bucket, prefix, patience: claim, seen: Mutex::default() }))
}

/// Prefix of outputs.
struct Prefix {
    bucket: Bucket,
    prefix: Key,
    /// Time after which a claim that is not renewed is taken over.
    patience: Duration,
    /// ETags of the claims of other workers, and the times at which they were first seen.
    seen: Mutex<HashMap<String, (Option<String>, Instant)>>,
}

impl Prefix {
    /// Key below the prefix. The parts are used as they are.
    fn key(&self, parts: &[&str]) -> Result<Key> {
        let prefix = Some(self.prefix.as_ref()).filter(|prefix| !prefix.is_empty());
        self.bucket.key(&prefix.into_iter().chain(parts.iter().copied()).collect::<Vec<_>>().join("/"))
    }

    fn own(&self, name: &str, file: &str) -> Result<Key> {
        self.key(&[OWN, name, file])
    }

    /// Condition under which a claim can be taken: it is absent, or was not renewed for long enough.
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
        stored.remove(&format()).filter(|found| found == FORMAT).ok_or_else(foreign)?;
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
        Ok(self.bucket.head(&self.key(&[name])?)?.map(|found| found.size))
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

/// Name of a claim that no other claim has.
fn unique() -> String {
    static CLAIMS: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}:{}:{}", worker(), since.as_nanos(), CLAIMS.fetch_add(1, Ordering::Relaxed))
}

/// Worker that holds a claim.
struct Holder {
    bucket: Bucket,
    key: Key,
    name: String,
    patience: Duration,
}

impl Holder {
    fn content(&self, renewals: u64) -> Vec<u8> {
        serde_json::json!({ "worker": self.name, "renewals": renewals }).to_string().into_bytes()
    }

    /// Renews the claim until `stop` is dropped. Returns early if another worker has it.
    fn renew(&self, mut version: UpdateVersion, lost: &AtomicBool, stop: &Receiver<()>) {
        let mut renewed = Instant::now();
        for renewals in 1.. {
            if stop.recv_timeout(self.patience / 4) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            match self.bucket.put_if(&self.key, &self.content(renewals), &PutMode::Update(version.clone())) {
                Ok(Some(next)) => (version, renewed) = (next, Instant::now()),
                Ok(None) => break,
                // A store that does not answer: others may have seen an old claim for long enough.
                Err(_) if renewed.elapsed() > self.patience => break,
                Err(_) => {}
            }
        }
        lost.store(true, Ordering::SeqCst);
    }

    /// Deletes the claim, if it is still this worker's.
    fn release(&self) {
        let delete = async {
            let content = self.bucket.store.get(&self.key).await?.bytes().await?;
            let held: Map<String, Value> = serde_json::from_slice(&content).unwrap_or_default();
            if held.get("worker").is_some_and(|name| *name == *self.name) {
                self.bucket.store.delete(&self.key).await?;
            }
            Ok::<_, StoreError>(())
        };
        // A claim that cannot be deleted is taken over later.
        let _ = self.bucket.runtime.block_on(async { tokio::time::timeout(RELEASE, delete).await });
    }
}

/// Claim that a thread renews.
struct ObjectClaim {
    holder: Arc<Holder>,
    lost: Arc<AtomicBool>,
    /// Ends the thread when it is dropped.
    stop: Option<Sender<()>>,
    _undo: UndoOnSignal,
}

impl ObjectClaim {
    fn start(holder: Arc<Holder>, version: UpdateVersion) -> Self {
        let (lost, (stop, stopped)) = (Arc::new(AtomicBool::new(false)), channel());
        let (own, own_lost, undone) = (holder.clone(), lost.clone(), holder.clone());
        let undo = UndoOnSignal::new(move || undone.release());
        let thread = std::thread::Builder::new().name("claim".into()).spawn(move || {
            own.renew(version, &own_lost, &stopped);
        });
        // Without a thread the claim is not renewed, and so not relied on.
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
    /// Releases the claim. A renewal that is on its way fails, since it expects the object: it is not waited for, as the
    /// store may not answer.
    fn drop(&mut self) {
        drop(self.stop.take());
        self.holder.release();
    }
}

/// Downloads the files of a model below a URL into a temporary directory, which is deleted when the value is dropped.
///
/// # Errors
/// [`Error::Io`] if there are no files, for the errors of the store, and of the directory.
pub fn download(url: &str) -> Result<Box<dyn AsRef<Path>>> {
    let (bucket, text) = parse(url)?;
    let key = bucket.key(text)?;
    let folder = tempfile::tempdir().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let path = folder.path().to_owned();
    let _undo = UndoOnSignal::new(move || drop(std::fs::remove_dir_all(path)));
    let found = bucket.list(&key)?;
    if found.is_empty() {
        let none = io::Error::other("there are no objects below this prefix");
        return Err(Error::Io { path: url.into(), source: none });
    }
    for object in found {
        if bucket.is_marker(&object)? {
            continue;
        }
        let parts = object.location.prefix_match(&key).into_iter().flatten();
        let target = parts.fold(folder.path().to_owned(), |path, part| path.join(part.as_ref()));
        let local = |source| Error::Io { path: target.clone(), source };
        std::fs::create_dir_all(target.parent().unwrap_or(folder.path())).map_err(local)?;
        let mut file = std::fs::File::create(&target).map_err(local)?;
        let mut content =
            Object { path: bucket.url(&object.location), key: object.location.clone(), bucket: bucket.clone() }
                .open(&facts_of(&object))?;
        io::copy(&mut content, &mut file).map_err(|source| Error::Io { path: bucket.url(&object.location), source })?;
    }
    Ok(Box::new(folder))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    fn bucket() -> Bucket {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        Bucket {
            store,
            runtime: runtime("s3://bucket").expect("a runtime"),
            root: "s3://bucket".into(),
            retrying: RETRYING,
        }
    }

    fn prefix(bucket: &Bucket) -> Prefix {
        Prefix { bucket: bucket.clone(), prefix: Key::from("out"), patience: PATIENCE, seen: Mutex::default() }
    }

    fn put(bucket: &Bucket, key: &str, content: &'static str) {
        bucket.runtime.block_on(bucket.store.put(&Key::from(key), content.into())).expect("an object");
    }

    fn until(mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_renewed_claim_is_held_and_a_dropped_one_is_free() {
        let bucket = bucket();
        let [one, other] = [prefix(&bucket), prefix(&bucket)];
        let claim = one.claim("part").expect("a store").expect("a claim");
        let start = Instant::now();
        while start.elapsed() < 3 * PATIENCE {
            assert!(other.claim("part").expect("a store").is_none() && claim.is_held());
            std::thread::sleep(PATIENCE / 10);
        }
        drop(claim);
        assert!(other.claim("part").expect("a store").is_some());
        assert!(bucket.list(&Key::from("out")).expect("a list").is_empty(), "released");
    }

    #[test]
    fn the_claim_of_a_dead_worker_is_taken_over_by_one() {
        let bucket = bucket();
        put(&bucket, "out/.dht/part/claim", "{\"worker\": \"dead\", \"renewals\": 3}");
        let [one, other] = [prefix(&bucket), prefix(&bucket)];
        assert!(one.claim("part").expect("a store").is_none() && other.claim("part").expect("a store").is_none());
        std::thread::sleep(PATIENCE * 3 / 2);
        let claim = one.claim("part").expect("a store").expect("a claim");
        assert!(other.claim("part").expect("a store").is_none() && claim.is_held());
    }

    #[test]
    fn a_worker_notices_that_its_claim_was_taken_over() {
        let bucket = bucket();
        let claim = prefix(&bucket).claim("part").expect("a store").expect("a claim");
        put(&bucket, "out/.dht/part/claim", "{\"worker\": \"other\", \"renewals\": 0}");
        until(|| !claim.is_held());
        drop(claim);
        let key = Key::from("out/.dht/part/claim");
        assert!(bucket.read(&key).expect("a store").is_some(), "the claim of the other worker stays");
    }

    #[test]
    fn a_put_that_was_carried_out_unseen_is_recognised() {
        let bucket = bucket();
        let key = Key::from("one");
        let first = bucket.put_if(&key, b"mine", &PutMode::Create).expect("a store").expect("put");
        // The repetition of a request whose answer was lost.
        assert_eq!(bucket.put_if(&key, b"mine", &PutMode::Create).expect("a store"), Some(first));
        assert_eq!(bucket.put_if(&key, b"others", &PutMode::Create).expect("a store"), None);
    }

    #[test]
    fn an_object_is_read_whole_and_another_version_is_refused() {
        let bucket = bucket();
        put(&bucket, "in/part.jsonl", "{\"text\": \"fine\"}\n");
        let key = Key::from("in/part.jsonl");
        let object = Object { path: bucket.url(&key), bucket: bucket.clone(), key };
        let facts = object.facts().expect("facts");
        let mut content = String::new();
        object.open(&facts).expect("content").read_to_string(&mut content).expect("text");
        assert_eq!((content.len() as u64, &*content), (facts.bytes, "{\"text\": \"fine\"}\n"));
        put(&bucket, "in/part.jsonl", "{\"text\": \"good\"}\n");
        assert!(matches!(object.open(&facts), Err(Error::PartitionChanged { .. })));
        assert_ne!(object.facts().expect("facts"), facts);
    }

    #[test]
    fn a_description_is_that_of_the_first_worker() {
        let bucket = bucket();
        let run = |model: &str| Map::from_iter([("model".to_owned(), Value::from(model))]);
        assert_eq!(prefix(&bucket).describe(&run("one")).expect("stored"), run("one"));
        assert_eq!(prefix(&bucket).describe(&run("two")).expect("stored"), run("one"));
        put(&bucket, "out/.dht/predictions.json", "[]");
        assert!(matches!(prefix(&bucket).describe(&run("one")), Err(Error::Foreign { .. })));
    }

    #[test]
    fn an_object_is_read_in_parts_of_one_version() {
        let bucket = bucket();
        let content: Vec<u8> = (0..2 * READ + 7).map(|at| (at % 251) as u8).collect();
        let key = Key::from("in/large.txt");
        bucket.runtime.block_on(bucket.store.put(&key, content.clone().into())).expect("an object");
        let object = Object { path: bucket.url(&key), bucket: bucket.clone(), key };
        let facts = object.facts().expect("facts");
        let mut read = Vec::new();
        object.open(&facts).expect("content").read_to_end(&mut read).expect("bytes");
        assert!(read == content);
        // Another object is put after the first part.
        let mut reader = object.open(&facts).expect("content");
        put(&bucket, "in/large.txt", "other");
        let failed = reader.read_to_end(&mut Vec::new()).expect_err("two versions").to_string();
        assert!(failed.contains("changed while it was read (another object was put)"), "{failed}");
    }

    #[test]
    fn a_store_that_never_answers_is_an_error_in_time() {
        // The system accepts the connections, and nobody reads.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", silent.local_addr().expect("an address"));
        let options = object_store::ClientOptions::new().with_timeout(PATIENCE);
        let builder = || {
            let builder = AmazonS3Builder::new().with_client_options(options.clone()).with_region("us-east-1");
            builder.with_endpoint(address.clone()).with_metadata_endpoint(address.clone())
        };
        let with_keys = builder().with_access_key_id("key").with_secret_access_key("secret");
        let bucket = connect("s3://bucket/in/", "bucket", with_keys, 2 * PATIENCE, PATIENCE).expect("a bucket");
        let failed = bucket.list(&Key::from("in")).expect_err("no answer").to_string();
        let expected = "s3://bucket/in: the store does not answer (operation timed out): check AWS_ENDPOINT_URL";
        assert!(failed.starts_with(expected), "{failed}");
        let put = bucket.put_if(&Key::from("claim"), b"mine", &PutMode::Create).expect_err("no answer").to_string();
        assert!(put.starts_with("s3://bucket/claim: the store does not answer"), "{put}");

        let refused = connect("s3://bucket/in/", "bucket", builder(), 2 * PATIENCE, PATIENCE).err().expect("no keys");
        let expected = "s3://bucket/in/: no credentials were found (none within 0 s): set AWS_ACCESS_KEY_ID and";
        assert!(refused.to_string().starts_with(expected), "{refused}");
    }

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port() {
        for good in ["https://s3.example.org", "http://127.0.0.1:9000/base", "http://[::1]:9000", "http://minio"] {
            assert!(is_address(good), "{good}");
        }
        for bad in
            ["minio:9000", "http://", "http://[::", "http://a b", "http://host:port", "ftp://host", "http://h:99999"]
        {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn an_upload_of_several_parts_is_whole() {
        let (bucket, key) = (bucket(), Key::from("large"));
        for bytes in [0, 5, PART, 2 * PART + 7] {
            let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(&content).expect("written");
            bucket.upload(&key, file, bytes as u64).expect("uploaded");
            assert!(bucket.read(&key).expect("a store").expect("an object").0 == content, "{bytes}");
        }
    }
}
