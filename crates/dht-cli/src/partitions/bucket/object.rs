//! Objects in an object store: input partitions, and downloads of models.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use object_store::path::Path as Key;
use object_store::{Error as StoreError, GetOptions, ObjectMeta};

use super::connection::{Bucket, parse};
use crate::error::{Error, Result};
use crate::partitions::input::{Input, is_hidden};
use crate::partitions::record::Facts;
use crate::training::UndoOnSignal;

/// Size in bytes of the parts in which objects are read.
pub(super) const READ: u64 = 8 << 20;

/// Lists the input partitions at a URL: one object, or the objects below a URL that ends with `/`.
///
/// # Errors
/// [`Error::Io`] if the object is missing; [`Error::Io`] or [`Error::Store`] if the store rejects a request.
pub fn inputs(url: &str) -> Result<Vec<Box<dyn Input>>> {
    if url.strip_prefix("s3://").is_some_and(|name| !name.is_empty() && !name.contains('/')) {
        let expected = format!("expected {url}/ for the objects of the bucket, or {url}/KEY");
        return Err(Error::Io { path: url.into(), source: io::Error::other(expected) });
    }
    let (bucket, text) = parse(url)?;
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
    let direct = |listed: &ObjectMeta| {
        let mut parts = listed.location.prefix_match(&key).into_iter().flatten();
        parts.next().is_some_and(|name| !is_hidden(name.as_ref())) && parts.next().is_none()
    };
    let mut objects = Vec::new();
    for listed in bucket.list(&key)?.into_iter().filter(direct) {
        if !bucket.is_marker(&listed)? {
            objects.push(object(listed.location));
        }
    }
    Ok(objects)
}

/// Input partition that is an object in an object store.
pub(super) struct Object {
    pub(super) bucket: Bucket,
    pub(super) key: Key,
    pub(super) path: PathBuf,
}

pub(super) fn facts_of(meta: &ObjectMeta) -> Facts {
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
        let mut parts = PartReader {
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

/// Reader that fetches an object in parts. A single request would have to stay open until all texts are predicted,
/// which stores and time limits prevent.
struct PartReader {
    bucket: Bucket,
    key: Key,
    facts: Facts,
    /// Byte offset of the next part.
    next: u64,
    part: io::Cursor<Vec<u8>>,
}

impl PartReader {
    /// Fetches the next part of the object; the part is empty at the end of the object.
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

impl Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.part.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        self.fetch().map_err(io::Error::other)?;
        self.part.read(buffer)
    }
}

/// Downloads a model, the files below a URL, into a temporary directory. It is deleted when the returned value is
/// dropped.
///
/// # Errors
/// [`Error::Io`] if there are no files or the directory cannot be written; [`Error::Io`] or [`Error::Store`] if the
/// store rejects a request.
pub fn download(url: &str) -> Result<Box<dyn AsRef<Path>>> {
    let (bucket, text) = parse(url)?;
    let key = bucket.key(text)?;
    let folder = tempfile::tempdir().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let path = folder.path().to_owned();
    let _undo = UndoOnSignal::new(move || drop(std::fs::remove_dir_all(path)));
    let objects = bucket.list(&key)?;
    if objects.is_empty() {
        let none = io::Error::other("there are no objects below this prefix");
        return Err(Error::Io { path: url.into(), source: none });
    }
    for object in objects {
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
