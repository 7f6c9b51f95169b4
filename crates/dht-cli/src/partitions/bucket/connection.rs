//! Connection to a bucket in an object store.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{
    Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
    UpdateVersion, WriteMultipart,
};
use tokio::runtime::Runtime;

use crate::error::{Error, Result};
use crate::partitions::store_error::{
    explain, innermost, is_without_reason, names_bucket, of_variable, without_credentials,
};
use crate::progress::report;

/// Size in bytes of the parts of an upload. A smaller output is uploaded in one request.
pub(super) const PART: usize = 16 << 20;
/// Number of parts that are uploaded concurrently.
const PARTS: usize = 2;
/// Time after which a failing request is no longer retried.
pub(super) const RETRYING: Duration = Duration::from_secs(60);
/// Time without a response after which a warning is printed.
const SILENCE: Duration = Duration::from_secs(10);
/// Time limit for obtaining credentials.
const CREDENTIALS: Duration = Duration::from_secs(15);
/// Maximum number of attempts of a conditional write, if it is unknown whether the object was written.
const ATTEMPTS: usize = 5;
static RUNTIME: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build());

pub(super) fn runtime(url: &str) -> Result<&'static Runtime> {
    let failed = |error: &io::Error| Error::Io { path: url.into(), source: io::Error::other(error.to_string()) };
    RUNTIME.as_ref().map_err(failed)
}

/// Bucket in an object store, with the async runtime for its requests.
#[derive(Clone)]
pub(super) struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) runtime: &'static Runtime,
    /// URL `s3://BUCKET` of the bucket.
    pub(super) root: Arc<str>,
    /// Time after which a failing request is no longer retried.
    pub(super) retrying: Duration,
}

/// Splits an `s3://` URL into the bucket and the key.
pub(super) fn parse(url: &str) -> Result<(Bucket, &str)> {
    let rest = url.strip_prefix("s3://").unwrap_or_default();
    let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
        let expected = "expected s3://BUCKET/KEY, with a bucket of letters, digits, dots and dashes";
        return Err(Error::Io { path: url.into(), source: io::Error::other(expected) });
    }
    Ok((connect(url, name, environment(url)?, RETRYING, CREDENTIALS)?, key))
}

/// Reads the settings of the store from the environment variables `AWS_…`. An empty variable counts as not set.
///
/// # Errors
/// [`Error::Store`] if a variable has a value that cannot be sent in a request, such as a key followed by a line end.
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

/// Returns whether a value is the URL of a server.
pub(super) fn is_address(value: &str) -> bool {
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

/// Connects to a bucket. Fails if there are no credentials within the time `patience`.
pub(super) fn connect(
    url: &str,
    name: &str,
    builder: AmazonS3Builder,
    retrying: Duration,
    patience: Duration,
) -> Result<Bucket> {
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
        // Without settings, the credentials come from the machine's metadata service. On other machines, no such
        // service answers.
        let credentials =
            runtime.block_on(async { tokio::time::timeout(patience, store.credentials().get_credential()).await });
        let silent = || without_credentials(url, &format!("none within {} s", patience.as_secs()));
        credentials.map_err(|_| silent())?.map_err(failed)?;
    }
    Ok(Bucket { store: Arc::new(store), runtime, root: format!("s3://{name}").into(), retrying })
}

/// Warns that the store has not responded for `time`, unless the same warning was printed a few seconds ago.
fn say_silence(url: &Path, time: Duration) {
    static SAID: Mutex<Option<Instant>> = Mutex::new(None);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.is_none_or(|said| said.elapsed() > SILENCE / 2) {
        *said = Some(Instant::now());
        report(&format!("{}: waiting for the store for {} s", url.display(), time.as_secs()));
    }
}

impl Bucket {
    pub(super) fn url(&self, key: &Key) -> PathBuf {
        format!("{}/{key}", self.root).into()
    }

    pub(super) fn failed(&self, key: &Key) -> impl Fn(StoreError) -> Error {
        let path = self.url(key);
        move |error| explain(&path, error)
    }

    /// Waits for a request, and warns if it takes long.
    pub(super) fn wait<T>(&self, key: &Key, request: impl Future<Output = T>) -> T {
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

    pub(super) fn key(&self, text: &str) -> Result<Key> {
        Key::parse(text.trim_end_matches('/')).map_err(|error| Error::Io {
            path: format!("{}/{text}", self.root).into(),
            source: io::Error::other(error),
        })
    }

    pub(super) fn list(&self, prefix: &Key) -> Result<Vec<ObjectMeta>> {
        let listed = self.wait(prefix, self.store.list(Some(prefix)).try_collect::<Vec<_>>());
        let mut objects = listed.map_err(self.failed(prefix))?;
        objects.sort_by(|one, other| one.location.cmp(&other.location));
        Ok(objects)
    }

    /// Fetches the metadata of an object; `None` if the object is missing.
    pub(super) fn head(&self, key: &Key) -> Result<Option<ObjectMeta>> {
        match self.wait(key, self.store.head(key)) {
            Ok(object) => Ok(Some(object)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) if is_without_reason(&error) => {
                let with_reason = self.wait(key, self.store.get(key)).err();
                Err(self.failed(key)(with_reason.unwrap_or(error)))
            }
            Err(error) => Err(self.failed(key)(error)),
        }
    }

    /// Reads a missing object to find out whether its bucket is missing too, and creates the error. (A response to a
    /// HEAD request does not distinguish these cases.)
    pub(super) fn missing(&self, key: &Key) -> Error {
        match self.wait(key, self.store.get(key)) {
            Err(error) if !matches!(error, StoreError::NotFound { .. }) || names_bucket(&error) => {
                self.failed(key)(error)
            }
            _ => Error::Io { path: self.url(key), source: io::Error::other("there is no such object") },
        }
    }

    /// Returns whether a listed object is a directory marker. The key of a marker ends with `/`, which lists omit.
    pub(super) fn is_marker(&self, object: &ObjectMeta) -> Result<bool> {
        Ok(object.size == 0 && self.head(&object.location)?.is_none())
    }

    /// Reads a small object with its version; `None` if it is missing.
    pub(super) fn read(&self, key: &Key) -> Result<Option<(Vec<u8>, UpdateVersion)>> {
        let read = async {
            let got = self.store.get(key).await?;
            let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
            Ok::<_, StoreError>((got.bytes().await?.to_vec(), version))
        };
        match self.wait(key, read) {
            Ok(content) => Ok(Some(content)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(key)(error)),
        }
    }

    /// Writes a small object if the condition `mode` holds. Returns `None` if it does not hold.
    ///
    /// The store may have written the object although the request failed. A repeated request then fails because the
    /// object exists. After a failure, the object is therefore read and compared with `bytes`, which must be unique to
    /// this worker.
    pub(super) fn put_if(&self, key: &Key, bytes: &[u8], mode: &PutMode) -> Result<Option<UpdateVersion>> {
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
                    if let Ok(Some((stored, version))) = self.read(key)
                        && stored == bytes
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

    /// Uploads a file of `bytes` bytes. The object appears only when all parts are uploaded.
    pub(super) fn upload(&self, key: &Key, mut file: std::fs::File, bytes: u64) -> Result<()> {
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
